//! A disk of the host: an ordinary file or a block device, opened, measured and locked, so that no two guests write to one
//! disk, and none reads a disk that another writes.

#![expect(unsafe_code, reason = "locks and sector sizes are asked for by system calls without a wrapper")]

use super::options::Options;
use husk_abi::block::{Block, Flags, SECTOR_MAXIMUM, SECTOR_MINIMUM};
use std::fs::{File, Metadata, OpenOptions};
use std::io::{self, Seek, SeekFrom};
use std::os::fd::AsRawFd;
use std::os::unix::fs::{FileTypeExt, OpenOptionsExt};
use std::path::Path;
use std::time::Duration;

/// Most bytes of memory in one request: larger requests would not be faster.
const REQUEST_MAXIMUM: u32 = 1 << 20;

/// An open disk.
#[derive(Debug)]
pub struct Disk {
    /// File that holds the bytes.
    pub file: File,
    /// Properties that the guest reads.
    pub properties: Block,
}

impl Disk {
    /// Opens the disk that `options` describe. The error states the problem, the file and the remedy.
    pub fn open(options: &Options) -> Result<Self, String> {
        let path = options.file.display();
        let refused = |reason: String| format!("{path}: {reason}");
        let metadata = std::fs::metadata(&options.file).map_err(|error| refused(not_there(&options.file, &error)))?;
        check_type(&metadata).map_err(refused)?;
        let is_device = metadata.file_type().is_block_device();
        let file = open(options, is_device).map_err(|error| refused(not_opened(options, &error)))?;
        lock(&file, options).map_err(refused)?;
        let size = (&file).seek(SeekFrom::End(0)).map_err(|error| refused(format!("its size is not told: {error}")))?;
        let sector = sector(&file, is_device, options).map_err(refused)?;
        if size == 0 {
            return Err(refused(format!("it is empty; give it a size: `truncate -s 1G {path}`")));
        }
        if !size.is_multiple_of(sector.into()) {
            let below = size - size % u64::from(sector);
            return Err(refused(format!(
                "its {size} bytes are no whole sectors of {sector}; make it longer: `truncate -s {} {path}`",
                below + u64::from(sector)
            )));
        }
        let mut flags = Flags::empty();
        flags.set(Flags::READ_ONLY, options.read_only);
        flags.set(Flags::MOUNTED, options.mount.is_some());
        let alignment = if options.direct { sector } else { 1 };
        let properties = Block { size, sector, request_maximum: REQUEST_MAXIMUM, alignment, flags: flags.bits() };
        Ok(Self { file, properties })
    }
}

fn not_there(path: &Path, error: &io::Error) -> String {
    match error.kind() {
        io::ErrorKind::NotFound => format!("there is no such file; make it: `truncate -s 1G {}`", path.display()),
        _ => error.to_string(),
    }
}

fn check_type(metadata: &Metadata) -> Result<(), String> {
    let kind = metadata.file_type();
    match kind {
        _ if kind.is_file() || kind.is_block_device() => Ok(()),
        _ if kind.is_dir() => Err("it is a directory; a disk is a file or a block device".to_owned()),
        _ => Err("it is neither a file nor a block device".to_owned()),
    }
}

fn open(options: &Options, is_device: bool) -> io::Result<File> {
    let mut flags = if options.direct { libc::O_DIRECT } else { 0 };
    if is_device && !options.read_only {
        // The open fails with EBUSY if the host has the device mounted (open(2)).
        flags |= libc::O_EXCL;
    }
    OpenOptions::new().read(true).write(!options.read_only).custom_flags(flags).open(&options.file)
}

fn not_opened(options: &Options, error: &io::Error) -> String {
    match error.raw_os_error() {
        Some(libc::EACCES | libc::EPERM | libc::EROFS) if !options.read_only => {
            format!("it cannot be written: {error}; add ',ro' to attach it for reading only")
        }
        Some(libc::EINVAL) if options.direct => "its file system has no direct access; leave out ',direct'".to_owned(),
        Some(libc::EBUSY) => "the host itself uses it; unmount it first".to_owned(),
        _ => error.to_string(),
    }
}

/// Number and length of the pauses in which a lock held by another process is waited for: on a busy host, the kernel takes long to give up
/// what requests of a tender that was killed hold.
const PAUSES: usize = 200;
const PAUSE: Duration = Duration::from_millis(10);

/// Sleeps for about `pause`; not at all if the kernel refuses, for which [`std::thread::sleep`] would panic.
fn rest(pause: Duration) {
    let time = libc::timespec { tv_sec: pause.as_secs() as _, tv_nsec: pause.subsec_nanos().into() };
    // SAFETY: `time` is a local variable, and the remainder pointer may be null.
    unsafe { libc::nanosleep(&time, std::ptr::null_mut()) };
}

/// Locks the disk for this guest alone, or shared with guests that only read it (flock(2)). The lock lasts until
/// the process and its requests have ended: the kernel may still carry out a flush of a tender that was killed.
fn lock(file: &File, options: &Options) -> Result<(), String> {
    let kind = if options.read_only { libc::LOCK_SH } else { libc::LOCK_EX };
    let mut pauses = std::iter::repeat_n(PAUSE, PAUSES);
    loop {
        // SAFETY: all arguments are numbers, and `file` is open.
        if unsafe { libc::flock(file.as_raw_fd(), kind | libc::LOCK_NB) } == 0 {
            return Ok(());
        }
        let error = io::Error::last_os_error();
        let is_taken = error.kind() == io::ErrorKind::WouldBlock;
        match pauses.next().filter(|_| is_taken) {
            Some(pause) => rest(pause),
            None if is_taken && options.read_only => return Err("somebody else writes to it".to_owned()),
            None if is_taken => {
                let rule = "somebody else uses it; a disk has one writer, or readers that add ',ro' all";
                return Err(rule.to_owned());
            }
            None => return Err(format!("it cannot be locked: {error}")),
        }
    }
}

/// Bytes of a sector: the user's choice, if possible.
fn sector(file: &File, is_device: bool, options: &Options) -> Result<u32, String> {
    let least = match (is_device, options.direct) {
        (true, _) => device_sector(file).map_err(|error| format!("its sector size is not told: {error}"))?,
        (false, true) => direct_sector(file),
        (false, false) => SECTOR_MINIMUM,
    };
    if !(SECTOR_MINIMUM..=SECTOR_MAXIMUM).contains(&least) {
        return Err(format!("its sectors of {least} bytes are larger than the {SECTOR_MAXIMUM} that a guest can have"));
    }
    match options.sector {
        Some(wanted) if wanted < least => Err(format!("its sectors have {least} bytes; write sector={least}")),
        Some(wanted) => Ok(wanted),
        None => Ok(least),
    }
}

/// Logical sector size of a block device.
fn device_sector(file: &File) -> io::Result<u32> {
    let mut sector: libc::c_int = 0;
    // SAFETY: `sector` is a local variable of the type that BLKSSZGET fills.
    match unsafe { libc::ioctl(file.as_raw_fd(), libc::BLKSSZGET as _, &mut sector) } {
        0 => Ok((sector as u32).max(SECTOR_MINIMUM)),
        _ => Err(io::Error::last_os_error()),
    }
}

/// Alignment for O_DIRECT on an ordinary file (STATX_DIOALIGN); the largest sector, if the kernel does not report it.
fn direct_sector(file: &File) -> u32 {
    // SAFETY: all zeros is a valid `statx`.
    let mut told: libc::statx = unsafe { std::mem::zeroed() };
    // SAFETY: the path is an empty C string, and the result a local variable of the type that the call fills.
    let result =
        unsafe { libc::statx(file.as_raw_fd(), c"".as_ptr(), libc::AT_EMPTY_PATH, libc::STATX_DIOALIGN, &mut told) };
    let known = result == 0 && told.stx_mask & libc::STATX_DIOALIGN != 0 && told.stx_dio_offset_align > 0;
    let least = if known { told.stx_dio_offset_align.max(told.stx_dio_mem_align) } else { SECTOR_MAXIMUM };
    least.max(SECTOR_MINIMUM)
}

#[cfg(test)]
mod tests {
    use super::*;
    use std::path::PathBuf;

    /// A file of `size` bytes, removed at the end of the test.
    struct Scratch(PathBuf);

    impl Scratch {
        fn new(name: &str, size: u64) -> Self {
            let path = std::env::temp_dir().join(format!("husk-disk-{}-{name}", std::process::id()));
            File::create(&path).and_then(|file| file.set_len(size)).expect("a file");
            Self(path)
        }

        fn options(&self) -> Options {
            Options { file: self.0.clone(), ..Options::default() }
        }
    }

    impl Drop for Scratch {
        fn drop(&mut self) {
            let _ = std::fs::remove_file(&self.0);
        }
    }

    #[test]
    fn a_file_is_measured() {
        let scratch = Scratch::new("measured", 8192);
        let disk = Disk::open(&Options { sector: Some(4096), ..scratch.options() }).expect("a disk");
        let Block { size, sector, flags, .. } = disk.properties;
        assert_eq!((size, sector, flags), (8192, 4096, 0));
    }

    #[test]
    fn what_is_no_disk_is_refused() {
        let refusal = |file: &Path| {
            let options = Options { file: file.into(), ..Options::default() };
            Disk::open(&options).expect_err("no disk")
        };
        assert!(refusal(Path::new("/nowhere/disk.img")).contains("no such file; make it"));
        assert!(refusal(&std::env::temp_dir()).contains("is a directory"));
        assert!(refusal(Path::new("/dev/null")).contains("neither a file nor a block device"));
        assert!(refusal(&Scratch::new("odd", 1000).0).contains("`truncate -s 1024"));
        assert!(refusal(&Scratch::new("empty", 0).0).contains("it is empty"));
    }

    #[test]
    fn a_disk_has_one_writer_or_readers() {
        let scratch = Scratch::new("locked", 4096);
        let (write, read) = (scratch.options(), Options { read_only: true, ..scratch.options() });
        let writer = Disk::open(&write).expect("a writer");
        assert!(Disk::open(&write).expect_err("in use").contains("somebody else uses it"));
        assert!(Disk::open(&read).expect_err("in use").contains("somebody else writes to it"));
        drop(writer);
        let reader = Disk::open(&read).expect("a reader");
        let second = Disk::open(&read).expect("another reader");
        assert!(Disk::open(&write).expect_err("in use").contains("somebody else uses it"));
        drop((reader, second));
        assert!(Disk::open(&write).is_ok());
    }
}

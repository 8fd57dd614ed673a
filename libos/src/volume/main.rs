//! Code of a volume's fiber: the file system, which waits for the disk by suspending the fiber.
//!
//! The file system is larger than the rest of the libos, and most programs need none. So nothing names [`husk_volume_main`], which leads
//! to all of it, but the symbol `husk_volume_entry`: the build of the tool that links images makes two objects of the libos, in which
//! that is [`husk_volume_main`] or [`husk_no_volumes`]. Images that mount disks get the former.

#![expect(unsafe_code, reason = "a request is memory of the libos and of the program, by address")]

use super::exchange::{Event, Exchange, Job, Transfer};
use crate::fs::buffers::Buffers;
use crate::memory::MEMORY;
use crate::user::{Slice, is_for_devices};
use alloc::boxed::Box;
use alloc::string::ToString;
use core::slice;
use husk::abi::block::{FLUSH, READ, WRITE};
use husk::abi::folder::{Answer, Message};
use husk::abi::memory::PAGE;
use husk::block::Buffer;
use husk_ext4::{Data, Disk, Failed, Volume};

/// Most bytes that go through a bounce buffer at once.
const BOUNCE_MAXIMUM: usize = 64 << 10;
/// Bytes for changes on their way to the disk, which are kept from the program beside those of the cache.
const COLLECTED: usize = 8 << 20;
/// Error of a request to a volume that is not mounted.
const EIO: u32 = 5;

/// The disk as the file system sees it.
#[derive(Debug)]
struct Sectors {
    /// Way of the requests to the disk.
    exchange: &'static Exchange,
    /// Bytes of the disk.
    size: u64,
    /// Bytes of a sector.
    sector: u64,
    /// Alignment of memory that the disk reads and writes.
    alignment: u64,
    /// Sectors that are requested in part, or with memory of another alignment.
    bounce: Buffer,
}

/// Makes a fiber for this disk, with the stack below `top`, which stays and is used by nothing else; `None` without memory for it.
pub fn spawn(top: u64, disk: &husk::block::Disk) -> Option<&'static Exchange> {
    // Later, a lack of memory would look like a disk that fails.
    let bounce = Buffer::try_new(BOUNCE_MAXIMUM)?;
    let exchange: &'static Exchange = Box::leak(Box::new(Exchange::new()));
    let (sector, alignment) = (disk.sector().into(), disk.properties().alignment.into());
    let sectors = Box::new(Sectors { exchange, size: disk.size(), sector, alignment, bounce });
    // SAFETY: the caller has taken the stack for this fiber, and its main function takes the sectors that it is passed.
    unsafe { exchange.start(top, entry(), Box::into_raw(sectors) as u64) };
    Some(exchange)
}

/// Main function of the fiber.
#[cfg(target_os = "none")]
fn entry() -> extern "sysv64" fn(u64) -> ! {
    unsafe extern "sysv64" {
        safe fn husk_volume_entry(disk: u64) -> !;
    }
    husk_volume_entry
}

#[cfg(not(target_os = "none"))]
fn entry() -> extern "sysv64" fn(u64) -> ! {
    husk_volume_main
}

/// The disk that the libos has leaked for this fiber.
fn leaked(disk: u64) -> Box<Sectors> {
    // SAFETY: `spawn` has passed the address to the fiber, whose main function calls this once.
    unsafe { Box::from_raw(disk as *mut Sectors) }
}

/// Runs the fiber of an image without file systems: the mount is refused.
#[unsafe(no_mangle)]
extern "sysv64" fn husk_no_volumes(disk: u64) -> ! {
    let Sectors { exchange, .. } = *leaked(disk);
    loop {
        let _: Result<(), Failed> = exchange.suspend(Event::Mounted(Err("the image has no file systems".to_string())));
    }
}

/// Runs the fiber of the volume on the disk at this address.
#[unsafe(no_mangle)]
extern "sysv64" fn husk_volume_main(disk: u64) -> ! {
    let disk = leaked(disk);
    let exchange = disk.exchange;
    let (mut disk, mut volume) = (Some(*disk), None);
    loop {
        let now_ns = husk::clock::realtime_ns();
        let event = match (exchange.job(), &mut volume) {
            (Some(Job::Mount(options)), _) => {
                let kept = options.cache_bytes.saturating_add(COLLECTED);
                MEMORY.lock().set_aside(kept.div_ceil(PAGE as usize));
                Event::Mounted(match disk.take().map(|disk| Volume::mount(disk, options)) {
                    Some(Ok(mounted)) => Ok(volume.insert(mounted).has_journal()),
                    Some(Err(error)) => Err(error.to_string()),
                    None => Err("the disk is mounted already".to_string()),
                })
            }
            (Some(Job::Answer(operation, parts)), volume) => {
                answer(volume.as_mut(), operation, &parts, now_ns);
                Event::Answered(volume.as_mut().and_then(|volume| volume.write_back(now_ns)))
            }
            (Some(Job::WriteBack), Some(volume)) => Event::WrittenBack(volume.write_back(now_ns)),
            (Some(Job::Unmount), Some(volume)) => Event::Unmounted(volume.unmount()),
            (Some(Job::WriteBack), None) | (None, _) => Event::WrittenBack(None),
            (Some(Job::Unmount), None) => Event::Unmounted(Ok(())),
        };
        if volume.as_mut().is_some_and(Volume::has_failed) {
            exchange.fail();
        }
        let _: Result<(), Failed> = exchange.suspend(event);
    }
}

/// Answers the request of these parts: a [`Message`], the names if there are any, and the data.
fn answer(volume: Option<&mut Volume<Sectors>>, operation: u16, parts: &[Slice], now_ns: u64) {
    let Some((message, rest)) = parts.split_first() else { return };
    let message = message.address as *mut Message;
    // SAFETY: the first part is a message of the libos, which is not used elsewhere before the request is completed.
    let Message { request, .. } = unsafe { message.read() };
    let [first, second] = request.names.map(|length| length as usize);
    let (names, rest) = if first + second > 0 { rest.split_first().unzip() } else { (None, Some(rest)) };
    let names = match names {
        // SAFETY: the second part holds the names, in memory of the libos, until the request is completed.
        Some(names) => unsafe { slice::from_raw_parts(names.address as *const u8, names.length as usize) },
        None => &[],
    };
    let (one, other) = names.split_at_checked(first).unwrap_or((names, &[]));
    let mut data = Parts(rest.unwrap_or_default());
    let answer = match volume {
        Some(volume) => volume.answer(operation, &request, [one, other], &mut data, now_ns),
        None => Answer { error: EIO, ..Answer::default() },
    };
    // SAFETY: as above.
    unsafe { message.write(Message { request, answer }) };
}

/// Memory of a request.
struct Parts<'a>(&'a [Slice]);

impl Parts<'_> {
    fn buffers(&self) -> Buffers<'_> {
        Buffers::new(self.0, 0)
    }
}

// Memory of the program has been checked when the request was made, so that no copy fails.
impl Data for Parts<'_> {
    fn length(&self) -> u64 {
        self.buffers().length()
    }

    fn write(&mut self, at: u64, bytes: &[u8]) {
        let _ = self.buffers().scatter(at, bytes);
    }

    fn read(&self, at: u64, into: &mut [u8]) {
        let _ = self.buffers().fill(at, into);
    }

    // Devices may access what programs read and write into (`folders::transfer`), but no window of a mapped file.
    fn address(&self, at: u64, length: usize) -> Option<u64> {
        let rest = Buffers::new(self.0, at).first();
        (rest.length >= length as u64 && is_for_devices(rest)).then_some(rest.address)
    }
}

impl Sectors {
    /// Waits for a request, of which memory and offset are as the disk requires them.
    fn request(&self, operation: u16, offset: u64, memory: Slice) -> Result<(), Failed> {
        self.exchange.suspend(Event::Transfer(Transfer { operation, offset, memory }))
    }

    /// Returns true if the disk takes this memory for these bytes.
    fn takes(&self, offset: u64, memory: Slice) -> bool {
        (offset | memory.length).is_multiple_of(self.sector) && memory.address.is_multiple_of(self.alignment)
    }

    /// Has the disk access memory of a request. Returns false if it cannot.
    fn direct(&self, operation: u16, offset: u64, address: Option<u64>, length: usize) -> Result<bool, Failed> {
        let memory = address.map(|address| Slice::new(address, length as u64));
        let memory = memory.filter(|memory| self.takes(offset, *memory));
        memory.map_or(Ok(false), |memory| self.request(operation, offset, memory).map(|()| true))
    }

    /// Reads sectors into the bounce buffer, as many as hold these bytes or the buffer takes, and calls `use_them` with those bytes
    /// among them that are at `offset`; then writes the sectors, if `writes`. Returns how many of the bytes these were.
    fn bounce(
        &mut self,
        offset: u64,
        length: usize,
        writes: bool,
        use_them: impl FnOnce(&mut [u8]),
    ) -> Result<usize, Failed> {
        let start = offset - offset % self.sector;
        let skipped = (offset - start) as usize;
        let part = length.min(BOUNCE_MAXIMUM - skipped);
        let covered = (skipped + part).next_multiple_of(self.sector as usize);
        let memory = Slice::new(self.bounce.as_mut_ptr() as u64, covered as u64);
        let is_whole = skipped == 0 && part == covered;
        if !(writes && is_whole) {
            self.request(READ, start, memory)?;
        }
        use_them(self.bounce.get_mut(skipped..skipped + part).unwrap_or_default());
        if writes {
            self.request(WRITE, start, memory)?;
        }
        Ok(part)
    }
}

impl Disk for Sectors {
    fn size(&self) -> u64 {
        self.size
    }

    fn read(&mut self, offset: u64, into: &mut [u8]) -> Result<(), Failed> {
        let memory = Slice::new(into.as_mut_ptr() as u64, into.len() as u64);
        if self.takes(offset, memory) {
            return self.request(READ, offset, memory);
        }
        let mut done = 0;
        while let Some(rest) = into.get_mut(done..).filter(|rest| !rest.is_empty()) {
            let length = rest.len();
            let copy = |bytes: &mut [u8]| rest.iter_mut().zip(bytes).for_each(|(to, from)| *to = *from);
            done += self.bounce(offset + done as u64, length, false, copy)?;
        }
        Ok(())
    }

    fn write(&mut self, offset: u64, from: &[u8]) -> Result<(), Failed> {
        let memory = Slice::new(from.as_ptr() as u64, from.len() as u64);
        if self.takes(offset, memory) {
            return self.request(WRITE, offset, memory);
        }
        let mut done = 0;
        while let Some(rest) = from.get(done..).filter(|rest| !rest.is_empty()) {
            let copy = |bytes: &mut [u8]| bytes.iter_mut().zip(rest).for_each(|(to, from)| *to = *from);
            done += self.bounce(offset + done as u64, rest.len(), true, copy)?;
        }
        Ok(())
    }

    fn read_into(&mut self, offset: u64, data: &mut dyn Data, at: u64, length: usize) -> Result<bool, Failed> {
        self.direct(READ, offset, data.address(at, length), length)
    }

    fn write_from(&mut self, offset: u64, data: &dyn Data, at: u64, length: usize) -> Result<bool, Failed> {
        self.direct(WRITE, offset, data.address(at, length), length)
    }

    fn flush(&mut self) -> Result<(), Failed> {
        self.request(FLUSH, 0, Slice::new(0, 0))
    }
}

//! Uses `/dev/data` as a program uses a block device: the disk has 64 KiB, all zeros at first.

use std::fs::{self, File, OpenOptions};
use std::io::{self, ErrorKind, IoSlice, IoSliceMut, Read, Seek, SeekFrom, Write};
use std::os::fd::AsRawFd;
use std::os::unix::fs::{FileExt, FileTypeExt, MetadataExt, OpenOptionsExt};

const PATH: &str = "/dev/data";
const SIZE: u64 = 64 << 10;

const BLKROGET: u64 = 0x125e;
const BLKSSZGET: u64 = 0x1268;
const BLKDISCARD: u64 = 0x1277;
const BLKGETSIZE64: u64 = 0x8008_1272;

fn main() -> io::Result<()> {
    tells_of_itself()?;
    let file = OpenOptions::new().read(true).write(true).open(PATH)?;
    is_read_and_written_at_any_byte(&file)?;
    ends(&file)?;
    is_a_stream(&file)?;
    takes_several_buffers(&file)?;
    is_erased(&file)?;
    is_copied()?;
    println!("all done");
    Ok(())
}

fn number(file: &File, request: u64) -> u64 {
    let mut number = 0u64;
    // SAFETY: `number` is as long as any of these requests needs.
    let result = unsafe { libc::ioctl(file.as_raw_fd(), request as _, &mut number) };
    assert_eq!(result, 0, "{request:#x}: {}", io::Error::last_os_error());
    number
}

fn tells_of_itself() -> io::Result<()> {
    let names: Vec<_> =
        fs::read_dir("/dev")?.map(|entry| entry.map(|entry| entry.file_name())).collect::<Result<_, _>>()?;
    assert!(names.iter().any(|name| name == "data"), "{names:?}");
    let metadata = fs::metadata(PATH)?;
    assert!(metadata.file_type().is_block_device());
    assert_ne!(metadata.rdev(), 0);
    let mut file = File::open(PATH)?;
    assert_eq!(fs::read_link(format!("/proc/self/fd/{}", file.as_raw_fd()))?.to_str(), Some(PATH));
    assert_eq!(file.seek(SeekFrom::End(0))?, SIZE);
    assert_eq!((number(&file, BLKGETSIZE64), number(&file, BLKSSZGET), number(&file, BLKROGET)), (SIZE, 512, 0));
    assert_eq!(file.write_at(b"x", 0).map_err(|error| error.raw_os_error()), Err(Some(libc::EBADF)));
    let file = OpenOptions::new().write(true).create(true).truncate(true).open(PATH)?;
    assert_eq!(file.set_len(0).map_err(|error| error.kind()), Err(ErrorKind::InvalidInput));
    Ok(())
}

fn is_read_and_written_at_any_byte(file: &File) -> io::Result<()> {
    let mut expected = vec![0u8; SIZE as usize];
    let mut state = 12345u64;
    let mut below = |bound: u64| {
        state = state.wrapping_mul(6364136223846793005).wrapping_add(1442695040888963407);
        (state >> 33) % bound
    };
    for round in 0..400u64 {
        let offset = below(SIZE);
        let length = (1 + below(if round % 4 == 0 { SIZE } else { 1500 })).min(SIZE - offset);
        let (start, end) = match round % 3 {
            // Whole sectors.
            0 => (offset / 512 * 512, (offset + length).next_multiple_of(512)),
            _ => (offset, offset + length),
        };
        let range = start as usize..end as usize;
        if below(2) == 0 {
            expected[range.clone()].fill_with(|| below(256) as u8);
            file.write_all_at(&expected[range], start)?;
        } else {
            let mut found = vec![0xff; range.len()];
            file.read_exact_at(&mut found, start)?;
            assert!(found == expected[range], "round {round}: {start} to {end}");
        }
    }
    file.sync_data()?;
    file.sync_all()?;
    let mut found = vec![0; SIZE as usize];
    file.read_exact_at(&mut found, 0)?;
    assert!(found == expected);
    Ok(())
}

fn ends(file: &File) -> io::Result<()> {
    let mut buffer = [7; 1000];
    assert_eq!(file.read_at(&mut buffer, SIZE)?, 0);
    assert_eq!(file.read_at(&mut buffer, SIZE - 10)?, 10);
    assert_eq!(file.write_at(&buffer, SIZE - 10)?, 10);
    assert_eq!(file.write_at(&buffer, SIZE).map_err(|error| error.kind()), Err(ErrorKind::StorageFull));
    Ok(())
}

fn is_a_stream(mut file: &File) -> io::Result<()> {
    file.seek(SeekFrom::Start(1000))?;
    file.write_all(b"one, ")?;
    file.write_all(b"two")?;
    assert_eq!(file.stream_position()?, 1008);
    file.seek(SeekFrom::Current(-8))?;
    let mut text = [0; 8];
    file.read_exact(&mut text)?;
    assert_eq!(&text, b"one, two");
    Ok(())
}

fn takes_several_buffers(mut file: &File) -> io::Result<()> {
    file.seek(SeekFrom::Start(4096))?;
    let (first, second, third) = (vec![1; 1024], vec![2; 700], vec![3; 324]);
    let written = file.write_vectored(&[IoSlice::new(&first), IoSlice::new(&second), IoSlice::new(&third)])?;
    assert_eq!(written, 2048);
    file.seek(SeekFrom::Start(4096))?;
    let (mut first, mut second) = (vec![0; 1500], vec![0; 548]);
    assert_eq!(file.read_vectored(&mut [IoSliceMut::new(&mut first), IoSliceMut::new(&mut second)])?, 2048);
    assert_eq!((first[1023], first[1024], second[223], second[224]), (1, 2, 2, 3));
    let file = OpenOptions::new().write(true).custom_flags(libc::O_DSYNC).open(PATH)?;
    file.write_all_at(b"lasting", 100)?;
    Ok(())
}

fn is_erased(file: &File) -> io::Result<()> {
    file.write_all_at(&[9; 4096], 8192)?;
    let allocate = |mode, offset, length| {
        // SAFETY: fallocate(2) takes numbers only.
        match unsafe { libc::fallocate(file.as_raw_fd(), mode, offset, length) } {
            0 => Ok(()),
            _ => Err(io::Error::last_os_error().raw_os_error()),
        }
    };
    let punch = libc::FALLOC_FL_PUNCH_HOLE | libc::FALLOC_FL_KEEP_SIZE;
    assert_eq!(allocate(punch, 8192, 512), Ok(()));
    assert_eq!(allocate(libc::FALLOC_FL_ZERO_RANGE, 9216, 512), Ok(()));
    assert_eq!(allocate(punch, 8193, 512), Err(Some(libc::EINVAL)));
    assert_eq!(allocate(punch, SIZE as i64, 512), Err(Some(libc::EINVAL)));
    assert_eq!(allocate(0, 0, 512), Err(Some(libc::EOPNOTSUPP)));
    let range = [10240u64, 512];
    // SAFETY: the range has the layout that BLKDISCARD takes.
    assert_eq!(unsafe { libc::ioctl(file.as_raw_fd(), BLKDISCARD as _, &range) }, 0);
    let mut found = [0; 4096];
    file.read_exact_at(&mut found, 8192)?;
    let firsts: Vec<u8> = found.chunks(512).map(|sector| sector[0]).collect();
    assert_eq!(firsts, [0, 9, 0, 9, 0, 9, 9, 9]);
    Ok(())
}

fn is_copied() -> io::Result<()> {
    let mut whole = vec![];
    File::open(PATH)?.read_to_end(&mut whole)?;
    assert_eq!(whole.len() as u64, SIZE);
    let copied = io::copy(&mut File::open(PATH)?, &mut File::create("/tmp/copy")?)?;
    assert_eq!(copied, SIZE);
    assert!(fs::read("/tmp/copy")? == whole);
    Ok(())
}

//! Calls on the console of which more than one belongs to a system call, and one whose descriptor is closed: with `descriptor`, a
//! read of standard input by another thread, which waits while its descriptor gets another file; otherwise `sendfile` of two
//! pages to standard output and `readv` from standard input, each followed by a wait.

use std::fs::{self, File};
use std::io::{self, Write};
use std::os::fd::AsRawFd;
use std::thread;
use std::time::Duration;

fn read(into: &mut [u8]) -> isize {
    // SAFETY: the buffer is ours.
    unsafe { libc::read(0, into.as_mut_ptr().cast(), into.len()) }
}

fn send_two_pages() -> io::Result<()> {
    let path = "/tmp/two-pages";
    fs::write(path, [b'a'; 8192])?;
    let file = File::open(path)?;
    let mut sent = 0;
    while sent < 8192 {
        // SAFETY: the offset is that of the file.
        let count = unsafe { libc::sendfile(1, file.as_raw_fd(), std::ptr::null_mut(), 8192) };
        assert!(count > 0, "{}", io::Error::last_os_error());
        sent += count;
        thread::sleep(Duration::from_millis(5));
    }
    println!();
    Ok(())
}

fn read_by_vectors() {
    let (mut first, mut second) = ([0_u8; 8], [0_u8; 8]);
    let vectors = [
        libc::iovec { iov_base: first.as_mut_ptr().cast(), iov_len: first.len() },
        libc::iovec { iov_base: second.as_mut_ptr().cast(), iov_len: second.len() },
    ];
    // SAFETY: the buffers are variables of ours.
    let count = unsafe { libc::readv(0, vectors.as_ptr(), 2) };
    let mut bytes = [first, second].concat();
    bytes.truncate(usize::try_from(count).expect("it succeeds"));
    thread::sleep(Duration::from_millis(5));
    let mut more = [0; 64];
    loop {
        let count = read(&mut more);
        bytes.extend(&more[..usize::try_from(count).expect("it succeeds")]);
        if count == 0 {
            break;
        }
    }
    println!("{}", String::from_utf8_lossy(&bytes));
}

fn close_while_reading() {
    let reader = thread::spawn(|| {
        let mut bytes = [0; 16];
        let count = read(&mut bytes);
        String::from_utf8_lossy(&bytes[..usize::try_from(count).expect("it succeeds")]).into_owned()
    });
    thread::sleep(Duration::from_millis(20));
    let null = File::open("/dev/null").expect("there is one");
    // SAFETY: nothing else uses the number.
    assert_eq!(unsafe { libc::dup2(null.as_raw_fd(), 0) }, 0);
    println!("ready");
    io::stdout().flush().expect("a reader");
    println!("{}", reader.join().expect("no panic").trim_end());
}

fn main() -> io::Result<()> {
    if std::env::args().any(|word| word == "descriptor") {
        close_while_reading();
        return Ok(());
    }
    send_two_pages()?;
    read_by_vectors();
    Ok(())
}

//! Uses its standard streams: as files with `kinds`, else as a terminal, from which it reads keys one by one.
//!
//! Standard error takes what it finds with `kinds`. As a terminal: `c` prints the size of the window, and if there was a signal about it, `q` ends the program, `p` by a
//! panic, `r` restores the modes first.

#![expect(unsafe_code, reason = "modes of a terminal are functions of C")]

use std::io::{Error, IsTerminal, Write, stdin, stdout};
use std::sync::atomic::{AtomicBool, Ordering::SeqCst};

static CHANGED: AtomicBool = AtomicBool::new(false);

extern "C" fn changed(_: i32) {
    CHANGED.store(true, SeqCst);
}

/// Kind and size of each stream, and what lseek(2) does with the first.
fn kinds() {
    let terminals = [stdin().is_terminal(), stdout().is_terminal(), std::io::stderr().is_terminal()];
    for (stream, is_terminal) in (0..).zip(terminals) {
        // SAFETY: all zeros is a valid value.
        let mut status: libc::stat = unsafe { std::mem::zeroed() };
        // SAFETY: a variable of ours.
        unsafe { libc::fstat(stream, &mut status) };
        eprintln!("{stream}: {:o}, terminal: {is_terminal}, {} bytes", status.st_mode & libc::S_IFMT, status.st_size);
    }
    let mut bytes = [0; 3];
    let moves = [(2, libc::SEEK_SET), (0, libc::SEEK_CUR), (-1, libc::SEEK_END), (-1, libc::SEEK_SET), (0, 9)];
    for (offset, whence) in moves {
        // SAFETY: numbers only.
        let at = unsafe { libc::lseek(0, offset, whence) };
        eprintln!("lseek({offset}, {whence}): {at} {}", if at < 0 { programs::errno() } else { 0 });
        if at >= 0 {
            // SAFETY: a variable of ours.
            let count = unsafe { libc::read(0, bytes.as_mut_ptr().cast(), bytes.len()) };
            eprintln!("{:?}", bytes.get(..count as usize));
        }
    }
}

fn modes() -> libc::termios {
    // SAFETY: all zeros is a valid value.
    let mut modes = unsafe { std::mem::zeroed() };
    // SAFETY: a variable of ours.
    assert_eq!(unsafe { libc::tcgetattr(0, &mut modes) }, 0, "{}", Error::last_os_error());
    modes
}

fn window() -> [u16; 2] {
    // SAFETY: all zeros is a valid value.
    let mut size: libc::winsize = unsafe { std::mem::zeroed() };
    // SAFETY: a variable of ours, of the type that the request is for.
    assert_eq!(unsafe { libc::ioctl(1, libc::TIOCGWINSZ, &mut size) }, 0, "{}", Error::last_os_error());
    [size.ws_row, size.ws_col]
}

fn print(text: &str) {
    print!("{text}\r\n");
    stdout().flush().expect("it is open");
}

/// Next key.
fn key() -> u8 {
    let mut key = 0u8;
    // SAFETY: a variable of ours.
    while unsafe { libc::read(0, (&raw mut key).cast(), 1) } != 1 {
        // A change of the window interrupts the call.
        assert!(CHANGED.load(SeqCst), "{}", Error::last_os_error());
    }
    key
}

fn main() {
    if std::env::args().nth(1).is_some() {
        return kinds();
    }
    let (before, mut raw) = (modes(), modes());
    // SAFETY: a variable of ours.
    unsafe { libc::cfmakeraw(&mut raw) };
    // SAFETY: all zeros is a valid value.
    let mut action: libc::sigaction = unsafe { std::mem::zeroed() };
    action.sa_sigaction = changed as *const () as usize;
    // SAFETY: the handler sets a flag.
    unsafe { libc::sigaction(libc::SIGWINCH, &action, std::ptr::null_mut()) };
    // SAFETY: a variable of ours.
    assert_eq!(unsafe { libc::tcsetattr(0, libc::TCSADRAIN, &raw) }, 0, "{}", Error::last_os_error());
    // Again by the other streams, which lead to the same terminal.
    for stream in [1, 2] {
        // SAFETY: a variable of ours.
        unsafe { libc::tcsetattr(stream, libc::TCSANOW, &raw) };
    }
    // SAFETY: no memory.
    let foreground = unsafe { libc::tcgetpgrp(0) == libc::getpgrp() };
    print(&format!(
        "raw: {}, in the foreground: {foreground}, window {:?}",
        modes().c_lflag & libc::ICANON == 0,
        window()
    ));
    loop {
        match key() {
            b'c' => print(&format!("window {:?}, changed: {}", window(), CHANGED.load(SeqCst))),
            b'p' => panic!("as asked"),
            b'q' => return,
            b'r' => {
                // SAFETY: a variable of ours.
                assert_eq!(unsafe { libc::tcsetattr(0, libc::TCSAFLUSH, &before) }, 0);
                return print("restored");
            }
            key => print(&format!("key {key}")),
        }
    }
}

//! Closes the descriptor of a disk while another thread reads from it: the read succeeds, the thread's next call is its own,
//! and a signal reaches it.

use libc::c_void;
use std::fs::File;
use std::io;
use std::os::fd::{FromRawFd, IntoRawFd, OwnedFd};
use std::os::unix::fs::FileExt;
use std::ptr::null_mut;
use std::sync::atomic::{AtomicUsize, Ordering::SeqCst};
use std::thread;

const LENGTH: usize = 256 << 10;
const ROUNDS: usize = 40;

/// Threads that are about to read.
static READING: AtomicUsize = AtomicUsize::new(0);
/// Runs of the signal handler.
static SIGNALS: AtomicUsize = AtomicUsize::new(0);

extern "C" fn note(_: libc::c_int) {
    SIGNALS.fetch_add(1, SeqCst);
}

fn disk() -> io::Result<File> {
    File::open("/dev/data")
}

fn main() -> io::Result<()> {
    // SAFETY: all zeros is an action without flags and mask.
    let mut action: libc::sigaction = unsafe { std::mem::zeroed() };
    action.sa_sigaction = note as *const () as usize;
    // SAFETY: the action is a variable of ours; its handler only counts.
    assert_eq!(unsafe { libc::sigaction(libc::SIGUSR1, &action, null_mut()) }, 0);
    for round in 0..ROUNDS {
        let (before, descriptor) = (READING.load(SeqCst), disk()?.into_raw_fd());
        // An odd offset prevents reads directly into the memory.
        let offset = round % 2;
        let reader = thread::spawn(move || {
            let mut bytes = vec![0_u8; LENGTH];
            READING.fetch_add(1, SeqCst);
            // SAFETY: the buffer is ours.
            let count = unsafe { libc::pread(descriptor, bytes.as_mut_ptr().cast::<c_void>(), LENGTH, offset as i64) };
            let error = io::Error::last_os_error();
            assert_eq!(count, LENGTH as isize, "round {round}: {error}");
            let missing = bytes.iter().position(|byte| *byte != 0xd1);
            assert_eq!(missing, None, "round {round}: what was read is not there");
            let mut few = [0; 100];
            disk().and_then(|disk| disk.read_exact_at(&mut few, 512)).expect("the next read succeeds");
            assert_eq!(few, [0xd1; 100], "round {round}: the next read returned without its bytes");
            // SAFETY: the handler only counts.
            assert_eq!(unsafe { libc::raise(libc::SIGUSR1) }, 0);
            assert_eq!(SIGNALS.load(SeqCst), round + 1, "the signal has arrived");
        });
        while READING.load(SeqCst) == before {
            thread::yield_now();
        }
        // Lets the reader run, in case it was stopped just before its call.
        thread::yield_now();
        // SAFETY: the descriptor is ours.
        drop(unsafe { OwnedFd::from_raw_fd(descriptor) });
        reader.join().expect("it does not panic");
    }
    println!("no call lost its disk");
    Ok(())
}

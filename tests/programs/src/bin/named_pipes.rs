//! Opens both ends of a named pipe, in threads: the first open blocks until the other end is opened, and no byte is lost if
//! the writer has closed its end long before the reader reads. A signal without `SA_RESTART` interrupts the open.

use std::ffi::CString;
use std::fs::{self, File, OpenOptions};
use std::io::{Error, ErrorKind};
use std::os::unix::fs::OpenOptionsExt;
use std::sync::atomic::{AtomicBool, AtomicI32, Ordering::SeqCst};
use std::thread;
use std::time::Duration;

const PATH: &str = "/tmp/pipe";
const MOMENT: Duration = Duration::from_millis(20);

/// Id of the thread that opens the pipe.
static OPENS: AtomicI32 = AtomicI32::new(0);

extern "C" fn nothing(_: i32) {}

fn opens() {
    // SAFETY: gettid(2) takes no arguments.
    OPENS.store(unsafe { libc::gettid() }, SeqCst);
}

/// Sends a signal to the thread that opens the pipe, after a moment in which the open can begin.
fn interrupt() {
    while OPENS.load(SeqCst) == 0 {
        thread::yield_now();
    }
    thread::sleep(MOMENT);
    // SAFETY: the handler does nothing.
    unsafe { libc::syscall(libc::SYS_tkill, OPENS.load(SeqCst), libc::SIGUSR1) };
}

fn act(flags: i32) {
    // SAFETY: all zeros is an action, and the handler does nothing.
    unsafe {
        let mut action: libc::sigaction = std::mem::zeroed();
        action.sa_sigaction = nothing as extern "C" fn(i32) as usize;
        action.sa_flags = flags;
        assert_eq!(libc::sigaction(libc::SIGUSR1, &action, std::ptr::null_mut()), 0);
    }
}

fn main() {
    let path = CString::new(PATH).expect("no NUL");
    // SAFETY: the path is a string.
    assert_eq!(unsafe { libc::mkfifo(path.as_ptr(), 0o600) }, 0, "{}", Error::last_os_error());
    for late in ["reader", "writer"] {
        let writer = thread::spawn(move || {
            if late == "writer" {
                thread::sleep(MOMENT);
            }
            fs::write(PATH, "through the pipe").expect("written");
        });
        if late == "reader" {
            thread::sleep(MOMENT);
        }
        println!("{late} late: {:?}", fs::read_to_string(PATH).expect("read"));
        writer.join().expect("it only writes");
    }
    let nonblocking = |options: &mut OpenOptions| options.custom_flags(libc::O_NONBLOCK).open(PATH).map(drop);
    println!("at once, to read: {:?}", nonblocking(File::options().read(true)));
    println!("at once, to write: {:?}", nonblocking(File::options().write(true)).map_err(|error| error.raw_os_error()));
    println!("both: {:?}", File::options().read(true).write(true).open(PATH).map(drop));

    // By open(2) itself, because std's open repeats an interrupted call.
    static INTERRUPTED: AtomicBool = AtomicBool::new(false);
    act(0);
    let reader = thread::spawn(move || {
        opens();
        // SAFETY: the path is a string.
        let opened = unsafe { libc::open(path.as_ptr(), libc::O_RDONLY) };
        INTERRUPTED.store(opened < 0 && Error::last_os_error().kind() == ErrorKind::Interrupted, SeqCst);
    });
    // A signal before the call does not interrupt it, so signals are sent until the thread ends.
    while !reader.is_finished() {
        interrupt();
    }
    reader.join().expect("it only opens");
    println!("interrupted: {}", INTERRUPTED.load(SeqCst));
    let left = fs::read_dir("/proc/self/fd").expect("it is there").count();
    println!("nobody is left to read: {:?}", nonblocking(File::options().write(true)).is_err());

    act(libc::SA_RESTART);
    OPENS.store(0, SeqCst);
    let reader = thread::spawn(|| {
        opens();
        fs::read_to_string(PATH).expect("read")
    });
    interrupt();
    thread::sleep(MOMENT);
    fs::write(PATH, "after a signal").expect("written");
    println!("restarted: {:?}", reader.join());
    println!("nothing stays open: {}", fs::read_dir("/proc/self/fd").expect("it is there").count() == left);
}

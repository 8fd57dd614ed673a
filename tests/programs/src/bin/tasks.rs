//! Lists its threads in /proc, and limits how many it may have (RLIMIT_NPROC).

use std::fs;
use std::io::ErrorKind;
use std::sync::Barrier;
use std::thread::{self, Builder};
use std::time::{Duration, Instant};

/// Names of all threads, sorted; the main thread has the program's.
fn names() -> Vec<String> {
    let tasks = fs::read_dir("/proc/self/task").expect("it is there");
    let name = |path: std::path::PathBuf| fs::read_to_string(path.join("comm")).expect("each has a name");
    let mut names: Vec<_> = tasks.map(|task| name(task.expect("an entry").path()).trim_end().to_owned()).collect();
    names.sort();
    names
}

fn main() {
    println!("{:?}", names());
    let barrier = Barrier::new(3);
    thread::scope(|scope| {
        for name in ["first", "second, of a long name"] {
            let wait = || {
                barrier.wait();
                barrier.wait();
            };
            Builder::new().name(name.to_owned()).spawn_scoped(scope, wait).expect("a thread");
        }
        barrier.wait();
        println!("{:?}", names());
        let limit = libc::rlimit { rlim_cur: 3, rlim_max: libc::RLIM_INFINITY };
        // SAFETY: the limit is a variable.
        assert_eq!(unsafe { libc::setrlimit(libc::RLIMIT_NPROC, &limit) }, 0);
        let refused = Builder::new().spawn(|| ()).expect_err("three is the limit");
        println!("another: {:?}", refused.kind() == ErrorKind::WouldBlock);
        barrier.wait();
    });
    // Threads may exist for a moment after the end of their scope.
    let start = Instant::now();
    while names().len() > 1 && start.elapsed() < Duration::from_secs(20) {
        thread::yield_now();
    }
    println!("{:?}", names());
    println!("another: {:?}", thread::spawn(|| "is there again").join());
}

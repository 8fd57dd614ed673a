//! Writes files in a directory without syncing them, and ends in the way of its second argument.

use std::os::fd::AsRawFd;
use std::{env, fs, io, process, thread};

fn main() -> io::Result<()> {
    let mut arguments = env::args().skip(1);
    let (root, how) = (arguments.next().expect("a directory"), arguments.next().expect("a way to end"));
    fs::create_dir(format!("{root}/directory"))?;
    for number in 0..50_usize {
        fs::write(format!("{root}/directory/{number}"), vec![number as u8; number * 1000])?;
    }
    match how.as_str() {
        "return" => Ok(()),
        "exit" => process::exit(3),
        "panic" => panic!("as it is told"),
        "abort" => process::abort(),
        "deadlock" => loop {
            thread::park();
        },
        "open" => {
            // A file without a name takes room until it is closed, and it never is.
            let file = fs::File::create(format!("{root}/removed"))?;
            fs::remove_file(format!("{root}/removed"))?;
            file.set_len(1 << 20)?;
            std::mem::forget(file);
            Ok(())
        }
        "protected" => {
            const LENGTH: usize = 1 << 20;
            let (rights, flags) = (libc::PROT_NONE, libc::MAP_PRIVATE | libc::MAP_ANONYMOUS);
            // SAFETY: a new mapping changes nothing.
            let start = unsafe { libc::mmap(std::ptr::null_mut(), LENGTH, rights, flags, -1, 0) };
            let file = fs::File::create(format!("{root}/protected"))?;
            // SAFETY: the call may only read what is there.
            println!("{}", unsafe { libc::write(file.as_raw_fd(), start, LENGTH) });
            fs::write(format!("{root}/next"), "next")
        }
        _ => {
            // SAFETY: none: nothing is there, so the program ends by SIGSEGV.
            unsafe { std::ptr::without_provenance_mut::<u8>(64).write_volatile(1) };
            Ok(())
        }
    }
}

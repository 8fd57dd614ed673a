//! Makes numbered records durable in a directory, in two files, and prints the number of each once both are: one grows, the other is
//! replaced by a rename. Beside them, files come and go of which none is synced. With a number, it checks that the records up to that
//! one are there instead.

#![expect(unsafe_code, reason = "std has no sync(2)")]

use std::fs::{self, File};
use std::io::{self, Write};
use std::path::{Path, PathBuf};
use std::{env, process};

/// Bytes of a record.
const LENGTH: usize = 700;

fn main() -> io::Result<()> {
    let mut arguments = env::args().skip(1);
    let root = PathBuf::from(arguments.next().expect("a directory"));
    match arguments.next() {
        Some(last) => check(&root, last.parse().expect("a number")),
        None => write(&root),
    }
}

fn record(number: u64) -> Vec<u8> {
    let mut bytes = number.to_le_bytes().to_vec();
    bytes.resize(LENGTH, number as u8);
    bytes
}

fn write(root: &Path) -> io::Result<()> {
    let mut log = File::create(root.join("log"))?;
    for number in 1.. {
        // Every third time all at once, by sync(2).
        let at_once = number % 3 == 0;
        log.write_all(&record(number))?;
        if !at_once {
            log.sync_data()?;
        }
        let new = root.join("state.new");
        let mut state = File::create(&new)?;
        state.write_all(&record(number))?;
        if !at_once {
            state.sync_all()?;
        }
        fs::rename(&new, root.join("state"))?;
        if at_once {
            // SAFETY: sync(2) takes nothing.
            unsafe { libc::sync() };
        } else {
            File::open(root)?.sync_all()?;
        }
        println!("{number}");
        disturb(root, number)?;
    }
    Ok(())
}

/// Changes of other files, which are never synced.
fn disturb(root: &Path, number: u64) -> io::Result<()> {
    let name = |number: u64| root.join(format!("other-{}", number % 7));
    fs::write(name(number), vec![number as u8; (number as usize % 5) * 100_000])?;
    match number % 4 {
        0 => File::options().write(true).open(name(number))?.set_len(number * 37 % 200_000),
        1 if name(number + 3).exists() => fs::remove_file(name(number + 3)),
        2 => fs::create_dir_all(root.join(format!("directory-{}/deep", number % 3))),
        _ => fs::remove_dir_all(root.join(format!("directory-{}", number % 3))).or(Ok(())),
    }
}

fn check(root: &Path, last: u64) -> io::Result<()> {
    let log = fs::read(root.join("log"))?;
    for number in 1..=last {
        let at = (number as usize - 1) * LENGTH;
        if log.get(at..at + LENGTH) != Some(&record(number)[..]) {
            println!("record {number} of {last} is lost");
            process::exit(1);
        }
    }
    let state = fs::read(root.join("state"))?;
    let number = state.first_chunk().map(|number| u64::from_le_bytes(*number));
    match number {
        Some(number) if (last..=last + 1).contains(&number) && state == record(number) => {}
        _ => {
            println!("the state is {number:?} instead of {last}");
            process::exit(1);
        }
    }
    // What is there must be readable, whatever it is.
    for entry in fs::read_dir(root)? {
        let entry = entry?;
        if entry.file_type()?.is_file() {
            fs::read(entry.path())?;
        }
    }
    println!("all up to {last}");
    Ok(())
}

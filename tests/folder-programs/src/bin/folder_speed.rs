//! Measures calls on files below a directory: nanoseconds each.

use std::env;
use std::fs::{self, File};
use std::io;
use std::os::unix::fs::FileExt;
use std::path::PathBuf;
use std::time::Instant;

/// Bytes of a large transfer.
const LARGE: usize = 1 << 20;

/// Prints the time that a call takes, as the least mean of several series.
fn figure(name: &str, calls: u32, mut call: impl FnMut(u32) -> io::Result<()>) -> io::Result<()> {
    let mut least = u128::MAX;
    for _ in 0..5 {
        let started = Instant::now();
        (0..calls).try_for_each(&mut call)?;
        least = least.min(started.elapsed().as_nanos());
    }
    println!("{name}: {}", least / u128::from(calls));
    Ok(())
}

fn main() -> io::Result<()> {
    let root = PathBuf::from(env::args().nth(1).expect("a directory"));
    fs::create_dir_all(root.join("some/where"))?;
    let (small, large) = (root.join("some/where/small"), root.join("large"));
    fs::write(&small, "contents")?;
    fs::write(&large, vec![7; 64 * LARGE])?;
    let file = File::options().read(true).write(true).open(&large)?;
    let mut bytes = vec![7; LARGE];
    let at = |number: u32, size: usize| u64::from(number % 64) * size as u64;
    figure("stat", 2000, |_| fs::metadata(&small).map(drop))?;
    figure("open and close", 2000, |_| File::open(&small).map(drop))?;
    figure("read a file of 8 bytes", 1000, |_| fs::read(&small).map(drop))?;
    figure("read 4 KiB", 2000, |number| file.read_exact_at(&mut bytes[..4096], at(number, 4096)))?;
    figure("write 4 KiB", 2000, |number| file.write_all_at(&bytes[..4096], at(number, 4096)))?;
    figure("read 1 MiB", 64, |number| file.read_exact_at(&mut bytes, at(number, LARGE)))?;
    figure("write 1 MiB", 64, |number| file.write_all_at(&bytes, at(number, LARGE)))?;
    figure("create and remove", 500, |_| {
        File::create(root.join("new")).and_then(|_| fs::remove_file(root.join("new")))
    })?;
    fs::remove_file(large)
}

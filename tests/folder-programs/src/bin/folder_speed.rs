//! Measures calls on files below a directory: nanoseconds each. With the second argument, only the figures whose names begin with it.

use std::env;
use std::fs::{self, File};
use std::io::{self, Write};
use std::os::unix::fs::FileExt;
use std::path::{Path, PathBuf};
use std::thread::sleep;
use std::time::{Duration, Instant};

/// Bytes of a large transfer.
const LARGE: usize = 1 << 20;
/// Bytes of a page, at which a buffer may be aligned.
const PAGE: usize = 4096;
/// Directories with many files, and files in each.
const MANY: (u32, u32) = (40, 50);
/// Longer than a guest keeps attributes: nothing that it knows of a file lasts from one series to the next.
const FORGETTING: Duration = Duration::from_millis(150);

/// Measures calls, and prints the figures that are wanted.
struct Figures {
    wanted: String,
}

impl Figures {
    /// Prints the time that a call takes, as the least mean of several series.
    fn print(&self, name: &str, calls: u32, call: impl FnMut(u32) -> io::Result<()>) -> io::Result<()> {
        self.print_after(Duration::ZERO, name, calls, call)
    }

    /// Prints like [`Figures::print`], with a pause before each series.
    fn print_after(
        &self,
        pause: Duration,
        name: &str,
        calls: u32,
        mut call: impl FnMut(u32) -> io::Result<()>,
    ) -> io::Result<()> {
        if !name.starts_with(&self.wanted) {
            return Ok(());
        }
        let mut least = u128::MAX;
        for _ in 0..5 {
            sleep(pause);
            let started = Instant::now();
            (0..calls).try_for_each(&mut call)?;
            least = least.min(started.elapsed().as_nanos());
        }
        println!("{name}: {}", least / u128::from(calls));
        Ok(())
    }
}

/// Makes many files in several directories; returns their paths in an order in which each follows one of the same directory, or of
/// another if they are `mixed`.
fn many(root: &Path, mixed: bool) -> io::Result<Vec<PathBuf>> {
    let (directories, files) = MANY;
    let mut paths = vec![];
    for number in 0..directories * files {
        let (directory, file) =
            if mixed { (number % directories, number / directories) } else { (number / files, number % files) };
        let path = root.join(format!("many/{directory}/{file}"));
        if !path.exists() {
            fs::create_dir_all(path.parent().unwrap_or(root))?;
            fs::write(&path, "contents")?;
        }
        paths.push(path);
    }
    Ok(paths)
}

fn main() -> io::Result<()> {
    let root = PathBuf::from(env::args().nth(1).expect("a directory"));
    let figures = Figures { wanted: env::args().nth(2).unwrap_or_default() };
    fs::create_dir_all(root.join("some/where"))?;
    let (small, large) = (root.join("some/where/small"), root.join("large"));
    fs::write(&small, "contents")?;
    let (ordered, mixed) = (many(&root, false)?, many(&root, true)?);
    let count = ordered.len() as u32;
    figures.print("stat, one file", 2000, |_| fs::metadata(&small).map(drop))?;
    for (name, paths) in [("stat, many files", &ordered), ("stat, many places", &mixed)] {
        figures.print_after(FORGETTING, name, count, |number| fs::metadata(&paths[number as usize]).map(drop))?;
    }
    figures.print("open and close, one file", 2000, |_| File::open(&small).map(drop))?;
    for (name, paths) in [("open and close, many files", &ordered), ("open and close, many places", &mixed)] {
        figures.print_after(FORGETTING, name, count, |number| File::open(&paths[number as usize]).map(drop))?;
    }
    figures.print_after(FORGETTING, "list and stat, an entry", count, |number| {
        let (directories, files) = MANY;
        if number % files != 0 {
            return Ok(());
        }
        let directory = root.join(format!("many/{}", number / files % directories));
        fs::read_dir(directory)?.try_for_each(|entry| entry?.metadata().map(drop))
    })?;
    figures.print("read a file of 8 bytes", 1000, |_| fs::read(&small).map(drop))?;
    let file = File::options().read(true).write(true).create(true).truncate(true).open(&large)?;
    if figures.wanted.is_empty() || figures.wanted.contains("iB") {
        (&file).write_all(&vec![7; 64 * LARGE])?;
    }
    let mut bytes = vec![7; LARGE + PAGE];
    let start = bytes.as_ptr().align_offset(PAGE);
    let at = |number: u32, size: usize| u64::from(number % 64) * size as u64;
    figures
        .print("read 4 KiB", 2000, |number| file.read_exact_at(&mut bytes[start..start + 4096], at(number, 4096)))?;
    figures.print("write 4 KiB", 2000, |number| file.write_all_at(&bytes[start..start + 4096], at(number, 4096)))?;
    // A prime number of pages apart, over all of the file.
    let scattered = |number: u32| u64::from(number) * 6007 % (64 * LARGE / PAGE) as u64 * PAGE as u64;
    figures.print("read 4 KiB, at random", 2000, |number| {
        file.read_exact_at(&mut bytes[start..start + PAGE], scattered(number))
    })?;
    figures.print("write 4 KiB, at random", 2000, |number| {
        file.write_all_at(&bytes[start..start + PAGE], scattered(number))
    })?;
    // A block as the allocator places it: processors copy faster to some places than to others.
    let mut block = vec![7; LARGE];
    figures.print("read 1 MiB", 64, |number| file.read_exact_at(&mut block, at(number, LARGE)))?;
    figures.print("read 1 MiB, aligned", 64, |number| {
        file.read_exact_at(&mut bytes[start..start + LARGE], at(number, LARGE))
    })?;
    figures.print("write 1 MiB", 64, |number| file.write_all_at(&bytes[start..start + LARGE], at(number, LARGE)))?;
    figures.print("create and remove", 500, |_| {
        File::create(root.join("new")).and_then(|_| fs::remove_file(root.join("new")))
    })?;
    fs::remove_file(large)
}

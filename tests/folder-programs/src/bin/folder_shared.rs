//! Threads that share one descriptor: each writes numbers of its own, then all read until the end, and the numbers that were read are
//! counted.

use std::fs::OpenOptions;
use std::io::{self, Read, Seek, SeekFrom, Write};
use std::path::PathBuf;
use std::{env, thread};

const THREADS: usize = 4;
const RECORDS: usize = 200;

fn main() -> io::Result<()> {
    let path = PathBuf::from(env::args().nth(1).expect("a path"));
    let mut file = OpenOptions::new().create(true).truncate(true).read(true).write(true).open(path)?;
    let shared = &file;
    thread::scope(|scope| {
        for thread in 0..THREADS {
            scope.spawn(move || {
                for record in 0..RECORDS {
                    let number = (thread * RECORDS + record) as u64;
                    assert_eq!((&*shared).write(&number.to_ne_bytes()).expect("room"), 8);
                }
            });
        }
    });
    println!("{} bytes, at {}", file.metadata()?.len(), file.stream_position()?);
    file.seek(SeekFrom::Start(0))?;
    let shared = &file;
    let mut seen = [0; THREADS * RECORDS];
    let readers: Vec<Vec<u64>> = thread::scope(|scope| {
        let spawn = |_| {
            scope.spawn(move || {
                let (mut numbers, mut bytes) = (Vec::new(), [0; 8]);
                while (&*shared).read(&mut bytes).expect("a file") == 8 {
                    numbers.push(u64::from_ne_bytes(bytes));
                }
                numbers
            })
        };
        let readers: Vec<_> = (0..THREADS).map(spawn).collect();
        readers.into_iter().map(|reader| reader.join().expect("it reads")).collect()
    });
    readers.iter().flatten().for_each(|number| seen[*number as usize] += 1);
    println!("each once: {}, at {}", seen.iter().all(|count| *count == 1), file.stream_position()?);
    Ok(())
}

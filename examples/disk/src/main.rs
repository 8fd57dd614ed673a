//! A key-value store on a disk: `set KEY VALUE`, `get KEY`, `del KEY` and `list` on standard input. A change that is answered
//! with `ok` is on the disk for good. On Linux any file will do, as an argument.

mod log;

use log::Log;
use std::collections::BTreeMap;
use std::io::{self, BufRead};

fn main() -> io::Result<()> {
    let path = std::env::args().nth(1).unwrap_or("/dev/store".into());
    let mut entries = BTreeMap::new();
    let mut log = Log::open(&path, |key, value| put(&mut entries, key, value))?;
    for line in io::stdin().lock().lines() {
        let line = line?;
        match line.splitn(3, ' ').collect::<Vec<_>>()[..] {
            ["set", key, value] => answer(log.append(key, Some(value)), || put(&mut entries, key, Some(value))),
            ["del", key] => answer(log.append(key, None), || put(&mut entries, key, None)),
            ["get", key] => println!("{}", entries.get(key).map_or("no such key", String::as_str)),
            ["list"] => println!("{}", entries.keys().cloned().collect::<Vec<_>>().join(" ")),
            _ => println!("write set KEY VALUE, get KEY, del KEY or list"),
        }
    }
    Ok(())
}

fn put(entries: &mut BTreeMap<String, String>, key: &str, value: Option<&str>) {
    match value {
        Some(value) => entries.insert(key.to_owned(), value.to_owned()),
        None => entries.remove(key),
    };
}

fn answer(written: io::Result<()>, then: impl FnOnce()) {
    match written {
        Ok(()) => {
            then();
            println!("ok");
        }
        Err(error) => println!("{error}"),
    }
}

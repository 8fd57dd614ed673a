//! Records that a database is to keep, by number.
//!
//! `PROGRAM DIRECTORY ACKNOWLEDGED [COUNT]` opens the database in the directory, checks that it holds the records up to the number
//! ACKNOWLEDGED, and that all it holds is as it was stored; prints `opened N` with the number of the last record; and then stores
//! COUNT more, or records without end. It prints `stored N` once the database has acknowledged record N as durable.
//!
//! A record is stored in one transaction with changes of others ([`Change`]), so that a transaction that is there in part shows.

#[cfg(feature = "c-code")]
pub mod lmdb;
#[cfg(feature = "c-code")]
pub mod sqlite;

use std::error::Error;
use std::path::{Path, PathBuf};
use std::{env, fs};

/// Outcome of a call of a database.
pub type Outcome<T> = Result<T, Box<dyn Error>>;

/// Records by number, in order, and the number that was stored with the last of them; 0 in a new database.
pub type Loaded = (Vec<(u64, Vec<u8>)>, u64);

/// Records with smaller numbers by this are removed by a transaction.
const KEPT: u64 = 200;
/// Longest contents.
const LONGEST: u64 = 9000;

/// A database.
pub trait Store: Sized {
    /// Opens the database in this directory, or makes one.
    fn open(directory: &Path) -> Outcome<Self>;
    /// Stores the change in one transaction, and returns when it is durable.
    fn store(&mut self, change: &Change) -> Outcome<()>;
    /// Returns all that is stored.
    fn load(&mut self) -> Outcome<Loaded>;
}

/// Steps of a transaction.
#[derive(Debug)]
pub struct Change {
    /// Number of the record, which is kept beside the records too.
    pub number: u64,
    /// Its contents.
    pub contents: Vec<u8>,
    /// Number of a record that is removed, if there is one.
    pub removed: Option<u64>,
}

impl Change {
    fn new(number: u64) -> Self {
        let removed = number.checked_sub(KEPT).filter(|removed| *removed > 0);
        Self { number, contents: contents(number), removed }
    }
}

/// Contents of a record: bytes that no other has, in a length of its own.
fn contents(number: u64) -> Vec<u8> {
    let mut state = number.wrapping_mul(0x9e37_79b9_7f4a_7c15) | 1;
    let mut next = || {
        // xorshift64 of Marsaglia.
        state ^= state << 13;
        state ^= state >> 7;
        state ^= state << 17;
        state
    };
    // Few are long.
    let length = next() % if number.is_multiple_of(7) { LONGEST } else { 300 };
    (0..length.div_ceil(8)).flat_map(|_| next().to_ne_bytes()).collect()
}

/// Runs the program on this database.
pub fn run<S: Store>() -> Outcome<()> {
    let mut arguments = env::args().skip(1);
    let directory = PathBuf::from(arguments.next().ok_or("no directory")?);
    let acknowledged: u64 = arguments.next().ok_or("no number")?.parse()?;
    let count: u64 = arguments.next().map_or(Ok(u64::MAX), |count| count.parse())?;
    fs::create_dir_all(&directory)?;
    let mut store = S::open(&directory)?;
    let (records, last) = store.load()?;
    check(&records, last, acknowledged)?;
    println!("opened {last}");
    for number in (last + 1..=u64::MAX).take(usize::try_from(count)?) {
        store.store(&Change::new(number))?;
        println!("stored {number}");
    }
    Ok(())
}

/// Compares what a database holds with what it has acknowledged.
fn check(records: &[(u64, Vec<u8>)], last: u64, acknowledged: u64) -> Outcome<()> {
    // The transaction that the end has interrupted may be there, or not.
    if !(acknowledged..=acknowledged + 1).contains(&last) {
        return Err(format!("the last record is {last}, and {acknowledged} was acknowledged").into());
    }
    let first = last.saturating_sub(KEPT) + 1;
    let found: Vec<u64> = records.iter().map(|(number, _)| *number).collect();
    if !found.iter().copied().eq(first..=last) {
        return Err(format!("there are records {found:?} instead of those from {first} to {last}").into());
    }
    match records.iter().find(|(number, bytes)| *bytes != contents(*number)) {
        Some((number, _)) => Err(format!("record {number} of {last} is another").into()),
        None => Ok(()),
    }
}

//! SQLite with a write-ahead log that other connections could use: its index is a file that is mapped, and so is the database.

use data_programs::sqlite::{Mode, Sqlite};
use data_programs::{Outcome, run};

struct Shared;

impl Mode for Shared {
    const NAME: &'static str = "wal";
    const DURABLE: &'static str = "FULL";
    const LOCKING: &'static str = "NORMAL";
    const MAPPED: u64 = 64 << 20;
}

fn main() -> Outcome<()> {
    run::<Sqlite<Shared>>()
}

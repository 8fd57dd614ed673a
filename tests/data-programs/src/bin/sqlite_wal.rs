//! SQLite with a write-ahead log.

use data_programs::sqlite::{Mode, Sqlite};
use data_programs::{Outcome, run};

struct Wal;

impl Mode for Wal {
    const NAME: &'static str = "wal";
    const DURABLE: &'static str = "FULL";
}

fn main() -> Outcome<()> {
    run::<Sqlite<Wal>>()
}

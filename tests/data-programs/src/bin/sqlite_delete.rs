//! SQLite with a rollback journal.

use data_programs::sqlite::{Mode, Sqlite};
use data_programs::{Outcome, run};

struct Delete;

impl Mode for Delete {
    const NAME: &'static str = "delete";
    // The end of a transaction is a removed journal, of which only this syncs the directory.
    const DURABLE: &'static str = "EXTRA";
}

fn main() -> Outcome<()> {
    run::<Sqlite<Delete>>()
}

//! fjall.

use data_programs::{Change, Loaded, Outcome, Store, run};
use fjall::{Database, Keyspace, KeyspaceCreateOptions, PersistMode};
use std::path::Path;

/// Key of the number of the last record.
const LAST: &str = "last";

struct Fjall {
    database: Database,
    records: Keyspace,
    last: Keyspace,
}

impl Store for Fjall {
    fn open(directory: &Path) -> Outcome<Self> {
        let database = Database::builder(directory.join("records.fjall")).open()?;
        let records = database.keyspace("records", KeyspaceCreateOptions::default)?;
        let last = database.keyspace("last", KeyspaceCreateOptions::default)?;
        Ok(Self { database, records, last })
    }

    fn store(&mut self, change: &Change) -> Outcome<()> {
        let mut batch = self.database.batch().durability(Some(PersistMode::SyncAll));
        batch.insert(&self.records, change.number.to_be_bytes(), &change.contents[..]);
        if let Some(removed) = change.removed {
            batch.remove(&self.records, removed.to_be_bytes());
        }
        batch.insert(&self.last, LAST, change.number.to_be_bytes());
        batch.commit()?;
        // Files beside the journal come and go too.
        if change.number.is_multiple_of(25) {
            self.records.rotate_memtable_and_wait()?;
        }
        Ok(())
    }

    fn load(&mut self) -> Outcome<Loaded> {
        let mut records = Vec::new();
        for entry in self.records.iter() {
            let (key, value) = entry.into_inner()?;
            records.push((u64::from_be_bytes(key.as_ref().try_into()?), value.to_vec()));
        }
        let last = match self.last.get(LAST)? {
            Some(last) => u64::from_be_bytes(last.as_ref().try_into()?),
            None => 0,
        };
        Ok((records, last))
    }
}

fn main() -> Outcome<()> {
    run::<Fjall>()
}

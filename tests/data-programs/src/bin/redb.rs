//! redb.

use data_programs::{Change, Loaded, Outcome, Store, run};
use redb::{Database, Durability, ReadableDatabase, ReadableTable, TableDefinition};
use std::path::Path;

const RECORDS: TableDefinition<'_, u64, &[u8]> = TableDefinition::new("records");
const LAST: TableDefinition<'_, (), u64> = TableDefinition::new("last");

struct Redb(Database);

impl Store for Redb {
    fn open(directory: &Path) -> Outcome<Self> {
        let mut database = Database::create(directory.join("records.redb"))?;
        if !database.check_integrity()? {
            return Err("the database had to be repaired beyond its recovery".into());
        }
        Ok(Self(database))
    }

    fn store(&mut self, change: &Change) -> Outcome<()> {
        let mut transaction = self.0.begin_write()?;
        transaction.set_durability(Durability::Immediate)?;
        {
            let mut records = transaction.open_table(RECORDS)?;
            records.insert(change.number, &change.contents[..])?;
            if let Some(removed) = change.removed {
                records.remove(removed)?;
            }
            transaction.open_table(LAST)?.insert((), change.number)?;
        }
        Ok(transaction.commit()?)
    }

    fn load(&mut self) -> Outcome<Loaded> {
        let transaction = self.0.begin_read()?;
        let (records, last) = match (transaction.open_table(RECORDS), transaction.open_table(LAST)) {
            (Ok(records), Ok(last)) => (records, last),
            // Tables are made by the first transaction.
            (Err(_), Err(_)) => return Ok((vec![], 0)),
            (Err(error), _) | (_, Err(error)) => return Err(error.into()),
        };
        let last = last.get(())?.map_or(0, |last| last.value());
        let mut all = Vec::new();
        for entry in records.iter()? {
            let (number, contents) = entry?;
            all.push((number.value(), contents.value().to_vec()));
        }
        Ok((all, last))
    }
}

fn main() -> Outcome<()> {
    run::<Redb>()
}

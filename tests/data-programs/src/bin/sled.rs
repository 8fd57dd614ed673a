//! sled.

use data_programs::{Change, Loaded, Outcome, Store, run};
use sled::transaction::{ConflictableTransactionResult, TransactionError};
use std::convert::Infallible;
use std::path::Path;

/// Key of the number of the last record; those of records have eight bytes.
const LAST: &[u8] = b"last";

struct Sled(sled::Db);

impl Store for Sled {
    fn open(directory: &Path) -> Outcome<Self> {
        // Only the program flushes.
        Ok(Self(sled::Config::new().path(directory.join("records.sled")).flush_every_ms(None).open()?))
    }

    fn store(&mut self, change: &Change) -> Outcome<()> {
        let stored = self.0.transaction(|tree| -> ConflictableTransactionResult<(), Infallible> {
            tree.insert(&change.number.to_be_bytes(), &change.contents[..])?;
            if let Some(removed) = change.removed {
                tree.remove(&removed.to_be_bytes())?;
            }
            tree.insert(LAST, &change.number.to_be_bytes())?;
            Ok(())
        });
        match stored {
            Ok(()) => {}
            Err(TransactionError::Storage(error)) => return Err(error.into()),
            Err(TransactionError::Abort(never)) => match never {},
        }
        self.0.flush()?;
        Ok(())
    }

    fn load(&mut self) -> Outcome<Loaded> {
        let (mut records, mut last) = (Vec::new(), 0);
        for entry in &*self.0 {
            let (key, value) = entry?;
            match key.as_ref().try_into() {
                Ok(number) => records.push((u64::from_be_bytes(number), value.to_vec())),
                Err(_) => last = u64::from_be_bytes(value.as_ref().try_into()?),
            }
        }
        Ok((records, last))
    }
}

fn main() -> Outcome<()> {
    run::<Sled>()
}

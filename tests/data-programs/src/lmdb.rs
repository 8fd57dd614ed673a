//! LMDB, with the flags of the program.

use crate::{Change, Loaded, Outcome, Store};
use heed::types::{Bytes, U64};
use heed::{Database, Env, EnvFlags, EnvOpenOptions, byteorder::BigEndian};
use std::marker::PhantomData;
use std::path::Path;

/// Bytes of the mapping, much more than is used.
const MAP_SIZE: usize = 64 << 20;
/// Key of the last number, behind those of all records.
const LAST: u64 = u64::MAX;

/// Flags of an environment.
pub trait Kind {
    /// The flags.
    const FLAGS: EnvFlags;
}

/// A database of LMDB.
#[derive(Debug)]
pub struct Lmdb<K> {
    environment: Env,
    database: Database<U64<BigEndian>, Bytes>,
    kind: PhantomData<K>,
}

impl<K: Kind> Store for Lmdb<K> {
    fn open(directory: &Path) -> Outcome<Self> {
        let mut options = EnvOpenOptions::new();
        // SAFETY: the flags leave synchronisation on, and nothing else opens the file.
        let environment = unsafe { options.map_size(MAP_SIZE).flags(K::FLAGS).open(directory)? };
        let mut writer = environment.write_txn()?;
        let database = environment.create_database(&mut writer, None)?;
        writer.commit()?;
        Ok(Self { environment, database, kind: PhantomData })
    }

    fn store(&mut self, change: &Change) -> Outcome<()> {
        let mut writer = self.environment.write_txn()?;
        self.database.put(&mut writer, &change.number, &change.contents)?;
        if let Some(removed) = change.removed {
            self.database.delete(&mut writer, &removed)?;
        }
        self.database.put(&mut writer, &LAST, &change.number.to_ne_bytes())?;
        Ok(writer.commit()?)
    }

    fn load(&mut self) -> Outcome<Loaded> {
        let reader = self.environment.read_txn()?;
        let (mut records, mut last) = (Vec::new(), 0);
        for entry in self.database.iter(&reader)? {
            match entry? {
                (LAST, bytes) => last = u64::from_ne_bytes(bytes.try_into()?),
                (number, contents) => records.push((number, contents.to_vec())),
            }
        }
        Ok((records, last))
    }
}

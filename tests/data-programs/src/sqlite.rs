//! SQLite, with the journal mode of the program.

use crate::{Change, Loaded, Outcome, Store};
use rusqlite::{Connection, params};
use std::path::Path;

/// A journal mode, by its pragma.
pub trait Mode {
    /// Name of the mode.
    const NAME: &'static str;
    /// Value of `synchronous` with which a transaction is durable once it is committed.
    const DURABLE: &'static str;
    /// Value of `locking_mode`. With a write-ahead log and EXCLUSIVE, its index is in the program's memory, not in a file that is
    /// mapped.
    const LOCKING: &'static str = "EXCLUSIVE";
    /// Value of `mmap_size`: bytes of the database that are mapped to be read.
    const MAPPED: u64 = 0;
}

/// A database of SQLite.
#[derive(Debug)]
pub struct Sqlite<M> {
    connection: Connection,
    mode: std::marker::PhantomData<M>,
}

impl<M: Mode> Store for Sqlite<M> {
    fn open(directory: &Path) -> Outcome<Self> {
        let connection = Connection::open(directory.join("records.sqlite"))?;
        connection.pragma_update(None, "locking_mode", M::LOCKING)?;
        connection.pragma_update(None, "mmap_size", M::MAPPED)?;
        connection.pragma_update(None, "journal_mode", M::NAME)?;
        connection.pragma_update(None, "synchronous", M::DURABLE)?;
        // The log is copied into the database now and then.
        connection.pragma_update(None, "wal_autocheckpoint", 50)?;
        connection.execute_batch(
            "CREATE TABLE IF NOT EXISTS records (number INTEGER PRIMARY KEY, contents BLOB NOT NULL);
             CREATE TABLE IF NOT EXISTS last (number INTEGER NOT NULL);
             CREATE INDEX IF NOT EXISTS by_length ON records (length(contents));",
        )?;
        let damage: String = connection.query_row("PRAGMA integrity_check", [], |row| row.get(0))?;
        if damage != "ok" {
            return Err(format!("integrity_check: {damage}").into());
        }
        Ok(Self { connection, mode: std::marker::PhantomData })
    }

    fn store(&mut self, change: &Change) -> Outcome<()> {
        let transaction = self.connection.transaction()?;
        transaction.execute("INSERT INTO records VALUES (?, ?)", params![change.number, change.contents])?;
        transaction.execute("DELETE FROM records WHERE number = ?", params![change.removed])?;
        transaction.execute("DELETE FROM last", [])?;
        transaction.execute("INSERT INTO last VALUES (?)", params![change.number])?;
        Ok(transaction.commit()?)
    }

    fn load(&mut self) -> Outcome<Loaded> {
        let last = self.connection.query_row("SELECT coalesce(max(number), 0) FROM last", [], |row| row.get(0))?;
        let mut all = self.connection.prepare("SELECT number, contents FROM records ORDER BY number")?;
        let records = all.query_map([], |row| Ok((row.get(0)?, row.get(1)?)))?;
        Ok((records.collect::<Result<_, _>>()?, last))
    }
}

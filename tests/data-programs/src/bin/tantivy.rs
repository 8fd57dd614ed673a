//! tantivy, whose commits are durable.

use data_programs::{Change, Loaded, Outcome, Store, run};
use std::path::Path;
use tantivy::collector::DocSetCollector;
use tantivy::directory::MmapDirectory;
use tantivy::query::AllQuery;
use tantivy::schema::{FAST, Field, INDEXED, STORED, Schema, Value};
use tantivy::{Index, IndexWriter, TantivyDocument, Term};

/// Bytes of a writer's memory.
const MEMORY: usize = 20_000_000;

struct Tantivy {
    index: Index,
    writer: IndexWriter,
    number: Field,
    contents: Field,
}

impl Store for Tantivy {
    fn open(directory: &Path) -> Outcome<Self> {
        let path = directory.join("records.tantivy");
        std::fs::create_dir_all(&path)?;
        let mut schema = Schema::builder();
        let number = schema.add_u64_field("number", INDEXED | STORED | FAST);
        let contents = schema.add_bytes_field("contents", STORED);
        let index = Index::open_or_create(MmapDirectory::open(path)?, schema.build())?;
        let damaged = index.validate_checksum()?;
        if !damaged.is_empty() {
            return Err(format!("checksums of {damaged:?} are wrong").into());
        }
        let writer = index.writer_with_num_threads(1, MEMORY)?;
        Ok(Self { index, writer, number, contents })
    }

    fn store(&mut self, change: &Change) -> Outcome<()> {
        let mut document = TantivyDocument::new();
        document.add_u64(self.number, change.number);
        document.add_bytes(self.contents, &change.contents);
        self.writer.add_document(document)?;
        if let Some(removed) = change.removed {
            self.writer.delete_term(Term::from_field_u64(self.number, removed));
        }
        let mut commit = self.writer.prepare_commit()?;
        commit.set_payload(&change.number.to_string());
        commit.commit()?;
        Ok(())
    }

    fn load(&mut self) -> Outcome<Loaded> {
        let searcher = self.index.reader()?.searcher();
        let mut records = Vec::new();
        for address in searcher.search(&AllQuery, &DocSetCollector)? {
            let document: TantivyDocument = searcher.doc(address)?;
            let number = document.get_first(self.number).and_then(|value| value.as_u64()).ok_or("no number")?;
            let contents = document.get_first(self.contents).and_then(|value| value.as_bytes()).ok_or("no contents")?;
            records.push((number, contents.to_vec()));
        }
        records.sort();
        let last = self.index.load_metas()?.payload.map_or(Ok(0), |payload| payload.parse())?;
        Ok((records, last))
    }
}

fn main() -> Outcome<()> {
    run::<Tantivy>()
}

//! Fuzz target for the files of the host that a guest may read: see [`crate::fuzz`].
//!
//! A guest asks for any paths. What it gets lies in the folder that it has, or is the one file: never the file beside the folder.

use super::folder::Folder;
use super::{Entry, HostFiles, Source};
use crate::devices::folder::fuzz::{Place, SECRET, path};
use crate::fuzz::Arguments;
use husk_abi::host_file::{LENGTH_MAXIMUM, kind};
use std::fs::File;

/// Place of the folder in the guest.
const GUEST: &str = "/zones/";

/// Reads what a guest asks for.
pub fn host_files(bytes: &[u8]) {
    let Ok(place) = Place::new() else { return };
    let inside = place.inside();
    let (Ok(folder), Ok(file)) = (Folder::open(&inside), File::open(inside.join("file"))) else { return };
    let host_files = HostFiles(vec![
        Entry::new(GUEST, Source::Folder(folder, inside.clone())),
        Entry::new("/file", Source::File(file, inside.join("file"))),
        Entry::new("/link", Source::Link(b"zones".to_vec())),
    ]);
    let mut arguments = Arguments(bytes);
    while let (Some(start), Some(rest)) = (arguments.byte(), path(&mut arguments)) {
        let start = [GUEST, "/zones", "/file", "/link", "/", ""][usize::from(start) % 6];
        let asked = [start.as_bytes(), &rest].concat();
        let Ok((kind, contents)) = host_files.read(&asked) else { continue };
        assert!(contents.len() as u64 <= LENGTH_MAXIMUM);
        match kind {
            kind::FILE => assert_eq!(contents, b"contents", "{} is no file of the folder", asked.escape_ascii()),
            kind::LINK => assert_eq!(contents, b"zones"),
            kind::DIRECTORY => check_records(&contents),
            other => panic!("kind {other}"),
        }
    }
}

/// Checks the records of a directory ([`kind::DIRECTORY`]).
fn check_records(records: &[u8]) {
    let Some(records) = records.strip_suffix(b"\0") else { return assert!(records.is_empty()) };
    for record in records.split(|byte| *byte == 0) {
        let (what, name) = record.split_first().expect("a kind");
        assert!(u32::from(*what) == kind::FILE || u32::from(*what) == kind::DIRECTORY);
        assert!(!matches!(name, b"" | b"." | b"..") && !name.contains(&b'/') && name != SECRET.as_bytes());
    }
}

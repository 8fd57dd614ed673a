//! Databases of crates.io keep what they have acknowledged, in a directory of the host and on a disk, while `husk` is killed.
//!
//! `HUSK_KILLS` sets how often. Databases that take minutes to compile are tested on request:
//! `cargo test -p husk-tests --test databases -- --ignored`.

use husk_tests::{CargoHusk, Folder, Guest, Outcome, Running, Volume, build, kills, skip};
use std::collections::HashMap;
use std::path::PathBuf;
use std::process::Command;
use std::sync::{LazyLock, Mutex, PoisonError};
use std::thread;
use std::time::Duration;

/// Bytes of a disk.
const SIZE: u64 = 96 << 20;
/// Records that a program stores before it ends by itself.
const REST: u64 = 5;

/// Image of a program of tests/data-programs, which needs these features.
fn image(name: &str, features: &'static str) -> PathBuf {
    static BUILT: LazyLock<Mutex<HashMap<&str, Vec<PathBuf>>>> = LazyLock::new(Mutex::default);
    let mut built = BUILT.lock().unwrap_or_else(PoisonError::into_inner);
    let images = built.entry(features).or_insert_with(|| {
        let mut command = Command::new(build::cargo_husk());
        command.args(["husk", "build", "--release", "--locked", "--features", features]);
        command.current_dir(build::workspace().join("tests/data-programs"));
        command.env("CARGO_TARGET_DIR", build::target_directory().join("projects")).env("HUSK", build::husk());
        let outcome = CargoHusk::of(command).build();
        outcome.expect_success();
        outcome.stdout().lines().map(PathBuf::from).collect()
    });
    let found = images.iter().find(|path| path.file_name().is_some_and(|file| file == name));
    found.unwrap_or_else(|| panic!("there is no '{name}' among {images:?}")).clone()
}

/// Place of a database.
enum Place {
    Directory(Folder),
    Disk(Volume),
}

impl Place {
    fn give(&self, guest: Guest) -> Guest {
        match self {
            Self::Directory(folder) => guest.flag(folder.flag("")),
            Self::Disk(volume) => volume.give(guest, "", ""),
        }
    }

    /// Checks a disk as a crash has left it.
    fn expect_whole(&self) {
        if let Self::Disk(volume) = self {
            volume.copy().expect_replayed();
        }
    }

    /// Checks a disk that was unmounted.
    fn expect_clean(&self) {
        if let Self::Disk(volume) = self {
            volume.expect_clean();
        }
    }
}

/// Number of the last record that the program's output names as found or stored; `known` if it names none.
fn stored(outcome: &Outcome, known: u64) -> u64 {
    let stdout = outcome.stdout();
    let whole = stdout.rfind('\n').map_or("", |end| &stdout[..end]);
    let last = whole.lines().filter_map(|line| line.split_once(' ')?.1.parse().ok()).next_back();
    last.unwrap_or(known)
}

/// Waits for a moment of a round: while the database is opened, or while it stores records.
fn wait(running: &mut Running, round: u64) {
    match round % 3 {
        0 => drop(running.expect_printed("stored", 1 + round as usize % 5)),
        1 => drop(running.expect_printed("opened", 1)),
        _ => {}
    }
    thread::sleep(Duration::from_micros(round * 7919 % 90_000));
}

/// Stores records with a database at a place, kills `husk` at random moments, and checks each time what is left.
fn keeps_at(image: &PathBuf, place: &Place) {
    let guest = |acknowledged: u64| {
        let guest = place.give(Guest::image(image)).argument("/data/database").argument(acknowledged.to_string());
        guest.within(Duration::from_secs(120))
    };
    let mut acknowledged = 0;
    for round in 0..kills(6) {
        let mut running = guest(acknowledged).spawn();
        wait(&mut running, round);
        running.signal("KILL", 1);
        let outcome = running.finish();
        outcome.expect_signal(libc::SIGKILL);
        acknowledged = stored(&outcome, acknowledged);
        place.expect_whole();
    }
    let outcome = guest(acknowledged).argument(REST.to_string()).run();
    outcome.expect_success();
    place.expect_clean();
    let last = stored(&outcome, acknowledged);
    assert!((acknowledged + REST..=acknowledged + REST + 1).contains(&last), "{outcome}");
    guest(last).argument("0").run().expect_success().expect_stdout(&format!("opened {last}\n"));
    place.expect_clean();
}

/// Stores records with a database in a directory and on a disk.
fn keeps(name: &str, features: &'static str) {
    let image = image(name, features);
    keeps_at(&image, &Place::Directory(Folder::empty()));
    keeps_at(&image, &Place::Disk(Volume::empty(SIZE)));
}

/// Stores records with a database that maps files to be written, which a disk allows and a directory of the host does not.
fn keeps_on_a_disk(name: &str, features: &'static str) {
    keeps_at(&image(name, features), &Place::Disk(Volume::empty(SIZE)));
}

/// Returns true if code in C can be compiled; says so if not.
fn has_compiler(name: &str) -> bool {
    let is_there = Command::new("musl-gcc").arg("--version").output().is_ok();
    if !is_there {
        skip!("{name} over kills, as there is no musl-gcc to compile it");
    }
    is_there
}

#[test]
fn sqlite_with_a_rollback_journal_keeps_its_records() {
    if has_compiler("SQLite") {
        keeps("sqlite_delete", "c-code");
    }
}

#[test]
fn sqlite_with_a_write_ahead_log_keeps_its_records() {
    if has_compiler("SQLite") {
        keeps("sqlite_wal", "c-code");
    }
}

#[test]
fn sqlite_with_a_log_that_others_could_use_keeps_its_records() {
    if has_compiler("SQLite") {
        keeps_on_a_disk("sqlite_shared", "c-code");
    }
}

#[test]
fn lmdb_keeps_its_records() {
    if has_compiler("LMDB") {
        keeps_on_a_disk("lmdb", "c-code");
    }
}

#[test]
fn lmdb_with_a_mapping_to_write_to_keeps_its_records() {
    if has_compiler("LMDB") {
        keeps_on_a_disk("lmdb_written", "c-code");
    }
}

#[test]
fn what_is_stored_in_a_mapping_and_flushed_is_kept() {
    keeps_on_a_disk("mapped", "");
}

#[test]
fn redb_keeps_its_records() {
    keeps("redb", "");
}

#[test]
fn sled_keeps_its_records() {
    keeps("sled", "");
}

#[test]
#[ignore = "takes minutes to compile"]
fn fjall_keeps_its_records() {
    keeps("fjall", "large");
}

#[test]
#[ignore = "takes minutes to compile"]
fn tantivy_keeps_its_records() {
    keeps("tantivy", "large");
}

//! Files mapped with MAP_SHARED: by a program that shows what Linux shows, and by databases and other crates that need them, in
//! memory and on a mounted disk.

use husk_tests::{Guest, Project, Volume, native, package};
use std::process::Command;
use std::time::Duration;

#[test]
fn mappings_show_what_they_show_on_linux() {
    let outcome = Guest::program("shared_mappings").run();
    outcome.expect_success().expect_stdout(&native::output("programs", "shared_mappings"));
}

#[test]
fn what_would_need_a_second_address_is_refused() {
    let expected = "elsewhere Err(22)\na ring Err(22)\nin place Ok(())\nin place, if free Err(17)\n\
        other memory in its place Err(12)\nmore than there are addresses Err(12)\na file of /proc Err(19)\n";
    Guest::program("shared_mappings").argument("refused").run().expect_success().expect_stdout(expected);
}

/// Maps a file, writes to it both ways, extends it, and reads it back.
const MAPPED: &str = r#"
fn mapped(folder: &str) {
    use memmap2::{Mmap, MmapMut};
    use std::{fs::{self, File}, io::{Read, Seek, Write}};
    let mut file = File::options().read(true).write(true).create(true).open(format!("{folder}/mapped")).unwrap();
    file.write_all(b"0123456789").unwrap();
    let reader = unsafe { Mmap::map(&File::open(format!("{folder}/mapped")).unwrap()).unwrap() };
    let mut map = unsafe { MmapMut::map_mut(&file).unwrap() };
    map[2..5].copy_from_slice(b"two");
    map.flush().unwrap();
    map.flush_async_range(1, 3).unwrap();
    drop(map);
    assert_eq!(fs::read(format!("{folder}/mapped")).unwrap(), b"01two56789");
    assert_eq!(&reader[..], b"01two56789");
    file.set_len(10_000_000).unwrap();
    let mut map = unsafe { MmapMut::map_mut(&file).unwrap() };
    map[9_999_999] = 7;
    let map = map.make_read_only().unwrap();
    file.rewind().unwrap();
    let mut bytes = Vec::new();
    file.read_to_end(&mut bytes).unwrap();
    assert!(bytes[..] == map[..] && bytes.len() == 10_000_000 && bytes[9_999_999] == 7);
}
"#;

/// A database with a write-ahead log, of two connections; the same with its file mapped.
const SQLITE: &str = r#"
fn sqlite(folder: &str, mode: &str) {
    use rusqlite::Connection;
    let path = format!("{folder}/{mode}.db");
    let ask = |of: &Connection, text: &str| of.query_row(text, [], |row| row.get::<_, String>(0)).unwrap();
    let database = Connection::open(&path).unwrap();
    assert_eq!(ask(&database, &format!("PRAGMA journal_mode={mode}")), mode);
    assert_eq!(database.query_row("PRAGMA mmap_size=67108864", [], |row| row.get(0)), Ok(67_108_864));
    database.execute_batch("PRAGMA cache_size=10; CREATE TABLE t(id INTEGER PRIMARY KEY, v TEXT)").unwrap();
    let other = std::thread::spawn(move || {
        let database = Connection::open(&path).unwrap();
        database.execute_batch("PRAGMA mmap_size=67108864; PRAGMA busy_timeout=60000").unwrap();
        let mut counts = vec![];
        while counts.last() != Some(&10_000) {
            let now = database.query_row("SELECT count(*) FROM t", [], |row| row.get::<_, i64>(0));
            match now {
                Ok(now) if counts.last() != Some(&now) => counts.push(now),
                Ok(_) => std::thread::yield_now(),
                Err(error) => panic!("{error}"),
            }
        }
        counts.is_sorted() && counts.iter().all(|count| count % 2000 == 0)
    });
    database.execute_batch("PRAGMA busy_timeout=60000").unwrap();
    for round in 1..=5 {
        database.execute_batch("BEGIN").unwrap();
        for i in 0..2000 {
            database.execute("INSERT INTO t(v) VALUES (?1)", [format!("value {i} of round {round}")]).unwrap();
        }
        database.execute_batch("COMMIT").unwrap();
        database.execute("UPDATE t SET v = v || 'u' WHERE id % 7 = 0", []).unwrap();
        assert_eq!(ask(&database, "PRAGMA integrity_check"), "ok");
    }
    assert!(other.join().unwrap());
}
"#;

/// Five hundred transactions in an environment much larger than memory, which another thread reads; then the same with a mapping
/// to write to.
const LMDB: &str = r#"
fn lmdb(path: &str, flags: heed::EnvFlags, is_new: bool) {
    use heed::{Database, EnvOpenOptions, types::Str};
    std::fs::create_dir_all(path).unwrap();
    let open = || unsafe {
        let mut options = EnvOpenOptions::new();
        options.map_size(1 << 30).flags(flags);
        options.open(path).unwrap()
    };
    if is_new {
        fill(open());
    }
    let environment = open();
    let reader = environment.read_txn().unwrap();
    let database: Database<Str, Str> = environment.open_database(&reader, None).unwrap().unwrap();
    assert_eq!((database.len(&reader).unwrap(), database.get(&reader, "k0499").unwrap().unwrap().len()), (500, 499));
}

fn fill(environment: heed::Env) {
    use heed::{Database, types::Str};
    let mut writer = environment.write_txn().unwrap();
    let database: Database<Str, Str> = environment.create_database(&mut writer, None).unwrap();
    writer.commit().unwrap();
    let reading = environment.clone();
    let other = std::thread::spawn(move || {
        let mut last = 0;
        while last < 500 {
            let reader = reading.read_txn().unwrap();
            let now = database.len(&reader).unwrap();
            assert!(now >= last);
            last = now;
            std::thread::yield_now();
        }
    });
    for number in 0..500 {
        let mut writer = environment.write_txn().unwrap();
        database.put(&mut writer, &format!("k{number:04}"), &"v".repeat(number)).unwrap();
        writer.commit().unwrap();
    }
    other.join().unwrap();
    environment.prepare_for_closing().wait();
}
"#;

/// Runs all in the folder of the first argument; with a second one, finds what an earlier run has left there.
const MAIN: &str = r#"
fn main() {
    let mut arguments = std::env::args().skip(1);
    let folder = arguments.next().unwrap();
    let is_new = arguments.next().is_none();
    if is_new {
        mapped(&folder);
        println!("memmap2");
    } else {
        let mapped = std::fs::read(format!("{folder}/mapped")).unwrap();
        assert!(mapped.len() == 10_000_000 && mapped.starts_with(b"01two56789\0") && mapped[9_999_999] == 7);
    }
    for mode in ["delete", "wal"] {
        if is_new {
            sqlite(&folder, mode);
        }
        let database = rusqlite::Connection::open(format!("{folder}/{mode}.db")).unwrap();
        let find = |text: &str| database.query_row(text, [], |row| row.get::<_, String>(0)).unwrap();
        assert_eq!(find("SELECT count(*) || '' FROM t"), "10000");
        assert_eq!(find("PRAGMA integrity_check"), "ok");
        println!("SQLite, {mode}");
    }
    lmdb(&format!("{folder}/lmdb"), heed::EnvFlags::empty(), is_new);
    lmdb(&format!("{folder}/written"), heed::EnvFlags::WRITE_MAP, is_new);
    println!("LMDB");
}
"#;

#[test]
fn crates_that_map_files_work_on_them() {
    if Command::new("musl-gcc").arg("--version").output().is_err() {
        return husk_skip::skip!("databases that map files, as there is no musl-gcc to compile them");
    }
    let dependencies = "[dependencies]\nheed = '0.22'\nmemmap2 = '0.9'\n\
        rusqlite = { version = '0.37', features = ['bundled'] }\n[package.metadata.husk]\nmounts = {}\n";
    let main = [MAPPED, SQLITE, LMDB, MAIN].concat();
    let project =
        Project::new("maps files", &[("Cargo.toml", &package("maps-files", dependencies)), ("src/main.rs", &main)]);
    let image = &project.build("--release")[0];
    let all = "memmap2\nSQLite, delete\nSQLite, wal\nLMDB\n";
    Guest::image(image).argument("/tmp").run().expect_success().expect_stdout(all);
    let volume = Volume::empty(256 << 20);
    let guest = || volume.give(Guest::image(image).within(Duration::from_secs(120)), "", "").argument("/data");
    guest().run().expect_success().expect_stdout(all);
    volume.expect_clean();
    guest().argument("again").run().expect_success().expect_stdout("SQLite, delete\nSQLite, wal\nLMDB\n");
    volume.expect_clean();
}

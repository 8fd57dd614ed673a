//! Files from the host at build time: `[package.metadata.husk] files = "…"`.

use husk_tests::{Guest, Project, build, package, run_briefly};
use std::fs;
use std::os::unix::fs::{PermissionsExt, symlink};
use std::path::{Path, PathBuf};
use std::process::Command;
use std::time::{Duration, UNIX_EPOCH};

/// Program that does what its first argument says; fails by panic.
const PROGRAM: &str = r#"
use std::fs::{self, File};
use std::io::{Read, Seek, SeekFrom, Write};
use std::os::fd::AsRawFd;
use std::os::unix::fs::{MetadataExt, PermissionsExt};
use std::time::{Duration, UNIX_EPOCH};

unsafe extern "C" {
    fn mmap(address: usize, length: usize, protection: i32, flags: i32, file: i32, offset: i64) -> *const u8;
    fn munmap(address: *const u8, length: usize) -> i32;
}

/// A file, mapped to be read.
fn map(path: &str) -> &'static [u8] {
    let file = File::open(path).unwrap();
    let length = file.metadata().unwrap().len() as usize;
    let start = unsafe { mmap(0, length, 1, 2, file.as_raw_fd(), 0) };
    assert!((start as isize) > 0);
    unsafe { std::slice::from_raw_parts(start, length) }
}

fn names(path: &str) -> Vec<String> {
    let mut names: Vec<_> =
        fs::read_dir(path).unwrap().map(|entry| entry.unwrap().file_name().into_string().unwrap()).collect();
    names.sort();
    names
}

fn see() {
    assert_eq!(fs::read_to_string("/data/greeting").unwrap(), "hello from the host
");
    let metadata = fs::metadata("/data/greeting").unwrap();
    assert_eq!(metadata.permissions().mode() & 0o7777, 0o640);
    assert_eq!(metadata.modified().unwrap(), UNIX_EPOCH + Duration::new(1_000_000_000, 5));
    assert_eq!(metadata.len(), 20);
    assert!(fs::metadata("/data/empty").unwrap().is_dir());
    assert_eq!(fs::metadata("/data").unwrap().nlink(), 3);
    assert_eq!(names("/data"), ["empty", "greeting", "large", "link"]);
    for name in ["data", "dev", "etc", "proc", "tmp"] {
        assert!(names("/").contains(&name.to_string()), "{name}");
    }
    assert_eq!(fs::read_to_string("/etc/hosts").unwrap(), "10.0.0.1 elsewhere
");
    assert!(fs::read_to_string("/etc/passwd").unwrap().contains("root"));
    assert_eq!(fs::read_link("/data/link").unwrap().to_str(), Some("../data/greeting"));
    assert_eq!(fs::canonicalize("/data/link").unwrap().to_str(), Some("/data/greeting"));
}

fn change() {
    let mut file = File::options().read(true).write(true).open("/data/greeting").unwrap();
    file.write_all(b"HELLO").unwrap();
    file.seek(SeekFrom::End(0)).unwrap();
    file.write_all(b"and more
").unwrap();
    assert_eq!(fs::read_to_string("/data/link").unwrap(), "HELLO from the host
and more
");
    fs::write("/data/new", "new").unwrap();
    fs::rename("/data/large", "/tmp/large").unwrap();
    fs::remove_file("/data/link").unwrap();
    assert_eq!(names("/data"), ["empty", "greeting", "new"]);
    assert!(fs::read("/tmp/large").unwrap().iter().all(|byte| *byte == 7));
    assert!(!fs::exists("/data/large").unwrap());
    fs::write("/data/large", "small now").unwrap();
    assert_eq!(fs::read("/data/large").unwrap(), b"small now");
    fs::copy("/tmp/large", "/tmp/copy").unwrap();
    assert_eq!(fs::metadata("/tmp/copy").unwrap().len(), 10_000_001);
    fs::remove_dir_all("/data").unwrap();
    assert!(!fs::exists("/data").unwrap());
}

fn mapped() {
    let large = map("/data/large");
    assert_eq!(large.len(), 10_000_001);
    assert!(large.iter().all(|byte| *byte == 7));
    let end = large.as_ptr_range().end;
    let rest = 4096 - large.len() % 4096;
    assert!(unsafe { std::slice::from_raw_parts(end, rest) }.iter().all(|byte| *byte == 0));
    assert_eq!(map("/data/greeting"), b"hello from the host
");
    std::io::stdout().write_all(&large[..3]).unwrap();
    assert_eq!(unsafe { munmap(large.as_ptr(), large.len()) }, 0);
}

fn main() {
    match std::env::args().nth(1).as_deref() {
        Some("see") => see(),
        Some("change") => change(),
        Some("map") => mapped(),
        Some("rest") => {
            let sum: u64 = map("/data/large").iter().map(|byte| u64::from(*byte)).sum();
            println!("{sum}");
            std::thread::sleep(Duration::from_secs(600));
        }
        Some("look") => println!("{:?}", fs::read("/data/greeting").map(|bytes| bytes.len()).map_err(|e| e.kind())),
        _ => println!("nothing"),
    }
}
"#;

/// Makes the project of this name, with its files.
fn project(name: &str) -> Project {
    let manifest = package(name, "[package.metadata.husk]\nfiles = \"the files\"");
    let project = Project::new(name, &[("Cargo.toml", &manifest), ("src/main.rs", PROGRAM)]);
    let path = |path: &str| project.path("the files").join(path);
    let _ = fs::remove_dir_all(project.path("the files"));
    fs::create_dir_all(path("data/empty")).expect("made");
    fs::create_dir_all(path("etc")).expect("made");
    fs::write(path("etc/hosts"), "10.0.0.1 elsewhere\n").expect("written");
    fs::write(path("data/large"), vec![7; 10_000_001]).expect("written");
    fs::write(path("data/greeting"), "hello from the host\n").expect("written");
    fs::set_permissions(path("data/greeting"), fs::Permissions::from_mode(0o640)).expect("set");
    let greeting = fs::File::options().write(true).open(path("data/greeting")).expect("opened");
    greeting.set_modified(UNIX_EPOCH + Duration::new(1_000_000_000, 5)).expect("set");
    symlink("../data/greeting", path("data/link")).expect("made");
    project
}

fn image(project: &Project) -> PathBuf {
    project.build("--release").remove(0)
}

#[test]
fn a_program_finds_and_changes_the_files_of_its_image() {
    let image = image(&project("with-files"));
    for how in ["see", "change"] {
        Guest::image(&image).argument(how).run().expect_success();
    }
    Guest::image(&image).argument("map").run().expect_success().expect_stdout("\x07\x07\x07");
    // Changes of one run are not visible to the next.
    Guest::image(&image).argument("see").run().expect_success();
    let text = run_briefly(Command::new(build::husk()).arg("inspect").arg(&image)).stdout();
    assert!(text.contains("7 files, folders and links, 10"), "{text}");
    // A run without arguments works, too: tests of such a package would find their files.
    Guest::image(&image).run().expect_success().expect_stdout("nothing\n");
}

#[test]
fn contents_stay_in_the_image() {
    let image = image(&project("with-mapped-files"));
    let mut running = Guest::image(&image).argument("rest").spawn();
    assert_eq!(running.line(1), "70000007");
    let anonymous_kib = running.anonymous_kib().expect("it still runs");
    assert!(anonymous_kib < 5_000, "all of it has been read, but none copied: {anonymous_kib} KiB");
}

#[test]
fn an_image_is_made_again_when_its_files_change() {
    let project = project("with-changing-files");
    Guest::image(image(&project)).argument("look").run().expect_stdout("Ok(20)\n");
    fs::write(project.path("the files/data/greeting"), "changed").expect("written");
    Guest::image(image(&project)).argument("look").run().expect_stdout("Ok(7)\n");
    fs::remove_file(project.path("the files/data/greeting")).expect("removed");
    Guest::image(image(&project)).argument("look").run().expect_stdout("Err(NotFound)\n");
    fs::remove_dir_all(project.path("the files")).expect("removed");
    let outcome = project.husk("build").build();
    outcome.expect_status(1).expect_stderr("cannot read").expect_stderr("the files");
}

#[test]
fn a_folder_of_the_command_line_goes_before_that_of_the_manifest() {
    let project = project("with-other-files");
    let other = project.path("other files");
    let _ = fs::remove_dir_all(&other);
    fs::create_dir_all(other.join("data"))
        .and_then(|()| fs::write(other.join("data/greeting"), "other"))
        .expect("made");
    let build = |other: &Path| project.husk("build --release --files").argument(other).build();
    let image = PathBuf::from(build(&other).expect_success().stdout().trim_end());
    Guest::image(&image).argument("look").run().expect_stdout("Ok(5)\n");
    fs::write(other.join("data/greeting"), "still another").expect("written");
    build(&other).expect_success();
    Guest::image(&image).argument("look").run().expect_stdout("Ok(13)\n");
    Guest::image(self::image(&project)).argument("look").run().expect_stdout("Ok(20)\n");
    build(&project.path("none")).expect_status(1).expect_stderr("cannot read").expect_stderr("none");
}

#[test]
fn damaged_files_hurt_nobody() {
    let good = image(&project("with-damaged-files"));
    let bytes = fs::read(&good).expect("readable");
    let start = bytes.windows(8).rposition(|window| window == b"HuskTree").expect("a tree");
    let damaged = good.with_file_name("damaged");
    let run = |bytes: &[u8]| {
        fs::write(&damaged, bytes).expect("written");
        Guest::image(&damaged).argument("look").run()
    };
    for word in (start..start + 16 + 8 * 48).step_by(4) {
        let mut bytes = bytes.clone();
        bytes[word..word + 4].fill(0xff);
        let outcome = run(&bytes);
        outcome.expect_success();
        assert!(outcome.stdout().is_empty() || outcome.stdout().len() < 30, "{outcome}");
    }
    run(&bytes[..bytes.len() - 1]).expect_refusal(&["is truncated: its tree of files"]);
}

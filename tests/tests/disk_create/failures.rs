//! What cannot be made leaves nothing behind, and says why.

use super::{command, create, folder_with_tree, from};
use crate::tree::expect_sound;
use husk_tests::{Running, eventually, requires, run_briefly};
use std::fs::{self, File};
use std::io::Write;
use std::os::unix::fs::{MetadataExt, PermissionsExt};
use std::os::unix::process::CommandExt;
use std::path::Path;
use std::process::Command;
use std::sync::atomic::{AtomicBool, Ordering::Relaxed};
use std::time::Duration;

/// Status of an error of husk itself.
const ERROR: i32 = 125;

#[track_caller]
fn expect_refused(mut command: Command, disk: &Path, part: &str) {
    let outcome = run_briefly(&mut command);
    outcome.expect_status(ERROR).expect_stderr(part).expect_stdout("");
    assert_eq!(outcome.stderr().lines().count(), 1, "{outcome}");
    assert!(!disk.exists(), "{outcome}");
}

#[test]
fn requests_that_make_no_sense_are_refused() {
    let folder = tempfile::tempdir().expect("a folder");
    let disk = folder.path().join("disk");
    expect_refused(command(&disk, "23M", &[]), &disk, "a disk has at least 24M, not 23M");
    expect_refused(command(&disk, "16T", &[]), &disk, "a disk has less than 16T");
    expect_refused(command(&disk, "30000000", &[]), &disk, "a multiple of 4096, not 30000000");
    expect_refused(command(&disk, "24M", &["--label=seventeen letters".as_ref()]), &disk, "at most 16 bytes");
    expect_refused(command(&disk, "24M", &from(&folder.path().join("none"))), &disk, "none: No such file or directory");
    expect_refused(command(&disk, "24M", &from(&std::env::current_exe().expect("a test"))), &disk, "Not a directory");
    let mut epoch = command(&disk, "24M", &[]);
    epoch.env("SOURCE_DATE_EPOCH", "now");
    expect_refused(epoch, &disk, "SOURCE_DATE_EPOCH: write a number of seconds");
    let below = disk.join("none");
    expect_refused(command(&below, "24M", &[]), &below, "No such file or directory");
}

#[test]
fn what_is_there_is_not_overwritten() {
    let folder = tempfile::tempdir().expect("a folder");
    let [disk, link] = ["disk", "link"].map(|name| folder.path().join(name));
    fs::write(&disk, "precious").expect("a file");
    std::os::unix::fs::symlink("nowhere", &link).expect("a link");
    for path in [&disk, &link] {
        create(path, "24M", &[]).expect_status(ERROR).expect_stderr("is there already; name another file");
    }
    assert_eq!(fs::read(&disk).expect("it is there"), b"precious");
    assert!(!folder.path().join("nowhere").exists());
}

#[test]
fn the_size_that_files_take_is_named_and_is_enough() {
    let Some(folder) = folder_with_tree(false) else { return };
    let [disk, source] = ["disk", "tree"].map(|name| folder.path().join(name));
    // More blocks than the least disk has, then more inodes.
    let bytes: Vec<u8> = (0..40 << 20).map(|number: u32| 1 + (number % 251) as u8).collect();
    fs::write(source.join("bytes"), bytes).expect("a file");
    let many = folder.path().join("many");
    fs::create_dir(&many).expect("a folder");
    for number in 0..8200 {
        File::create(many.join(format!("empty-{number}"))).expect("a file");
    }
    for source in [&source, &many] {
        let outcome = create(&disk, "24M", &from(source));
        outcome.expect_status(ERROR).expect_stderr(": does not fit into 24M; make the disk ");
        assert!(!disk.exists(), "{outcome}");
        let stderr = outcome.stderr();
        let named = stderr.trim_end().rsplit(' ').nth(1).expect("a line").to_owned();
        create(&disk, &named, &from(source)).expect_success();
        expect_sound(&disk);
        fs::remove_file(&disk).expect("it was made");
    }
}

#[test]
fn a_full_host_leaves_no_disk() {
    let folder = tempfile::tempdir().expect("a folder");
    let [disk, source, full] = ["disk", "tree", "full"].map(|name| folder.path().join(name));
    // By the limit of a file's size, in units of 1,024 bytes.
    let mut limited = Command::new("bash");
    limited.args(["-c", "ulimit -f 1024; exec \"$@\"", "bash"]);
    limited.arg(husk_tests::build::husk_with_disks()).args(["disk", "create"]).arg(&disk).arg("24M");
    expect_refused(limited, &disk, "disk: File too large");

    if !requires::root() || !requires::program("unshare") {
        return;
    }
    for path in [&source, &full] {
        fs::create_dir(path).expect("a folder");
    }
    fs::write(source.join("large"), vec![1; 8 << 20]).expect("a file");
    let script = "mount -t tmpfs -o size=4M none \"$1\" && shift && \"$@\"; status=$?; ls -A \"$0\"; exit $status";
    let mut mounted = Command::new("unshare");
    mounted.args(["--mount", "sh", "-c", script]).arg(&full).arg(&full);
    mounted.arg(husk_tests::build::husk_with_disks()).args(["disk", "create"]);
    let disk = full.join("disk");
    mounted.arg(&disk).arg("64M").args(from(&source));
    expect_refused(mounted, &disk, "full/disk: No space left on device");
}

#[test]
fn a_file_that_cannot_be_read_is_named() {
    if !requires::root() {
        return;
    }
    let Some(folder) = folder_with_tree(false) else { return };
    let [disk, source] = ["disk", "tree"].map(|name| folder.path().join(name));
    let set = |path: &Path, mode| fs::set_permissions(path, fs::Permissions::from_mode(mode)).expect("ours");
    set(folder.path(), 0o777);
    set(&source.join("empty"), 0o600);
    let as_nobody = |path: &Path| {
        let mut command = command(path, "64M", &from(&source));
        command.uid(65_534).gid(65_534);
        command
    };
    // The program itself may lie where this user may not go.
    let copy = folder.path().join("bin");
    fs::create_dir(&copy).expect("a folder");
    for name in ["husk", "husk-disk"] {
        fs::copy(husk_tests::build::husk_with_disks().with_file_name(name), copy.join(name)).expect("a copy");
    }
    let here = |made: Command| {
        let mut command = Command::new(copy.join("husk"));
        command.args(made.get_args()).uid(65_534).gid(65_534);
        command
    };
    expect_refused(here(as_nobody(&disk)), &disk, "tree/empty: Permission denied");
    set(&source.join("empty"), 0o644);
    run_briefly(&mut here(as_nobody(&disk))).expect_success();
    expect_sound(&disk);
    // Owners are those of the files, though the user is another.
    assert!(crate::tree::ask(&disk, "stat empty").contains("User:     0   Group:     0"));
}

#[test]
fn files_that_change_meanwhile_are_named() {
    let folder = tempfile::tempdir().expect("a folder");
    let [disk, source] = ["disk", "tree"].map(|name| folder.path().join(name));
    fs::create_dir(&source).expect("a folder");
    fs::write(source.join("large"), vec![1; 16 << 20]).expect("a file");
    let ends = AtomicBool::new(false);
    std::thread::scope(|scope| {
        scope.spawn(|| {
            let mut file = File::options().append(true).open(source.join("large")).expect("it is there");
            while !ends.load(Relaxed) {
                file.write_all(b"more").expect("there is room");
                std::thread::sleep(Duration::from_micros(50));
            }
        });
        let outcome = create(&disk, "64M", &from(&source));
        ends.store(true, Relaxed);
        outcome.expect_status(ERROR).expect_stderr("large: it changed while it was copied");
    });
    assert!(!disk.exists());
}

#[test]
fn the_end_in_the_middle_leaves_nothing_that_looks_like_a_disk() {
    let folder = tempfile::tempdir().expect("a folder");
    let [disk, source] = ["disk", "tree"].map(|name| folder.path().join(name));
    fs::create_dir(&source).expect("a folder");
    for number in 0..3 {
        fs::write(source.join(format!("large-{number}")), vec![1; 64 << 20]).expect("a file");
    }
    for signal in ["TERM", "KILL"] {
        let mut running = Running::of(command(&disk, "1G", &from(&source)));
        eventually("half a disk", || fs::metadata(&disk).ok().filter(|disk| disk.blocks() * 512 > 8 << 20));
        running.signal(signal, 1);
        let outcome = running.finish();
        if signal == "TERM" {
            outcome.expect_status(128 + libc::SIGTERM).expect_stderr("ended by a signal; no disk was made");
            assert!(!disk.exists());
            continue;
        }
        outcome.expect_signal(libc::SIGKILL);
        // Neither the first superblock nor a copy, of which there are several in this size.
        if requires::program("fsck.ext4") {
            let outcome = crate::tree::tool("fsck.ext4", &["-fn".as_ref(), disk.as_os_str()]);
            outcome.expect_status(8).expect_stderr("Bad magic number in super-block");
            for copy in ["32768", "98304", "163840", "229376"] {
                let words = ["-fn", "-B", "4096", "-b", copy].map(AsRef::as_ref);
                let outcome = crate::tree::tool("fsck.ext4", &[&words[..], &[disk.as_os_str()]].concat());
                outcome.expect_status(8).expect_stderr("Bad magic number in super-block");
            }
        }
        create(&disk, "1G", &from(&source)).expect_status(ERROR).expect_stderr("is there already");
    }
}

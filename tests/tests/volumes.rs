//! Ordinary programs and file systems on disks (`--mount`).

use husk_tests::{Folder, Guest, Volume, build, contents, kills, native, requires, same_lines, skip};
use std::fs;
use std::process::Command;
use std::time::Duration;

/// Bytes of a disk that has room for a journal.
const SIZE: u64 = 64 << 20;

/// Program of the package `folder-programs`.
fn program(name: &str) -> Guest {
    Guest::image(build::image("folder-programs", name)).within(Duration::from_secs(120))
}

/// Standard output of the program as a process of this machine.
#[track_caller]
fn native(name: &str, arguments: &[&str]) -> String {
    native::output_with("folder-programs", name, arguments)
}

/// Runs the program on an empty volume, in a guest, and in an empty directory, as a process: both print the same, and leave the same.
#[track_caller]
fn behaves_as_natively(name: &str) {
    let (here, there) = (Folder::empty(), tempfile::tempdir().expect("a folder"));
    let expected = native(name, &[&here.path().display().to_string()]);
    // Beside what mkfs.ext4 makes in the root.
    let volume = Volume::with_files(SIZE, |folder| fs::create_dir(folder.join("work")));
    let outcome = volume.give(program(name), "", "").argument("/data/work").run();
    outcome.expect_success();
    same_lines(&outcome.stdout(), &expected);
    volume.expect_clean();
    volume.dump(there.path());
    same_lines(&contents(&there.path().join("work")).replace("/data/work", "/data"), &contents(here.path()));
}

#[test]
fn files_behave_as_for_a_process() {
    behaves_as_natively("folder_calls");
}

#[test]
fn open_directories_keep_up_with_renames_and_links_are_followed() {
    behaves_as_natively("folder_moved");
}

#[test]
fn what_the_program_changes_is_seen_at_once() {
    behaves_as_natively("folder_kept");
}

#[test]
fn mapped_files_show_what_is_written_and_keep_what_is_stored() {
    behaves_as_natively("volume_maps");
}

#[test]
fn a_file_that_changes_at_random_has_what_was_written() {
    let (folder, volume) = (Folder::empty(), Volume::empty(SIZE));
    let expected = native("folder_random", &[&folder.path().join("native").display().to_string(), "1500"]);
    let guest = volume.give(program("folder_random"), "", "").argument("/data/guest").argument("1500");
    guest.run().expect_success().expect_stdout(&expected);
    volume.expect_clean();
    let native = fs::read(folder.path().join("native")).expect("a file");
    assert!(volume.read("/guest") == native, "debugfs finds something else");
}

#[test]
fn threads_that_share_a_descriptor_take_turns() {
    let volume = Volume::empty(SIZE);
    let guest = volume.give(program("folder_shared"), "", "").argument("/data/guest");
    guest.run().expect_success().expect_stdout("6400 bytes, at 6400\neach once: true, at 6400\n");
    volume.expect_clean();
}

#[test]
fn a_large_directory_is_listed_while_files_are_removed() {
    let volume = Volume::with_files(512 << 20, |folder| {
        let many = folder.join("many");
        fs::create_dir(&many)?;
        (0..10_000).try_for_each(|number: u32| fs::File::create(many.join(number.to_string())).map(drop))
    });
    let guest = volume.give(program("folder_many"), "", "").argument("/data").argument("10000");
    guest.run().expect_success().expect_stdout("10000 seen, 5000 left\n");
    volume.expect_clean();
}

#[test]
fn what_was_written_is_there_after_a_restart() {
    let volume = Volume::empty(SIZE);
    let mut guest = volume.give(program("folder_watch"), "", "").argument("/data/note").spawn();
    guest.say("-").expect_printed("Ok(()) Ok(())", 1);
    guest.signal("TERM", 1).expect_ended();
    guest.finish().expect_status(128 + libc::SIGTERM);
    volume.expect_clean();
    let write = |line: &str| {
        let guest = volume.give(program("folder_wait"), "", "").argument("/data/none").argument("/data/note");
        guest.input(format!("{line}\n").as_bytes()).run()
    };
    write("text");
    volume.expect_clean();
    assert_eq!(volume.read("/note"), b"text");
    let read = volume.give(program("folder_watch"), "", "").argument("/data/note").input(b"\n?\n").run();
    read.expect_success().expect_stdout("Ok(\"text\")\nOk(4) bytes\n");
}

#[test]
fn a_volume_to_read_only_is_not_changed() {
    let volume = Volume::with_files(SIZE, |folder| fs::write(folder.join("note"), "text"));
    let before = fs::read(volume.path()).expect("it is there");
    for (disk, mount) in [(",ro", ""), ("", ":ro"), (",ro", ":ro")] {
        let guest = volume.give(program("folder_watch"), disk, mount).argument("/data/note").input(b"\n-\n");
        let outcome = guest.run();
        outcome.expect_success();
        assert!(outcome.stdout().starts_with("Ok(\"text\")\nErr("), "{outcome}");
        assert!(outcome.stdout().contains("ReadOnlyFilesystem"), "{outcome}");
    }
    assert!(fs::read(volume.path()).expect("it is there") == before, "the disk has changed");
}

#[test]
fn a_volume_is_in_the_table_of_mounts_and_its_disk_is_busy() {
    let volume = Volume::empty(SIZE);
    let guest = volume.give(program("folder_watch"), "", "").argument("/proc/mounts");
    let outcome = guest.input(b"\n").run();
    assert!(outcome.stdout().contains("/dev/data /data ext4 rw,"), "{outcome}");
    let guest = volume.give(program("folder_watch"), "", "").argument("/dev/data");
    guest.input(b"\n").run().expect_success().expect_stdout("Err(Some(16))\n");
}

#[test]
fn a_disk_of_husk_disk_create_is_a_volume() {
    let volume = Volume::created(SIZE);
    let guest = volume.give(program("folder_watch"), "", "").argument("/data/note");
    guest.input(b"-\n").run().expect_success().expect_stdout("Ok(()) Ok(())\n");
    volume.expect_clean();
}

#[test]
fn a_disk_in_large_sectors_without_the_hosts_page_cache_is_a_volume() {
    for (sector, flags) in [(",sector=4096", &["-b", "1024"][..]), (",direct", &["-b", "4096"])] {
        let (folder, volume) = (Folder::empty(), Volume::with(SIZE, flags));
        let expected = native("folder_random", &[&folder.path().join("native").display().to_string(), "300"]);
        let guest = volume.give(program("folder_random"), sector, "").argument("/data/guest").argument("300");
        let outcome = guest.run();
        // Not every file system has direct access.
        if sector.contains("direct") && outcome.stderr().contains("direct") {
            continue;
        }
        outcome.expect_success().expect_stdout(&expected);
        volume.expect_clean();
    }
}

#[test]
fn what_cannot_be_mounted_is_named() {
    let refused = |volume: &Volume, flags: &[&str], parts: &[&str]| {
        let guest = flags.iter().fold(program("folder_watch"), |guest, flag| guest.flag(*flag));
        volume.give(guest, "", "").argument("/data/x").run().expect_refusal(parts);
    };
    let volume = Volume::empty(SIZE);
    refused(&Volume::of(&[0; 1 << 20]), &[], &["the disk 'data'", "/data", "ext4"]);
    refused(&volume, &["--mount=none:/x"], &["--mount none:/x", "--block none=FILE"]);
    refused(&volume, &["--mount=data:/x"], &["'data' is mounted twice"]);
    refused(&volume, &["--files=/data/x=/tmp"], &["--mount data:/data", "/data/x"]);
    refused(&volume, &["--mount=x"], &["--mount", "NAME:PATH"]);
    let misplaced = program("folder_watch").flag(volume.flag("")).flag("--mount=data:/proc/x/y");
    misplaced.run().expect_refusal(&["--mount /proc/x/y", "EPERM"]);
    let native = Guest::native("idle").flag(volume.flag("")).flag("--mount=data:/data").run();
    native.expect_refusal(&["--mount", "native API"]);
}

#[test]
fn an_explanation_names_the_mount() {
    let volume = Volume::empty(SIZE);
    let outcome = volume.give(program("folder_watch"), "", ":ro").flag("--explain").run();
    outcome.expect_success();
    let path = volume.path().display().to_string();
    let line = format!("'data': read and write {path}; its file system is at /data, there to read only");
    assert!(outcome.stdout().contains(&line), "{outcome}");
}

/// Kills a guest whose program makes numbered records durable, and expects to find them.
#[track_caller]
fn expect_records(name: &str) {
    for round in 0..kills(20) {
        let volume = Volume::empty(32 << 20);
        let mut writer = volume.give(program(name), "", "").argument("/data").spawn();
        writer.expect_printed("\n", 3);
        std::thread::sleep(Duration::from_micros(round * 7919 % 60_000));
        writer.signal("KILL", 1);
        let outcome = writer.finish();
        outcome.expect_signal(libc::SIGKILL);
        let stdout = outcome.stdout();
        let whole_lines = stdout.rfind('\n').map_or("", |end| &stdout[..end]);
        let last: u64 = whole_lines.lines().last().and_then(|line| line.parse().ok()).expect("three were printed");
        volume.copy().expect_replayed();
        let checker = volume.give(program(name), "", "").argument("/data").argument(last.to_string());
        checker.run().expect_success().expect_stdout(&format!("all up to {last}\n"));
        volume.expect_clean();
    }
}

#[test]
fn what_was_synced_survives_the_death_of_the_tender() {
    expect_records("volume_records");
}

#[test]
fn what_was_stored_and_synced_survives_the_death_of_the_tender() {
    expect_records("volume_stores");
}

/// A program that has nothing to do for a while.
#[test]
fn what_was_not_synced_is_on_the_disk_after_some_seconds() {
    let volume = Volume::empty(SIZE);
    let mut guest = volume.give(program("folder_wait"), "", "").argument("/data/none").argument("/data/note").spawn();
    guest.say("text").expect_printed("written: text", 1);
    let written = || {
        let copy = volume.copy();
        copy.expect_replayed();
        copy.debug("cat /note").stdout == b"text"
    };
    husk_tests::eventually("the note is on the disk", || written().then_some(()));
    guest.signal("KILL", 1);
    guest.finish().expect_signal(libc::SIGKILL);
}

#[test]
fn a_program_that_ends_loses_nothing() {
    for how in ["return", "exit", "panic", "abort", "deadlock", "open"] {
        let volume = Volume::empty(SIZE);
        volume.give(program("volume_ends"), "", "").argument("/data").argument(how).run();
        volume.expect_clean();
        for number in [0, 1, 49_usize] {
            let expected = vec![number as u8; number * 1000];
            assert!(volume.read(&format!("/directory/{number}")) == expected, "{how}: file {number} is another");
        }
    }
}

#[test]
fn a_program_that_ends_by_a_fault_leaves_a_journal() {
    let volume = Volume::empty(SIZE);
    let outcome = volume.give(program("volume_ends"), "", "").argument("/data").argument("fault").run();
    outcome.expect_fault(128 + libc::SIGSEGV as u8, "write to address 0x40");
    volume.copy().expect_replayed();
    let next = volume.give(program("folder_watch"), "", "").argument("/data/none").input(b"-\n").run();
    next.expect_success().expect_stdout("Ok(()) Ok(())\n");
    volume.expect_clean();
}

#[test]
fn a_write_from_protected_memory_ends_the_guest_and_spares_the_disk() {
    let volume = Volume::empty(SIZE);
    let outcome = volume.give(program("volume_ends"), "", "").argument("/data").argument("protected").run();
    outcome.expect_fault(128 + libc::SIGSEGV as u8, "which is protected");
    volume.expect_replayed();
}

#[test]
fn a_disk_that_cannot_be_written_at_the_end_is_an_error() {
    if !requires::root() {
        return;
    }
    let (volume, full) = (Volume::empty(SIZE), Folder::empty());
    let mount = |arguments: &[&str]| Command::new("mount").args(arguments).arg(full.path()).status();
    if !mount(&["-t", "tmpfs", "-o", "size=16m", "none"]).is_ok_and(|status| status.success()) {
        skip!("a test with a full disk, as no file system can be mounted");
        return;
    }
    let disk = full.path().join("disk");
    let copied = Command::new("cp").arg("--sparse=always").args([volume.path(), &disk]).status();
    let filled = fs::write(full.path().join("rest"), vec![1; 16 << 20]);
    let guest = program("folder_wait").flag(format!("--block=data={}", disk.display())).flag("--mount=data:/data");
    let outcome = guest.argument("/data/none").argument("/data/note").input(b"text\n").run();
    let _ = Command::new("umount").arg("--lazy").arg(full.path()).status();
    assert!(copied.expect("it starts").success() && filled.is_err());
    assert!(outcome.stdout().contains("written: text"), "{outcome}");
    outcome.expect_status(125);
    outcome.expect_stderr("the disk 'data' has refused a write");
}

/// It can be mounted to read only next, which takes no journal to be replayed.
#[test]
fn a_start_that_a_disk_prevents_unmounts_the_others() {
    let (volume, other) = (Volume::empty(SIZE), Volume::of(&[0; 1 << 20]));
    let guest = volume.give(program("folder_watch"), "", "").argument("/data/note");
    let guest = guest.flag(format!("--block=other={}", other.path().display())).flag("--mount=other:/other");
    guest.run().expect_refusal(&["the disk 'other'", "/other"]);
    volume.give(program("folder_watch"), "", ":ro").argument("/data/note").input(b"\n").run().expect_success();
}

/// The guest has an error, or none; it does not come to its limits, and neither does the tender.
#[test]
fn a_damaged_file_system_is_an_error() {
    let volume = Volume::with_files(SIZE, |folder| {
        (0..200)
            .try_for_each(|number: usize| fs::write(folder.join(format!("file-{number}")), vec![b'x'; number * 100]))
    });
    let whole = fs::read(volume.path()).expect("it is there");
    let used: Vec<usize> = (0..whole.len()).filter(|at| whole[*at] != 0 && whole[*at] != b'x').collect();
    let mut state = 0x9e37_79b9_7f4a_7c15_u64;
    for round in 0..kills(12) {
        let mut bytes = whole.clone();
        for _ in 0..200 {
            // xorshift64 of Marsaglia.
            state ^= state << 13;
            state ^= state >> 7;
            state ^= state << 17;
            bytes[used[state as usize % used.len()]] = (state >> 32) as u8;
        }
        let damaged = Volume::of(&bytes);
        let guest = damaged.give(program("folder_calls"), "", "").argument("/data");
        let outcome = guest.within(Duration::from_secs(60)).run();
        let error = outcome.stderr();
        assert!(!error.contains("libos panicked") && !error.contains("libos"), "round {round}: {outcome}");
    }
}

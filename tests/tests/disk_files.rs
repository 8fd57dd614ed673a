//! Ordinary programs and their disks, the files `/dev/NAME`.

use husk_tests::{Disk, Guest, build, kills, requires};
use std::fs::File;
use std::io;
use std::process::Command;
use std::time::Duration;

/// Program of the package `disk-programs`.
fn program(name: &str) -> Guest {
    Guest::image(build::image("disk-programs", name))
}

#[test]
fn a_disk_is_a_block_device() {
    for way in ["", ",direct,sector=512"] {
        let disk = Disk::empty(64 << 10);
        let outcome = program("disk_files").flag(disk.flag(way)).run();
        // Not every file system has direct access in sectors of that size.
        if way.is_empty() || !(outcome.stderr().contains("direct") || outcome.stderr().contains("write sector=")) {
            outcome.expect_success().expect_stdout("all done\n");
        }
    }
}

#[test]
fn every_kind_of_memory_is_read_to_and_written_from() {
    let disk = Disk::empty(1 << 20);
    program("disk_places")
        .flag(disk.flag(""))
        .run()
        .expect_success()
        .expect_stdout("from everywhere, with 300 MiB held\n");
}

#[test]
fn only_the_thread_that_makes_a_call_on_a_disk_waits_for_it() {
    let disk = Disk::empty(1 << 20);
    program("disk_threads").flag(disk.flag("")).run().expect_success().expect_stdout("written by 8\n");
}

#[test]
fn memory_that_a_disk_is_read_into_can_be_taken_away() {
    let disk = Disk::of(&[0xd1; 1 << 20]);
    program("disk_unmaps").flag(disk.flag(",ro")).run().expect_success().expect_stdout("nothing went astray\n");
}

#[test]
fn a_disk_is_not_mapped() {
    let disk = Disk::of(&[0xd1; 1 << 20]);
    program("disk_maps").flag(disk.flag("")).run().expect_success().expect_stdout("Some(19)\nSome(19)\nSome(19)\n");
}

#[test]
fn a_call_on_a_disk_keeps_it_when_its_descriptor_is_closed() {
    let disk = Disk::of(&[0xd1; 1 << 20]);
    program("disk_closes").flag(disk.flag(",ro")).run().expect_success().expect_stdout("no call lost its disk\n");
}

#[test]
fn a_disk_that_is_read_only_is_not_opened_to_write() {
    let disk = Disk::empty(1 << 20);
    let outcome = program("disk_records").flag(disk.flag(",ro")).run();
    outcome.expect_status(1).expect_stderr("ReadOnlyFilesystem");
}

#[test]
fn what_was_synced_survives_the_death_of_the_tender() {
    const LENGTH: usize = 700;
    for round in 0..kills(5) {
        let disk = Disk::empty(16 << 20);
        let mut writer = program("disk_records").flag(disk.flag("")).spawn();
        writer.expect_printed("\n", 10);
        std::thread::sleep(Duration::from_micros(round * 7919 % 30_000));
        writer.signal("KILL", 1);
        let outcome = writer.finish();
        outcome.expect_signal(libc::SIGKILL);
        let stdout = outcome.stdout();
        let whole_lines = stdout.rfind('\n').map_or("", |end| &stdout[..end]);
        let last: u64 = whole_lines.lines().last().and_then(|line| line.parse().ok()).expect("ten were printed");
        let bytes = disk.bytes();
        for number in 1..=last {
            let record = &bytes[(number as usize - 1) * LENGTH..][..LENGTH];
            assert_eq!(record[..8], number.to_le_bytes(), "record {number} of {last}");
            assert!(record[8..].iter().all(|byte| *byte == number as u8), "record {number} of {last}");
        }
    }
}

#[test]
fn a_disk_that_becomes_full_is_full() {
    let disk = Disk::empty(64 << 10);
    let outcome = program("disk_records").flag(disk.flag("")).run();
    outcome.expect_success();
    assert!(outcome.stdout().ends_with("93\nfull: StorageFull\n"), "{outcome}");
}

#[test]
fn what_the_host_cannot_read_is_the_programs_error() {
    let disk = Disk::empty(16 << 20);
    let mut reader = program("disk_fails").argument("read").flag(disk.flag("")).spawn();
    reader.expect_printed("ready\n", 1);
    File::options().write(true).open(disk.path()).and_then(|file| file.set_len(1 << 20)).expect("it can be shorter");
    reader.input(b"now\n".to_vec()).finish().expect_success().expect_stdout("ready\nErr(Some(5))\ngoes on\n");
}

/// File system of its own, smaller than the disk that is on it.
struct Small(tempfile::TempDir);

impl Small {
    fn mount() -> Self {
        let folder = tempfile::tempdir().expect("a folder");
        let mounted = Command::new("mount").args(["-t", "tmpfs", "-o", "size=4m", "none"]).arg(folder.path()).status();
        assert!(mounted.is_ok_and(|status| status.success()), "root can mount: {}", io::Error::last_os_error());
        Self(folder)
    }
}

impl Drop for Small {
    fn drop(&mut self) {
        // Lazily: the kernel may still carry out requests of a tender that has ended, and have its file open.
        let _ = Command::new("umount").arg("--lazy").arg(self.0.path()).status();
    }
}

#[test]
fn what_the_host_cannot_write_is_the_programs_error() {
    if !requires::root() {
        return;
    }
    let small = Small::mount();
    let path = small.0.path().join("disk");
    File::create(&path).and_then(|file| file.set_len(64 << 20)).expect("a file");
    let flag = format!("--block=data={}", path.display());
    let writer = program("disk_fails").argument("write").flag(flag).spawn();
    let outcome = writer.input(b"now\n".to_vec()).finish();
    outcome.expect_success().expect_stdout("ready\nSome(5)\ngoes on\n");
}

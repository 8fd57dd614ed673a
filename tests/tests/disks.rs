//! Native guests and their disks.

use husk_tests::{Disk, Guest, build, process, skip};
use std::fs::OpenOptions;
use std::time::{Duration, Instant};

/// Guest of the package `block-guests`.
fn guest(name: &str) -> Guest {
    Guest::image(build::image("block-guests", name))
}

#[test]
fn a_disk_is_read_and_written_in_sectors_of_any_size() {
    for (sector, way) in [(512, ""), (1024, ""), (2048, ""), (4096, ""), (4096, ",direct")] {
        let disk = Disk::of(&vec![b'.'; 8 * sector]);
        let flag = disk.flag(&format!(",sector={sector}{way}"));
        let outcome = guest("disk_use").flag(flag).argument(sector.to_string()).run();
        // Not every file system has direct access.
        if outcome.stderr().contains("leave out ',direct'") {
            skip!("disks with direct access, which this file system has not");
            continue;
        }
        outcome.expect_success().expect_stdout("used\n");
        let expected: Vec<u8> = b".ac\0.\0\0b".iter().flat_map(|byte| vec![*byte; sector]).collect();
        assert!(disk.bytes() == expected, "sectors of {sector}");
    }
}

#[test]
fn a_disk_that_is_read_only_stays_as_it_is() {
    let disk = Disk::of(&[b'x'; 4096]);
    guest("disk_read_only").flag(disk.flag(",ro")).run().expect_success().expect_stdout("read x\n");
    assert_eq!(disk.bytes(), [b'x'; 4096]);
}

#[test]
fn many_requests_are_under_way_at_once_and_none_is_mixed_up() {
    let disk = Disk::empty(4 << 20);
    guest("disk_many").flag(disk.flag("")).run().expect_success().expect_stdout("4000 requests\n");
}

#[test]
fn requests_of_a_guest_that_does_not_wait_are_served_while_it_runs() {
    let disk = Disk::empty(1 << 20);
    guest("disk_polls").flag(disk.flag("")).run().expect_success().expect_stdout("polled\n");
}

#[test]
fn on_one_processor_requests_are_served_all_the_same() {
    let one = process::processors()[0].to_string();
    let disk = Disk::empty(4 << 20);
    let guest = |name| guest(name).flag(disk.flag("")).through(&["taskset", "-c", &one]);
    guest("disk_many").run().expect_success().expect_stdout("4000 requests\n");
    guest("disk_polls").run().expect_success().expect_stdout("polled\n");
}

#[test]
fn limits_lose_no_request() {
    let disk = Disk::empty(4 << 20);
    let guest =
        guest("disk_many").flag(disk.flag("")).flag("--block-rate=data=400M:100K").flag("--block-iops=20000:10");
    guest.run().expect_success().expect_stdout("4000 requests\n");
}

#[test]
fn requests_go_past_the_page_cache_where_that_is_asked_for() {
    let disk = Disk::empty(4 << 20);
    let outcome = guest("disk_many").flag(disk.flag(",direct")).run();
    // Not every file system has direct access.
    if outcome.stderr().contains("leave out ',direct'") {
        return skip!("disks with direct access, which this file system has not");
    }
    outcome.expect_success().expect_stdout("4000 requests\n");
}

#[test]
fn a_limited_disk_is_as_fast_as_it_may_be() {
    for limit in ["--block-iops=3000:100", "--block-rate=data=30M:1M"] {
        let disk = Disk::empty(4 << 20);
        let started = Instant::now();
        let outcome = guest("disk_many").flag(disk.flag("")).flag(limit).run();
        outcome.expect_success().expect_stdout("4000 requests\n");
        assert!(started.elapsed() > Duration::from_secs(1), "{limit}");
    }
}

#[test]
fn a_flood_of_flushes_ends() {
    let disk = Disk::empty(4096);
    guest("disk_flood").flag(disk.flag("")).run().expect_success().expect_stdout("20000 flushes\n");
}

#[test]
fn a_guest_that_breaks_the_contract_of_a_disk_is_stopped() {
    for (how, told) in [
        ("empty", "operation 0 does not exist"),
        ("operation", "operation 6 does not exist"),
        ("nothing", "a part of a request is 0 bytes long"),
        ("constant", "which are not memory that it may write"),
        ("outside", "which are outside its memory"),
        ("rings", "which are not memory that it may write"),
        ("protected", "that it has protected"),
        ("memory", "a part of a request is 512 bytes long"),
        ("more", "a request has flags 0x1"),
        ("flush", "a request has the detail 0x200, where there is none to give"),
    ] {
        let disk = Disk::empty(4096);
        let outcome = guest("disk_broken").flag(disk.flag("")).argument(how).run();
        outcome.expect_status(159).expect_stderr("device 'data', request queue: ").expect_stderr(told);
    }
}

#[test]
fn what_cannot_be_a_disk_is_refused_before_the_start() {
    let refused = |flag: String, told: &str| {
        guest("disk_read_only").flag(flag).run().expect_status(125).expect_stdout("").expect_stderr(told);
    };
    let disk = Disk::empty(1000);
    refused(disk.flag(""), "no whole sectors of 512; make it longer: `truncate -s 1024");
    refused("--block=data=/nowhere/disk.img".into(), "/nowhere/disk.img: there is no such file");
    refused("--block=data=/tmp".into(), "/tmp: it is a directory");
    refused("--block=other=/tmp/x".into(), "the image has no device of that name; it has 'data' (block)");
    refused("--net=data=tap:tap0".into(), "attach it with --block data=FILE");
    guest("disk_read_only").run().expect_status(125).expect_stderr("add --block data=FILE");
}

#[test]
fn a_disk_has_one_writer() {
    let disk = Disk::empty(4096);
    let held = OpenOptions::new().write(true).open(disk.path()).expect("it is there");
    held.lock().expect("nobody has it");
    let outcome = guest("disk_read_only").flag(disk.flag("")).run();
    outcome.expect_status(125).expect_stderr("somebody else uses it");
}

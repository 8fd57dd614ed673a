//! `--status-file`: cause of a run's end, whatever its guest does to fake another.

use husk_abi::fault;
use husk_tests::{Disk, End, Guest, Outcome, Pretence, Running, Target, build, process, requires, with_more_time};
use serde_json::{Value, json};
use std::fs;
use std::os::unix::fs::symlink;
use std::path::{Path, PathBuf};
use std::process::Command;
use std::thread;
use std::time::Duration;
use tempfile::TempDir;

const KILLED: i32 = 9;
const TERMINATED: i32 = 128 + 15;

/// Status file in a folder of its own.
struct Status {
    _folder: TempDir,
    path: PathBuf,
}

impl Status {
    fn new() -> Self {
        let folder = TempDir::new().expect("a folder");
        let path = folder.path().join("status.json");
        Self { _folder: folder, path }
    }

    fn flag(&self) -> String {
        flag(&self.path)
    }

    fn text(&self) -> String {
        fs::read_to_string(&self.path).expect("it was made")
    }

    /// Record in the one line of the file.
    #[track_caller]
    fn record(&self) -> Value {
        let text = self.text();
        assert_eq!((text.lines().count(), text.ends_with('\n')), (1, true), "{text:?}");
        serde_json::from_str(&text).expect("JSON")
    }

    /// Checks that the record has these values, and the status of `outcome`.
    #[track_caller]
    fn expect(&self, outcome: &Outcome, target: Target, ended: &str, limit: Option<&str>, signal: Option<i32>) {
        let record = self.record();
        let found = ["version", "target", "ended", "status", "limit", "signal"].map(|field| record[field].clone());
        let expected =
            [json!(1), json!(target.name()), json!(ended), json!(outcome.status()), json!(limit), json!(signal)];
        assert_eq!(found, expected, "{record} {outcome}");
    }
}

fn flag(path: &Path) -> String {
    format!("--status-file={}", path.display())
}

/// Runs `guest` on this target with a status file.
fn run(target: Target, guest: Guest) -> (Status, Outcome) {
    let status = Status::new();
    let outcome = guest.flag(target.flag()).flag(status.flag()).run();
    (status, outcome)
}

/// Process of the tender in a run that has a supervisor.
fn tender(running: &Running) -> u32 {
    let [tender] = process::children(running.id())[..] else { panic!("one child: a tender") };
    tender
}

/// Sends a signal to the process group of a run that leads one.
fn signal_group(running: &Running, signal: i32) {
    process::signal(-i64::from(running.id()), signal);
}

#[test]
fn a_guest_that_exits_with_a_status_of_husks_is_known_to_have_exited() {
    for target in Target::all() {
        for status in [0, 1, 101, 124, 125, 130, 132, 133, 134, 135, 136, 137, 139, 143, 159, 255] {
            let guest = Guest::program("arguments").flag(format!("--env=STATUS={status}"));
            let (file, outcome) = run(target, guest);
            outcome.expect_status(status);
            file.expect(&outcome, target, "guest", None, None);
        }
    }
}

#[test]
fn a_crash_is_a_fault_of_a_machine_and_the_guests_own_end_in_a_process() {
    for target in Target::all() {
        for (name, status, part) in [
            ("undefined", fault::ILLEGAL_INSTRUCTION, "invalid instruction"),
            ("main_stack_overflow", fault::MEMORY, "page fault"),
            ("call_unknown", fault::CALL, "does not exist"),
            ("native_panic", fault::PANIC, "panic"),
        ] {
            let (file, outcome) = run(target, Guest::native(name));
            outcome.expect_status(status.into());
            // A guest that shares the process with its tender could print the same and exit.
            let ended = if target == Target::Hvt { "fault" } else { "guest" };
            file.expect(&outcome, target, ended, None, None);
            let reason = file.record()["reason"].as_str().unwrap_or_default().to_owned();
            assert_eq!(!reason.is_empty(), target == Target::Hvt, "{name}: {reason}");
            let line = reason.lines().next().unwrap_or(part);
            assert!(line.contains(part) && outcome.stderr().contains(line), "{name}, not '{part}': {reason}");
        }
    }
}

#[test]
fn a_guest_that_takes_more_memory_than_it_has_is_stopped_at_that_limit() {
    for target in Target::all() {
        let guest = Guest::program("sparse_memory").flag("--memory=64M").argument("everywhere");
        let (file, outcome) = run(target, guest);
        outcome.expect_status(fault::OUT_OF_MEMORY.into());
        match target {
            Target::Hvt => file.expect(&outcome, target, "limit", Some("memory"), None),
            Target::Spt => file.expect(&outcome, target, "guest", None, None),
        }
    }
}

#[test]
fn a_guest_whose_time_is_up_is_stopped_at_that_limit() {
    for target in Target::all() {
        let endless = || Guest::native("endless").flag("--timeout=200ms");
        for guest in [endless(), endless().argument("sleep"), Guest::program("signals").argument("ignore")] {
            let (file, outcome) = run(target, guest.flag("--timeout=200ms").flag("--stop-timeout=1"));
            outcome.expect_status(fault::TIME_IS_UP.into());
            file.expect(&outcome, target, "limit", Some("time"), None);
        }
        // A guest that ends in time, with the same status.
        let guest = Guest::program("arguments").flag("--env=STATUS=124").flag("--timeout=1h");
        let (file, outcome) = run(target, guest);
        file.expect(outcome.expect_status(124), target, "guest", None, None);
    }
}

#[test]
fn a_signal_that_asks_for_the_end_is_named_and_one_that_is_handled_is_not() {
    for target in Target::all() {
        let status = Status::new();
        let start = |guest: Guest| guest.flag(target.flag()).flag(status.flag()).spawn();
        let mut endless = start(Guest::native("endless"));
        endless.expect_printed("ready", 1).signal("TERM", 1);
        let outcome = endless.finish();
        status.expect(outcome.expect_status(TERMINATED), target, "signal", None, Some(15));
        for name in ["TERM", "INT", "HUP", "USR1", "WINCH"] {
            let mut handles = start(Guest::program("signals").argument("sleep"));
            handles.expect_printed("ready", 1).signal(name, 1);
            let outcome = handles.finish();
            status.expect(outcome.expect_status(7), target, "guest", None, None);
        }
        let mut ignores = start(Guest::program("signals").flag("--stop-timeout=0").argument("ignore"));
        ignores.expect_printed("ready", 1).signal("TERM", 1);
        let outcome = ignores.finish();
        status.expect(outcome.expect_status(TERMINATED), target, "signal", None, Some(15));
    }
}

/// Guests that control the process can block all signals and overwrite the tender's memory.
#[test]
fn a_guest_that_owns_the_process_ends_when_its_supervisor_is_told_to() {
    for attack in ["fills", "listens"] {
        for (name, number) in [("TERM", 15), ("INT", 2)] {
            let status = Status::new();
            let guest = Guest::native("owns_tender").argument(attack).flag("--stop-timeout=0");
            let mut running =
                guest.flag(Target::Spt.flag()).flag(status.flag()).within(Duration::from_secs(20)).spawn();
            running.expect_printed("filled", 1).signal(name, 1);
            let outcome = running.finish();
            status.expect(outcome.expect_status(128 + number), Target::Spt, "signal", None, Some(number));
        }
    }
}

#[test]
fn a_signal_to_the_process_group_arrives_once() {
    for target in Target::all() {
        let status = Status::new();
        let guest = Guest::program("signals").argument("stubborn").through(&["setsid"]);
        let mut running = guest.flag(target.flag()).flag(status.flag()).spawn();
        running.expect_printed("ready", 1);
        // A second signal ends the guest: this would be another SIGTERM if both processes passed on the one to their group.
        signal_group(&running, libc::SIGTERM);
        running.expect_printed("heard 15\n", 1);
        // A duplicate, which must not come, would come now.
        thread::sleep(Duration::from_millis(100));
        running.signal("INT", 1);
        let outcome = running.finish();
        status.expect(outcome.expect_status(128 + 2), target, "signal", None, Some(2));
    }
}

/// Signals to a process group are delivered to both processes by the kernel, in any order.
#[test]
fn a_signal_to_the_process_group_is_never_lost() {
    for target in Target::all() {
        for round in 0..30 {
            let (signal, mode) = ([libc::SIGTERM, libc::SIGINT, libc::SIGHUP][round % 3], ["sleep", "spin"][round % 2]);
            let status = Status::new();
            let guest = Guest::program("signals").argument(mode).through(&["setsid"]).flag("--stop-timeout=5");
            let guest = guest.flag(target.flag()).flag(status.flag()).within(Duration::from_secs(30));
            let mut running = guest.spawn();
            running.expect_printed("ready", 1);
            signal_group(&running, signal);
            let outcome = running.finish();
            status.expect(outcome.expect_status(7), target, "guest", None, None);
        }
    }
}

/// Signals are ignored at the start of a background job of a script, or under nohup(1).
#[test]
fn a_signal_that_was_ignored_at_the_start_stays_so() {
    for target in Target::all() {
        let status = Status::new();
        let script = "trap '' INT TERM USR1; exec setsid \"$@\"";
        let guest = Guest::program("signals").argument("sleep").through(&["sh", "-c", script, "sh"]);
        let mut running = guest.flag(target.flag()).flag(status.flag()).flag("--stop-timeout=0").spawn();
        running.expect_printed("ready", 1).signal("INT", 1).signal("TERM", 2);
        signal_group(&running, libc::SIGUSR1);
        // A supervisor that handled them would end the tender now.
        thread::sleep(Duration::from_secs(2));
        running.signal("HUP", 1);
        let outcome = running.finish();
        status.expect(outcome.expect_status(7).expect_stdout("ready\nsignal 1\n"), target, "guest", None, None);
    }
}

#[test]
fn a_guest_that_handles_a_signal_chooses_its_status_in_a_machine() {
    for (name, number) in [("HUP", 1), ("USR1", 10), ("USR2", 12)] {
        let handles = Guest::program("signals").argument("sleep").flag(format!("--env=STATUS={}", 128 + number));
        for (guest, target, ended, signal) in [
            (handles, Target::Hvt, "guest", None),
            (Guest::native("endless"), Target::Hvt, "signal", Some(number)),
            (Guest::native("endless"), Target::Spt, "signal", Some(number)),
        ] {
            if !Target::all().contains(&target) {
                continue;
            }
            let status = Status::new();
            let mut running = guest.flag(target.flag()).flag(status.flag()).spawn();
            running.expect_printed("ready", 1).signal(name, 1);
            let outcome = running.finish();
            status.expect(outcome.expect_status(128 + number), target, ended, None, signal);
        }
    }
}

/// Signals during the start, when the tender may still have another user than its supervisor.
#[test]
fn a_start_that_does_not_go_on_can_be_ended() {
    let folder = TempDir::new().expect("a folder");
    let pipe = folder.path().join("pipe");
    assert!(Command::new("mkfifo").arg(&pipe).status().expect("there is mkfifo").success());
    for user in [None, Some("--user=65534").filter(|_| requires::root())] {
        for (name, number) in [("TERM", 15), ("KILL", 9)] {
            let status = Status::new();
            let guest = Guest::native("endless").flag(format!("--env-file={}", pipe.display())).flag(status.flag());
            let mut running = user.into_iter().fold(guest, Guest::flag).within(Duration::from_secs(20)).spawn();
            process::expect_status(running.id(), &["Seccomp:\t2"]);
            let tender = tender(&running);
            running.signal(name, 1);
            let outcome = running.finish();
            process::expect_ended(tender);
            if number == KILLED {
                outcome.expect_signal(KILLED);
                continue;
            }
            outcome.expect_status(128 + number);
            let record = status.record();
            let found = ["target", "ended", "signal"].map(|field| record[field].clone());
            assert_eq!(found, [json!(null), json!("signal"), json!(number)], "{user:?} {record}");
        }
    }
}

#[test]
fn a_tender_that_is_killed_is_known_to_have_been() {
    for target in Target::all() {
        let status = Status::new();
        let guest = Guest::native("endless").argument("sleep");
        let mut running = guest.flag(target.flag()).flag(status.flag()).spawn();
        running.expect_printed("ready", 1);
        process::signal(tender(&running).into(), KILLED);
        let outcome = running.finish();
        status.expect(outcome.expect_status(128 + KILLED), target, "killed", None, Some(KILLED));
    }
}

#[test]
fn a_supervisor_that_is_killed_takes_the_tender_with_it_and_records_nothing() {
    for target in Target::all() {
        for user in [None, Some("--user=65534").filter(|_| requires::root())] {
            let status = Status::new();
            let guest = Guest::native("endless").argument("sleep").flag(target.flag()).flag(status.flag());
            let mut running = user.into_iter().fold(guest, Guest::flag).spawn();
            running.expect_printed("ready", 1);
            let tender = tender(&running);
            running.signal("KILL", 1);
            running.finish().expect_signal(KILLED);
            process::expect_ended(tender);
            assert_eq!(status.text(), "");
        }
    }
}

#[test]
fn both_processes_are_confined() {
    for target in Target::all() {
        let status = Status::new();
        let guest = Guest::native("endless").argument("sleep").flag(target.flag()).flag(status.flag());
        let mut running = guest.spawn();
        running.expect_printed("ready", 1);
        for id in [running.id(), tender(&running)] {
            // The supervisor confines itself while the tender starts, without waiting for it.
            let lines = ["Seccomp:\t2", "NoNewPrivs:\t1", "CapPrm:\t0000000000000000", "CapEff:\t0000000000000000"];
            process::expect_status(id, &lines);
        }
        // The memory that the tender shares with its supervisor is not mapped in a process that contains a guest.
        let maps = fs::read_to_string(format!("/proc/{}/maps", tender(&running))).expect("it runs");
        let is_shared = |map: &&str| map.contains(" rw-s ") && map.ends_with("/dev/zero (deleted)");
        let shared = maps.lines().filter(is_shared).count();
        assert_eq!(shared, if target == Target::Hvt { 1 } else { 0 }, "{maps}");
        // Checked as root: the tender has no descriptor of the status file.
        let files = fs::read_dir(format!("/proc/{}/fd", tender(&running))).expect("it runs").flatten();
        let names: Vec<PathBuf> = files.filter_map(|file| fs::read_link(file.path()).ok()).collect();
        assert!(!names.is_empty() && !names.contains(&status.path), "{names:?}");
        running.signal("TERM", 1);
        running.finish().expect_status(TERMINATED);
    }
}

#[test]
fn a_run_that_does_not_start_says_why() {
    let status = Status::new();
    let echo = build::image("echo", "echo");
    for (guest, part) in [
        (Guest::image("/bin/sh"), "not a husk image"),
        (Guest::image("/nowhere"), "no such file"),
        (Guest::image(echo), "add --net"),
        (Guest::native("endless").flag("--memory-max=1M"), "asks for 64M"),
    ] {
        fs::write(&status.path, "of a run before").expect("our folder");
        let outcome = guest.flag(status.flag()).run();
        outcome.expect_refusal(&[part]);
        let record = status.record();
        let found = ["target", "ended", "status", "signal"].map(|field| record[field].clone());
        assert_eq!(found, [json!(null), json!("error"), json!(125), json!(null)], "{record}");
        let reason = record["reason"].as_str().expect("a reason");
        assert_eq!(outcome.stderr(), format!("husk: {reason}\n"));
    }
}

#[test]
fn a_file_that_cannot_be_one_is_refused_before_anything_starts() {
    let status = Status::new();
    let folder = status.path.parent().expect("a folder");
    let refused = |path: &Path, part: &str| {
        let guest = Guest::native("endless").flag(flag(path));
        guest.run().expect_refusal(&[&path.display().to_string(), part]).expect_stdout("");
    };
    refused(&folder.join("no/such"), "name a file in a folder that exists");
    refused(folder, "name a file");
    refused(Path::new("/dev/null"), "not a regular file");
    let link = folder.join("link");
    symlink(&status.path, &link).expect("our folder");
    refused(&link, "symbolic link");
    let pipe = folder.join("pipe");
    assert!(Command::new("mkfifo").arg(&pipe).status().expect("there is mkfifo").success());
    refused(&pipe, "--status-file");
    assert!(!status.path.exists(), "nothing was made");

    // Files that the guest writes or husk reads: none of them is changed.
    let image = folder.join("image");
    fs::copy(build::image("guests", "endless"), &image).expect("our folder");
    let before = fs::read(&image).expect("our folder");
    Guest::image(&image).flag(flag(&image)).run().expect_refusal(&["which this run uses"]);
    assert!(before == fs::read(&image).expect("our folder"));
    let disk = Disk::of(&[7; 4096]);
    let guest = Guest::image(build::image("block-guests", "disk_flood")).flag(disk.flag(""));
    guest.flag(flag(disk.path())).run().expect_refusal(&["which this run uses"]);
    assert_eq!(disk.bytes(), [7; 4096]);
    fs::write(&status.path, "kept").expect("our folder");
    let script = format!("exec \"$@\" >> {}", status.path.display());
    let guest = Guest::native("endless").through(&["sh", "-c", &script, "sh"]).flag(status.flag());
    guest.run().expect_refusal(&["standard stream"]);
    assert_eq!(status.text(), "kept");
}

#[test]
fn a_record_that_cannot_be_written_is_an_error() {
    for target in Target::all() {
        let status = Status::new();
        let guest = Guest::image(build::image("hello", "hello"));
        let guest = guest.through(&["sh", "-c", "ulimit -f 0 && exec \"$@\"", "sh"]);
        let outcome = guest.flag(target.flag()).flag(status.flag()).run();
        outcome.expect_status(125).expect_stderr("husk: the status file cannot be written");
        assert_eq!(status.text(), "");
    }
}

#[test]
fn a_host_without_room_for_another_process_is_an_error() {
    const SYS_FORK: i64 = 57;
    let status = Status::new();
    let guest = Guest::image(build::image("hello", "hello")).flag(status.flag());
    let pretended = guest.run_pretending(&[Pretence::call(SYS_FORK, libc::EAGAIN)]);
    assert!(pretended.times > 0, "husk forks");
    pretended.outcome.expect_refusal(&["no process left to write --status-file", "ulimit -u"]).expect_stdout("");
}

#[test]
fn another_user_writes_to_what_root_has_opened() {
    if !requires::root() {
        return;
    }
    for target in Target::all() {
        let guest = Guest::image(build::image("hello", "hello")).flag("--user=65534");
        let (file, outcome) = run(target, guest);
        file.expect(outcome.expect_success(), target, "guest", None, None);
    }
}

/// Runs a guest on spt that controls the tender's process.
fn owner(words: &[&str]) -> (Status, Outcome) {
    let guest = Guest::native("owns_tender");
    run(Target::Spt, words.iter().fold(guest, |guest, word| guest.argument(*word)))
}

#[test]
fn a_guest_that_owns_the_tender_cannot_forge_a_record() {
    for status in ["0", "124", "125", "137", "139", "143", "159"] {
        // By the tender's own exit_group(2), without any message of the tender.
        let (file, outcome) = owner(&["exit", status]);
        outcome.expect_status(status.parse().expect("a number")).expect_stdout("exits\n");
        file.expect(&outcome, Target::Spt, "guest", None, None);
        assert_eq!(file.record()["reason"], json!(null));
    }
    // By a system call that is not allowed.
    let (file, outcome) = owner(&["write"]);
    outcome.expect_stdout("writes\n");
    file.expect(outcome.expect_status(128 + 31), Target::Spt, "killed", None, Some(31));
}

#[test]
fn a_guest_that_owns_the_tender_is_known_to_have_met_a_limit() {
    let status = Status::new();
    let guest = || Guest::native("owns_tender").argument("deaf").flag("--target=spt").flag(status.flag());
    // More time, if the guest had not blocked its signals in this time.
    let outcome = with_more_time(Duration::from_millis(300), |time| {
        let outcome = guest().flag(format!("--timeout={}ms", time.as_millis())).flag("--stop-timeout=1").run();
        (outcome.stdout() == "deaf\n").then_some(outcome)
    });
    let outcome = outcome.expect("it becomes deaf");
    status.expect(outcome.expect_end(&[End::Exit(128 + KILLED)]), Target::Spt, "limit", Some("time"), None);
    let outcome = guest().flag("--cpu-limit=10%").run();
    status.expect(outcome.expect_end(&[End::Exit(128 + KILLED)]), Target::Spt, "limit", Some("cpu"), None);
}

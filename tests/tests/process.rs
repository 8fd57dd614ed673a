//! Guests in a process make no system calls: an attempt is answered by the libos, or ends the guest.

use husk_abi::fault::CALL;
use husk_tests::{End, Guest, Target, build, process, with_more_time};
use iced_x86::{Code, CpuidFeature, Decoder, DecoderOptions, EncodingKind, Instruction};
use object::{Object, ObjectSection, ObjectSymbol};
use std::fs;
use std::process::{Command, Stdio};
use std::thread;
use std::time::Duration;

/// SIGSYS, the signal of a system call that the tender may not make.
const BAD_CALL: i32 = 31;
/// SIGKILL.
const KILLED: i32 = 9;

fn program(call: &[&str]) -> Guest {
    call.iter().fold(Guest::program("hidden_calls").flag("--target=spt"), |guest, word| guest.argument(*word))
}

/// Guest that makes one call by jumping to a `syscall` instruction of the tender's.
fn through_tender(call: &[i64]) -> Guest {
    let guest = Guest::native("through_tender").flag("--target=spt");
    call.iter().fold(guest, |guest, word| guest.argument(word.to_string()))
}

#[test]
fn the_same_image_runs_as_a_machine_and_as_a_process() {
    let image = build::image("hello", "hello");
    let before = fs::read(&image).expect("it was built");
    for target in ["hvt", "spt"] {
        if target == "hvt" && Target::usual() != Target::Hvt {
            continue;
        }
        let outcome = Guest::image(&image).flag(format!("--target={target}")).run();
        outcome.expect_success().expect_stdout("Hello from a Husk guest\n");
    }
    assert!(before == fs::read(&image).expect("it was built"), "the image is as it was");
}

#[test]
fn who_names_no_target_gets_a_process_where_there_is_no_kvm() {
    if !husk_tests::requires::root() {
        return;
    }
    let private_dev = "mount --make-rprivate / && mount -t tmpfs none /dev && unset HUSK_TARGET && exec \"$@\"";
    let without_dev = ["unshare", "--mount", "sh", "-c", private_dev, "sh"];
    let outcome = Guest::image(build::image("hello", "hello")).through(&without_dev).run();
    outcome.expect_success().expect_stdout("Hello from a Husk guest\n");
    outcome.expect_stderr("husk: runs as a process: /dev/kvm does not exist");
}

#[test]
fn calls_that_nobody_could_find_are_answered_as_in_a_machine() {
    let process = program(&["all"]).run();
    process.expect_success();
    let answers = process.stdout();
    assert!(answers.lines().count() > 900, "{answers}");
    // A file of the host's would not be an error; and the host has calls that the libos does not have.
    assert!(answers.contains("\n2: -14\n") && answers.contains("\n425: -38\n"), "{answers}");
    if Target::usual() == Target::Hvt {
        let machine = Guest::program("hidden_calls").flag("--target=hvt").argument("all").run();
        assert_eq!(machine.stdout(), answers);
    }
}

#[test]
fn a_program_without_libos_ends_at_its_first_call() {
    Guest::native("system_call").flag("--target=spt").run().expect_fault(CALL, "system call");
}

#[test]
fn hidden_calls_reach_nothing_of_the_hosts() {
    let folder = std::env::temp_dir().join(format!("husk-process-{}", std::process::id()));
    fs::create_dir_all(&folder).expect("a folder");
    let path = folder.join("made").display().to_string();
    // open(O_CREAT | O_WRONLY), mkdir, creat: ENOENT, because the guest's own file system has no such folder.
    for call in [["2", "@", "65", "511", &path], ["83", "@", "511", "0", &path], ["85", "@", "511", "0", &path]] {
        program(&[&["one"], &call[..]].concat()).run().expect_success().expect_stdout("-2\n");
    }
    // execve: ENOSYS, because an image has one program.
    program(&["one", "59", "@", "0", "0", "/bin/true"]).run().expect_success().expect_stdout("-38\n");
    // mmap(PROT_READ | PROT_WRITE | PROT_EXEC, MAP_PRIVATE | MAP_ANONYMOUS): EACCES.
    program(&["one", "9", "0", "4096", "7", "34", "-1"]).run().expect_success().expect_stdout("-13\n");
    // io_uring_setup, ptrace, bpf, userfaultfd: ENOSYS.
    for call in ["425", "101", "321", "323"] {
        program(&["one", call, "1", "0", "0", "0", "x"]).run().expect_success().expect_stdout("-38\n");
    }
    // kill of a process of the host: ESRCH.
    let mut other = Command::new("sleep").arg("600").stdin(Stdio::null()).spawn().expect("sleep starts");
    program(&["one", "62", &other.id().to_string(), "9", "x"]).run().expect_success().expect_stdout("-3\n");
    assert!(other.try_wait().expect("our own child").is_none(), "it still sleeps");
    other.kill().and_then(|()| other.wait()).expect("our own child");
    assert_eq!(fs::read_dir(&folder).expect("our folder").count(), 0);
    fs::remove_dir(&folder).expect("our folder");
}

#[test]
fn whoever_jumps_into_the_tender_gets_no_call_that_it_does_not_make() {
    let calls: &[(&str, &[i64])] = &[
        ("execve", &[59, 0, 0, 0]),
        ("socket", &[41, 2, 1, 0]),
        ("ptrace", &[101, 16, 1]),
        ("kill", &[62, 1, 0]),
        ("mmap of code", &[9, 0, 4096, 5, 34, -1]),
        ("mmap of shared memory", &[9, 0, 4096, 3, 33, -1]),
        ("mprotect to code", &[10, 0x1_0000_0000, 4096, 7]),
        ("io_uring_setup", &[425, 1, 0]),
        ("prctl", &[157, 22, 0]),
        ("clone", &[56, 0, 0]),
        ("vfork", &[58]),
        ("unlink", &[87, 0]),
        ("setuid", &[105, 0]),
        ("a call of another kind", &[0x4000_0000 | 39]),
        ("madvise(MADV_MERGEABLE)", &[28, 0x1_0000_0000, 4096, 12]),
        ("madvise(MADV_PAGEOUT)", &[28, 0x1_0000_0000, 4096, 21]),
        ("madvise(MADV_GUARD_INSTALL)", &[28, 0x1_0000_0000, 4096, 102]),
        ("pwritev2 to standard output", &[328, 1, 0, 0, 0, 0]),
        ("fallocate of standard output", &[285, 1, 3, 0, 64]),
        ("read from standard output", &[0, 1, 0, 0]),
        ("fcntl(F_DUPFD)", &[72, 1, 0, 0]),
        ("fcntl(F_SETFL)", &[72, 1, 4, 0]),
        ("close of standard output", &[3, 1]),
        ("timer_settime of any timer", &[223, 0, 0, 0, 0]),
        ("prlimit", &[302, 0, 9, 0, 0]),
        ("rt_sigaction of SIGTERM", &[13, 15, 0, 0, 8]),
        ("rt_sigtimedwait", &[128, 0, 0, 0, 8]),
    ];
    for (name, call) in calls {
        let outcome = through_tender(call).run();
        assert_eq!(outcome.end(), End::Signal(BAD_CALL), "{name}: {outcome}");
        assert_eq!(outcome.stdout(), "found one\n", "{name}");
    }
}

/// Guest that controls the tender's process.
fn owner(attack: &str) -> Guest {
    Guest::native("owns_tender").flag("--target=spt").argument(attack).within(Duration::from_secs(20))
}

/// Checks that a guest that has made its preparations against being ended, and printed this, ends nevertheless when its time
/// is up. If the time was too short for the preparations, the guest gets more.
#[track_caller]
fn expect_killed_in_time(printed: &str, guest: impl Fn(String) -> Guest) {
    let outcome = with_more_time(Duration::from_millis(300), |time| {
        let outcome = guest(format!("--timeout={}ms", time.as_millis())).within(time + Duration::from_secs(20)).run();
        (outcome.stdout() == printed).then_some(outcome)
    });
    outcome.unwrap_or_else(|| panic!("'{printed}' was never printed")).expect_signal(KILLED);
}

#[test]
fn a_guest_that_blocks_every_signal_ends_when_its_time_is_up() {
    expect_killed_in_time("deaf\n", |timeout| owner("deaf").flag(timeout).flag("--stop-timeout=1"));
}

#[test]
fn a_guest_that_blocks_every_signal_is_held_to_its_share() {
    let outcome = owner("deaf").flag("--cpu-limit=10%").run();
    outcome
        .expect_signal(KILLED)
        .expect_stdout("deaf\n")
        .expect_stderr("husk: the guest took more processor time than --cpu-limit");
}

/// Guest that controls the tender's process, with a network, so that the tender has a second thread.
fn owner_with_devices(attack: &str) -> Guest {
    let image = build::image("net-guests", "owns_tender_with_network");
    Guest::image(image).flag("--target=spt").flag("--net=user").argument(attack).within(Duration::from_secs(20))
}

/// Ways of escaping signals, and the output when the preparations are complete.
const WAYS: [(&str, &str); 3] = [("deaf", "deaf\n"), ("fills", "filled\n"), ("listens", "filled\n")];

#[test]
fn a_guest_that_owns_the_process_ends_when_it_is_told_to() {
    for (name, number) in [("TERM", libc::SIGTERM), ("INT", libc::SIGINT)] {
        for owner in [owner, owner_with_devices] {
            for (attack, printed) in WAYS {
                let mut running = owner(attack).flag("--stop-timeout=0").spawn();
                running.expect_printed(printed, 1).signal(name, 1);
                // Ended by the sentinel; or by the kernel, if the guest does not block the signal.
                running.finish().expect_end(&[End::Exit(128 + number), End::Signal(number)]);
            }
        }
        let mut running = owner_with_devices("leaves").flag("--stop-timeout=0").spawn();
        running.expect_printed("filled\n", 1).signal(name, 1);
        running.finish().expect_status(128 + number);
    }
}

#[test]
fn a_guest_that_owns_the_process_has_no_more_time_than_others() {
    for attack in ["fills", "listens", "leaves"] {
        expect_killed_in_time("filled\n", |timeout| owner_with_devices(attack).flag(timeout).flag("--stop-timeout=0"));
    }
}

fn kill(id: u32) {
    process::signal(id.into(), libc::SIGKILL);
}

#[test]
fn a_tender_and_its_watchdog_end_with_each_other() {
    for watchdog_first in [true, false] {
        let mut running =
            Guest::native("endless").argument("sleep").flag("--target=spt").flag("--cpu-limit=50%").spawn();
        running.expect_printed("ready", 1);
        let tender = running.id();
        let [watchdog] = process::children(tender)[..] else { panic!("there is one") };
        // The watchdog starts beside the guest: its first instruction may come after the guest's first line.
        process::expect_status(watchdog, &["husk-watchdog", "Seccomp:\t2"]);
        kill(if watchdog_first { watchdog } else { tender });
        running.finish().expect_signal(KILLED);
        process::expect_ended(watchdog);
    }
    let mut plain = Guest::native("endless").argument("sleep").flag("--target=spt").spawn();
    plain.expect_printed("ready", 1);
    assert_eq!(process::children(plain.id()), [0; 0], "nobody asked for one");
}

#[test]
fn no_code_is_moved_to_where_the_tender_has_its_own() {
    owner("moves").run().expect_success().expect_stdout("refused\n");
}

#[test]
fn page_tables_are_bounded_like_memory() {
    // Page tables for 64 GiB of addresses would take 128 MiB; for those allowed beyond the start's mappings, 2 MiB.
    owner("tables").flag("--memory=16M").run().expect_success().expect_stdout("refused\n");
}

#[test]
fn memory_that_can_be_written_is_bounded() {
    let mut running = owner("deaf").flag("--memory=16M").spawn();
    running.expect_printed("deaf\n", 1);
    let limits = fs::read_to_string(format!("/proc/{}/limits", running.id())).expect("it runs");
    kill(running.id());
    running.finish().expect_signal(KILLED);
    let line = limits.lines().find(|line| line.starts_with("Max data size")).expect("proc_pid_limits(5)");
    let most: u64 = line.split_whitespace().nth(4).and_then(|word| word.parse().ok()).expect("the hard limit");
    // Limit of the tender itself, and the parts of a guest beside its memory.
    assert!((1 << 30..(1 << 30) + (64 << 20)).contains(&most), "{line}");
}

/// Lines of proc_pid_status(5) on speculation, where the kernel leaves the choice to processes.
fn speculation(process: &str) -> Vec<String> {
    let status = fs::read_to_string(format!("/proc/{process}/status")).expect("it runs");
    let of_ours = |line: &&str| line.starts_with("Speculat") && !line.contains("PR_");
    status.lines().filter(of_ours).map(str::to_owned).collect()
}

#[test]
fn nothing_is_speculated_that_a_process_can_keep_from_it() {
    let mut running = owner("deaf").spawn();
    running.expect_printed("deaf\n", 1);
    let (here, there) = (speculation("self"), speculation(&running.id().to_string()));
    kill(running.id());
    running.finish().expect_signal(KILLED);
    assert!(here.len() == there.len(), "{here:?}, {there:?}");
    let (mut chosen, open) = (0, ["thread vulnerable", "conditional enabled"]);
    for (here, there) in here.iter().zip(&there) {
        chosen += usize::from(open.iter().any(|state| here.ends_with(state)));
        assert!(!open.iter().any(|state| there.ends_with(state)), "{there}");
    }
    if chosen == 0 {
        husk_tests::skip!("speculation, which this host leaves to no process: {here:?}");
    }
}

/// Test of a property that spt does not have (docs/targets.md): if the test fails, the table is to be changed.
#[test]
fn other_signals_than_those_of_the_sentinel_can_be_blocked() {
    let mut running = owner("deaf").spawn();
    running.expect_printed("deaf\n", 1);
    for name in ["HUP", "USR1", "USR2", "QUIT"] {
        running.signal(name, 1);
    }
    thread::sleep(Duration::from_millis(200));
    assert!(process::runs(running.id()));
    running.signal("TERM", 2);
    running.finish().expect_status(128 + libc::SIGTERM);
}

#[test]
fn a_guest_may_stop_for_calls_and_signals_as_often_as_it_likes() {
    let mut running = Guest::program("stops_often").spawn();
    running.expect_printed(".\n", 1);
    for _ in 0..20 {
        running.signal("WINCH", 100);
    }
    let outcome = running.finish();
    outcome.expect_success();
    assert!(outcome.stdout().ends_with(".\nitself\n"), "{outcome}");
}

/// Guests continue with all registers unchanged, although the tender saves only those that the tender itself may change.
#[test]
fn the_tender_changes_no_vector_registers_but_those_it_saves() {
    /// Functions of the C library's printf for numbers that are never printed.
    const NEVER_CALLED: [&str; 3] = ["fmt_fp", "frexpl", "pop_arg"];
    let bytes = fs::read(build::husk()).expect("it was built");
    let husk = object::File::parse(&*bytes).expect("an ELF file");
    let text = husk.section_by_name(".text").expect("it has code");
    let code = text.data().expect("it is in the file");
    // Functions in assembly have no size: each is taken to end where the next begins.
    let names = husk.symbols().filter(|symbol| symbol.section_index() == Some(text.index()));
    let mut names: Vec<(u64, &str)> =
        names.filter_map(|symbol| Some((symbol.address() - text.address(), symbol.name().ok()?))).collect();
    names.sort_unstable();
    assert!(names.len() > 1000, "{} functions were found", names.len());
    for (index, (start, name)) in names.iter().enumerate() {
        let end = names.get(index + 1).map_or(code.len() as u64, |(next, _)| *next);
        let body = &code[*start as usize..end as usize];
        for instruction in Decoder::with_ip(64, body, text.address() + start, DecoderOptions::NONE) {
            let is_known = NEVER_CALLED.iter().any(|known| name.starts_with(known));
            assert!(is_known || !changes_others(&instruction), "{name}: {instruction:?}");
        }
    }
}

/// Returns true if an instruction may change a vector or floating-point register other than the sixteen of SSE.
fn changes_others(instruction: &Instruction) -> bool {
    use CpuidFeature::{FPU, FPU287, FPU387, FXSR, MMX, XSAVE, XSAVEC, XSAVEOPT, XSAVES};
    let old = [FPU, FPU287, FPU387, MMX, FXSR, XSAVE, XSAVEC, XSAVEOPT, XSAVES];
    let registers = (0..instruction.op_count()).map(|operand| instruction.op_register(operand));
    // XGETBV only reads which of them are enabled.
    if instruction.code() == Code::Xgetbv {
        return false;
    }
    instruction.code().encoding() != EncodingKind::Legacy
        || instruction.cpuid_features().iter().any(|feature| old.contains(feature))
        || registers.into_iter().any(|register| register.is_mm() || register.is_st())
}

//! Hosts that lack something: older kernels, other configurations, containers. Husk does without, says in one line which
//! protection is weaker, or refuses in one line with a remedy.

use husk_tests::{Disk, End, Guest, Outcome, Pretence, Target, build, requires, skip};
use std::fs;

/// Result of a run on a host that lacks something.
#[derive(Clone, Copy, Debug)]
enum Expected {
    /// Runs as on any host; the tender may or may not look for the missing thing.
    Works,
    /// Runs as on any host, although the tender looked for the missing thing in vain.
    DoesWithout,
    /// Runs as on any host, after one line that contains this text; refused with `--strict`.
    Warns(&'static str),
    /// Refused, with one line that contains these texts.
    Refused(&'static [&'static str]),
}
use Expected::{DoesWithout, Refused, Warns, Works};

/// Guest that needs the missing thing.
#[derive(Clone, Copy, Debug)]
enum Needs {
    Nothing,
    Disk,
    Network,
    Memory,
}

impl Needs {
    fn guest(self, disk: &Disk) -> Guest {
        let program = || Guest::image(build::image("hello-std", "hello-std"));
        match self {
            Self::Nothing => program(),
            Self::Disk => {
                std::fs::write(disk.path(), BYTES).expect("its file is ours");
                Guest::image(build::image("block-guests", "disk_use")).flag(disk.flag("")).argument("512")
            }
            Self::Network => program().flag("--net=user").flag("--timeout=50s"),
            Self::Memory => Guest::program("uses_memory").input(b"go on\n"),
        }
    }
}

const BYTES: [u8; 8 * 512] = [b'.'; 8 * 512];

/// Requests to KVM (linux/kvm.h).
const CREATE_VM: u64 = 0xae01;
const CHECK_EXTENSION: u64 = 0xae03;
const GET_API_VERSION: u64 = 0xae00;
const IOEVENTFD: u64 = 0x4040_ae79;
const SET_MSR_FILTER: u64 = 0x4188_aec6;
/// Capabilities of KVM (linux/kvm.h).
const SYNC_REGS: u64 = 74;
const IMMEDIATE_EXIT: u64 = 136;
/// Flag that asks for the version of Landlock.
const LANDLOCK_VERSION: u64 = 1;
/// Entry of the auxiliary vector: features of the processor, of which bit 1 is FSGSBASE.
const HWCAP2: u64 = 26;
/// The newest call of Linux 5.10 (process_madvise).
const LAST_OF_5_10: i64 = 440;

fn ioctl(request: u64, errno: i32) -> Pretence {
    Pretence::call(libc::SYS_ioctl, errno).with(1, request)
}

fn extension(capability: u64) -> Pretence {
    ioctl(CHECK_EXTENSION, 0).with(2, capability).giving(0)
}

fn landlock(version: i64) -> Pretence {
    Pretence::call(libc::SYS_landlock_create_ruleset, 0).with(2, LANDLOCK_VERSION).giving(version)
}

fn advice(advice: libc::c_int) -> Pretence {
    Pretence::call(libc::SYS_madvise, libc::EINVAL).with(2, advice as u64)
}

fn io_uring(errno: i32) -> Vec<Pretence> {
    [libc::SYS_io_uring_setup, libc::SYS_io_uring_enter, libc::SYS_io_uring_register]
        .map(|number| Pretence::call(number, errno))
        .to_vec()
}

type Row = (&'static str, Vec<Pretence>, Needs, Expected, Expected);

/// Hosts, by the things that they lack, with the expected results under hvt and spt.
fn hosts() -> Vec<Row> {
    use Needs::{Disk, Memory, Network, Nothing};
    let populate = || vec![advice(libc::MADV_POPULATE_READ), advice(libc::MADV_POPULATE_WRITE)];
    let huge_pages = vec![advice(libc::MADV_HUGEPAGE), advice(libc::MADV_NOHUGEPAGE)];
    let never = advice(libc::MADV_HUGEPAGE).giving(0);
    let setup = |errno| vec![Pretence::call(libc::SYS_io_uring_setup, errno)];
    let enter = vec![Pretence::call(libc::SYS_io_uring_enter, libc::EPERM)];
    let path = |start, errno| vec![Pretence::Path { start, errno }];
    let no_landlock = |errno| vec![Pretence::call(libc::SYS_landlock_create_ruleset, errno)];
    let linux_5_10 = [populate(), vec![Pretence::CallsAbove(LAST_OF_5_10)]].concat();
    let no_sync = &["KVM_CAP_SYNC_REGS", "use Linux 5.10 or newer"];
    let no_exit = &["KVM_CAP_IMMEDIATE_EXIT", "use Linux 5.10 or newer"];
    let no_base = &["FSGSBASE", "use Linux 5.9 or newer"];
    let msrs = vec![ioctl(SET_MSR_FILTER, libc::ENOTTY)];
    let ipv6 = vec![Pretence::call(libc::SYS_socket, libc::EAFNOSUPPORT).with(0, libc::AF_INET6 as u64)];
    vec![
        ("KVM_X86_SET_MSR_FILTER", msrs, Nothing, Warns("no filter of model-specific registers"), Works),
        ("KVM_CAP_SYNC_REGS", vec![extension(SYNC_REGS)], Nothing, Refused(no_sync), Works),
        ("KVM_CAP_IMMEDIATE_EXIT", vec![extension(IMMEDIATE_EXIT)], Nothing, Refused(no_exit), Works),
        ("KVM_IOEVENTFD", vec![ioctl(IOEVENTFD, libc::ENOTTY)], Network, DoesWithout, Works),
        ("KVM_IOEVENTFD for a disk", vec![ioctl(IOEVENTFD, libc::ENOTTY)], Disk, DoesWithout, Works),
        ("Landlock", no_landlock(libc::ENOSYS), Nothing, Warns("no Landlock"), Warns("no Landlock")),
        ("Landlock at boot", no_landlock(libc::EOPNOTSUPP), Nothing, Warns("no Landlock"), Warns("no Landlock")),
        ("Landlock 2", vec![landlock(1)], Network, Warns("version 1,"), Warns("truncation, TCP ports")),
        ("Landlock 3", vec![landlock(2)], Nothing, Warns("version 2,"), Warns("truncation, TCP ports")),
        ("Landlock 4", vec![landlock(3)], Network, Warns("version 3,"), Warns("filters: TCP ports")),
        ("Landlock 5", vec![landlock(4)], Nothing, Warns("version 4,"), Warns("filters: ioctl on devices")),
        ("Landlock 6", vec![landlock(5)], Nothing, Warns("version 5,"), Warns("filters: abstract UNIX sockets")),
        ("Landlock 7", vec![landlock(6)], Nothing, DoesWithout, DoesWithout),
        ("io_uring, by kernel.io_uring_disabled", setup(libc::EPERM), Disk, DoesWithout, DoesWithout),
        ("io_uring, by a container's filter", io_uring(libc::EPERM), Disk, DoesWithout, DoesWithout),
        ("io_uring", io_uring(libc::ENOSYS), Disk, DoesWithout, DoesWithout),
        ("io_uring, by a filter of its use", enter, Disk, DoesWithout, DoesWithout),
        ("memory for io_uring", setup(libc::ENOMEM), Disk, DoesWithout, DoesWithout),
        ("memfd_create", vec![Pretence::call(libc::SYS_memfd_create, libc::ENOSYS)], Nothing, Works, Works),
        ("MADV_POPULATE_WRITE", populate(), Nothing, Works, Works),
        ("MADV_POPULATE_WRITE for much memory", populate(), Memory, DoesWithout, Works),
        ("transparent huge pages", huge_pages.clone(), Nothing, Works, Works),
        ("transparent huge pages for much memory", huge_pages.clone(), Memory, DoesWithout, Works),
        ("transparent huge pages, set to never", vec![never], Memory, DoesWithout, Works),
        ("both", [populate(), huge_pages].concat(), Memory, DoesWithout, Works),
        ("close_range", vec![Pretence::call(libc::SYS_close_range, libc::ENOSYS)], Nothing, DoesWithout, DoesWithout),
        ("/proc", path("/proc", libc::ENOENT), Nothing, DoesWithout, DoesWithout),
        ("/sys", path("/sys", libc::ENOENT), Network, Works, Works),
        ("control groups", path("/sys/fs/cgroup", libc::ENOENT), Nothing, Works, Works),
        ("IPv6", ipv6, Network, Works, Works),
        ("all that came after Linux 5.10", linux_5_10.clone(), Nothing, Warns("no Landlock"), Warns("no Landlock")),
        ("the same with a disk", linux_5_10.clone(), Disk, Warns("no Landlock"), Warns("no Landlock")),
        ("the same with much memory", linux_5_10.clone(), Memory, Warns("no Landlock"), Warns("no Landlock")),
        ("the same with a network", linux_5_10, Network, Warns("no Landlock"), Warns("no Landlock")),
        ("FSGSBASE", vec![Pretence::Auxiliary { kind: HWCAP2, value: 0 }], Nothing, Works, Refused(no_base)),
    ]
}

fn check(target: Target, (what, pretences, needs, hvt, spt): &Row) {
    let expected = if target == Target::Hvt { hvt } else { spt };
    let disk = Disk::of(&BYTES);
    let guest = || needs.guest(&disk).flag(target.flag());
    let here = guest().run();
    here.expect_success();
    let there = guest().run_pretending(pretences);
    let context = format!("no {what}, {}: {}", target.name(), there.outcome);
    let is_looked_for = !matches!(expected, Works);
    let is_call = pretences.iter().any(|pretence| !matches!(pretence, Pretence::Auxiliary { .. }));
    assert!(!is_looked_for || !is_call || there.times > 0, "it was not looked for: {context}");
    if let Refused(parts) = expected {
        there.outcome.expect_refusal(parts);
        return;
    }
    assert_eq!((there.outcome.end(), there.outcome.stdout()), (End::Exit(0), here.stdout()), "{context}");
    assert_eq!(there.outcome.stderr(), here.stderr(), "{context}");
    match expected {
        Warns(part) => {
            assert!(matches!(there.outcome.warnings()[..], [one] if one.contains(part)), "{context}");
            let strict = guest().flag("--strict").run_pretending(pretences);
            strict.outcome.expect_refusal(&["this host protects less than others", part, "--strict"]);
            assert_eq!(strict.outcome.stdout(), "", "{context}");
        }
        _ => assert_eq!(there.outcome.warnings(), here.warnings(), "{context}"),
    }
}

#[test]
fn a_machine_does_without_what_its_host_lacks_or_says_so() {
    if !Target::all().contains(&Target::Hvt) {
        return skip!("a test that needs /dev/kvm");
    }
    hosts().iter().for_each(|row| check(Target::Hvt, row));
}

#[test]
fn a_process_does_without_what_its_host_lacks_or_says_so() {
    hosts().iter().for_each(|row| check(Target::Spt, row));
}

fn hello() -> Guest {
    Guest::image(build::image("hello", "hello"))
}

/// Reasons for which a KVM that exists cannot be used, and texts that the remedies contain.
fn unusable() -> Vec<(Pretence, &'static [&'static str])> {
    let open = |errno| Pretence::Path { start: "/dev/kvm", errno };
    vec![
        (open(libc::EACCES), &["no permission to use /dev/kvm"]),
        (open(libc::EPERM), &["container", "--device /dev/kvm"]),
        (open(libc::EBUSY), &["another hypervisor", "stop it"]),
        (open(libc::EMFILE), &["no descriptor", "ulimit -n"]),
        (open(libc::ENFILE), &["no open file", "fs.file-max"]),
        (open(libc::ENOMEM), &["cannot open /dev/kvm"]),
        (open(libc::EIO), &["cannot open /dev/kvm"]),
        (ioctl(GET_API_VERSION, libc::ENOTTY), &["is not the device of KVM"]),
        (ioctl(CREATE_VM, libc::EBUSY), &["another hypervisor", "stop it"]),
        (ioctl(CREATE_VM, libc::EMFILE), &["no descriptor", "ulimit -n"]),
    ]
}

#[test]
fn a_kvm_that_is_there_and_cannot_be_used_is_an_error_with_a_remedy() {
    if !Target::all().contains(&Target::Hvt) {
        return skip!("a test that needs /dev/kvm");
    }
    for (pretence, parts) in unusable() {
        for flags in [&[][..], &["--strict"], &["--target=hvt"]] {
            let guest = flags.iter().fold(hello().of_any_target(), |guest, flag| guest.flag(*flag));
            let refused = guest.run_pretending(std::slice::from_ref(&pretence));
            assert!(refused.times > 0, "{pretence:?}");
            refused.outcome.expect_refusal(&[parts, &["--target spt"][..]].concat());
        }
        let process = hello().flag("--target=spt").run_pretending(std::slice::from_ref(&pretence));
        process.outcome.expect_success();
        assert_eq!((process.outcome.stderr(), process.times), (String::new(), 0), "{}", process.outcome);
    }
}

/// KVM_CREATE_VM fails with EINTR while a signal is pending.
#[test]
fn a_machine_that_a_signal_kept_from_being_made_is_made_again() {
    if !Target::all().contains(&Target::Hvt) {
        return skip!("a test that needs /dev/kvm");
    }
    // Here, it fails for ever; the tender stops trying after some attempts.
    let kept = hello().flag("--target=hvt").run_pretending(&[ioctl(CREATE_VM, libc::EINTR)]);
    assert!(kept.times > 1, "{} attempt: {}", kept.times, kept.outcome);
    kept.outcome.expect_refusal(&["create a virtual machine"]);
}

#[test]
fn a_host_without_kvm_runs_guests_as_processes_and_says_so() {
    for errno in [libc::ENOENT, libc::ENODEV, libc::ENXIO] {
        let host = [Pretence::Path { start: "/dev/kvm", errno }];
        let process = hello().of_any_target().run_pretending(&host).outcome;
        process.expect_success().expect_stdout("Hello from a Husk guest\n");
        let stderr = process.stderr();
        assert!(stderr.starts_with("husk: runs as a process: /dev/kvm "), "{process}");
        assert_eq!(stderr.lines().count(), 1, "{process}");
        let chosen = hello().flag("--target=spt").flag("--strict").run_pretending(&host).outcome;
        assert_eq!((chosen.end(), chosen.stderr().as_str()), (End::Exit(0), ""), "{chosen}");
        let strict = hello().of_any_target().flag("--strict").run_pretending(&host).outcome;
        strict.expect_refusal(&["/dev/kvm", "--strict", "--target spt"]);
        hello().flag("--target=hvt").run_pretending(&host).outcome.expect_refusal(&["/dev/kvm", "virtualisation"]);
    }
}

/// Runs the tender under a shell's command in a mount namespace of its own.
fn in_namespace(guest: Guest, command: &str) -> Outcome {
    let line = format!("mount --make-rprivate / && {command} \"$@\"");
    guest.through(&["unshare", "--mount", "sh", "-c", &line, "sh"]).run()
}

#[test]
fn whoever_is_not_in_the_devices_group_is_named_it() {
    if !requires::root() {
        return;
    }
    let guest = || hello().of_any_target();
    let device = |rights: &str, owner: &str| {
        let make = format!("mknod -m {rights} /dev/kvm c 10 232 && chown {owner} /dev/kvm");
        format!("mount -t tmpfs none /dev && {make} && exec setpriv --reuid 65534 --regid 65534 --clear-groups")
    };
    let outcome = in_namespace(guest(), &device("660", "0:4242"));
    outcome.expect_refusal(&["usermod -aG 4242 $USER", "log in again", "--target spt"]);
    let outcome = in_namespace(guest(), &device("600", "0:0"));
    outcome.expect_refusal(&["root's alone", "chown root:kvm /dev/kvm", "--target spt"]);
    let outcome = in_namespace(guest(), "mount -t tmpfs none /dev && echo > /dev/kvm && exec");
    outcome.expect_refusal(&["is not the device of KVM", "--target spt"]);
}

#[test]
fn guests_run_where_proc_and_sys_are_not_mounted() {
    if !requires::root() {
        return;
    }
    let empty = "mount -t tmpfs none /sys && mount -t tmpfs none /proc && exec";
    for target in Target::all() {
        let guest = Guest::image(build::image("hello-std", "hello-std")).flag(target.flag()).flag("--net=user");
        let outcome = in_namespace(guest, empty);
        assert_eq!((outcome.end(), outcome.stderr().as_str()), (End::Exit(0), ""), "{outcome}");
    }
}

/// The counter that a process reads may only be its clock if the kernel trusts it, which it says in a file.
#[test]
fn a_counter_that_the_kernel_distrusts_is_no_clock() {
    const OFFERED: &str = "/sys/devices/system/clocksource/clocksource0/available_clocksource";
    if !requires::root() {
        return;
    }
    let folder = tempfile::tempdir().expect("a folder");
    let asks = |offered: &str| {
        let file = folder.path().join("offered");
        fs::write(&file, offered).expect("a file");
        let guest = Guest::image(build::image("programs", "clocks")).flag("--target=spt").flag("--verbose");
        let mount = format!("mount --bind {} {OFFERED} && exec", file.display());
        let outcome = in_namespace(guest.input(b"watch 0\n"), &mount);
        outcome.expect_success();
        outcome.stderr().contains(" Time ")
    };
    assert!(asks("kvm-clock acpi_pm \n"), "the host keeps the time");
    assert!(!asks("tsc kvm-clock acpi_pm \n"), "the counter keeps the time");
}

/// Calls that every run needs, those by which a guest waits and prints, and those on a disk's file, because their errors are
/// the guest's. Two are older than any supported Linux, and libraries misread their absence: without mprotect(2), the C
/// library believes that there is no memory protection; and a sleep that fails stops the standard library.
const TAKEN_FOR_GRANTED: [i64; 17] = [
    libc::SYS_exit,
    libc::SYS_exit_group,
    libc::SYS_rt_sigreturn,
    libc::SYS_rt_sigprocmask,
    libc::SYS_getpid,
    libc::SYS_futex,
    libc::SYS_read,
    libc::SYS_write,
    libc::SYS_writev,
    libc::SYS_ppoll,
    libc::SYS_mmap,
    libc::SYS_mprotect,
    libc::SYS_brk,
    libc::SYS_clock_nanosleep,
    libc::SYS_pwrite64,
    libc::SYS_preadv2,
    libc::SYS_pwritev2,
];

/// Failures of each kind of call where a kernel does not have it or a filter forbids it: every time, not once.
#[test]
fn a_call_that_a_host_does_not_have_or_forbids_is_done_without_or_named() {
    let disk = Disk::of(&BYTES);
    for (target, needs) in Target::all()
        .into_iter()
        .flat_map(|target| [Needs::Nothing, Needs::Disk, Needs::Network].map(|needs| (target, needs)))
    {
        let guest = || needs.guest(&disk).flag(target.flag());
        let stdout = guest().run().stdout();
        let kinds = guest().calls().into_iter().filter(|kind| match kind {
            Pretence::Call { number, .. } => !TAKEN_FOR_GRANTED.contains(number),
            _ => true,
        });
        let (mut works, mut refused, mut wrong) = (0, 0, vec![]);
        for kind in kinds {
            for errno in [libc::ENOSYS, libc::EPERM] {
                let outcome = guest().run_pretending(&[kind.clone().giving(-i64::from(errno))]).outcome;
                let stderr = outcome.stderr();
                match (outcome.end(), &stderr.lines().collect::<Vec<_>>()[..]) {
                    (End::Exit(0), []) if outcome.stdout() == stdout => works += 1,
                    (End::Exit(125), [line]) if line.starts_with("husk: ") => refused += 1,
                    _ => wrong.push(format!("{kind:?} is {errno}: {outcome}")),
                }
            }
        }
        assert!(wrong.is_empty(), "{}, {needs:?}: {}", target.name(), wrong.join("\n"));
        assert!(works > 0 && refused > 0, "{}, {needs:?}: both occur", target.name());
    }
}

//! `husk check`: features of a host, with a remedy beside each that is missing, and an exit status of 0 if guests run well
//! in virtual machines.

use husk_tests::pretence::{self, Pretence};
use husk_tests::{Outcome, Target, build, requires, run_briefly, skip};
use serde_json::Value;
use std::os::unix::process::CommandExt;
use std::process::Command;

/// Requests to KVM, and its capabilities (linux/kvm.h).
const CREATE_VM: u64 = 0xae01;
const CHECK_EXTENSION: u64 = 0xae03;
const RUN: u64 = 0xae80;
const IOEVENTFD: u64 = 36;
const TSC_KHZ: u64 = 61;
const SYNC_REGS: u64 = 74;
const VCPU_ATTRIBUTES: u64 = 127;
const MSR_FILTER: u64 = 189;

fn check(flags: &[&str]) -> Command {
    let mut command = Command::new(build::husk());
    command.arg("check").args(flags);
    command
}

fn run(mut command: Command) -> Outcome {
    run_briefly(&mut command)
}

/// JSON output of a check.
struct Said(Value);

impl Said {
    #[track_caller]
    fn of(outcome: &Outcome) -> Self {
        let said: Value = serde_json::from_str(&outcome.stdout()).unwrap_or_else(|error| panic!("{error}: {outcome}"));
        let status = if said["well"] == true { 0 } else { 1 };
        outcome.expect_status(status);
        assert_eq!(outcome.stderr(), "", "{outcome}");
        Self(said)
    }

    fn row(&self, name: &str) -> &Value {
        let rows = self.0["rows"].as_array().expect("a list");
        rows.iter().find(|row| row["name"] == name).unwrap_or_else(|| panic!("no '{name}' in {}", self.0))
    }

    fn is_well(&self) -> bool {
        self.0["well"] == true
    }
}

#[test]
fn a_host_with_kvm_is_measured() {
    let outcome = run(check(&["--json"]));
    let said = Said::of(&outcome);
    assert_eq!(said.is_well(), Target::all().contains(&Target::Hvt), "{outcome}");
    if said.is_well() {
        for name in ["exit and back", "trapped system call", "first touch of a page"] {
            let row = said.row(name);
            assert!(row["number"].as_u64().is_some_and(|ns| ns > 0) && row["unit"] == "ns", "{row}");
        }
    }
    for row in said.0["rows"].as_array().expect("a list") {
        let lacks = !["ok", "is"].contains(&row["state"].as_str().expect("text"));
        assert_eq!(lacks, row["remedy"].is_string(), "a remedy beside what is missing, and nowhere else: {row}");
    }
}

#[test]
fn people_get_a_plain_table_through_a_pipe() {
    let outcome = run(check(&[]));
    let text = outcome.stdout();
    assert!(text.starts_with("KVM\n  device ") && !text.contains('\x1b'), "{outcome}");
    for group in ["\nprocessor\n", "\nkernel\n", "\nnetwork\n", "\ndisks\n", "\nlimits\n"] {
        assert!(text.contains(group), "{outcome}");
    }
    assert!(text.lines().last().is_some_and(|verdict| verdict.starts_with("guests ")), "{outcome}");
}

type Row = (Vec<Pretence>, &'static str, &'static str, &'static str);

/// Hosts that lack something: pretences that make it so, name and state of the row about it, and a part of the remedy.
fn lacking() -> Vec<Row> {
    let call = Pretence::call;
    let extension = |capability| vec![call(libc::SYS_ioctl, 0).with(1, CHECK_EXTENSION).with(2, capability).giving(0)];
    let kvm = |errno| vec![Pretence::Path { start: "/dev/kvm", errno }];
    let ioctl = |request, errno| vec![call(libc::SYS_ioctl, errno).with(1, request)];
    let landlock = |version| vec![call(libc::SYS_landlock_create_ruleset, 0).giving(version)];
    let advice = vec![call(libc::SYS_madvise, libc::EINVAL).with(2, libc::MADV_POPULATE_WRITE as u64)];
    let no_thp = vec![call(libc::SYS_prctl, 0).with(0, libc::PR_GET_THP_DISABLE as u64).giving(1)];
    let ipv6 = vec![call(libc::SYS_socket, libc::EAFNOSUPPORT).with(0, libc::AF_INET6 as u64)];
    let tun = |errno| vec![Pretence::Path { start: "/dev/net/tun", errno }];
    const HWCAP2: u64 = 26;
    vec![
        (kvm(libc::ENOENT), "device", "missing", "load the kvm module"),
        (kvm(libc::ENODEV), "device", "missing", "kvm_intel"),
        (kvm(libc::EACCES), "device", "missing", "--target spt"),
        (kvm(libc::EPERM), "device", "missing", "--device /dev/kvm"),
        (kvm(libc::EMFILE), "device", "missing", "ulimit -n"),
        (ioctl(CREATE_VM, libc::EBUSY), "test guest", "missing", "line"),
        (ioctl(RUN, libc::EINVAL), "test guest", "missing", "line"),
        (extension(SYNC_REGS), "extensions", "missing", "Linux 5.10"),
        (extension(MSR_FILTER), "MSR filter", "weaker", "Linux 5.10"),
        (extension(IOEVENTFD), "ioeventfd", "without", "newer kernel"),
        (extension(TSC_KHZ), "counter's rate", "without", "newer kernel"),
        (extension(VCPU_ATTRIBUTES), "counter's offset", "without", "Linux 5.16"),
        (landlock(-i64::from(libc::ENOSYS)), "Landlock", "weaker", "Linux 5.13"),
        (landlock(2), "Landlock", "weaker", "Linux 6.12"),
        (vec![call(libc::SYS_seccomp, libc::ENOSYS)], "seccomp", "missing", "CONFIG_SECCOMP_FILTER"),
        (vec![call(libc::SYS_io_uring_setup, libc::EPERM)], "io_uring", "without", "seccomp profile"),
        (vec![call(libc::SYS_io_uring_setup, libc::ENOSYS)], "io_uring", "without", "CONFIG_IO_URING"),
        (vec![call(libc::SYS_memfd_create, libc::EPERM)], "memfd", "without", "memfd_create"),
        (advice, "MADV_POPULATE", "without", "Linux 5.14"),
        (no_thp, "huge pages", "without", "PR_SET_THP_DISABLE"),
        (ipv6, "IPv6", "without", "disable_ipv6=0"),
        (tun(libc::ENOENT), "TAP", "without", "modprobe tun"),
        (tun(libc::EACCES), "TAP", "without", "takes root"),
        (vec![Pretence::Auxiliary { kind: HWCAP2, value: 0 }], "FSGSBASE", "without", "Linux 5.9"),
    ]
}

#[test]
fn what_a_host_lacks_has_a_remedy_beside_it() {
    let has_kvm = Target::all().contains(&Target::Hvt);
    for (pretences, name, state, remedy) in lacking() {
        let ioctl = |pretence: &Pretence| matches!(pretence, Pretence::Call { number: libc::SYS_ioctl, .. });
        if !has_kvm && pretences.iter().any(ioctl) {
            skip!("what KVM can lack, as there is no /dev/kvm");
            continue;
        }
        let outcome = pretence::run(check(&["--json"]), &pretences).outcome;
        let said = Said::of(&outcome);
        let row = said.row(name);
        assert_eq!(row["state"], state, "{pretences:?}: {row}");
        assert!(row["remedy"].as_str().is_some_and(|text| text.contains(remedy)), "{pretences:?}: {row}");
        assert!(state != "missing" || !said.is_well(), "{pretences:?}: {outcome}");
        assert!(state != "weaker" || said.0["strict"] == false, "{pretences:?}: {outcome}");
        assert!(state == "missing" || said.is_well() == has_kvm, "{pretences:?}: {outcome}");
    }
}

#[test]
fn a_guest_that_does_not_come_back_is_not_well() {
    if !Target::all().contains(&Target::Hvt) {
        return skip!("a test that needs /dev/kvm");
    }
    // EINTR, as when a signal arrives: the check's own alarm ends a guest that runs for ever in this way.
    let interrupted = [Pretence::call(libc::SYS_ioctl, libc::EINTR).with(1, RUN)];
    let outcome = pretence::run(check(&["--json"]), &interrupted).outcome;
    assert_eq!(Said::of(&outcome).row("test guest")["state"], "missing", "{outcome}");
}

#[test]
fn a_check_needs_neither_privileges_nor_files() {
    if !requires::root() {
        return;
    }
    let mut command = check(&["--json"]);
    command.uid(65534).gid(65534);
    let said = Said::of(&run(command));
    let device = said.row("device");
    assert!(device["state"] == "ok" || device["remedy"].as_str().is_some_and(|text| text.contains("kvm")), "{device}");
    assert!(said.row("user")["value"].as_str().is_some_and(|text| text.starts_with("65534")), "{}", said.0);

    let mut command = Command::new("unshare");
    let hide =
        "mount --make-rprivate / && for each in /proc /sys /dev; do mount -t tmpfs none $each; done && exec \"$@\"";
    command.args(["--mount", "sh", "-c", hide, "sh"]).arg(build::husk()).args(["check", "--json"]);
    let said = Said::of(&run(command));
    assert!(!said.is_well() && said.row("device")["state"] == "missing", "{}", said.0);
    assert!(said.row("mappings")["value"].as_str().is_some_and(|text| text.contains("unknown")), "{}", said.0);
}

//! Resources that guests of different owners share on one machine: hints for hosts in production.

use super::{Host, Row, State, limits};
use std::os::unix::fs::MetadataExt;

const GROUP: &str = "neighbours";

/// Rows about everything that is shared, as far as files of the kernel show it.
pub fn rows(host: &Host) -> Vec<Row> {
    [device(host), threads(host), merged(host), swap(host), vulnerable(host)].into_iter().flatten().collect()
}

fn device(host: &Host) -> Option<Row> {
    const OTHERS: u32 = 0o006;
    let found = host.root.join("dev/kvm").metadata().ok()?;
    let row = |state, value: String| Row::new(GROUP, "/dev/kvm", state, value);
    Some(match found.mode() & OTHERS {
        0 => row(State::Good, format!("for user {} and group {}", found.uid(), found.gid())),
        _ => row(State::Shared, "every user of this machine can make virtual machines".to_owned())
            .remedy("chgrp kvm /dev/kvm; chmod 660 /dev/kvm (a rule of udev keeps it so), and put into that group who runs guests"),
    })
}

fn threads(host: &Host) -> Option<Row> {
    let row = |state, value: &str| Row::new(GROUP, "hardware threads", state, value);
    match host.number("sys/devices/system/cpu/smt/active")? {
        0 => Some(row(State::Good, "one for each core")),
        _ => Some(row(State::Shared, "several share a core, and what its caches and buffers give away").remedy(
            "for strangers' code, switch SMT off (kernel parameter nosmt) or keep owners on cores of their own (cpusets)",
        )),
    }
}

fn merged(host: &Host) -> Option<Row> {
    let row = |state, value: &str| Row::new(GROUP, "equal pages", state, value);
    match host.number("sys/kernel/mm/ksm/run")? {
        1 => Some(
            row(State::Shared, "are merged (KSM), so the time of a write tells what others hold")
                .remedy("echo 2 > /sys/kernel/mm/ksm/run"),
        ),
        _ => Some(row(State::Good, "are not merged")),
    }
}

fn swap(host: &Host) -> Option<Row> {
    let used = host.read("proc/swaps")?.lines().count() > 1;
    let row = |state, value: &str| Row::new(GROUP, "swap", state, value);
    Some(match used {
        true if limits::is_never_swapped(host) => row(State::Good, "none for this control group"),
        true => row(State::Shared, "guests' memory may be written to a disk").remedy(
            "encrypt the swap space, or switch it off (`swapoff -a`), or set memory.swap.max of the control group to 0",
        ),
        false => row(State::Good, "none: guests' memory stays in memory"),
    })
}

fn vulnerable(host: &Host) -> Option<Row> {
    let folder = host.root.join("sys/devices/system/cpu/vulnerabilities");
    let mut names: Vec<String> = std::fs::read_dir(folder)
        .ok()?
        .filter_map(|entry| entry.ok()?.file_name().into_string().ok())
        .filter(|name| {
            let text = host.read(format!("sys/devices/system/cpu/vulnerabilities/{name}"));
            text.is_some_and(|text| text.starts_with("Vulnerable"))
        })
        .collect();
    names.sort();
    let row = |state, value: String| Row::new(GROUP, "processor flaws", state, value);
    Some(match names.is_empty() {
        true => row(State::Good, "none is left open, says the kernel".to_owned()),
        false => row(State::Shared, format!("open: {}", names.join(", ")))
            .remedy("update microcode and kernel, and start it without mitigations=off"),
    })
}

#[cfg(test)]
mod tests {
    use super::super::tests::host;
    use super::*;
    use std::os::unix::fs::PermissionsExt;

    const FLAWS: &str = "sys/devices/system/cpu/vulnerabilities";

    #[test]
    fn a_machine_that_is_shared_says_what_to_do() {
        let open = host(
            "shared",
            &[
                ("dev/kvm", ""),
                ("sys/devices/system/cpu/smt/active", "1\n"),
                ("sys/kernel/mm/ksm/run", "1\n"),
                ("proc/swaps", "Filename\tType\n/dev/sda2 partition\n"),
                (&format!("{FLAWS}/mds"), "Vulnerable: Clear CPU buffers attempted, no microcode\n"),
                (&format!("{FLAWS}/meltdown"), "Mitigation: PTI\n"),
            ],
        );
        let everyone = std::fs::Permissions::from_mode(0o666);
        std::fs::set_permissions(open.root.join("dev/kvm"), everyone).expect("our file");
        let rows = rows(&open);
        assert_eq!(rows.len(), 5);
        assert!(rows.iter().all(|row| row.state == State::Shared && row.remedy.is_some()), "{rows:?}");
        assert_eq!(rows[4].value, "open: mds");
    }

    #[test]
    fn a_machine_that_is_not_has_nothing_to_do() {
        let closed = host(
            "closed",
            &[
                ("dev/kvm", ""),
                ("sys/devices/system/cpu/smt/active", "0\n"),
                ("sys/kernel/mm/ksm/run", "0\n"),
                ("proc/swaps", "Filename\tType\n"),
                (&format!("{FLAWS}/meltdown"), "Not affected\n"),
            ],
        );
        let group = std::fs::Permissions::from_mode(0o660);
        std::fs::set_permissions(closed.root.join("dev/kvm"), group).expect("our file");
        assert!(rows(&closed).len() == 5 && rows(&closed).iter().all(|row| row.state == State::Good));
        let group = [
            ("proc/self/cgroup", "0::/a\n"),
            ("sys/fs/cgroup/a/memory.swap.max", "0\n"),
            ("proc/swaps", "Filename\tType\n/dev/sda2 partition\n"),
        ];
        assert_eq!(rows(&host("never swapped", &group))[0].state, State::Good);
        assert!(rows(&host("unknown", &[])).is_empty());
    }
}

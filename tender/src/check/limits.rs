//! Limits of this process, and of the control groups that it is in.

use super::{Host, Row, State};
use crate::limits::rlimit;
use crate::size::Size;
use std::path::Path;

const GROUP: &str = "limits";

/// Rows about everything that is limited.
pub fn rows(host: &Host) -> Vec<Row> {
    vec![
        descriptors(limit(libc::RLIMIT_NOFILE as i32)),
        addresses(limit(libc::RLIMIT_AS as i32)),
        Row::new(GROUP, "locked memory", State::Fact, bytes(limit(libc::RLIMIT_MEMLOCK as i32))),
        mappings(host),
        overcommit(host),
        memory(host),
        processor(host),
        tasks(host),
    ]
}

/// Returns the soft limit of this resource; nothing if it is unlimited.
fn limit(resource: i32) -> Option<u64> {
    rlimit::get(resource).ok().map(|limit| limit.rlim_cur).filter(|limit| *limit != libc::RLIM_INFINITY)
}

fn bytes(limit: Option<u64>) -> String {
    limit.map_or("unlimited".to_owned(), |bytes| Size(bytes).to_string())
}

fn descriptors(limit: Option<u64>) -> Row {
    /// Usual soft limit. A run takes some twenty, and the user-mode network one for each connection.
    const USUAL: u64 = 1024;
    let value = limit.map_or("unlimited".to_owned(), |count| format!("{count}, of which each connection takes one"));
    match limit {
        Some(..USUAL) => Row::new(GROUP, "descriptors", State::Without, value).remedy("allow more (`ulimit -n 20000`)"),
        _ => Row::new(GROUP, "descriptors", State::Good, value),
    }
}

fn addresses(limit: Option<u64>) -> Row {
    match limit {
        None => Row::new(GROUP, "addresses", State::Good, "unlimited"),
        Some(limit) => {
            Row::new(GROUP, "addresses", State::Without, format!("{}, guests' memory included", Size(limit)))
                .remedy("`ulimit -v unlimited`, and limit memory by a control group")
        }
    }
}

fn mappings(host: &Host) -> Row {
    /// The kernel's default; a guest that protects many pages takes as many mappings.
    const USUAL: u64 = 65530;
    match host.number("proc/sys/vm/max_map_count") {
        Some(count @ ..USUAL) => Row::new(GROUP, "mappings", State::Without, count.to_string())
            .remedy(format!("sysctl vm.max_map_count={USUAL}: guests protect pages one by one")),
        Some(count) => Row::new(GROUP, "mappings", State::Good, count.to_string()),
        None => Row::new(GROUP, "mappings", State::Fact, "unknown, as /proc is not there"),
    }
}

fn overcommit(host: &Host) -> Row {
    const NEVER: u64 = 2;
    match host.number("proc/sys/vm/overcommit_memory") {
        Some(NEVER) => {
            Row::new(GROUP, "overcommit", State::Without, "never: all memory of a guest counts from its start")
                .remedy("sysctl vm.overcommit_memory=0, or give guests no more --memory than they use")
        }
        Some(_) => Row::new(GROUP, "overcommit", State::Good, "memory of guests counts when it is used"),
        None => Row::new(GROUP, "overcommit", State::Fact, "unknown, as /proc is not there"),
    }
}

fn memory(host: &Host) -> Row {
    let value = |limit: Option<&str>| limit?.parse::<u64>().ok().filter(|bytes| *bytes < 1 << 60);
    let all = files(host, "memory", &["memory.max", "memory.limit_in_bytes"]);
    match all.iter().filter_map(|text| value(Some(text))).min() {
        Some(bytes) => Row::new(GROUP, "memory", State::Fact, format!("{} for this control group", Size(bytes)))
            .number(bytes, "bytes"),
        None => Row::new(GROUP, "memory", State::Good, "no limit of a control group"),
    }
}

fn processor(host: &Host) -> Row {
    let second = files(host, "cpu", &["cpu.max"]);
    let second = second.iter().filter_map(|text| text.split_once(' '));
    let (quotas, periods) = (files(host, "cpu", &["cpu.cfs_quota_us"]), files(host, "cpu", &["cpu.cfs_period_us"]));
    let first = quotas.iter().map(String::as_str).zip(periods.iter().map(String::as_str));
    let share = |(quota, period): (&str, &str)| {
        let (quota, period) = (quota.parse::<u64>().ok()?, period.parse::<u64>().ok()?);
        quota.checked_mul(100)?.checked_div(period)
    };
    match second.chain(first).filter_map(share).min() {
        Some(percent) => {
            Row::new(GROUP, "processor time", State::Fact, format!("{percent}% of one for this control group"))
                .number(percent, "%")
        }
        None => Row::new(GROUP, "processor time", State::Good, "no limit of a control group"),
    }
}

fn tasks(host: &Host) -> Row {
    /// Tasks of a run: at most three processes, a thread for the devices, and the kernel's workers of io_uring.
    const ENOUGH: u64 = 32;
    let limit = files(host, "pids", &["pids.max"]).iter().filter_map(|text| text.parse::<u64>().ok()).min();
    match limit {
        Some(count @ ..ENOUGH) => Row::new(GROUP, "tasks", State::Without, format!("{count} for this control group"))
            .remedy(format!("allow {ENOUGH} for each guest (pids.max, TasksMax=)")),
        Some(count) => Row::new(GROUP, "tasks", State::Fact, format!("{count} for this control group")),
        None => Row::new(GROUP, "tasks", State::Good, "no limit of a control group"),
    }
}

/// Returns true if this control group, or one above it, has no swap.
pub fn is_never_swapped(host: &Host) -> bool {
    files(host, "memory", &["memory.swap.max"]).iter().any(|text| text == "0")
}

/// Returns the contents of files of these names in this process' control group and those above it: of version 2, which has
/// one hierarchy, and of version 1, which has one for each controller (cgroups(7)).
fn files(host: &Host, controller: &str, names: &[&str]) -> Vec<String> {
    let groups = host.read("proc/self/cgroup").unwrap_or_default();
    let mut found = Vec::new();
    for line in groups.lines() {
        let mut fields = line.splitn(3, ':').skip(1);
        let (Some(controllers), Some(path)) = (fields.next(), fields.next()) else { continue };
        let mounts = match controllers {
            "" => vec!["sys/fs/cgroup".to_owned(), "sys/fs/cgroup/unified".to_owned()],
            _ if controllers.split(',').any(|one| one == controller) => {
                vec![format!("sys/fs/cgroup/{controller}"), format!("sys/fs/cgroup/{controllers}")]
            }
            _ => continue,
        };
        for mount in mounts {
            let places = Path::new(path.trim_start_matches('/')).ancestors();
            let files = places.flat_map(|place| names.iter().map(move |name| (place, name)));
            found.extend(files.filter_map(|(place, name)| host.read(Path::new(&mount).join(place).join(name))));
        }
        found.dedup();
    }
    found
}

#[cfg(test)]
mod tests {
    use super::super::tests::host;
    use super::*;

    #[test]
    fn control_groups_of_version_2_limit_with_all_above_them() {
        let host = host(
            "cgroup2",
            &[
                ("proc/self/cgroup", "0::/a/b\n"),
                ("sys/fs/cgroup/a/b/memory.max", "max\n"),
                ("sys/fs/cgroup/a/memory.max", "1073741824\n"),
                ("sys/fs/cgroup/a/b/cpu.max", "50000 100000\n"),
                ("sys/fs/cgroup/a/cpu.max", "max 100000\n"),
                ("sys/fs/cgroup/a/b/pids.max", "max\n"),
                ("sys/fs/cgroup/a/pids.max", "64\n"),
                ("sys/fs/cgroup/a/memory.swap.max", "0\n"),
            ],
        );
        assert_eq!(tasks(&host).value, "64 for this control group");
        assert!(is_never_swapped(&host));
        assert_eq!(memory(&host).value, "1G for this control group");
        assert_eq!(processor(&host).number, Some((50, "%")));
    }

    #[test]
    fn control_groups_of_version_1_are_one_for_each_controller() {
        let host = host(
            "cgroup1",
            &[
                ("proc/self/cgroup", "4:memory:/x\n2:cpu,cpuacct:/y\n0::/\n"),
                ("sys/fs/cgroup/memory/x/memory.limit_in_bytes", "67108864\n"),
                ("sys/fs/cgroup/memory/memory.limit_in_bytes", "9223372036854771712\n"),
                ("sys/fs/cgroup/cpu,cpuacct/y/cpu.cfs_quota_us", "200000\n"),
                ("sys/fs/cgroup/cpu,cpuacct/y/cpu.cfs_period_us", "100000\n"),
                ("sys/fs/cgroup/cpu,cpuacct/cpu.cfs_quota_us", "-1\n"),
                ("sys/fs/cgroup/cpu,cpuacct/cpu.cfs_period_us", "100000\n"),
            ],
        );
        assert_eq!(memory(&host).value, "64M for this control group");
        assert_eq!(processor(&host).value, "200% of one for this control group");
    }

    #[test]
    fn a_host_without_proc_and_sys_is_unknown() {
        let nothing = host("empty", &[]);
        assert!(tasks(&nothing).state == State::Good && !is_never_swapped(&nothing));
        assert_eq!((memory(&nothing).state, processor(&nothing).state), (State::Good, State::Good));
        assert_eq!((mappings(&nothing).state, overcommit(&nothing).state), (State::Fact, State::Fact));
    }

    #[test]
    fn what_is_too_little_has_a_remedy() {
        let small = host("small", &[("proc/sys/vm/max_map_count", "1000"), ("proc/sys/vm/overcommit_memory", "2")]);
        for row in [descriptors(Some(64)), addresses(Some(1 << 30)), mappings(&small), overcommit(&small)] {
            assert!(row.state == State::Without && row.remedy.is_some(), "{row:?}");
        }
        let few = host("few", &[("proc/self/cgroup", "3:pids:/x\n"), ("sys/fs/cgroup/pids/x/pids.max", "8\n")]);
        assert!(tasks(&few).state == State::Without && tasks(&few).remedy.is_some());
        assert_eq!((descriptors(None).state, addresses(None).state), (State::Good, State::Good));
    }
}

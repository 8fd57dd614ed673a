//! Texts of `/proc/self/status` and `/proc/self/limits`: see proc_pid_status(5) and proc_pid_limits(5).

use super::generated::{Facts, Range, Signals};
use crate::identity::Ids;
use crate::identity::capabilities::Capabilities;
use alloc::string::String;
use core::fmt::{self, Write};

/// Limits of resources by number, each soft and hard.
pub type Limits = [[u64; 2]; 16];

/// Index of the limit of pending signals.
const PENDING_SIGNALS: usize = 11;

/// Name and unit of each resource, in the order of the numbers of getrlimit(2).
const RESOURCES: [(&str, &str); 16] = [
    ("Max cpu time", "seconds"),
    ("Max file size", "bytes"),
    ("Max data size", "bytes"),
    ("Max stack size", "bytes"),
    ("Max core file size", "bytes"),
    ("Max resident set", "bytes"),
    ("Max processes", "processes"),
    ("Max open files", "files"),
    ("Max locked memory", "bytes"),
    ("Max address space", "bytes"),
    ("Max file locks", "locks"),
    ("Max pending signals", "signals"),
    ("Max msgqueue size", "bytes"),
    ("Max nice priority", ""),
    ("Max realtime priority", ""),
    ("Max realtime timeout", "us"),
];

/// State of the process, for people.
pub fn status(out: &mut String, facts: &Facts<'_>) -> fmt::Result {
    let used = (facts.memory - facts.memory_free) / 1024;
    let identity = &facts.identity;
    writeln!(out, "Name:\t{}\nUmask:\t{:04o}\nState:\tR (running)", facts.named(), facts.umask)?;
    writeln!(out, "Tgid:\t1\nNgid:\t0\nPid:\t1\nPPid:\t0\nTracerPid:\t0")?;
    ids(out, "Uid", identity.users)?;
    ids(out, "Gid", identity.groups)?;
    out.write_str("FDSize:\t64\nGroups:\t")?;
    for (separator, group) in core::iter::once("").chain(core::iter::repeat(" ")).zip(identity.others()) {
        write!(out, "{separator}{group}")?;
    }
    writeln!(out, " \nNStgid:\t1\nNSpid:\t1\nNSpgid:\t1\nNSsid:\t1")?;
    writeln!(out, "VmPeak:\t{used:8} kB\nVmSize:\t{:8} kB\nVmHWM:\t{used:8} kB", facts.mapped / 1024)?;
    writeln!(out, "VmRSS:\t{used:8} kB\nVmSwap:\t       0 kB\nThreads:\t{}", facts.threads)?;
    let Signals { of_thread, of_program, blocked, ignored, handled } = facts.signals;
    let Capabilities { inheritable, permitted, effective, bounding, ambient, .. } = identity.capabilities;
    let sets = [
        ("SigPnd", of_thread),
        ("ShdPnd", of_program),
        ("SigBlk", blocked),
        ("SigIgn", ignored),
        ("SigCgt", handled),
        ("CapInh", inheritable),
        ("CapPrm", permitted),
        ("CapEff", effective),
        ("CapBnd", bounding),
        ("CapAmb", ambient),
    ];
    writeln!(out, "SigQ:\t{}/{}", (of_thread | of_program).count_ones(), facts.limits[PENDING_SIGNALS][0])?;
    sets.iter().try_for_each(|(name, set)| writeln!(out, "{name}:\t{set:016x}"))?;
    writeln!(out, "NoNewPrivs:\t{}\nSeccomp:\t0", u8::from(identity.no_new_privileges))?;
    writeln!(out, "Cpus_allowed:\t{:x}", (1u64 << facts.processors.min(63)) - 1)?;
    writeln!(out, "Cpus_allowed_list:\t{}", Range(facts))
}

fn ids(out: &mut String, name: &str, Ids { real, effective, saved, files }: Ids) -> fmt::Result {
    writeln!(out, "{name}:\t{real}\t{effective}\t{saved}\t{files}")
}

/// Limits of resources.
pub fn limits(out: &mut String, facts: &Facts<'_>) -> fmt::Result {
    writeln!(out, "{:<25} {:<20} {:<20} {:<10}", "Limit", "Soft Limit", "Hard Limit", "Units")?;
    for ((name, unit), [soft, hard]) in RESOURCES.iter().zip(facts.limits) {
        write!(out, "{name:<25} ")?;
        for limit in [soft, hard] {
            match limit {
                u64::MAX => write!(out, "{:<20} ", "unlimited")?,
                limit => write!(out, "{limit:<20} ")?,
            }
        }
        match *unit {
            "" => writeln!(out)?,
            unit => writeln!(out, "{unit:<10}")?,
        }
    }
    Ok(())
}

#[cfg(test)]
mod tests {
    use super::*;

    /// Parts of a line that do not depend on the process: all but the limits.
    fn fixed(line: &str) -> (String, String) {
        let end = line.len().min(26);
        (line[..end].to_owned(), line.get(68..).unwrap_or_default().to_owned())
    }

    #[test]
    fn limits_are_written_as_linux_does() {
        let (mut ours, native) = (String::new(), std::fs::read_to_string("/proc/self/limits").expect("a Linux"));
        limits(&mut ours, &Facts { limits: [[u64::MAX; 2]; 16], ..Facts::default() }).expect("a string");
        assert_eq!(ours.lines().count(), native.lines().count());
        for (ours, native) in ours.lines().zip(native.lines()) {
            assert_eq!(fixed(ours), fixed(native));
        }
    }
}

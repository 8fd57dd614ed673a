//! Files with a text that is made when they are opened: `/proc` and `/sys`.

use super::folder::Folder;
use super::mounts;
use super::network_table::Table;
use super::status::{self, Limits};
use crate::clock::SECOND;
use crate::identity::Identity;
use crate::stack::TICKS_PER_SECOND;
use alloc::string::String;
use alloc::vec::Vec;
use core::fmt::{self, Write};

/// Declares the files once: their path, under `/proc` or `/sys`, and the source of their text.
macro_rules! generated {
    ($($(#[$doc:meta])* $name:ident = $path:literal, $way:ident($text:expr);)*) => {
        /// File with a text that is made when it is opened.
        #[derive(Clone, Copy, Debug, PartialEq, Eq)]
        pub enum Generated {
            $($(#[$doc])* $name,)*
            /// A file that describes the network; not in [`Self::ALL`].
            Network(Table),
        }

        impl Generated {
            /// List of all such files.
            pub const ALL: &[Self] = &[$(Self::$name,)*];

            /// Path of a file in [`Self::ALL`].
            pub fn path(self) -> &'static str {
                match self {
                    $(Self::$name => $path,)*
                    Self::Network(_) => "",
                }
            }

            /// Text of the file.
            pub fn text(self, facts: &Facts<'_>) -> Vec<u8> {
                match self {
                    $(Self::$name => Text::$way($text).make(facts),)*
                    Self::Network(_) => facts.network.to_vec(),
                }
            }
        }
    };
}

/// Nanoseconds per unit of processor time.
const TICK: u64 = SECOND / TICKS_PER_SECOND;

/// Facts shown in the texts.
#[derive(Clone, Debug, Default)]
pub struct Facts<'a> {
    /// Name of the machine.
    pub hostname: &'a [u8],
    /// Path of the program.
    pub program: &'a [u8],
    /// Arguments, each with a NUL.
    pub arguments: &'a [u8],
    /// Environment, each string with a NUL.
    pub environment: &'a [u8],
    /// The auxiliary vector that the program got.
    pub auxiliary: &'a [u8],
    /// Text of `/proc/self/maps`.
    pub maps: &'a [u8],
    /// Text of the file that describes the network, if it is one.
    pub network: &'a [u8],
    /// Users, groups and capabilities.
    pub identity: Identity,
    /// Signals.
    pub signals: Signals,
    /// Limits of resources, by number: soft and hard.
    pub limits: Limits,
    /// Permissions that new files do not get.
    pub umask: u32,
    /// Folders of the host.
    pub folders: &'a [Folder],
    /// Memory of the guest in bytes.
    pub memory: u64,
    /// Free memory of the guest in bytes.
    pub memory_free: u64,
    /// Address space that the program has mapped, in bytes.
    pub mapped: u64,
    /// Number of the program's threads.
    pub threads: u32,
    /// Number of processors that run them.
    pub processors: u32,
    /// Time that the guest has run, in nanoseconds.
    pub uptime_ns: u64,
    /// Time that the program has had the processor, in nanoseconds.
    pub processor_ns: u64,
    /// Start of the guest, in nanoseconds since 1970.
    pub started_ns: u64,
}

/// Sets of signals, bit n-1 for signal n.
#[derive(Clone, Copy, Debug, Default)]
pub struct Signals {
    /// Pending for the first thread.
    pub of_thread: u64,
    /// Pending for the program.
    pub of_program: u64,
    /// Blocked by the first thread.
    pub blocked: u64,
    /// Ignored.
    pub ignored: u64,
    /// Handled.
    pub handled: u64,
}

impl Facts<'_> {
    /// The program's name: the last component of its path, cut as Linux does.
    fn name(&self) -> &[u8] {
        let name = self.program.rsplit(|byte| *byte == b'/').next().unwrap_or_default();
        name.get(..15).unwrap_or(name)
    }

    fn idle_ns(&self) -> u64 {
        self.uptime_ns.saturating_sub(self.processor_ns)
    }

    /// The name for a text.
    pub(super) fn named(&self) -> alloc::borrow::Cow<'_, str> {
        String::from_utf8_lossy(self.name())
    }
}

generated! {
    /// Arguments.
    Arguments = "/proc/self/cmdline", Copy(|facts| facts.arguments.to_vec());
    /// Environment.
    Environment = "/proc/self/environ", Copy(|facts| facts.environment.to_vec());
    /// Auxiliary vector.
    Auxiliary = "/proc/self/auxv", Copy(|facts| facts.auxiliary.to_vec());
    /// Mappings.
    Maps = "/proc/self/maps", Copy(|facts| facts.maps.to_vec());
    /// Name of the program.
    Name = "/proc/self/comm", Copy(|facts| [facts.name(), b"\n"].concat());
    /// State of the process, for people.
    Status = "/proc/self/status", Written(status::status);
    /// Limits of resources.
    Limits = "/proc/self/limits", Written(status::limits);
    /// State of the process.
    Process = "/proc/self/stat", Written(process);
    /// Memory of the process in pages.
    ProcessMemory = "/proc/self/statm", Written(|out, facts| {
        let used = (facts.memory - facts.memory_free) / 4096;
        writeln!(out, "{} {used} 0 0 0 {used} 0", facts.mapped / 4096)
    });
    /// Control groups.
    Groups = "/proc/self/cgroup", Fixed("0::/\n");
    /// Mounts, with numbers.
    Mounts = "/proc/self/mountinfo", Written(|out, facts| mounts::numbered(out, facts.folders));
    /// Mounts.
    MountTable = "/proc/self/mounts", Written(|out, facts| mounts::table(out, facts.folders));
    /// Processors.
    Processors = "/proc/cpuinfo", Written(processors);
    /// Memory.
    Memory = "/proc/meminfo", Written(memory);
    /// Counters of the machine.
    Machine = "/proc/stat", Written(machine);
    /// Time since the start.
    Uptime = "/proc/uptime", Written(|out, facts| {
        let [all, idle] = [facts.uptime_ns, facts.idle_ns()].map(|ns| ns / (SECOND / 100));
        writeln!(out, "{}.{:02} {}.{:02}", all / 100, all % 100, idle / 100, idle % 100)
    });
    /// Load.
    Load = "/proc/loadavg", Written(|out, facts| {
        writeln!(out, "0.00 0.00 0.00 1/{} 1", facts.threads)
    });
    /// The system's name and version.
    Version = "/proc/version", Fixed("Linux version 6.6.0 (husk)\n");
    /// File systems.
    Volumes = "/proc/filesystems", Fixed("nodev\ttmpfs\nnodev\tproc\nnodev\tsysfs\nnodev\thusk\n");
    /// Name of the host.
    Host = "/proc/sys/kernel/hostname", Copy(|facts| [facts.hostname, b"\n"].concat());
    /// Version of the system.
    Release = "/proc/sys/kernel/osrelease", Fixed("6.6.0\n");
    /// Highest number of a thread.
    ThreadsMaximum = "/proc/sys/kernel/threads-max", Fixed("32768\n");
    /// Number of the last capability.
    LastCapability = "/proc/sys/kernel/cap_last_cap", Fixed("40\n");
    /// Most supplementary groups.
    MostGroups = "/proc/sys/kernel/ngroups_max", Fixed("65536\n");
    /// Overcommit policy: heuristic.
    Overcommit = "/proc/sys/vm/overcommit_memory", Fixed("0\n");
    /// Longest queue of connections to accept.
    Backlog = "/proc/sys/net/core/somaxconn", Fixed("4096\n");
    /// Processors that run.
    Online = "/sys/devices/system/cpu/online", Written(range);
    /// Processors that could run.
    Possible = "/sys/devices/system/cpu/possible", Written(range);
    /// Size of a huge page: there are none.
    HugePages = "/sys/kernel/mm/transparent_hugepage/enabled", Fixed("always madvise [never]\n");
}

/// Source of a text.
enum Text {
    /// Constant text.
    Fixed(&'static str),
    /// Copy of a fact.
    Copy(fn(&Facts<'_>) -> Vec<u8>),
    /// Text written by this function.
    Written(fn(&mut String, &Facts<'_>) -> fmt::Result),
}

impl Text {
    fn make(self, facts: &Facts<'_>) -> Vec<u8> {
        match self {
            Self::Fixed(text) => text.into(),
            Self::Copy(copy) => copy(facts),
            Self::Written(write) => {
                let mut text = String::new();
                // Writing to a string does not fail.
                let _ = write(&mut text, facts);
                text.into_bytes()
            }
        }
    }
}

fn process(out: &mut String, facts: &Facts<'_>) -> fmt::Result {
    let ticks = facts.processor_ns / TICK;
    write!(out, "1 ({}) R 0 1 1 0 -1 0 0 0 0 0 {ticks} 0 0 0 20 0 {} 0 0 ", facts.named(), facts.threads)?;
    let pages = (facts.memory - facts.memory_free) / 4096;
    write!(out, "{} {pages} 18446744073709551615", facts.mapped)?;
    // The 27 fields after are zero: addresses, signals, processors, exit status.
    (0..27).try_for_each(|_| out.write_str(" 0"))?;
    out.write_str("\n")
}

fn processors(out: &mut String, facts: &Facts<'_>) -> fmt::Result {
    (0..facts.processors).try_for_each(|number| {
        writeln!(
            out,
            "processor\t: {number}\nphysical id\t: 0\ncore id\t\t: {number}\ncpu cores\t: {}\n",
            facts.processors
        )
    })
}

fn memory(out: &mut String, facts: &Facts<'_>) -> fmt::Result {
    let (total, free) = (facts.memory / 1024, facts.memory_free / 1024);
    writeln!(out, "MemTotal:       {total:8} kB\nMemFree:        {free:8} kB\nMemAvailable:   {free:8} kB")?;
    writeln!(out, "Buffers:               0 kB\nCached:                0 kB\nSwapTotal:             0 kB")?;
    writeln!(out, "SwapFree:              0 kB")
}

fn machine(out: &mut String, facts: &Facts<'_>) -> fmt::Result {
    let [busy, idle] = [facts.processor_ns, facts.idle_ns()].map(|ns| ns / TICK);
    writeln!(out, "cpu  {busy} 0 0 {idle} 0 0 0 0 0 0")?;
    (0..facts.processors).try_for_each(|number| writeln!(out, "cpu{number} {busy} 0 0 {idle} 0 0 0 0 0 0"))?;
    writeln!(out, "ctxt 0\nbtime {}\nprocesses 1\nprocs_running 1\nprocs_blocked 0", facts.started_ns / 1_000_000_000)
}

fn range(out: &mut String, facts: &Facts<'_>) -> fmt::Result {
    writeln!(out, "{}", Range(facts))
}

/// The processors, as a list of ranges.
pub(super) struct Range<'a>(pub(super) &'a Facts<'a>);

impl fmt::Display for Range<'_> {
    fn fmt(&self, f: &mut fmt::Formatter<'_>) -> fmt::Result {
        match self.0.processors {
            0 | 1 => f.write_str("0"),
            count => write!(f, "0-{}", count - 1),
        }
    }
}

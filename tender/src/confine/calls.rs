//! The system calls that the tender makes once a guest runs, by feature: each with a reason, and with conditions on its
//! arguments.
//!
//! No call in here names a file but beneath a folder, starts a program, makes memory executable, or inspects another process.

use super::descriptors::Role;
use crate::arch::hvt::{GeneralRegisters, ModelRegisters, SpecialRegisters};
use crate::host::signals::STAND_INS;
use crate::host::terminal;
use kvm_bindings::kvm_userspace_memory_region;
use libc::*;

/// Function of the tender, and the system calls that it makes.
#[derive(Debug)]
pub struct Feature {
    /// Name of the feature.
    pub name: &'static str,
    /// System calls that the feature makes.
    pub calls: &'static [Call],
}

/// A system call that may be made.
#[derive(Debug)]
pub struct Call {
    /// Number on this processor.
    pub number: c_long,
    /// Name of the constant.
    pub name: &'static str,
    /// Conditions on the arguments, all of which hold.
    pub only: &'static [Argument],
    /// Purpose of the call.
    pub reason: &'static str,
}

/// Condition on one argument. Arguments count from 0; only the low 32 bits of each are compared, which are all that the
/// kernel uses of these arguments.
#[derive(Clone, Copy, Debug, PartialEq, Eq)]
pub enum Argument {
    /// The argument has this value.
    Is(u8, u32),
    /// The argument has none of these bits.
    Without(u8, u32),
    /// The argument is the id of this process.
    OwnProcess(u8),
    /// The argument is the timer of turns.
    Turns(u8),
    /// The argument is a descriptor with this role.
    On(u8, Role),
    /// The argument is a descriptor that was made since the threads are confined.
    Made(u8),
    /// The argument is a random number that only the sentinel has ([`super::sentinel`]).
    Secret(u8),
}

use Argument::{Is, Made, On, OwnProcess, Secret, Turns, Without};

/// A system call that fails rather than end the process.
#[derive(Debug)]
pub struct Refused {
    /// Number on this processor.
    pub number: c_long,
    /// Name of the constant.
    pub name: &'static str,
    /// Origin of the attempts.
    pub reason: &'static str,
}

macro_rules! features {
    ($($(#[$doc:meta])* $feature:ident = $name:literal { $($call:ident $([$($only:expr),+])? $reason:literal;)* })*) => {
        $(
            $(#[$doc])*
            pub static $feature: Feature = Feature {
                name: $name,
                calls: &[$(Call {
                    number: $call,
                    name: stringify!($call),
                    only: &[$($($only),+)?],
                    reason: $reason,
                }),*],
            };
        )*
    };
}

/// Number of a KVM request to ioctl(2) (asm-generic/ioctl.h): direction, number and size of its argument.
const fn kvm(direction: u32, number: u32, size: usize) -> u32 {
    const KVM: u32 = 0xae;
    direction << 30 | (size as u32) << 16 | KVM << 8 | number
}
const NONE: u32 = 0;
const TAKES: u32 = 1;
const GIVES: u32 = 2;
/// No file: memory of this process alone.
const NO_FILE: u32 = u32::MAX;

const EXECUTABLE: u32 = PROT_EXEC as u32;
/// Advice of madvise(2) that the tender gives; any other would take a case of its own.
const GIVE_BACK: u32 = MADV_DONTNEED as u32;
const LARGE: u32 = MADV_HUGEPAGE as u32;
const NOT_LARGE: u32 = MADV_NOHUGEPAGE as u32;
const POPULATE: u32 = MADV_POPULATE_WRITE as u32;
/// Kinds of mappings that the kernel's limit on data (RLIMIT_DATA) does not count.
const SHARED_OR_GROWING: u32 = (MAP_SHARED | MAP_GROWSDOWN) as u32;
const STREAM: u32 = (SOCK_STREAM | SOCK_CLOEXEC) as u32;
const DATAGRAM: u32 = (SOCK_DGRAM | SOCK_CLOEXEC) as u32;
/// Bits of a mode by which a program runs as its file's owner or group.
const SET_ID: u32 = 0o6000;
const V4: u32 = AF_INET as u32;
const V6: u32 = AF_INET6 as u32;

features! {
    /// Calls of every thread.
    PROCESS = "process" {
        SYS_futex "locks, and waiting for a thread to end";
        SYS_rt_sigreturn "the end of a signal's handler";
        SYS_restart_syscall "a wait that a stop of the process interrupted";
        SYS_rt_sigprocmask "signals are taken where they are waited for";
        SYS_rt_sigaction [Is(0, SIGSEGV as u32)] "a fault of the tender's own takes its default";
        SYS_rt_sigaction [Is(0, SIGBUS as u32)] "the same";
        SYS_exit "the end of a thread";
        SYS_exit_group "the end";
        SYS_write [On(0, Role::Output)] "a line on what cannot go on, such as a lost connection or no memory";
        SYS_getpid "calls that name our own process";
        SYS_gettid "a signal to one thread";
    }

    /// The tender's own heap.
    MEMORY = "memory" {
        SYS_mmap [Without(2, EXECUTABLE), Without(3, SHARED_OR_GROWING), Is(4, NO_FILE)] "memory for the tender, or for the guest's sparse region";
        SYS_munmap "memory is given back";
        SYS_brk "the C library looks for room";
    }

    /// Time.
    CLOCK = "clock" {
        SYS_clock_gettime "the time, on hosts whose kernel does not give it without a call";
        SYS_ppoll "waiting, for a time or a file";
    }

    /// A virtual machine that has been made.
    KVM = "KVM" {
        SYS_ioctl [Is(1, kvm(NONE, 0x80, 0)), On(0, Role::Processor)] "KVM_RUN: runs the guest";
        SYS_ioctl [Is(1, kvm(GIVES, 0x81, size_of::<GeneralRegisters>())), On(0, Role::Processor)]
            "KVM_GET_REGS: where the guest is";
        SYS_ioctl [Is(1, kvm(TAKES, 0x82, size_of::<GeneralRegisters>())), On(0, Role::Processor)]
            "KVM_SET_REGS: ends a thread's turn";
        SYS_ioctl [Is(1, kvm(GIVES, 0x83, size_of::<SpecialRegisters>())), On(0, Role::Processor)]
            "KVM_GET_SREGS: which address a fault is about";
        SYS_ioctl [Is(1, kvm(TAKES, 0x84, size_of::<SpecialRegisters>())), On(0, Role::Processor)]
            "KVM_SET_SREGS: goes on after a fault";
        SYS_ioctl [Is(1, kvm(GIVES | TAKES, 0x88, size_of::<ModelRegisters>())), On(0, Role::Processor)]
            "KVM_GET_MSRS: the guest's time stamp counter";
        SYS_ioctl [Is(1, kvm(TAKES, 0x46, size_of::<kvm_userspace_memory_region>())), On(0, Role::Machine)]
            "KVM_SET_USER_MEMORY_REGION: the guest uses more of its memory";
        SYS_mincore "whether the guest uses its memory page by page";
        SYS_madvise [Is(2, POPULATE)] "memory ahead of the guest's use";
        SYS_madvise [Is(2, LARGE)] "the same in a huge page";
        SYS_madvise [Is(2, NOT_LARGE)] "and no other huge page than that";
    }

    /// A guest in this process.
    SPT = "guest" {
        SYS_rt_sigreturn "the guest goes on where it was stopped";
        SYS_rt_sigprocmask "it is stopped for one signal at a time";
        SYS_rt_sigaction [Is(0, SIGILL as u32)] "an exception of the tender's own takes its default";
        SYS_rt_sigaction [Is(0, SIGFPE as u32)] "the same";
        SYS_rt_sigaction [Is(0, SIGTRAP as u32)] "the same";
    }

    /// The thread that ends a process with a guest in it at SIGINT and SIGTERM.
    SENTINEL = "sentinel" {
        SYS_rt_sigtimedwait [Secret(4), Secret(5)] "waits for SIGINT and SIGTERM";
        SYS_tgkill [OwnProcess(0), Is(2, STAND_INS[0].0 as u32)] "passes SIGINT on to the processor's thread";
        SYS_tgkill [OwnProcess(0), Is(2, STAND_INS[1].0 as u32)] "passes SIGTERM on";
    }

    /// The process that watches one with a guest in it.
    WATCHDOG = "watchdog" {
        SYS_poll "waiting for the end of what it watches, for a second at a time";
        SYS_restart_syscall "a wait that a stop of the process interrupted";
        SYS_clock_gettime "processor time of what it watches";
        SYS_write [On(0, Role::Output)] "why the guest was ended";
        SYS_pidfd_send_signal [On(0, Role::Tender), Is(1, SIGKILL as u32)] "ends what it watches";
        SYS_exit_group "the end";
    }

    /// The process that writes a status file.
    SUPERVISOR = "supervisor" {
        SYS_rt_sigtimedwait "waiting for signals to pass on, and for the end of the tender";
        SYS_restart_syscall "a wait that a stop of the process interrupted";
        SYS_wait4 "how the tender has ended";
        SYS_pidfd_send_signal [On(0, Role::Tender)] "passes a signal on";
        SYS_clock_gettime "when it has ended";
        SYS_write [On(0, Role::Status)] "how the run has ended";
        SYS_write [On(0, Role::Output)] "why that cannot be written";
        SYS_ppoll "whether standard error takes it";
        SYS_exit_group "the end";
    }

    /// Calls that are about the guest's memory.
    GUEST_MEMORY = "guest memory" {
        SYS_mprotect [Without(2, EXECUTABLE)] "the guest protects pages; and room for a thread's stack";
        SYS_madvise [Is(2, GIVE_BACK)] "the guest gives pages back";
        SYS_process_vm_readv [OwnProcess(0)] "reads memory that the guest may have protected";
        SYS_process_vm_writev [OwnProcess(0)] "clears memory that the guest may have protected";
        SYS_pread64 [On(0, Role::Pages)] "which pages the guest has touched";
    }

    /// The guest's standard streams.
    CONSOLE = "console" {
        SYS_write [On(0, Role::Output)] "what the guest prints, and what is said about it";
        SYS_writev [On(0, Role::Output)] "the same in several pieces";
        SYS_read [On(0, Role::Input)] "the guest's input";
    }

    /// A terminal behind a standard stream.
    TERMINAL = "terminal" {
        SYS_ioctl [Is(1, terminal::GET), On(0, Role::Terminal)] "the modes of a terminal, for the guest and to restore them";
        SYS_ioctl [Is(1, terminal::SET), On(0, Role::Terminal)] "modes that the guest sets, and those that were there before";
        SYS_ioctl [Is(1, terminal::SET_DRAINED), On(0, Role::Terminal)] "modes that the guest sets";
        SYS_ioctl [Is(1, terminal::SET_FLUSHED), On(0, Role::Terminal)] "the same";
        SYS_ioctl [Is(1, terminal::FLUSH), On(0, Role::Terminal)] "input that the guest discards";
        SYS_ioctl [Is(1, terminal::WINDOW), On(0, Role::Terminal)] "the size of the window";
    }

    /// Standard input from a file.
    INPUT_FILE = "input from a file" {
        SYS_lseek [On(0, Role::Input)] "the guest moves its offset";
    }

    /// Signals to the tender.
    SIGNALS = "signals" {
        SYS_setitimer [Is(0, ITIMER_REAL as u32)] "the time of grace of a guest that was told to end";
        SYS_timer_settime [Turns(0)] "whether turns of the guest's threads are to end";
        SYS_poll "whether a last word can be said without waiting";
    }

    /// The report on a guest. The files were opened before.
    REPORT = "report" {
        SYS_pread64 [On(0, Role::Image)] "names and lines, from the image and its debug file";
        SYS_fstat [On(0, Role::Image)] "how long these are";
        SYS_getrandom "the seed of a hash map";
    }

    /// Files of the host that the guest may read. All were opened before but time zones, below a folder to which Landlock confines
    /// the process.
    HOST_FILES = "files of the host" {
        SYS_pread64 [On(0, Role::HostFile)] "certificates and the tables of names";
        SYS_openat2 [On(0, Role::HostFolder)] "a time zone, or a list of them";
        SYS_pread64 [Made(0)] "the time zone";
        SYS_getdents64 [Made(0)] "the list";
        SYS_close [Made(0)] "that is done";
        SYS_fcntl [Is(1, F_GETFD as u32), Made(0)] "whether what is closed was open, in debug builds";
    }

    /// Notifications between the thread of the devices and that of the processor.
    NOTIFIER = "notifier" {
        SYS_read [On(0, Role::Bell)] "takes what was rung";
        SYS_write [On(0, Role::Bell)] "rings";
        SYS_tgkill [OwnProcess(0), Is(2, crate::host::signals::number::FAULT as u32)] "stops the processor for a fault";
        SYS_madvise [Is(2, GIVE_BACK)] "the stack of a thread that ends";
        SYS_getcpu "where the guest runs, on hosts whose kernel does not tell without a call";
        SYS_sched_setaffinity [Is(0, 0)] "the thread of the devices leaves the guest's processor to the guest";
    }

    /// A TAP interface.
    TAP = "TAP interface" {
        SYS_readv [On(0, Role::Interface)] "a frame for the guest";
        SYS_writev [On(0, Role::Interface)] "a frame of the guest's";
        SYS_read [On(0, Role::Interface)] "a frame for the guest";
        SYS_write [On(0, Role::Interface)] "a frame of the guest's";
        SYS_ioctl [Is(1, TUNSETOFFLOAD as u32), On(0, Role::Interface)] "the guest takes frames that need offload, or does not";
    }

    /// A connection with passt.
    PASST = "passt" {
        SYS_read [On(0, Role::Passt)] "frames for the guest";
        SYS_recvfrom [On(0, Role::Passt)] "frames for the guest";
        SYS_write [On(0, Role::Passt)] "frames of the guest's";
        SYS_sendto [On(0, Role::Passt)] "frames of the guest's";
        SYS_shutdown [On(0, Role::Passt)] "a passt that sends nonsense";
    }

    /// The user-mode network.
    USER_NETWORK = "user-mode network" {
        SYS_socket [Is(0, V4), Is(1, STREAM), Is(2, IPPROTO_TCP as u32)] "a connection of the guest's";
        SYS_socket [Is(0, V6), Is(1, STREAM), Is(2, IPPROTO_TCP as u32)] "a connection of the guest's";
        SYS_socket [Is(0, V4), Is(1, DATAGRAM), Is(2, IPPROTO_UDP as u32)] "datagrams of the guest's";
        SYS_socket [Is(0, V6), Is(1, DATAGRAM), Is(2, IPPROTO_UDP as u32)] "datagrams of the guest's";
        SYS_socket [Is(0, V4), Is(1, DATAGRAM), Is(2, IPPROTO_ICMP as u32)] "a question for an echo";
        SYS_socket [Is(0, V6), Is(1, DATAGRAM), Is(2, IPPROTO_ICMPV6 as u32)] "a question for an echo";
        SYS_socket [Is(0, V4), Is(1, SOCK_STREAM as u32), Is(2, IPPROTO_TCP as u32)] "musl tries again without SOCK_CLOEXEC, where that fails with EINVAL or EPROTONOSUPPORT";
        SYS_socket [Is(0, V6), Is(1, SOCK_STREAM as u32), Is(2, IPPROTO_TCP as u32)] "the same";
        SYS_socket [Is(0, V4), Is(1, SOCK_DGRAM as u32), Is(2, IPPROTO_UDP as u32)] "the same";
        SYS_socket [Is(0, V6), Is(1, SOCK_DGRAM as u32), Is(2, IPPROTO_UDP as u32)] "the same";
        SYS_socket [Is(0, V4), Is(1, SOCK_DGRAM as u32), Is(2, IPPROTO_ICMP as u32)] "the same";
        SYS_socket [Is(0, V6), Is(1, SOCK_DGRAM as u32), Is(2, IPPROTO_ICMPV6 as u32)] "the same";
        SYS_connect [Made(0)] "to where the rules let the guest connect";
        SYS_accept4 [On(0, Role::Published)] "a client of a published port";
        SYS_accept [On(0, Role::Published)] "musl tries again by this, where accept4 fails with EINVAL";
        SYS_getpeername [Made(0)] "whether a connection is there";
        SYS_getsockopt [Is(1, SOL_SOCKET as u32), Is(2, SO_ERROR as u32), Made(0)] "why it is not";
        SYS_setsockopt [Is(1, IPPROTO_TCP as u32), Is(2, TCP_NODELAY as u32), Made(0)] "small pieces go at once";
        SYS_setsockopt [Is(1, SOL_SOCKET as u32), Is(2, SO_KEEPALIVE as u32), Made(0)] "a server that vanishes is found out";
        SYS_setsockopt [Is(1, IPPROTO_TCP as u32), Is(2, TCP_KEEPIDLE as u32), Made(0)] "when it is asked first";
        SYS_setsockopt [Is(1, IPPROTO_TCP as u32), Is(2, TCP_KEEPINTVL as u32), Made(0)] "how soon again";
        SYS_setsockopt [Is(1, IPPROTO_TCP as u32), Is(2, TCP_KEEPCNT as u32), Made(0)] "how often";
        SYS_setsockopt [Is(1, SOL_SOCKET as u32), Is(2, SO_LINGER as u32), Made(0)] "a connection that the guest breaks off";
        SYS_fcntl [Is(1, F_GETFL as u32), Made(0)] "sockets that do not wait";
        SYS_fcntl [Is(1, F_SETFL as u32), Made(0)] "sockets that do not wait";
        SYS_fcntl [Is(1, F_SETFD as u32), Made(0)] "sockets are for nobody else";
        SYS_ioctl [Is(1, FIONBIO as u32), Made(0)] "sockets that do not wait";
        SYS_recvfrom [Made(0)] "data for the guest";
        SYS_recvfrom [On(0, Role::Published)] "a datagram of a client";
        SYS_sendto [Made(0)] "data of the guest's";
        SYS_sendto [On(0, Role::Published)] "a datagram for a client";
        SYS_recvfrom [On(0, Role::Routes)] "what the routing table says";
        SYS_sendto [On(0, Role::Routes)] "whether an address is the host's own";
        SYS_recvmsg [Made(0)] "data for the guest";
        SYS_recvmsg [On(0, Role::Published)] "a datagram of a client";
        SYS_sendmsg [Made(0)] "data of the guest's";
        SYS_sendmsg [On(0, Role::Published)] "a datagram for a client";
        SYS_readv [Made(0)] "data for the guest";
        SYS_writev [Made(0)] "data of the guest's";
        SYS_shutdown [Made(0)] "the end of one direction";
        SYS_close [Made(0)] "the end of both";
        SYS_fcntl [Is(1, F_GETFD as u32), Made(0)] "whether what is closed was open, in debug builds";
        SYS_epoll_ctl [On(0, Role::Watch)] "a socket that is to be watched";
        SYS_epoll_pwait [On(0, Role::Watch)] "which sockets are ready";
        SYS_epoll_wait [On(0, Role::Watch)] "which sockets are ready";
        SYS_getrandom "sequence numbers that nobody guesses";
    }

    /// A disk.
    BLOCK = "disk" {
        SYS_preadv2 [On(0, Role::Disk)] "a read that the page cache can answer";
        SYS_pwritev2 [On(0, Role::Disk)] "a write that the page cache takes";
        SYS_pwrite64 [On(0, Role::Disk)] "the same, of one part, if the file system does not tell what would wait";
        SYS_preadv [On(0, Role::Disk)] "a read, without io_uring";
        SYS_pwritev [On(0, Role::Disk)] "a write, without io_uring";
        SYS_fdatasync [On(0, Role::Disk)] "a flush, without io_uring";
        SYS_fallocate [On(0, Role::Disk)] "a discard, without io_uring";
        SYS_io_uring_enter [On(0, Role::Ring)] "requests to a ring that takes nothing but these, on this file";
        SYS_getrusage [Is(0, RUSAGE_THREAD as u32)] "whether a write that took long has blocked";
    }

    /// A folder, and what reads it. The directories and files are those that it was opened with, and those beneath.
    FOLDER = "folder" {
        SYS_openat2 [On(0, Role::Folder)] "a path of the guest's, beneath the folder";
        SYS_openat2 [Made(0)] "beneath a directory in it";
        SYS_statx [On(0, Role::Folder)] "attributes of a file";
        SYS_statx [Made(0)] "the same";
        SYS_fstatfs [On(0, Role::Folder)] "space of the file system";
        SYS_fstatfs [Made(0)] "the same";
        SYS_preadv [Made(0)] "contents of a file";
        SYS_getdents64 [Made(0)] "names in a directory";
        SYS_readlinkat [On(0, Role::Folder)] "whether the folder is a link";
        SYS_readlinkat [Made(0)] "the target of a link";
        SYS_lseek [Made(0)] "where a directory is listed from, and holes in a file";
        SYS_flock [Made(0)] "a lock of the guest's";
        SYS_fcntl [Is(1, F_SETLK as u32), Made(0)] "a lock of the guest's";
        SYS_fcntl [Is(1, F_GETLK as u32), Made(0)] "a lock of another";
        SYS_fcntl [Is(1, F_OFD_SETLK as u32), Made(0)] "a lock of the guest's";
        SYS_fcntl [Is(1, F_OFD_GETLK as u32), Made(0)] "a lock of another";
        SYS_fsync [Made(0)] "the guest makes sure";
        SYS_fdatasync [Made(0)] "the same";
        SYS_close [Made(0)] "a file that is not used any more";
        SYS_getrusage [Is(0, RUSAGE_THREAD as u32)] "whether a request that took long has blocked";
        SYS_fcntl [Is(1, F_GETFD as u32), Made(0)] "whether what is closed was open, in debug builds";
    }

    /// What a folder that may be changed takes besides.
    FOLDER_CHANGES = "folder to change" {
        SYS_pwritev2 [Made(0)] "contents of a file";
        SYS_ftruncate [Made(0)] "the size of a file";
        SYS_fallocate [Made(0)] "space of a file";
        SYS_fchmod [Without(1, SET_ID), Made(0)] "permissions, on a kernel without the next";
        SYS_fchmodat2 [Without(2, SET_ID), On(0, Role::Folder)] "permissions";
        SYS_fchmodat2 [Without(2, SET_ID), Made(0)] "the same";
        SYS_fchownat [On(0, Role::Folder)] "owners";
        SYS_fchownat [Made(0)] "the same";
        SYS_utimensat [On(0, Role::Folder)] "times";
        SYS_utimensat [Made(0)] "the same";
        SYS_mkdirat [Made(0)] "a directory is made";
        SYS_unlinkat [Made(0)] "a name is removed";
        SYS_renameat2 [Made(0), Made(2)] "a file is renamed";
        SYS_linkat [Made(0), Made(2), Is(4, 0)] "another name of a file";
        SYS_symlinkat [Made(1)] "a link is made";
    }
}

macro_rules! refused {
    ($($call:ident $reason:literal;)*) => {
        /// Calls that fail, with EACCES, in every thread.
        pub static REFUSED: &[Refused] =
            &[$(Refused { number: $call, name: stringify!($call), reason: $reason }),*];
    };
}

refused! {
    SYS_open "libraries look for files, such as those of the processor's or a backtrace of our own";
    SYS_openat "the same";
    SYS_readlink "the same: our own path";
    SYS_getcwd "the same: where we are";
    SYS_stat "the same";
    SYS_newfstatat "the same";
    SYS_sched_getaffinity "how many processors there are";
    SYS_mremap "a large allocation grows, and is copied then: code must not be moved";
}

impl Call {
    /// Returns the name without the prefix of the constant.
    pub fn plain_name(&self) -> &'static str {
        plain(self.name)
    }
}

impl Refused {
    /// Returns the name without the prefix of the constant.
    pub fn plain_name(&self) -> &'static str {
        plain(self.name)
    }
}

fn plain(name: &'static str) -> &'static str {
    name.strip_prefix("SYS_").unwrap_or(name)
}

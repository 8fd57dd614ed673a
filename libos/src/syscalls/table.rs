//! Table of the system calls that have a function here, with their limits.
//!
//! A number that is not listed returns ENOSYS, and the tender gets a notice, once for each number, if it is verbose.

use super::{
    Arguments, descriptors, epoll, events, files, futex, identity, inotify, mapping, memory, message, messages,
    metadata, names, process, queues, robust, scheduling, segments, semaphores, signal, socket, sockopt, system,
    thread, time, timer, transfer, wait,
};
use crate::errno::Errno;
use crate::notices::{self, notice};
use crate::state::Libos;
use crate::syscall_result::SyscallResult;
use core::sync::atomic::{AtomicU64, Ordering::Relaxed};
use husk::abi::boot::Flags;
use husk::abi::call::Number;
use linux_raw_sys::general::*;

/// Function that handles a system call.
pub type Handler = fn(&mut Libos, Arguments) -> SyscallResult;

/// Completeness of a call.
#[derive(Clone, Copy, Debug, PartialEq, Eq)]
pub enum Mark {
    /// Complete: like Linux, as far as a program alone in its machine can observe.
    Answered,
    /// With the restriction in the note.
    Partial,
    /// Always this error, for the reason in the note.
    Refused(Errno),
}

/// Line of the table.
#[derive(Clone, Copy, Debug)]
pub struct Call {
    /// Number on Linux.
    pub number: u32,
    /// Name on Linux.
    pub name: &'static str,
    /// Function that handles the call.
    pub handler: Handler,
    /// Completeness.
    pub mark: Mark,
    /// Difference from Linux.
    pub note: &'static str,
}

/// Declares [`CALLS`]: number, function, mark, note; or number, error, note, and perhaps a notice to the tender, for a refused call.
macro_rules! calls {
    ($($number:ident $($handler:path, $mark:ident $(, $note:literal)?)? $(=> $errno:ident, $reason:literal $(, $notice:ident)?)?;)*) => {
        /// Calls that are handled, or refused on purpose.
        pub const CALLS: &[Call] = &[$(Call {
            number: $number,
            name: stringify!($number),
            $(handler: $handler, mark: Mark::$mark, note: concat!($($note)?),)?
            $(
                handler: refuse::<{ -Errno::$errno.to_result() }, { 0 $(+ notice::$notice)? }>,
                mark: Mark::Refused(Errno::$errno),
                note: $reason,
            )?
        },)*];
    };
}

/// Refuses a call with the error of this number, after a notice to the tender unless that is 0.
fn refuse<const ERRNO: i64, const NOTICE: u64>(libos: &mut Libos, _: Arguments) -> SyscallResult {
    if NOTICE != 0 {
        notices::give_once(NOTICE, libos.threads.current().registers.number());
    }
    Err(Errno::from_number(ERRNO).unwrap_or(Errno::ENOSYS).into())
}

calls! {
    // Memory.
    __NR_brk memory::brk, Partial, "never moves: musl's malloc turns to mmap";
    __NR_mmap mapping::mmap, Partial, "never executable; a private mapping of a file is a copy, unless it is read only and the image brought the file; of a shared one, see below";
    __NR_munmap memory::munmap, Answered;
    __NR_mremap memory::mremap, Partial, "a mapping is copied where it cannot grow; without MREMAP_DONTUNMAP; of a shared mapping of a file, see below";
    __NR_mprotect memory::mprotect, Partial, "never executable; of a shared mapping of a file, see below";
    __NR_msync memory::msync, Answered;
    __NR_mincore memory::mincore, Answered;
    __NR_mlock memory::stay, Answered;
    __NR_mlock2 memory::stay, Answered;
    __NR_munlock memory::stay, Answered;
    __NR_mlockall process::zero, Answered;
    __NR_munlockall process::zero, Answered;
    __NR_madvise memory::madvise, Partial, "MADV_DONTNEED and MADV_FREE zero; other advice is taken silently";
    // Process.
    __NR_exit thread::exit, Answered;
    __NR_exit_group process::exit_group, Answered;
    __NR_getpid process::process, Answered;
    __NR_getppid process::zero, Answered;
    __NR_getpgid process::process, Answered;
    __NR_getpgrp process::process, Answered;
    __NR_getsid process::process, Answered;
    __NR_getuid identity::getuid, Answered;
    __NR_geteuid identity::geteuid, Answered;
    __NR_getgid identity::getgid, Answered;
    __NR_getegid identity::getegid, Answered;
    __NR_getgroups identity::getgroups, Answered;
    __NR_getresuid identity::getresuid, Answered;
    __NR_getresgid identity::getresgid, Answered;
    __NR_setuid identity::setuid, Partial, "permissions of files refuse nothing";
    __NR_setreuid identity::setreuid, Partial, "as for setuid";
    __NR_setresuid identity::setresuid, Partial, "as for setuid";
    __NR_setfsuid identity::setfsuid, Partial, "as for setuid";
    __NR_setgid identity::setgid, Partial, "as for setuid";
    __NR_setregid identity::setregid, Partial, "as for setuid";
    __NR_setresgid identity::setresgid, Partial, "as for setuid";
    __NR_setfsgid identity::setfsgid, Partial, "as for setuid";
    __NR_setgroups identity::setgroups, Partial, "as for setuid";
    __NR_capget identity::capget, Answered;
    __NR_capset identity::capset, Partial, "as for setuid: capabilities count in calls about the identity";
    __NR_setsid identity::setsid, Partial, "the program leads its session, and gets the session's number again";
    __NR_setpgid identity::setpgid, Partial, "as for setsid";
    __NR_fork => ENOSYS, "one image, one program", PROCESS_REFUSED;
    __NR_vfork => ENOSYS, "one image, one program", PROCESS_REFUSED;
    __NR_execve => ENOSYS, "one image, one program", PROCESS_REFUSED;
    __NR_execveat => ENOSYS, "one image, one program", PROCESS_REFUSED;
    __NR_wait4 process::no_child, Answered;
    __NR_waitid process::no_child, Answered;
    __NR_prctl process::prctl, Partial, "names, capabilities, privileges; other options are EINVAL";
    __NR_arch_prctl process::arch_prctl, Partial, "FS only: GS belongs to the libos";
    __NR_getrlimit process::getrlimit, Answered;
    __NR_setrlimit process::setrlimit, Partial, "those of open files and of threads count; another is only remembered";
    __NR_prlimit64 process::prlimit64, Partial, "as for setrlimit";
    __NR_getrusage process::getrusage, Partial, "processor time and memory";
    // Threads.
    __NR_clone thread::clone, Partial, "threads only, not processes";
    __NR_clone3 => ENOSYS, "a C library then uses clone";
    __NR_gettid thread::gettid, Answered;
    __NR_set_tid_address thread::set_tid_address, Answered;
    __NR_set_robust_list robust::set_robust_list, Answered;
    __NR_get_robust_list robust::get_robust_list, Answered;
    __NR_sched_yield thread::sched_yield, Answered;
    __NR_sched_getaffinity thread::sched_getaffinity, Answered;
    __NR_sched_setaffinity thread::sched_setaffinity, Answered;
    __NR_sched_getscheduler scheduling::sched_getscheduler, Answered;
    __NR_sched_setscheduler scheduling::sched_setscheduler, Partial, "threads take turns of equal length; no real-time policy";
    __NR_sched_getparam scheduling::sched_getparam, Answered;
    __NR_sched_setparam scheduling::sched_setparam, Answered;
    __NR_sched_get_priority_max scheduling::highest, Answered;
    __NR_sched_get_priority_min scheduling::lowest, Answered;
    __NR_sched_rr_get_interval scheduling::sched_rr_get_interval, Answered;
    __NR_getpriority scheduling::getpriority, Partial, "that of all threads is the same";
    __NR_setpriority scheduling::setpriority, Partial, "taken silently: threads take turns of equal length";
    __NR_membarrier thread::membarrier, Answered;
    __NR_getcpu thread::getcpu, Answered;
    __NR_rseq => ENOSYS, "a C library then does without";
    __NR_futex futex::futex, Partial, "all threads have one priority, which is what locks inherit";
    // Signals.
    __NR_rt_sigaction signal::rt_sigaction, Partial, "faults end the program, whatever its handler";
    __NR_rt_sigprocmask signal::rt_sigprocmask, Answered;
    __NR_rt_sigpending signal::rt_sigpending, Answered;
    __NR_rt_sigreturn signal::rt_sigreturn, Answered;
    __NR_rt_sigsuspend signal::rt_sigsuspend, Answered;
    __NR_rt_sigtimedwait signal::rt_sigtimedwait, Answered;
    __NR_pause signal::pause, Answered;
    __NR_sigaltstack signal::sigaltstack, Answered;
    __NR_kill signal::kill, Partial, "to the program itself; no signal waits twice, also not one sent to the program and to a thread";
    __NR_rt_sigqueueinfo signal::rt_sigqueueinfo, Partial, "as for kill";
    __NR_rt_tgsigqueueinfo signal::rt_tgsigqueueinfo, Partial, "as for kill";
    __NR_tkill signal::tkill, Partial, "as for kill";
    __NR_tgkill signal::tgkill, Partial, "as for kill";
    // Time.
    __NR_nanosleep time::nanosleep, Answered;
    __NR_clock_nanosleep time::clock_nanosleep, Answered;
    __NR_clock_gettime time::clock_gettime, Partial, "what a thread has run is counted from when a program first asks for that of any";
    __NR_clock_getres time::clock_getres, Answered;
    __NR_clock_settime => EPERM, "the host's clocks are not the guest's";
    __NR_settimeofday => EPERM, "the host's clocks are not the guest's";
    __NR_gettimeofday time::gettimeofday, Answered;
    __NR_time time::time, Answered;
    __NR_times time::times, Partial, "all of the program's time is its own, none the system's";
    __NR_alarm timer::alarm, Answered;
    __NR_setitimer timer::setitimer, Answered;
    __NR_getitimer timer::getitimer, Answered;
    __NR_timer_create timer::timer_create, Partial, "the clock of a thread's processor time counts that of all";
    __NR_timer_settime timer::timer_settime, Partial, "steps of the wall clock are not noticed";
    __NR_timer_gettime timer::timer_gettime, Answered;
    __NR_timer_getoverrun timer::timer_getoverrun, Answered;
    __NR_timer_delete timer::timer_delete, Answered;
    // The system.
    __NR_getrandom system::getrandom, Answered;
    __NR_uname system::uname, Answered;
    __NR_sysinfo system::sysinfo, Answered;
    // Open files.
    __NR_open files::open, Answered;
    __NR_creat files::creat, Answered;
    __NR_openat files::openat, Answered;
    __NR_memfd_create files::memfd_create, Partial, "cannot be sealed";
    __NR_close files::close, Answered;
    __NR_close_range files::close_range, Answered;
    __NR_read transfer::read, Answered;
    __NR_readv transfer::readv, Answered;
    __NR_pread64 transfer::pread, Answered;
    __NR_preadv transfer::preadv, Answered;
    __NR_preadv2 transfer::preadv2, Partial, "without RWF_NOWAIT";
    __NR_write transfer::write, Answered;
    __NR_writev transfer::writev, Answered;
    __NR_pwrite64 transfer::pwrite, Answered;
    __NR_pwritev transfer::pwritev, Answered;
    __NR_pwritev2 transfer::pwritev2, Partial, "without RWF_APPEND and RWF_NOWAIT";
    __NR_lseek files::lseek, Answered;
    __NR_sendfile files::sendfile, Partial, "from regular files; not from or to a folder of the host (EINVAL); one that is closed while the call waits is looked up again";
    __NR_copy_file_range files::copy_file_range, Answered;
    __NR_splice => ENOSYS, "std and others then copy";
    __NR_tee => ENOSYS, "as for splice";
    __NR_vmsplice => ENOSYS, "as for splice";
    __NR_io_uring_setup => ENOSYS, "runtimes then use epoll";
    __NR_fsync files::sync_file, Answered;
    __NR_fdatasync files::sync_data, Answered;
    __NR_syncfs files::sync_file, Answered;
    __NR_sync_file_range files::sync_file, Answered;
    __NR_fadvise64 files::advise, Answered;
    __NR_readahead files::advise, Answered;
    __NR_sync files::sync_all, Partial, "the file systems of mounted disks; what was written to folders of the host is the host's to keep";
    // Descriptors.
    __NR_dup descriptors::dup, Answered;
    __NR_dup2 descriptors::dup2, Answered;
    __NR_dup3 descriptors::dup3, Answered;
    __NR_fcntl descriptors::fcntl, Partial, "no leases, signals or seals; in a folder of the host, no record locks from SEEK_END (EOPNOTSUPP)";
    __NR_flock descriptors::flock, Answered;
    __NR_ioctl descriptors::ioctl, Partial, "of a terminal: modes, size of the window, and the program as its only job";
    // Names.
    __NR_mkdir names::mkdir, Answered;
    __NR_mkdirat names::mkdirat, Answered;
    __NR_mknod names::mknod, Partial, "regular files, pipes and the devices of /dev";
    __NR_mknodat names::mknodat, Partial, "regular files, pipes and the devices of /dev";
    __NR_rmdir names::rmdir, Answered;
    __NR_unlink names::unlink, Answered;
    __NR_unlinkat names::unlinkat, Answered;
    __NR_rename names::rename, Answered;
    __NR_renameat names::renameat, Answered;
    __NR_renameat2 names::renameat2, Partial, "without RENAME_WHITEOUT";
    __NR_link names::link, Answered;
    __NR_linkat names::linkat, Answered;
    __NR_symlink names::symlink, Answered;
    __NR_symlinkat names::symlinkat, Answered;
    __NR_readlink names::readlink, Answered;
    __NR_readlinkat names::readlinkat, Answered;
    __NR_inotify_init inotify::inotify_init, Answered;
    __NR_inotify_init1 inotify::inotify_init1, Answered;
    __NR_inotify_add_watch inotify::inotify_add_watch, Partial, "a file with names in several directories is reported to that of its last name; of folders of the host and mounted disks, what the program itself does there";
    __NR_inotify_rm_watch inotify::inotify_rm_watch, Answered;
    __NR_getcwd names::getcwd, Answered;
    __NR_chdir names::chdir, Answered;
    __NR_fchdir names::fchdir, Answered;
    __NR_getdents64 names::getdents64, Answered;
    // Metadata of files.
    __NR_stat metadata::stat, Answered;
    __NR_lstat metadata::lstat, Answered;
    __NR_fstat metadata::fstat, Answered;
    __NR_newfstatat metadata::newfstatat, Answered;
    __NR_statx metadata::statx, Answered;
    __NR_statfs metadata::statfs, Answered;
    __NR_fstatfs metadata::fstatfs, Answered;
    __NR_access metadata::access, Answered;
    __NR_faccessat metadata::faccessat, Answered;
    __NR_faccessat2 metadata::faccessat2, Answered;
    __NR_chmod metadata::chmod, Partial, "remembered: permissions of files refuse nothing";
    __NR_fchmod metadata::fchmod, Partial, "remembered: permissions of files refuse nothing";
    __NR_fchmodat metadata::fchmodat, Partial, "remembered: permissions of files refuse nothing";
    __NR_fchmodat2 metadata::fchmodat2, Partial, "remembered: permissions of files refuse nothing";
    __NR_chown metadata::chown, Partial, "remembered: permissions of files refuse nothing";
    __NR_lchown metadata::lchown, Partial, "remembered: permissions of files refuse nothing";
    __NR_fchown metadata::fchown, Partial, "remembered: permissions of files refuse nothing";
    __NR_fchownat metadata::fchownat, Partial, "remembered: permissions of files refuse nothing";
    __NR_umask metadata::umask, Answered;
    __NR_utimensat metadata::utimensat, Answered;
    __NR_truncate metadata::truncate, Answered;
    __NR_ftruncate metadata::ftruncate, Answered;
    __NR_fallocate metadata::fallocate, Partial, "allocates and punches holes";
    __NR_getxattr => EOPNOTSUPP, "there are no extended attributes";
    __NR_lgetxattr => EOPNOTSUPP, "there are no extended attributes";
    __NR_fgetxattr => EOPNOTSUPP, "there are no extended attributes";
    __NR_setxattr => EOPNOTSUPP, "there are no extended attributes";
    __NR_lsetxattr => EOPNOTSUPP, "there are no extended attributes";
    __NR_fsetxattr => EOPNOTSUPP, "there are no extended attributes";
    __NR_listxattr => EOPNOTSUPP, "there are no extended attributes";
    __NR_llistxattr => EOPNOTSUPP, "there are no extended attributes";
    __NR_flistxattr => EOPNOTSUPP, "there are no extended attributes";
    // Pipes, events and timers.
    __NR_pipe events::pipe, Answered;
    __NR_pipe2 events::pipe2, Answered;
    __NR_eventfd events::eventfd, Answered;
    __NR_eventfd2 events::eventfd2, Answered;
    __NR_signalfd signal::signalfd, Partial, "a signal to a certain thread can be read by all";
    __NR_signalfd4 signal::signalfd4, Partial, "as for signalfd";
    __NR_timerfd_create events::timerfd_create, Answered;
    __NR_timerfd_settime events::timerfd_settime, Partial, "steps of the wall clock are not noticed";
    __NR_timerfd_gettime events::timerfd_gettime, Answered;
    // Objects of System V, and message queues of POSIX.
    __NR_msgget messages::msgget, Answered;
    __NR_msgsnd messages::msgsnd, Answered;
    __NR_msgrcv messages::msgrcv, Answered;
    __NR_msgctl messages::msgctl, Partial, "permissions refuse nothing; without MSG_INFO and MSG_STAT";
    __NR_semget semaphores::semget, Answered;
    __NR_semop semaphores::semop, Answered;
    __NR_semtimedop semaphores::semtimedop, Answered;
    __NR_semctl semaphores::semctl, Partial, "permissions refuse nothing; without SEM_INFO and SEM_STAT";
    __NR_shmget segments::shmget, Answered;
    __NR_shmat segments::shmat, Partial, "all attachments of a segment have one address";
    __NR_shmdt segments::shmdt, Answered;
    __NR_shmctl segments::shmctl, Partial, "permissions refuse nothing; without SHM_INFO and SHM_STAT";
    __NR_mq_open queues::mq_open, Answered;
    __NR_mq_unlink queues::mq_unlink, Answered;
    __NR_mq_timedsend queues::mq_timedsend, Answered;
    __NR_mq_timedreceive queues::mq_timedreceive, Answered;
    __NR_mq_notify queues::mq_notify, Partial, "not SIGEV_THREAD (ENOSYS)";
    __NR_mq_getsetattr queues::mq_getsetattr, Answered;
    // Sockets.
    __NR_socket socket::socket, Partial, "AF_UNIX; TCP and UDP of AF_INET and AF_INET6; AF_NETLINK for interfaces, addresses, routes and neighbours";
    __NR_socketpair socket::socketpair, Answered;
    __NR_bind socket::bind, Answered;
    __NR_listen socket::listen, Answered;
    __NR_connect socket::connect, Answered;
    __NR_accept socket::accept, Answered;
    __NR_accept4 socket::accept4, Answered;
    __NR_shutdown socket::shutdown, Answered;
    __NR_getsockname socket::getsockname, Answered;
    __NR_getpeername socket::getpeername, Answered;
    __NR_getsockopt sockopt::getsockopt, Partial, "options of sockets, TCP, UDP and IP: see docs/network.md";
    __NR_setsockopt sockopt::setsockopt, Partial, "as for getsockopt";
    __NR_sendto message::sendto, Partial, "nothing out of band; a datagram that leaves the program fits into one packet";
    __NR_sendmsg message::sendmsg, Partial, "as for sendto";
    __NR_sendmmsg message::sendmmsg, Partial, "as for sendto";
    __NR_recvfrom message::recvfrom, Answered;
    __NR_recvmsg message::recvmsg, Answered;
    __NR_recvmmsg message::recvmmsg, Partial, "waits for the first message only";
    // Waiting.
    __NR_poll wait::poll, Partial, "a descriptor that is closed while the call waits is looked up again";
    __NR_ppoll wait::ppoll, Partial, "as for poll";
    __NR_select wait::select, Partial, "as for poll";
    __NR_pselect6 wait::pselect6, Partial, "as for poll";
    __NR_epoll_create epoll::epoll_create, Answered;
    __NR_epoll_create1 epoll::epoll_create1, Answered;
    __NR_epoll_ctl epoll::epoll_ctl, Answered;
    __NR_epoll_wait epoll::epoll_wait, Answered;
    __NR_epoll_pwait epoll::epoll_pwait, Answered;
    __NR_epoll_pwait2 epoll::epoll_pwait2, Answered;
}

/// Upper bound of the numbers in the table; Linux's newest are below 500.
const NUMBERS: usize = 512;

/// Functions by number.
static HANDLERS: [Handler; NUMBERS] = {
    let mut handlers: [Handler; NUMBERS] = [unanswered; NUMBERS];
    let mut at = 0;
    while at < CALLS.len() {
        handlers[CALLS[at].number as usize] = CALLS[at].handler;
        at += 1;
    }
    handlers
};

/// The function for the call `number`.
#[inline]
pub fn handler(number: u64) -> Handler {
    HANDLERS.get(number as usize).copied().unwrap_or(unanswered)
}

/// Calls that may wait for the file of their first argument, a descriptor.
const OF_DESCRIPTOR: [u32; 41] = [
    __NR_read,
    __NR_readv,
    __NR_pread64,
    __NR_preadv,
    __NR_preadv2,
    __NR_write,
    __NR_writev,
    __NR_pwrite64,
    __NR_pwritev,
    __NR_pwritev2,
    __NR_sendfile,
    __NR_fsync,
    __NR_fdatasync,
    __NR_syncfs,
    __NR_sync_file_range,
    __NR_fallocate,
    __NR_ftruncate,
    __NR_lseek,
    __NR_getdents64,
    __NR_fstat,
    __NR_fstatfs,
    __NR_fchmod,
    __NR_fchown,
    __NR_fchdir,
    __NR_connect,
    __NR_accept,
    __NR_accept4,
    __NR_sendto,
    __NR_sendmsg,
    __NR_sendmmsg,
    __NR_recvfrom,
    __NR_recvmsg,
    __NR_recvmmsg,
    __NR_fcntl,
    __NR_flock,
    __NR_ioctl,
    __NR_epoll_wait,
    __NR_epoll_pwait,
    __NR_epoll_pwait2,
    __NR_mq_timedsend,
    __NR_mq_timedreceive,
];

/// Set of these calls, a bit for each number.
static WAITING: [u64; NUMBERS / 64] = {
    let mut set = [0; NUMBERS / 64];
    let mut at = 0;
    while at < OF_DESCRIPTOR.len() {
        let number = OF_DESCRIPTOR[at] as usize;
        set[number / 64] |= 1 << (number % 64);
        at += 1;
    }
    set
};

/// Returns true if the call `number` may wait for the file of its first argument.
pub fn waits_for_descriptor(number: u64) -> bool {
    WAITING.get(number as usize / 64).is_some_and(|word| word >> (number % 64) & 1 != 0)
}

/// Numbers of which the tender has got a notice.
static TOLD: [AtomicU64; NUMBERS / 64] = [const { AtomicU64::new(0) }; NUMBERS / 64];

/// Handles every call without a function of its own.
fn unanswered(libos: &mut Libos, _: Arguments) -> SyscallResult {
    let number = libos.threads.current().registers.number();
    let verbose = husk::boot::info().flags & Flags::VERBOSE.bits() != 0;
    if verbose && let Some(word) = TOLD.get(number as usize / 64) {
        let bit = 1 << (number % 64);
        if word.fetch_or(bit, Relaxed) & bit == 0 {
            // A lost notice does no harm.
            let _ = husk::gate::call(Number::Unanswered, number, 0, 0, 0);
        }
    }
    Err(Errno::ENOSYS.into())
}

#[cfg(test)]
mod tests {
    use super::*;

    #[test]
    fn no_call_is_listed_twice() {
        for (at, call) in CALLS.iter().enumerate() {
            assert!((call.number as usize) < NUMBERS, "{}", call.name);
            assert!(CALLS.iter().skip(at + 1).all(|other| other.number != call.number), "{}", call.name);
        }
    }

    #[test]
    fn whatever_is_not_simply_answered_says_why() {
        for call in CALLS {
            assert_eq!(call.note.is_empty(), call.mark == Mark::Answered, "{}", call.name);
        }
    }

    #[test]
    fn every_errno_survives_the_trip_through_a_constant() {
        for call in CALLS {
            if let Mark::Refused(errno) = call.mark {
                assert_eq!(Errno::from_number(-errno.to_result()), Some(errno), "{}", call.name);
            }
        }
    }

    #[test]
    fn a_call_that_does_not_exist_has_a_function_too() {
        assert!(core::ptr::fn_addr_eq(handler(511), handler(u64::MAX)));
        assert!(!core::ptr::fn_addr_eq(handler(u64::from(__NR_getpid)), handler(511)));
    }
}

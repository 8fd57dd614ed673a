//! Attacks that a compromised tender would try, made by its own threads once they are confined, so that tests can show the
//! effect of confinement. `HUSK_ATTACK=THREAD:ATTEMPT` selects one.

#![expect(unsafe_code, reason = "system calls, made as whoever has taken the thread over would make them")]

use crate::say;
use libc::*;
use std::io;
use std::ptr::{null, null_mut};
use std::sync::OnceLock;
use std::sync::atomic::AtomicBool;
use std::sync::atomic::Ordering::{Acquire, Release};
use std::time::Duration;

/// Name of an attempt, and the function that makes it and returns the answer of the call.
type Attempt = (&'static str, fn() -> c_long);

/// Makes the attempt that was requested, if this is the thread for it; prints its result on standard error, if the process
/// still runs then.
pub fn attempt(thread: &str) {
    // SAFETY: getppid(2) has no preconditions.
    let _ = PARENT.get_or_init(|| unsafe { getppid() });
    // Read at the first call, before the environment is gone.
    static ASKED: OnceLock<Option<String>> = OnceLock::new();
    let Some(asked) = ASKED.get_or_init(|| std::env::var("HUSK_ATTACK").ok()) else { return };
    match thread {
        "processor" => READY.store(true, Release),
        // A kernel that ends a process delivers no signals to handlers any more, which the other thread would call an error.
        "devices" => {
            while !READY.load(Acquire) {
                std::hint::spin_loop();
            }
        }
        _ => {}
    }
    let Some(("", name)) = asked.strip_prefix(thread).and_then(|rest| rest.split_once(':')) else {
        // The guest must not end before the attempt.
        while thread == "processor" && asked.starts_with("devices:") && !MADE.load(Acquire) {
            std::hint::spin_loop();
        }
        return;
    };
    let Some((_, make)) = ATTEMPTS.iter().find(|(known, _)| *known == name) else {
        say!("attack: there is no {name}");
        std::process::exit(1);
    };
    match make() {
        -1 => say!("attack: {name} failed: {}", io::Error::last_os_error().raw_os_error().unwrap_or(0)),
        answer => say!("attack: {name} succeeded: {answer}"),
    }
    MADE.store(true, Release);
}

/// Time that a new thread waits before it enters its filter: `HUSK_ATTACK_DELAY=THREAD:MILLISECONDS`.
pub fn delay(thread: &str) -> Duration {
    let asked = std::env::var("HUSK_ATTACK_DELAY").ok();
    let milliseconds = asked.as_deref().and_then(|asked| asked.strip_prefix(thread)?.strip_prefix(':')?.parse().ok());
    Duration::from_millis(milliseconds.unwrap_or(0))
}

/// Returns true if the guest is to run without a stack for exceptions.
pub fn is_without_stack() -> bool {
    std::env::var("HUSK_ATTACK").is_ok_and(|asked| asked == "tables:no_stack")
}

/// Waits, by a call that every filter has.
pub fn pause(time: Duration) {
    let time = timespec { tv_sec: time.as_secs() as c_long, tv_nsec: time.subsec_nanos().into() };
    // SAFETY: the list of files is empty, and the time is a local variable.
    unsafe { ppoll(null_mut(), 0, &time, null()) };
}

/// The thread of the processor has prepared everything.
static READY: AtomicBool = AtomicBool::new(false);

/// The attempt has been made.
static MADE: AtomicBool = AtomicBool::new(false);

/// Makes a system call with these arguments; the rest are 0.
fn call(number: c_long, [a, b, c, d]: [usize; 4]) -> c_long {
    // SAFETY: the arguments point to constants only; damage to this process is the purpose of the test.
    unsafe { syscall(number, a, b, c, d, 0, 0) }
}

fn text(text: &'static std::ffi::CStr) -> usize {
    text.as_ptr() as usize
}

/// The parent process, queried while the call is still allowed.
static PARENT: OnceLock<pid_t> = OnceLock::new();

fn parent() -> usize {
    PARENT.get().map_or(0, |parent| *parent as usize)
}

fn socket(family: c_int, kind: c_int) -> c_long {
    let protocol = if family == AF_INET { IPPROTO_TCP } else { 0 };
    call(SYS_socket, [family as usize, kind as usize, protocol as usize, 0])
}

/// An address of this machine, at port 9.
static LOOPBACK: [u8; 16] = [AF_INET as u8, 0, 0, 9, 127, 0, 0, 1, 0, 0, 0, 0, 0, 0, 0, 0];

/// Makes an IPv4 socket, and the call `number` with it and the address.
fn with_socket(number: c_long) -> c_long {
    match socket(AF_INET, SOCK_STREAM | SOCK_CLOEXEC) {
        -1 => -1,
        socket => call(number, [socket as usize, LOOPBACK.as_ptr() as usize, LOOPBACK.len(), 0]),
    }
}

/// A call of a 32-bit program: its number 20 is getpid.
fn call_of_32_bits() -> c_long {
    let answer: i64;
    // SAFETY: the registers are declared; the call does nothing.
    unsafe {
        std::arch::asm!("int 0x80", inlateout("rax") 20_i64 => answer, out("r8") _, out("r9") _, out("r10") _, out("r11") _)
    };
    answer
}

fn map_code() -> c_long {
    // SAFETY: a new mapping overlaps no other.
    unsafe { mmap(null_mut(), 4096, PROT_READ | PROT_EXEC, MAP_PRIVATE | MAP_ANONYMOUS, -1, 0) as c_long }
}

fn map_file() -> c_long {
    // SAFETY: a new mapping overlaps no other.
    unsafe { mmap(null_mut(), 4096, PROT_READ, MAP_PRIVATE, 3, 0) as c_long }
}

/// Makes writable memory executable.
fn protect_code() -> c_long {
    static mut PAGE: [u8; 8192] = [0; 8192];
    let page = (&raw mut PAGE as usize).next_multiple_of(4096);
    call(SYS_mprotect, [page, 4096, (PROT_READ | PROT_WRITE | PROT_EXEC) as usize, 0])
}

fn read_memory_of_parent() -> c_long {
    // SAFETY: the call fails before it looks at anything.
    unsafe { process_vm_readv(parent() as pid_t, null(), 0, null(), 0, 0) as c_long }
}

fn write_memory_of_parent() -> c_long {
    // SAFETY: the call fails before it looks at anything.
    unsafe { process_vm_writev(parent() as pid_t, null(), 0, null(), 0, 0) as c_long }
}

/// Writes where nothing is mapped.
fn crash() -> c_long {
    // SAFETY: none; the test expects the fault.
    unsafe { std::ptr::without_provenance_mut::<u8>(8).write_volatile(0) };
    0
}

/// Imitates a guest that has started, and ends.
fn exit_in_silence() -> c_long {
    call(SYS_write, [1, text(c"ready\n"), 6, 0]);
    call(SYS_exit_group, [139, 0, 0, 0])
}

/// Leaves a process behind for ten seconds.
fn leave_a_process() -> c_long {
    match call(SYS_fork, [0; 4]) {
        0 => {
            std::thread::sleep(Duration::from_secs(10));
            call(SYS_exit_group, [0; 4])
        }
        child => child,
    }
}

/// A descriptor that a test leaves open.
const INHERITED: usize = 77;
const CREATE_VCPU: usize = 0xae41;
/// KVM_X86_SET_MSR_FILTER and KVM_SET_MSRS.
const SET_MSR_FILTER: usize = 0x4188_aec6;
const SET_MSRS: usize = 0x4008_ae89;
const READ_IMPLIES_EXEC: c_int = 0x40_0000;
const X32: c_long = 1 << 30;
const ROOT: usize = 0;

static ATTEMPTS: &[Attempt] = &[
    ("nothing", || 0),
    ("inherited", || call(SYS_fcntl, [INHERITED, F_GETFD as usize, 0, 0])),
    ("execve", || call(SYS_execve, [text(c"/bin/true"), 0, 0, 0])),
    ("execveat", || call(SYS_execveat, [AT_FDCWD as usize, text(c"/bin/true"), 0, 0])),
    ("fork", || call(SYS_fork, [0; 4])),
    ("clone", || call(SYS_clone, [SIGCHLD as usize, 0, 0, 0])),
    ("ptrace", || call(SYS_ptrace, [PTRACE_ATTACH as usize, parent(), 0, 0])),
    ("kill", || call(SYS_kill, [parent(), 0, 0, 0])),
    ("tgkill", || call(SYS_tgkill, [parent(), parent(), crate::host::signals::number::FAULT as usize, 0])),
    ("process_vm_readv", read_memory_of_parent),
    ("open", || call(SYS_open, [text(c"/etc/passwd"), O_RDONLY as usize, 0, 0])),
    ("create", || {
        call(SYS_openat, [AT_FDCWD as usize, text(c"/tmp/husk-attack"), (O_CREAT | O_WRONLY) as usize, 0o600])
    }),
    ("openat2", || call(SYS_openat2, [AT_FDCWD as usize, text(c"/etc/passwd"), 0, 0])),
    ("read_zone", || call(SYS_openat, [AT_FDCWD as usize, text(c"/usr/share/zoneinfo/UTC"), O_RDONLY as usize, 0])),
    ("write_zone", || call(SYS_openat, [AT_FDCWD as usize, text(c"/usr/share/zoneinfo/UTC"), O_WRONLY as usize, 0])),
    ("unlink", || call(SYS_unlink, [text(c"/tmp/husk-attack"), 0, 0, 0])),
    ("mkdir", || call(SYS_mkdir, [text(c"/tmp/husk-attack"), 0o700, 0, 0])),
    ("chroot", || call(SYS_chroot, [text(c"/"), 0, 0, 0])),
    ("mount", || call(SYS_mount, [text(c"none"), text(c"/mnt"), text(c"tmpfs"), 0])),
    ("unix_socket", || socket(AF_UNIX, SOCK_STREAM | SOCK_CLOEXEC)),
    ("raw_socket", || socket(AF_INET, SOCK_RAW | SOCK_CLOEXEC)),
    ("netlink_socket", || socket(AF_NETLINK, SOCK_RAW | SOCK_CLOEXEC)),
    ("tcp_socket", || socket(AF_INET, SOCK_STREAM | SOCK_CLOEXEC)),
    ("tcp_connect", || with_socket(SYS_connect)),
    ("tcp_bind", || with_socket(SYS_bind)),
    ("map_code", map_code),
    ("map_file", map_file),
    ("protect_code", protect_code),
    ("protect_by_key", || call(SYS_pkey_mprotect, [0, 0, PROT_EXEC as usize, 0])),
    ("share_memory", || call(SYS_shmget, [IPC_PRIVATE as usize, 4096, 0o600, 0])),
    ("personality", || call(SYS_personality, [READ_IMPLIES_EXEC as usize, 0, 0, 0])),
    ("unshare", || call(SYS_unshare, [CLONE_NEWUSER as usize, 0, 0, 0])),
    ("pidfd_open", || call(SYS_pidfd_open, [parent(), 0, 0, 0])),
    ("perf_event_open", || call(SYS_perf_event_open, [0; 4])),
    ("keyctl", || call(SYS_keyctl, [0; 4])),
    ("signal_of_another_kind", || {
        // SAFETY: gettid(2) has no preconditions.
        let thread = unsafe { gettid() };
        call(SYS_tgkill, [std::process::id() as usize, thread as usize, SIGUSR1 as usize, 0])
    }),
    ("process_vm_writev", write_memory_of_parent),
    ("memfd", || call(SYS_memfd_create, [text(c"x"), 0, 0, 0])),
    ("io_uring_register", || call(SYS_io_uring_register, [8, 0, 0, 0])),
    ("io_uring_setup", || call(SYS_io_uring_setup, [8, LOOPBACK.as_ptr() as usize, 0, 0])),
    ("terminal_input", || call(SYS_ioctl, [0, TIOCSTI as usize, LOOPBACK.as_ptr() as usize, 0])),
    ("unfilter_registers", || call(SYS_ioctl, [4, SET_MSR_FILTER, LOOPBACK.as_ptr() as usize, 0])),
    ("set_registers", || call(SYS_ioctl, [5, SET_MSRS, LOOPBACK.as_ptr() as usize, 0])),
    ("create_processor", || call(SYS_ioctl, [5, CREATE_VCPU, 1, 0])),
    ("prctl", || call(SYS_prctl, [PR_SET_DUMPABLE as usize, 1, 0, 0])),
    ("seccomp", || call(SYS_seccomp, [SECCOMP_SET_MODE_FILTER as usize, 0, 0, 0])),
    ("setuid", || call(SYS_setuid, [ROOT, 0, 0, 0])),
    ("bpf", || call(SYS_bpf, [0; 4])),
    ("userfaultfd", || call(SYS_userfaultfd, [0; 4])),
    ("x32", || call(SYS_getpid | X32, [0; 4])),
    ("call_of_32_bits", call_of_32_bits),
    ("move_code", || {
        call(
            SYS_mremap,
            [map_code as *const () as usize & !0xfff, 4096, 4096, (MREMAP_MAYMOVE | MREMAP_FIXED) as usize],
        )
    }),
    ("take_signal", || call(SYS_rt_sigtimedwait, [LOOPBACK.as_ptr() as usize, 0, 0, 8])),
    ("handle_signal", || call(SYS_rt_sigaction, [SIGTERM as usize, 0, 0, 8])),
    ("merge_pages", || call(SYS_madvise, [0x1000, 4096, MADV_MERGEABLE as usize, 0])),
    ("write_elsewhere", || call(SYS_pwrite64, [1, LOOPBACK.as_ptr() as usize, 1, 0])),
    ("write_parts_elsewhere", || call(SYS_pwritev2, [1, 0, 0, 0])),
    ("discard_elsewhere", || call(SYS_fallocate, [1, FALLOC_FL_KEEP_SIZE as usize, 0, 64])),
    ("read_output", || call(SYS_read, [1, LOOPBACK.as_ptr() as usize, 0, 0])),
    ("write_input", || call(SYS_write, [0, LOOPBACK.as_ptr() as usize, 0, 0])),
    ("close_output", || call(SYS_close, [1, 0, 0, 0])),
    ("duplicate", || call(SYS_fcntl, [1, F_DUPFD_CLOEXEC as usize, 0, 0])),
    ("clear_append", || call(SYS_fcntl, [1, F_SETFL as usize, 0, 0])),
    ("send_to_output", || call(SYS_sendto, [1, LOOPBACK.as_ptr() as usize, 1, 0])),
    ("crash", crash),
    ("exit_before_the_guest", || call(SYS_exit_group, [0; 4])),
    ("exit_in_silence", exit_in_silence),
    ("leave_a_process", leave_a_process),
    ("spoil_input", || call(SYS_write, [0, text(c"spoilt"), 6, 0])),
    // Whatever signals come.
    ("sleep", || {
        loop {
            call(SYS_ppoll, [0; 4]);
        }
    }),
    ("dumpable", || call(SYS_prctl, [PR_GET_DUMPABLE as usize, 0, 0, 0])),
];

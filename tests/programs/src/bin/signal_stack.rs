//! Handlers on alternate stacks: which stacks are valid, that registers survive, and what a frame contains.
//! `smallest` runs one on the smallest stack that there is, at the end of its memory; `overflow` nests more than the stack holds.

use std::arch::{asm, is_x86_feature_detected};
use std::io::Error;
use std::sync::atomic::{AtomicU32, AtomicU64, Ordering::Relaxed};

static COUNT: AtomicU32 = AtomicU32::new(0);
/// Findings of a handler.
static FOUND: [AtomicU64; 4] = [const { AtomicU64::new(0) }; 4];

const TKILL: u64 = 200;
const AUTODISARM: i32 = 1 << 31;
const FLAGS: i32 = libc::SA_ONSTACK | libc::SA_SIGINFO;

type Handler = extern "C" fn(i32, *mut libc::siginfo_t, *mut u8);

fn handle(handler: Handler, flags: i32) {
    // SAFETY: all zeros is a valid value.
    let mut action: libc::sigaction = unsafe { std::mem::zeroed() };
    action.sa_sigaction = handler as usize;
    action.sa_flags = flags;
    // SAFETY: the handlers below use nothing but atomics and system calls.
    assert_eq!(unsafe { libc::sigaction(libc::SIGUSR1, &action, std::ptr::null_mut()) }, 0);
}

fn raise() {
    // SAFETY: raise(3) takes a number only.
    unsafe { libc::raise(libc::SIGUSR1) };
}

/// Calls sigaltstack(2), and returns the old stack.
fn stack(new: Option<(&mut [u8], i32)>) -> Result<libc::stack_t, i32> {
    let new = new.map(|(stack, flags)| libc::stack_t {
        ss_sp: stack.as_mut_ptr().cast(),
        ss_flags: flags,
        ss_size: stack.len(),
    });
    // SAFETY: all zeros is a valid value.
    let mut old: libc::stack_t = unsafe { std::mem::zeroed() };
    let new = new.as_ref().map_or(std::ptr::null(), std::ptr::from_ref);
    // By syscall(2), because some C libraries judge the flags themselves.
    // SAFETY: the callers' stacks outlive their use.
    match unsafe { libc::syscall(libc::SYS_sigaltstack, new, &raw mut old) } {
        0 => Ok(old),
        _ => Err(Error::last_os_error().raw_os_error().unwrap_or(0)),
    }
}

/// Counts, and fills vector registers.
extern "C" fn count(_: i32, _: *mut libc::siginfo_t, _: *mut u8) {
    COUNT.fetch_add(1, Relaxed);
    // SAFETY: the registers are declared as clobbered.
    unsafe { asm!("pcmpeqd xmm0, xmm0", "pcmpeqd xmm15, xmm15", out("xmm0") _, out("xmm15") _) };
    if is_x86_feature_detected!("avx") {
        // SAFETY: the processor has AVX, and the register is declared as clobbered.
        unsafe { asm!("vcmptrueps ymm1, ymm1, ymm1", out("ymm1") _) };
    }
}

/// Fills registers from memory, `$width` bytes each, sends a signal to this thread, and stores them.
macro_rules! survive {
    ($move:literal, $kind:literal, $width:literal, [$($number:literal)*]) => {{
        let before: Vec<u8> = (0..16 * $width).map(|at: u32| at as u8 ^ 0x5a).collect();
        let mut after = vec![0u8; before.len()];
        // SAFETY: both buffers have room for all registers, which are declared as clobbered.
        unsafe {
            asm!(
                $(concat!($move, " ", $kind, $number, ", [{before} + ", $number, " * ", $width, "]"),)*
                "syscall",
                $(concat!($move, " [{after} + ", $number, " * ", $width, "], ", $kind, $number),)*
                before = in(reg) before.as_ptr(), after = in(reg) after.as_mut_ptr(), inout("rax") TKILL => _,
                inout("rdi") libc::gettid() as u64 => _, inout("rsi") libc::SIGUSR1 as u64 => _, clobber_abi("sysv64"),
            );
        }
        assert!(before == after, "{}", $kind);
    }};
}

/// Notes the flags of its own stack, and the error of an attempt to disable that.
extern "C" fn inquire(_: i32, _: *mut libc::siginfo_t, _: *mut u8) {
    let current = stack(None).map_or(0, |old| old.ss_flags as u32);
    FOUND[0].store(current.into(), Relaxed);
    let off = libc::stack_t { ss_sp: std::ptr::null_mut(), ss_flags: libc::SS_DISABLE, ss_size: 0 };
    // SAFETY: SS_DISABLE names no memory.
    let changed = unsafe { libc::sigaltstack(&off, std::ptr::null_mut()) };
    let error = if changed == 0 { 0 } else { Error::last_os_error().raw_os_error().unwrap_or(0) };
    FOUND[1].store(error as u64, Relaxed);
}

/// Notes the vector state in its frame, and changes a register there.
extern "C" fn look(_: i32, _: *mut libc::siginfo_t, context: *mut u8) {
    const VECTORS: usize = 40 + 23 * 8;
    let word = |at: *const u8| u64::from(unsafe_word(at));
    // SAFETY: `context` is a `struct ucontext`, which has a pointer to the vector state there.
    let state = unsafe { context.add(VECTORS).cast::<*mut u8>().read() };
    let size = word(state.wrapping_add(464 + 16));
    FOUND[0].store(word(state.wrapping_add(464)), Relaxed);
    // FP_XSTATE_MAGIC2, which is absent without XSAVE: the word is then arbitrary bytes of the stack.
    const LAST: u64 = 0x4650_5845;
    let last = word(state.wrapping_add(size as usize));
    FOUND[1].store(if last == LAST { last } else { 0 }, Relaxed);
    FOUND[2].store(
        u64::from((state as usize).is_multiple_of(64) && word(state.wrapping_add(464 + 4)) == size + 4),
        Relaxed,
    );
    // SAFETY: the register XMM1 lies there.
    unsafe { state.add(160 + 16).cast::<u64>().write(77) };
}

fn unsafe_word(at: *const u8) -> u32 {
    // SAFETY: the callers read the frame of a handler that runs.
    unsafe { at.cast::<u32>().read_unaligned() }
}

/// Raises the signal again, until the stack is full.
extern "C" fn again(_: i32, _: *mut libc::siginfo_t, _: *mut u8) {
    COUNT.fetch_add(1, Relaxed);
    raise();
}

fn stacks(memory: &mut [u8]) {
    println!("too small: {:?}", stack(Some((&mut memory[..2047], 0))).err());
    println!("no flag: {:?}", stack(Some((&mut memory[..8192], 8))).err());
    handle(inquire, FLAGS);
    for flags in [0, libc::SS_ONSTACK, AUTODISARM] {
        let new = stack(Some((&mut memory[..16384], flags))).map(|_| ());
        raise();
        let [inside, change, ..] = &FOUND;
        let after = stack(None).map(|old| (old.ss_flags, old.ss_size));
        println!(
            "{flags:x}: {new:?}, inside {:x}, change {}, then {after:x?}",
            inside.load(Relaxed),
            change.load(Relaxed)
        );
    }
}

fn frame() {
    handle(look, FLAGS);
    let mut changed: u64 = 5;
    // SAFETY: the register is declared as clobbered.
    unsafe {
        asm!(
            "movq xmm1, r12", "syscall", "movq r12, xmm1", inout("r12") changed, inout("rax") TKILL => _,
            inout("rdi") libc::gettid() as u64 => _, inout("rsi") libc::SIGUSR1 as u64 => _, clobber_abi("sysv64"),
        );
    }
    let [first, last, sizes, _] = FOUND.each_ref().map(|found| found.load(Relaxed));
    println!("frame: {first:x} {last:x} {sizes}, xmm1 changed to {changed}");
}

/// The smallest stack, with memory behind it that cannot be read: XRSTOR of some processors touches what is behind the
/// components that a frame holds.
fn before_a_guard() -> &'static mut [u8] {
    const PAGE: usize = 4096;
    let (rights, kind) = (libc::PROT_READ | libc::PROT_WRITE, libc::MAP_PRIVATE | libc::MAP_ANONYMOUS);
    // SAFETY: a new mapping, of which the second page is made inaccessible before anything uses it.
    unsafe {
        let pages = libc::mmap(std::ptr::null_mut(), 2 * PAGE, rights, kind, -1, 0);
        assert_ne!(pages, libc::MAP_FAILED);
        assert_eq!(libc::mprotect(pages.byte_add(PAGE), PAGE, libc::PROT_NONE), 0);
        let start = pages.byte_add(PAGE - libc::MINSIGSTKSZ).cast();
        std::slice::from_raw_parts_mut(start, libc::MINSIGSTKSZ)
    }
}

fn main() {
    match std::env::args().nth(1).as_deref() {
        Some("smallest") => {
            handle(count, FLAGS);
            stack(Some((before_a_guard(), 0))).expect("large enough");
            raise();
            println!("handled {}", COUNT.load(Relaxed));
        }
        Some(_) => {
            handle(again, FLAGS | libc::SA_NODEFER);
            raise();
        }
        None => {
            // On the alternate stack that std has made for this thread.
            handle(count, FLAGS);
            let number = std::hint::black_box(7.25);
            raise();
            survive!("movups", "xmm", 16, [0 1 2 3 4 5 6 7 8 9 10 11 12 13 14 15]);
            if is_x86_feature_detected!("avx") {
                survive!("vmovups", "ymm", 32, [0 1 2 3 4 5 6 7 8 9 10 11 12 13 14 15]);
            } else {
                raise();
            }
            println!("handled {} {number}", COUNT.load(Relaxed));
            frame();
            stacks(&mut vec![0; 16384]);
        }
    }
}

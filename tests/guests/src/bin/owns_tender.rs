//! A guest of spt that makes system calls by instructions of the tender's, and goes on after them: its argument says which.

#![no_std]
#![no_main]

use core::arch::asm;
use guests::{peek, peek_word, word};
use husk::boot;

husk::entry!(main);

/// How far to look for an instruction, in bytes.
const REACH: u64 = 2 << 20;

/// A `syscall; ret` of the tender's.
fn gadget() -> u64 {
    let tender = peek_word(boot::info().gate + 8);
    let is_call = |at: &u64| [peek(*at), peek(at + 1), peek(at + 2)] == [0x0f, 0x05, 0xc3];
    (tender..tender + REACH).find(is_call).expect("the tender makes calls")
}

/// Makes a call of the kernel's.
fn call(number: i64, arguments: [u64; 6]) -> i64 {
    let [a, b, c, d, e, f] = arguments;
    let answer: i64;
    // SAFETY: none: the test is what comes of it.
    unsafe {
        asm!("call {}", in(reg) gadget(), inlateout("rax") number => answer, in("rdi") a, in("rsi") b, in("rdx") c,
            in("r10") d, in("r8") e, in("r9") f, out("rcx") _, out("r11") _)
    };
    answer
}

/// Blocks every signal that can be, for good.
fn deaf() {
    const SYS_RT_SIGPROCMASK: i64 = 14;
    let all = u64::MAX;
    assert_eq!(call(SYS_RT_SIGPROCMASK, [0, &raw const all as u64, 0, 8, 0, 0]), 0);
    husk::println!("deaf");
    loop {
        core::hint::spin_loop();
    }
}

/// Touches a page in each 2 MiB of 64 GiB that are only read: none is counted as data.
fn tables() {
    const SYS_MMAP: i64 = 9;
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
    guests::survived();
}

/// Ends the process as the tender would, with a status of its own choice.
fn exit(status: u64) {
    const SYS_EXIT_GROUP: i64 = 231;
    husk::println!("exits");
    call(SYS_EXIT_GROUP, [status, 0, 0, 0, 0, 0]);
}

/// Writes a record to every descriptor that there may be.
fn write() {
    const SYS_WRITE: i64 = 1;
    const RECORD: &[u8] = b"{\"version\":1,\"target\":\"hvt\",\"ended\":\"error\",\"status\":125}\n";
    husk::println!("writes");
    for descriptor in 3..1024 {
        call(SYS_WRITE, [descriptor, RECORD.as_ptr() as u64, RECORD.len() as u64, 0, 0, 0]);
    }
}

fn main() {
    match word(1) {
        "exit" => exit(word(2).parse().unwrap_or(1)),
        "write" => write(),
        "deaf" => deaf(),
        "tables" => tables(),
        other => husk::println!("there is no attack {other}"),
    }
}

//! The start of a native program, from the first instruction to its main function.
//!
//! `husk_start` (entry point) takes the main stack and calls `begin`, which stores the boot information, opens the heap and
//! runs the main function of [`entry!`](crate::entry).

#![expect(unsafe_code, reason = "the first instructions run before there is a stack")]

use super::heap;
use crate::{boot, process};
use core::mem::offset_of;
use husk_abi::boot::Info;
use husk_abi::memory::Region;
use husk_abi::note;

unsafe extern "C" {
    /// Defined by [`entry!`](crate::entry).
    safe fn husk_main() -> u8;
}

/// An ELF note with its header; see [`husk_abi::note`]. Aligned to 4, as all notes of the name `Husk` are.
#[repr(C, packed(4))]
struct AbiNote {
    name_size: u32,
    body_size: u32,
    kind: u32,
    name: [u8; 8],
    body: note::Abi,
}

/// Contract version that this crate was built for. No `syscall` entry, because a native program makes no system calls.
#[used]
#[unsafe(link_section = ".note.husk")]
static ABI_NOTE: AbiNote = AbiNote {
    name_size: note::NAME.len() as u32 + 1,
    body_size: size_of::<note::Abi>() as u32,
    kind: note::ABI,
    name: *b"Husk\0\0\0\0",
    body: note::Abi { version: husk_abi::VERSION, reserved: 0, system_calls: 0 },
};

/// Entry point: takes the main stack, and clears the frame pointer so that backtraces end here.
#[unsafe(no_mangle)]
#[unsafe(naked)]
extern "C" fn husk_start() -> ! {
    core::arch::naked_asm!(
        "mov rsp, [rdi + {start}]",
        "add rsp, [rdi + {length}]",
        "xor ebp, ebp",
        "call {begin}",
        "ud2",
        start = const offset_of!(Info, main_stack) + offset_of!(Region, start),
        length = const offset_of!(Info, main_stack) + offset_of!(Region, length),
        begin = sym begin,
    )
}

/// First code on a stack: opens the heap and runs the program.
extern "C" fn begin(info: &'static Info) -> ! {
    boot::init(info);
    heap::init(info);
    process::exit(husk_main())
}

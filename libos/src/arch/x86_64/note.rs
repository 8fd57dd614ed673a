//! The image's ABI note ([`husk_abi::note::Abi`]): which contract this libos was built for, and where a trapped
//! system call continues.

#![expect(unsafe_code, reason = "a note is written in assembly")]

use core::arch::global_asm;
use husk::abi::{VERSION, note};

global_asm!(
    ".pushsection .note.husk, \"a\", @note",
    ".balign {alignment}",
    ".long {name_length}",
    ".long 2f - 1f",
    ".long {kind}",
    ".asciz \"Husk\"",
    ".balign {alignment}",
    "1:  .long {version}",
    "    .long 0",
    "3:  .quad husk_system_call_trapped - 3b",
    "2:",
    ".popsection",
    name_length = const note::NAME.len() + 1,
    kind = const note::ABI,
    alignment = const note::ALIGNMENT,
    version = const VERSION,
);

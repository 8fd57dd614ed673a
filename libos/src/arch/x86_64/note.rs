//! ELF notes of the libos in the image: the version of its contract and where a trapped system call continues
//! ([`husk_abi::note::Abi`]), the processors and the entry of a preempted thread ([`husk_abi::processor::Note`]), the record
//! for posted signals ([`husk_abi::signals::Note`]), the table of threads ([`husk_abi::threads::Note`]), and the version of folders
//! ([`husk_abi::folder::VERSION`]).

#![expect(unsafe_code, reason = "a note is written in assembly")]

use super::processor::{BLOCKS, PROCESSORS, SIGNALS};
use crate::threads::TABLE;
use core::arch::global_asm;
use husk::abi::{VERSION, folder, note};

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
    ".balign 4",
    ".long {name_length}",
    ".long 5f - 4f",
    ".long {processors}",
    ".asciz \"Husk\"",
    ".balign 4",
    "4:  .quad {blocks} - .",
    "    .quad {count}",
    "    .quad husk_preempted - .",
    "    .quad husk_system_call_direct - .",
    "    .quad husk_entry_end - .",
    "5:",
    ".balign 4",
    ".long {name_length}",
    ".long 7f - 6f",
    ".long {signals}",
    ".asciz \"Husk\"",
    ".balign 4",
    "6:  .quad {posted} - .",
    "7:",
    ".balign 4",
    ".long {name_length}",
    ".long 9f - 8f",
    ".long {threads}",
    ".asciz \"Husk\"",
    ".balign 4",
    "8:  .quad {table} - .",
    "9:",
    ".balign 4",
    ".long {name_length}",
    ".long 4",
    ".long {folders}",
    ".asciz \"Husk\"",
    ".balign 4",
    "    .long {folders_version}",
    ".popsection",
    name_length = const note::NAME.len() + 1,
    kind = const note::ABI,
    alignment = const note::ALIGNMENT,
    version = const VERSION,
    processors = const note::PROCESSORS,
    blocks = sym BLOCKS,
    count = const PROCESSORS,
    signals = const note::SIGNALS,
    posted = sym SIGNALS,
    threads = const note::THREADS,
    table = sym TABLE,
    folders = const note::FOLDERS,
    folders_version = const folder::VERSION,
);

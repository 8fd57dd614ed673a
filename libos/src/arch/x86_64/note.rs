//! ELF notes of the libos in the image: the version of its contract and where a trapped system call continues
//! ([`husk_abi::note::Abi`]), the entry for a thread with an expired slice ([`husk_abi::turns::Note`]), the record for posted
//! signals ([`husk_abi::signals::Note`]), and the table of threads ([`husk_abi::threads::Note`]).

#![expect(unsafe_code, reason = "a note is written in assembly")]

use super::processor::{CURRENT, PROCESSOR, SIGNALS, TURNS};
use crate::threads::TABLE;
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
    ".balign 4",
    ".long {name_length}",
    ".long 5f - 4f",
    ".long {turns}",
    ".asciz \"Husk\"",
    ".balign 4",
    "4:  .quad {processor} + {record} - .",
    "    .quad husk_turn_over - .",
    "    .quad husk_system_call_direct - .",
    "    .quad husk_entry_end - .",
    "5:",
    ".balign 4",
    ".long {name_length}",
    ".long 7f - 6f",
    ".long {signals}",
    ".asciz \"Husk\"",
    ".balign 4",
    "6:  .quad {processor} + {told} - .",
    "7:",
    ".balign 4",
    ".long {name_length}",
    ".long 9f - 8f",
    ".long {threads}",
    ".asciz \"Husk\"",
    ".balign 4",
    "8:  .quad {table} - .",
    "    .quad {processor} + {current} - .",
    "9:",
    ".popsection",
    name_length = const note::NAME.len() + 1,
    kind = const note::ABI,
    alignment = const note::ALIGNMENT,
    version = const VERSION,
    turns = const note::TURNS,
    processor = sym PROCESSOR,
    record = const TURNS,
    signals = const note::SIGNALS,
    told = const SIGNALS,
    threads = const note::THREADS,
    table = sym TABLE,
    current = const CURRENT,
);

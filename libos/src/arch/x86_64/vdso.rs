//! The vDSO: an ELF image in memory with functions that replace some system calls.
//!
//! musl and other libraries find it through `AT_SYSINFO_EHDR` and look functions up by name and version (Linux's
//! Documentation/ABI/stable/vdso). Some insist that a function lies inside the image, so the image is a part of our own code
//! section that ends with a jump for each function; the assembler computes all offsets in it.

#![expect(unsafe_code, reason = "the image is assembly")]

use crate::vdso;
use core::arch::global_asm;
use core::ptr::addr_of;

unsafe extern "C" {
    /// The first byte of the image, not meant to be read as a `u8`.
    static husk_vdso: u8;
}

/// Address of the image.
pub fn address() -> u64 {
    addr_of!(husk_vdso) as u64
}

global_asm!(
    // Symbol: name in the string table, global function, section 1, offset and size.
    ".macro husk_vdso_symbol name, function",
    "    .long \\name - .Lvdso_names",
    "    .byte 0x12, 0",
    "    .short 1",
    "    .quad \\function - husk_vdso, 5",
    ".endm",
    ".macro husk_vdso_dynamic tag, value",
    "    .quad \\tag, \\value",
    ".endm",
    ".pushsection .text.husk_vdso, \"ax\", @progbits",
    ".balign 64",
    ".type husk_vdso, @object",
    "husk_vdso:",
    // ELF header: 64-bit, little-endian, version 1; a shared object for x86-64.
    "    .byte 0x7f, 0x45, 0x4c, 0x46, 2, 1, 1, 0",
    "    .quad 0",
    "    .short 3, 62",
    "    .long 1",
    "    .quad 0, .Lvdso_segments - husk_vdso, 0",
    "    .long 0",
    "    .short 64, 56, 2, 64, 0, 0",
    ".Lvdso_segments:",
    // PT_LOAD, readable and executable: the whole image.
    "    .long 1, 5",
    "    .quad 0, 0, 0, .Lvdso_end - husk_vdso, .Lvdso_end - husk_vdso, 4096",
    // PT_DYNAMIC, readable.
    "    .long 2, 4",
    "    .quad .Lvdso_tags - husk_vdso, .Lvdso_tags - husk_vdso, .Lvdso_tags - husk_vdso",
    "    .quad .Lvdso_tags_end - .Lvdso_tags, .Lvdso_tags_end - .Lvdso_tags, 8",
    ".Lvdso_tags:",
    "    husk_vdso_dynamic 4, .Lvdso_hash - husk_vdso",
    "    husk_vdso_dynamic 5, .Lvdso_names - husk_vdso",
    "    husk_vdso_dynamic 6, .Lvdso_symbols - husk_vdso",
    "    husk_vdso_dynamic 10, .Lvdso_names_end - .Lvdso_names",
    "    husk_vdso_dynamic 11, 24",
    "    husk_vdso_dynamic 0x6ffffff0, .Lvdso_versions - husk_vdso",
    "    husk_vdso_dynamic 0x6ffffffc, .Lvdso_definitions - husk_vdso",
    "    husk_vdso_dynamic 0x6ffffffd, 1",
    "    husk_vdso_dynamic 0, 0",
    ".Lvdso_tags_end:",
    ".Lvdso_symbols:",
    "    .quad 0, 0, 0",
    "    husk_vdso_symbol .Lvdso_name_1, .Lvdso_1",
    "    husk_vdso_symbol .Lvdso_name_2, .Lvdso_2",
    "    husk_vdso_symbol .Lvdso_name_3, .Lvdso_3",
    "    husk_vdso_symbol .Lvdso_name_4, .Lvdso_4",
    "    husk_vdso_symbol .Lvdso_name_5, .Lvdso_5",
    // Hash table: one bucket, and a chain through all symbols.
    ".Lvdso_hash:",
    "    .long 1, 6, 1",
    "    .long 0, 2, 3, 4, 5, 0",
    // Version definitions: number 2 is LINUX_2.6, with the ELF hash of that name.
    ".Lvdso_definitions:",
    "    .short 1, 0, 2, 1",
    "    .long 0x03ae75f6, 20, 0",
    "    .long .Lvdso_version - .Lvdso_names, 0",
    ".Lvdso_versions:",
    "    .short 0, 2, 2, 2, 2, 2",
    ".Lvdso_names:",
    "    .byte 0",
    ".Lvdso_version: .asciz \"LINUX_2.6\"",
    ".Lvdso_name_1: .asciz \"__vdso_clock_gettime\"",
    ".Lvdso_name_2: .asciz \"__vdso_gettimeofday\"",
    ".Lvdso_name_3: .asciz \"__vdso_time\"",
    ".Lvdso_name_4: .asciz \"__vdso_clock_getres\"",
    ".Lvdso_name_5: .asciz \"__vdso_getcpu\"",
    ".Lvdso_names_end:",
    ".size husk_vdso, . - husk_vdso",
    ".balign 16, 0xcc",
    ".type husk_vdso_jumps, @function",
    "husk_vdso_jumps:",
    ".Lvdso_1: jmp {clock_gettime}",
    ".Lvdso_2: jmp {gettimeofday}",
    ".Lvdso_3: jmp {time}",
    ".Lvdso_4: jmp {clock_getres}",
    ".Lvdso_5: jmp {getcpu}",
    ".size husk_vdso_jumps, . - husk_vdso_jumps",
    ".Lvdso_end:",
    ".popsection",
    clock_gettime = sym vdso::clock_gettime,
    gettimeofday = sym vdso::gettimeofday,
    time = sym vdso::time,
    clock_getres = sym vdso::clock_getres,
    getcpu = sym vdso::getcpu,
);

#[cfg(test)]
mod tests;

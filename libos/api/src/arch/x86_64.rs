//! x86-64: the time stamp counter, and the relocation of an image that was loaded at an address of the tender's choice.

#![expect(unsafe_code, reason = "relocation writes to the image itself")]

/// The time stamp counter.
#[inline]
pub fn ticks() -> u64 {
    // SAFETY: the contract promises a counter that CPL 3 may read.
    unsafe { core::arch::x86_64::_rdtsc() }
}

/// Tags of the dynamic section (gABI, "Dynamic Section").
mod tag {
    pub const NULL: u64 = 0;
    pub const RELA: u64 = 7;
    pub const RELA_SIZE: u64 = 8;
}

/// `R_X86_64_RELATIVE`: the word becomes load bias plus addend.
const RELATIVE: u32 = 8;
/// Bytes of a relocation: offset, type and symbol, addend.
const RELOCATION_SIZE: u64 = 24;

/// Applies the relocations of a static-pie image: `*(bias + offset) = bias + addend` for each. Doing it again later, as
/// musl's start code does, changes nothing.
///
/// In assembly, because it runs before any address in the image is right: compiled without optimisation, even a call
/// to a function next door goes through a word that needs relocation.
///
/// # Safety
///
/// `dynamic` is the dynamic section of the running image, which is loaded at `bias` and whose relocated words are
/// writable; nothing that needs relocation has been used yet, and no other thread runs.
#[unsafe(naked)]
pub unsafe extern "C" fn relocate(bias: u64, dynamic: *const [u64; 2]) {
    core::arch::naked_asm!(
        // rdx: the table, rcx: its size. The section ends with a NULL tag.
        "xor edx, edx",
        "xor ecx, ecx",
        "2: mov rax, [rsi]",
        "cmp rax, {NULL}",
        "je 4f",
        "cmp rax, {RELA}",
        "cmove rdx, [rsi + 8]",
        "cmp rax, {RELA_SIZE}",
        "cmove rcx, [rsi + 8]",
        "add rsi, 16",
        "jmp 2b",
        "4: add rdx, rdi",
        "add rcx, rdx",
        // From rdx to rcx, one relocation at a time.
        "5: cmp rdx, rcx",
        "jae 7f",
        "cmp dword ptr [rdx + 8], {RELATIVE}",
        "jne 6f",
        "mov rax, [rdx]",
        "mov rsi, [rdx + 16]",
        "add rsi, rdi",
        "mov [rdi + rax], rsi",
        "6: add rdx, {SIZE}",
        "jmp 5b",
        "7: ret",
        NULL = const tag::NULL,
        RELA = const tag::RELA,
        RELA_SIZE = const tag::RELA_SIZE,
        RELATIVE = const RELATIVE,
        SIZE = const RELOCATION_SIZE,
    )
}

#[cfg(test)]
mod tests {
    use super::*;

    #[test]
    fn relative_words_get_the_bias_and_keep_it() {
        let mut word = [0u64; 1];
        let bias = 0x1000;
        let offset = (word.as_mut_ptr() as u64).wrapping_sub(bias);
        let table = [[offset, u64::from(RELATIVE), 0x234]];
        let address = (table.as_ptr() as u64).wrapping_sub(bias);
        let dynamic = [[tag::RELA, address], [tag::RELA_SIZE, 24], [tag::NULL, 0]];
        for _ in 0..2 {
            // SAFETY: the table names one word of our own.
            unsafe { relocate(bias, dynamic.as_ptr()) };
            assert_eq!(word, [0x1234]);
        }
    }
}

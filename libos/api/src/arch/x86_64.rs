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

/// Applies the relocations of a static-pie image: `*(bias + offset) = bias + addend` for each. Doing it again later, as
/// musl's start code does, changes nothing.
///
/// # Safety
///
/// `dynamic` is the dynamic section of the running image, which is loaded at `bias` and whose relocated words are
/// writable; nothing that needs relocation has been used yet, and no other thread runs.
// Nothing in here may refer to data by absolute address: it runs before such addresses are right.
pub unsafe fn relocate(bias: u64, dynamic: *const [u64; 2]) {
    let (mut table, mut size) = (0, 0);
    let mut entry = dynamic;
    loop {
        // SAFETY: the section ends with a NULL entry, where we stop; the caller vouches for the section.
        let [tag, value] = unsafe { entry.read() };
        match tag {
            tag::NULL => break,
            tag::RELA => table = bias.wrapping_add(value),
            tag::RELA_SIZE => size = value,
            _ => {}
        }
        // SAFETY: this was not the last entry.
        entry = unsafe { entry.add(1) };
    }
    for at in (table..table.wrapping_add(size)).step_by(size_of::<[u64; 3]>()) {
        // SAFETY: the table lies in the image, as the dynamic section says.
        let [offset, info, addend] = unsafe { (at as *const [u64; 3]).read() };
        if info as u32 == RELATIVE {
            // SAFETY: the link editor made this entry for a word of the image that is writable until now.
            unsafe { (bias.wrapping_add(offset) as *mut u64).write(bias.wrapping_add(addend)) };
        }
    }
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

//! The seccomp prologue: SECCOMP_RET_TRAP unless a system call comes from the tender's own code. The tender's
//! calls go to the kernel, all others to the libos.
//!
//! A guest can still jump to a system call instruction of the tender. The call then does what the tender itself may do
//! by then, and no more: see [`crate::confine`].

#![expect(unsafe_code, reason = "the loader tells of the process by pointers")]

use husk_abi::memory::Region;
use libc::{BPF_ABS, BPF_JEQ, BPF_JGE, BPF_JGT, BPF_JMP, BPF_K, BPF_LD, BPF_RET, BPF_W, sock_filter};

/// Offsets in struct seccomp_data of the address after the instruction: its low half, then the high one.
const LOW: u32 = 8;
const HIGH: u32 = 12;
/// Bytes of addresses with the same high half.
const HALF: u64 = 1 << 32;

/// Number of instructions that check one piece.
const LENGTH: usize = 5;

/// Returns instructions of seccomp(2) that raise SIGSYS for a call from outside this process's own code, and continue with
/// the next instructions for a call from inside.
pub fn instructions() -> Vec<sock_filter> {
    only_from(&code())
}

fn only_from(code: &[Region]) -> Vec<sock_filter> {
    let mut instructions = vec![];
    let pieces: Vec<Region> = code.iter().flat_map(halves).collect();
    for (piece, left) in pieces.iter().zip((0..pieces.len()).rev()) {
        // Past the checks of the other pieces, and the return.
        let past_the_rest = (LENGTH * left + 1) as u8;
        let (first, last) = (piece.start, piece.end() - 1);
        instructions.extend([
            load(HIGH),
            compare(BPF_JEQ, (first / HALF) as u32, 0, 3),
            load(LOW),
            compare(BPF_JGE, (first % HALF) as u32, 0, 1),
            compare(BPF_JGT, (last % HALF) as u32, 0, past_the_rest),
        ]);
    }
    instructions.push(sock_filter { code: (BPF_RET | BPF_K) as u16, jt: 0, jf: 0, k: libc::SECCOMP_RET_TRAP });
    instructions
}

/// Splits the region into pieces of addresses with the same high half.
fn halves(region: &Region) -> impl Iterator<Item = Region> + use<> {
    let Region { start, length } = *region;
    let end = start + length;
    (start / HALF..end.div_ceil(HALF))
        .map(move |half| Region::between(start.max(half * HALF), end.min((half + 1) * HALF)))
}

fn load(offset: u32) -> sock_filter {
    sock_filter { code: (BPF_LD | BPF_W | BPF_ABS) as u16, jt: 0, jf: 0, k: offset }
}

fn compare(how: u32, value: u32, yes: u8, no: u8) -> sock_filter {
    sock_filter { code: (BPF_JMP | how | BPF_K) as u16, jt: yes, jf: no, k: value }
}

/// Returns all code of this process: the program, its libraries if there are any, and the vDSO, which makes a system call
/// if it cannot read a clock by itself (vdso(7)).
fn code() -> Vec<Region> {
    let mut found: Vec<Region> = vec![];
    // SAFETY: the callback reads only the object that the loader passes, and the pointer
    // is to a variable of the type that it expects.
    unsafe { libc::dl_iterate_phdr(Some(add), (&raw mut found).cast()) };
    // SAFETY: getauxval(3) has no conditions.
    let kernels = unsafe { libc::getauxval(libc::AT_SYSINFO_EHDR) };
    // Some C libraries list the vDSO themselves.
    if kernels != 0 && !found.iter().any(|region| region.contains(kernels)) {
        // SAFETY: the kernel has mapped an ELF header at this address.
        let header = unsafe { &*(kernels as *const libc::Elf64_Ehdr) };
        let headers = (kernels + header.e_phoff) as *const libc::Elf64_Phdr;
        // SAFETY: the ELF header has the address and number of the program headers.
        found.extend(executable(kernels, unsafe { std::slice::from_raw_parts(headers, header.e_phnum.into()) }));
    }
    found
}

/// Executable segments of an object that is loaded at this address.
fn executable(base: u64, headers: &[libc::Elf64_Phdr]) -> impl Iterator<Item = Region> {
    let executable = |header: &&libc::Elf64_Phdr| header.p_type == libc::PT_LOAD && header.p_flags & libc::PF_X != 0;
    let region =
        move |header: &libc::Elf64_Phdr| Region { start: base.wrapping_add(header.p_vaddr), length: header.p_memsz };
    headers.iter().filter(executable).map(region)
}

/// Adds the code of one object.
unsafe extern "C" fn add(object: *mut libc::dl_phdr_info, _: libc::size_t, found: *mut libc::c_void) -> libc::c_int {
    // SAFETY: the loader passes an object of its own.
    let object = unsafe { &*object };
    // SAFETY: `code` passes its variable.
    let found = unsafe { &mut *found.cast::<Vec<Region>>() };
    // SAFETY: the loader passes the number of headers.
    let headers = unsafe { std::slice::from_raw_parts(object.dlpi_phdr, object.dlpi_phnum.into()) };
    found.extend(executable(object.dlpi_addr, headers));
    0
}

#[cfg(test)]
mod tests {
    use super::*;

    /// Returns true if a call with this address after its instruction is trapped, by the rules of the kernel's interpreter.
    fn is_trapped(program: &[sock_filter], address: u64) -> bool {
        let (mut at, mut loaded) = (0, 0);
        while let Some(instruction) = program.get(at) {
            at += 1;
            let holds = match u32::from(instruction.code) {
                code if code == BPF_LD | BPF_W | BPF_ABS => {
                    loaded = if instruction.k == HIGH { (address / HALF) as u32 } else { address as u32 };
                    continue;
                }
                code if code == BPF_JMP | BPF_JEQ | BPF_K => loaded == instruction.k,
                code if code == BPF_JMP | BPF_JGE | BPF_K => loaded >= instruction.k,
                code if code == BPF_JMP | BPF_JGT | BPF_K => loaded > instruction.k,
                _ => return true,
            };
            at += usize::from(if holds { instruction.jt } else { instruction.jf });
        }
        false
    }

    #[test]
    fn calls_from_the_regions_pass_and_no_others() {
        let regions = [
            Region::between(0x5555_0000_1000, 0x5555_0002_0000),
            Region::between(0x6fff_ffff_f000, 0x7000_0000_1000),
            Region::between(0x7fff_0000_0000, 0x7fff_0000_2000),
        ];
        let program = only_from(&regions);
        for region in regions {
            for (address, outside) in [
                (region.start - 1, true),
                (region.start, false),
                (region.start + 0x234, false),
                (region.end() - 1, false),
                (region.end(), true),
            ] {
                assert_eq!(is_trapped(&program, address), outside, "{address:#x}");
            }
        }
        assert!(is_trapped(&program, 0x1000) && is_trapped(&program, u64::MAX));
    }

    #[test]
    fn the_kernels_code_is_found_once() {
        // SAFETY: getauxval(3) has no conditions.
        let kernels = unsafe { libc::getauxval(libc::AT_SYSINFO_EHDR) };
        assert_eq!(code().iter().filter(|region| region.contains(kernels)).count(), usize::from(kernels != 0));
    }

    #[test]
    fn our_own_code_is_found() {
        let here = calls_from_the_regions_pass_and_no_others as fn() as usize as u64;
        assert!(code().iter().any(|region| region.contains(here)));
        assert!(!is_trapped(&instructions(), here));
    }
}

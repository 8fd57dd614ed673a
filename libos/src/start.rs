//! From the tender's jump to the program's first instruction. The entry passes on what the tender passed: the address
//! of the boot information, which stays where it is for good.

#![expect(unsafe_code, reason = "it runs before relocation, and jumps to the C library")]

use crate::arch::{self, Registers};
use crate::libos::{LIBOS, Libos};
use crate::memory::MEMORY;
use crate::random::Random;
use crate::{stack, user};
use husk::abi::boot::Info;
use linux_raw_sys::elf::{Elf_Phdr, PT_DYNAMIC};

unsafe extern "C" {
    /// The program's own start code, from the C library.
    fn _start();
}

/// Relocates the image, if the tender chose its place. Runs first of all, so nothing in here may use an address that
/// the link editor wrote down.
pub extern "sysv64" fn relocate(info: &Info) {
    if info.load_bias == 0 {
        return;
    }
    let mut header = info.program_headers as *const Elf_Phdr;
    for _ in 0..info.program_header_count {
        // SAFETY: the tender says that so many headers lie there.
        let segment = unsafe { &*header };
        if segment.p_type == PT_DYNAMIC {
            let dynamic = info.load_bias.wrapping_add(segment.p_vaddr as u64);
            // SAFETY: it is this image's, just loaded, and nothing has run but the lines above.
            unsafe { husk::arch::relocate(info.load_bias, dynamic as *const [u64; 2]) };
        }
        // SAFETY: at most one past the last header.
        header = unsafe { header.add(1) };
    }
}

/// Prepares everything and tells the registers with which the program starts.
pub extern "sysv64" fn initialise(info: &'static Info) -> *mut Registers {
    husk::boot::init(info);
    arch::prepare(info.libos_stack);
    MEMORY.lock().init(info.heap);
    user::set_window(info.image.start, info.heap.end());

    let mut random = Random::new(info.entropy);
    let entry = _start as *const () as u64;
    let libos = stack::build(info, entry, &mut random)
        .and_then(|stack| Libos::new(Registers::start(entry, stack.pointer), stack.auxiliary, random));
    match libos {
        Ok(libos) => {
            let mut owner = LIBOS.lock();
            &raw mut *owner.insert(libos).threads.current().registers
        }
        Err(errno) => panic!("the program cannot start: error {}", -errno.to_result()),
    }
}

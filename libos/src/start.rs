//! Start: from the tender's jump to the program's first instruction. The entry passes on the address of the boot information,
//! which stays valid and does not move.

#![expect(unsafe_code, reason = "it names the functions of the C library that it starts")]

use crate::arch::{self, Registers};
use crate::libos::LIBOS;
use crate::memory::MEMORY;
use crate::random::Random;
use crate::state::Libos;
use crate::{attach, stack, user};
use husk::abi::boot::Info;

unsafe extern "C" {
    /// The program's main function, as C sees it.
    fn main();
    /// Function that musl's start code calls after relocating the image, which the tender has done: `(main, argc, argv)`.
    fn __libc_start_main();
}

/// Prepares the libos and returns the registers with which the program starts.
pub extern "sysv64" fn initialise(info: &'static Info) -> *mut Registers {
    husk::boot::init(info);
    arch::prepare(info.libos_stack);
    let memory = MEMORY.lock().init(info.heap, info.heap_attached);
    user::set_window(info.image.start, info.heap.end().max(info.image_file.end()).max(info.sparse.end()));

    let (entry, main) = (__libc_start_main as *const () as u64, main as *const () as u64);
    let libos = memory.and_then(|()| stack::build(info, entry)).and_then(|stack| {
        let arguments = [main, info.arguments.count, stack.pointer + 8];
        Libos::new(Registers::call(entry, stack.pointer, arguments), stack.auxiliary, Random::new(info.entropy))
    });
    match libos {
        Ok(libos) => {
            let mut owner = LIBOS.lock();
            let libos = owner.insert(libos);
            if info.devices != 0 {
                attach::disks(libos);
                attach::folders(libos);
                attach::network(libos);
            }
            &raw mut *libos.threads.current().registers
        }
        Err(errno) => panic!("the program cannot start: error {}", -errno.to_result()),
    }
}

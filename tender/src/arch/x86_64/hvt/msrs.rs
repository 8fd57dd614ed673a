//! A filter of KVM's that denies the guest all model-specific registers.
//!
//! The guest cannot name one: `rdmsr` and `wrmsr` are for ring 0, where no instruction of the guest's ever runs. The filter
//! is a second defence, where KVM would emulate them: a guest that reached ring 0 after all gets a general protection fault,
//! not the emulation of some hundred registers. The tender's own accesses are not filtered.

use crate::vm::target::Error;
use kvm_ioctls::{MsrFilterDefaultAction, MsrFilterRange, MsrFilterRangeFlags, VmFd};

/// Denies all model-specific registers, if KVM can (Linux 5.10). Returns true if it can.
///
/// The kernel waits for readers of the previous filter (SRCU): 10 us if the machine has not changed yet, and milliseconds
/// while it still frees what a change of the machine's memory has left. So this comes first.
pub fn deny(vm: &VmFd) -> Result<bool, Error> {
    // No range at all would switch the filter off; this one denies what is denied anyway.
    let flags = MsrFilterRangeFlags::READ | MsrFilterRangeFlags::WRITE;
    let range = MsrFilterRange { flags, base: 0, msr_count: 8, bitmap: &[0] };
    match vm.set_msr_filter(MsrFilterDefaultAction::DENY, &[range]) {
        Err(error) if error.errno() == libc::ENOTTY => Ok(false),
        done => done.map(|()| true).map_err(Error::kvm("deny the guest all model-specific registers")),
    }
}

#[cfg(test)]
mod tests {
    #![expect(unsafe_code, reason = "memory is given to KVM by address")]

    use super::*;
    use husk_skip::skip;
    use kvm_bindings::kvm_userspace_memory_region;
    use kvm_ioctls::{Cap, Kvm, VcpuExit};

    /// Addresses of the code and of the handler of the general protection fault, and the ports that they write to.
    const CODE: u16 = 0x400;
    const HANDLER: u16 = 0x800;
    const WENT_ON: u16 = 0x10;
    const FAULTED: u16 = 0x20;

    /// Code of a processor as it starts, in real mode: `mov ecx, index`, the instruction, `out port, al`.
    fn code(index: u32, instruction: [u8; 2], port: u16) -> Vec<u8> {
        let mut code = vec![0x66, 0xb9];
        code.extend(index.to_le_bytes());
        code.extend(instruction);
        code.extend([0xe6, port as u8]);
        code
    }

    /// Runs an instruction on a model-specific register in ring 0; returns the port that was written to.
    fn run(kvm: &Kvm, is_filtered: bool, index: u32, instruction: [u8; 2]) -> Option<u16> {
        let vm = kvm.create_vm().expect("a virtual machine");
        if is_filtered {
            assert!(deny(&vm).expect("it can be filtered"));
        }
        let mut page = Box::new(Page([0; 4096]));
        let mut write = |at: u16, bytes: &[u8]| page.0[at as usize..][..bytes.len()].copy_from_slice(bytes);
        // The entry for vector 13 in the table at address 0: offset and segment.
        write(13 * 4, &HANDLER.to_le_bytes());
        write(CODE, &code(index, instruction, WENT_ON));
        write(HANDLER, &code(index, [0x90, 0x90], FAULTED));
        let memory = kvm_userspace_memory_region {
            memory_size: 4096,
            userspace_addr: (&raw mut page.0) as u64,
            ..Default::default()
        };
        // SAFETY: the page lasts longer than the machine.
        unsafe { vm.set_user_memory_region(memory) }.expect("memory");
        let mut vcpu = vm.create_vcpu(0).expect("a processor");
        let mut special = vcpu.get_sregs().expect("its state");
        for segment in [&mut special.cs, &mut special.ss, &mut special.ds, &mut special.es] {
            (segment.base, segment.selector) = (0, 0);
        }
        vcpu.set_sregs(&special).expect("its state");
        let mut registers = vcpu.get_regs().expect("its registers");
        (registers.rip, registers.rsp, registers.rflags) = (CODE.into(), 0x1000, 2);
        vcpu.set_regs(&registers).expect("its registers");
        let port = match vcpu.run() {
            Ok(VcpuExit::IoOut(port, _)) => Some(port),
            other => {
                eprintln!("index {index:#x}, filtered {is_filtered}: {other:?}");
                None
            }
        };
        drop((vcpu, vm));
        port
    }

    #[repr(align(4096))]
    struct Page([u8; 4096]);

    #[test]
    fn not_even_ring_0_of_a_guest_has_a_model_specific_register() {
        const READ: [u8; 2] = [0x0f, 0x32];
        const WRITE: [u8; 2] = [0x0f, 0x30];
        /// The time stamp counter, the page attributes, the system call entry, KVM's own clock.
        const INDICES: [u32; 4] = [0x10, 0x277, 0xc000_0082, 0x4b56_4d01];
        let Ok(kvm) = Kvm::new() else { return skip!("tests of the host's KVM, as /dev/kvm does not open") };
        if !kvm.check_extension(Cap::X86MsrFilter) {
            return skip!("model-specific registers, as this KVM has no filter of them");
        }
        if run(&kvm, false, INDICES[0], READ) != Some(WENT_ON) {
            return skip!("model-specific registers, as this KVM does not run the code that reads one, filter or not");
        }
        for (index, instruction) in INDICES.into_iter().flat_map(|index| [(index, READ), (index, WRITE)]) {
            assert_eq!(run(&kvm, true, index, instruction), Some(FAULTED), "{index:#x} by {instruction:x?}");
        }
    }
}

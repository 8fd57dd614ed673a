//! The least a KVM program can do: one page of memory, one processor in real mode, one instruction, one exit.

#![expect(unsafe_code, reason = "guest memory is given to KVM by address")]

use kvm_bindings::{kvm_regs, kvm_userspace_memory_region};
use kvm_ioctls::{Kvm, VcpuExit};

const PAGE: usize = 4096;
const START: u64 = 0x1000;

fn main() -> Result<(), Box<dyn std::error::Error>> {
    let kvm = Kvm::new()?;
    let vm = kvm.create_vm()?;
    // SAFETY: a new mapping at an address of the kernel's choice touches nothing that exists.
    let page = unsafe {
        let flags = libc::MAP_PRIVATE | libc::MAP_ANONYMOUS;
        libc::mmap(std::ptr::null_mut(), PAGE, libc::PROT_READ | libc::PROT_WRITE, flags, -1, 0)
    };
    assert_ne!(page, libc::MAP_FAILED);
    let out = [0xe6u8, 0x10]; // out %al, $0x10
    // SAFETY: the page was just mapped, writable.
    unsafe { page.cast::<u8>().copy_from_nonoverlapping(out.as_ptr(), out.len()) };
    let region = kvm_userspace_memory_region {
        guest_phys_addr: START,
        memory_size: PAGE as u64,
        userspace_addr: page as u64,
        ..Default::default()
    };
    // SAFETY: the page stays mapped until the process ends.
    unsafe { vm.set_user_memory_region(region)? };
    let mut vcpu = vm.create_vcpu(0)?;
    let mut special = vcpu.get_sregs()?;
    (special.cs.base, special.cs.selector) = (0, 0);
    vcpu.set_sregs(&special)?;
    vcpu.set_regs(&kvm_regs { rip: START, rflags: 2, ..Default::default() })?;
    match vcpu.run()? {
        VcpuExit::IoOut(0x10, _) => println!("Hello from a bare KVM program"),
        other => panic!("unexpected exit {other:?}"),
    }
    // As the tender does: no clean-up that the kernel does anyway.
    std::process::exit(0)
}

//! Creation of a virtual machine of KVM, and the capabilities that it takes.

use super::open::NotOpened;
use crate::vm::target::Error;
use kvm_ioctls::{Cap, Kvm, VmFd};

/// Makes a virtual machine, on a KVM with the required capabilities.
pub fn create_vm(kvm: &Kvm) -> Result<VmFd, Error> {
    for (capability, name) in REQUIRED {
        if !kvm.check_extension(capability) {
            return Err(Error::KvmTooOld(name));
        }
    }
    // With a signal pending, the kernel does not take the locks of all mappings and returns EINTR; then the handler has run.
    const ATTEMPTS: usize = 100;
    let mut more = 1..ATTEMPTS;
    let made = loop {
        match kvm.create_vm() {
            Err(error) if error.errno() == libc::EINTR && more.next().is_some() => {}
            made => break made,
        }
    };
    made.map_err(|error| match NotOpened::from_errno(error.errno()) {
        known @ (NotOpened::Busy | NotOpened::NoDescriptors | NotOpened::NoFiles) => Error::NotOpened(known),
        _ => Error::kvm("create a virtual machine")(error),
    })
}

/// Capabilities of every KVM of Linux 5.10, without which registers would be wrong or signals lost in silence.
pub const REQUIRED: [(Cap, &str); 3] = [
    (Cap::UserMemory, "memory of its user's (KVM_CAP_USER_MEMORY)"),
    (Cap::SyncRegs, "registers in shared memory (KVM_CAP_SYNC_REGS)"),
    (Cap::ImmediateExit, "a way to stop a guest before it runs (KVM_CAP_IMMEDIATE_EXIT)"),
];

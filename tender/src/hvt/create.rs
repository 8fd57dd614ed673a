//! Creation of a virtual machine of KVM, and the capabilities that it takes.

use super::open::NotOpened;
use crate::target::Error;
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
    let is_interrupted =
        |made: &Result<VmFd, _>| made.as_ref().is_err_and(|error: &kvm_ioctls::Error| error.errno() == libc::EINTR);
    let mut made = kvm.create_vm();
    for _ in 1..ATTEMPTS {
        if !is_interrupted(&made) {
            break;
        }
        made = kvm.create_vm();
    }
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

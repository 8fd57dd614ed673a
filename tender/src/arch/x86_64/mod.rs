//! x86-64.

pub mod call_site;
pub mod copy;
pub mod dwarf;
pub mod effective_address;
pub mod exception;
pub mod features;
pub mod hvt;
pub(crate) mod probe;
pub mod registers;
pub(crate) mod sentinel;
pub mod spt;
pub mod system_call;
pub mod tsc;

/// Name of the architecture in seccomp(2)'s data: AUDIT_ARCH_X86_64 (linux/audit.h).
pub const AUDIT_ARCHITECTURE: u32 = 0xc000_003e;

//! A virtual processor of KVM on x86-64, and what it needs in memory: descriptor tables, stubs, page tables.

pub(crate) mod counter;
mod cpuid;
pub(crate) mod msrs;
pub mod ring0;
pub(crate) mod tables;
pub(crate) mod vcpu;

pub use cpuid::Cpu;
pub(crate) use kvm_bindings::{
    kvm_msrs as ModelRegisters, kvm_regs as GeneralRegisters, kvm_sregs as SpecialRegisters,
};

//! Processor-specific code: the only module that knows the architecture.

#[cfg(target_arch = "x86_64")]
mod x86_64;

#[cfg(target_arch = "x86_64")]
pub use x86_64::{
    PLATFORM,
    base::{set_thread_base, thread_base},
    capabilities, fiber,
    processor::{PROCESSORS, prepare, set_need_resched, signals_posted, take_signals},
    registers::Registers,
    signal_frame, vdso, vector,
};

#[cfg(not(target_arch = "x86_64"))]
compile_error!("Husk guests run on x86-64 only, so far");

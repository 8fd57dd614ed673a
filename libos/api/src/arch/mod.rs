//! The processor: the only module that depends on the architecture.

#[cfg(target_arch = "x86_64")]
mod x86_64;

#[cfg(target_arch = "x86_64")]
pub use x86_64::ticks;

#[cfg(not(target_arch = "x86_64"))]
compile_error!("Husk guests run on x86-64 only, so far");

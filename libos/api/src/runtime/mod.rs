//! Start, heap and panic handler of a native program.
//!
//! Compiled for guests only: a program of the host that links this crate has a start of its own.

#[cfg(target_os = "none")]
mod heap;
#[cfg(target_os = "none")]
mod panic;
#[cfg(target_os = "none")]
mod start;

/// Names the main function of a native program: `fn main()`, `fn main() -> u8` (the exit status) or
/// `fn main() -> Result<(), E>`.
#[macro_export]
macro_rules! entry {
    ($main:path) => {
        #[doc(hidden)]
        #[unsafe(no_mangle)]
        extern "C" fn husk_main() -> u8 {
            $crate::process::Termination::status($main())
        }
    };
}

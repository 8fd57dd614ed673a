//! The end of the guest, on its own request.

use crate::gate;
use husk_abi::call::Number;

/// Ends the guest with an exit status.
pub fn exit(status: u8) -> ! {
    loop {
        let _ = gate::call(Number::Exit, u64::from(status), 0, 0, 0);
    }
}

/// Ends the guest as a fault, with a message.
pub fn panic(message: &[u8]) -> ! {
    loop {
        let _ = gate::call(Number::Panic, message.as_ptr() as u64, message.len() as u64, 0, 0);
    }
}

/// Ends the guest as a fault: its current thread dies of `signal`.
pub fn abort(signal: u32) -> ! {
    loop {
        let _ = gate::call(Number::Abort, u64::from(signal), 0, 0, 0);
    }
}

/// Ends the guest as a fault: all its threads wait for one another.
pub fn deadlock() -> ! {
    loop {
        let _ = gate::call(Number::Deadlock, 0, 0, 0, 0);
    }
}

/// A type that a main function may return.
pub trait Termination {
    /// Returns the exit status for the value.
    fn status(self) -> u8;
}

impl Termination for () {
    fn status(self) -> u8 {
        0
    }
}

impl Termination for u8 {
    fn status(self) -> u8 {
        self
    }
}

impl<T: Termination, E: core::fmt::Debug> Termination for Result<T, E> {
    fn status(self) -> u8 {
        match self {
            Ok(value) => value.status(),
            Err(error) => {
                crate::eprintln!("Error: {error:?}");
                1
            }
        }
    }
}

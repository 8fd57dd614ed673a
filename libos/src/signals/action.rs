//! A signal's action, origin and delivery, as signal frames hold them.

use crate::process::PROCESS;
use crate::threads::signal_stack::SignalStack;
use linux_raw_sys::general::{SI_KERNEL, SI_TKILL};
use zerocopy::{FromBytes, Immutable, IntoBytes};

/// `SI_TIMER`, which the bindings declare as unsigned.
pub const FROM_TIMER: i32 = -2;

/// Action for a signal; the layout of the kernel's `struct sigaction`.
#[derive(Clone, Copy, Debug, Default, FromBytes, IntoBytes, Immutable)]
#[repr(C)]
pub struct Action {
    /// `SIG_DFL`, `SIG_IGN` or a function's address.
    pub handler: u64,
    /// `SA_*`.
    pub flags: u64,
    /// Address to which the function returns.
    pub restorer: u64,
    /// Signals that are blocked while the function runs.
    pub mask: u64,
}

/// Origin of a signal, as its handler sees it.
#[derive(Clone, Copy, Debug, PartialEq, Eq)]
pub struct Origin {
    /// `SI_*`.
    pub code: i32,
    /// Number of the process that sent it, or of the timer.
    pub sender: u32,
    /// Real user of the sender; overrun of the timer: expirations since without another signal.
    pub user_or_overrun: u32,
    /// Data of the program (`si_value`).
    pub value: u64,
}

impl Origin {
    /// `SI_USER`: the program itself, through kill(2) or a similar call, or the outside.
    pub const USER: Self = Self { code: 0, sender: PROCESS, user_or_overrun: 0, value: 0 };

    /// `SI_TKILL`: the program itself, to one thread.
    pub const THREAD: Self = Self { code: SI_TKILL, ..Self::USER };

    /// `SI_KERNEL`: the libos.
    pub const KERNEL: Self = Self { code: SI_KERNEL as i32, sender: 0, user_or_overrun: 0, value: 0 };

    /// Returns true if a timer sent the signal.
    pub fn is_of_timer(self) -> bool {
        self.code == FROM_TIMER
    }

    /// Returns the origin in a `siginfo_t`.
    pub fn from_information(words: [u32; 32]) -> Self {
        let [_, _, code, _, sender, user_or_overrun, low, high, ..] = words;
        Self { code: code as i32, sender, user_or_overrun, value: u64::from(high) << 32 | u64::from(low) }
    }

    /// Returns the signal's `siginfo_t`.
    pub fn information(self, signal: u32) -> [u32; 32] {
        let [low, high] = [self.value as u32, (self.value >> 32) as u32];
        let mut words = [0; 32];
        let told = [signal, 0, self.code as u32, 0, self.sender, self.user_or_overrun, low, high];
        words.iter_mut().zip(told).for_each(|(word, told)| *word = told);
        words
    }
}

/// Signal that is being delivered to a handler.
#[derive(Clone, Copy, Debug)]
pub struct Delivery {
    /// Signal number.
    pub signal: u32,
    /// Origin of the signal.
    pub origin: Origin,
    /// Signals that were blocked when it arrived.
    pub mask: u64,
    /// The thread's alternate stack.
    pub stack: SignalStack,
}

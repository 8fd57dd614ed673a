//! What becomes of a system call: a result, an error, or a wait.
//!
//! A call that must wait does not block inside the libos: it says what it waits for and is *made again* when that
//! comes about, so no libos stack is held meanwhile. A call that waits must not have changed anything yet.

use crate::errno::Errno;

/// Outcome of a system call: the value for its result register, or why there is none (yet).
pub type Answer = Result<u64, Stop>;

/// Why a call has no value.
#[derive(Clone, Copy, Debug, PartialEq, Eq)]
pub enum Stop {
    /// It failed.
    Errno(Errno),
    /// The thread sleeps; see [`Sleep`].
    Sleep(Sleep),
    /// The thread is gone: nobody waits for a result.
    Gone,
}

/// What a thread sleeps for.
#[derive(Clone, Copy, Debug, PartialEq, Eq)]
pub struct Sleep {
    /// What wakes it.
    pub on: On,
    /// Monotonic time in nanoseconds at which it wakes in any case.
    pub deadline: Option<u64>,
    /// What happens when `on` comes about.
    pub woken: Then,
    /// What happens when the deadline passes first.
    pub expired: Then,
}

/// What can wake a thread.
#[derive(Clone, Copy, Debug, PartialEq, Eq)]
pub enum On {
    /// Only the deadline, or a signal.
    Time,
    /// A wake of the futex at this address whose bits meet these.
    Futex(u64, u32),
    /// A change of the file with this number.
    File(u32),
    /// A change of any file that can be waited for.
    Files,
}

/// How a sleeper goes on.
#[derive(Clone, Copy, Debug, PartialEq, Eq)]
pub enum Then {
    /// Its call returns this.
    Return(i64),
    /// Its call is made again.
    Again,
}

impl From<Errno> for Stop {
    fn from(errno: Errno) -> Self {
        Self::Errno(errno)
    }
}

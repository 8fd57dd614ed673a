//! Outcome of a system call: a result, an error, or a wait.
//!
//! A call that must wait does not block inside the libos: it returns the event to wait for and is *restarted* when the event
//! occurs, so no libos stack is held between. A call that waits must not have changed anything yet, except for what is kept with the
//! thread: its `progress` and its `file`.

use crate::errno::Errno;

/// Outcome of a system call: the value for its result register, or the reason for not having one (yet).
pub type SyscallResult = Result<u64, Stop>;

/// Reason for a call without a value.
#[derive(Clone, Copy, Debug, PartialEq, Eq)]
pub enum Stop {
    /// Error.
    Errno(Errno),
    /// Sleep of the thread; see [`Sleep`].
    Block(Sleep),
    /// Call of the gate that may wait: it is made without the lock, then the system call is restarted ([`crate::console`]).
    Gate,
    /// End of the thread: there is no result to return.
    Gone,
}

/// Sleep of a thread, until an event or a time.
#[derive(Clone, Copy, Debug, PartialEq, Eq)]
pub struct Sleep {
    /// Event that wakes the thread.
    pub on: WaitFor,
    /// Monotonic time in nanoseconds at which the thread wakes in any case.
    pub deadline: Option<u64>,
    /// Effect of the event.
    pub woken: Resume,
    /// Effect of the deadline, if that is first.
    pub expired: Resume,
}

/// Event that can wake a thread.
#[derive(Clone, Copy, Debug, PartialEq, Eq)]
pub enum WaitFor {
    /// Only the deadline, or a signal.
    Time,
    /// Wake of the futex at this address with bits that meet these.
    Futex(u64, u32),
    /// A change of the file with this number.
    File(u32),
    /// A change of any file that can be waited for.
    Files,
    /// A change of the object of System V with this number, among those of all sorts.
    Ipc(u64),
}

/// Continuation of a thread that wakes.
#[derive(Clone, Copy, Debug, PartialEq, Eq)]
pub enum Resume {
    /// Return of the call with this result.
    Return(i64),
    /// Restart of the call.
    Restart,
}

impl Stop {
    /// Returns a wait after which the call is restarted, whatever ends it.
    pub fn until(on: WaitFor, deadline: Option<u64>) -> Self {
        Self::Block(Sleep { on, deadline, woken: Resume::Restart, expired: Resume::Restart })
    }
}

impl From<Errno> for Stop {
    fn from(errno: Errno) -> Self {
        Self::Errno(errno)
    }
}

//! open(2) of a named pipe that waits for the other end.

/// Descriptor of a named pipe, in an open(2) that waits for the other end.
#[derive(Clone, Copy, Debug)]
pub struct Opening {
    /// The descriptor.
    pub descriptor: i32,
    /// Value of the other end's count in `ever` when this end was opened.
    pub others: u64,
}

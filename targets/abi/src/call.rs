//! Calls: requests of a guest to its tender.
//!
//! A call goes through the gate, a function at the address that [`crate::boot::Info::gate`] holds, with the C calling
//! convention: the number in `rdi`, up to four arguments in `rsi`, `rdx`, `rcx`, `r8`, the result in `rax`. A result of 0 or
//! more is the call's value; a negative one is a [`Status`]. Addresses are *claims*: the tender checks each against the guest's
//! memory. A false claim is a [`crate::fault`], as is an unknown call number.
//!
//! Under hvt the gate is `out %al, $PORT; ret`; under spt it is a function of the tender's own process. A guest knows only
//! whether a call is expensive ([`crate::boot::Flags::NEAR`]).

/// Declares [`Number`]: the one list from which numbers, names and both sides' dispatch follow.
macro_rules! calls {
    ($($(#[$doc:meta])* $name:ident = $number:literal,)*) => {
        /// The calls that a tender answers.
        #[derive(Clone, Copy, Debug, PartialEq, Eq)]
        #[repr(u64)]
        pub enum Number {
            $($(#[$doc])* $name = $number,)*
        }

        impl Number {
            /// Every call, in order of its number.
            pub const ALL: &[Self] = &[$(Self::$name,)*];

            /// Returns the call with this number, if it exists.
            pub const fn from_raw(number: u64) -> Option<Self> {
                match number {
                    $($number => Some(Self::$name),)*
                    _ => None,
                }
            }

            /// Returns the call's name, as in this list.
            pub const fn name(self) -> &'static str {
                match self {
                    $(Self::$name => stringify!($name),)*
                }
            }
        }
    };
}

calls! {
    /// `(stream, address, length)`: writes bytes to the console. Stream 1 is standard output, 2 standard error. Value: the
    /// number of bytes written, at least 1 unless `length` is 0. Status: [`Status::Invalid`] for another stream,
    /// [`Status::Closed`] if the stream has no reader any more, [`Status::NoSpace`], [`Status::TooLarge`], [`Status::NotOpen`]
    /// or [`Status::InputOutput`] if the host fails, [`Status::Interrupted`] by a signal ([`crate::signals`]).
    ConsoleWrite = 1,
    /// `(address, length)`: waits for console input and reads up to `length` bytes of it.
    /// Value: the number of bytes read; 0 at the end of the input. Status: [`Status::Directory`], or
    /// [`Status::NotOpen`], [`Status::InputOutput`], [`Status::Interrupted`] as for `ConsoleWrite`.
    ConsoleRead = 2,
    /// `(status)`: ends the guest; the low 8 bits become the tender's exit status. Does not return.
    Exit = 3,
    /// `(deadline_ns, news, measure)`: sleeps until the monotonic clock reaches `deadline_ns`, `u64::MAX` for no deadline, or
    /// until an event of a kind in `news` ([`News`]) or a signal arrives. A deadline in the past makes the call non-blocking.
    /// Value: a [`Waited`]: the kinds of events that are pending and, unless `measure` is 0, the time that the call spent
    /// inside the tender.
    Wait = 4,
    /// `(address, length, rights)`: changes the guest's rights on whole pages of its heap or the sparse region to
    /// [`crate::memory::Rights`]. Execution cannot be requested. Value: 0. Status: [`Status::Invalid`] if address or length is
    /// not a multiple of the page size or the rights are not `READ`, `READ | WRITE` or none; [`Status::NoMemory`] if the host
    /// cannot keep track of that many changes.
    Protect = 5,
    /// `(address, length, kept)`: returns whole pages of the heap or the sparse region to the host; they read as zeros
    /// afterwards. If at most `kept` of them are populated, the guest may keep these, so that the next touch costs nothing.
    /// Value: 0. Status: as for `Protect`.
    Discard = 6,
    /// `(address, length)`: ends the guest as a fault, with a message in UTF-8 of up to 4 KiB. Does not return.
    Panic = 7,
    /// `(system_call)`: reports a Linux system call of the program that the libos does not implement. Value: 0.
    Unanswered = 8,
    /// `(length)`: makes at least the first `length` bytes of the heap usable; see [`crate::boot::Info::heap_attached`]. Value:
    /// the number of usable bytes from now on. Status: [`Status::Invalid`] if the heap is shorter than `length`,
    /// [`Status::NoMemory`] if the guest or the host has no memory left.
    GrowHeap = 9,
    /// `()`: ends the guest as a fault: every thread waits for another, and no event from outside can wake one (deadlock). Does
    /// not return.
    Deadlock = 10,
    /// `(signal)`: ends the guest as a fault: the running thread got this signal, and dies of it as a program on Linux that
    /// dumps core does. Does not return.
    Abort = 11,
    /// `()`: makes the image file readable at [`crate::boot::Info::image_file`]. Value: 0. Status: [`Status::Invalid`] if that
    /// region is empty, [`Status::NoMemory`] if the host has no memory left for it.
    AttachImage = 12,
    /// `(notice, value)`: reports a fact that may interest the user ([`notice`]). Value: 0, also for a notice that the tender
    /// does not know.
    Notice = 13,
    /// `()`: returns the number of bytes of memory that the guest can still get by touching the sparse region.
    AvailableMemory = 14,
    /// `()`: arms the preemption timer again, because a thread has begun to want the processor while the timer was off; see
    /// [`crate::processor`]. Value: 0, also for a guest without preemption.
    Tick = 15,
    /// `()`: updates the clock page to the present; for a reader outside its limit ([`crate::clock`]). Value: 0.
    Time = 16,
    /// `(path, path_length, into, room)`: reads a file of the host that the tender offers ([`crate::host_file`]) into the `room`
    /// bytes at `into`. Value: a [`crate::host_file::Answer`]; nothing was copied if the contents are longer than `room`. Status:
    /// [`Status::Invalid`] if there is nothing at this path, or nothing that is offered; [`Status::TooLarge`] if the contents are
    /// longer than any guest gets; [`Status::InputOutput`] if the host cannot read them.
    HostFile = 17,
    /// `(stream, request, address, length)`: makes a [`crate::stream::request`] to the terminal behind a standard stream: 0 input, 1
    /// output, 2 error. Value: that of the request, else 0. Status: [`Status::Invalid`] if the stream is no terminal, for another
    /// request, or for a length other than [`crate::stream::MODES_SIZE`] of one with modes; [`Status::Interrupted`] by a signal;
    /// [`Status::InputOutput`] if the host fails.
    Terminal = 18,
    /// `(offset, whence)`: moves the offset of standard input, a regular file, as lseek(2) does: from the start for a `whence` of 0,
    /// the offset for 1, the end for 2. Value: the new offset. Status: [`Status::Invalid`] for another stream or `whence`, or an
    /// offset that is none.
    InputSeek = 19,
    /// `(address, length, into)`: finds which of the whole pages of the heap or the sparse region hold anything: a bit for each, from
    /// the lowest of the first byte on, is written to the bytes at `into`. A page without its bit reads as zeros; one with it may.
    /// Value: 0. Status: [`Status::Invalid`] if address or length is not a multiple of the page size, or the length 0 or more than
    /// [`POPULATED_MAXIMUM`]; [`Status::InputOutput`] if the host does not say, or the bits cannot be written.
    Populated = 20,
}

/// Most bytes that one [`Number::Populated`] is about.
pub const POPULATED_MAXIMUM: u64 = 64 << 20;

/// Facts that guests report to their tender without a request.
pub mod notice {
    /// The program asked for `value` bytes of memory, more than there is. Mentioned if the guest gives up after that.
    pub const MEMORY_REFUSED: u64 = 1;
    /// The program asked for executable memory, and did not get it.
    pub const EXECUTION_REFUSED: u64 = 2;
    /// The program made the Linux system call `value` to start a process, which failed.
    pub const PROCESS_REFUSED: u64 = 3;
    /// The program watches files in a folder of the host by the Linux system call `value`: it learns of its own changes only.
    pub const WATCH_LIMITED: u64 = 4;
    /// A client from outside was refused at TCP port `value`, because the program listens there on the loopback interface only.
    pub const LOOPBACK_ONLY: u64 = 5;
    /// The program mapped a file of a folder with MAP_SHARED that is open for writing, which failed.
    pub const MAPPING_REFUSED: u64 = 6;
}

bitflags::bitflags! {
    /// Events that a guest can wait for. Bits without a meaning are ignored.
    #[derive(Clone, Copy, Debug, PartialEq, Eq)]
    pub struct News: u64 {
        /// Input or its end is pending: a [`Number::ConsoleRead`] would not block.
        const INPUT = 1;
        /// A device has, or may have, completed a request for which the guest asked to be woken ([`crate::ring`]).
        const DEVICES = 2;
    }
}

/// Value of a [`Number::Wait`].
///
/// ```text
/// bits 0 to 31     news      kinds of events that are pending; bits without a meaning are ignored
/// bits 32 to 62    inside    nanoseconds between the call's arrival in the tender and its answer, if asked for; else 0
/// ```
///
/// The whole call's time in the guest less `inside` is the cost of an exit and a return on this host.
#[derive(Clone, Copy, Debug, PartialEq, Eq)]
pub struct Waited {
    /// Kinds of events that are pending.
    pub news: News,
    /// Nanoseconds inside the tender; at most [`INSIDE_MAXIMUM_NS`].
    pub inside_ns: u64,
}

/// Longest time that [`Waited`] can hold, in nanoseconds.
pub const INSIDE_MAXIMUM_NS: u64 = (1 << 31) - 1;

impl Waited {
    /// Returns the call's value for this record.
    pub const fn encode(self) -> u64 {
        let inside_ns = if self.inside_ns > INSIDE_MAXIMUM_NS { INSIDE_MAXIMUM_NS } else { self.inside_ns };
        self.news.bits() & 0xffff_ffff | inside_ns << 32
    }

    /// Returns the record that a call's value encodes.
    pub const fn decode(value: u64) -> Self {
        Self { news: News::from_bits_truncate(value & 0xffff_ffff), inside_ns: value >> 32 & INSIDE_MAXIMUM_NS }
    }
}

/// An ordinary "no": the call was well-formed but could not be done.
#[derive(Clone, Copy, Debug, PartialEq, Eq)]
#[repr(i64)]
pub enum Status {
    /// An argument has a value that the call does not take.
    Invalid = -1,
    /// The other end of the stream is gone.
    Closed = -2,
    /// The host could not carry out the call.
    InputOutput = -3,
    /// The host has no memory left for the call.
    NoMemory = -4,
    /// A signal arrived before the call had any effect (EINTR); returned only to guests that take signals.
    Interrupted = -5,
    /// The target of the stream has no room left (ENOSPC).
    NoSpace = -6,
    /// The target of the stream may not grow that large (EFBIG).
    TooLarge = -7,
    /// The stream leads to a directory.
    Directory = -8,
    /// The stream is not open, or not in this direction (EBADF).
    NotOpen = -9,
}

impl Status {
    /// Decodes a call's result: its value, or the reason why it has none. A negative number that is no status counts as
    /// [`Status::InputOutput`].
    pub const fn check(result: i64) -> Result<u64, Self> {
        match result {
            0.. => Ok(result as u64),
            -1 => Err(Self::Invalid),
            -2 => Err(Self::Closed),
            -4 => Err(Self::NoMemory),
            -5 => Err(Self::Interrupted),
            -6 => Err(Self::NoSpace),
            -7 => Err(Self::TooLarge),
            -8 => Err(Self::Directory),
            -9 => Err(Self::NotOpen),
            _ => Err(Self::InputOutput),
        }
    }

    /// Returns the result register for `outcome`.
    pub const fn encode(outcome: Result<u64, Self>) -> u64 {
        match outcome {
            Ok(value) => value,
            Err(status) => status as i64 as u64,
        }
    }
}

#[cfg(test)]
mod tests {
    use super::*;

    #[test]
    fn numbers_survive_the_trip() {
        for &call in Number::ALL {
            assert_eq!(Number::from_raw(call as u64), Some(call));
        }
        assert_eq!(Number::from_raw(0), None);
        assert_eq!(Number::from_raw(u64::MAX), None);
    }

    #[test]
    fn waits_survive_the_trip_and_are_no_status() {
        for (inside_ns, told_ns) in [(0, 0), (71_000, 71_000), (u64::MAX, INSIDE_MAXIMUM_NS)] {
            let value = Waited { news: News::all(), inside_ns }.encode();
            assert_eq!(Status::check(value as i64), Ok(value));
            assert_eq!(Waited::decode(value), Waited { news: News::all(), inside_ns: told_ns });
        }
        assert_eq!(Waited::decode(News::INPUT.bits()), Waited { news: News::INPUT, inside_ns: 0 });
    }

    #[test]
    fn statuses_survive_the_trip() {
        for number in -9..0 {
            let status = Status::check(number).expect_err("negative");
            assert_eq!((status as i64, Status::encode(Err(status)) as i64), (number, number));
        }
        assert_eq!(Status::check(Status::encode(Ok(7)) as i64), Ok(7));
        assert_eq!(Status::check(i64::MIN), Err(Status::InputOutput));
    }
}

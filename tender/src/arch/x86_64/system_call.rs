//! System calls of Linux in which a thread may wait, by number (arch/x86/entry/syscalls/syscall_64.tbl).

/// Words for a system call, and the form of its first argument behind them.
#[derive(Clone, Copy, Debug, PartialEq, Eq)]
pub enum Shown {
    /// The name alone.
    Name(&'static str),
    /// Words that end before the number of a file.
    File(&'static str),
    /// Words that end before an address.
    Address(&'static str),
    /// Another call.
    Unknown,
}

/// Returns the words for a system call.
pub fn shown(number: u64) -> Shown {
    match number {
        0 => Shown::File("read of file"),
        1 => Shown::File("write to file"),
        7 | 271 => Shown::Name("poll"),
        19 => Shown::File("readv of file"),
        20 => Shown::File("writev to file"),
        23 | 270 => Shown::Name("select"),
        34 => Shown::Name("pause"),
        35 | 230 => Shown::Name("sleep"),
        43 | 288 => Shown::File("accept at socket"),
        45 | 47 => Shown::File("receive from socket"),
        130 => Shown::Name("sigsuspend"),
        202 => Shown::Address("futex at"),
        232 | 281 => Shown::File("epoll_wait of file"),
        _ => Shown::Unknown,
    }
}

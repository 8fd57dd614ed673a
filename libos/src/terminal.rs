//! ioctl(2) on a standard stream that is a terminal on the host: see ioctl_tty(2).
//!
//! Modes and window are the terminal's own. Jobs are the guest's: there is one, the program, in the foreground of its terminal.

use crate::errno::Errno;
use crate::process::PROCESS;
use crate::syscall_result::SyscallResult;
use crate::user;
use husk::abi::call::Status;
use husk::abi::stream::{Window, request};
use linux_raw_sys::ioctl::{
    TCFLSH, TCGETS, TCSBRK, TCSETS, TCSETSF, TCSETSW, TIOCGPGRP, TIOCGSID, TIOCGWINSZ, TIOCSCTTY, TIOCSPGRP,
};

/// Makes a request to the terminal behind a stream.
pub fn control(stream: u64, number: u32, argument: u64) -> SyscallResult {
    match number {
        TCGETS => {
            let modes = husk::console::modes(stream).map_err(errno)?;
            user::write(argument, &modes)?;
        }
        TCSETS | TCSETSW | TCSETSF => {
            let how = match number {
                TCSETS => request::SET,
                TCSETSW => request::SET_DRAINED,
                _ => request::SET_FLUSHED,
            };
            husk::console::set_modes(stream, how, &user::read(argument)?).map_err(errno)?;
        }
        TIOCGWINSZ => {
            let Window { sizes } = husk::console::window(stream).map_err(errno)?;
            user::write(argument, &sizes)?;
        }
        TCFLSH => husk::console::flush(stream, argument).map_err(errno)?,
        TIOCGPGRP | TIOCGSID => user::write(argument, &PROCESS)?,
        TIOCSPGRP if user::read::<u32>(argument)? != PROCESS => return Err(Errno::EPERM.into()),
        // What the program prints is the host's at once, so there is nothing to wait for.
        TCSBRK if argument == 0 => return Err(Errno::EINVAL.into()),
        TCSBRK | TIOCSPGRP | TIOCSCTTY => {}
        _ => return Err(Errno::ENOTTY.into()),
    }
    Ok(0)
}

/// Error of a request that the tender does not carry out.
pub fn errno(status: Status) -> Errno {
    match status {
        Status::Invalid => Errno::EINVAL,
        Status::Interrupted => Errno::EINTR,
        _ => Errno::EIO,
    }
}

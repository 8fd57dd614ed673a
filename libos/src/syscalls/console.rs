//! Standard input, output and error, for as long as there are no files.

use super::Arguments;
use crate::answer::Answer;
use crate::errno::Errno;
use crate::libos::Libos;
use crate::user::{self, Slice};
use husk::abi::call::Status;
use linux_raw_sys::general::*;

/// read(2).
pub fn read(_: &mut Libos, Arguments([file, into, length, ..]): Arguments) -> Answer {
    if file != 0 {
        return Err(Errno::EBADF.into());
    }
    Slice::new(into, length).check()?;
    Ok(husk::console::read_at(into, length).map_err(errno)?)
}

/// readv(2): into the first buffer that has room.
pub fn readv(libos: &mut Libos, Arguments([file, vector, count, ..]): Arguments) -> Answer {
    for at in (vector..).step_by(16).take(count as usize) {
        let [into, length] = user::read(at)?;
        if length != 0 {
            return read(libos, Arguments([file, into, length, 0, 0, 0]));
        }
    }
    Ok(0)
}

/// write(2).
pub fn write(_: &mut Libos, Arguments([file, from, length, ..]): Arguments) -> Answer {
    if !(1..=2).contains(&file) {
        return Err(Errno::EBADF.into());
    }
    Slice::new(from, length).check()?;
    Ok(husk::console::write_at(file, from, length).map_err(errno)?)
}

/// writev(2).
pub fn writev(libos: &mut Libos, Arguments([file, vector, count, ..]): Arguments) -> Answer {
    let mut written = 0;
    for at in (vector..).step_by(16).take(count as usize) {
        let [from, length]: [u64; 2] = user::read(at)?;
        if length != 0 {
            written += write(libos, Arguments([file, from, length, 0, 0, 0]))?;
        }
    }
    Ok(written)
}

/// close(2).
pub fn close(_: &mut Libos, Arguments([file, ..]): Arguments) -> Answer {
    standard(file)
}

/// fstat(2): a character device.
pub fn fstat(_: &mut Libos, Arguments([file, into, ..]): Arguments) -> Answer {
    standard(file)?;
    Slice::new(into, size_of::<stat>() as u64).zero()?;
    user::write(into.wrapping_add(core::mem::offset_of!(stat, st_mode) as u64), &(S_IFCHR | 0o620))?;
    Ok(0)
}

/// ioctl(2).
pub fn ioctl(_: &mut Libos, Arguments([file, ..]): Arguments) -> Answer {
    standard(file)?;
    Err(Errno::ENOTTY.into())
}

/// fcntl(2).
pub fn fcntl(_: &mut Libos, Arguments([file, command, ..]): Arguments) -> Answer {
    standard(file)?;
    match command as u32 {
        F_GETFL => Ok(u64::from(O_RDWR)),
        F_GETFD | F_SETFD | F_SETFL => Ok(0),
        _ => Err(Errno::EINVAL.into()),
    }
}

/// poll(2).
pub fn poll(_: &mut Libos, Arguments([files, count, ..]): Arguments) -> Answer {
    let mut ready = 0;
    for at in (files..).step_by(size_of::<pollfd>()).take(count as usize) {
        let file: i32 = user::read(at)?;
        let asked: u16 = user::read(at.wrapping_add(4))?;
        let found = match file {
            ..0 => 0,
            0..3 => asked & (POLLIN | POLLOUT) as u16,
            _ => POLLNVAL as u16,
        };
        ready += u64::from(found != 0);
        user::write(at.wrapping_add(6), &found)?;
    }
    Ok(ready)
}

fn standard(file: u64) -> Answer {
    if file < 3 { Ok(0) } else { Err(Errno::EBADF.into()) }
}

fn errno(status: Status) -> Errno {
    match status {
        Status::Closed => Errno::EPIPE,
        Status::NoMemory => Errno::ENOMEM,
        _ => Errno::EIO,
    }
}

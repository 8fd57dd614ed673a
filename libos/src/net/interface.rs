//! Network interfaces by name and number: the loopback, and the network device under its name in the image.

use crate::errno::Errno;
use crate::syscall_result::SyscallResult;
use crate::user;
use husk::abi::note::device_kind;
use husk::device;

/// Bytes of a name in a `struct ifreq`, with its NUL; the number follows.
const NAME: usize = 16;
/// Bytes of an `ifreq` beside the name.
const REST: usize = 24;
const LOOPBACK: &[u8] = b"lo";

/// `SIOCGIFINDEX`, or `SIOCGIFNAME` if `wants_name`, with a `struct ifreq` at `address`.
pub fn ioctl(address: u64, wants_name: bool) -> SyscallResult {
    let (name, mut rest): ([u8; NAME], [u8; REST]) =
        (user::read(address)?, user::read(address.wrapping_add(NAME as u64))?);
    let given = name.split(|byte| *byte == 0).next().unwrap_or_default();
    let (number, _) = rest.split_first_chunk_mut::<4>().ok_or(Errno::EFAULT)?;
    let found = interfaces().find(|(at, known)| if wants_name { at.to_ne_bytes() == *number } else { *known == given });
    let (at, known) = found.ok_or(Errno::ENODEV)?;
    let mut name = [0; NAME];
    // Truncated if need be, because names in an image may be longer.
    name[..NAME - 1].iter_mut().zip(known).for_each(|(to, from)| *to = *from);
    *number = at.to_ne_bytes();
    user::write(address, &name)?;
    user::write(address.wrapping_add(NAME as u64), &rest)?;
    Ok(0)
}

/// Name of the interface with this number.
pub fn name(number: u32) -> Option<&'static [u8]> {
    interfaces().find(|(at, _)| u32::try_from(*at) == Ok(number)).map(|(_, name)| name)
}

/// Number of the interface with this name.
pub fn number(name: &[u8]) -> Option<u32> {
    interfaces().find(|(_, known)| *known == name).and_then(|(at, _)| u32::try_from(at).ok())
}

/// Number and name of each interface.
fn interfaces() -> impl Iterator<Item = (i32, &'static [u8])> {
    let networks = device::all().filter(|device| device.kind == device_kind::NETWORK).take(1);
    (1..).zip(core::iter::once(LOOPBACK).chain(networks.map(device::name)))
}

//! Addresses of sockets in the program's memory.

use crate::errno::Errno;
use crate::fs::socket::AnySocket;
use crate::fs::socket::address::{Address, LENGTH_MAXIMUM};
use crate::fs::socket::name::{self, FAMILY, Name};
use crate::net::Net;
use crate::user::{self, Slice};
use core::net::SocketAddr;
use linux_raw_sys::net::AF_UNSPEC;

/// Longest `struct sockaddr` of any family, in bytes.
const ADDRESS_MAXIMUM: u64 = 128;

/// The bytes of the `struct sockaddr` of `length` bytes at `address`.
fn bytes(address: u64, length: u64) -> Result<alloc::vec::Vec<u8>, Errno> {
    if length as i32 as i64 > ADDRESS_MAXIMUM as i64 || (length as i32) < FAMILY as i32 {
        return Err(Errno::EINVAL);
    }
    Slice::new(address, u64::from(length as u32)).to_vec()
}

/// The name in the `struct sockaddr` of `length` bytes at `address`, for a socket of `AF_UNIX`.
pub fn read_name(address: u64, length: u64) -> Result<Option<Name>, Errno> {
    name::parse(&bytes(address, length)?)
}

/// The address in the `struct sockaddr` of `length` bytes at `address`, for a socket of the internet families.
pub fn read_internet(net: &Net, socket: crate::net::SocketKey, address: u64, length: u64) -> Result<SocketAddr, Errno> {
    net.family(socket).parse(&bytes(address, length)?)
}

/// The address in the `struct sockaddr` of `length` bytes at `address`, for a socket to send to.
pub fn read(net: &Net, socket: AnySocket, address: u64, length: u64) -> Result<Option<Address>, Errno> {
    match socket {
        AnySocket::Unix(_) => Ok(read_name(address, length)?.map(Address::Unix)),
        AnySocket::Internet(socket) => read_internet(net, socket, address, length).map(Address::Internet).map(Some),
    }
}

/// Returns true if the `struct sockaddr` of `length` bytes at `address` has the family `AF_UNSPEC`.
pub fn is_unspecified(address: u64, length: u64) -> Result<bool, Errno> {
    Ok(length as usize >= FAMILY && user::read::<u16>(address)? == AF_UNSPEC as u16)
}

/// Writes an address as a `struct sockaddr` to `into`, as far as there is room; `room` is the address of the room's length,
/// which is replaced by the length needed.
pub fn write(address: Option<&Address>, into: u64, room: u64) -> Result<(), Errno> {
    let length: i32 = user::read(room)?;
    let length = usize::try_from(length).map_err(|_| Errno::EINVAL)?;
    user::write(room, &write_in(address, into, length as u64)?)
}

/// Writes an address like [`write()`], into `length` bytes; returns the length needed.
pub fn write_in(address: Option<&Address>, into: u64, length: u64) -> Result<u32, Errno> {
    let (bytes, needed) = Address::format(address);
    let shown = bytes.get(..needed.min(length as usize)).unwrap_or_default();
    Slice::new(into, length.min(LENGTH_MAXIMUM as u64)).copy_in(shown)?;
    Ok(needed as u32)
}

//! Control data of sendmsg(2) and recvmsg(2), in the program's memory.

use crate::errno::Errno;
use crate::fs::layout::ControlHeader;
use crate::fs::socket::address::Posting;
use crate::net::UDP_SEGMENT;
use crate::user::{self, Slice};
use alloc::vec::Vec;
use core::net::{IpAddr, Ipv4Addr, Ipv6Addr};
use linux_raw_sys::net::*;

/// Bytes of a `struct cmsghdr`, and the alignment of control messages.
pub const CONTROL: u64 = size_of::<ControlHeader>() as u64;
const ALIGNMENT: u64 = 8;
/// Most files passed with a message (`SCM_MAX_FD`).
const RIGHTS_MAXIMUM: u64 = 253;
/// Most bytes of control data in a message.
const CONTROL_MAXIMUM: u64 = 1 << 16;
/// Highest number of an interface.
const INTERFACES: u32 = 2;
/// Number of an option that stands for its default.
const DEFAULT: i32 = -1;

/// Contents of control data that is sent.
#[derive(Debug, Default)]
pub struct Sent {
    /// Descriptors of files to pass along.
    pub rights: Vec<i32>,
    /// Arguments for a datagram.
    pub posting: Posting,
}

/// Reads control data for a socket of the internet families, or of `AF_UNIX`.
pub fn read(control: Slice, is_internet: bool) -> Result<Sent, Errno> {
    let mut sent = Sent::default();
    let mut rest = control.first(CONTROL_MAXIMUM);
    while rest.length >= CONTROL {
        let ControlHeader { length, level, kind } = user::read(rest.address)?;
        if length < CONTROL || length > rest.length {
            return Err(Errno::EINVAL);
        }
        let data = rest.first(length).after(CONTROL);
        match (level as u32, kind as u32) {
            (SOL_SOCKET, SCM_RIGHTS) if data.length / 4 > RIGHTS_MAXIMUM => return Err(Errno::EINVAL),
            (SOL_SOCKET, SCM_RIGHTS) => {
                for address in user::entries(data.address, 4, data.length / 4) {
                    sent.rights.try_reserve(1).map_err(|_| Errno::ENOMEM)?;
                    sent.rights.push(user::read(address)?);
                }
            }
            // The sender is known: there is one process.
            (SOL_SOCKET, SCM_CREDENTIALS) => {}
            (SOL_SOCKET, _) => return Err(Errno::EINVAL),
            (level, kind) if is_internet => read_posting(level, kind, data, &mut sent.posting)?,
            _ => {}
        }
        rest = rest.after(length.next_multiple_of(ALIGNMENT));
    }
    Ok(sent)
}

/// Reads a control message about a datagram.
fn read_posting(level: u32, kind: u32, data: Slice, posting: &mut Posting) -> Result<(), Errno> {
    let exactly = |length| if data.length == length { Ok(data.address) } else { Err(Errno::EINVAL) };
    let at_least = |length| if data.length >= length { Ok(data.address) } else { Err(Errno::EINVAL) };
    match (level, kind) {
        (SOL_IP, IP_PKTINFO) => {
            let (interface, from): (u32, [u8; 4]) = (user::read(exactly(12)?)?, user::read(data.address + 4)?);
            posting.from = source(interface, Ipv4Addr::from(from).into())?;
        }
        (SOL_IPV6, IPV6_PKTINFO) => {
            let (from, interface): ([u8; 16], u32) = (user::read(at_least(20)?)?, user::read(data.address + 16)?);
            posting.from = source(interface, Ipv6Addr::from(from).to_canonical())?;
        }
        // One byte is enough for IPv4, as for the option.
        (SOL_IP, IP_TOS) if data.length == 1 => posting.class = Some(user::read(data.address)?),
        (SOL_IP, IP_TOS) => posting.class = Some(byte(user::read(exactly(4)?)?, 0)?.unwrap_or(0)),
        (SOL_IPV6, IPV6_TCLASS) => posting.class = byte(user::read(exactly(4)?)?, DEFAULT)?,
        (SOL_IP, IP_TTL) => posting.hops = byte(user::read(exactly(4)?)?, 1)?,
        (SOL_IPV6, IPV6_HOPLIMIT) => posting.hops = byte(user::read(exactly(4)?)?, DEFAULT)?,
        (SOL_UDP, UDP_SEGMENT) => posting.segment = Some(user::read(exactly(2)?)?),
        // Options of a header of extensions, and flow labels, are not sent.
        (SOL_IP | SOL_IPV6, _) => return Err(Errno::EINVAL),
        _ => {}
    }
    Ok(())
}

/// Returns a value of a header's byte; `None` for the default. EINVAL outside of `least` to 255.
fn byte(value: i32, least: i32) -> Result<Option<u8>, Errno> {
    match value {
        value if value < least => Err(Errno::EINVAL),
        DEFAULT => Ok(None),
        value => u8::try_from(value).map(Some).map_err(|_| Errno::EINVAL),
    }
}

/// Returns a source address; `None` if it is unspecified. ENODEV for an interface that is not there.
fn source(interface: u32, address: IpAddr) -> Result<Option<IpAddr>, Errno> {
    match interface {
        ..=INTERFACES => Ok((!address.is_unspecified()).then_some(address)),
        _ => Err(Errno::ENODEV),
    }
}

/// Writes a control message, and advances `control`. Returns `MSG_CTRUNC` if it does not fit.
pub fn add(control: &mut Slice, level: u32, kind: u32, data: &[u8]) -> Result<u32, Errno> {
    let length = CONTROL + data.len() as u64;
    if control.length < length {
        return Ok(MSG_CTRUNC);
    }
    user::write(control.address, &ControlHeader { length, level: level as i32, kind: kind as i32 })?;
    control.after(CONTROL).copy_in(data)?;
    *control = control.after(length.next_multiple_of(ALIGNMENT));
    Ok(0)
}

//! Address of the host that a UDP client sent its datagram to (ip(7): IP_PKTINFO; ipv6(7): IPV6_PKTINFO): the answer must come
//! from that address, because a client may accept it from no other.

#![expect(unsafe_code, reason = "the option has no other interface")]

use socket2::Socket;
use std::io;
use std::os::fd::AsRawFd;

/// Bytes of the header of a control message (`struct cmsghdr` of the kernel): its length, level and type.
const HEADER: usize = 16;
/// Longest data of these messages: that of `struct in6_pktinfo`, which is longer than that of `struct in_pktinfo`.
const DATA: usize = 20;
/// Length of a control message, padded.
pub const CONTROL: usize = (HEADER + DATA).next_multiple_of(8);

/// Address of the host that a client used: a control message, in the form in which it came and is sent back.
#[derive(Clone, Copy, Debug, PartialEq, Eq)]
pub struct PacketInfo([u8; CONTROL]);

impl PacketInfo {
    /// Makes the host report the address with each datagram.
    pub fn listen(socket: &Socket, is_v6: bool) -> io::Result<()> {
        let (level, option) =
            if is_v6 { (libc::IPPROTO_IPV6, libc::IPV6_RECVPKTINFO) } else { (libc::IPPROTO_IP, libc::IP_PKTINFO) };
        let on: libc::c_int = 1;
        let length = size_of_val(&on) as libc::socklen_t;
        // SAFETY: `on` is a local variable, and `length` its size.
        let result = unsafe { libc::setsockopt(socket.as_raw_fd(), level, option, (&raw const on).cast(), length) };
        if result == 0 { Ok(()) } else { Err(io::Error::last_os_error()) }
    }

    /// Parses the control messages of a datagram; `None` if they hold no address.
    pub fn parse(control: &[u8]) -> Option<Self> {
        let mut message = [0; CONTROL];
        let length = u64::from_ne_bytes(control.get(..8)?.try_into().ok()?) as usize;
        let kind = control.get(8..HEADER)?;
        let length_of = |level: libc::c_int, option: libc::c_int, data| {
            let is_it = kind[..4] == level.to_ne_bytes() && kind[4..] == option.to_ne_bytes();
            (is_it && length == HEADER + data).then_some(length)
        };
        let v4 = length_of(libc::IPPROTO_IP, libc::IP_PKTINFO, 12);
        let length = v4.or_else(|| length_of(libc::IPPROTO_IPV6, libc::IPV6_PKTINFO, DATA))?;
        message[..length].copy_from_slice(control.get(..length)?);
        if v4.is_some() {
            // An interface index of 0 leaves the route of the answer to the host.
            message[HEADER..HEADER + 4].fill(0);
        }
        Some(Self(message))
    }

    /// Control message that sets the source address of a datagram.
    pub fn control(&self) -> &[u8] {
        &self.0[..if self.0[0] as usize == HEADER + DATA { CONTROL } else { (HEADER + 12).next_multiple_of(8) }]
    }
}

#[cfg(test)]
mod tests {
    use super::*;

    fn message(level: i32, kind: i32, data: &[u8]) -> Vec<u8> {
        let length = ((HEADER + data.len()) as u64).to_ne_bytes();
        [&length[..], &level.to_ne_bytes(), &kind.to_ne_bytes(), data].concat()
    }

    #[test]
    fn an_address_that_was_asked_is_sent_back() {
        let v4 = message(libc::IPPROTO_IP, libc::IP_PKTINFO, &[7, 0, 0, 0, 192, 0, 2, 1, 192, 0, 2, 1]);
        let info = PacketInfo::parse(&v4).expect("it is one");
        assert_eq!(info.control()[HEADER..HEADER + 8], [0, 0, 0, 0, 192, 0, 2, 1], "from there, by any way");
        assert_eq!(info.control().len(), 32);
        let v6 = message(libc::IPPROTO_IPV6, libc::IPV6_PKTINFO, &[9; DATA]);
        let info = PacketInfo::parse(&v6).expect("it is one");
        assert_eq!((&info.control()[..v6.len()], info.control().len()), (&v6[..], CONTROL));
        for wrong in [&v4[..20], &v4[..4], &[], &message(libc::IPPROTO_IP, libc::IP_TTL, &[0; 12])] {
            assert_eq!(PacketInfo::parse(wrong), None);
        }
    }
}

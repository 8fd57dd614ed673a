//! Names of sockets: a path, or *abstract* bytes, which begin with a NUL and are in no directory.

use super::{Files, Reference, Socket, Style};
use crate::errno::Errno;
use crate::fs::directory::boxed;
use crate::fs::inode::{Kind, NodeKey, Time};
use alloc::boxed::Box;
use linux_raw_sys::general::AT_FDCWD;
use linux_raw_sys::net;

/// Longest name, in bytes.
pub const NAME_MAXIMUM: usize = net::UNIX_PATH_MAX as usize;
/// Bytes in front of the name in a `struct sockaddr_un`.
pub const FAMILY: usize = size_of::<u16>();

/// The name of a socket: a path without NUL, or abstract bytes after a NUL.
pub type Name = Box<[u8]>;

/// Parses the bytes of a `struct sockaddr_un`; `None` if it has only a family.
pub fn parse(address: &[u8]) -> Result<Option<Name>, Errno> {
    let (family, name) = address.split_at_checked(FAMILY).ok_or(Errno::EINVAL)?;
    if family != (net::AF_UNIX as u16).to_ne_bytes() || name.len() > NAME_MAXIMUM {
        return Err(Errno::EINVAL);
    }
    match name {
        [] => Ok(None),
        [0, ..] => boxed(name).map(Some),
        _ => boxed(name.split(|byte| *byte == 0).next().unwrap_or(name)).map(Some),
    }
}

/// Returns a name as a `struct sockaddr_un`, and its length in bytes.
pub fn format(name: Option<&Name>) -> ([u8; FAMILY + NAME_MAXIMUM + 1], usize) {
    let mut address = [0; FAMILY + NAME_MAXIMUM + 1];
    let name = name.map_or(&[][..], |name| name);
    let end = match name {
        [] | [0, ..] => 0,
        _ => 1,
    };
    for (slot, byte) in address.iter_mut().zip((net::AF_UNIX as u16).to_ne_bytes().iter().chain(name)) {
        *slot = *byte;
    }
    (address, FAMILY + name.len() + end)
}

impl Files {
    /// bind(2) to a path or an abstract name, or without a name to an unused abstract one.
    pub fn bind(&mut self, descriptor: i32, name: Option<Name>, now: Time) -> Result<(), Errno> {
        let node = self.socket_node(descriptor)?;
        let already = self.socket(node)?.name.is_some();
        let name = match name {
            None if already => return Ok(()),
            _ if already => return Err(Errno::EINVAL),
            Some(name) => name,
            None => self.unused_name()?,
        };
        let reference = self.reference(node);
        if let [0, ..] = *name {
            if self.names.contains_key(&name) {
                return Err(Errno::EADDRINUSE);
            }
            self.names.try_reserve(1).map_err(|_| Errno::ENOMEM)?;
            self.names.insert(name.clone(), reference);
        } else {
            self.make_socket_name(&name, reference, now)?;
        }
        self.socket_mut(node)?.name = Some(name);
        Ok(())
    }

    fn make_socket_name(&mut self, path: &[u8], socket: Reference, now: Time) -> Result<(), Errno> {
        let permissions = 0o777 & !self.umask;
        match self.make_named(AT_FDCWD, path, Kind::SocketName(Some(socket)), permissions, now) {
            Err(Errno::EEXIST) => Err(Errno::EADDRINUSE),
            made => made,
        }
    }

    /// Returns an unused abstract name of five digits.
    fn unused_name(&mut self) -> Result<Name, Errno> {
        for number in 1..=0xf_ffffu32 {
            let mut name = [0; 6];
            for (at, digit) in name.iter_mut().skip(1).enumerate() {
                *digit = b"0123456789abcdef"[(number >> (16 - 4 * at) & 0xf) as usize];
            }
            if !self.names.contains_key(&name[..]) {
                return boxed(&name);
            }
        }
        Err(Errno::ENOSPC)
    }

    /// The socket with this name.
    pub(super) fn named_socket(&mut self, name: &Name, style: Style) -> Result<NodeKey, Errno> {
        let reference = match **name {
            [0, ..] => self.names.get(name).copied(),
            _ => {
                let node = self.resolve(AT_FDCWD, name, true)?;
                if let Kind::SocketName(socket) = self.nodes[node].kind { socket } else { None }
            }
        };
        let node = reference.and_then(|reference| self.referred(reference)).ok_or(Errno::ECONNREFUSED)?;
        if self.socket(node)?.style == style { Ok(node) } else { Err(Errno::EPROTOTYPE) }
    }

    /// Frees the abstract name of a closed socket. A path stays, without a socket behind it.
    pub(super) fn forget_name(&mut self, node: NodeKey, socket: &Socket) {
        // An accepted socket has its listener's name, but is not registered under it.
        if let Some(name) = &socket.name
            && self.names.get(name) == Some(&self.reference(node))
        {
            self.names.remove(name);
        }
    }

    /// getsockname(2).
    pub fn socket_name(&self, descriptor: i32) -> Result<Option<Name>, Errno> {
        Ok(self.socket(self.socket_node(descriptor)?)?.name.clone())
    }

    /// getpeername(2).
    pub fn peer_name(&self, descriptor: i32) -> Result<Option<Name>, Errno> {
        let socket = self.socket(self.socket_node(descriptor)?)?;
        if socket.peer.is_some() { Ok(socket.peer_name.clone()) } else { Err(Errno::ENOTCONN) }
    }
}

#[cfg(test)]
mod tests {
    use super::*;

    fn survives(bytes: &[u8]) -> Result<(Vec<u8>, usize), Errno> {
        let name = parse(&[&1u16.to_ne_bytes(), bytes].concat())?;
        let (address, length) = format(name.as_ref());
        Ok((address[FAMILY..length].to_vec(), length))
    }

    #[test]
    fn paths_end_at_a_nul_and_abstract_names_do_not() {
        assert_eq!(survives(b"/tmp/a\0bc"), Ok((b"/tmp/a\0".to_vec(), 9)));
        assert_eq!(survives(b"\0a\0"), Ok((b"\0a\0".to_vec(), 5)));
        assert_eq!(survives(b""), Ok((vec![], 2)));
        assert_eq!(survives(&[b'a'; 108]).map(|(_, length)| length), Ok(111));
        assert_eq!(survives(&[b'a'; 109]), Err(Errno::EINVAL));
        assert_eq!(parse(&[2, 0, 0]), Err(Errno::EINVAL));
    }
}

//! bind(2), and lookup of sockets by their names.

use super::name::Name;
use super::{Reference, Socket, Style};
use crate::errno::Errno;
use crate::fs::Files;
use crate::fs::directory::boxed;
use crate::fs::handle::NodeKey;
use crate::fs::inode::{Kind, Time};
use linux_raw_sys::general::AT_FDCWD;

impl Files {
    /// bind(2) to a path or an abstract name, or without a name to an unused abstract one.
    pub fn bind(&mut self, descriptor: i32, name: Option<Name>, now: Time) -> Result<(), Errno> {
        let node = self.socket_node(descriptor)?;
        let already = self.unix(node)?.name.is_some();
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
        self.unix_mut(node)?.name = Some(name);
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
        if self.unix(node)?.style == style { Ok(node) } else { Err(Errno::EPROTOTYPE) }
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
}

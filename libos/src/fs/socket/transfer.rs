//! Sending and receiving.

use super::address::{Address, Posting};
use super::name::Name;
use super::queue::{CAPACITY, Envelope, Message};
use super::{Socket, Style};
use crate::errno::Errno;
use crate::fs::Files;
use crate::fs::buffers::Buffers;
use crate::fs::external::External;
use crate::fs::handle::{DescriptionKey, NodeKey};
use crate::fs::inode::Kind;
use crate::fs::quota::Quota;
use crate::fs::ready::Ready;
use crate::fs::watch::wait;
use crate::syscall_result::{Stop, SyscallResult};
use alloc::vec::Vec;

/// Parameters of a send besides the bytes.
#[derive(Debug, Default)]
pub struct Sending {
    /// Destination, if not the peer.
    pub to: Option<Address>,
    /// Other arguments for a datagram of the internet families; its destination is above.
    pub posting: Posting,
    /// Descriptors of files to pass along (`SCM_RIGHTS`).
    pub rights: Vec<i32>,
    /// True to fail rather than wait.
    pub nonblocking: bool,
}

impl Files {
    /// send(2) in all its forms. A stream may take less than all: [`Buffers`] can continue from there.
    pub fn send_message(
        &mut self,
        outside: &mut dyn External,
        descriptor: i32,
        from: Buffers<'_>,
        sending: &Sending,
    ) -> SyscallResult {
        let key = self.usable(descriptor)?;
        self.send_through(outside, key, from, sending)
    }

    /// Sends like [`Files::send_message`], through a description.
    pub(in crate::fs) fn send_through(
        &mut self,
        outside: &mut dyn External,
        key: DescriptionKey,
        from: Buffers<'_>,
        sending: &Sending,
    ) -> SyscallResult {
        let description = &self.descriptions[key];
        let (node, nonblocking) = (description.node, sending.nonblocking || description.is_nonblocking());
        match (&self.nodes[node].kind, &sending.to) {
            (Kind::Unix(_), _) => self.send_to_unix(node, nonblocking, from, sending),
            (Kind::Internet(..), _) if !sending.rights.is_empty() => Err(Errno::EINVAL.into()),
            (&Kind::Internet(socket, _), to) => {
                let to = if let Some(Address::Internet(to)) = to { Some(*to) } else { None };
                outside.send(self, socket, from, &Posting { to, ..sending.posting }, nonblocking)
            }
            _ => Err(Errno::ENOTSOCK.into()),
        }
    }

    fn send_to_unix(
        &mut self,
        node: NodeKey,
        nonblocking: bool,
        from: Buffers<'_>,
        sending: &Sending,
    ) -> SyscallResult {
        let socket = self.unix_mut(node)?;
        // A stream that is shut says so before anything else (unix_stream_sendmsg).
        if socket.style == Style::Stream && socket.write_shut && socket.peer.is_some() {
            return Err(Errno::EPIPE.into());
        }
        if let Some(errno) = socket.error.take() {
            return Err(errno.into());
        }
        if socket.style == Style::Datagram && socket.write_shut {
            return Err(Errno::EPIPE.into());
        }
        let to = match &sending.to {
            Some(Address::Unix(name)) => Some(name),
            Some(Address::Internet(_) | Address::Routes(_)) => return Err(Errno::EINVAL.into()),
            None => None,
        };
        let receiver = self.receiver(node, to)?;
        let (socket, other) = (self.unix(node)?, self.unix(receiver)?);
        if socket.write_shut || other.read_shut {
            return Err(Errno::EPIPE.into());
        }
        let length = match (socket.style, from.length()) {
            (Style::Stream, 0) => return Ok(0),
            (Style::Stream, length) => length.min((CAPACITY.saturating_sub(other.received.length())) as u64),
            (_, length) if length > CAPACITY as u64 => return Err(Errno::EMSGSIZE.into()),
            (_, length) => length,
        };
        if other.is_full() || (length > 0 && other.received.length() as u64 + length > CAPACITY as u64) {
            return Err(self.no_room(node, receiver, nonblocking));
        }
        let (style, name) = (socket.style, socket.name.clone());
        let credentials = self.caller.real;
        if style == Style::Stream && sending.rights.is_empty() {
            let (quota, other) = self.space_and_socket(receiver)?;
            other.received.append(quota, from, length as usize, credentials)?;
        } else {
            let mut message = Message::new(from, length as usize)?;
            message.from = name.filter(|_| style == Style::Datagram).map(Address::Unix);
            message.credentials = credentials;
            message.rights = self.rights(&sending.rights)?;
            let (quota, other) = self.space_and_socket(receiver)?;
            other.received.push(quota, message)?;
        }
        self.notify(receiver, Ready::IN);
        Ok(length)
    }

    /// The socket that receives what another sends.
    fn receiver(&mut self, node: NodeKey, to: Option<&Name>) -> Result<NodeKey, Errno> {
        let socket = self.unix(node)?;
        let connected = socket.peer.is_some();
        match (socket.style, to) {
            (Style::Datagram, Some(name)) => {
                let receiver = self.named_socket(name, Style::Datagram)?;
                let theirs = self.peer(receiver);
                if theirs.is_some_and(|theirs| theirs != node) { Err(Errno::EPERM) } else { Ok(receiver) }
            }
            (Style::Stream, Some(_)) => Err(if connected { Errno::EISCONN } else { Errno::EOPNOTSUPP }),
            _ if !connected => Err(Errno::ENOTCONN),
            (Style::Datagram, None) => self.peer(node).ok_or_else(|| self.disconnect(node)),
            _ => self.peer(node).ok_or(Errno::EPIPE),
        }
    }

    /// Ends the connection of a datagram socket to one that is gone; what was received is lost, as on Linux.
    fn disconnect(&mut self, node: NodeKey) -> Errno {
        let Ok(socket) = self.unix_mut(node) else { return Errno::ECONNREFUSED };
        socket.peer = None;
        let mut lost = core::mem::take(&mut socket.received);
        while let Some(message) = lost.pop(&mut self.quota) {
            for description in message.rights {
                self.release_description(description);
            }
        }
        self.made_room(node);
        Errno::ECONNREFUSED
    }

    /// Result of a send without room at the receiver: a connected socket waits for its own readiness, others for the receiver.
    fn no_room(&mut self, node: NodeKey, receiver: NodeKey, nonblocking: bool) -> Stop {
        let reference = self.reference(node);
        let peers = self.are_peers(node, receiver);
        if !peers
            && let Ok(other) = self.unix_mut(receiver)
            && !other.turned_away.contains(&reference)
            && other.turned_away.try_reserve(1).is_ok()
        {
            other.turned_away.push(reference);
        }
        match nonblocking {
            true => Errno::EAGAIN.into(),
            false => wait(if peers { node } else { receiver }),
        }
    }

    /// Takes references to the files of these descriptors.
    fn rights(&mut self, descriptors: &[i32]) -> Result<Vec<DescriptionKey>, Errno> {
        let mut rights = Vec::new();
        rights.try_reserve_exact(descriptors.len()).map_err(|_| Errno::ENOMEM)?;
        for descriptor in descriptors {
            rights.push(self.descriptors.description(*descriptor)?);
        }
        rights.iter().for_each(|right| self.descriptions.retain(*right));
        Ok(rights)
    }

    fn space_and_socket(&mut self, node: NodeKey) -> Result<(&mut Quota, &mut Socket), Errno> {
        match &mut self.nodes[node].kind {
            Kind::Unix(socket) => Ok((&mut self.quota, socket)),
            _ => Err(Errno::ENOTSOCK),
        }
    }

    /// recv(2) in all its forms, without making descriptors for passed files: see [`Files::take_rights`].
    pub fn receive_message(
        &mut self,
        outside: &mut dyn External,
        descriptor: i32,
        into: Buffers<'_>,
        peek: bool,
        nonblocking: bool,
        envelope: &mut Envelope,
    ) -> SyscallResult {
        let key = self.usable(descriptor)?;
        self.receive_through(outside, key, into, peek, nonblocking, envelope)
    }

    /// Receives like [`Files::receive_message`], through a description.
    pub(in crate::fs) fn receive_through(
        &mut self,
        outside: &mut dyn External,
        key: DescriptionKey,
        into: Buffers<'_>,
        peek: bool,
        nonblocking: bool,
        envelope: &mut Envelope,
    ) -> SyscallResult {
        let description = &self.descriptions[key];
        let (node, nonblocking) = (description.node, nonblocking || description.is_nonblocking());
        match self.nodes[node].kind {
            Kind::Unix(_) => self.receive_from_unix(node, into, peek, nonblocking, envelope),
            Kind::Internet(socket, _) => outside.receive(self, socket, into, peek, nonblocking, envelope),
            _ => Err(Errno::ENOTSOCK.into()),
        }
    }

    /// read(2) of a socket: passed files are closed. Apart from the table, because what it has received would make every read
    /// longer.
    #[inline(never)]
    pub(in crate::fs) fn read_socket(
        &mut self,
        outside: &mut dyn External,
        key: DescriptionKey,
        into: Buffers<'_>,
    ) -> SyscallResult {
        let mut envelope = Envelope::default();
        let count = self.receive_through(outside, key, into, false, false, &mut envelope)?;
        self.take_rights(envelope.rights, 0, false);
        Ok(count)
    }

    fn receive_from_unix(
        &mut self,
        node: NodeKey,
        into: Buffers<'_>,
        peek: bool,
        nonblocking: bool,
        envelope: &mut Envelope,
    ) -> SyscallResult {
        let (quota, socket) = self.space_and_socket(node)?;
        match socket.style {
            Style::Stream if socket.peer.is_none() => return Err(Errno::EINVAL.into()),
            Style::Packet if socket.peer.is_none() => return Err(Errno::ENOTCONN.into()),
            _ => {}
        }
        // Messages that came before an error are read after it (__skb_try_recv_datagram).
        if socket.style != Style::Stream
            && let Some(errno) = socket.error.take()
        {
            return Err(errno.into());
        }
        if socket.received.is_empty() {
            return match socket.error.take() {
                Some(errno) => Err(errno.into()),
                None if socket.read_shut && !(nonblocking && socket.style == Style::Datagram) => Ok(0),
                None if nonblocking => Err(Errno::EAGAIN.into()),
                None => Err(wait(node)),
            };
        }
        let count = match socket.style {
            Style::Stream => socket.received.read_stream(quota, into, peek, envelope)?,
            _ => socket.received.read_message(quota, into, peek, envelope)?,
        };
        if peek {
            envelope.rights.iter().for_each(|right| self.descriptions.retain(*right));
        } else {
            self.made_room(node);
        }
        Ok(count)
    }

    /// Notifies the senders to a socket that there is room again.
    fn made_room(&mut self, node: NodeKey) {
        if let Some(peer) = self.peer(node).filter(|peer| self.are_peers(node, *peer)) {
            let roomy = self.unix(node).is_ok_and(Socket::is_roomy);
            self.notify(peer, if roomy { Ready::OUT } else { Ready::empty() });
        }
        let turned_away = self.unix_mut(node).map(|socket| core::mem::take(&mut socket.turned_away));
        for reference in turned_away.unwrap_or_default() {
            self.notify_referred(reference);
        }
        self.notify(node, Ready::empty());
    }

    /// Makes descriptors for passed files, up to `maximum` and as long as there are numbers; closes the other files.
    pub fn take_rights(&mut self, rights: Vec<DescriptionKey>, maximum: usize, close_on_exec: bool) -> Vec<i32> {
        let mut descriptors = Vec::new();
        for description in rights {
            if descriptors.len() < maximum && descriptors.try_reserve(1).is_ok() {
                descriptors.extend(self.add_descriptor(description, 0, close_on_exec));
            } else {
                self.release_description(description);
            }
        }
        descriptors
    }
}

//! TCP: listeners and connections.

use super::Error;
use super::host::Host;
use super::sockets::Stream;
use crate::clock;
use alloc::rc::Rc;
use core::cell::RefCell;
use core::net::SocketAddr;

/// A port at which peers can connect. Dropping it resets the connections that wait to be accepted.
#[derive(Debug)]
pub struct TcpListener {
    host: Rc<RefCell<Host>>,
    port: u16,
}

impl TcpListener {
    pub(super) fn new(host: &Rc<RefCell<Host>>, port: u16, backlog: usize) -> Result<Self, Error> {
        host.borrow_mut().sockets().listen(port, backlog)?;
        Ok(Self { host: Rc::clone(host), port })
    }

    /// Returns the connection that has waited longest to be accepted, if there is one.
    pub fn accept(&self) -> Option<TcpStream> {
        let slot = self.host.borrow_mut().sockets().next_pending(self.port)?;
        Some(TcpStream { host: Rc::clone(&self.host), slot })
    }

    /// Returns the listener's port.
    pub const fn port(&self) -> u16 {
        self.port
    }
}

impl Drop for TcpListener {
    fn drop(&mut self) {
        let mut host = self.host.borrow_mut();
        for slot in host.sockets().listen_no_more(self.port) {
            host.orphan(slot, true, clock::monotonic_ns());
        }
    }
}

/// A connection. Dropping it still sends the written bytes, followed by a FIN; but if received bytes are unread, it sends a
/// RST.
#[derive(Debug)]
pub struct TcpStream {
    host: Rc<RefCell<Host>>,
    slot: u32,
}

impl TcpStream {
    pub(super) fn connect(host: &Rc<RefCell<Host>>, to: SocketAddr) -> Result<Self, Error> {
        let slot = host.borrow_mut().connect(to, clock::monotonic_ns())?;
        Ok(Self { host: Rc::clone(host), slot })
    }

    /// Calls `what` with the connection; if that succeeds, sends the segments that have become due.
    fn with<T>(&self, what: impl FnOnce(&mut Stream) -> Result<T, Error>) -> Result<T, Error> {
        let mut host = self.host.borrow_mut();
        let stream = host.sockets().stream(self.slot).ok_or(Error::Reset)?;
        let result = what(stream)?;
        stream.connection.note();
        host.flush_socket(self.slot, clock::monotonic_ns());
        Ok(result)
    }

    fn ends(&self) -> Option<(SocketAddr, SocketAddr)> {
        Some(self.host.borrow_mut().sockets().stream(self.slot)?.connection.ends())
    }

    /// Returns the local address.
    ///
    /// # Panics
    ///
    /// Never panics: the connection exists as long as the stream.
    pub fn local_address(&self) -> SocketAddr {
        self.ends().expect("it is there as long as this is").0
    }

    /// Returns the peer's address.
    ///
    /// # Panics
    ///
    /// Never panics: the connection exists as long as the stream.
    pub fn peer_address(&self) -> SocketAddr {
        self.ends().expect("it is there as long as this is").1
    }

    /// Reads received bytes into `into`. Returns the number of bytes read; 0 if the peer has sent its FIN.
    pub fn read(&mut self, into: &mut [u8]) -> Result<usize, Error> {
        self.with(|stream| match stream.connection.tcp().recv_slice(into) {
            Ok(count) if count > 0 || into.is_empty() => Ok(count),
            _ if stream.connection.is_finished() => Ok(0),
            _ => Err(stream.error.unwrap_or(Error::NotYet)),
        })
    }

    /// Writes as many bytes as there is room for. Returns their number. They are sent with the next wait, or with
    /// [`Internet::work`](super::Internet::work).
    pub fn write(&mut self, from: &[u8]) -> Result<usize, Error> {
        self.with(|stream| {
            may_write(stream)?;
            match stream.connection.tcp().send_slice(from) {
                Ok(0) if !from.is_empty() => Err(Error::NotYet),
                Ok(count) => Ok(count),
                Err(_) => Err(Error::Finished),
            }
        })
    }

    /// Returns the number of bytes that the send buffer has room for, at least one.
    pub fn room(&self) -> Result<usize, Error> {
        let mut host = self.host.borrow_mut();
        let stream = host.sockets().stream(self.slot).ok_or(Error::Reset)?;
        may_write(stream)?;
        let tcp = stream.connection.tcp();
        match tcp.send_capacity() - tcp.send_queue() {
            0 => Err(Error::NotYet),
            room => Ok(room),
        }
    }

    /// Closes the sending direction (FIN). Bytes that the peer sends can still be read.
    pub fn finish(&mut self) {
        let finished = self.with(|stream| {
            stream.connection.close();
            Ok(())
        });
        debug_assert!(finished.is_ok(), "it is there as long as this is");
    }

    /// Aborts the connection: the peer gets a RST.
    pub fn reset(self) {
        let finished = self.with(|stream| {
            stream.connection.tcp().abort();
            Ok(())
        });
        debug_assert!(finished.is_ok(), "it is there as long as this is");
    }
}

impl Drop for TcpStream {
    fn drop(&mut self) {
        let mut host = self.host.borrow_mut();
        let unread = host.sockets().stream(self.slot).is_some_and(|stream| stream.connection.unread() > 0);
        host.orphan(self.slot, unread, clock::monotonic_ns());
    }
}

/// Returns an error if the connection cannot be written to.
fn may_write(stream: &mut Stream) -> Result<(), Error> {
    match stream.error {
        Some(error) => Err(error),
        None if stream.connection.is_opening() => Err(Error::NotYet),
        None if !stream.connection.tcp().may_send() => Err(Error::Finished),
        None => Ok(()),
    }
}

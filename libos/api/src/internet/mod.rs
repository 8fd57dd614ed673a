//! TCP and UDP over a network device, for native programs.
//!
//! ```ignore
//! let mut internet = Internet::open("net")?;
//! let listener = internet.listen(7, 64)?;
//! let datagrams = internet.bind(7)?;
//! let (mut streams, mut bytes) = (Vec::new(), [0; 2048]);
//! loop {
//!     streams.extend(core::iter::from_fn(|| listener.accept()));
//!     // Each does what it can without waiting.
//!     streams.retain_mut(|stream| serve(stream));
//!     while let Ok((length, from)) = datagrams.receive_from(&mut bytes) {
//!         let _ = datagrams.send_to(&bytes[..length], from);
//!     }
//!     husk::wait::any(&mut [&mut internet], News::empty(), u64::MAX);
//! }
//! ```
//!
//! No call here waits: what cannot be done yet is [`Error::NotYet`], and [`wait::any`] comes back when
//! it may be worth while to try again. That is also when segments come and go, so it takes an [`Internet`] among whatever
//! else is waited for: disks, other networks, input, a time. A program that does not wait for long calls
//! [`Internet::work`] meanwhile.
//!
//! The addresses are those that the device was attached with; or the network is asked, by DHCP and by router
//! solicitation. There is no loopback: a program talks with others, not with itself.
//!
//! The libos builds the sockets of ordinary programs on the parts that are modules here.

#![expect(unsafe_code, reason = "the bytes of a buffer need no value before something is put there")]

pub mod connection;
pub mod frame;
mod host;
mod lease;
mod offload;
mod socket;
mod sockets;
pub mod stack;
mod tcp;
mod udp;
pub mod wire;

pub use tcp::{TcpListener, TcpStream};
pub use udp::UdpSocket;

use crate::net::Link;
use crate::wait::{self, Source};
use crate::{boot, clock, device};
use alloc::rc::Rc;
use alloc::vec::Vec;
use core::cell::RefCell;
use core::fmt;
use core::net::{IpAddr, SocketAddr};
use host::Host;
use husk_abi::call::News;

/// Why something cannot be done.
#[derive(Clone, Copy, Debug, PartialEq, Eq)]
pub enum Error {
    /// Not yet: it may be possible after the next wait.
    NotYet,
    /// There is no way to that address: none of ours is of its family, or no router is known.
    Unreachable,
    /// Nobody listens there.
    Refused,
    /// The other side, or somebody in between, has ended the connection at once.
    Reset,
    /// The other side has not answered for more than two minutes.
    TimedOut,
    /// This side has said that it sends no more.
    Finished,
    /// The port is taken, or none is free.
    PortTaken,
    /// The datagram is longer than a packet can be on this network.
    TooLong,
    /// The heap has no room for its buffers.
    NoMemory,
}

impl fmt::Display for Error {
    fn fmt(&self, f: &mut fmt::Formatter<'_>) -> fmt::Result {
        f.write_str(match self {
            Self::NotYet => "not yet",
            Self::Unreachable => "there is no way to that address",
            Self::Refused => "nobody listens there",
            Self::Reset => "the other side has ended the connection",
            Self::TimedOut => "the other side does not answer",
            Self::Finished => "this side has said that it sends no more",
            Self::PortTaken => "the port is taken",
            Self::TooLong => "the datagram is too long for the network",
            Self::NoMemory => "there is no memory for its buffers",
        })
    }
}

impl core::error::Error for Error {}

/// How large a heap is in bytes that has room for the buffers of a device that offloads, which are 5 MiB.
const OFFLOAD_HEAP: u64 = 32 << 20;

/// A network device on which this program speaks TCP and UDP.
///
/// Its sockets stay open when it is dropped, but nothing comes or goes any more.
#[derive(Debug)]
pub struct Internet(Rc<RefCell<Host>>);

impl Internet {
    /// Takes the network device `name`. If that finishes frames and makes rows of TCP segments, it does so here, given
    /// room: that takes some memory, of which a small heap keeps all for its program.
    pub fn open(name: &str) -> Result<Self, device::Error> {
        let has_room = boot::info().heap.length >= OFFLOAD_HEAP;
        let link = if has_room { Link::open_to_offload(name) } else { Link::open(name) }?;
        Ok(Self(Rc::new(RefCell::new(Host::new(link, clock::monotonic_ns())))))
    }

    /// Its addresses at this moment, each with the number of bits of its network. The first is the one for its own link.
    pub fn addresses(&self) -> Vec<(IpAddr, u8)> {
        self.0.borrow().addresses()
    }

    /// Whether the network has been asked for an IPv4 address, and has not answered. Who connects meanwhile, or sends,
    /// is told [`Error::NotYet`].
    pub fn is_asking(&self) -> bool {
        self.0.borrow().is_asking()
    }

    /// The name servers that the device was attached with, or else the network has told of.
    pub fn name_servers(&self) -> Vec<IpAddr> {
        self.0.borrow().name_servers()
    }

    /// Listens at a port of all addresses. `backlog` connections at most wait to be accepted; who comes then is not
    /// answered, and will try again.
    pub fn listen(&self, port: u16, backlog: usize) -> Result<TcpListener, Error> {
        TcpListener::new(&self.0, port, backlog)
    }

    /// Begins to connect to `to`; until the other side has answered, it is [`Error::NotYet`] to read and write.
    pub fn connect(&self, to: SocketAddr) -> Result<TcpStream, Error> {
        TcpStream::connect(&self.0, to)
    }

    /// Takes a port for datagrams, at all addresses; any that is free if it is 0.
    pub fn bind(&self, port: u16) -> Result<UdpSocket, Error> {
        UdpSocket::new(&self.0, port)
    }

    /// Takes what has arrived, and sends what is due, as every wait does.
    pub fn work(&mut self) {
        self.0.borrow_mut().work(clock::monotonic_ns());
    }

    /// Waits until `what` tells something other than [`Error::NotYet`], and tells that: a program that has but one thing to
    /// do may write `internet.until(u64::MAX, || stream.read(&mut bytes))?`. It is [`Error::TimedOut`] when the monotonic
    /// clock reaches `deadline_ns`.
    pub fn until<T>(&mut self, deadline_ns: u64, mut what: impl FnMut() -> Result<T, Error>) -> Result<T, Error> {
        loop {
            match what() {
                Err(Error::NotYet) if clock::monotonic_ns() >= deadline_ns => return Err(Error::TimedOut),
                Err(Error::NotYet) => drop(wait::any(&mut [self], News::empty(), deadline_ns)),
                told => return told,
            }
        }
    }

    /// Waits until everybody has got what was sent to them, or the monotonic clock reaches `deadline_ns`: to be called
    /// before the program ends. Whether everybody has.
    pub fn settle(&mut self, deadline_ns: u64) -> bool {
        loop {
            self.work();
            if self.0.borrow_mut().is_settled() {
                return true;
            }
            if clock::monotonic_ns() >= deadline_ns {
                return false;
            }
            wait::any(&mut [self], News::empty(), deadline_ns);
        }
    }
}

impl Source for Internet {
    fn ready(&mut self) -> bool {
        let mut host = self.0.borrow_mut();
        host.work(clock::monotonic_ns());
        host.has_news()
    }

    fn beat(&mut self) -> u32 {
        self.0.borrow_mut().beat()
    }

    fn sleep(&mut self) -> bool {
        self.0.borrow_mut().sleep()
    }

    fn deadline_ns(&mut self) -> u64 {
        self.0.borrow().deadline_ns()
    }
}

/// The smallest and the largest buffer of a connection, in bytes.
const BUFFER: (u64, u64) = (4 << 10, 256 << 10);
/// Connections that share half of the heap as if there were always so many.
const SHARES: u64 = 128;

/// How long a buffer of one more connection is, in bytes, when there are `count`: the first are large, and a thousand
/// take half of the heap.
fn share(count: usize) -> usize {
    let share = boot::info().heap.length / (16 * (count as u64 + SHARES));
    share.clamp(BUFFER.0, BUFFER.1) as usize & !4095
}

/// A buffer of so many bytes, with anything in it, of which no page is touched.
fn buffer(length: usize) -> Result<Vec<u8>, Error> {
    let mut bytes = Vec::new();
    bytes.try_reserve_exact(length).map_err(|_| Error::NoMemory)?;
    let start: *mut u8 = bytes.as_mut_ptr();
    // SAFETY: no instruction at all, which for all the compiler knows writes to the memory: so its bytes have values from
    // here on, whatever these are.
    unsafe { core::arch::asm!("/* {0} */", in(reg) start, options(nostack, preserves_flags)) };
    // SAFETY: so many were reserved, and have values.
    unsafe { bytes.set_len(length) };
    Ok(bytes)
}

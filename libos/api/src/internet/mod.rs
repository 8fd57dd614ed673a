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
//! No call here blocks: an operation that is not possible yet returns [`Error::NotYet`], and [`wait::any`] returns when a retry
//! may succeed. Segments are also sent and received during that wait, so it takes an [`Internet`] among its other sources:
//! disks, other networks, input, a time. A program that does not wait for long calls [`Internet::work`] in between.
//!
//! The addresses are those that the device was attached with; or the network assigns them, by DHCP and by router solicitation.
//! There is no loopback: a program cannot connect to itself.
//!
//! The libos builds the sockets of ordinary programs on the public modules here.

#![expect(unsafe_code, reason = "the bytes of a buffer need no value before something is put there")]

mod announce;
pub mod connection;
pub mod datagrams;
pub mod driver;
pub mod frame;
mod held;
mod host;
mod lease;
mod offload;
pub mod patience;
pub mod report;
mod sockets;
pub mod stack;
mod tcp;
mod udp;
pub mod waiting;
pub mod wire;

pub use tcp::{TcpListener, TcpStream};
pub use udp::UdpSocket;

use crate::net::Link;
use crate::wait::{self, Source, Watches};
use crate::{boot, clock, device};
use alloc::rc::Rc;
use alloc::vec::Vec;
use core::cell::RefCell;
use core::fmt;
use core::net::{IpAddr, SocketAddr};
use host::Host;
use husk_abi::call::News;

/// Reason why an operation failed.
#[derive(Clone, Copy, Debug, PartialEq, Eq)]
pub enum Error {
    /// The operation is not possible yet: it may succeed after the next wait (EAGAIN).
    NotYet,
    /// The address is unreachable: the guest has no address of its family, or no router is known.
    Unreachable,
    /// The port has no listener.
    Refused,
    /// The peer, or a machine in between, has reset the connection.
    Reset,
    /// The peer has not answered in time.
    TimedOut,
    /// The sending direction is closed, by this side.
    Finished,
    /// The port is in use, or no port is free.
    PortTaken,
    /// The datagram exceeds the longest packet of this network.
    TooLong,
    /// The heap has no room for the socket's buffers.
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

/// Smallest heap in bytes on which offload is used: the buffers for it take 5 MiB.
const OFFLOAD_HEAP: u64 = 32 << 20;

/// TCP and UDP over a network device of this program.
///
/// Sockets stay open when the `Internet` is dropped, but no more frames are sent or received.
#[derive(Debug)]
pub struct Internet(Rc<RefCell<Host>>);

impl Internet {
    /// Opens the network device `name`, with checksum and segmentation offload if the device offers it and the heap is large
    /// enough: the buffers for offload take memory that a small heap keeps for its program.
    pub fn open(name: &str) -> Result<Self, device::Error> {
        let has_room = boot::info().heap.length >= OFFLOAD_HEAP;
        let link = if has_room { Link::open_to_offload(name) } else { Link::open(name) }?;
        Ok(Self(Rc::new(RefCell::new(Host::new(link, clock::monotonic_ns())))))
    }

    /// Returns the current addresses, each with its prefix length. The first is the link-local one.
    pub fn addresses(&self) -> Vec<(IpAddr, u8)> {
        self.0.borrow().addresses()
    }

    /// Returns true if a DHCP request for an IPv4 address is unanswered. Until the answer, connecting and sending return
    /// [`Error::NotYet`].
    pub fn is_asking(&self) -> bool {
        self.0.borrow().is_asking()
    }

    /// Returns the name servers that the device was attached with, or else those that the network announced.
    pub fn name_servers(&self) -> Vec<IpAddr> {
        self.0.borrow().name_servers()
    }

    /// Listens at a port of all addresses. At most `backlog` connections wait to be accepted; a SYN beyond that is not
    /// answered, and the peer will retry.
    pub fn listen(&self, port: u16, backlog: usize) -> Result<TcpListener, Error> {
        TcpListener::new(&self.0, port, backlog)
    }

    /// Starts to connect to `to`; until the peer has answered, reads and writes return [`Error::NotYet`].
    pub fn connect(&self, to: SocketAddr) -> Result<TcpStream, Error> {
        TcpStream::connect(&self.0, to)
    }

    /// Binds a port for datagrams, at all addresses; 0 selects a free port.
    pub fn bind(&self, port: u16) -> Result<UdpSocket, Error> {
        UdpSocket::new(&self.0, port)
    }

    /// Processes arrived frames and sends those that are due, as every wait does.
    pub fn work(&mut self) {
        self.0.borrow_mut().work(clock::monotonic_ns());
    }

    /// Blocks until `what` returns a result other than [`Error::NotYet`], and returns it: a program with a single task may
    /// write `internet.until(u64::MAX, || stream.read(&mut bytes))?`. Returns [`Error::TimedOut`] when the monotonic clock
    /// reaches `deadline_ns`.
    pub fn until<T>(&mut self, deadline_ns: u64, mut what: impl FnMut() -> Result<T, Error>) -> Result<T, Error> {
        loop {
            match what() {
                Err(Error::NotYet) if clock::monotonic_ns() >= deadline_ns => return Err(Error::TimedOut),
                Err(Error::NotYet) => drop(wait::any(&mut [self], News::empty(), deadline_ns)),
                told => return told,
            }
        }
    }

    /// Blocks until all peers have acknowledged the sent data, or the monotonic clock reaches `deadline_ns`: to be called
    /// before the program ends. Returns true if all have.
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

    fn watch(&self, watches: &mut Watches) {
        self.0.borrow_mut().source().watch(watches);
    }

    fn sleep(&mut self) -> bool {
        self.0.borrow_mut().source().sleep()
    }

    fn deadline_ns(&mut self) -> u64 {
        self.0.borrow().deadline_ns()
    }
}

/// Returns a buffer of `length` bytes with arbitrary values, without a touch of any page.
fn buffer(length: usize) -> Result<Vec<u8>, Error> {
    let mut bytes = Vec::new();
    bytes.try_reserve_exact(length).map_err(|_| Error::NoMemory)?;
    let start: *mut u8 = bytes.as_mut_ptr();
    // SAFETY: an empty asm block, which the compiler must assume writes to the memory: from here on its bytes are initialized
    // with arbitrary values.
    unsafe { core::arch::asm!("/* {0} */", in(reg) start, options(nostack, preserves_flags)) };
    // SAFETY: `length` bytes were reserved above, and the asm block initialized them.
    unsafe { bytes.set_len(length) };
    Ok(bytes)
}

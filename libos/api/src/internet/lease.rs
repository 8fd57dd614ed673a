//! An address that the network lends: DHCP.

use alloc::vec;
use alloc::vec::Vec;
use core::fmt;
use core::net::{IpAddr, Ipv4Addr};
use smoltcp::iface::{SocketHandle, SocketSet};
use smoltcp::socket::dhcpv4::{Event, Socket};
use smoltcp::time::Duration;

/// How long an answer is waited for before the question is asked again.
const RETRY: Duration = Duration::from_millis(500);

/// What is known of a lease.
pub(super) struct Lease {
    pub(super) set: SocketSet<'static>,
    handle: SocketHandle,
    asking: bool,
}

/// What a lease says.
#[derive(Debug)]
pub(super) struct Terms {
    /// The address, with the number of bits of its network; none if it has been taken away.
    pub(super) address: Option<(Ipv4Addr, u8)>,
    pub(super) router: Option<Ipv4Addr>,
    pub(super) servers: Vec<IpAddr>,
}

impl fmt::Debug for Lease {
    fn fmt(&self, f: &mut fmt::Formatter<'_>) -> fmt::Result {
        f.debug_struct("Lease").field("asking", &self.asking).finish_non_exhaustive()
    }
}

impl Lease {
    /// A lease that nobody has been asked for yet.
    pub(super) fn new() -> Self {
        let mut set = SocketSet::new(vec![]);
        let mut socket = Socket::new();
        let mut retry = socket.get_retry_config();
        // The first question may be lost while the other end of the wire comes up, and somebody waits for the answer.
        (retry.discover_timeout, retry.initial_request_timeout) = (RETRY, RETRY);
        socket.set_retry_config(retry);
        let handle = set.add(socket);
        Self { set, handle, asking: true }
    }

    /// Whether there is no answer yet.
    pub(super) fn is_asking(&self) -> bool {
        self.asking
    }

    /// What it says, if that has changed.
    pub(super) fn changed(&mut self) -> Option<Terms> {
        let terms = match self.set.get_mut::<Socket<'_>>(self.handle).poll()? {
            Event::Deconfigured => Terms { address: None, router: None, servers: Vec::new() },
            Event::Configured(lease) => Terms {
                address: Some((lease.address.address(), lease.address.prefix_len())),
                router: lease.router,
                servers: lease.dns_servers.iter().map(|server| IpAddr::V4(*server)).collect(),
            },
        };
        self.asking = terms.address.is_none();
        Some(terms)
    }
}

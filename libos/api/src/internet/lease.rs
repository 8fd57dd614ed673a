//! A DHCP lease of an IPv4 address.

use alloc::vec;
use alloc::vec::Vec;
use core::fmt;
use core::net::{IpAddr, Ipv4Addr};
use smoltcp::iface::{SocketHandle, SocketSet};
use smoltcp::socket::dhcpv4::{Event, Socket};
use smoltcp::time::Duration;

/// Time until an unanswered DHCP request is repeated.
const RETRY: Duration = Duration::from_millis(500);

/// State of a lease.
pub(super) struct Lease {
    pub(super) set: SocketSet<'static>,
    handle: SocketHandle,
    asking: bool,
}

/// Contents of a lease.
#[derive(Debug)]
pub(super) struct Terms {
    /// The address, with its prefix length; `None` after the lease was lost.
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
    /// Returns a lease that has not been requested yet.
    pub(super) fn new() -> Self {
        let mut set = SocketSet::new(vec![]);
        let mut socket = Socket::new();
        let mut retry = socket.get_retry_config();
        // The first request may be lost while the other end of the link comes up, and the program may wait for the answer.
        (retry.discover_timeout, retry.initial_request_timeout) = (RETRY, RETRY);
        socket.set_retry_config(retry);
        let handle = set.add(socket);
        Self { set, handle, asking: true }
    }

    /// Returns true if there is no answer yet.
    pub(super) fn is_asking(&self) -> bool {
        self.asking
    }

    /// Returns the lease's contents, if they have changed.
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

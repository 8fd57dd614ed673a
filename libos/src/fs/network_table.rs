//! What files that describe the network have.

/// A file that describes the network.
#[derive(Clone, Copy, Debug, PartialEq, Eq)]
pub enum Table {
    /// Counters of all interfaces.
    Interfaces,
    /// TCP sockets of IPv4.
    Tcp,
    /// TCP sockets of IPv6.
    Tcp6,
    /// UDP sockets of IPv4.
    Udp,
    /// UDP sockets of IPv6.
    Udp6,
    /// Routes of IPv4.
    Routes,
    /// Addresses of IPv6.
    Addresses,
    /// Neighbours of IPv4.
    Neighbours,
    /// Attribute of an interface: of the device, or of the loopback.
    Attribute {
        /// True for that of the device.
        of_device: bool,
        /// The attribute.
        attribute: Attribute,
    },
}

/// Attribute of an interface.
#[derive(Clone, Copy, Debug, PartialEq, Eq)]
pub enum Attribute {
    /// Hardware address.
    Address,
    /// Bytes of a hardware address.
    AddressLength,
    /// Hardware address of all machines on the link.
    Broadcast,
    /// 1, because the link is there.
    Carrier,
    /// Flags, as of `SIOCGIFFLAGS`.
    Flags,
    /// Number.
    Index,
    /// Longest packet in bytes.
    Mtu,
    /// State: RFC 2863.
    State,
    /// Kind of hardware.
    Type,
    /// Bytes that have arrived.
    ReceivedBytes,
    /// Packets that have arrived.
    Received,
    /// Bytes that were sent.
    SentBytes,
    /// Packets that were sent.
    Sent,
}

/// Interfaces, and the state of their files.
#[derive(Debug, Default)]
pub struct Networks {
    /// Name of the device, if there is one.
    pub device: Option<&'static [u8]>,
    /// True if the files are to be made: the tree is there, and they are not.
    pub(super) is_pending: bool,
}

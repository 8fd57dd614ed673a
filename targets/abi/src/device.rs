//! Devices: what is attached to a guest, and where its rings are.
//!
//! Boot information leads to a [`Table`] ([`crate::boot::Info::devices`]), behind which lie as many [`Device`] records as
//! it says, [`Table::stride`] bytes apart. All of it is read-only for the guest, but for the rings themselves
//! ([`crate::ring`]), which lie in pages of their own. They are memory that the tender gave: no call may name them.

use crate::note;
use zerocopy::{FromBytes, Immutable, IntoBytes, KnownLayout};

/// The devices of a guest.
#[derive(Clone, Copy, Debug, FromBytes, IntoBytes, Immutable, KnownLayout)]
#[repr(C)]
pub struct Table {
    /// Number of records that follow.
    pub count: u32,
    /// Size of a record as the tender knows it; fields beyond are absent.
    pub stride: u32,
    /// A function `extern "sysv64" fn()`: tells the tender that a queue has a request for which it wanted to be woken.
    /// Like the gate it leaves all registers but `rax` alone; unlike it, it need not wait until somebody has heard.
    pub doorbell: u64,
}

/// One device.
#[derive(Clone, Copy, Debug, FromBytes, IntoBytes, Immutable, KnownLayout)]
#[repr(C)]
pub struct Device {
    /// A value of [`note::device_kind`].
    pub kind: u32,
    /// Length of the name in bytes.
    pub name_length: u32,
    /// The name in ASCII, padded with zeros.
    pub name: [u8; note::DEVICE_NAME_MAXIMUM],
    /// The queues: for a network device [`TRANSMIT`] and [`RECEIVE`], for a block device one
    /// ([`crate::block`]), and one of no entries.
    pub queues: [Queue; 2],
    /// Address of what else there is to know: a [`Network`] for a network device, a [`crate::block::Block`] for a block
    /// device.
    pub properties: u64,
}

/// Index of a network device's queue of frames to be sent. A request is one frame, from its Ethernet header on, without
/// check sequence. A frame shorter than that header or longer than the device takes is completed with
/// [`crate::ring::status::REFUSED`].
pub const TRANSMIT: usize = 0;
/// Index of a network device's queue of buffers. Each is completed with one frame, in the order of their submission; a
/// frame that is longer than its buffer is dropped, and the buffer waits for the next.
pub const RECEIVE: usize = 1;

/// A queue: two rings of the same number of entries.
#[derive(Clone, Copy, Debug, Default, PartialEq, Eq, FromBytes, IntoBytes, Immutable, KnownLayout)]
#[repr(C)]
pub struct Queue {
    /// Address of the ring of [`crate::ring::Descriptor`]; a multiple of [`crate::ring::ALIGNMENT`].
    pub submission: u64,
    /// Address of the ring of [`crate::ring::Completion`]; likewise.
    pub completion: u64,
    /// Entries of each: a power of two.
    pub entries: u32,
    /// 0.
    pub reserved: u32,
}

/// What there is to know about a network device.
#[derive(Clone, Copy, Debug, Default, PartialEq, Eq, FromBytes, IntoBytes, Immutable, KnownLayout)]
#[repr(C)]
pub struct Network {
    /// Its hardware address.
    pub mac: [u8; 6],
    /// Most bytes of a frame beyond its [`FRAME_HEADER`] of 14; up to 65,535.
    pub mtu: u16,
    /// How the guest comes by its IPv4 address, and what it is: addresses in the first four bytes of each field.
    pub v4: Address,
    /// The same for IPv6.
    pub v6: Address,
}

/// Bytes of an Ethernet header.
pub const FRAME_HEADER: usize = 14;

/// How a network device is to be addressed.
#[derive(Clone, Copy, Debug, Default, PartialEq, Eq, FromBytes, IntoBytes, Immutable, KnownLayout)]
#[repr(C)]
pub struct Address {
    /// The address, in network order like the others. Without meaning unless [`Address::source`] is [`source::GIVEN`].
    pub address: [u8; 16],
    /// The router, or zeros.
    pub gateway: [u8; 16],
    /// A name server, or zeros. If it is given, it is to be asked whatever the network says of others.
    pub name_server: [u8; 16],
    /// How many leading bits of the address are the network's.
    pub prefix: u8,
    /// A value of [`source`].
    pub source: u8,
    /// 0.
    pub reserved: [u8; 6],
}

/// Values of [`Address::source`].
pub mod source {
    /// There is none: the protocol is not in use, but on IPv6 for link-local addresses.
    pub const NONE: u8 = 0;
    /// It is told here.
    pub const GIVEN: u8 = 1;
    /// The network is to be asked: by DHCP, or on IPv6 by router solicitation.
    pub const ASK: u8 = 2;
}

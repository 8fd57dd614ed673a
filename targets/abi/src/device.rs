//! Devices: the table of a guest's devices and the addresses of their rings.
//!
//! Boot information leads to a [`Table`] ([`crate::boot::Info::devices`]), behind which lie [`Table::count`] records of
//! [`Device`], [`Table::stride`] bytes apart. The table is read-only for the guest; the rings ([`crate::ring`]) are writable
//! and lie in pages of their own. Rings are memory that the tender provides: no call may name them.

use crate::note;
use zerocopy::{FromBytes, Immutable, IntoBytes, KnownLayout};

/// The devices of a guest.
#[derive(Clone, Copy, Debug, FromBytes, IntoBytes, Immutable, KnownLayout)]
#[repr(C)]
pub struct Table {
    /// Number of records that follow.
    pub count: u32,
    /// Size of a record in the tender's build; a guest treats fields beyond it as absent.
    pub stride: u32,
    /// Address of the doorbell, a function `extern "sysv64" fn()` that notifies the tender of a request on a queue for which it
    /// asked to be woken. Like the gate, the doorbell preserves all registers but `rax`; unlike the gate, it may return before
    /// the tender has seen it.
    pub doorbell: u64,
}

/// Record of a device.
#[derive(Clone, Copy, Debug, FromBytes, IntoBytes, Immutable, KnownLayout)]
#[repr(C)]
pub struct Device {
    /// A value of [`note::device_kind`].
    pub kind: u32,
    /// Length of the name in bytes.
    pub name_length: u32,
    /// The name in ASCII, padded with zeros.
    pub name: [u8; note::DEVICE_NAME_MAXIMUM],
    /// The queues: for a network device [`TRANSMIT`] and [`RECEIVE`], for a block device ([`crate::block`]) or a folder
    /// ([`crate::folder`]) one, and one without entries.
    pub queues: [Queue; 2],
    /// Address of the device's properties: a [`Network`] for a network device, a [`crate::block::Block`] for a block
    /// device, a [`crate::folder::Folder`] for a folder.
    pub properties: u64,
    /// [`Offers`] of a network device.
    pub offers: u32,
    /// 0.
    pub reserved: u32,
}

bitflags::bitflags! {
    /// Features of a network device beyond sending and receiving complete frames, and properties of its network.
    #[derive(Clone, Copy, Debug, PartialEq, Eq)]
    pub struct Offers: u32 {
        /// Checksum and segmentation offload for TCP and UDP: the device completes frames to be sent, as an [`Offload`]
        /// describes, and fills buffers of [`GUEST_OFFLOADS`] with frames that need the same.
        const OFFLOAD = 1;
        /// Clients from outside reach published ports of the guest only. It may lead them to listeners of its loopback interface.
        const PUBLISHED = 2;
    }
}

/// Index of a network device's queue of frames to be sent. A request is one frame, from its Ethernet header on, without
/// check sequence. A frame shorter than that header or longer than the device takes is completed with
/// [`crate::ring::status::REFUSED`].
pub const TRANSMIT: usize = 0;
/// Index of a network device's queue of receive buffers. Each is completed with one frame, in the order of submission; a frame
/// longer than its buffer is dropped, and the buffer stays for the next frame.
pub const RECEIVE: usize = 1;

/// Offload request for a frame to be sent, encoded in [`Descriptor::detail`](crate::ring::Descriptor::detail) of its first
/// part; 0 for a complete frame. Any other value than described here is a fault, as is every value but 0 if the device does not
/// offer offload. The fields are those of `struct virtio_net_hdr` (Virtio 1.2, 5.1.6); NEEDS_CSUM is implied by a `csum_start`.
///
/// ```text
/// bits 0 to 15     csum_start    offset in the frame of the segment or datagram without a checksum, or 0
/// bits 16 to 31    csum_offset   offset of the checksum from there; it holds the sum of the pseudo-header
/// bits 32 to 47    gso_size      most bytes of payload per frame on the wire, for a GSO frame of TCP, or 0
/// bits 48 to 63    gso_type      a value of [`gso_type`]
/// ```
///
/// A GSO frame is one TCP segment with too large a payload, and lacks its checksum. The device sends it as several segments:
/// headers are repeated, with sequence numbers, lengths and flags adjusted in each.
#[derive(Clone, Copy, Debug, Default, PartialEq, Eq)]
pub struct Offload {
    /// Offset of the checksummed segment or datagram.
    pub csum_start: u16,
    /// Offset of the checksum field from `csum_start`.
    pub csum_offset: u16,
    /// Payload bytes per segment; if not 0, then [`GSO_SIZE_MINIMUM`] or more.
    pub gso_size: u16,
    /// A value of [`gso_type`]: [`gso_type::NONE`] unless the frame is a GSO frame.
    pub gso_type: u16,
}

/// Values of [`Offload::gso_type`], with virtio's numbers.
pub mod gso_type {
    /// Not a GSO frame.
    pub const NONE: u16 = 0;
    /// TCP over IPv4.
    pub const TCPV4: u16 = 1;
    /// TCP over IPv6.
    pub const TCPV6: u16 = 4;
}

/// Fewest payload bytes per segment of a GSO frame: every network carries as many behind the longest header (RFC 791, 3.2).
pub const GSO_SIZE_MINIMUM: u16 = 8;
/// Most bytes of a GSO frame beyond its [`FRAME_HEADER`]: the maximum length of an IP packet.
pub const GSO_FRAME_MAXIMUM: usize = u16::MAX as usize;

impl Offload {
    /// Returns the detail that encodes this request.
    pub const fn encode(self) -> u64 {
        self.csum_start as u64
            | (self.csum_offset as u64) << 16
            | (self.gso_size as u64) << 32
            | (self.gso_type as u64) << 48
    }

    /// Decodes the detail of a frame of `length` bytes; `None` if it is inconsistent.
    pub const fn check(detail: u64, length: usize) -> Option<Self> {
        let [csum_start, csum_offset, gso_size, gso_type] =
            [detail as u16, (detail >> 16) as u16, (detail >> 32) as u16, (detail >> 48) as u16];
        let within = csum_start as usize + csum_offset as usize + size_of::<u16>() <= length;
        let needs_csum = csum_start as usize >= FRAME_HEADER && within;
        let is_gso =
            gso_size >= GSO_SIZE_MINIMUM && matches!(gso_type, gso_type::TCPV4 | gso_type::TCPV6) && needs_csum;
        let possible = (needs_csum || (csum_start == 0 && csum_offset == 0))
            && (is_gso || (gso_size == 0 && gso_type == gso_type::NONE));
        if possible { Some(Self { csum_start, csum_offset, gso_size, gso_type }) } else { None }
    }
}

/// Detail of a buffer of the queue [`RECEIVE`], if the device offers offload: the buffer accepts frames that lack a checksum
/// (NEEDS_CSUM), and GSO frames that fit. A frame that the next buffer does not accept is dropped.
pub const GUEST_OFFLOADS: u64 = 1;

/// Flag of a completion of the queue [`RECEIVE`] ([`crate::ring::Completion::flags`]): the checksum of the segment or datagram
/// needs no verification, because it is known to be right (virtio's DATA_VALID), or absent (NEEDS_CSUM).
pub const DATA_VALID: u16 = 1;

/// A queue: two rings of the same number of entries.
#[derive(Clone, Copy, Debug, Default, PartialEq, Eq, FromBytes, IntoBytes, Immutable, KnownLayout)]
#[repr(C)]
pub struct Queue {
    /// Address of the ring of [`crate::ring::Descriptor`]; a multiple of [`crate::ring::ALIGNMENT`].
    pub submission: u64,
    /// Address of the ring of [`crate::ring::Completion`]; a multiple of [`crate::ring::ALIGNMENT`] too.
    pub completion: u64,
    /// Number of entries of each ring: a power of two.
    pub entries: u32,
    /// 0.
    pub reserved: u32,
}

/// Properties of a network device.
#[derive(Clone, Copy, Debug, Default, PartialEq, Eq, FromBytes, IntoBytes, Immutable, KnownLayout)]
#[repr(C)]
pub struct Network {
    /// Hardware (MAC) address of the device.
    pub mac: [u8; 6],
    /// Most bytes of a frame beyond its [`FRAME_HEADER`] of 14; up to 65,535.
    pub mtu: u16,
    /// IPv4 configuration: addresses in the first four bytes of each field.
    pub v4: Address,
    /// IPv6 configuration.
    pub v6: Address,
}

/// Bytes of an Ethernet header.
pub const FRAME_HEADER: usize = 14;

/// Configuration of one protocol on a network device.
#[derive(Clone, Copy, Debug, Default, PartialEq, Eq, FromBytes, IntoBytes, Immutable, KnownLayout)]
#[repr(C)]
pub struct Address {
    /// The address, in network byte order like the others. Meaningless unless [`Address::source`] is [`source::GIVEN`].
    pub address: [u8; 16],
    /// The router, or zeros.
    pub gateway: [u8; 16],
    /// A name server, or zeros. If it is set, the guest queries it, whatever name servers the network announces.
    pub name_server: [u8; 16],
    /// Prefix length: number of leading bits of the address that are the network's.
    pub prefix: u8,
    /// A value of [`source`].
    pub source: u8,
    /// 0.
    pub reserved: [u8; 6],
}

/// Values of [`Address::source`].
pub mod source {
    /// No address: the protocol is not in use, except IPv6 for link-local addresses.
    pub const NONE: u8 = 0;
    /// Static configuration: the fields of `Address` hold it.
    pub const GIVEN: u8 = 1;
    /// Configuration by the network: DHCP, or router solicitation on IPv6.
    pub const ASK: u8 = 2;
}

#[cfg(test)]
mod tests {
    use super::*;

    #[test]
    fn offloads_survive_the_trip() {
        let sum = Offload { csum_start: 34, csum_offset: 16, ..Offload::default() };
        for offload in [Offload::default(), sum, Offload { gso_size: 1448, gso_type: gso_type::TCPV4, ..sum }] {
            assert_eq!(Offload::check(offload.encode(), 2000), Some(offload));
        }
    }

    #[test]
    fn what_makes_no_sense_is_refused() {
        let good = Offload { csum_start: 34, csum_offset: 16, gso_size: 1448, gso_type: gso_type::TCPV6 };
        let bad = [
            Offload { csum_start: 0, ..good },
            Offload { csum_start: 13, ..good },
            Offload { csum_offset: 1949, ..good },
            Offload { csum_start: u16::MAX, csum_offset: u16::MAX, ..good },
            Offload { gso_size: 0, ..good },
            Offload { gso_size: GSO_SIZE_MINIMUM - 1, ..good },
            Offload { gso_type: gso_type::NONE, ..good },
            Offload { gso_type: 5, ..good },
            Offload { csum_start: 0, csum_offset: 16, gso_size: 0, gso_type: gso_type::NONE },
            Offload { csum_start: 0, csum_offset: 0, gso_size: 1448, gso_type: gso_type::TCPV4 },
        ];
        for offload in bad {
            assert_eq!(Offload::check(offload.encode(), 1984), None, "{offload:?}");
        }
        assert!(Offload::check(Offload { csum_offset: 1948, ..good }.encode(), 1984).is_some(), "just within");
    }
}

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
    /// [`Offers`], of a network device.
    pub offers: u32,
    /// 0.
    pub reserved: u32,
}

bitflags::bitflags! {
    /// What a network device does beyond sending and receiving frames as they are.
    #[derive(Clone, Copy, Debug, PartialEq, Eq)]
    pub struct Offers: u32 {
        /// It takes work off TCP and UDP: it sends frames that are not finished ([`Offload`]), and fills buffers of
        /// [`UNFINISHED`] with such.
        const OFFLOAD = 1;
    }
}

/// Index of a network device's queue of frames to be sent. A request is one frame, from its Ethernet header on, without
/// check sequence. A frame shorter than that header or longer than the device takes is completed with
/// [`crate::ring::status::REFUSED`].
pub const TRANSMIT: usize = 0;
/// Index of a network device's queue of buffers. Each is completed with one frame, in the order of their submission; a
/// frame that is longer than its buffer is dropped, and the buffer waits for the next.
pub const RECEIVE: usize = 1;

/// What a frame that is to be sent lacks, as [`Descriptor::detail`](crate::ring::Descriptor::detail) of its first part
/// says; 0 there is nothing. Anything but what is described here is a fault, as is all of it where the device does not
/// offer it.
///
/// ```text
/// bits 0 to 15     start     where in the frame the segment or datagram starts whose checksum is missing, or 0
/// bits 16 to 31    checksum  where that is to be written, counted from there; it holds the sum of the pseudo-header
/// bits 32 to 47    segment   bytes of payload that one frame carries at most, if this is a row of TCP segments, or 0
/// bits 48 to 63    family    what carries them: 4 or 6, by version of IP; 0 if it is not
/// ```
///
/// A row of segments is one TCP segment with too large a payload, and lacks its checksum. It is sent as several: headers
/// are repeated, with sequence numbers, lengths and flags as each of them needs.
#[derive(Clone, Copy, Debug, Default, PartialEq, Eq)]
pub struct Offload {
    /// See above.
    pub start: u16,
    /// See above.
    pub checksum: u16,
    /// See above; if not 0, then [`SEGMENT_MINIMUM`] or more.
    pub segment: u16,
    /// See above.
    pub family: u16,
}

/// Fewest bytes of payload to take a row of segments apart by: what every network carries behind the longest header (RFC
/// 791, 3.2).
pub const SEGMENT_MINIMUM: u16 = 8;
/// Most bytes of a row of segments beyond its [`FRAME_HEADER`]: as long as IP can be.
pub const ROW_MAXIMUM: usize = u16::MAX as usize;

impl Offload {
    /// The detail that says this.
    pub const fn encode(self) -> u64 {
        self.start as u64 | (self.checksum as u64) << 16 | (self.segment as u64) << 32 | (self.family as u64) << 48
    }

    /// What a detail says of a frame of `length` bytes; nothing if that makes no sense.
    pub const fn check(detail: u64, length: usize) -> Option<Self> {
        let [start, checksum, segment, family] =
            [detail as u16, (detail >> 16) as u16, (detail >> 32) as u16, (detail >> 48) as u16];
        let within = start as usize + checksum as usize + size_of::<u16>() <= length;
        let summed = start as usize >= FRAME_HEADER && within;
        let row = segment >= SEGMENT_MINIMUM && (family == 4 || family == 6) && summed;
        let possible = (summed || (start == 0 && checksum == 0)) && (row || (segment == 0 && family == 0));
        if possible { Some(Self { start, checksum, segment, family }) } else { None }
    }
}

/// As detail of a buffer of the queue [`RECEIVE`] of a device that offers it: takes frames that lack a checksum, and rows
/// of TCP segments, if they fit. What the next buffer does not take is dropped.
pub const UNFINISHED: u64 = 1;

/// Flag of a completion of the queue [`RECEIVE`] ([`crate::ring::Completion::flags`]): the checksum of the segment or
/// datagram says nothing, or is known to be right.
pub const CHECKED: u16 = 1;

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

#[cfg(test)]
mod tests {
    use super::*;

    #[test]
    fn what_a_frame_lacks_survives_the_trip() {
        let sum = Offload { start: 34, checksum: 16, ..Offload::default() };
        for offload in [Offload::default(), sum, Offload { segment: 1448, family: 4, ..sum }] {
            assert_eq!(Offload::check(offload.encode(), 2000), Some(offload));
        }
    }

    #[test]
    fn what_makes_no_sense_is_refused() {
        let good = Offload { start: 34, checksum: 16, segment: 1448, family: 4 };
        let bad = [
            Offload { start: 0, ..good },
            Offload { start: 13, ..good },
            Offload { checksum: 1949, ..good },
            Offload { start: u16::MAX, checksum: u16::MAX, ..good },
            Offload { segment: 0, ..good },
            Offload { segment: SEGMENT_MINIMUM - 1, ..good },
            Offload { family: 0, ..good },
            Offload { family: 5, ..good },
            Offload { start: 0, checksum: 16, segment: 0, family: 0 },
            Offload { start: 0, checksum: 0, segment: 1448, family: 4 },
        ];
        for offload in bad {
            assert_eq!(Offload::check(offload.encode(), 1984), None, "{offload:?}");
        }
        assert!(Offload::check(Offload { checksum: 1948, ..good }.encode(), 1984).is_some(), "just within");
    }
}

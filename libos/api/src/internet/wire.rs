//! Interface between the stack and a network device: frames in and out. [`Wire`] is the seam; behind it is the tender's device
//! ([`crate::net::Link`]), or in tests another stack. The rest adapts it to smoltcp's trait `Device`.

use super::{frame, offload};
use crate::net::Counts;
use crate::wait::Source;
use core::num::{NonZeroU16, NonZeroUsize};
use husk_abi::device::{FRAME_HEADER, GSO_FRAME_MAXIMUM, Offload};
use smoltcp::phy::{Checksum, Device, DeviceCapabilities, Medium, PacketMeta, RxToken, TxToken};
use smoltcp::time::Instant;

/// A network device: Ethernet frames without check sequences.
pub trait Wire: Send {
    /// Returns the hardware (MAC) address.
    fn address(&self) -> [u8; 6];

    /// Returns the bytes of the longest frame, its header included.
    fn longest(&self) -> usize;

    /// Returns true if the device fills in the checksums of TCP and splits large segments, and `receive` passes on only frames
    /// of TCP and UDP with right checksums.
    fn offloads(&self) -> bool {
        false
    }

    /// Returns true if clients from outside reach published ports only.
    fn is_published(&self) -> bool {
        false
    }

    /// Returns what has gone through the device.
    fn counts(&self) -> Counts {
        Counts::default()
    }

    /// Passes the next arrived frame to `take`, with a sender for an answer. Returns true if there was one.
    fn receive(&mut self, take: &mut dyn FnMut(&[u8], &mut dyn Sender)) -> bool;

    /// Returns the sending half.
    fn sender(&mut self) -> &mut dyn Sender;

    /// Publishes the sent frames.
    fn flush(&mut self);

    /// Returns true if the device has taken all sent frames.
    fn is_done(&mut self) -> bool;

    /// Returns true if a frame has arrived, or there is room again to send one.
    fn is_ready(&mut self) -> bool;

    /// Returns the wire as a source that can be waited for.
    fn source(&mut self) -> &mut dyn Source;
}

/// Sending half of a network device.
pub trait Sender {
    /// Returns true if there is room for a frame.
    fn has_room(&mut self) -> bool;

    /// Sends a frame of `length` bytes that `fill` writes, if there is room; unless `gso_size` is 0, as several TCP segments
    /// with `gso_size` bytes of payload each.
    fn send(&mut self, length: usize, gso_size: u16, fill: &mut dyn FnMut(&mut [u8]));
}

impl Wire for crate::net::Link {
    fn address(&self) -> [u8; 6] {
        self.properties().mac
    }

    fn longest(&self) -> usize {
        usize::from(self.properties().mtu) + husk_abi::device::FRAME_HEADER
    }

    fn offloads(&self) -> bool {
        Self::offloads(self)
    }

    fn is_published(&self) -> bool {
        Self::is_published(self)
    }

    fn counts(&self) -> Counts {
        let (sent, sent_bytes) = self.sender.counts;
        Counts { sent, sent_bytes, ..self.counts }
    }

    fn receive(&mut self, take: &mut dyn FnMut(&[u8], &mut dyn Sender)) -> bool {
        let Some(frame) = self.receiver.frame() else { return false };
        self.counts.received += 1;
        self.counts.received_bytes += frame.len() as u64;
        // A damaged frame is dropped.
        if !self.sender.offloads() || frame.is_checked() || offload::is_right(&frame) {
            take(&frame, &mut self.sender);
        }
        true
    }

    fn sender(&mut self) -> &mut dyn Sender {
        &mut self.sender
    }

    fn flush(&mut self) {
        self.sender.flush();
    }

    fn is_done(&mut self) -> bool {
        self.sender.is_done()
    }

    fn is_ready(&mut self) -> bool {
        crate::wait::Source::ready(self)
    }

    fn source(&mut self) -> &mut dyn Source {
        self
    }
}

impl Sender for crate::net::Sender {
    fn has_room(&mut self) -> bool {
        Self::has_room(self)
    }

    fn send(&mut self, length: usize, gso_size: u16, fill: &mut dyn FnMut(&mut [u8])) {
        let offloads = self.offloads();
        let frame = if gso_size > 0 { self.gso_frame() } else { self.frame() };
        if let Some(mut frame) = frame
            && let Some(part) = frame.get_mut(..length)
        {
            fill(part);
            let offload = if offloads { offload::leave_out(part, gso_size) } else { Offload::default() };
            frame.send_offloaded(length, offload);
        }
    }
}

/// A device for smoltcp with at most one received frame.
pub(super) struct Exchange<'a> {
    frame: Option<&'a [u8]>,
    sender: &'a mut dyn Sender,
    limits: Limits,
    /// Packets, other than replies, that smoltcp has wanted to send.
    pub(super) attempts: usize,
    /// Frames that were sent.
    pub(super) sent: Count,
}

/// Frames that smoltcp has sent.
#[derive(Debug, Default)]
pub(super) struct Count {
    /// Requests for hardware addresses.
    pub(super) requests: usize,
    /// All others.
    pub(super) others: usize,
}

impl<'a> Exchange<'a> {
    pub(super) fn new(frame: Option<&'a [u8]>, sender: &'a mut dyn Sender, limits: Limits) -> Self {
        Self { frame, sender, limits, attempts: 0, sent: Count::default() }
    }
}

/// Properties of a wire.
#[derive(Clone, Copy, Debug)]
pub struct Limits {
    /// See [`Wire::longest`].
    pub longest: usize,
    /// See [`Wire::offloads`].
    pub offloads: bool,
}

impl Limits {
    /// Returns the properties of `wire`.
    pub(super) fn of(wire: &dyn Wire) -> Self {
        Self { longest: wire.longest(), offloads: wire.offloads() }
    }

    fn capabilities(self) -> DeviceCapabilities {
        let mut capabilities = DeviceCapabilities::default();
        (capabilities.medium, capabilities.max_transmission_unit) = (Medium::Ethernet, self.longest);
        if self.offloads {
            (capabilities.checksum.tcp, capabilities.checksum.udp) = (Checksum::None, Checksum::Tx);
            // Segmentation for IPv4 only: over IPv6, packets of smoltcp 0.14 must fit the wire.
            capabilities.segmentation.tcpv4 = NonZeroUsize::new(FRAME_HEADER + GSO_FRAME_MAXIMUM);
        }
        capabilities
    }
}

impl Device for Exchange<'_> {
    type RxToken<'a>
        = Incoming<'a>
    where
        Self: 'a;
    type TxToken<'a>
        = Outgoing<'a>
    where
        Self: 'a;

    fn receive(&mut self, _: Instant) -> Option<(Incoming<'_>, Outgoing<'_>)> {
        let frame = self.frame.take()?;
        Some((Incoming(frame), Outgoing { sender: self.sender, gso_size: 0, class: 0, sent: &mut self.sent }))
    }

    fn transmit(&mut self, _: Instant) -> Option<Outgoing<'_>> {
        self.attempts += 1;
        let Self { sender, sent, .. } = self;
        if sender.has_room() { Some(Outgoing { sender: *sender, gso_size: 0, class: 0, sent }) } else { None }
    }

    fn capabilities(&self) -> DeviceCapabilities {
        self.limits.capabilities()
    }
}

/// An arrived frame.
pub(super) struct Incoming<'a>(&'a [u8]);

impl RxToken for Incoming<'_> {
    fn consume<R, F: FnOnce(&[u8]) -> R>(self, take: F) -> R {
        take(self.0)
    }
}

/// Permission to send a frame.
pub(super) struct Outgoing<'a> {
    sender: &'a mut dyn Sender,
    /// Payload bytes of each TCP segment to split the frame into; 0 for a single frame.
    gso_size: u16,
    /// Traffic class of the packet.
    class: u8,
    sent: &'a mut Count,
}

impl TxToken for Outgoing<'_> {
    fn set_meta(&mut self, meta: PacketMeta) {
        self.gso_size = meta.segmentation_offload_size.map_or(0, NonZeroU16::get);
        self.class = meta.traffic_class;
    }

    fn consume<R, F: FnOnce(&mut [u8]) -> R>(self, length: usize, fill: F) -> R {
        let (mut fill, mut result, sent, class) = (Some(fill), None, self.sent, self.class);
        self.sender.send(length, self.gso_size, &mut |frame| {
            result = fill.take().map(|fill| fill(frame));
            if class != 0 {
                frame::set_class(frame, class);
            }
            let count = if frame::asks_for_neighbour(frame) { &mut sent.requests } else { &mut sent.others };
            *count += 1;
        });
        // A frame without room in the device is made all the same, and lost.
        match (result, fill) {
            (Some(result), _) => result,
            (None, Some(fill)) => fill(&mut alloc::vec![0; length]),
            (None, None) => unreachable!("filled without a result"),
        }
    }
}

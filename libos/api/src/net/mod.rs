//! Network devices: Ethernet frames, sent and received in place.
//!
//! ```ignore
//! let mut link = husk::net::Link::open("net")?;
//! loop {
//!     while let Some(frame) = link.receiver.frame() {
//!         if let Some(mut answer) = link.sender.frame() {
//!             answer[..frame.len()].copy_from_slice(&frame);
//!             answer.send(frame.len());
//!         }
//!     }
//!     link.sender.flush();
//!     husk::wait::any(&mut [&mut link], News::empty(), u64::MAX);
//! }
//! ```
//!
//! Both halves can be used at once. Sent frames are published at the latest by [`Sender::flush`] or a wait.

#![expect(unsafe_code, reason = "buffers are shared with the tender: each is the tender's or ours, never both")]

mod buffers;

use crate::device::{self, Error};
use crate::ring::Queue;
use crate::wait::{Source, Watches};
use alloc::vec::Vec;
use buffers::{Buffers, GsoBuffers, descriptor};
use core::ops::{Deref, DerefMut};
use core::ptr::NonNull;
use core::slice;
use husk_abi::device::{DATA_VALID, FRAME_HEADER, GUEST_OFFLOADS, Network, Offers, Offload, RECEIVE, TRANSMIT};
use husk_abi::note::device_kind;
use husk_abi::ring::{Descriptor, status};

/// Number of frames or buffers after which they are published to the tender.
const BATCH: usize = 16;

/// What has gone through a device: frames, and bytes of them.
#[derive(Clone, Copy, Debug, Default, PartialEq, Eq)]
pub struct Counts {
    /// Frames that have arrived.
    pub received: u64,
    /// Bytes that have arrived.
    pub received_bytes: u64,
    /// Frames that were sent; one for all segments that the device makes of it.
    pub sent: u64,
    /// Bytes that were sent.
    pub sent_bytes: u64,
}

/// A network device that this program has opened, for as long as the program runs.
#[derive(Debug)]
pub struct Link {
    /// Sending half.
    pub sender: Sender,
    /// Receiving half.
    pub receiver: Receiver,
    properties: &'static Network,
    offers: Offers,
    /// What has arrived.
    pub(crate) counts: Counts,
}

impl Link {
    /// Opens the network device `name`.
    pub fn open(name: &str) -> Result<Self, Error> {
        Self::with(name, false)
    }

    /// Opens the network device `name` with offload, if it has that ([`Link::offloads`]): arriving frames may then be GSO
    /// frames, or lack their checksum.
    pub fn open_to_offload(name: &str) -> Result<Self, Error> {
        Self::with(name, true)
    }

    fn with(name: &str, offload: bool) -> Result<Self, Error> {
        let device = device::open(name, device_kind::NETWORK)?;
        let properties = device::network(device).ok_or(Error::OtherKind)?;
        let frame = FRAME_HEADER + usize::from(properties.mtu);
        // SAFETY: the queues come from the tender's table, and `device::open` opens a device once only.
        let [sending, receiving] = [TRANSMIT, RECEIVE].map(|index| unsafe { Queue::new(&device.queues[index]) });
        let offers = device::offers(device);
        let offered = offload && offers.contains(Offers::OFFLOAD);
        // Without memory for large buffers, the device is used without offload.
        let gso = if offered { GsoBuffers::new() } else { None };
        let (gso, buffers) = match gso {
            Some(GsoBuffers { to_send, to_receive }) => (Some(to_send), to_receive),
            None => (None, Buffers::new(frame, receiving.entries() as usize)?),
        };
        let detail = if gso.is_some() { GUEST_OFFLOADS } else { 0 };
        let sender = Sender::new(sending, frame, gso)?;
        Ok(Self {
            sender,
            receiver: Receiver::new(receiving, buffers, detail),
            properties,
            offers,
            counts: Counts::default(),
        })
    }

    /// Returns true if frames may be incomplete (checksum and segmentation offload).
    pub const fn offloads(&self) -> bool {
        self.sender.gso.is_some()
    }

    /// Returns true if clients from outside reach published ports only.
    pub const fn is_published(&self) -> bool {
        self.offers.contains(Offers::PUBLISHED)
    }

    /// Returns the device's properties: addresses and MTU.
    pub const fn properties(&self) -> &'static Network {
        self.properties
    }
}

impl Source for Link {
    fn show(&mut self) -> bool {
        self.sender.show() | self.receiver.show()
    }

    fn ready(&mut self) -> bool {
        self.receiver.ready() || self.sender.stuck() && self.sender.queue.has_completion()
    }

    fn watch(&self, watches: &mut Watches) {
        self.sender.queue.watch_beat(watches);
        self.receiver.queue.watch(watches);
        if self.sender.stuck() {
            self.sender.queue.watch(watches);
        }
    }

    fn sleep(&mut self) -> bool {
        self.sender.flush();
        self.receiver.flush();
        // A sender with a free buffer waits for nothing.
        self.receiver.queue.sleep() && (!self.sender.stuck() || self.sender.queue.sleep())
    }
}

/// Sending half of a network device.
#[derive(Debug)]
pub struct Sender {
    queue: Queue,
    buffers: Buffers,
    /// Indices of free buffers; the last one was used most recently, and is likely to be in the cache.
    free: Vec<u16>,
    /// Buffers for GSO frames, if the device takes these. Their tokens follow those of the others.
    gso: Option<Buffers>,
    gso_free: Vec<u16>,
    unpublished: usize,
    /// Frames that were sent, and bytes of them.
    pub(crate) counts: (u64, u64),
}

impl Sender {
    fn new(queue: Queue, frame: usize, gso: Option<Buffers>) -> Result<Self, Error> {
        let free = |buffers: &Buffers| (0..buffers.count as u16).rev().collect();
        let gso_free: Vec<u16> = gso.as_ref().map_or_else(Vec::new, free);
        // Every buffer has a place in the queue.
        let buffers = Buffers::new(frame, queue.entries() as usize - gso_free.len())?;
        Ok(Self { free: free(&buffers), queue, buffers, gso, gso_free, unpublished: 0, counts: (0, 0) })
    }

    /// Returns true if there is a buffer for a frame.
    pub fn has_room(&mut self) -> bool {
        self.reclaim();
        !self.stuck()
    }

    /// Returns an uninitialised frame to be filled, of the device's maximum length; `None` while all buffers are under way.
    pub fn frame(&mut self) -> Option<Outgoing<'_>> {
        self.reclaim();
        let index = usize::from(self.free.pop()?);
        let (start, length) = (self.buffers.at(index), self.buffers.frame);
        Some(Outgoing { sender: self, index, start, length })
    }

    /// Returns a GSO frame to be filled; only a device that [offloads](Link::offloads) takes it.
    pub fn gso_frame(&mut self) -> Option<Outgoing<'_>> {
        self.reclaim();
        let gso = self.gso.as_ref()?;
        let index = usize::from(self.gso_free.pop()?);
        let (start, length, index) = (gso.at(index), gso.frame, self.buffers.count + index);
        Some(Outgoing { sender: self, index, start, length })
    }

    /// Returns true if frames may be incomplete (checksum and segmentation offload).
    pub const fn offloads(&self) -> bool {
        self.gso.is_some()
    }

    /// Returns true if no buffer of one of the kinds is free.
    fn stuck(&self) -> bool {
        self.free.is_empty() || self.gso.is_some() && self.gso_free.is_empty()
    }

    /// Frees a buffer, by its token.
    fn release(&mut self, token: usize) {
        match token.checked_sub(self.buffers.count) {
            None => self.free.push(token as u16),
            Some(index) => self.gso_free.push(index as u16),
        }
    }

    /// Frees the buffers that have been sent, if buffers are needed.
    fn reclaim(&mut self) {
        if !self.stuck() {
            return;
        }
        self.flush();
        self.take_back();
    }

    fn take_back(&mut self) {
        while let Some(completion) = self.queue.complete() {
            self.release(completion.token as usize);
        }
    }

    /// Returns true if all sent frames have been completed.
    pub fn is_done(&mut self) -> bool {
        self.flush();
        self.take_back();
        let gso = self.gso.as_ref().map_or(0, |gso| gso.count);
        self.free.len() == self.buffers.count && self.gso_free.len() == gso
    }

    /// Publishes the sent frames, and wakes the tender if it asked for that.
    pub fn flush(&mut self) {
        if self.show() {
            device::ring_doorbell();
        }
    }

    /// Publishes the sent frames. Returns true if the tender must be woken for them.
    fn show(&mut self) -> bool {
        self.unpublished = 0;
        self.queue.show()
    }
}

/// A frame in preparation: a slice of bytes. Its buffer is freed unless it is sent.
#[derive(Debug)]
pub struct Outgoing<'a> {
    sender: &'a mut Sender,
    /// Token of the buffer.
    index: usize,
    start: NonNull<u8>,
    length: usize,
}

impl Outgoing<'_> {
    /// Sends the first `length` bytes, from the Ethernet header on.
    ///
    /// # Panics
    ///
    /// If the frame is not that long.
    pub fn send(self, length: usize) {
        self.send_offloaded(length, Offload::default());
    }

    /// Sends the first `length` bytes of an incomplete frame, which the device completes as `offload` describes; only a device
    /// that [offloads](Link::offloads) takes it.
    ///
    /// # Panics
    ///
    /// If the frame is not that long.
    pub fn send_offloaded(self, length: usize, offload: Offload) {
        assert!(length <= self.len(), "a frame has at most {} bytes", self.len());
        let part = Descriptor { detail: offload.encode(), ..descriptor(self.start, self.index, length) };
        // SAFETY: the buffer was taken out of the free list, and returns there by its completion only.
        let submitted = length > 0 && unsafe { self.sender.queue.submit(&[part]) };
        if submitted {
            self.sender.unpublished += 1;
            self.sender.counts = (self.sender.counts.0 + 1, self.sender.counts.1 + length as u64);
            if self.sender.unpublished >= BATCH {
                self.sender.flush();
            }
            core::mem::forget(self);
        }
    }
}

impl Drop for Outgoing<'_> {
    fn drop(&mut self) {
        self.sender.release(self.index);
    }
}

impl Deref for Outgoing<'_> {
    type Target = [u8];

    fn deref(&self) -> &[u8] {
        // SAFETY: the buffer is the guest's until it is sent, `length` bytes long, and initialized by `Buffers::new`.
        unsafe { slice::from_raw_parts(self.start.as_ptr(), self.length) }
    }
}

impl DerefMut for Outgoing<'_> {
    fn deref_mut(&mut self) -> &mut [u8] {
        // SAFETY: the buffer is the guest's until it is sent, `length` bytes long, and this is its only handle.
        unsafe { slice::from_raw_parts_mut(self.start.as_ptr(), self.length) }
    }
}

/// Receiving half of a network device.
#[derive(Debug)]
pub struct Receiver {
    queue: Queue,
    buffers: Buffers,
    /// Detail of each receive descriptor.
    detail: u64,
    unpublished: usize,
}

impl Receiver {
    fn new(queue: Queue, buffers: Buffers, detail: u64) -> Self {
        let count = buffers.count.min(queue.entries() as usize);
        let mut receiver = Self { queue, buffers, detail, unpublished: 0 };
        (0..count).for_each(|index| receiver.submit(index));
        receiver.flush();
        receiver
    }

    /// Returns the next frame that has arrived.
    pub fn frame(&mut self) -> Option<Incoming<'_>> {
        loop {
            let completion = self.queue.complete()?;
            let index = completion.token as usize;
            if completion.status == status::DONE {
                let start = self.buffers.at(index);
                let length = (completion.length as usize).min(self.buffers.frame);
                let checked = completion.flags & DATA_VALID != 0;
                return Some(Incoming { receiver: self, index, start, length, checked });
            }
            self.submit(index);
        }
    }

    /// Returns true if a frame has arrived.
    #[inline]
    pub fn ready(&mut self) -> bool {
        self.queue.has_completion()
    }

    /// Submits an empty receive buffer.
    fn submit(&mut self, index: usize) {
        let part = descriptor(self.buffers.at(index), index, self.buffers.frame);
        let part = Descriptor { detail: self.detail, ..part };
        // SAFETY: the caller gives up the buffer with this call; there is room, because the buffer had a place in the queue
        // before.
        let submitted = unsafe { self.queue.submit(&[part]) };
        debug_assert!(submitted, "there are no more buffers than entries");
        self.unpublished += 1;
        if self.unpublished >= BATCH {
            self.flush();
        }
    }

    fn flush(&mut self) {
        if self.show() {
            device::ring_doorbell();
        }
    }

    fn show(&mut self) -> bool {
        self.unpublished = 0;
        self.queue.show()
    }
}

/// An arrived frame: a slice of bytes, from the Ethernet header on.
#[derive(Debug)]
pub struct Incoming<'a> {
    receiver: &'a mut Receiver,
    index: usize,
    start: NonNull<u8>,
    length: usize,
    checked: bool,
}

impl Incoming<'_> {
    /// Returns true if the checksum of the segment or datagram needs no verification (DATA_VALID); only devices that
    /// [offload](Link::offloads) report it.
    pub const fn is_checked(&self) -> bool {
        self.checked
    }
}

impl Drop for Incoming<'_> {
    fn drop(&mut self) {
        self.receiver.submit(self.index);
    }
}

impl Deref for Incoming<'_> {
    type Target = [u8];

    fn deref(&self) -> &[u8] {
        // SAFETY: the tender has filled `length` bytes of the buffer, which is the guest's until it is submitted again.
        unsafe { slice::from_raw_parts(self.start.as_ptr(), self.length) }
    }
}

impl DerefMut for Incoming<'_> {
    fn deref_mut(&mut self) -> &mut [u8] {
        // SAFETY: the buffer is the guest's until it is submitted again, and this is its only handle.
        unsafe { slice::from_raw_parts_mut(self.start.as_ptr(), self.length) }
    }
}

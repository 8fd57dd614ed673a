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
//! Both halves can be used at once. What is sent goes out at the latest with [`Sender::flush`] or a wait.

#![expect(unsafe_code, reason = "buffers are shared with the tender: each is the tender's or ours, never both")]

mod buffers;

use crate::device::{self, Error};
use crate::ring::Queue;
use crate::wait::Source;
use alloc::vec::Vec;
use buffers::{Buffers, Rows, descriptor};
use core::ops::{Deref, DerefMut};
use core::ptr::NonNull;
use core::slice;
use husk_abi::device::{CHECKED, FRAME_HEADER, Network, Offers, Offload, RECEIVE, TRANSMIT, UNFINISHED};
use husk_abi::note::device_kind;
use husk_abi::ring::{Descriptor, status};

/// So many frames or buffers are shown to the tender at once, if there are as many.
const BATCH: usize = 16;

/// A network device that this program has opened. It is open as long as the program runs.
#[derive(Debug)]
pub struct Link {
    /// What frames are sent by.
    pub sender: Sender,
    /// What frames are received by.
    pub receiver: Receiver,
    properties: &'static Network,
}

impl Link {
    /// Opens the network device `name`.
    pub fn open(name: &str) -> Result<Self, Error> {
        Self::with(name, false)
    }

    /// The same for a stack of TCP/IP that leaves work to the device, if it offers that ([`Link::offloads`]): then frames
    /// that arrive may be rows of TCP segments, or lack their checksum.
    pub fn open_to_offload(name: &str) -> Result<Self, Error> {
        Self::with(name, true)
    }

    fn with(name: &str, offload: bool) -> Result<Self, Error> {
        let device = device::open(name, device_kind::NETWORK)?;
        let properties = device::network(device).ok_or(Error::OtherKind)?;
        let frame = FRAME_HEADER + usize::from(properties.mtu);
        // SAFETY: the tender told of both, and `device::open` gives a device to one caller only.
        let [sending, receiving] = [TRANSMIT, RECEIVE].map(|index| unsafe { Queue::new(&device.queues[index]) });
        let offered = offload && device::offers(device).contains(Offers::OFFLOAD);
        // Without memory for that, the device is as others are.
        let rows = if offered { Rows::new() } else { None };
        let (rows, buffers) = match rows {
            Some(Rows { to_send, to_receive }) => (Some(to_send), to_receive),
            None => (None, Buffers::new(frame, receiving.entries() as usize)?),
        };
        let detail = if rows.is_some() { UNFINISHED } else { 0 };
        let sender = Sender::new(sending, frame, rows)?;
        Ok(Self { sender, receiver: Receiver::new(receiving, buffers, detail), properties })
    }

    /// Whether frames may be unfinished.
    pub const fn offloads(&self) -> bool {
        self.sender.rows.is_some()
    }

    /// What there is to know about it: addresses and MTU.
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

    fn beat(&mut self) -> u32 {
        self.sender.queue.beat()
    }

    fn sleep(&mut self) -> bool {
        self.sender.flush();
        self.receiver.flush();
        // A sender with a free buffer has nothing to wait for.
        self.receiver.queue.sleep() && (!self.sender.stuck() || self.sender.queue.sleep())
    }
}

/// The half that sends.
#[derive(Debug)]
pub struct Sender {
    queue: Queue,
    buffers: Buffers,
    /// Buffers that are ours; the last one was used last, and is likely to be in the cache.
    free: Vec<u16>,
    /// The same for rows of TCP segments, if the device takes these. Their tokens come after those of the others.
    rows: Option<Buffers>,
    free_rows: Vec<u16>,
    unpublished: usize,
}

impl Sender {
    fn new(queue: Queue, frame: usize, rows: Option<Buffers>) -> Result<Self, Error> {
        let free = |buffers: &Buffers| (0..buffers.count as u16).rev().collect();
        let free_rows: Vec<u16> = rows.as_ref().map_or_else(Vec::new, free);
        // Whoever has a buffer has room in the queue.
        let buffers = Buffers::new(frame, queue.entries() as usize - free_rows.len())?;
        Ok(Self { free: free(&buffers), queue, buffers, rows, free_rows, unpublished: 0 })
    }

    /// Whether there is a buffer for a frame.
    pub fn has_room(&mut self) -> bool {
        self.reclaim();
        !self.stuck()
    }

    /// A frame to be filled, as long as the device takes at most, with anything in it; nothing as long as all buffers
    /// are on their way.
    pub fn frame(&mut self) -> Option<Outgoing<'_>> {
        self.reclaim();
        let index = usize::from(self.free.pop()?);
        let (start, length) = (self.buffers.at(index), self.buffers.frame);
        Some(Outgoing { sender: self, index, start, length })
    }

    /// The same for a row of TCP segments, which only a device that [offloads](Link::offloads) takes.
    pub fn row(&mut self) -> Option<Outgoing<'_>> {
        self.reclaim();
        let rows = self.rows.as_ref()?;
        let index = usize::from(self.free_rows.pop()?);
        let (start, length, index) = (rows.at(index), rows.frame, self.buffers.count + index);
        Some(Outgoing { sender: self, index, start, length })
    }

    /// Whether frames may be unfinished.
    pub const fn offloads(&self) -> bool {
        self.rows.is_some()
    }

    /// Whether there is no buffer to be filled, of one kind or the other.
    fn stuck(&self) -> bool {
        self.free.is_empty() || self.rows.is_some() && self.free_rows.is_empty()
    }

    /// Takes a buffer back, by its token.
    fn release(&mut self, token: usize) {
        match token.checked_sub(self.buffers.count) {
            None => self.free.push(token as u16),
            Some(index) => self.free_rows.push(index as u16),
        }
    }

    /// Takes back the buffers that have been sent, if they are needed.
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

    /// Whether everything that was sent has gone out.
    pub fn is_done(&mut self) -> bool {
        self.flush();
        self.take_back();
        let rows = self.rows.as_ref().map_or(0, |rows| rows.count);
        self.free.len() == self.buffers.count && self.free_rows.len() == rows
    }

    /// Lets go out what has been sent.
    pub fn flush(&mut self) {
        if self.show() {
            device::ring_doorbell();
        }
    }

    /// Shows the tender what is to be sent. Whether it must be woken for that.
    fn show(&mut self) -> bool {
        self.unpublished = 0;
        self.queue.show()
    }
}

/// A frame that is being made: a slice of bytes. It is given up unless it is sent.
#[derive(Debug)]
pub struct Outgoing<'a> {
    sender: &'a mut Sender,
    /// Its token.
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
        self.send_unfinished(length, Offload::default());
    }

    /// The same for a frame that lacks something, which only a device that [offloads](Link::offloads) takes.
    ///
    /// # Panics
    ///
    /// If the frame is not that long.
    pub fn send_unfinished(self, length: usize, lacks: Offload) {
        assert!(length <= self.len(), "a frame has at most {} bytes", self.len());
        let part = Descriptor { detail: lacks.encode(), ..descriptor(self.start, self.index, length) };
        // SAFETY: the buffer is not in the list of those that are ours, and comes there only by its completion.
        let submitted = length > 0 && unsafe { self.sender.queue.submit(&[part]) };
        if submitted {
            self.sender.unpublished += 1;
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
        // SAFETY: the buffer is ours until it is sent, as long, and initialized.
        unsafe { slice::from_raw_parts(self.start.as_ptr(), self.length) }
    }
}

impl DerefMut for Outgoing<'_> {
    fn deref_mut(&mut self) -> &mut [u8] {
        // SAFETY: as above.
        unsafe { slice::from_raw_parts_mut(self.start.as_ptr(), self.length) }
    }
}

/// The half that receives.
#[derive(Debug)]
pub struct Receiver {
    queue: Queue,
    buffers: Buffers,
    /// What to say of a buffer.
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

    /// The next frame that has arrived.
    pub fn frame(&mut self) -> Option<Incoming<'_>> {
        loop {
            let completion = self.queue.complete()?;
            let index = completion.token as usize;
            if completion.status == status::DONE {
                let start = self.buffers.at(index);
                let length = (completion.length as usize).min(self.buffers.frame);
                let checked = completion.flags & CHECKED != 0;
                return Some(Incoming { receiver: self, index, start, length, checked });
            }
            self.submit(index);
        }
    }

    /// Whether a frame has arrived.
    #[inline]
    pub fn ready(&mut self) -> bool {
        self.queue.has_completion()
    }

    /// Gives the tender a buffer to be filled.
    fn submit(&mut self, index: usize) {
        let part = descriptor(self.buffers.at(index), index, self.buffers.frame);
        let part = Descriptor { detail: self.detail, ..part };
        // SAFETY: whoever has the buffer gives it up with this; there is room, for it was under way before.
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

/// A frame that has arrived: a slice of bytes, from the Ethernet header on.
#[derive(Debug)]
pub struct Incoming<'a> {
    receiver: &'a mut Receiver,
    index: usize,
    start: NonNull<u8>,
    length: usize,
    checked: bool,
}

impl Incoming<'_> {
    /// Whether the checksum of the segment or datagram in it need not be looked at, which only devices tell that
    /// [offload](Link::offloads).
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
        // SAFETY: the tender has filled so much of the buffer, which is ours until it is submitted again.
        unsafe { slice::from_raw_parts(self.start.as_ptr(), self.length) }
    }
}

impl DerefMut for Incoming<'_> {
    fn deref_mut(&mut self) -> &mut [u8] {
        // SAFETY: as above.
        unsafe { slice::from_raw_parts_mut(self.start.as_ptr(), self.length) }
    }
}

//! State that an [`Internet`](super::Internet) shares with its sockets: the link and the sockets on it.

use super::sockets::Sockets;
use super::stack::Stack;
use crate::net::Link;
use crate::wait::{Source, Watches};
use alloc::vec::Vec;
use core::net::IpAddr;
use husk_abi::boot::Info;

/// Frames that are processed before the program runs again.
const BATCH: usize = 256;
/// A link with all its sockets.
#[derive(Debug)]
pub struct Host {
    link: Link,
    sockets: Sockets,
    /// True if frames may have been sent that are not published to the tender.
    unflushed: bool,
}

impl Host {
    pub fn new(mut link: Link, now: u64) -> Self {
        let network = *link.properties();
        let seed = seed(crate::boot::info());
        let stack = Stack::new(&mut link, &network, seed, now);
        Self { link, sockets: Sockets::new(stack, seed), unflushed: true }
    }

    pub fn addresses(&self) -> Vec<(IpAddr, u8)> {
        let addresses = self.sockets.stack.interface.ip_addrs().iter();
        addresses.map(|cidr| (cidr.address().into(), cidr.prefix_len())).collect()
    }

    pub fn is_asking(&self) -> bool {
        self.sockets.stack.is_asking()
    }

    pub fn name_servers(&self) -> Vec<IpAddr> {
        self.sockets.stack.name_servers().to_vec()
    }

    /// Returns the time of the next timer, as a monotonic time in nanoseconds.
    pub fn deadline_ns(&self) -> u64 {
        self.sockets.stack.deadline().unwrap_or(u64::MAX)
    }

    /// Returns true if an event has occurred since the last query.
    pub fn has_news(&mut self) -> bool {
        self.sockets.have_news()
    }

    pub fn sleep(&mut self) -> bool {
        self.link.sleep()
    }

    /// Adds the words that change when the tender has worked for the link.
    pub fn watch(&self, watches: &mut Watches) {
        self.link.watch(watches);
    }

    /// Processes arrived frames and expired timers.
    pub fn work(&mut self, now: u64) {
        if self.link.ready() || self.deadline_ns() <= now {
            self.meet(now);
        } else if !self.unflushed {
            return;
        }
        self.unflushed = false;
        self.link.sender.flush();
    }

    fn meet(&mut self, now: u64) {
        let Self { link, sockets, .. } = self;
        let mut touched = None;
        for _ in 0..BATCH {
            let Some(frame) = link.receiver.frame() else { break };
            let next = sockets.arrive(&frame, &mut link.sender, now);
            // A connection answers once the batch has no more frames in a row for it.
            if let Some(slot) = touched.filter(|slot| Some(*slot) != next) {
                sockets.poll_socket(&mut link.sender, slot, now, false);
            }
            touched = next;
        }
        if let Some(slot) = touched {
            sockets.poll_socket(&mut link.sender, slot, now, false);
        }
        sockets.keep_appointments(&mut link.sender, now);
    }

    /// Lets a socket send; the frames are published with the next wait.
    pub fn flush_socket(&mut self, slot: usize, now: u64) {
        self.unflushed = true;
        self.sockets.poll_socket(&mut self.link.sender, slot, now, false);
    }

    /// Returns true if the peers have acknowledged all sent data.
    pub fn is_settled(&mut self) -> bool {
        self.sockets.are_settled() && self.link.sender.is_done()
    }

    pub fn sockets(&mut self) -> &mut Sockets {
        &mut self.sockets
    }
}

/// Returns a secret random number.
fn seed(info: &Info) -> u64 {
    info.entropy.first_chunk().map_or(0, |bytes| u64::from_ne_bytes(*bytes))
}

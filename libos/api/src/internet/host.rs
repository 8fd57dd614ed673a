//! What an [`Internet`](super::Internet) and its sockets share: the link, and what is on it.

use super::sockets::Sockets;
use super::stack::Stack;
use crate::net::Link;
use crate::wait::Source;
use alloc::vec::Vec;
use core::net::IpAddr;
use husk_abi::boot::Info;

/// Frames that are taken before the program has its turn.
const BATCH: usize = 256;
/// A link with all its sockets.
#[derive(Debug)]
pub struct Host {
    link: Link,
    sockets: Sockets,
    /// Something may have been sent that the tender does not know of yet.
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

    /// When there is something to do in any case, as a monotonic time in nanoseconds.
    pub fn deadline_ns(&self) -> u64 {
        self.sockets.stack.deadline().unwrap_or(u64::MAX)
    }

    /// Whether something has happened since this was asked last.
    pub fn has_news(&mut self) -> bool {
        self.sockets.have_news()
    }

    pub fn sleep(&mut self) -> bool {
        self.link.sleep()
    }

    /// A word that changes while the tender runs ([`Source::beat`]).
    pub fn beat(&mut self) -> u32 {
        self.link.beat()
    }

    /// Takes frames that have arrived, and does what is to be done by now.
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
            // A connection answers when there is nothing more for it.
            if let Some(slot) = touched.filter(|slot| Some(*slot) != next) {
                sockets.look_after(&mut link.sender, slot, now, false);
            }
            touched = next;
        }
        if let Some(slot) = touched {
            sockets.look_after(&mut link.sender, slot, now, false);
        }
        sockets.keep_appointments(&mut link.sender, now);
    }

    /// Lets a socket send, and what it has sent go out with the next wait.
    pub fn nudge(&mut self, slot: usize, now: u64) {
        self.unflushed = true;
        self.sockets.look_after(&mut self.link.sender, slot, now, false);
    }

    /// Whether everything that was sent has been taken by the other side.
    pub fn is_settled(&mut self) -> bool {
        self.sockets.are_settled() && self.link.sender.is_done()
    }

    pub fn sockets(&mut self) -> &mut Sockets {
        &mut self.sockets
    }
}

/// A number that others do not know.
fn seed(info: &Info) -> u64 {
    info.entropy.first_chunk().map_or(0, |bytes| u64::from_ne_bytes(*bytes))
}

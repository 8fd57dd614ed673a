//! Thread of a folder, for requests that may wait long for the host: meanwhile the other devices are served, and the guest runs.
//!
//! The device hands its [`Order`] over, and takes no request until it has the order back, so that requests are carried out one
//! after the other as by the device itself.

use super::order::Order;
use crate::confine::{Descriptors, Role};
use std::io;
use std::os::fd::{AsRawFd, RawFd};
use std::sync::atomic::AtomicBool;
use std::sync::atomic::Ordering::{Acquire, Release};
use std::sync::{Condvar, Mutex, MutexGuard, PoisonError};
use vmm_sys_util::eventfd::{EFD_NONBLOCK, EventFd};

/// Place at which the device and the thread exchange the order.
#[derive(Debug)]
pub struct Worker {
    /// An order to be carried out, or one that was, if `is_done`.
    order: Mutex<Option<Box<Order>>>,
    given: Condvar,
    /// Changed with the lock held.
    is_done: AtomicBool,
    /// Readable while an order is done.
    done: EventFd,
}

impl Worker {
    /// Returns the place, for a thread that is yet to be started.
    pub fn new() -> io::Result<Self> {
        let done = EventFd::new(EFD_NONBLOCK)?;
        Ok(Self { order: Mutex::default(), given: Condvar::new(), is_done: AtomicBool::new(false), done })
    }

    /// Hands an order to the thread.
    pub fn give(&self, order: Box<Order>) {
        *self.lock() = Some(order);
        self.given.notify_one();
    }

    /// Returns the order, if it is done.
    #[inline]
    pub fn take_back(&self) -> Option<Box<Order>> {
        if !self.is_done.load(Acquire) {
            return None;
        }
        let mut order = self.lock();
        self.is_done.store(false, Release);
        // The read cannot fail, because the thread has written.
        let _ = self.done.read();
        order.take()
    }

    /// Body of the thread.
    pub fn run(&self) {
        loop {
            let is_none = |order: &mut Option<Box<Order>>| order.is_none() || self.is_done.load(Acquire);
            let order = self.given.wait_while(self.lock(), is_none).unwrap_or_else(PoisonError::into_inner).take();
            let Some(mut order) = order else { continue };
            order.carry_out();
            let mut place = self.lock();
            *place = Some(order);
            // The write cannot fail, because the device has read what was written before.
            let _ = self.done.write(1);
            self.is_done.store(true, Release);
        }
    }

    /// Descriptor that is readable once the order is done.
    pub fn file(&self) -> RawFd {
        self.done.as_raw_fd()
    }

    /// Adds the eventfd to `descriptors`.
    pub fn list(&self, descriptors: &mut Descriptors) {
        descriptors.add(Role::Bell, &self.done);
    }

    fn lock(&self) -> MutexGuard<'_, Option<Box<Order>>> {
        self.order.lock().unwrap_or_else(PoisonError::into_inner)
    }
}

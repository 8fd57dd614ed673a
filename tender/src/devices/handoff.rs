//! Ownership of the devices: the vCPU thread serves them while its guest waits, a device thread while the guest runs.
//!
//! The thread that holds the lock serves. The vCPU thread holds it for as long as the guest waits, and releases it without a
//! wake-up, because most guests wait again soon. So the device thread sleeps for a moment at a time (idle wait), and serves
//! when the guest has run for longer than that. The device thread blocks indefinitely only if the vCPU thread owns the devices
//! or the doorbell is armed. A guest that waits does not ring the doorbell, so a wait must wake the device thread: the device
//! thread sets `asleep` before it checks once more that the devices have not changed hands, and the vCPU thread gives the
//! devices back before it checks `asleep`. A full fence lies between the two steps of each (store buffering), so at least one
//! of them sees what the other did: no guest runs without a thread to serve its devices.
//!
//! A third thread pauses the devices ([`super::pause`]). It closes them before it takes the lock; the other two look under the
//! lock whether they are closed, and then leave them alone. The device thread sleeps until the doorbell rings, which it does
//! after the devices have been opened again.
//!
//! `tests/handoff_model.rs` runs this very file in a model checker.

use super::sync::{AtomicBool, AtomicU32, Mutex, MutexGuard, Ordering::*, fence};
use std::sync::{PoisonError, TryLockError};

/// The devices, `T`, and the state of their ownership.
#[derive(Debug)]
pub struct Handoff<T> {
    devices: Mutex<T>,
    /// Number of times the vCPU thread has taken the devices or given them back: odd while it has them.
    epoch: AtomicU32,
    /// The device thread sleeps until it is woken.
    asleep: AtomicBool,
    /// The devices are paused, or about to be.
    closed: AtomicBool,
}

impl<T> Handoff<T> {
    /// Returns the handoff of devices that no thread serves yet.
    pub fn new(devices: T) -> Self {
        Self {
            devices: Mutex::new(devices),
            epoch: AtomicU32::new(0),
            asleep: AtomicBool::new(false),
            closed: AtomicBool::new(false),
        }
    }

    /// For the vCPU thread: takes the devices, once another thread has released the lock. If they are closed, they are only to
    /// be given back.
    pub fn take(&self) -> MutexGuard<'_, T> {
        self.epoch.fetch_add(1, Relaxed);
        self.lock()
    }

    /// For the vCPU thread: gives the devices back. Returns true if the device thread must be woken.
    #[must_use]
    pub fn give_back(&self, devices: MutexGuard<'_, T>) -> bool {
        drop(devices);
        self.epoch.fetch_add(1, Relaxed);
        fence(SeqCst);
        self.asleep.load(Relaxed) && self.asleep.swap(false, Relaxed)
    }

    /// For the device thread: number of changes of ownership. The device thread has missed nothing while it stays equal.
    pub fn epoch(&self) -> u32 {
        self.epoch.load(Relaxed)
    }

    /// Returns true if, in this epoch, the vCPU thread has the devices or is about to take them.
    pub const fn vcpu_owns(epoch: u32) -> bool {
        epoch % 2 == 1
    }

    /// For the device thread: the devices, unless they are closed, or the vCPU thread has them or is about to take them.
    pub fn devices(&self) -> Option<MutexGuard<'_, T>> {
        let devices = (!Self::vcpu_owns(self.epoch())).then(|| self.lock());
        // Only under the lock, because they may be closed while this thread waits for it.
        devices.filter(|_| !self.is_closed())
    }

    /// For the device thread: returns true if it may sleep until it is woken, because the epoch is still `epoch`.
    #[must_use]
    pub fn sleep(&self, epoch: u32) -> bool {
        // An exchange, like every change of `asleep`: the model checker would let a store come between the halves of an
        // exchange.
        self.asleep.swap(true, Relaxed);
        fence(SeqCst);
        let stays = self.epoch() == epoch;
        if !stays {
            self.wake();
        }
        stays
    }

    /// For the device thread: clears `asleep`.
    pub fn wake(&self) {
        self.asleep.swap(false, Relaxed);
    }

    /// For a thread that pauses, of which there is one: has the other two leave the devices alone once they have released the
    /// lock.
    pub fn close(&self) {
        self.closed.store(true, Relaxed);
    }

    /// For the thread that closed the devices: lets the others use them again. The device thread must be woken.
    pub fn open(&self) {
        self.closed.store(false, Relaxed);
    }

    /// Returns true if the devices are closed; stays true for a thread that has the lock, unless it is the one that closed them.
    pub fn is_closed(&self) -> bool {
        self.closed.load(Relaxed)
    }

    /// For the thread that closed the devices: takes the lock, unless another thread has it.
    pub fn try_lock(&self) -> Option<MutexGuard<'_, T>> {
        match self.devices.try_lock() {
            Ok(devices) => Some(devices),
            Err(TryLockError::Poisoned(poisoned)) => Some(poisoned.into_inner()),
            Err(TryLockError::WouldBlock) => None,
        }
    }

    /// Takes the lock, for a thread that has closed the devices; or for one of the other two, which look whether they are closed.
    pub fn lock(&self) -> MutexGuard<'_, T> {
        self.devices.lock().unwrap_or_else(PoisonError::into_inner)
    }
}

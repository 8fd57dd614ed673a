//! Who serves the devices: the processor's thread while its guest waits, a thread of their own while it runs.
//!
//! Whoever has the lock serves. The processor's thread has it for as long as the guest waits, and gives it back without a
//! word, as most guests wait again soon. So the other thread naps for a moment at a time, and takes part when the guest
//! has run for longer than a nap. It sleeps without an end only while the guest waits, or when it has asked the guest to ring:
//! what the guest then does when it waits, it does not ring for. So this thread says that it sleeps before it looks once more
//! whether the devices have changed hands. Who gives the devices back has done so before it looks whether the other thread said
//! so. Between the two steps of each lies a full fence, so at least one of them sees what the other did: no guest runs
//! with nobody to look after its devices.
//!
//! `tests/relay_model.rs` runs this very file in a model checker.

use super::sync::{AtomicBool, AtomicU32, Mutex, MutexGuard, Ordering::*, fence};
use std::sync::PoisonError;

/// The devices, `T`, and who has them.
#[derive(Debug)]
pub struct Relay<T> {
    devices: Mutex<T>,
    /// How often the processor's thread has taken the devices or given them back: odd while it has them.
    changes: AtomicU32,
    /// The other thread sleeps until it is woken.
    asleep: AtomicBool,
}

impl<T> Relay<T> {
    /// Devices that nobody serves yet.
    pub fn new(devices: T) -> Self {
        Self { devices: Mutex::new(devices), changes: AtomicU32::new(0), asleep: AtomicBool::new(false) }
    }

    /// For the processor's thread: takes the devices, once the other thread has done what it is about.
    pub fn take(&self) -> MutexGuard<'_, T> {
        self.changes.fetch_add(1, Relaxed);
        self.lock()
    }

    /// For the processor's thread: gives the devices back. Whether the other thread must be woken.
    #[must_use]
    pub fn give_back(&self, devices: MutexGuard<'_, T>) -> bool {
        drop(devices);
        self.changes.fetch_add(1, Relaxed);
        fence(SeqCst);
        self.asleep.load(Relaxed) && self.asleep.swap(false, Relaxed)
    }

    /// For the other thread: how often the devices have changed hands. It has not missed anything while that stays.
    pub fn changes(&self) -> u32 {
        self.changes.load(Relaxed)
    }

    /// Whether the processor's thread has the devices, or is about to, after so many changes.
    pub const fn are_taken(changes: u32) -> bool {
        changes % 2 == 1
    }

    /// For the other thread: the devices, unless the processor's thread has them or is about to.
    pub fn devices(&self) -> Option<MutexGuard<'_, T>> {
        (!Self::are_taken(self.changes())).then(|| self.lock())
    }

    /// For the other thread: whether it may sleep until it is woken, as the devices have not changed hands since there
    /// were so many changes.
    #[must_use]
    pub fn sleep(&self, changes: u32) -> bool {
        // By an exchange, as every change of it: the model checker does not know that none can come between its two halves.
        self.asleep.swap(true, Relaxed);
        fence(SeqCst);
        let stays = self.changes() == changes;
        if !stays {
            self.wake();
        }
        stays
    }

    /// For the other thread: it does not sleep any more.
    pub fn wake(&self) {
        self.asleep.swap(false, Relaxed);
    }

    fn lock(&self) -> MutexGuard<'_, T> {
        self.devices.lock().unwrap_or_else(PoisonError::into_inner)
    }
}

//! A mutex that sleeps by futex(2): a blocked thread leaves the processor to the one that holds the lock.

#![expect(unsafe_code, reason = "shares what it locks")]

use crate::kernel;
use core::cell::UnsafeCell;
use core::ops::{Deref, DerefMut};
use core::sync::atomic::{AtomicU32, Ordering};

const FREE: u32 = 0;
const HELD: u32 = 1;
/// Held, and threads may be waiting.
const WANTED: u32 = 2;

/// A value that one thread accesses at a time.
pub struct Lock<T> {
    state: AtomicU32,
    value: UnsafeCell<T>,
}

// SAFETY: the lock gives the value to one thread at a time, and `T: Send` allows it to move between threads.
unsafe impl<T: Send> Sync for Lock<T> {}

impl<T> Lock<T> {
    /// Returns an unlocked lock.
    pub const fn new(value: T) -> Self {
        Self { state: AtomicU32::new(FREE), value: UnsafeCell::new(value) }
    }

    /// Blocks until the lock is free, and takes it.
    pub fn lock(&self) -> Held<'_, T> {
        if self.state.compare_exchange(FREE, HELD, Ordering::Acquire, Ordering::Relaxed).is_err() {
            self.wait();
        }
        Held(self)
    }

    #[cold]
    fn wait(&self) {
        while self.state.swap(WANTED, Ordering::Acquire) != FREE {
            kernel::sleep_while(&self.state, WANTED);
        }
    }
}

/// Guard of a held lock; dropping it releases the lock.
pub struct Held<'l, T>(&'l Lock<T>);

impl<T> Deref for Held<'_, T> {
    type Target = T;

    fn deref(&self) -> &T {
        // SAFETY: a `Held` exists only while its thread holds the lock.
        unsafe { &*self.0.value.get() }
    }
}

impl<T> DerefMut for Held<'_, T> {
    fn deref_mut(&mut self) -> &mut T {
        // SAFETY: a `Held` exists only while its thread holds the lock.
        unsafe { &mut *self.0.value.get() }
    }
}

impl<T> Drop for Held<'_, T> {
    fn drop(&mut self) {
        if self.0.state.swap(FREE, Ordering::Release) == WANTED {
            kernel::wake_one(&self.0.state);
        }
    }
}

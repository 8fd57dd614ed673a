//! Handoff of the devices between two threads, in a model checker (loom), which explores all interleavings of the two.
//!
//! A guest that runs while no thread serves its devices is a deadlock, which the model finds.

use loom::sync::{Arc, Condvar};
use loom::thread;

/// Types that the file below is made of: loom's, in place of the standard library's in the tender.
mod sync {
    pub use loom::sync::atomic::{AtomicBool, AtomicU32, Ordering, fence};
    pub use loom::sync::{Mutex, MutexGuard};
}

#[path = "../src/devices/handoff.rs"]
mod handoff;

use handoff::Handoff;

/// The doorbell: a wait after a ring ends at once.
#[derive(Default)]
struct Bell {
    rung: sync::Mutex<bool>,
    changed: Condvar,
}

impl Bell {
    fn ring(&self) {
        *self.rung.lock().unwrap() = true;
        self.changed.notify_one();
    }

    fn wait(&self) {
        let mut rung = self.rung.lock().unwrap();
        while !*rung {
            rung = self.changed.wait(rung).unwrap();
        }
        *rung = false;
    }
}

/// Requests that were made, number of completed ones, and true if the guest is to ring for the next.
#[derive(Default)]
struct Queue {
    made: u32,
    done: u32,
    wanted: bool,
}

impl Queue {
    /// For the guest: makes a request. Returns true if the guest must ring for it.
    fn make(&mut self) -> bool {
        self.made += 1;
        std::mem::take(&mut self.wanted)
    }
}

/// Models a guest that waits `times` times, each time with a request, for which it does not ring; and then runs for ever, with
/// a request for which it rings if it was asked to.
fn a_guest_that_waits(times: u32) {
    let mut model = loom::model::Builder::new();
    model.preemption_bound = Some(4);
    model.check(move || {
        let (handoff, bell) = (Arc::new(Handoff::new(())), Arc::new(Bell::default()));
        let queue = Arc::new(sync::Mutex::new(Queue::default()));
        let processor = {
            let (handoff, bell, queue) = (handoff.clone(), bell.clone(), queue.clone());
            thread::spawn(move || {
                for _ in 0..times {
                    // A wait counts as a ring.
                    queue.lock().unwrap().make();
                    let devices = handoff.take();
                    let mut queue = queue.lock().unwrap();
                    queue.done = queue.made;
                    drop(queue);
                    if handoff.give_back(devices) {
                        bell.ring();
                    }
                }
                if queue.lock().unwrap().make() {
                    bell.ring();
                }
            })
        };
        // The other thread finds every request of the guest: it sleeps only while something can wake it.
        loop {
            let epoch = handoff.epoch();
            if let Some(devices) = handoff.devices() {
                let mut queue = queue.lock().unwrap();
                queue.done = queue.made;
                if queue.done > times {
                    break;
                }
                queue.wanted = true;
                drop((queue, devices));
            }
            if handoff.sleep(epoch) {
                bell.wait();
                handoff.wake();
            }
            thread::yield_now();
        }
        processor.join().unwrap();
    });
}

#[test]
fn a_guest_that_waits_once_and_runs_on_is_looked_after() {
    a_guest_that_waits(1);
}

#[test]
fn a_guest_that_waits_again_and_runs_on_is_looked_after() {
    a_guest_that_waits(2);
}

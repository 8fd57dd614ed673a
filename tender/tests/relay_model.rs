//! How the devices go from one thread to the other, in a model checker: every way in which the two can come between each
//! other.
//!
//! A guest that runs with nobody to look after its devices is a deadlock, which the model finds.

use loom::sync::{Arc, Condvar};
use loom::thread;

/// What the file below is made of: in the tender, the same of the standard library.
mod sync {
    pub use loom::sync::atomic::{AtomicBool, AtomicU32, Ordering, fence};
    pub use loom::sync::{Mutex, MutexGuard};
}

#[path = "../src/devices/relay.rs"]
mod relay;

use relay::Relay;

/// The doorbell: rung before it is waited for, it ends the wait at once.
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

/// Requests that were made, how many of them are done, and whether the guest is to ring for the next.
#[derive(Default)]
struct Queue {
    made: u32,
    done: u32,
    wanted: bool,
}

impl Queue {
    /// For the guest: makes a request. Whether to ring for it.
    fn make(&mut self) -> bool {
        self.made += 1;
        std::mem::take(&mut self.wanted)
    }
}

/// A guest waits so often, each time with a request, for which it does not ring then; and runs on for ever, with one for
/// which it rings if it has been asked to.
fn a_guest_that_waits(times: u32) {
    let mut model = loom::model::Builder::new();
    model.preemption_bound = Some(4);
    model.check(move || {
        let (relay, bell) = (Arc::new(Relay::new(())), Arc::new(Bell::default()));
        let queue = Arc::new(sync::Mutex::new(Queue::default()));
        let processor = {
            let (relay, bell, queue) = (relay.clone(), bell.clone(), queue.clone());
            thread::spawn(move || {
                for _ in 0..times {
                    // A wait counts as a ring.
                    queue.lock().unwrap().make();
                    let devices = relay.take();
                    let mut queue = queue.lock().unwrap();
                    queue.done = queue.made;
                    drop(queue);
                    if relay.give_back(devices) {
                        bell.ring();
                    }
                }
                if queue.lock().unwrap().make() {
                    bell.ring();
                }
            })
        };
        // Whatever the guest does, the other thread finds: it sleeps only with somebody to wake it.
        loop {
            let changes = relay.changes();
            if let Some(devices) = relay.devices() {
                let mut queue = queue.lock().unwrap();
                queue.done = queue.made;
                if queue.done > times {
                    break;
                }
                queue.wanted = true;
                drop((queue, devices));
            }
            if relay.sleep(changes) {
                bell.wait();
                relay.wake();
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

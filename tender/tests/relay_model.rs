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

/// Requests that were made, and how many of them are done.
#[derive(Default)]
struct Devices {
    made: u32,
    done: u32,
}

/// A guest waits so often, and then runs on for ever, with a request that it does not ring for.
fn a_guest_that_waits(times: u32) {
    let mut model = loom::model::Builder::new();
    model.preemption_bound = Some(4);
    model.check(move || {
        let (relay, bell) = (Arc::new(Relay::new(Devices::default())), Arc::new(Bell::default()));
        let processor = {
            let (relay, bell) = (relay.clone(), bell.clone());
            thread::spawn(move || {
                for _ in 0..times {
                    let mut devices = relay.take();
                    devices.made += 1;
                    devices.done = devices.made;
                    if relay.give_back(devices) {
                        bell.ring();
                    }
                }
            })
        };
        // Everything that the guest does in the end, the other thread finds: it sleeps only with somebody to wake it.
        loop {
            let before = relay.changes();
            thread::yield_now();
            if before != relay.changes() {
                continue;
            }
            if Relay::<Devices>::are_taken(before) {
                if relay.sleep() {
                    bell.wait();
                }
            } else if let Some(mut devices) = relay.devices() {
                assert!(devices.done == devices.made, "whoever had them before has done everything");
                devices.made += 1;
                devices.done += 1;
                if devices.done > times && before == 2 * times {
                    break;
                }
            }
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

//! Handoff of the devices between two threads, in a model checker (loom), which explores all interleavings of the two.
//!
//! A guest that runs while no thread serves its devices is a deadlock, which the model finds. So is one whose devices are paused
//! by a third thread, and are not served afterwards.

use loom::sync::Arc;
use loom::thread;

/// Types that the file below is made of: loom's, in place of the standard library's in the tender.
mod sync {
    pub use loom::sync::atomic::{AtomicBool, AtomicU32, Ordering, fence};
    pub use loom::sync::{Mutex, MutexGuard};
}

#[path = "../src/devices/handoff.rs"]
mod handoff;

#[path = "../../targets/abi/tests/bell/mod.rs"]
mod bell;

use bell::Bell;
use handoff::Handoff;

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
/// a request for which it rings if it was asked to. A third thread pauses the devices `pauses` times meanwhile.
fn a_guest_that_waits(times: u32, pauses: u32) {
    let mut model = loom::model::Builder::new();
    model.preemption_bound = Some(if pauses > 0 { 2 } else { 4 });
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
                    let is_closed = pauses > 0 && handoff.is_closed();
                    if !is_closed {
                        let mut queue = queue.lock().unwrap();
                        queue.done = queue.made;
                    }
                    // Devices that are paused are left to the device thread.
                    if handoff.give_back(devices) || is_closed {
                        bell.ring();
                    }
                }
                if queue.lock().unwrap().make() {
                    bell.ring();
                }
            })
        };
        let pauser = (pauses > 0).then(|| {
            let (handoff, bell, queue) = (handoff.clone(), bell.clone(), queue.clone());
            thread::spawn(move || {
                for _ in 0..pauses {
                    handoff.close();
                    while handoff.try_lock().is_none() {
                        thread::yield_now();
                    }
                    let done = queue.lock().unwrap().done;
                    thread::yield_now();
                    assert_eq!(queue.lock().unwrap().done, done, "nothing is served in a pause");
                    handoff.open();
                    bell.ring();
                }
            })
        });
        // The other thread finds every request of the guest: it sleeps only while something can wake it.
        loop {
            if pauses > 0 && handoff.is_closed() {
                bell.wait();
                continue;
            }
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
        pauser.into_iter().for_each(|pauser| pauser.join().unwrap());
    });
}

#[test]
fn a_guest_that_waits_once_and_runs_on_is_looked_after() {
    a_guest_that_waits(1, 0);
}

#[test]
fn a_guest_that_waits_again_and_runs_on_is_looked_after() {
    a_guest_that_waits(2, 0);
}

#[test]
fn a_guest_that_is_paused_while_it_runs_is_looked_after() {
    a_guest_that_waits(0, 2);
}

#[test]
fn a_guest_that_is_paused_while_it_waits_is_looked_after() {
    a_guest_that_waits(1, 1);
}

//! The ring protocol in a model checker (loom): every interleaving of the two sides, and every value that the memory model lets
//! them read, for rings of a few entries.
//!
//! A lost wake-up is a deadlock, and a read of an entry during its write is a race: the model finds both.

#![expect(unsafe_code, reason = "entries are cells that the model watches")]

mod bell;

use bell::Bell;
use husk_abi::ring::protocol::{Consumer, Producer, Word, Words};
use loom::cell::UnsafeCell;
use loom::sync::Arc;
use loom::sync::atomic::{AtomicU32, Ordering::*, fence};
use loom::thread;

/// A word of the model.
#[derive(Clone)]
struct Modelled(Arc<AtomicU32>);

impl Word for Modelled {
    fn load(&self) -> u32 {
        self.0.load(Acquire)
    }

    fn store(&self, value: u32) {
        self.0.store(value, Release);
    }

    fn fence() {
        fence(SeqCst);
    }
}

/// A ring with its entries and its bell.
struct Ring {
    words: Words<Modelled>,
    entries: Arc<Vec<UnsafeCell<u32>>>,
    bell: Arc<Bell>,
}

impl Ring {
    fn new(entries: u32) -> Self {
        let word = || Modelled(Arc::new(AtomicU32::new(0)));
        let words = Words { producer: word(), consumer: word(), wake_at: word() };
        let cells = (0..entries).map(|_| UnsafeCell::new(0)).collect();
        Self { words, entries: Arc::new(cells), bell: Arc::new(Bell::default()) }
    }

    fn share(&self) -> Self {
        Self { words: self.words.clone(), entries: self.entries.clone(), bell: self.bell.clone() }
    }

    fn sender(self) -> Sender {
        let producer = Producer::new(self.words.clone(), self.entries.len() as u32);
        Sender { ring: self, producer }
    }

    fn receiver(self) -> Receiver {
        let consumer = Consumer::new(self.words.clone(), self.entries.len() as u32);
        Receiver { ring: self, consumer }
    }
}

struct Sender {
    ring: Ring,
    producer: Producer<Modelled>,
}

impl Sender {
    fn has_room(&mut self) -> bool {
        self.producer.has_room(1).unwrap()
    }

    fn write(&mut self, value: u32) {
        let position = self.producer.write() as usize;
        // SAFETY: the producer owns the entry until it publishes; loom stops the test at a concurrent access.
        self.ring.entries[position].with_mut(|entry| unsafe { *entry = value });
    }

    fn publish(&mut self) {
        if self.producer.publish() {
            self.ring.bell.ring();
        }
    }

    /// Makes the producer again from its cursor.
    fn renew(&mut self) {
        let words = self.ring.words.clone();
        self.producer = Producer::at(words, self.ring.entries.len() as u32, self.producer.cursor()).unwrap();
    }
}

struct Receiver {
    ring: Ring,
    consumer: Consumer<Modelled>,
}

impl Receiver {
    /// Returns the next entry; blocks until there is one.
    fn receive(&mut self) -> u32 {
        while self.consumer.available().unwrap() == 0 {
            if self.consumer.sleep().unwrap() {
                self.ring.bell.wait();
            }
        }
        let position = self.consumer.read() as usize;
        // SAFETY: the consumer owns the entry until it releases; loom stops the test at a concurrent write.
        let value = self.ring.entries[position].with(|entry| unsafe { *entry });
        self.consumer.release();
        value
    }

    /// Makes the consumer again from its cursor.
    fn renew(&mut self) {
        let words = self.ring.words.clone();
        self.consumer = Consumer::at(words, self.ring.entries.len() as u32, self.consumer.cursor()).unwrap();
    }
}

#[test]
fn no_entry_and_no_wake_up_is_lost_on_one_ring() {
    loom::model(|| {
        let ring = Ring::new(2);
        let mut sender = ring.share().sender();
        let producer = thread::spawn(move || {
            sender.write(1);
            sender.publish();
            sender.write(2);
            sender.publish();
        });
        let mut receiver = ring.receiver();
        assert_eq!([receiver.receive(), receiver.receive()], [1, 2]);
        producer.join().unwrap();
    });
}

#[test]
fn entries_that_are_shown_together_wake_once_and_arrive() {
    loom::model(|| {
        let ring = Ring::new(4);
        let mut sender = ring.share().sender();
        let producer = thread::spawn(move || {
            sender.write(1);
            sender.write(2);
            sender.publish();
            sender.write(3);
            sender.publish();
        });
        let mut receiver = ring.receiver();
        assert_eq!([receiver.receive(), receiver.receive(), receiver.receive()], [1, 2, 3]);
        producer.join().unwrap();
    });
}

#[test]
fn a_queue_that_is_full_goes_on() {
    full_queue(false);
}

#[test]
fn a_tender_that_is_made_again_from_its_cursors_goes_on() {
    full_queue(true);
}

/// Models a queue of a guest with one request under way at a time: each side sleeps until the other's next entry. The tender's
/// sides are made again after each request, if they are `renewed`.
fn full_queue(renewed: bool) {
    let mut model = loom::model::Builder::new();
    // Two sides that both sleep and wake have many interleavings; a higher preemption bound finds nothing new.
    model.preemption_bound = Some(3);
    model.check(move || {
        const REQUESTS: u32 = 2;
        let (submission, completion) = (Ring::new(1), Ring::new(1));
        let (mut requests, mut answers) = (submission.share().receiver(), completion.share().sender());
        let tender = thread::spawn(move || {
            for _ in 0..REQUESTS {
                let request = requests.receive();
                assert!(answers.has_room(), "the guest has read the answer before");
                answers.write(request + 10);
                answers.publish();
                if renewed {
                    requests.renew();
                    answers.renew();
                }
            }
        });
        let (mut sender, mut receiver) = (submission.sender(), completion.receiver());
        for request in 0..REQUESTS {
            assert!(sender.has_room(), "an answered request has left its place");
            sender.write(request);
            sender.publish();
            assert_eq!(receiver.receive(), request + 10);
        }
        tender.join().unwrap();
    });
}

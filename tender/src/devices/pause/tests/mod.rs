//! Devices that are paused with traffic in flight, a guest that drives their rings from a thread, as a vCPU does.

mod rig;
mod traffic;

use super::*;
use crate::devices::net;
use crate::devices::ring;
use crate::devices::{Device, Progress};
use crate::fuzz::sample;
use crate::host::signals::{self, Halt};
use husk_abi::block as operation;
use husk_abi::ring::protocol::Cursor;
use husk_abi::ring::status;
use rig::*;
use std::io::{Read, Write};
use std::os::unix::net::{UnixListener, UnixStream};
use std::ptr::NonNull;
use std::sync::atomic::Ordering::*;
use std::thread;
use traffic::traffic;

#[test]
fn nothing_is_lost_when_devices_are_made_again_in_each_of_a_thousand_pauses() {
    let wire = Echo::default();
    let card = |wire: &Echo| net::Card::on((wire.clone(), [2; 6], MTU), &net::Options::default());
    let renewed = wire.clone();
    let mut pauses = 0;
    traffic("renewed", true, card(&wire), move |served, memory, places, disk| {
        let state = served.device.state().expect("it can be saved");
        pauses += 1;
        // To open a disk again takes the kernel some time, so it is done in some pauses.
        if served.name == "disk0" && pauses % 50 != 0 {
            return served.device.restore(&state).expect("it fits the rings");
        }
        served.device = Box::new(Puppet::default());
        served.device = match served.name.as_str() {
            "net0" => Box::new(net::Served::new(card(&renewed), memory, [places[0], places[1]])),
            _ => disk.open(memory, places[2], true),
        };
        served.device.restore(&state).expect("it fits the rings");
    });
}

/// Returns each frame of a guest behind passt.
fn echo(mut socket: UnixStream) -> std::io::Result<()> {
    let mut bytes = vec![0; 1 << 16];
    loop {
        match socket.read(&mut bytes)? {
            0 => return Ok(()),
            count => socket.write_all(&bytes[..count])?,
        }
    }
}

#[test]
fn nothing_is_lost_on_a_socket_and_a_disk_without_io_uring_in_a_thousand_pauses() {
    let socket = Scratch::new("socket");
    let listener = UnixListener::bind(&socket.0).expect("a socket");
    thread::spawn(move || listener.accept().and_then(|(socket, _)| echo(socket)));
    let backend = net::Backend::Passt(socket.0.clone());
    let card = net::Card::open(&net::Options { backend, ..net::Options::default() }).expect("a connection");
    traffic("blocking", false, card, |served, _, _, _| match served.device.state() {
        Ok(state) => served.device.restore(&state).expect("it fits the rings"),
        Err(why) => assert_eq!((served.name.as_str(), why), ("net0", NotSaved::Passt)),
    });
}

#[test]
fn a_user_mode_network_says_that_its_connections_cannot_be_saved() {
    let card = net::Card::open(&net::Options::default()).expect("it needs nothing");
    let (memory, places) = place();
    let network = net::Served::new(card, &memory, [places[0], places[1]]);
    assert_eq!(network.state(), Err(NotSaved::UserNetwork));
}

#[test]
fn any_state_is_refused_or_harmless() {
    let (memory, places) = place();
    let disk = Scratch::disk("hostile");
    let mut network = net::Served::new(
        net::Card::on((Echo::default(), [2; 6], MTU), &net::Options::default()),
        &memory,
        [places[0], places[1]],
    );
    let mut block = disk.open(&memory, places[2], true);
    let mut numbers = sample::Numbers(99);
    let (mut refused, mut taken) = (0, 0);
    for _ in 0..10_000 {
        let mut cursor =
            || Cursor((numbers.random() % 300) as u32 ^ [0, 0, 0, u32::MAX][numbers.random() as usize % 4]);
        let mut cursors = || ring::Cursors { requests: cursor(), completions: cursor() };
        let state = State { queues: [cursors(), cursors()], levels: [i128::MIN, i128::MAX] };
        for place in places {
            let [submission, completion] = [place.submission, place.completion].map(|ring| ring::words(&memory, ring));
            submission.producer.store((numbers.random() % 300) as u32, Relaxed);
            completion.consumer.store((numbers.random() % 300) as u32, Relaxed);
        }
        for device in [&mut network as &mut dyn Device, &mut *block] {
            match device.restore(&state) {
                Ok(()) => {
                    taken += 1;
                    // Entries of zeros are no requests, and a device without requests has nothing to do.
                    let outcome = device.serve();
                    assert!(outcome.is_err() || outcome == Ok(Progress::default()), "{outcome:?}");
                }
                Err(_) => refused += 1,
            }
        }
    }
    assert!(refused > 1000 && taken > 1000, "{refused} refused, {taken} taken");
}

#[test]
fn requests_made_in_a_pause_are_served_after_it() {
    let _alone = alone();
    let (memory, places) = place();
    let disk = Scratch::disk("full");
    let (device_loop, pauser) = start(vec![served("disk0", disk.open(&memory, places[2], true))]);
    let mut queue = Driver::new(&memory, places[2], 0);
    let paused = pauser.pause(deadline()).expect("nothing is in flight");
    let state = paused.states();
    // As many as the ring holds; the guest rings for each.
    let entries = places[2].entries;
    for token in 0..u64::from(entries) {
        queue.submit(token % DEPTH, BYTES, operation::READ, token % SECTORS * BYTES as u64);
        let _ = queue.requests.publish();
        device_loop.notifier().ring();
    }
    sleep(&mut [], monotonic_ns() + 5_000_000);
    assert_eq!((queue.completion(), paused.states()), (None, state));
    drop(paused);
    let until_ns = deadline();
    for _ in 0..entries {
        while queue.completion().map(|completion| assert_eq!(completion.status, status::DONE)).is_none() {
            assert!(monotonic_ns() < until_ns, "the device goes on by itself");
        }
    }
}

#[test]
fn a_guest_that_ends_in_a_pause_sends_its_frames_after_it() {
    let _alone = alone();
    let (memory, places) = place();
    let wire = Echo::default();
    let card = net::Card::on((wire.clone(), [2; 6], MTU), &net::Options::default());
    let network = net::Served::new(card, &memory, [places[0], places[1]]);
    let (mut device_loop, pauser) = start(vec![served("net0", Box::new(network))]);
    let mut queue = Driver::new(&memory, places[0], 0);
    thread::scope(|scope| {
        let paused = pauser.pause(deadline()).expect("nothing is in flight");
        queue.put(0, fill(1));
        queue.submit(0, BYTES, 0, 0);
        let _ = queue.requests.publish();
        let ending = scope.spawn(|| device_loop.finish());
        sleep(&mut [], monotonic_ns() + 5_000_000);
        assert!(!ending.is_finished() && wire.0.lock().expect("no panic").is_empty());
        drop(paused);
        ending.join().expect("it ends");
        assert_eq!(wire.0.lock().expect("no panic").pop_front().as_deref(), Some(&fill(1)[..]));
    });
}

#[test]
fn a_request_that_hangs_ends_the_attempt_and_not_the_devices() {
    let _alone = alone();
    let puppet = Puppet::default();
    let (device_loop, pauser) = start(vec![served("disk0", Box::new(puppet.clone()))]);
    puppet.is_busy.store(true, Relaxed);
    let hangs = pauser.pause(monotonic_ns() + 3_000_000).map(drop);
    assert_eq!(hangs, Err(NotPaused::Hangs(Some("disk0".to_owned()))));
    assert!(hangs.is_err_and(|error| error.to_string().contains("device 'disk0' does not stop")));
    let (before, until_ns) = (puppet.rounds.load(Relaxed), deadline());
    while puppet.rounds.load(Relaxed) == before {
        assert!(monotonic_ns() < until_ns, "it is served again");
    }
    puppet.is_busy.store(false, Relaxed);
    drop(pauser.pause(deadline()).expect("it can be paused now"));
    assert!(device_loop.notifier().fault().is_none());
}

#[test]
fn a_guest_that_breaks_the_contract_in_a_pause_ends() {
    let _alone = alone();
    signals::receive(60);
    let puppet = Puppet::default();
    let (device_loop, pauser) = start(vec![served("disk0", Box::new(puppet.clone()))]);
    puppet.is_broken.store(true, Relaxed);
    assert_eq!(pauser.pause(deadline()).map(drop), Err(NotPaused::Broken));
    assert!(device_loop.notifier().fault().is_some());
    // SAFETY: the byte is never freed.
    let halt = unsafe { Halt::new(NonNull::from(Box::leak(Box::new(0)))) };
    assert_ne!(halt.take(), 0, "the vCPU thread is interrupted");
}

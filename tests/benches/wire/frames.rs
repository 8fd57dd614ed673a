//! Frames between a native guest and a TAP interface, against a process that writes and reads them there.

use super::table::{Row, Sample, head, rows};
use husk_tests::measure::exits;
use husk_tests::wire::{self, Count, Flood, Tap, ip};
use husk_tests::{Guest, Target, build};
use std::time::Duration;

const FRAMES: usize = 200_000;
/// Time for which frames are sent to a guest as fast as possible.
const FLOOD: Duration = Duration::from_millis(400);
const INTERFACE: &str = "tap0";

pub fn run(rounds: usize) {
    head("frm");
    ip(&format!("tuntap add {INTERFACE} mode tap"));
    ip(&format!("link set {INTERFACE} up"));
    for (length, solo5) in [(60, "2,000 and 1,020,000"), (1514, "170 and 1,000,000")] {
        let native = || [FRAMES as f64 / wire::write_frames(INTERFACE, FRAMES, length).as_secs_f64()];
        rows([Row::new(format!("sent/s, {length} bytes"), solo5)], rounds, native, |target| send(target, length));
    }
    ip(&format!("link delete {INTERFACE}"));
    // The sender of frames has a socket on the interface, which would also receive all frames of the guest.
    let tap = Tap::new(INTERFACE, 1500);
    for (length, solo5) in [(60, "5,000 and 300,000, paced"), (1514, "8,000 and 500,000, paced")] {
        let native = || {
            let mut flood = None;
            let count = wire::read_frames(INTERFACE, || flood = Some(tap.flood(length, FLOOD)));
            received_and_lost(count, flood)
        };
        let what = [
            Row::new(format!("received/s, {length} bytes"), solo5),
            Row::new(format!("lost of 100, {length} bytes"), ""),
        ];
        rows(what, rounds, native, |target| receive(target, &tap, length));
    }
}

fn guest(target: Target, name: &str) -> Guest {
    Guest::image(build::image("net-guests", name)).flag(target.flag()).flag("--net=tap:tap0").flag("--verbose")
}

fn send(target: Target, length: usize) -> Sample<1> {
    let outcome = guest(target, "frames_send").argument(FRAMES.to_string()).argument(length.to_string()).run();
    let took_ns: f64 = outcome.stdout().trim().parse().expect("a time");
    Sample { values: [FRAMES as f64 / took_ns * 1e9], exits: exits(&outcome.stderr()) / FRAMES as f64 }
}

fn receive(target: Target, tap: &Tap, length: usize) -> Sample<2> {
    let mut running = guest(target, "frames_receive").spawn();
    running.expect_printed("ready\n", 1);
    tap.wait_until_up();
    let flood = tap.flood(length, FLOOD);
    let outcome = running.input(vec![]).finish();
    let told = outcome.stdout();
    let numbers: Vec<u64> = told.split_whitespace().filter_map(|word| word.parse().ok()).collect();
    let [frames, ns] = numbers[..] else { panic!("no figures: {outcome}") };
    let count = Count { frames, took: Duration::from_nanos(ns) };
    Sample { values: received_and_lost(count, Some(flood)), exits: exits(&outcome.stderr()) / frames as f64 }
}

/// Frames received per second, and percentage of lost frames.
fn received_and_lost(count: Count, flood: Option<Flood>) -> [f64; 2] {
    let sent = flood.map_or(0, Flood::sent);
    let lost = 100.0 - 100.0 * count.frames as f64 / sent as f64;
    [count.frames as f64 / count.took.as_secs_f64(), lost]
}

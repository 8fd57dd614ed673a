//! Devices that are paused, and made again from their states, a thousand times while a guest uses them: by a tender that is built
//! with a thread that does so.

use husk_tests::{Disk, Guest, Outcome, Running, build, wire};
use std::io::{Read, Write};
use std::net::TcpStream;
use std::time::{Duration, Instant};

const PAUSES: u32 = 1000;
/// Bytes that are on their way to a guest and back at once.
const BYTES: usize = 64 << 10;

/// Longest time that the pauses may take.
const PATIENCE: Duration = Duration::from_secs(100);

/// Repeats `traffic`, which gets the number of the round, until the devices of the guest have been paused as often as they shall.
fn repeat(running: &mut Running, mut traffic: impl FnMut(&mut Running, u32)) {
    let until = Instant::now() + PATIENCE;
    for round in 0.. {
        if running.has_told(" pauses, devices made again") {
            break;
        }
        assert!(Instant::now() < until, "too few pauses after {round} rounds");
        traffic(running, round);
    }
}

fn expect_pauses(outcome: &Outcome, renewed: u32) {
    outcome.expect_success().expect_stderr(&format!("husk: {PAUSES} pauses, devices made again {renewed} times\n"));
}

#[test]
fn frames_over_a_tap_interface_come_back_in_order() {
    if !wire::alone() {
        return;
    }
    const WINDOW: u32 = 20;
    let tap = wire::Tap::new("tap0", 1500);
    let guest = Guest::image(build::image("net-guests", "frame_echo")).flag("--net=tap:tap0");
    let mut echo = guest.pauses(PAUSES).spawn();
    echo.expect_printed("ready, mtu 1500", 1);
    tap.wait_until_up();
    repeat(&mut echo, |_, round| {
        let numbers = || (0..WINDOW).map(|number| round * WINDOW + number);
        numbers().for_each(|number| assert!(tap.send(&wire::frame(&number.to_be_bytes()))));
        for number in numbers() {
            let frame = tap.receive(|frame| frame[12..14] == [0x88, 0xb5]).expect("an answer");
            assert_eq!(frame[14..18], number.to_be_bytes());
        }
    });
    assert!(tap.send(&wire::frame(b"last")));
    expect_pauses(&echo.finish(), PAUSES);
}

/// Has bytes returned by TCP at `address`, where the guest listens.
fn tcp(mut running: Running, address: &str, renewed: u32) {
    let mut stream = TcpStream::connect(address).expect("it listens");
    stream.set_read_timeout(Some(Duration::from_secs(30))).expect("a socket has timeouts");
    repeat(&mut running, |_, round| {
        let sent: Vec<u8> = (0..BYTES).map(|at| (at as u32 * 7 + round) as u8).collect();
        let mut received = vec![0; BYTES];
        stream.write_all(&sent).expect("it reads");
        stream.read_exact(&mut received).expect("it answers");
        assert!(received == sent, "round {round}");
    });
    TcpStream::connect(address).and_then(|mut stream| stream.write_all(b"end")).expect("it listens");
    expect_pauses(&running.finish(), renewed);
}

#[test]
fn a_connection_over_a_tap_interface_lasts() {
    if !wire::alone() {
        return;
    }
    for words in ["tuntap add tap0 mode tap", "addr add 10.0.0.1/24 dev tap0", "link set tap0 up"] {
        wire::ip(words);
    }
    let guest = Guest::program("echo_server").flag("--net=tap:tap0,ip=10.0.0.2/24");
    let mut server = guest.pauses(PAUSES).spawn();
    server.expect_printed("ready", 1);
    wire::wait_until_up("tap0");
    tcp(server, "10.0.0.2:7", PAUSES);
}

#[test]
fn a_connection_through_a_user_mode_network_lasts() {
    if !wire::alone() {
        return;
    }
    let mut server = Guest::program("echo_server").flag("-p127.0.0.1:8007:7").pauses(PAUSES).spawn();
    server.expect_printed("ready", 1);
    // Its connections cannot be made again.
    tcp(server, "127.0.0.1:8007", 0);
}

#[test]
fn what_a_guest_reads_and_prints_stays_whole() {
    for way in ["raw", "escaped"] {
        let guest = Guest::program("echo").flag("--net=user").flag(format!("--console={way}"));
        let mut echo = guest.pauses(PAUSES).spawn();
        let mut lines = 0;
        repeat(&mut echo, |echo, round| {
            let line = format!("{round} grün");
            lines += 1;
            assert_eq!(echo.say(&line).line(lines), line);
        });
        expect_pauses(&echo.finish(), 0);
    }
}

#[test]
fn no_request_to_a_disk_is_lost_or_mixed_up() {
    // A run that takes as long as a few pauses.
    const EACH: u32 = 20;
    let mut pauses = 0;
    for _ in 0..2 * PAUSES {
        let disk = Disk::empty(4 << 20);
        let guest = Guest::image(build::image("block-guests", "disk_many")).flag(disk.flag(""));
        let outcome = guest.pauses(EACH).run();
        outcome.expect_success().expect_stdout("4000 requests\n");
        // The guest may end before the last pause.
        let told = format!("husk: {EACH} pauses, devices made again {EACH} times\n");
        pauses += if outcome.stderr().contains(&told) { EACH } else { 0 };
        if pauses >= PAUSES {
            return;
        }
    }
    panic!("only {pauses} pauses in a guest's life");
}

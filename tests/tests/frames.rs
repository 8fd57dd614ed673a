//! Frames between a native guest and a TAP interface.

use husk_tests::{Guest, Outcome, build, wire};
use std::net::UdpSocket;
use std::time::Duration;

/// Guest of the package `net-guests`.
fn guest(name: &str) -> Guest {
    Guest::image(build::image("net-guests", name))
}

/// Answer of the echo to a frame with this payload.
fn answer(payload: &[u8]) -> Vec<u8> {
    let mut frame = wire::frame(payload);
    let (to, from) = frame.split_at_mut(6);
    to.swap_with_slice(&mut from[..6]);
    frame
}

/// Runs the echo over an interface with this MTU, and `talk` beside it. Returns `None`, after a loud skip, if there can be
/// no interface.
fn with_echo(mtu: u32, talk: impl FnOnce(&wire::Tap)) -> Option<Outcome> {
    if !wire::alone() {
        return None;
    }
    let tap = wire::Tap::new("tap0", mtu);
    let mut echo = guest("frame_echo").flag("--net=tap:tap0").spawn();
    echo.expect_printed(&format!("ready, mtu {mtu}"), 1);
    tap.wait_until_up();
    talk(&tap);
    assert!(tap.send(&wire::frame(b"last")));
    Some(echo.finish())
}

#[test]
fn frames_of_every_length_come_back_unchanged() {
    let lengths = [1, 2, 45, 46, 47, 512, 1499, 1500];
    let outcome = with_echo(1500, |tap| {
        for (seed, length) in lengths.into_iter().enumerate() {
            let payload: Vec<u8> = (0..length).map(|at| (at * 7 + seed) as u8).collect();
            assert!(tap.send(&wire::frame(&payload)));
            let expected = answer(&payload);
            assert!(tap.receive(|frame| frame == expected).is_some(), "{length} bytes");
        }
    });
    let Some(outcome) = outcome else { return };
    outcome.expect_success().expect_stdout(&format!("ready, mtu 1500\n{} frames\n", lengths.len() + 1));
}

#[test]
fn frames_as_long_as_can_be_come_back() {
    let payload: Vec<u8> = (0..65_521).map(|at| (at / 3) as u8).collect();
    let outcome = with_echo(65_521, |tap| {
        assert!(tap.send(&wire::frame(&payload)));
        let expected = answer(&payload);
        assert!(tap.receive(|frame| frame == expected).is_some());
    });
    let Some(outcome) = outcome else { return };
    outcome.expect_success();
}

#[test]
fn thousands_of_frames_come_back_in_order() {
    const FRAMES: u32 = 20_000;
    const WINDOW: u32 = 100;
    let outcome = with_echo(1500, |tap| {
        let send = |number: u32| assert!(tap.send(&wire::frame(&number.to_be_bytes())));
        (0..WINDOW).for_each(send);
        for number in 0..FRAMES {
            let frame =
                tap.receive(|frame| frame[12..14] == [0x88, 0xb5]).unwrap_or_else(|| panic!("an answer to {number}"));
            assert_eq!(frame[14..18], number.to_be_bytes());
            if number + WINDOW < FRAMES {
                send(number + WINDOW);
            }
        }
    });
    let Some(outcome) = outcome else { return };
    outcome.expect_success().expect_stdout(&format!("ready, mtu 1500\n{} frames\n", FRAMES + 1));
}

#[test]
fn what_a_guest_has_sent_before_its_end_goes_out() {
    if !wire::alone() {
        return;
    }
    let tap = wire::Tap::new("tap0", 1500);
    let mut running = guest("frame_farewell").flag("--net=tap:tap0").spawn();
    running.expect_printed("ready", 1);
    tap.wait_until_up();
    running.input(b"now\n".to_vec()).finish().expect_success();
    for number in 0..100 {
        assert!(tap.receive(|frame| frame[12..15] == [0x88, 0xb5, number]).is_some(), "frame {number}");
    }
}

/// Datagram in a frame, from port 5000 of 10.0.0.1 to port 7 of 10.0.0.2, with a wrong checksum.
const DAMAGED: [&[u8]; 4] = [
    &[2, 0, 0, 0, 0, 7, 2, 0, 0, 0, 0, 1, 8, 0],
    &[0x45, 0, 0, 36, 0, 0, 0, 0, 64, 17, 0x66, 0xc7, 10, 0, 0, 1, 10, 0, 0, 2],
    &[0x13, 0x88, 0, 7, 0, 16, 0xde, 0xad],
    b"damaged!",
];

#[test]
fn a_native_server_takes_no_datagram_with_a_wrong_checksum() {
    if !wire::alone() {
        return;
    }
    let tap = wire::Tap::new("tap0", 1500);
    wire::ip("addr add 10.0.0.1/24 dev tap0");
    let echo = Guest::image(build::image("echo", "echo")).flag("--memory=64M");
    let mut running = echo.flag("--net=tap:tap0,ip=10.0.0.2/24,mac=02:00:00:00:00:07").spawn();
    running.expect_printed("listening", 1);
    tap.wait_until_up();
    let socket = UdpSocket::bind("10.0.0.1:5000").expect("a free port");
    socket.set_read_timeout(Some(Duration::from_secs(20))).expect("a socket has timeouts");
    assert!(tap.send(&DAMAGED.concat()));
    socket.send_to(b"whole", "10.0.0.2:7").expect("sent");
    let mut answer = [0; 16];
    let length = socket.recv(&mut answer).expect("it answers");
    assert_eq!(&answer[..length], b"whole");
}

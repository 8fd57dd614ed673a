//! Guests on passt's socket, against a peer that speaks its protocol, and against passt itself where it is installed.

use husk_tests::{Guest, build, skip, wire};
use std::fs::Permissions;
use std::io::{Read, Write};
use std::net::TcpStream;
use std::os::unix::fs::PermissionsExt;
use std::os::unix::net::{UnixListener, UnixStream};
use std::path::PathBuf;
use std::process::{Command, Stdio};
use std::time::{Duration, Instant};
use tempfile::TempDir;

/// Longest wait for an answer.
const PATIENCE: Duration = Duration::from_secs(20);

/// Path for a socket, in a folder of its own.
fn place() -> (TempDir, PathBuf) {
    let directory = TempDir::new().expect("a directory for the socket");
    let path = directory.path().join("passt.socket");
    (directory, path)
}

/// Guest that echoes frames, on the socket at `path`.
fn echo(path: &std::path::Path) -> Guest {
    Guest::image(build::image("net-guests", "frame_echo")).flag(format!("--net=passt:{}", path.display()))
}

/// Socket at passt's end.
struct Peer(UnixStream);

impl Peer {
    fn accept(listener: &UnixListener) -> Self {
        listener.set_nonblocking(true).expect("a socket need not wait");
        let deadline = Instant::now() + PATIENCE;
        let stream = loop {
            match listener.accept() {
                Ok((stream, _)) => break stream,
                Err(error) => assert!(Instant::now() < deadline, "the guest does not connect: {error}"),
            }
            std::thread::sleep(Duration::from_millis(1));
        };
        stream.set_nonblocking(false).expect("a socket can wait");
        stream.set_write_timeout(Some(PATIENCE)).expect("a socket has timeouts");
        stream.set_read_timeout(Some(PATIENCE)).expect("a socket has timeouts");
        Self(stream)
    }

    fn send(&mut self, frames: &[Vec<u8>]) {
        let prefixed = |frame: &Vec<u8>| [&(frame.len() as u32).to_be_bytes()[..], frame].concat();
        let stream: Vec<u8> = frames.iter().flat_map(prefixed).collect();
        self.0.write_all(&stream).expect("the guest takes them");
    }

    fn receive(&mut self) -> Vec<u8> {
        let mut length = [0; 4];
        self.0.read_exact(&mut length).expect("an answer in time");
        let mut frame = vec![0; u32::from_be_bytes(length) as usize];
        self.0.read_exact(&mut frame).expect("all of the answer");
        frame
    }
}

/// Answer of the echo to a frame.
fn answer(frame: &[u8]) -> Vec<u8> {
    [&frame[6..12], &frame[..6], &frame[12..]].concat()
}

#[test]
fn frames_go_to_passt_and_back() {
    let (_directory, path) = place();
    let listener = UnixListener::bind(&path).expect("a socket");
    let mut guest = echo(&path).spawn();
    let mut peer = Peer::accept(&listener);
    guest.expect_printed("ready, mtu 1500", 1);
    let frames: Vec<_> = (1..=1500).map(|length| wire::frame(&vec![length as u8; length])).collect();
    // More than the sockets' buffers hold: a guest that does not read while it writes would block.
    for window in frames.chunks(100) {
        peer.send(window);
        for frame in window {
            assert_eq!(peer.receive(), answer(frame));
        }
    }
    peer.send(&[wire::frame(b"last")]);
    assert_eq!(peer.receive(), answer(&wire::frame(b"last")), "what was sent before the end goes out");
    guest.finish().expect_success();
}

#[test]
fn frames_that_come_in_pieces_are_put_together() {
    let (_directory, path) = place();
    let listener = UnixListener::bind(&path).expect("a socket");
    let mut guest = echo(&path).spawn();
    let mut peer = Peer::accept(&listener);
    guest.expect_printed("ready", 1);
    let frame = wire::frame(b"in pieces");
    for byte in [&(frame.len() as u32).to_be_bytes()[..], &frame].concat() {
        peer.0.write_all(&[byte]).expect("the guest takes it");
        std::thread::sleep(Duration::from_millis(1));
    }
    assert_eq!(peer.receive(), answer(&frame));
    peer.send(&[wire::frame(b"last")]);
    guest.finish().expect_success().expect_stdout("ready, mtu 1500\n2 frames\n");
}

#[test]
fn a_socket_that_nobody_has_or_hears_is_refused() {
    let (_directory, path) = place();
    let shown = path.display().to_string();
    echo(&path).run().expect_refusal(&["device 'net'", "there is no socket", &shown, "passt --socket"]);
    drop(UnixListener::bind(&path).expect("a socket"));
    echo(&path).run().expect_refusal(&["nobody listens", &shown]);
}

/// Checks that the tender reports a passt that does this, and that the guest runs on, without a network, until SIGTERM.
#[track_caller]
fn told_of(does: impl FnOnce(Peer), told: &str) {
    let (_directory, path) = place();
    let listener = UnixListener::bind(&path).expect("a socket");
    let mut guest = echo(&path).spawn();
    let peer = Peer::accept(&listener);
    guest.expect_printed("ready", 1);
    does(peer);
    guest.expect_told(told, 1);
    guest.expect_told("the guest has no network any more", 1);
    guest.signal("TERM", 1);
    guest.finish().expect_status(143);
}

#[test]
fn a_passt_that_ends_is_a_cable_that_was_pulled() {
    told_of(drop, "has closed its socket");
}

#[test]
fn a_passt_that_sends_nonsense_is_left() {
    told_of(|mut peer| peer.0.write_all(&[0, 0, 0, 13, 1]).expect("it is sent"), "sent a frame of 13 bytes");
    told_of(|mut peer| peer.0.write_all(&[0xff; 8]).expect("it is sent"), "sent a frame of 4294967295 bytes");
}

/// Returns true if passt is installed; otherwise skips loudly.
fn passt() -> bool {
    let found = Command::new("passt").arg("--version").stdout(Stdio::null()).stderr(Stdio::null()).status().is_ok();
    if !found {
        skip!("tests with passt, which is not installed");
    }
    found
}

#[test]
fn a_program_serves_through_passt() {
    if !passt() || !wire::alone() {
        return;
    }
    // passt gives the guest the addresses and routes of its own network.
    wire::ip("link add outside type veth peer name beyond");
    wire::ip("link set beyond up");
    wire::ip("address add 192.0.2.2/24 dev outside");
    wire::ip("link set outside up");
    wire::ip("route add default via 192.0.2.1");
    let (directory, path) = place();
    std::fs::set_permissions(directory.path(), Permissions::from_mode(0o777)).expect("it is ours");
    let mut passt = Command::new("passt")
        .args(["--foreground", "--tcp-ports", "7000:7", "--socket"])
        .arg(&path)
        .stderr(Stdio::null())
        .spawn()
        .expect("it is installed");
    let deadline = Instant::now() + PATIENCE;
    while !path.exists() && Instant::now() < deadline {
        std::thread::sleep(Duration::from_millis(10));
    }
    let mut guest = Guest::program("echo_server").flag(format!("--net=passt:{}", path.display())).spawn();
    let mut answer = [0; 5];
    let talk = |answer: &mut [u8; 5]| {
        let mut stream = TcpStream::connect("127.0.0.1:7000")?;
        stream.set_read_timeout(Some(Duration::from_secs(1)))?;
        stream.write_all(b"hello")?;
        stream.read_exact(answer)
    };
    while talk(&mut answer).is_err() && Instant::now() < deadline {
        std::thread::sleep(Duration::from_millis(50));
    }
    assert_eq!(&answer, b"hello");
    guest.signal("TERM", 1);
    guest.finish().expect_status(128 + libc::SIGTERM);
    let _ = passt.kill();
    let _ = passt.wait();
}

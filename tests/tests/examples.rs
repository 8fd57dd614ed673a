//! The examples, driven from outside by ordinary clients.

use husk_tests::network::Namespace;
use husk_tests::{Disk, Guest, build, requires, wire};
use std::io::{Read, Write};
use std::net::{Shutdown, TcpStream, UdpSocket};
use std::process::Command;
use std::thread;
use std::time::Duration;

/// Longest wait for an answer.
const PATIENCE: Duration = Duration::from_secs(20);

/// The server, on a TAP interface of a network of its own.
#[test]
fn a_web_server_answers_curl_and_stops_when_told() {
    if !requires::root() || !requires::tun() {
        return;
    }
    let network = Namespace::new();
    network.ip("tuntap add wire mode tap");
    network.ip("address add 10.1.1.1/24 dev wire");
    network.ip("link set wire up");
    let server = Guest::image(build::image("hello-http", "http")).flag("--net=tap:wire,ip=10.1.1.2/24");
    let mut running = network.run(|| server.spawn());
    running.expect_printed("listening on 0.0.0.0:8080\n", 1);
    let curl = |words: &[&str]| {
        let curl = Command::new("curl").args(["-sS", "--max-time", "20", "--retry-connrefused"]).args(words).output();
        let output = curl.expect("curl is installed");
        assert!(output.status.success(), "{}", String::from_utf8_lossy(&output.stderr));
        String::from_utf8_lossy(&output.stdout).into_owned()
    };
    network.run(|| {
        wire::wait_until_up("wire");
        assert_eq!(curl(&["10.1.1.2:8080/"]), "Hello from an ordinary web server\n");
        assert_eq!(curl(&["10.1.1.2:8080/hello/curl", "10.1.1.2:8080/hello/again"]), "Hello, curl\nHello, again\n");
        let numbers = [r#"--json"#, r#"{"numbers": [1.5, 2.5, -1]}"#, "10.1.1.2:8080/sum"];
        assert_eq!(curl(&numbers), r#"{"sum":3.0}"#);
    });
    running.signal("TERM", 1);
    running.finish().expect_success().expect_stdout("listening on 0.0.0.0:8080\nstopped\n");
}

/// Sends these bytes to the server at `address`, ends the stream, and returns the answer.
fn echo(address: &str, bytes: &[u8]) -> Vec<u8> {
    let mut stream = TcpStream::connect(address).expect("it listens");
    stream.set_read_timeout(Some(PATIENCE)).expect("a socket has timeouts");
    let mut writer = stream.try_clone().expect("a second descriptor");
    let mut received = Vec::new();
    thread::scope(|scope| {
        scope.spawn(move || {
            writer.write_all(bytes).expect("it reads");
            writer.shutdown(Shutdown::Write).expect("connected");
        });
        stream.read_to_end(&mut received).expect("it answers, and ends in order");
    });
    received
}

/// The native server of TCP and UDP, reached through published ports.
#[test]
fn an_echo_comes_back_from_a_program_without_an_operating_system() {
    if !wire::alone() {
        return;
    }
    let server = Guest::image(build::image("echo", "echo")).argument("4007");
    let mut running = server.flag("-p[::]:7777:4007").flag("-p7777:4007/udp").spawn();
    running.expect_printed("listening at port 4007\n", 1);
    let bytes: Vec<u8> = (0..3_000_000_u32).map(|at| (at / 7) as u8).collect();
    for address in ["127.0.0.1:7777", "[::1]:7777"] {
        assert!(echo(address, b"hello") == b"hello");
        assert!(echo(address, &bytes) == bytes);
    }
    let mut many: Vec<_> = (0..200).map(|_| TcpStream::connect("127.0.0.1:7777").expect("it listens")).collect();
    for (number, stream) in many.iter_mut().enumerate() {
        stream.write_all(&number.to_ne_bytes()).expect("connected");
    }
    for (number, stream) in many.iter_mut().enumerate() {
        let mut answer = [0; 8];
        stream.read_exact(&mut answer).expect("an answer");
        assert_eq!(usize::from_ne_bytes(answer), number);
    }
    let datagrams = UdpSocket::bind("127.0.0.1:0").expect("a free port");
    datagrams.set_read_timeout(Some(PATIENCE)).expect("a socket has timeouts");
    for length in [0, 1, 1000, 40_000] {
        datagrams.send_to(&bytes[..length], "127.0.0.1:7777").expect("it can be sent");
        let mut answer = vec![0; 1 << 16];
        let count = datagrams.recv(&mut answer).expect("an answer");
        assert!(answer[..count] == bytes[..length], "{count} of {length} bytes");
    }
}

#[test]
fn what_the_store_has_said_ok_to_is_found_again_after_it_was_killed() {
    let disk = Disk::empty(1 << 20);
    let flag = format!("--block={}", disk.path().display());
    let store = || Guest::image(build::image("disk", "disk")).flag(&flag).converse();
    let value = |round: usize, key: usize| format!("{} value {round} of {key}", "x".repeat(key * 97 % 700));
    let mut expected = vec![None; 10];
    for round in 0..6 {
        // The store is killed at the end of the block, without notice.
        let mut store = store();
        for (key, value) in expected.iter().enumerate() {
            let found = value.as_deref().unwrap_or("no such key");
            assert_eq!(store.ask(&format!("get {key}")), found, "round {round}");
        }
        for key in (round % 3..10).step_by(2) {
            assert_eq!(store.ask(&format!("set {key} {}", value(round, key))), "ok");
            expected[key] = Some(value(round, key));
        }
        assert_eq!(store.ask(&format!("del {round}")), "ok");
        expected[round] = None;
    }
    let mut store = store();
    let keys: Vec<_> = (0..10).filter(|key| expected[*key].is_some()).map(|key| key.to_string()).collect();
    assert_eq!(store.ask("list"), keys.join(" "));
    assert!(store.ask("help").starts_with("write set KEY VALUE"));
}

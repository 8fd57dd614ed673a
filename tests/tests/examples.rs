//! The examples, driven from outside by ordinary clients.

use husk_tests::network::Namespace;
use husk_tests::{Disk, Guest, build, requires};
use std::process::Command;

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
        assert_eq!(curl(&["10.1.1.2:8080/"]), "Hello from an ordinary web server\n");
        assert_eq!(curl(&["10.1.1.2:8080/hello/curl", "10.1.1.2:8080/hello/again"]), "Hello, curl\nHello, again\n");
        let numbers = [r#"--json"#, r#"{"numbers": [1.5, 2.5, -1]}"#, "10.1.1.2:8080/sum"];
        assert_eq!(curl(&numbers), r#"{"sum":3.0}"#);
    });
    running.signal("TERM", 1);
    running.finish().expect_success().expect_stdout("listening on 0.0.0.0:8080\nstopped\n");
}

#[test]
fn what_the_store_has_said_ok_to_is_found_again_after_it_was_killed() {
    let disk = Disk::empty(1 << 20);
    let flag = format!("--block={}", disk.path().display());
    let store = || Guest::image(build::image("disk", "disk")).flag(&flag).converse();
    let value = |round: usize, key: usize| format!("{} value {round} of {key}", "x".repeat(key * 97 % 700));
    let mut expected = vec![None; 10];
    for round in 0..6 {
        // It is killed at the end of the block, with nothing said before.
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

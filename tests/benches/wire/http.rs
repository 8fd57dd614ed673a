//! HTTP: the same server in a guest behind a TAP interface, and as a process behind a veth pair, with the same client.

use super::table::{Row, Sample, head, rows};
use husk_tests::network::{Http, Load, Server};
use std::time::Duration;

/// Duration of each load.
const DURATION: Duration = Duration::from_secs(2);
const CONNECTIONS: [usize; 3] = [1, 16, 256];

pub fn run(rounds: usize) {
    head("req");
    for connections in CONNECTIONS {
        let what = [
            Row::new(format!("requests/s, {connections} connections"), "has no HTTP"),
            Row::new(format!("p99 in us, {connections} connections"), ""),
        ];
        let native = || values(&load(&Server::native("hello-http", "http"), connections));
        rows(what, rounds, native, |target| {
            let server = Server::guest(target, "hello-http", "http");
            let load = load(&server, connections);
            Sample { values: values(&load), exits: server.exits() / load.answers as f64 }
        });
    }
}

fn load(server: &Server, connections: usize) -> Load {
    let address = format!("{}:8080", server.address).parse().expect("an address");
    let http = Http { server: address, path: "/".to_owned(), connections, duration: DURATION };
    server.client(|| http.run()).unwrap_or_else(|error| panic!("{connections} connections: {error}"))
}

fn values(load: &Load) -> [f64; 2] {
    [load.rate, load.p99.as_secs_f64() * 1e6]
}

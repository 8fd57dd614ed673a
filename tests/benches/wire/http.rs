//! HTTP over a network: the same server in a guest behind a TAP interface, and as a process behind a veth pair; the
//! client is the same, and all networks are made for this.
//!
//! `cargo bench -p husk-tests --bench http [-- ROUNDS]`; takes root.

use husk_tests::measure;
use husk_tests::network::{Http, Load, Server};
use std::time::Duration;

/// How long each load is measured.
const DURATION: Duration = Duration::from_secs(2);
const CONNECTIONS: [usize; 3] = [1, 16, 256];

fn load(server: &Server, connections: usize) -> Load {
    let address = format!("{}:8080", server.address).parse().expect("an address");
    let http = Http { server: address, path: "/".to_owned(), connections, duration: DURATION };
    server.client(|| http.run()).unwrap_or_else(|error| panic!("{connections} connections: {error}"))
}

fn main() {
    let rounds = measure::rounds(3);
    println!(
        "{:<12} {:>12} {:>12} {:>7} {:>12} {:>12} {:>7} {:>14}",
        "connections", "husk req/s", "linux req/s", "ratio", "husk p99 us", "linux p99 us", "ratio", "exits/request"
    );
    for connections in CONNECTIONS {
        let mut figures: [Vec<f64>; 7] = Default::default();
        for _ in 0..rounds {
            let servers = [Server::guest("hello-http", "http"), Server::native("hello-http", "http")];
            let loads = servers.each_ref().map(|server| load(server, connections));
            let [guest, _] = servers;
            let exits = guest.exits() / loads[0].answers as f64;
            let [rates, p99s] = [loads.map(|load| load.rate), loads.map(|load| load.p99.as_secs_f64() * 1e6)];
            let row = [rates[0], rates[1], rates[0] / rates[1], p99s[0], p99s[1], p99s[0] / p99s[1], exits];
            figures.iter_mut().zip(row).for_each(|(values, value)| values.push(value));
        }
        let [a, b, c, d, e, f, g] = figures.each_mut().map(|values| measure::median(values));
        println!("{connections:<12} {a:>12.0} {b:>12.0} {c:>7.3} {d:>12.0} {e:>12.0} {f:>7.3} {g:>14.4}");
    }
}

//! HTTP over a network: the same server in a guest behind a TAP interface, and as a process behind a veth pair; the
//! client is the same, and all networks are made for this.

use husk_tests::network::{Http, Load, Namespace};
use husk_tests::{build, measure};
use std::process::{Child, Command, Stdio};
use std::time::Duration;

/// How long each load is measured.
const DURATION: Duration = Duration::from_secs(2);
const CONNECTIONS: [usize; 3] = [1, 16, 256];

/// A server that is ended when it is not needed any more, and the network that its client is in.
struct Server {
    process: Child,
    client: Namespace,
    /// Kept, as the process is in there.
    _there: Option<Namespace>,
    address: &'static str,
}

impl Server {
    fn native() -> Self {
        let [client, there] = Namespace::pair("client", "server");
        client.ip("address add 10.1.0.1/24 dev client");
        there.ip("address add 10.1.0.2/24 dev server");
        let server = build::native("hello-http", "http");
        let process = there.run(|| started(&mut Command::new(server)));
        Self { process, client, _there: Some(there), address: "10.1.0.2:8080" }
    }

    fn guest() -> Self {
        let client = Namespace::new();
        client.ip("tuntap add wire mode tap");
        client.ip("address add 10.1.1.1/24 dev wire");
        client.ip("link set wire up");
        let image = build::image("hello-http", "http");
        let husk = build::husk();
        let process =
            client.run(|| started(Command::new(husk).args(["run", "--net", "tap:wire,ip=10.1.1.2/24"]).arg(image)));
        Self { process, client, _there: None, address: "10.1.1.2:8080" }
    }

    fn load(&self, connections: usize) -> Load {
        let server = self.address.parse().expect("an address");
        let http = Http { server, path: "/".to_owned(), connections, duration: DURATION };
        self.client.run(|| http.run()).unwrap_or_else(|error| panic!("{connections} connections: {error}"))
    }
}

impl Drop for Server {
    fn drop(&mut self) {
        let _ = self.process.kill();
        let _ = self.process.wait();
    }
}

fn started(command: &mut Command) -> Child {
    command.stdin(Stdio::null()).stdout(Stdio::null()).spawn().expect("the server starts")
}

fn main() {
    let rounds = measure::rounds(3);
    println!(
        "{:<12} {:>12} {:>12} {:>7} {:>12} {:>12} {:>7}",
        "connections", "husk req/s", "linux req/s", "ratio", "husk p99 us", "linux p99 us", "ratio"
    );
    let (guest, native) = (Server::guest(), Server::native());
    for connections in CONNECTIONS {
        let mut figures: [Vec<f64>; 6] = Default::default();
        for _ in 0..rounds {
            let loads = [&guest, &native].map(|server| server.load(connections));
            let [rates, p99s] = [loads.map(|load| load.rate), loads.map(|load| load.p99.as_secs_f64() * 1e6)];
            let row = [rates[0], rates[1], rates[0] / rates[1], p99s[0], p99s[1], p99s[0] / p99s[1]];
            figures.iter_mut().zip(row).for_each(|(values, value)| values.push(value));
        }
        let [a, b, c, d, e, f] = figures.each_mut().map(|values| measure::median(values));
        println!("{connections:<12} {a:>12.0} {b:>12.0} {c:>7.3} {d:>12.0} {e:>12.0} {f:>7.3}");
    }
}

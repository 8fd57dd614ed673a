//! A server and its client, each in a network namespace of its own, connected by a wire: the same program in a guest behind a
//! TAP interface, and as a process behind a veth pair.

use super::Namespace;
use crate::{Target, build, measure};
use std::io::Read;
use std::process::{Child, Command, Stdio};
use std::thread;
use std::time::{Duration, Instant};

/// Time limit of the server's termination.
const PATIENCE: Duration = Duration::from_secs(20);

/// A running server; dropping it ends the server.
#[derive(Debug)]
pub struct Server {
    process: Child,
    client: Namespace,
    /// Namespace of the process, kept alive for it.
    _there: Option<Namespace>,
    /// Address of the server, as the client sees it.
    pub address: &'static str,
}

impl Server {
    /// Starts the binary `name` of `package` as a process.
    pub fn native(package: &str, name: &str) -> Self {
        let [client, there] = Namespace::pair("client", "server");
        client.ip("address add 10.1.0.1/24 dev client");
        there.ip("address add 10.1.0.2/24 dev server");
        let server = build::native(package, name);
        let process = there.run(|| started(&mut Command::new(server)));
        Self { process, client, _there: Some(there), address: "10.1.0.2" }
    }

    /// Starts the binary `name` of `package` as a guest.
    pub fn guest(target: Target, package: &str, name: &str) -> Self {
        let client = Namespace::new();
        client.ip("tuntap add wire mode tap");
        client.ip("address add 10.1.1.1/24 dev wire");
        client.ip("link set wire up");
        let (image, husk) = (build::image(package, name), build::husk());
        let run = ["run", target.flag(), "--verbose", "--net", "tap:wire,ip=10.1.1.2/24"];
        let process = client.run(|| started(Command::new(husk).args(run).arg(image)));
        Self { process, client, _there: None, address: "10.1.1.2" }
    }

    /// Calls `what` in the client's namespace.
    pub fn client<T: Send>(&self, what: impl FnOnce() -> T + Send) -> T {
        self.client.run(what)
    }

    /// Ends the server. Returns the number of its exits to the tender, if it is a guest.
    pub fn exits(mut self) -> f64 {
        self.end();
        let mut told = String::new();
        if let Some(stderr) = &mut self.process.stderr {
            let _ = stderr.read_to_string(&mut told);
        }
        measure::exits(&told)
    }

    fn end(&mut self) {
        if !matches!(self.process.try_wait(), Ok(None)) {
            return;
        }
        // A tender prints its statistics when it is terminated.
        let pid = self.process.id().to_string();
        let _ = Command::new("kill").arg(pid).status();
        let deadline = Instant::now() + PATIENCE;
        while matches!(self.process.try_wait(), Ok(None)) {
            if Instant::now() > deadline {
                eprintln!("a server does not end within {PATIENCE:?} when it is asked to, and is killed");
                let _ = self.process.kill();
            }
            thread::sleep(Duration::from_millis(1));
        }
    }
}

impl Drop for Server {
    fn drop(&mut self) {
        self.end();
    }
}

fn started(command: &mut Command) -> Child {
    command.stdin(Stdio::null()).stdout(Stdio::null()).stderr(Stdio::piped()).spawn().expect("the server starts")
}

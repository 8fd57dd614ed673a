//! A server and its client, each in a network of its own, with a wire between: the same program in a guest behind a TAP
//! interface, and as a process behind a veth pair.

use super::Namespace;
use crate::{Target, build, measure};
use std::io::Read;
use std::process::{Child, Command, Stdio};
use std::thread;
use std::time::{Duration, Instant};

/// How long it may take to end.
const PATIENCE: Duration = Duration::from_secs(20);

/// A server that is ended when it is not needed any more.
#[derive(Debug)]
pub struct Server {
    process: Child,
    client: Namespace,
    /// Kept, as the process is in there.
    _there: Option<Namespace>,
    /// Where it is, for the client.
    pub address: &'static str,
}

impl Server {
    /// The binary `name` of `package` as a process.
    pub fn native(package: &str, name: &str) -> Self {
        let [client, there] = Namespace::pair("client", "server");
        client.ip("address add 10.1.0.1/24 dev client");
        there.ip("address add 10.1.0.2/24 dev server");
        let server = build::native(package, name);
        let process = there.run(|| started(&mut Command::new(server)));
        Self { process, client, _there: Some(there), address: "10.1.0.2" }
    }

    /// The same as a guest.
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

    /// Does `what` where the client is.
    pub fn client<T: Send>(&self, what: impl FnOnce() -> T + Send) -> T {
        self.client.run(what)
    }

    /// Ends it. How often it has left for its tender, if it is a guest.
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
        // A guest tells what it has done when it is asked to end.
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

//! An unnamed network namespace: the kernel removes it, with all its interfaces, when its last user is gone, however the test
//! ends.

#![expect(unsafe_code, reason = "namespaces have no other interface")]

use std::fs::File;
use std::io;
use std::os::fd::AsRawFd;
use std::process::Command;
use std::sync::OnceLock;
use std::thread;

/// Network namespace of the process at its start, set when a thread first leaves it.
static ORIGINAL: OnceLock<Namespace> = OnceLock::new();

/// Calls `what` in the network namespace of the process at its start, because a build may have to download its dependencies.
pub fn in_original<T: Send>(what: impl FnOnce() -> T + Send) -> T {
    match ORIGINAL.get() {
        Some(original) => original.run(what),
        None => what(),
    }
}

/// Returns the network namespace of the calling thread.
fn current() -> File {
    File::open("/proc/thread-self/ns/net").expect("our own thread")
}

/// Moves the calling thread, and the processes that it starts from now on, to a new network namespace with a loopback interface
/// only; requires root.
pub fn leave() {
    ORIGINAL.get_or_init(|| Namespace(current()));
    // SAFETY: takes a number only, and changes the calling thread's network namespace.
    let result = unsafe { libc::unshare(libc::CLONE_NEWNET) };
    assert_eq!(result, 0, "root may make network namespaces: {}", io::Error::last_os_error());
    ip("link set lo up");
}

/// Runs an `ip` command, which must succeed, in the network namespace of the calling thread.
#[track_caller]
pub fn ip(words: &str) {
    let output = Command::new("ip").args(words.split_whitespace()).output().expect("iproute2 is installed");
    assert!(output.status.success(), "ip {words}: {}", String::from_utf8_lossy(&output.stderr));
}

/// A network namespace with a loopback interface that is up.
#[derive(Debug)]
pub struct Namespace(File);

impl Default for Namespace {
    fn default() -> Self {
        Self::new()
    }
}

impl Namespace {
    /// Creates a namespace; requires root.
    pub fn new() -> Self {
        let make = || {
            leave();
            current()
        };
        Self(thread::scope(|scope| scope.spawn(make).join()).expect("it does not panic"))
    }

    /// Creates two namespaces that a veth pair connects: `here` is its end in the first, `there` in the second. Neither end has
    /// an address, and both are up.
    pub fn pair(here: &str, there: &str) -> [Self; 2] {
        let pair = [Self::new(), Self::new()];
        let other = format!("/proc/{}/fd/{}", std::process::id(), pair[1].0.as_raw_fd());
        pair[0].ip(&format!("link add {here} type veth peer name {there} netns {other}"));
        pair[0].ip(&format!("link set {here} up"));
        pair[1].ip(&format!("link set {there} up"));
        pair
    }

    /// Runs an `ip` command in the namespace.
    #[track_caller]
    pub fn ip(&self, words: &str) {
        self.run(|| ip(words));
    }

    /// Calls `what` in the namespace, in a thread of its own: sockets and processes that it creates belong to this namespace
    /// permanently.
    pub fn run<T: Send>(&self, what: impl FnOnce() -> T + Send) -> T {
        let there = || {
            // SAFETY: the descriptor is open while `self` lives.
            let result = unsafe { libc::setns(self.0.as_raw_fd(), libc::CLONE_NEWNET) };
            assert_eq!(result, 0, "we made it: {}", io::Error::last_os_error());
            what()
        };
        let result = thread::scope(|scope| scope.spawn(there).join());
        result.unwrap_or_else(|panic| std::panic::resume_unwind(panic))
    }
}

#[cfg(test)]
mod tests {
    use super::*;
    use crate::requires;
    use std::path::PathBuf;

    fn network() -> PathBuf {
        std::fs::read_link("/proc/thread-self/ns/net").expect("our own thread")
    }

    #[test]
    fn what_is_built_for_a_network_without_a_way_out_is_built_outside_it() {
        let original = network();
        assert_eq!(in_original(network), original);
        if !requires::root() {
            return;
        }
        leave();
        assert_ne!(network(), original);
        assert_eq!(in_original(network), original);
        Namespace::new().run(|| assert_eq!(in_original(network), original));
    }
}

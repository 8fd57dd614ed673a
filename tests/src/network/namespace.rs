//! A network namespace without a name: it is gone, with all its interfaces, when nobody holds it any more, however the
//! test ends.

#![expect(unsafe_code, reason = "namespaces have no other interface")]

use std::fs::File;
use std::io;
use std::os::fd::AsRawFd;
use std::process::Command;
use std::sync::OnceLock;
use std::thread;

/// The network that this process was started in, once a thread has left it.
static ORIGINAL: OnceLock<Namespace> = OnceLock::new();

/// Does `what` in the network that this process was started in, whichever one the calling thread has: what is built may have
/// to be fetched first.
pub fn in_original<T: Send>(what: impl FnOnce() -> T + Send) -> T {
    match ORIGINAL.get() {
        Some(original) => original.run(what),
        None => what(),
    }
}

/// The network of the calling thread.
fn current() -> File {
    File::open("/proc/thread-self/ns/net").expect("our own thread")
}

/// Gives the calling thread, and the processes that it starts from now on, a network of its own, in which there is nothing
/// but a loopback; takes root.
pub fn leave() {
    ORIGINAL.get_or_init(|| Namespace(current()));
    // SAFETY: has no conditions.
    let result = unsafe { libc::unshare(libc::CLONE_NEWNET) };
    assert_eq!(result, 0, "root may make network namespaces: {}", io::Error::last_os_error());
    ip("link set lo up");
}

/// Carries out an `ip` command, which must succeed, in the network of the calling thread.
#[track_caller]
pub fn ip(words: &str) {
    let output = Command::new("ip").args(words.split_whitespace()).output().expect("iproute2 is installed");
    assert!(output.status.success(), "ip {words}: {}", String::from_utf8_lossy(&output.stderr));
}

/// A network of its own, with a loopback interface that is up.
#[derive(Debug)]
pub struct Namespace(File);

impl Default for Namespace {
    fn default() -> Self {
        Self::new()
    }
}

impl Namespace {
    /// A new one; takes root.
    pub fn new() -> Self {
        let make = || {
            leave();
            current()
        };
        Self(thread::scope(|scope| scope.spawn(make).join()).expect("it does not panic"))
    }

    /// Two of them, with a wire between: `here` is its end in the first, `there` that in the second. Neither end has an
    /// address, and both are up.
    pub fn pair(here: &str, there: &str) -> [Self; 2] {
        let pair = [Self::new(), Self::new()];
        let other = format!("/proc/{}/fd/{}", std::process::id(), pair[1].0.as_raw_fd());
        pair[0].ip(&format!("link add {here} type veth peer name {there} netns {other}"));
        pair[0].ip(&format!("link set {here} up"));
        pair[1].ip(&format!("link set {there} up"));
        pair
    }

    /// Carries out an `ip` command there.
    #[track_caller]
    pub fn ip(&self, words: &str) {
        self.run(|| ip(words));
    }

    /// Does `what` there, in a thread of its own: sockets that it makes and processes that it starts belong to this
    /// network for good.
    pub fn run<T: Send>(&self, what: impl FnOnce() -> T + Send) -> T {
        let there = || {
            // SAFETY: the descriptor is open as long as `self` lives.
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

//! Properties of sockets that a program cannot see: which files get news, and that closed sockets leave nothing behind.

use super::address::Family;
use super::{Net, Protocol, SocketKey};
use crate::errno::Errno;
use crate::fs::Files;
use crate::fs::buffers::Buffers;
use crate::fs::inode::Time;
use crate::fs::socket::AnySocket;
use crate::fs::socket::address::Posting;
use crate::fs::tests::Fakes;
use crate::syscall_result::Stop;
use core::net::SocketAddr;

struct Machine {
    net: Net,
    files: Files,
    devices: Fakes,
}

impl Machine {
    fn new() -> Self {
        let files = Files::empty(1 << 20, Time::from_ns(0)).expect("memory");
        Self { net: Net::default(), files, devices: Fakes::default() }
    }

    fn open(&mut self, protocol: Protocol) -> (i32, SocketKey) {
        let now = Time::from_ns(0);
        let file = self.net.open(&mut self.files, protocol, Family::V4, 0, now).expect("memory");
        match self.files.socket(file).expect("open") {
            AnySocket::Internet(key) => (file, key),
            AnySocket::Unix(_) => panic!("of another family"),
        }
    }

    fn connect(&mut self, key: SocketKey, to: SocketAddr) -> Result<(), Stop> {
        self.net.connect(&mut self.files, &mut self.devices, key, Some(to), false)
    }

    fn accept(&mut self, key: SocketKey) -> Result<(i32, SocketAddr), Stop> {
        self.net.accept(&mut self.files, key, 0, true, Time::from_ns(0))
    }

    fn send(&mut self, key: SocketKey, bytes: &[u8]) -> Result<u64, Stop> {
        self.net.send(&mut self.files, &mut self.devices, key, Buffers::own(bytes), &Posting::default(), true)
    }

    /// Closes a descriptor, and the sockets that it orphans.
    fn close(&mut self, file: i32) {
        self.files.close(file).expect("open");
        while let Some(orphan) = self.files.orphans.pop() {
            self.net.close(&mut self.files, orphan);
        }
    }

    fn listener(&mut self) -> (i32, SocketKey, SocketAddr) {
        let (file, key) = self.open(Protocol::Tcp);
        self.net.listen(&mut self.files, &mut self.devices, key, 8).expect("memory");
        (file, key, SocketAddr::new([127, 0, 0, 1].into(), self.net.name(key).port()))
    }
}

#[test]
fn nothing_is_left_of_what_is_closed() {
    let mut machine = Machine::new();
    let before = machine.files.quota.used;
    let (listener, listening, address) = machine.listener();
    let (first, a) = machine.open(Protocol::Tcp);
    let (second, b) = machine.open(Protocol::Tcp);
    machine.connect(a, address).expect("a place");
    machine.connect(b, address).expect("a place");
    let (accepted, _) = machine.accept(listening).expect("it waits");
    machine.send(a, b"never read").expect("room");
    machine.send(b, b"never accepted").expect("room");
    assert!(machine.files.quota.used > before);
    for file in [listener, first, second, accepted] {
        machine.close(file);
    }
    assert!(machine.net.sockets.is_empty());
    assert_eq!(machine.files.quota.used, before);
}

#[test]
fn who_is_connected_waits_for_nobody_else() {
    let mut machine = Machine::new();
    let (_, listening, address) = machine.listener();
    let (_, client) = machine.open(Protocol::Tcp);
    machine.connect(client, address).expect("a place");
    machine.accept(listening).expect("it waits");
    while machine.files.ready_list.take().is_some() {}
    machine.send(client, b"x").expect("room");
    let reported = machine.files.ready_list.take().expect("the other end");
    assert_ne!(Some(reported), machine.net.sockets[client].node);
    assert_eq!((machine.files.ready_list.take(), machine.accept(listening)), (None, Err(Errno::EAGAIN.into())));
}

#[test]
fn ports_come_back() {
    let mut machine = Machine::new();
    let (_, _, address) = machine.listener();
    // More than there are ephemeral ports.
    for _ in 0..30_000 {
        let (file, key) = machine.open(Protocol::Tcp);
        machine.connect(key, address).ok();
        machine.close(file);
    }
    let (_, key) = machine.open(Protocol::Udp);
    assert_eq!(machine.net.bind(&mut machine.devices, key, address), Ok(()), "another protocol");
}

//! Hardware addresses: what waits for one waits for no other, and leaves as soon as the neighbour has answered.

use super::*;
use std::net::IpAddr;

/// Time in which a neighbour answers, with room to spare; far below the second after which a request is repeated.
const SOON: u64 = 20 * MILLISECOND;
/// Address of no machine.
const NOWHERE: [u8; 4] = [10, 0, 0, 9];

/// Frame of the machine `from` that gives its hardware address to the machine `to`: an ARP reply (RFC 826).
fn reply(from: u8, to: u8) -> Vec<u8> {
    let mac = |number| [2, 0, 0, 0, 0, number];
    let (from, to) = ((mac(from), [10, 0, 0, from]), (mac(to), [10, 0, 0, to]));
    [&to.0[..], &from.0, &[8, 6, 0, 1, 8, 0, 6, 4, 0, 2], &from.0, &from.1, &to.0, &to.1].concat()
}

/// Returns a cable on which the client knows the server's hardware address, as it does if the server was started again.
fn known_server() -> Cable {
    let cable = Cable::new();
    let frame = reply(cable.server.address[3], cable.client.address[3]);
    let mut client = cable.client;
    client.incoming.lock().expect("one thread").push_back(frame);
    client.poll(cable.now);
    Cable { client, ..cable }
}

#[test]
fn a_peer_that_knows_the_address_connects_at_once() {
    let mut cable = known_server();
    cable.server.owner.backlog = Some(4);
    cable.client.connect(50_000, cable.server.address, cable.now);
    cable.run(SOON);
    assert_eq!(cable.server.owner.pending.len(), 1);
}

#[test]
fn a_peer_that_knows_the_address_is_refused_at_once() {
    let mut cable = known_server();
    let slot = cable.client.connect(50_000, cable.server.address, cable.now);
    cable.run(SOON);
    assert_eq!(cable.client.owner.end(slot), Some(Err(Error::Refused)));
}

#[test]
fn a_peer_that_knows_the_address_gets_the_answer_to_its_first_datagram() {
    let mut cable = known_server();
    let from = cable.client.bind();
    cable.client.send(from, b"anybody?", cable.server.address, cable.now).expect("room");
    cable.run(SOON);
    assert_eq!(cable.client.owner.refused.len(), 1);
}

#[test]
fn several_neighbours_are_asked_for_at_a_time() {
    let mut cable = Cable::new();
    let (from, _) = (cable.client.bind(), cable.server.bind());
    let v6 = |number| IpAddr::from([0xfd00, 0, 0, 0, 0, 0, 0, number]);
    cable.client.connect(50_000, NOWHERE, cable.now);
    cable.client.send(from, b"4", cable.server.address, cable.now).expect("room");
    let ends = (v6(1), SocketAddr::new(v6(2), PORT));
    let sent = cable.client.owner.datagrams(from).send(1514, v6(2), ends, 1, |room| room.copy_from_slice(b"6"));
    sent.expect("room");
    cable.client.device.poll_socket(&mut cable.client.owner, from, cable.now);
    cable.run(SOON);
    assert_eq!(cable.server.owner.received, [b"4", b"6"]);
}

#[test]
fn datagrams_for_a_machine_that_is_not_there_hold_up_no_others_and_are_dropped() {
    let mut cable = Cable::new();
    let (from, _) = (cable.client.bind(), cable.server.bind());
    cable.client.send(from, b"lost", NOWHERE, cable.now).expect("room");
    cable.client.send(from, b"", cable.server.address, cable.now).expect("room");
    cable.run(SOON);
    assert_eq!(cable.server.owner.received, [b""]);
    // A sender that goes on is never kept from it, nor does it prolong the wait.
    let started = cable.now;
    while cable.now < started + 10_000 * MILLISECOND {
        for to in [NOWHERE, cable.server.address] {
            assert_eq!(cable.client.send(from, b"x", to, cable.now), Ok(()));
        }
        cable.run(10 * MILLISECOND);
    }
    assert_eq!(cable.server.owner.received.len(), 1 + 1000);
    cable.run(4000 * MILLISECOND);
    assert!(cable.client.owner.datagrams(from).is_sent());
}

#[test]
fn datagrams_for_many_machines_that_are_not_there_hold_up_no_others() {
    let mut cable = Cable::new();
    let (from, _) = (cable.client.bind(), cable.server.bind());
    (100..130).for_each(|last| assert_eq!(cable.client.send(from, b"lost", [10, 0, 0, last], cable.now), Ok(())));
    cable.client.send(from, b"x", cable.server.address, cable.now).expect("room");
    cable.run(SOON);
    assert_eq!(cable.server.owner.received, [b"x"]);
}

#[test]
fn datagrams_report_room_after_the_device_had_none() {
    let mut cable = known_server();
    let (from, _) = (cable.client.bind(), cable.server.bind());
    let sent = (0..2000).take_while(|_| cable.client.send(from, b"x", cable.server.address, cable.now).is_ok()).count();
    assert!(cable.client.owner.datagrams(from).is_full());
    cable.run(SOON);
    assert_eq!(cable.client.owner.has_room, [from]);
    assert_eq!(cable.server.owner.received.len(), sent);
}

#[test]
fn an_idle_connection_goes_on_without_a_timeout() {
    let mut cable = Cable::new();
    let (client, server) = cable.connected();
    cable.run(120_000 * MILLISECOND);
    cable.client.write(client, b"still there?", cable.now);
    cable.run(SOON);
    assert_eq!(cable.server.read(server), b"still there?");
    assert_eq!(cable.client.owner.stream(client).tcp().send_queue(), 0, "acknowledged");
}

#[test]
fn a_machine_announces_its_addresses() {
    let mut cable = Cable::new();
    cable.client.poll(cable.now);
    let mut announced = Vec::new();
    while let Some(frame) = cable.client.outgoing.lock().expect("one thread").pop_front() {
        match frame[12..14] {
            // An ARP request for the sender's own address, to all.
            [8, 6] if frame[..6] == [0xff; 6] && frame[28..32] == frame[38..42] => {
                announced.push(frame[28..32].to_vec())
            }
            // A neighbour advertisement with the flag OVERRIDE, to all.
            [0x86, 0xdd] if frame[54] == 136 && frame[58] == 0x20 => announced.push(frame[62..78].to_vec()),
            _ => {}
        }
    }
    let mut v6 = [0; 16];
    (v6[0], v6[15]) = (0xfd, 1);
    let local = [0xfe, 0x80, 0, 0, 0, 0, 0, 0, 0, 0, 0, 0xff, 0xfe, 0, 0, 1];
    assert_eq!(announced, [&local[..], &[10, 0, 0, 1], &v6]);
}

#[test]
fn a_neighbour_follows_an_address_to_another_machine() {
    let mut cable = known_server();
    let from = cable.client.bind();
    // The machine 2 is gone, and its address is at the hardware address 3.
    let mut announcement = reply(2, 1);
    announcement[..6].fill(0xff);
    // Both sender's hardware addresses, and the operation: a request.
    (announcement[11], announcement[27], announcement[21]) = (3, 3, 1);
    announcement[38..42].copy_from_slice(&[10, 0, 0, 2]);
    cable.client.incoming.lock().expect("one thread").push_back(announcement);
    cable.client.poll(cable.now);
    cable.client.send(from, b"x", cable.server.address, cable.now).expect("room");
    let frame = cable.client.outgoing.lock().expect("one thread").pop_back().expect("sent");
    assert_eq!(frame[..6], [2, 0, 0, 0, 0, 3]);
}

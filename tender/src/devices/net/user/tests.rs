//! Tests with well-formed frames, and with frames corrupted at random.

use super::addresses::{Place, place};
use super::*;
use crate::fuzz::sample::Numbers;
use std::net::SocketAddr;

fn network() -> Network {
    Network::open(&Options::default(), addresses::GUEST_MAC).expect("the host has a descriptor")
}

/// Well-formed frames as a start: one of each kind that the parser distinguishes.
fn samples() -> Vec<Vec<u8>> {
    let frame = |protocol: u16, payload: &[u8]| {
        let mut frame = [&addresses::OUR_MAC[..], &addresses::GUEST_MAC[..], &protocol.to_be_bytes()[..]].concat();
        frame.extend_from_slice(payload);
        frame
    };
    let v4 = |protocol: u8, to: [u8; 4], payload: &[u8]| {
        let length = (20 + payload.len() as u16).to_be_bytes();
        let header =
            [0x45, 0, length[0], length[1], 0, 0, 0, 0, 64, protocol, 0, 0, 10, 0, 2, 15, to[0], to[1], to[2], to[3]];
        frame(0x0800, &[&header[..], payload].concat())
    };
    let v6 = |protocol: u8, payload: &[u8]| {
        let length = (payload.len() as u16).to_be_bytes();
        let header = [0x60, 0, 0, 0, length[0], length[1], protocol, 255];
        let (from, to) = (addresses::v6(0x15).octets(), addresses::v6(2).octets());
        frame(0x86dd, &[&header[..], &from, &to, payload].concat())
    };
    let arp = [0, 1, 8, 0, 6, 4, 0, 1, 2, 0, 0, 0, 0, 1, 10, 0, 2, 15, 0, 0, 0, 0, 0, 0, 10, 0, 2, 2];
    let syn = [0x12, 0x34, 0, 80, 0, 0, 0, 1, 0, 0, 0, 0, 0x60, 2, 0x40, 0, 0, 0, 0, 0, 2, 4, 5, 0xb4];
    let udp = [0x12, 0x34, 0, 67, 0, 12, 0, 0, 1, 2, 3, 4];
    let ping = [8, 0, 0, 0, 0, 1, 0, 2, 9, 9];
    let mut discover = vec![0x0, 68, 0, 67, 0, 0, 0, 0];
    discover.extend([1, 1, 6, 0, 1, 2, 3, 4, 0, 0, 0, 0]);
    discover.extend([0; 16]);
    discover.extend(addresses::GUEST_MAC);
    discover.extend([0; 10 + 64 + 128]);
    discover.extend([0x63, 0x82, 0x53, 0x63, 53, 1, 1, 61, 7, 1, 2, 0, 0, 0, 0, 1, 55, 2, 1, 3, 255]);
    let length = (discover.len() as u16).to_be_bytes();
    discover[4..6].copy_from_slice(&length);
    let mut solicitation = vec![135, 0, 0, 0, 0, 0, 0, 0];
    solicitation.extend(addresses::v6(2).octets());
    solicitation.extend([1, 1, 2, 0, 0, 0, 0, 1]);
    vec![
        frame(0x0806, &arp),
        v4(6, [10, 0, 2, 2], &syn),
        v4(17, [10, 0, 2, 2], &udp),
        v4(17, [255, 255, 255, 255], &discover),
        v4(1, [10, 0, 2, 2], &ping),
        v6(58, &solicitation),
        v6(58, &[133, 0, 0, 0, 0, 0, 0, 0]),
        v6(58, &[128, 0, 0, 0, 0, 1, 0, 2, 7]),
        v6(6, &syn),
        v6(17, &udp),
    ]
}

#[test]
fn each_sample_is_understood() {
    let kinds: Vec<_> = samples().iter().map(|sample| Packet::parse(sample).is_some()).collect();
    assert!(kinds.iter().all(|understood| *understood), "{kinds:?}");
    let mut network = network();
    let mut answered = 0;
    for sample in samples() {
        network.take(&sample);
        while network.rx_queue.first().is_some() {
            network.rx_queue.pop();
            answered += 1;
        }
    }
    // All are answered but a datagram to the gateway, which is almost a DHCP message.
    assert_eq!(answered, samples().len() - 1);
}

#[test]
fn parts_of_packets_are_dropped() {
    const V4_FRAGMENT: usize = 20;
    let sample = samples().into_iter().find(|sample| matches!(Packet::parse(sample), Some((Packet::Udp { .. }, _))));
    let whole = sample.expect("there is a datagram");
    for part in [[0x20, 0], [0, 1], [0x3f, 0xff]] {
        let mut frame = whole.clone();
        frame[V4_FRAGMENT..V4_FRAGMENT + 2].copy_from_slice(&part);
        assert_eq!(Packet::parse(&frame), None, "{part:?}");
    }
}

#[test]
fn no_frame_upsets_the_network() {
    let mut network = network();
    let samples = samples();
    let mut numbers = Numbers(0x1234_5678_9abc_def1);
    for _ in 0..100_000 {
        let mut frame = samples[numbers.random() as usize % samples.len()].clone();
        for _ in 0..numbers.random() % 6 {
            let at = numbers.random() as usize % frame.len();
            frame[at] = numbers.random() as u8;
        }
        if numbers.random().is_multiple_of(4) {
            frame.truncate(numbers.random() as usize % (frame.len() + 1));
        }
        if let Some((packet, _)) = Packet::parse(&frame) {
            // A test must not contact hosts outside.
            let is_ours = |far: SocketAddr| place(far.ip()) != Place::Outside;
            match packet {
                Packet::Tcp { pair, .. } | Packet::Udp { pair, .. } if !is_ours(pair.far) => continue,
                Packet::Echo(echo) if place(echo.far) == Place::Outside => continue,
                Packet::Udp { pair, .. } | Packet::Tcp { pair, .. } if place(pair.far.ip()) == Place::NameServer => {
                    continue;
                }
                _ => network.take(&frame),
            }
        }
        network.work();
        while network.rx_queue.first().is_some() {
            network.rx_queue.pop();
        }
    }
}

//! The Internet checksum as the network stack takes it: verified in a frame that arrives, left to the device in one that is sent.
//! `cargo bench -p husk --features internet`

#![allow(dead_code, reason = "the tests of the file are not run here")]

#[path = "../src/internet/offload.rs"]
mod offload;

use criterion::{Criterion, Throughput};
use husk_abi::device::FRAME_HEADER;
use smoltcp::wire::{EthernetFrame, EthernetProtocol, IpAddress, IpProtocol, Ipv4Packet, Ipv6Packet, TcpPacket};
use std::hint::black_box;

/// Bytes of a TCP header without options.
const TCP_HEADER: usize = 20;

/// Returns a frame with a segment of this many bytes, and its checksum.
fn frame(from: IpAddress, to: IpAddress, length: usize) -> Vec<u8> {
    let header = if matches!(from, IpAddress::Ipv4(_)) { 20 } else { 40 };
    let mut frame = vec![0; FRAME_HEADER + header + TCP_HEADER + length];
    let mut ethernet = EthernetFrame::new_unchecked(&mut frame);
    match (from, to) {
        (IpAddress::Ipv4(from), IpAddress::Ipv4(to)) => {
            ethernet.set_ethertype(EthernetProtocol::Ipv4);
            let mut packet = Ipv4Packet::new_unchecked(ethernet.payload_mut());
            packet.set_version(4);
            packet.set_header_len(header as u8);
            packet.set_total_len((header + TCP_HEADER + length) as u16);
            packet.set_next_header(IpProtocol::Tcp);
            packet.set_src_addr(from);
            packet.set_dst_addr(to);
        }
        (IpAddress::Ipv6(from), IpAddress::Ipv6(to)) => {
            ethernet.set_ethertype(EthernetProtocol::Ipv6);
            let mut packet = Ipv6Packet::new_unchecked(ethernet.payload_mut());
            packet.set_version(6);
            packet.set_payload_len((TCP_HEADER + length) as u16);
            packet.set_next_header(IpProtocol::Tcp);
            packet.set_src_addr(from);
            packet.set_dst_addr(to);
        }
        _ => panic!("two addresses of one version"),
    }
    let mut segment = TcpPacket::new_unchecked(&mut frame[FRAME_HEADER + header..]);
    segment.set_header_len(TCP_HEADER as u8);
    segment.payload_mut().iter_mut().zip(0u8..=u8::MAX).for_each(|(byte, value)| *byte = value);
    segment.fill_checksum(&from, &to);
    frame
}

fn checksum(criterion: &mut Criterion) {
    let mut group = criterion.benchmark_group("checksum");
    for (name, [from, to]) in [("IPv4", ["10.0.0.1", "10.0.0.2"]), ("IPv6", ["fd00::1", "fd00::2"])] {
        let [from, to] = [from, to].map(|address| address.parse().expect("an address"));
        for length in [0, 1440] {
            let whole = frame(from, to, length);
            assert!(offload::is_right(&whole));
            let mut wrong = whole.clone();
            wrong.last_mut().map(|byte| *byte ^= 1).expect("not empty");
            assert!(!offload::is_right(&wrong));
            group.throughput(Throughput::Bytes(whole.len() as u64));
            let verify = || offload::is_right(black_box(&whole));
            group.bench_function(format!("{name}, {length} bytes, verified"), |bench| bench.iter(verify));
            let mut sent = whole.clone();
            let mut leave_out = || offload::leave_out(black_box(&mut sent), 0);
            group.bench_function(format!("{name}, {length} bytes, left to the device"), |bench| {
                bench.iter(&mut leave_out)
            });
        }
    }
    group.finish();
}

fn main() {
    let mut criterion = Criterion::default().configure_from_args();
    checksum(&mut criterion);
    criterion.final_summary();
}

//! Checksum and segmentation offload: the device fills in the checksums of segments, splits large segments, and reports for
//! arriving frames whether the checksum needs verification.

use husk_abi::device::{FRAME_HEADER, Offload, gso_type};
use smoltcp::wire::{EthernetFrame, EthernetProtocol, IpAddress, IpProtocol, Ipv4Packet, Ipv6Packet};
use smoltcp::wire::{TcpPacket, UdpPacket};

/// Offset of the checksum in a TCP header.
const TCP_CHECKSUM: usize = 16;

/// Payload of a frame of IP: its addresses, protocol, and offset.
struct Carried<'a> {
    from: IpAddress,
    to: IpAddress,
    protocol: IpProtocol,
    start: usize,
    payload: &'a [u8],
}

fn carried(bytes: &[u8]) -> Option<Carried<'_>> {
    let frame = EthernetFrame::new_checked(bytes).ok()?;
    let (from, to, protocol, header, payload) = match frame.ethertype() {
        EthernetProtocol::Ipv4 => {
            let packet = Ipv4Packet::new_checked(frame.payload()).ok()?;
            let whole = !packet.more_frags() && packet.frag_offset() == 0;
            let header = usize::from(packet.header_len());
            let ends = (packet.src_addr().into(), packet.dst_addr().into());
            whole.then(|| (ends.0, ends.1, packet.next_header(), header, packet.payload()))?
        }
        EthernetProtocol::Ipv6 => {
            let packet = Ipv6Packet::new_checked(frame.payload()).ok()?;
            let ends = (packet.src_addr().into(), packet.dst_addr().into());
            (ends.0, ends.1, packet.next_header(), packet.header_len(), packet.payload())
        }
        _ => return None,
    };
    Some(Carried { from, to, protocol, start: FRAME_HEADER + header, payload })
}

/// Returns true if the checksum of the segment or datagram in a frame is right, or the frame carries neither.
pub(super) fn is_right(frame: &[u8]) -> bool {
    let Some(carried) = carried(frame) else { return true };
    let Carried { from, to, payload, .. } = carried;
    match carried.protocol {
        IpProtocol::Tcp => TcpPacket::new_checked(payload).is_ok_and(|packet| packet.verify_checksum(&from, &to)),
        IpProtocol::Udp => UdpPacket::new_checked(payload).is_ok_and(|packet| packet.verify_checksum(&from, &to)),
        _ => true,
    }
}

/// Prepares a segment for the device, which completes its checksum (NEEDS_CSUM) and, unless `gso_size` is 0, splits it into
/// several with `gso_size` bytes of payload each. No offload for frames with another payload.
pub(super) fn leave_out(frame: &mut [u8], gso_size: u16) -> Offload {
    let found = carried(frame).filter(|carried| carried.protocol == IpProtocol::Tcp);
    let Some(Carried { from, to, start, payload, .. }) = found else { return Offload::default() };
    let sum = pseudo_header(from, to, payload.len());
    let checksum = start + TCP_CHECKSUM;
    if let Some(field) = frame.get_mut(checksum..checksum + 2) {
        field.copy_from_slice(&sum.to_be_bytes());
    }
    let gso_type = match (gso_size, from) {
        (0, _) => gso_type::NONE,
        (_, IpAddress::Ipv4(_)) => gso_type::TCPV4,
        (_, IpAddress::Ipv6(_)) => gso_type::TCPV6,
    };
    Offload { csum_start: start as u16, csum_offset: TCP_CHECKSUM as u16, gso_size, gso_type }
}

/// Returns the sum of the pseudo-header of a segment of `length` bytes: RFC 9293, 3.1.
fn pseudo_header(from: IpAddress, to: IpAddress, length: usize) -> u16 {
    let words = |address: IpAddress| match address {
        IpAddress::Ipv4(address) => sum(&address.octets()),
        IpAddress::Ipv6(address) => sum(&address.octets()),
    };
    let mut total = words(from) + words(to) + u32::from(u8::from(IpProtocol::Tcp)) + length as u32;
    while total > 0xffff {
        total = (total >> 16) + (total & 0xffff);
    }
    total as u16
}

fn sum(bytes: &[u8]) -> u32 {
    bytes.chunks_exact(2).map(|pair| u32::from(u16::from_be_bytes([pair[0], pair[1]]))).sum()
}

#[cfg(test)]
mod tests {
    use super::*;
    use smoltcp::phy::ChecksumCapabilities;
    use smoltcp::wire::{EthernetAddress, IpRepr, TcpControl, TcpRepr, TcpSeqNumber};

    /// Returns a frame with a complete segment.
    fn frame(from: IpAddress, to: IpAddress, payload: &[u8]) -> Vec<u8> {
        let segment = TcpRepr {
            src_port: 1000,
            dst_port: 80,
            control: TcpControl::Psh,
            seq_number: TcpSeqNumber(7),
            ack_number: Some(TcpSeqNumber(9)),
            window_len: 500,
            window_scale: None,
            max_seg_size: None,
            sack_permitted: false,
            sack_ranges: [None; 3],
            timestamp: None,
            payload,
        };
        let packet = IpRepr::new(from, to, IpProtocol::Tcp, segment.buffer_len(), 64);
        let mut bytes = vec![0; FRAME_HEADER + packet.buffer_len()];
        let mut frame = EthernetFrame::new_unchecked(&mut bytes);
        frame.set_dst_addr(EthernetAddress([2; 6]));
        frame.set_ethertype(if from.version() == smoltcp::wire::IpVersion::Ipv4 {
            EthernetProtocol::Ipv4
        } else {
            EthernetProtocol::Ipv6
        });
        let checksums = ChecksumCapabilities::default();
        packet.emit(&mut *frame.payload_mut(), &checksums);
        let header = packet.header_len();
        segment.emit(&mut TcpPacket::new_unchecked(&mut frame.payload_mut()[header..]), &from, &to, &checksums);
        bytes
    }

    /// Completes a frame's checksum like the device (Virtio 1.2, 5.1.6.2).
    fn finished(mut frame: Vec<u8>, offload: Offload) -> Vec<u8> {
        let (start, field) = (usize::from(offload.csum_start), usize::from(offload.csum_start + offload.csum_offset));
        let mut bytes = frame[start..].to_vec();
        bytes.resize(bytes.len().next_multiple_of(2), 0);
        let mut total = sum(&bytes);
        while total > 0xffff {
            total = (total >> 16) + (total & 0xffff);
        }
        frame[field..field + 2].copy_from_slice(&(!(total as u16)).to_be_bytes());
        frame
    }

    #[test]
    fn what_is_left_out_is_what_the_device_fills_in() {
        for (from, to) in [("10.0.0.1", "10.0.0.2"), ("fd00::1", "fd00::ffff:2")] {
            let (from, to) = (from.parse().expect("an address"), to.parse().expect("an address"));
            for payload in [&b""[..], b"odd", &[0xff; 1460]] {
                let whole = frame(from, to, payload);
                assert!(is_right(&whole));
                let mut without = whole.clone();
                let offload = leave_out(&mut without, 0);
                assert_eq!(Offload::check(offload.encode(), without.len()), Some(offload));
                assert_eq!(finished(without, offload), whole);
                let mut wrong = whole;
                *wrong.last_mut().expect("not empty") ^= 1;
                assert!(!is_right(&wrong));
            }
        }
    }

    #[test]
    fn only_segments_are_left_to_the_device() {
        let mut other = frame(IpAddress::v4(10, 0, 0, 1), IpAddress::v4(10, 0, 0, 2), b"x");
        other[FRAME_HEADER + 9] = 1;
        assert_eq!(leave_out(&mut other.clone(), 0), Offload::default());
        assert!(is_right(&other), "nobody checks that here");
        assert_eq!(leave_out(&mut [0; 20], 0), Offload::default());
    }
}

//! Demultiplexing of frames: finds a frame's socket by addresses and ports only; the stack checks the rest.

use super::report::{Reason, Report};
use core::net::{IpAddr, Ipv4Addr, Ipv6Addr, SocketAddr};

/// Payload of a frame.
#[derive(Clone, Copy, Debug, PartialEq, Eq)]
pub enum Carried {
    /// A TCP segment.
    Segment {
        /// Destination.
        to: SocketAddr,
        /// Source.
        from: SocketAddr,
        /// True for a SYN without ACK: the segment asks to open a connection.
        opens: bool,
    },
    /// A UDP datagram.
    Datagram {
        /// Destination.
        to: SocketAddr,
        /// Source.
        from: SocketAddr,
    },
    /// An ICMP error about a segment or a datagram of this machine.
    Report(Report),
    /// A message of a neighbour with its hardware address: ARP, a neighbour solicitation or advertisement.
    Neighbour {
        /// The neighbour.
        from: IpAddr,
    },
    /// A frame that is for no socket.
    Other,
}

/// Bytes of an Ethernet header.
const ETHERNET: usize = 14;
/// EtherTypes.
const V4: [u8; 2] = [0x08, 0x00];
const ARP: [u8; 2] = [0x08, 0x06];
const V6: [u8; 2] = [0x86, 0xdd];
/// IP protocol numbers.
const TCP: u8 = 6;
const UDP: u8 = 17;
const ICMP: u8 = 1;
const ICMP_V6: u8 = 58;
/// Operation of an ARP request: RFC 826. Types of neighbour solicitations and advertisements: RFC 4861.
const ARP_REQUEST: [u8; 2] = [0, 1];
const SOLICITATION: u8 = 135;
const ADVERTISEMENT: u8 = 136;
/// Bytes of the header of a datagram.
const UDP_HEADER: usize = 8;
/// Bytes of an ICMP message in front of the packet that it is about.
const ICMP_HEADER: usize = 8;
/// TCP flags.
const SYN_ACK_RST: u8 = 0b1_0110;
const SYN: u8 = 0b10;

/// Classifies a frame.
pub fn look(frame: &[u8]) -> Carried {
    carried(frame).unwrap_or(Carried::Other)
}

fn carried(frame: &[u8]) -> Option<Carried> {
    let (header, packet) = frame.split_at_checked(ETHERNET)?;
    let parts = match *header.last_chunk()? {
        // Sender's protocol address: RFC 826.
        ARP => {
            let from = Ipv4Addr::from(*packet.get(14..)?.first_chunk::<4>()?);
            return Some(Carried::Neighbour { from: from.into() });
        }
        V4 => v4(packet)?,
        V6 => v6(packet)?,
        _ => return None,
    };
    let (protocol, .., payload) = parts;
    match (protocol, payload.first_chunk()?) {
        (TCP, _) => {
            let (from, to) = ends(parts)?;
            Some(Carried::Segment { to, from, opens: payload.get(13)? & SYN_ACK_RST == SYN })
        }
        (UDP, _) => ends(parts).map(|(from, to)| Carried::Datagram { to, from }),
        (ICMP_V6, &[SOLICITATION | ADVERTISEMENT, _]) => Some(Carried::Neighbour { from: parts.1 }),
        (ICMP | ICMP_V6, _) => report(frame.len(), parts),
        _ => None,
    }
}

/// Returns source and destination of a packet, with ports.
fn ends((_, from, to, payload): Parts<'_>) -> Option<(SocketAddr, SocketAddr)> {
    let [from_high, from_low, to_high, to_low] = *payload.first_chunk()?;
    let from = SocketAddr::new(from, u16::from_be_bytes([from_high, from_low]));
    Some((from, SocketAddr::new(to, u16::from_be_bytes([to_high, to_low]))))
}

/// Decodes an ICMP error, in a frame of this length.
fn report(length: usize, (protocol, from, _, message): Parts<'_>) -> Option<Carried> {
    let is_v4 = protocol == ICMP;
    if is_v4 != from.is_ipv4() {
        return None;
    }
    let (head, packet) = message.split_first_chunk::<ICMP_HEADER>()?;
    let reason = Reason::of(is_v4, head)?;
    let about = if is_v4 { v4(packet)? } else { v6(packet)? };
    let (carried, .., quoted) = about;
    let (here, there) = ends(about)?;
    let segment = match carried {
        TCP => Some(u32::from_be_bytes(*quoted.get(4..)?.first_chunk()?)),
        UDP => None,
        _ => return None,
    };
    let payload = length - quoted.len().saturating_sub(UDP_HEADER);
    Some(Carried::Report(Report { here, there, segment, from, reason, payload }))
}

/// Returns true for a request for a hardware address: an ARP request, or a neighbour solicitation.
pub fn asks_for_neighbour(frame: &[u8]) -> bool {
    let Some((header, packet)) = frame.split_at_checked(ETHERNET) else { return false };
    match header.last_chunk() {
        Some(&ARP) => packet.get(6..8) == Some(&ARP_REQUEST),
        Some(&V6) => v6(packet)
            .is_some_and(|(protocol, .., message)| protocol == ICMP_V6 && message.first() == Some(&SOLICITATION)),
        _ => false,
    }
}

/// Returns the source of a frame of IP.
pub fn source(frame: &[u8]) -> Option<IpAddr> {
    let (header, packet) = frame.split_at_checked(ETHERNET)?;
    match *header.last_chunk()? {
        V4 => v4(packet).map(|(_, from, ..)| from),
        V6 => v6(packet).map(|(_, from, ..)| from),
        _ => None,
    }
}

/// Returns the traffic class (TOS) of a frame of IP.
pub fn class(frame: &[u8]) -> u8 {
    match (frame.get(12..14), frame.get(14), frame.get(15)) {
        (Some(kind), Some(_), Some(class)) if kind == V4 => *class,
        (Some(kind), Some(high), Some(low)) if kind == V6 => high << 4 | low >> 4,
        _ => 0,
    }
}

/// Sets the traffic class (TOS) of a frame of IP that is complete and has class 0.
pub(super) fn set_class(frame: &mut [u8], class: u8) {
    let Some((header, packet)) = frame.split_at_mut_checked(ETHERNET) else { return };
    match (header.last_chunk(), packet) {
        (Some(&V4), [_, tos, ..]) => *tos = class,
        (Some(&V6), [high, low, ..]) => {
            *high = *high & 0xf0 | class >> 4;
            *low = *low & 0xf | class << 4;
        }
        _ => return,
    }
    // RFC 1624, equation 3, with the old value 0; IPv6 has no checksum of the header.
    if header.last_chunk() == Some(&V4)
        && let Some(sum) = frame.get_mut(ETHERNET + 10..ETHERNET + 12)
    {
        let (changed, carry) = u16::from_be_bytes([sum[0], sum[1]]).overflowing_sub(class.into());
        let changed = changed.wrapping_sub(carry.into());
        sum.copy_from_slice(&changed.to_be_bytes());
    }
}

/// Returns the hop limit (TTL) of a frame of IP.
pub fn hops(frame: &[u8]) -> u8 {
    match frame.get(12..14) {
        Some(kind) if kind == V4 => frame.get(ETHERNET + 8).copied().unwrap_or(0),
        Some(kind) if kind == V6 => frame.get(ETHERNET + 7).copied().unwrap_or(0),
        _ => 0,
    }
}

type Parts<'a> = (u8, IpAddr, IpAddr, &'a [u8]);

fn v4(packet: &[u8]) -> Option<Parts<'_>> {
    let header = packet.first_chunk::<20>()?;
    // Fragments are for no socket, because they have no ports of their own.
    if u16::from_be_bytes([header[6], header[7]]) & 0x3fff != 0 {
        return None;
    }
    let payload = packet.get(usize::from(header[0] & 0xf) * 4..)?;
    let address = |at: usize| Some(IpAddr::V4(Ipv4Addr::from(*packet.get(at..)?.first_chunk::<4>()?)));
    Some((header[9], address(12)?, address(16)?, payload))
}

fn v6(packet: &[u8]) -> Option<Parts<'_>> {
    let (header, payload) = packet.split_first_chunk::<40>()?;
    let address = |at: usize| Some(IpAddr::V6(Ipv6Addr::from(*header.get(at..)?.first_chunk::<16>()?)));
    Some((header[6], address(8)?, address(24)?, payload))
}

#[cfg(test)]
mod tests {
    use super::*;

    /// Returns a frame of an IPv4 packet with this protocol and payload.
    fn frame(protocol: u8, payload: &[u8]) -> Vec<u8> {
        let mut frame = vec![0; ETHERNET + 20];
        frame[12..14].copy_from_slice(&V4);
        frame[14] = 0x45;
        frame[23] = protocol;
        frame[26..30].copy_from_slice(&[10, 0, 0, 1]);
        frame[30..34].copy_from_slice(&[10, 0, 0, 2]);
        frame.extend_from_slice(payload);
        frame
    }

    #[test]
    fn ports_are_found() {
        let (from, to) = ("10.0.0.1:258".parse().expect("an address"), "10.0.0.2:80".parse().expect("an address"));
        let mut segment = [1, 2, 0, 80, 0, 0, 0, 0, 0, 0, 0, 0, 0x50, 0x02, 0, 0, 0, 0, 0, 0];
        assert_eq!(look(&frame(TCP, &segment)), Carried::Segment { to, from, opens: true });
        segment[13] = 0x12;
        assert_eq!(look(&frame(TCP, &segment)), Carried::Segment { to, from, opens: false });
        assert_eq!(look(&frame(UDP, &segment)), Carried::Datagram { to, from });
        assert_eq!(look(&frame(1, &segment)), Carried::Other);
        let about = frame(UDP, &segment);
        let refusal = [&[3, 3, 0, 0, 0, 0, 0, 0], &about[ETHERNET..]].concat();
        let report = |segment, payload| {
            let (reason, machine) = (Reason::closed_port(true), IpAddr::from([10, 0, 0, 1]));
            Carried::Report(Report { here: from, there: to, segment, from: machine, reason, payload })
        };
        let whole = frame(1, &refusal);
        assert_eq!(look(&whole), report(None, whole.len() - segment.len() + UDP_HEADER));
        for length in 0..whole.len() - segment.len() + 4 {
            assert_eq!(look(&whole[..length]), Carried::Other, "{length}");
        }
        let about = frame(TCP, &segment);
        let whole = frame(1, &[&[3, 3, 0, 0, 0, 0, 0, 0], &about[ETHERNET..]].concat());
        assert_eq!(look(&whole), report(Some(0), whole.len() - segment.len() + UDP_HEADER));
    }

    #[test]
    fn a_class_changes_the_checksum_of_the_header_alone() {
        for checksum in [0x1234u16, 0x0001, 0x0000, 0xffff] {
            let mut whole = frame(UDP, &[1, 2, 0, 80]);
            whole[24..26].copy_from_slice(&checksum.to_be_bytes());
            let sum = |frame: &[u8]| {
                let words = frame[ETHERNET..ETHERNET + 20].chunks(2);
                let mut sum: u32 = words.map(|word| u32::from(u16::from_be_bytes([word[0], word[1]]))).sum();
                while sum > 0xffff {
                    sum = (sum & 0xffff) + (sum >> 16);
                }
                sum % 0xffff
            };
            let before = sum(&whole);
            set_class(&mut whole, 0xb9);
            assert_eq!((sum(&whole), class(&whole)), (before, 0xb9), "{checksum:x}");
        }
        let mut v6 = [vec![0; 12], V6.to_vec(), vec![0x60, 0x01, 0x23, 0x45], vec![0; 36]].concat();
        set_class(&mut v6, 0xb9);
        assert_eq!((&v6[14..18], class(&v6)), (&[0x6b, 0x91, 0x23, 0x45][..], 0xb9));
    }

    #[test]
    fn short_frames_and_parts_of_packets_are_for_nobody() {
        let whole = frame(UDP, &[1, 2, 0, 80]);
        for length in 0..whole.len() {
            assert_eq!(look(&whole[..length]), Carried::Other, "{length}");
        }
        let mut part = whole;
        part[20] = 0x20;
        assert_eq!(look(&part), Carried::Other);
    }
}

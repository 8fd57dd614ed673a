//! Announcements of this machine's addresses: a gratuitous ARP request (RFC 5227, 2.3), or an unsolicited neighbour advertisement
//! (RFC 4861, 7.2.6).
//!
//! Neighbours may have the address with another hardware address, that of a machine or a guest which had it before. They would send
//! there until their entry expires, or several requests to it have gone unanswered.

use super::wire::Sender;
use core::net::{IpAddr, Ipv4Addr, Ipv6Addr};
use smoltcp::phy::ChecksumCapabilities;
use smoltcp::wire::{
    ArpOperation, ArpPacket, ArpRepr, EthernetAddress, EthernetFrame, EthernetProtocol, EthernetRepr, Icmpv6Packet,
    Icmpv6Repr, IpProtocol, Ipv6Packet, Ipv6Repr, NdiscNeighborFlags, NdiscRepr, RawHardwareAddress,
};

/// Bytes of an Ethernet header.
const ETHERNET: usize = 14;
/// All machines on the link, and their hardware address: RFC 4291, RFC 2464.
const ALL_NODES: Ipv6Addr = Ipv6Addr::new(0xff02, 0, 0, 0, 0, 0, 0, 1);
const ALL_NODES_MAC: EthernetAddress = EthernetAddress([0x33, 0x33, 0, 0, 0, 1]);

/// Announces that `address` is at `mac`. Without room in the device nothing is sent.
pub(super) fn announce(address: IpAddr, mac: EthernetAddress, sender: &mut dyn Sender) {
    match address {
        IpAddr::V4(address) => announce_v4(address, mac, sender),
        IpAddr::V6(address) => announce_v6(address, mac, sender),
    }
}

fn announce_v4(address: Ipv4Addr, mac: EthernetAddress, sender: &mut dyn Sender) {
    let repr = ArpRepr::EthernetIpv4 {
        operation: ArpOperation::Request,
        source_hardware_addr: mac,
        source_protocol_addr: address,
        target_hardware_addr: EthernetAddress([0; 6]),
        target_protocol_addr: address,
    };
    let header = EthernetRepr { src_addr: mac, dst_addr: EthernetAddress::BROADCAST, ethertype: EthernetProtocol::Arp };
    sender.send(ETHERNET + repr.buffer_len(), 0, &mut |frame| {
        header.emit(&mut EthernetFrame::new_unchecked(&mut *frame));
        repr.emit(&mut ArpPacket::new_unchecked(&mut frame[ETHERNET..]));
    });
}

fn announce_v6(address: Ipv6Addr, mac: EthernetAddress, sender: &mut dyn Sender) {
    let repr = Icmpv6Repr::Ndisc(NdiscRepr::NeighborAdvert {
        flags: NdiscNeighborFlags::OVERRIDE,
        target_addr: address,
        lladdr: Some(RawHardwareAddress::from(mac)),
    });
    let packet = Ipv6Repr {
        src_addr: address,
        dst_addr: ALL_NODES,
        next_header: IpProtocol::Icmpv6,
        payload_len: repr.buffer_len(),
        // Of neighbour discovery, neighbours take only messages that no router has forwarded: RFC 4861, 7.1.
        hop_limit: u8::MAX,
    };
    let header = EthernetRepr { src_addr: mac, dst_addr: ALL_NODES_MAC, ethertype: EthernetProtocol::Ipv6 };
    let head = ETHERNET + packet.buffer_len();
    sender.send(head + repr.buffer_len(), 0, &mut |frame| {
        header.emit(&mut EthernetFrame::new_unchecked(&mut *frame));
        packet.emit(&mut Ipv6Packet::new_unchecked(&mut frame[ETHERNET..head]));
        let message = &mut Icmpv6Packet::new_unchecked(&mut frame[head..]);
        repr.emit(&address, &ALL_NODES, message, &ChecksumCapabilities::default());
    });
}

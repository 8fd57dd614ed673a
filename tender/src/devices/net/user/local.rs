//! Answers of the network itself: ARP and neighbour discovery, router discovery, DHCP.

use super::addresses::{self, OUR_MAC, Place, place};
use super::rx_queue::RxQueue;
use smoltcp::phy::ChecksumCapabilities;
use smoltcp::time::Duration;
use smoltcp::wire::{
    ArpOperation, ArpPacket, ArpRepr, DhcpMessageType, DhcpPacket, DhcpRepr, EthernetAddress, EthernetProtocol,
    Icmpv6Packet, Icmpv6Repr, IpProtocol, NdiscNeighborFlags, NdiscRepr, NdiscRouterFlags, RawHardwareAddress,
};
use std::net::{Ipv4Addr, Ipv6Addr, SocketAddr};

/// Port of DHCP servers.
pub const DHCP_PORT: u16 = 67;
const DHCP_CLIENT_PORT: u16 = 68;
/// Lease time: seconds for which the guest may use its address before it asks again.
const LEASE_S: u32 = 24 * 3600;

/// Answers an ARP request for an IPv4 address of the network.
pub fn who_has_v4(from: Ipv4Addr, wanted: Ipv4Addr, rx_queue: &mut RxQueue) {
    if matches!(place(wanted.into()), Place::Gateway | Place::NameServer | Place::Host) {
        let repr = ArpRepr::EthernetIpv4 {
            operation: ArpOperation::Reply,
            source_hardware_addr: EthernetAddress(OUR_MAC),
            source_protocol_addr: wanted,
            target_hardware_addr: EthernetAddress(rx_queue.guest_mac),
            target_protocol_addr: from,
        };
        rx_queue
            .push(EthernetProtocol::Arp, repr.buffer_len(), |bytes| repr.emit(&mut ArpPacket::new_unchecked(bytes)));
    }
}

/// Link-local address of the network's router.
const LINK_LOCAL: Ipv6Addr = Ipv6Addr::new(0xfe80, 0, 0, 0, 0, 0, 0, 2);

/// Answers a neighbour solicitation for an IPv6 address of the network, unless it is for duplicate address detection.
pub fn who_has_v6(from: Ipv6Addr, wanted: Ipv6Addr, rx_queue: &mut RxQueue) {
    let is_ours = matches!(place(wanted.into()), Place::Gateway | Place::NameServer | Place::Host);
    if (is_ours || wanted == LINK_LOCAL) && !from.is_unspecified() {
        let advert = NdiscRepr::NeighborAdvert {
            flags: NdiscNeighborFlags::SOLICITED | NdiscNeighborFlags::OVERRIDE | NdiscNeighborFlags::ROUTER,
            target_addr: wanted,
            lladdr: Some(RawHardwareAddress::from(EthernetAddress(OUR_MAC))),
        };
        give_ndisc(wanted, from, advert, rx_queue);
    }
}

/// Answers a router solicitation. The guest gets its address otherwise, so the advertisement names no prefix.
pub fn who_routes(from: Ipv6Addr, rx_queue: &mut RxQueue) {
    const ALL_NODES: Ipv6Addr = Ipv6Addr::new(0xff02, 0, 0, 0, 0, 0, 0, 1);
    let advert = NdiscRepr::RouterAdvert {
        hop_limit: 64,
        flags: NdiscRouterFlags::empty(),
        router_lifetime: Duration::from_secs(9000),
        reachable_time: Duration::ZERO,
        retrans_time: Duration::ZERO,
        lladdr: Some(RawHardwareAddress::from(EthernetAddress(OUR_MAC))),
        mtu: None,
        prefix_info: None,
    };
    give_ndisc(LINK_LOCAL, if from.is_unspecified() { ALL_NODES } else { from }, advert, rx_queue);
}

fn give_ndisc(from: Ipv6Addr, to: Ipv6Addr, repr: NdiscRepr<'_>, rx_queue: &mut RxQueue) {
    let repr = Icmpv6Repr::Ndisc(repr);
    rx_queue.push_ip((from.into(), to.into()), IpProtocol::Icmpv6, repr.buffer_len(), |bytes| {
        repr.emit(&from, &to, &mut Icmpv6Packet::new_unchecked(bytes), &ChecksumCapabilities::default());
    });
}

/// Answers DISCOVER and REQUEST of DHCP with the guest's only address.
pub fn dhcp(payload: &[u8], rx_queue: &mut RxQueue) {
    let Ok(packet) = DhcpPacket::new_checked(payload) else { return };
    let Ok(question) = DhcpRepr::parse(&packet) else { return };
    let message_type = match question.message_type {
        DhcpMessageType::Discover => DhcpMessageType::Offer,
        DhcpMessageType::Request if question.requested_ip.is_none_or(|wanted| wanted == addresses::v4(15)) => {
            DhcpMessageType::Ack
        }
        DhcpMessageType::Request => DhcpMessageType::Nak,
        _ => return,
    };
    let server = addresses::v4(2);
    let mut answer = DhcpRepr {
        message_type,
        your_ip: addresses::v4(15),
        server_ip: server,
        router: Some(server),
        subnet_mask: Some(Ipv4Addr::new(255, 255, 255, 0)),
        server_identifier: Some(server),
        dns_servers: Some(Default::default()),
        lease_duration: Some(LEASE_S),
        renew_duration: None,
        rebind_duration: None,
        requested_ip: None,
        client_identifier: None,
        parameter_request_list: None,
        max_size: None,
        additional_options: &[],
        ..question
    };
    if let Some(name_servers) = &mut answer.dns_servers {
        // There is room for one.
        let _ = name_servers.push(addresses::v4(3));
    }
    let mut bytes = vec![0; answer.buffer_len()];
    if answer.emit(&mut DhcpPacket::new_unchecked(&mut bytes[..])).is_ok() {
        let to = SocketAddr::new(Ipv4Addr::BROADCAST.into(), DHCP_CLIENT_PORT);
        rx_queue.push_datagram(SocketAddr::new(server.into(), DHCP_PORT), to, &bytes);
    }
}

//! Control data of recvmsg(2): facts about a datagram besides its bytes, if the program has asked for them.

use super::address::Family;
use super::{Net, SocketKey};
use crate::fs::socket::address::Arrival;
use alloc::vec::Vec;
use core::net::{IpAddr, Ipv4Addr};
use linux_raw_sys::net;

/// Control message.
#[derive(Clone, Debug, PartialEq, Eq)]
pub struct Control {
    /// `cmsg_level`: protocol that defines `kind`.
    pub level: u32,
    /// `cmsg_type`.
    pub kind: u32,
    /// Contents.
    pub data: Vec<u8>,
}

/// Numbers of the two interfaces.
const LOOPBACK: u32 = 1;
const DEVICE: u32 = 2;

impl Net {
    /// Control messages, enabled by the socket's options, for a datagram that it has received.
    pub fn control(&self, key: SocketKey, arrival: Option<Arrival>) -> Vec<Control> {
        let socket = &self.sockets[key];
        let Some(Arrival { to, class }) = arrival else { return Vec::new() };
        let interface = if to.is_loopback() { LOOPBACK } else { DEVICE }.to_ne_bytes();
        let mut reported = Vec::new();
        let mut report_ready = |level, option, kind, data: &[&[u8]]| {
            if socket.options.is_set(level, option) {
                reported.push(Control { level, kind, data: data.concat() });
            }
        };
        if let IpAddr::V4(to) = to {
            // Source address for an answer: a broadcast address cannot be one.
            let from = if to.is_broadcast() { Ipv4Addr::UNSPECIFIED } else { to };
            let [from, to] = [from.octets(), to.octets()];
            report_ready(net::SOL_IP, net::IP_PKTINFO, net::IP_PKTINFO, &[&interface, &from, &to]);
            report_ready(net::SOL_IP, net::IP_RECVTOS, net::IP_TOS, &[&[class]]);
        }
        if socket.family == Family::V6 {
            let shown = match to {
                IpAddr::V4(to) => to.to_ipv6_mapped(),
                IpAddr::V6(to) => to,
            };
            report_ready(net::SOL_IPV6, net::IPV6_RECVPKTINFO, net::IPV6_PKTINFO, &[&shown.octets(), &interface]);
            if to.is_ipv6() {
                report_ready(net::SOL_IPV6, net::IPV6_RECVTCLASS, net::IPV6_TCLASS, &[&u32::from(class).to_ne_bytes()]);
            }
        }
        reported
    }
}

//! What a program is told of a datagram besides its bytes, if it has asked for that: as control data of recvmsg(2).

use super::address::Family;
use super::{Net, SocketKey};
use crate::fs::socket::Arrival;
use alloc::vec::Vec;
use core::net::{IpAddr, Ipv4Addr};
use linux_raw_sys::net;

/// A part of control data.
#[derive(Clone, Debug, PartialEq, Eq)]
pub struct Control {
    /// Whose kinds these are.
    pub level: u32,
    /// What it is.
    pub kind: u32,
    /// What it says.
    pub data: Vec<u8>,
}

/// Numbers of the two interfaces.
const LOOPBACK: u32 = 1;
const DEVICE: u32 = 2;

impl Net {
    /// What the program wants to be told of a datagram that it has received by this socket.
    pub fn control(&self, key: SocketKey, arrival: Option<Arrival>) -> Vec<Control> {
        let socket = &self.sockets[key];
        let Some(Arrival { to, class }) = arrival else { return Vec::new() };
        let interface = if to.is_loopback() { LOOPBACK } else { DEVICE }.to_ne_bytes();
        let mut told = Vec::new();
        let mut tell = |level, option, kind, data: &[&[u8]]| {
            if socket.options.is_set(level, option) {
                told.push(Control { level, kind, data: data.concat() });
            }
        };
        if let IpAddr::V4(to) = to {
            // The address that an answer comes from: a broadcast has none of its own.
            let from = if to.is_broadcast() { Ipv4Addr::UNSPECIFIED } else { to };
            let [from, to] = [from.octets(), to.octets()];
            tell(net::SOL_IP, net::IP_PKTINFO, net::IP_PKTINFO, &[&interface, &from, &to]);
            tell(net::SOL_IP, net::IP_RECVTOS, net::IP_TOS, &[&[class]]);
        }
        if socket.family == Family::V6 {
            let shown = match to {
                IpAddr::V4(to) => to.to_ipv6_mapped(),
                IpAddr::V6(to) => to,
            };
            tell(net::SOL_IPV6, net::IPV6_RECVPKTINFO, net::IPV6_PKTINFO, &[&shown.octets(), &interface]);
            if to.is_ipv6() {
                tell(net::SOL_IPV6, net::IPV6_RECVTCLASS, net::IPV6_TCLASS, &[&u32::from(class).to_ne_bytes()]);
            }
        }
        told
    }
}

//! Control data of recvmsg(2): facts about a datagram besides its bytes, if the program has asked for them.

use super::address::Family;
use super::known::numbers as net;
use super::options::Options;
use super::{Net, SocketKey};
use crate::clock::SECOND;
use crate::fs::socket::address::Arrival;
use crate::fs::socket::queue::Control;
use alloc::vec::Vec;
use core::net::{IpAddr, Ipv4Addr};
use linux_raw_sys::net::_bindgen_ty_10::SOF_TIMESTAMPING_SOFTWARE;

/// Numbers of the two interfaces.
pub(super) const LOOPBACK: u32 = 1;
pub(super) const DEVICE: u32 = 2;

impl Net {
    /// Control messages, enabled by the socket's options, for a datagram that it has received. In Linux's order.
    pub fn control(&self, key: SocketKey, arrival: Option<Arrival>) -> Vec<Control> {
        let socket = &self.sockets[key];
        let Some(Arrival { to, class, hops, segment, time_ns }) = arrival else { return Vec::new() };
        let interface = if to.is_loopback() { LOOPBACK } else { DEVICE }.to_ne_bytes();
        let mut reported: Vec<Control> = time(&socket.options, time_ns).into_iter().collect();
        let mut report = |level, option, kind, data: &[&[u8]]| {
            if socket.options.is_set(level, option) {
                reported.push(Control { level, kind, data: data.concat() });
            }
        };
        let [class_number, hops] = [class, hops].map(|byte| u32::from(byte).to_ne_bytes());
        if segment != 0 {
            report(net::SOL_UDP, net::UDP_GRO, net::UDP_GRO, &[&u32::from(segment).to_ne_bytes()]);
        }
        if socket.family == Family::V6 {
            let shown = match to {
                IpAddr::V4(to) => to.to_ipv6_mapped(),
                IpAddr::V6(to) => to,
            };
            report(net::SOL_IPV6, net::IPV6_RECVPKTINFO, net::IPV6_PKTINFO, &[&shown.octets(), &interface]);
        }
        if let IpAddr::V4(to) = to {
            // Source address for an answer: a broadcast address cannot be one.
            let from = if to.is_broadcast() { Ipv4Addr::UNSPECIFIED } else { to };
            let [from, to] = [from.octets(), to.octets()];
            report(net::SOL_IP, net::IP_PKTINFO, net::IP_PKTINFO, &[&interface, &from, &to]);
            report(net::SOL_IP, net::IP_RECVTTL, net::IP_TTL, &[&hops]);
            report(net::SOL_IP, net::IP_RECVTOS, net::IP_TOS, &[&[class]]);
        } else if socket.family == Family::V6 {
            report(net::SOL_IPV6, net::IPV6_RECVHOPLIMIT, net::IPV6_HOPLIMIT, &[&hops]);
            report(net::SOL_IPV6, net::IPV6_RECVTCLASS, net::IPV6_TCLASS, &[&class_number]);
        }
        reported
    }
}

/// The time of arrival, in nanoseconds since 1970, in the form that the options ask for. A datagram that arrived before the
/// program asked has the time of its receipt.
fn time(options: &Options, time_ns: u64) -> Option<Control> {
    let kind = options.time_stamps()?;
    let ns = if time_ns == 0 { husk::clock::realtime_ns() } else { time_ns };
    let pair = |fraction: u64| [ns / SECOND, fraction].map(u64::to_ne_bytes).concat();
    let data = match kind {
        net::SO_TIMESTAMP_OLD | net::SO_TIMESTAMP_NEW => pair(ns % SECOND / 1000),
        net::SO_TIMESTAMPNS_OLD | net::SO_TIMESTAMPNS_NEW => pair(ns % SECOND),
        // Times by software, then two by hardware, which is not there.
        _ if options.number_of(net::SOL_SOCKET, kind) as u32 & SOF_TIMESTAMPING_SOFTWARE as u32 == 0 => return None,
        _ => [&pair(ns % SECOND)[..], &[0; 32]].concat(),
    };
    Some(Control { level: net::SOL_SOCKET, kind, data })
}

//! Texts of `/proc/net` and `/sys/class/net`, in Linux's form: proc_net(5).

use super::destinations::{self, Route};
use super::links::Interface;
use super::{Net, Protocol, Socket, State};
use crate::errno::Errno;
use crate::fs::Files;
use crate::fs::network_table::{Attribute, Table};
use alloc::string::String;
use core::fmt::{self, Write};
use core::net::{IpAddr, SocketAddr};
use husk::net::Counts;

/// Flags of routes: they are in use, lead by a router, or to one machine. linux/route.h.
const ROUTE_UP: u32 = 1;
const ROUTE_GATEWAY: u32 = 2;
const ROUTE_HOST: u32 = 4;
/// Kind of hardware of ARP: Ethernet; flag of a neighbour that has answered.
const ETHERNET: u32 = 1;
const COMPLETE: u32 = 2;
/// Flag of an address that does not expire.
const PERMANENT: u32 = 0x80;
/// States of UDP sockets: with a peer, and without one.
const CONNECTED: u8 = 1;
const UNCONNECTED: u8 = 7;
/// Heads of the tables of sockets.
const TCP_HEAD: &str =
    "  sl  local_address rem_address   st tx_queue rx_queue tr tm->when retrnsmt   uid  timeout inode";
const TCP6_HEAD: &str = "  sl  local_address                         remote_address                        st tx_queue rx_queue tr \
                         tm->when retrnsmt   uid  timeout inode";
const UDP_HEAD: &str = "   sl  local_address rem_address   st tx_queue rx_queue tr tm->when retrnsmt   uid  timeout inode ref \
                        pointer drops";
const UDP6_HEAD: &str = "  sl  local_address                         remote_address                        st tx_queue rx_queue tr \
                         tm->when retrnsmt   uid  timeout inode ref pointer drops";
/// Characters of lines in tables of sockets and routes.
const TCP_LINE: usize = 149;
const UDP_LINE: usize = 127;
const ROUTE_LINE: usize = 127;

impl Net {
    /// Returns the text of a file.
    pub fn text(&self, files: &Files, table: Table) -> Result<String, Errno> {
        let mut out = String::new();
        let interfaces = self.interfaces()?;
        let written = match table {
            Table::Interfaces => self.write_counts(&mut out, &interfaces),
            Table::Tcp => self.write_sockets(&mut out, files, Protocol::Tcp, true),
            Table::Tcp6 => self.write_sockets(&mut out, files, Protocol::Tcp, false),
            Table::Udp => self.write_sockets(&mut out, files, Protocol::Udp, true),
            Table::Udp6 => self.write_sockets(&mut out, files, Protocol::Udp, false),
            Table::Routes => {
                let routers = self.device.as_deref().map_or([None; 2], |device| device.stack.routers());
                write_routes(&mut out, &interfaces, &destinations::list(&interfaces, routers)?)
            }
            Table::Addresses => write_addresses(&mut out, &interfaces),
            Table::Neighbours => self.write_neighbours(&mut out, &interfaces),
            Table::Attribute { of_device, attribute } => match interfaces.get(usize::from(of_device)) {
                Some(interface) => write_attribute(&mut out, interface, self.counts(interface), attribute),
                None => Ok(()),
            },
        };
        // Writing to a string does not fail.
        let _ = written;
        Ok(out)
    }

    /// What has gone through an interface. The loopback has no packets: what is sent there is in the receiver's queue at once.
    fn counts(&self, interface: &Interface) -> Counts {
        let device = self.device.as_deref().filter(|_| interface.number > 1);
        device.map_or(Counts::default(), |device| device.wire.counts())
    }

    fn write_counts(&self, out: &mut String, interfaces: &[Interface]) -> fmt::Result {
        writeln!(out, "Inter-|   Receive                                                |  Transmit")?;
        write!(out, " face |bytes    packets errs drop fifo frame compressed multicast|")?;
        writeln!(out, "bytes    packets errs drop fifo colls carrier compressed")?;
        for interface in interfaces {
            let Counts { received, received_bytes, sent, sent_bytes } = self.counts(interface);
            write!(
                out,
                "{:>6}: {received_bytes:7} {received:7}    0    0    0     0          0         0 ",
                interface.text()
            )?;
            writeln!(out, "{sent_bytes:8} {sent:7}    0    0    0     0       0          0")?;
        }
        Ok(())
    }

    fn write_sockets(&self, out: &mut String, files: &Files, protocol: Protocol, is_v4: bool) -> fmt::Result {
        let (head, length) = match (protocol, is_v4) {
            (Protocol::Tcp, true) => (TCP_HEAD, TCP_LINE),
            (Protocol::Tcp, false) => (TCP6_HEAD, 0),
            (Protocol::Udp, true) => (UDP_HEAD, UDP_LINE),
            (Protocol::Udp, false) => (UDP6_HEAD, 0),
        };
        writeln!(out, "{head:length$}")?;
        let is_listed = |socket: &&Socket| {
            socket.protocol == protocol && socket.local.is_some() && socket.family.any().is_ipv4() == is_v4
        };
        let sockets = self.sockets.keys().map(|key| &self.sockets[key]);
        for (number, socket) in sockets.filter(is_listed).enumerate() {
            writeln!(out, "{:length$}", socket_line(files, socket, number))?;
        }
        Ok(())
    }

    fn write_neighbours(&self, out: &mut String, interfaces: &[Interface]) -> fmt::Result {
        writeln!(out, "IP address       HW type     Flags       HW address            Mask     Device")?;
        let stack = self.device.as_deref().map(|device| &device.stack);
        let known = stack.into_iter().flat_map(|stack| stack.neighbours(husk::clock::monotonic_ns()));
        for neighbour in known.filter(|neighbour| neighbour.address.is_ipv4()) {
            let flags = if neighbour.mac.is_some() { COMPLETE } else { 0 };
            let device = interfaces.last().map_or("", Interface::text);
            let address = alloc::format!("{}", neighbour.address);
            write!(out, "{address:16} 0x{ETHERNET:<10x}0x{flags:<10x}")?;
            writeln!(out, "{}     *        {device}", Hardware(neighbour.mac.unwrap_or_default()))?;
        }
        Ok(())
    }
}

/// A line of a table of sockets.
fn socket_line(files: &Files, socket: &Socket, number: usize) -> String {
    let inode = socket.node.map(|node| files.identity(node));
    let (inode, user) = inode.unwrap_or_default();
    let (local, remote) = (Hex(socket.shown(socket.local)), Hex(socket.shown(socket.remote)));
    let (sent, received) = match &socket.state {
        State::Listening(listener) => (0, listener.pending.len()),
        _ => (socket.unsent(), socket.unread()),
    };
    let rest = "00:00000000 00000000";
    match socket.protocol {
        Protocol::Tcp => {
            let state = socket.tcp_state();
            alloc::format!(
                "{number:4}: {local} {remote} {state:02X} {sent:08X}:{received:08X} {rest} {user:5}        0 {inode} 1 \
                 0000000000000000 100 0 0 10 0"
            )
        }
        Protocol::Udp => {
            let state = if socket.remote.is_some() { CONNECTED } else { UNCONNECTED };
            alloc::format!(
                "{number:5}: {local} {remote} {state:02X} {sent:08X}:{received:08X} {rest} {user:5}        0 {inode} 2 \
                 0000000000000000 0"
            )
        }
    }
}

fn write_routes(out: &mut String, interfaces: &[Interface], routes: &[Route]) -> fmt::Result {
    let head = "Iface\tDestination\tGateway \tFlags\tRefCnt\tUse\tMetric\tMask\t\tMTU\tWindow\tIRTT";
    writeln!(out, "{head:ROUTE_LINE$}")?;
    for (network, prefix, gateway, number) in routes.iter().filter_map(Route::of_main_v4) {
        let device = interfaces.iter().find(|interface| interface.number == number).map_or("*", Interface::text);
        let mut flags = ROUTE_UP;
        flags |= if gateway.is_some() { ROUTE_GATEWAY } else { 0 };
        flags |= if prefix == 32 { ROUTE_HOST } else { 0 };
        let mask = u32::MAX.checked_shl(32 - u32::from(prefix)).unwrap_or(0).to_be();
        let [network, gateway] = [network, gateway.unwrap_or(core::net::Ipv4Addr::UNSPECIFIED)]
            .map(|address| u32::from_ne_bytes(address.octets()));
        let line = alloc::format!("{device}\t{network:08X}\t{gateway:08X}\t{flags:04X}\t0\t0\t0\t{mask:08X}\t0\t0\t0");
        writeln!(out, "{line:ROUTE_LINE$}")?;
    }
    Ok(())
}

fn write_addresses(out: &mut String, interfaces: &[Interface]) -> fmt::Result {
    for interface in interfaces.iter().rev() {
        for (address, prefix) in &interface.addresses {
            let IpAddr::V6(v6) = address else { continue };
            let scope = match v6 {
                v6 if v6.is_loopback() => 0x10,
                v6 if v6.is_unicast_link_local() => 0x20,
                _ => 0,
            };
            let bits = u128::from_be_bytes(v6.octets());
            writeln!(
                out,
                "{bits:032x} {:02x} {prefix:02x} {scope:02x} {PERMANENT:02x} {:>8}",
                interface.number,
                interface.text()
            )?;
        }
    }
    Ok(())
}

fn write_attribute(out: &mut String, interface: &Interface, counts: Counts, attribute: Attribute) -> fmt::Result {
    let (kind, flags) = interface.hardware;
    let is_loopback = interface.number == 1;
    match attribute {
        Attribute::Address => writeln!(out, "{}", Hardware(interface.mac)),
        Attribute::AddressLength => writeln!(out, "6"),
        Attribute::Broadcast => writeln!(out, "{}", Hardware(if is_loopback { [0; 6] } else { [0xff; 6] })),
        Attribute::Carrier => writeln!(out, "1"),
        // Without those that say that the interface runs.
        Attribute::Flags => writeln!(out, "{:#x}", flags & 0xffff & !0x40),
        Attribute::Index => writeln!(out, "{}", interface.number),
        Attribute::Mtu => writeln!(out, "{}", interface.mtu),
        Attribute::State => writeln!(out, "{}", if is_loopback { "unknown" } else { "up" }),
        Attribute::Type => writeln!(out, "{kind}"),
        Attribute::ReceivedBytes => writeln!(out, "{}", counts.received_bytes),
        Attribute::Received => writeln!(out, "{}", counts.received),
        Attribute::SentBytes => writeln!(out, "{}", counts.sent_bytes),
        Attribute::Sent => writeln!(out, "{}", counts.sent),
    }
}

/// A hardware address.
struct Hardware([u8; 6]);

impl fmt::Display for Hardware {
    fn fmt(&self, f: &mut fmt::Formatter<'_>) -> fmt::Result {
        let [a, b, c, d, e, g] = self.0;
        write!(f, "{a:02x}:{b:02x}:{c:02x}:{d:02x}:{e:02x}:{g:02x}")
    }
}

/// An address and a port, in words of the processor's byte order.
struct Hex(SocketAddr);

impl fmt::Display for Hex {
    fn fmt(&self, f: &mut fmt::Formatter<'_>) -> fmt::Result {
        match self.0.ip() {
            IpAddr::V4(v4) => write!(f, "{:08X}", u32::from_ne_bytes(v4.octets()))?,
            IpAddr::V6(v6) => {
                let octets = v6.octets();
                let (words, _) = octets.as_chunks::<4>();
                words.iter().try_for_each(|word| write!(f, "{:08X}", u32::from_ne_bytes(*word)))?;
            }
        }
        write!(f, ":{:04X}", self.0.port())
    }
}

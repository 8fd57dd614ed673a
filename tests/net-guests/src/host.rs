//! A guest with a TCP/IP stack: smoltcp over the frames of a link.

use alloc::vec;
use alloc::vec::Vec;
use core::net::{IpAddr, Ipv4Addr, Ipv6Addr};
use husk::abi::call::News;
use husk::abi::device::{Address, FRAME_HEADER, source};
use husk::net::{Incoming, Link, Sender};
use husk::{clock, wait};
use smoltcp::iface::{Config, Interface, PollResult, SocketHandle, SocketSet};
use smoltcp::phy::{Device, DeviceCapabilities, Medium, RxToken, TxToken};
use smoltcp::socket::dhcpv4;
use smoltcp::time::Instant;
use smoltcp::wire::{EthernetAddress, IpCidr};

/// Stack with its link and its sockets.
pub struct Host {
    link: Link,
    /// The interface.
    pub interface: Interface,
    /// The sockets.
    pub sockets: SocketSet<'static>,
    dhcp: Option<SocketHandle>,
}

fn now() -> Instant {
    Instant::from_micros((clock::monotonic_ns() / 1000) as i64)
}

fn ip(bytes: &[u8; 16], is_v4: bool) -> IpAddr {
    match is_v4 {
        true => Ipv4Addr::new(bytes[0], bytes[1], bytes[2], bytes[3]).into(),
        false => Ipv6Addr::from(*bytes).into(),
    }
}

impl Host {
    /// Returns a host on the device `net`, with the tender's addresses; asks by DHCP if the tender says so, or if `always`.
    pub fn new(always: bool) -> Self {
        let mut link = Link::open("net").expect("a network");
        let properties = link.properties();
        let mut config = Config::new(EthernetAddress(properties.mac).into());
        config.random_seed = clock::realtime_ns();
        let mut interface = Interface::new(config, &mut Wire(&mut link), now());
        let mut sockets = SocketSet::new(Vec::new());
        let ask = always || properties.v4.source == source::ASK;
        let dhcp = ask.then(|| sockets.add(dhcpv4::Socket::new()));
        for (is_v4, told) in [(true, properties.v4), (false, properties.v6)] {
            if told.source == source::GIVEN && !(ask && is_v4) {
                configure(&mut interface, &told, is_v4);
            }
        }
        Self { link, interface, sockets, dhcp }
    }

    /// Does the work that is due. Returns true if a socket may have changed by that.
    pub fn work(&mut self) -> bool {
        let result = self.interface.poll(now(), &mut Wire(&mut self.link), &mut self.sockets);
        if let Some(handle) = self.dhcp {
            match self.sockets.get_mut::<dhcpv4::Socket<'_>>(handle).poll() {
                Some(dhcpv4::Event::Configured(lease)) => {
                    husk::println!(
                        "address {}, router {:?}, name servers {:?}",
                        lease.address,
                        lease.router,
                        lease.dns_servers
                    );
                    self.interface.update_ip_addrs(|addresses| {
                        let _ = addresses.push(IpCidr::Ipv4(lease.address));
                    });
                    if let Some(router) = lease.router {
                        let _ = self.interface.routes_mut().add_default_ipv4_route(router);
                    }
                }
                Some(dhcpv4::Event::Deconfigured) | None => {}
            }
        }
        self.link.sender.flush();
        result == PollResult::SocketStateChanged
    }

    /// Blocks until there is work to do.
    pub fn wait(&mut self) {
        let delay = self.interface.poll_delay(now(), &self.sockets);
        let deadline_ns = delay.map_or(u64::MAX, |delay| clock::monotonic_ns() + delay.total_micros() * 1000);
        wait::any(&mut [&mut self.link], News::empty(), deadline_ns);
    }
}

fn configure(interface: &mut Interface, told: &Address, is_v4: bool) {
    interface.update_ip_addrs(|addresses| {
        let _ = addresses.push(IpCidr::new(ip(&told.address, is_v4).into(), told.prefix));
    });
    let routes = interface.routes_mut();
    match ip(&told.gateway, is_v4) {
        gateway if gateway.is_unspecified() => {}
        IpAddr::V4(gateway) => drop(routes.add_default_ipv4_route(gateway)),
        IpAddr::V6(gateway) => drop(routes.add_default_ipv6_route(gateway)),
    }
}

/// Adapter of a link to smoltcp's device.
struct Wire<'a>(&'a mut Link);

struct Received<'a>(Incoming<'a>);
struct Sending<'a>(&'a mut Sender);

impl Device for Wire<'_> {
    type RxToken<'a>
        = Received<'a>
    where
        Self: 'a;
    type TxToken<'a>
        = Sending<'a>
    where
        Self: 'a;

    fn receive(&mut self, _: Instant) -> Option<(Received<'_>, Sending<'_>)> {
        // A frame is not taken yet if there is no room for an answer.
        if !self.0.sender.has_room() {
            return None;
        }
        let frame = self.0.receiver.frame()?;
        Some((Received(frame), Sending(&mut self.0.sender)))
    }

    fn transmit(&mut self, _: Instant) -> Option<Sending<'_>> {
        self.0.sender.has_room().then_some(Sending(&mut self.0.sender))
    }

    fn capabilities(&self) -> DeviceCapabilities {
        let mut capabilities = DeviceCapabilities::default();
        capabilities.medium = Medium::Ethernet;
        capabilities.max_transmission_unit = FRAME_HEADER + usize::from(self.0.properties().mtu);
        capabilities
    }
}

impl RxToken for Received<'_> {
    fn consume<R, F: FnOnce(&[u8]) -> R>(self, take: F) -> R {
        take(&self.0)
    }
}

impl TxToken for Sending<'_> {
    fn consume<R, F: FnOnce(&mut [u8]) -> R>(self, length: usize, fill: F) -> R {
        match self.0.frame() {
            Some(mut frame) => {
                let result = fill(&mut frame[..length]);
                frame.send(length);
                result
            }
            // All buffers are on their way: this frame is lost, as on any wire.
            None => fill(&mut vec![0; length]),
        }
    }
}

//! Interfaces, as rtnetlink(7) describes them with their addresses: linux/if_link.h, linux/if_addr.h.

use super::address::Family;
use super::messages::{Octets, Question, append, attributes};
use crate::errno::Errno;
use alloc::vec::Vec;
use core::net::{IpAddr, Ipv4Addr};
use linux_raw_sys::netlink::NLM_F_MULTI;

pub(super) const NEW_LINK: u16 = 16;
const NEW_ADDRESS: u16 = 20;
// Attributes of interfaces.
const LINK_ADDRESS: u16 = 1;
const LINK_BROADCAST: u16 = 2;
const LINK_NAME: u16 = 3;
const LINK_MTU: u16 = 4;
const LINK_STATE: u16 = 16;
const LINK_CARRIER: u16 = 33;
const LINK_OTHER_NAME: u16 = 53;
// Attributes of addresses.
const ADDRESS: u16 = 1;
const ADDRESS_LOCAL: u16 = 2;
const ADDRESS_LABEL: u16 = 3;
const ADDRESS_BROADCAST: u16 = 4;
const ADDRESS_FLAGS: u16 = 8;
/// Flag of an address that does not expire.
const PERMANENT: u8 = 0x80;
// Scope of an address: anywhere, its own link, this machine.
const ANYWHERE: u8 = 0;
const ON_LINK: u8 = 253;
const HERE: u8 = 254;
/// Kinds of hardware, and the interface's flags: up and running; with a loopback or with broadcast and multicast.
pub(super) const LOOPBACK: (u16, u32) = (772, 0x1_0049);
pub(super) const ETHERNET: (u16, u32) = (1, 0x1_1043);
/// States of an interface: RFC 2863.
const STATE_UNKNOWN: u8 = 0;
const STATE_UP: u8 = 6;
/// Bytes of a `struct ifinfomsg`, and of a `struct ifaddrmsg`.
const LINK_HEAD: usize = 16;
const ADDRESS_HEAD: usize = 8;
/// Bytes of an interface's name, with a NUL.
const NAME: usize = 16;

/// An interface.
pub(super) struct Interface {
    pub(super) number: u32,
    name: [u8; NAME],
    pub(super) hardware: (u16, u32),
    pub(super) mac: [u8; 6],
    pub(super) mtu: usize,
    /// Addresses, each with the prefix length of its network.
    pub(super) addresses: Vec<(IpAddr, u8)>,
}

impl Interface {
    /// Returns an interface with these addresses, its hardware and flags, hardware address and MTU.
    pub(super) fn new(
        number: u32,
        name: &[u8],
        (hardware, mac, mtu): ((u16, u32), [u8; 6], usize),
        addresses: impl ExactSizeIterator<Item = (IpAddr, u8)>,
    ) -> Result<Self, Errno> {
        let mut list = Vec::new();
        list.try_reserve_exact(addresses.len()).map_err(|_| Errno::ENOMEM)?;
        list.extend(addresses);
        // As on Linux, the widest scope first.
        list.sort_unstable_by_key(|(address, _)| (scope(*address), *address));
        // The name is cut off where Linux's longest one ends.
        let mut cut = [0; NAME];
        cut[..NAME - 1].iter_mut().zip(name).for_each(|(to, from)| *to = *from);
        Ok(Self { number, name: cut, hardware, mac, mtu, addresses: list })
    }

    fn name(&self) -> &[u8] {
        self.name.split(|byte| *byte == 0).next().unwrap_or_default()
    }

    /// The name as text.
    pub(super) fn text(&self) -> &str {
        core::str::from_utf8(self.name()).unwrap_or_default()
    }

    /// The name with its NUL.
    fn c_name(&self) -> &[u8] {
        self.name.get(..=self.name().len()).unwrap_or(&self.name)
    }

    /// Appends the description of the interface.
    pub(super) fn append(&self, question: &Question<'_>, flags: u32, into: &mut Vec<u8>) -> Result<(), Errno> {
        let (kind, state) = self.hardware;
        let (number, mtu) = (self.number.to_ne_bytes(), (self.mtu as u32).to_ne_bytes());
        let is_ethernet = self.hardware == ETHERNET;
        let body: [&[u8]; 5] = [&[0; 2], &kind.to_ne_bytes(), &number, &state.to_ne_bytes(), &[0; 4]];
        let reported: [(u16, &[u8]); 6] = [
            (LINK_NAME, self.c_name()),
            (LINK_STATE, &[if is_ethernet { STATE_UP } else { STATE_UNKNOWN }]),
            (LINK_MTU, &mtu),
            (LINK_CARRIER, &[1]),
            (LINK_ADDRESS, &self.mac),
            (LINK_BROADCAST, &[if is_ethernet { 0xff } else { 0 }; 6]),
        ];
        append(into, question, NEW_LINK, flags, &body, &reported)
    }

    /// Appends the addresses of one family, if the request is about that.
    pub(super) fn append_addresses(
        &self,
        question: &Question<'_>,
        family: Family,
        into: &mut Vec<u8>,
    ) -> Result<(), Errno> {
        let is_wanted = |address| question.is_about(address) && Family::of(address) == family;
        let mut wanted = self.addresses.iter().filter(|(address, _)| is_wanted(*address));
        wanted.try_for_each(|(address, prefix)| self.append_address(question, NLM_F_MULTI, *address, *prefix, into))
    }

    fn append_address(
        &self,
        question: &Question<'_>,
        flags: u32,
        address: IpAddr,
        prefix: u8,
        into: &mut Vec<u8>,
    ) -> Result<(), Errno> {
        let scope = scope(address);
        let head = [Family::of(address).number() as u8, prefix, PERMANENT, scope];
        let everybody = match address {
            IpAddr::V4(v4) if scope != HERE && prefix < 31 => Some(broadcast(v4, prefix).into()),
            _ => None,
        };
        let (octets, everybody) = (Octets::of(address), Octets::of_some(everybody));
        let (local, label): (&[u8], &[u8]) = match address {
            IpAddr::V4(_) => (octets.bytes(), self.c_name()),
            IpAddr::V6(_) => (&[], &[]),
        };
        let reported: [(u16, &[u8]); 5] = [
            (ADDRESS, octets.bytes()),
            (ADDRESS_LOCAL, local),
            (ADDRESS_BROADCAST, everybody.bytes()),
            (ADDRESS_LABEL, label),
            (ADDRESS_FLAGS, &u32::from(PERMANENT).to_ne_bytes()),
        ];
        append(into, question, NEW_ADDRESS, flags, &[&head, &self.number.to_ne_bytes()], &reported)
    }
}

fn scope(address: IpAddr) -> u8 {
    match address {
        address if address.is_loopback() => HERE,
        IpAddr::V6(v6) if v6.is_unicast_link_local() => ON_LINK,
        _ => ANYWHERE,
    }
}

/// Returns the broadcast address of the network of this prefix length that an address is in.
pub(super) fn broadcast(address: Ipv4Addr, prefix: u8) -> Ipv4Addr {
    Ipv4Addr::from(address.to_bits() | u32::MAX.checked_shr(prefix.into()).unwrap_or(0))
}

/// Appends the interface with the number or the name in a request; ENODEV if there is none.
pub(super) fn append_one(interfaces: &[Interface], question: &Question<'_>, into: &mut Vec<u8>) -> Result<(), Errno> {
    if question.body.len() < LINK_HEAD {
        return Err(Errno::EINVAL);
    }
    let number = question.number().filter(|number| *number != 0);
    let mut names =
        attributes(question.body, LINK_HEAD).filter(|(kind, _)| [LINK_NAME, LINK_OTHER_NAME].contains(kind));
    let name = names.next().map(|(_, name)| name.strip_suffix(b"\0").unwrap_or(name));
    let is_wanted = |interface: &&Interface| match number {
        Some(number) => interface.number == number,
        None => name == Some(interface.name()),
    };
    if number.is_none() && name.is_none() {
        return Err(Errno::EINVAL);
    }
    interfaces.iter().find(is_wanted).ok_or(Errno::ENODEV)?.append(question, 0, into)
}

/// Appends the IPv6 address in a request; EADDRNOTAVAIL unless it is one of these interfaces'. Linux answers for no other
/// family.
pub(super) fn append_one_address(
    interfaces: &[Interface],
    question: &Question<'_>,
    into: &mut Vec<u8>,
) -> Result<(), Errno> {
    if u32::from(question.family()) != Family::V6.number() {
        return Err(Errno::EOPNOTSUPP);
    }
    let wanted = match question.address(ADDRESS_HEAD, ADDRESS)? {
        Some(address) => address,
        None => question.address(ADDRESS_HEAD, ADDRESS_LOCAL)?.ok_or(Errno::EINVAL)?,
    };
    let interface = question.number().filter(|number| *number != 0);
    let mut here = interfaces.iter().filter(|one| interface.is_none_or(|number| number == one.number));
    let found = here.find_map(|one| Some((one, one.addresses.iter().find(|(address, _)| *address == wanted)?)));
    let (interface, (address, prefix)) = found.ok_or(Errno::EADDRNOTAVAIL)?;
    interface.append_address(question, 0, *address, *prefix, into)
}

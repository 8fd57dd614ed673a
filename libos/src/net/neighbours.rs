//! Neighbours, as rtnetlink(7) lists them: what ARP and neighbour discovery have found. linux/neighbour.h.

use super::address::Family;
use super::links::Interface;
use super::messages::{Octets, Question, append};
use crate::errno::Errno;
use alloc::vec::Vec;
use husk::internet::stack::Neighbour;
use linux_raw_sys::netlink::NLM_F_MULTI;

const NEW_NEIGHBOUR: u16 = 28;
const DESTINATION: u16 = 1;
const HARDWARE_ADDRESS: u16 = 2;
// States of a neighbour: being asked for, known, and known without a recent confirmation.
const INCOMPLETE: u16 = 1;
const REACHABLE: u16 = 2;
const STALE: u16 = 4;
/// Type of the routes to neighbours: to other machines.
const UNICAST: u8 = 1;
/// Bytes of a `struct ndmsg`.
const HEAD: usize = 12;
/// Flag of requests for neighbours that this machine answers for (proxy ARP): there are none.
const PROXY: u8 = 8;

fn append_neighbour(
    neighbour: &Neighbour,
    interface: u32,
    question: &Question<'_>,
    flags: u32,
    into: &mut Vec<u8>,
) -> Result<(), Errno> {
    let state = match neighbour.mac {
        None => INCOMPLETE,
        Some(_) if neighbour.is_fresh => REACHABLE,
        Some(_) => STALE,
    };
    let head = [Family::of(neighbour.address).number() as u8, 0, 0, 0];
    let body: [&[u8]; 4] = [&head, &interface.to_ne_bytes(), &state.to_ne_bytes(), &[0, UNICAST]];
    let address = Octets::of(neighbour.address);
    let mac: &[u8] = neighbour.mac.as_ref().map_or(&[], |mac| mac);
    let reported = [(DESTINATION, address.bytes()), (HARDWARE_ADDRESS, mac)];
    append(into, question, NEW_NEIGHBOUR, flags, &body, &reported)
}

/// Appends the neighbours of the request's family, which are all at the device, the last interface.
pub(super) fn append_all(
    neighbours: impl Iterator<Item = Neighbour>,
    interfaces: &[Interface],
    question: &Question<'_>,
    into: &mut Vec<u8>,
) -> Result<(), Errno> {
    let device = interfaces.last().map_or(0, |interface| interface.number);
    let is_for_proxies = question.body.get(10).is_some_and(|flags| flags & PROXY != 0);
    let mut wanted = neighbours.filter(|one| question.is_about(one.address) && !is_for_proxies);
    wanted.try_for_each(|one| append_neighbour(&one, device, question, NLM_F_MULTI, into))
}

/// Appends the neighbour in a request; ENOENT if it is not known.
pub(super) fn append_one(
    mut neighbours: impl Iterator<Item = Neighbour>,
    interfaces: &[Interface],
    question: &Question<'_>,
    into: &mut Vec<u8>,
) -> Result<(), Errno> {
    if question.body.len() < HEAD {
        return Err(Errno::EINVAL);
    }
    if question.family() == 0 {
        return Err(Errno::EAFNOSUPPORT);
    }
    let wanted = question.address(HEAD, DESTINATION)?.ok_or(Errno::EINVAL)?;
    let number = question.number().filter(|number| *number != 0).ok_or(Errno::EINVAL)?;
    interfaces.iter().find(|interface| interface.number == number).ok_or(Errno::ENODEV)?;
    let device = interfaces.last().map_or(0, |interface| interface.number);
    let found = neighbours.find(|one| one.address == wanted && device == number).ok_or(Errno::ENOENT)?;
    append_neighbour(&found, device, question, 0, into)
}

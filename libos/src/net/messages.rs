//! Messages of netlink(7): requests and answers, with their attributes.

use super::address::Family;
use crate::errno::Errno;
use crate::process::PROCESS;
use alloc::vec::Vec;
use core::net::IpAddr;

/// Bytes of a `struct nlmsghdr`.
const HEADER: usize = 16;
/// Bytes of a `struct rtattr`.
const ATTRIBUTE: usize = 4;
/// Alignment of messages and attributes, in bytes.
const ALIGNMENT: usize = 4;
/// Bits of an attribute's kind that are not flags.
const KIND: u16 = 0x3fff;

/// A request.
pub(super) struct Question<'a> {
    pub(super) kind: u16,
    pub(super) flags: u32,
    pub(super) sequence: u32,
    pub(super) header: &'a [u8; HEADER],
    pub(super) body: &'a [u8],
    /// The whole request.
    pub(super) whole: &'a [u8],
}

/// Returns the first request in the bytes sent, and the rest.
pub(super) fn question(bytes: &[u8]) -> Option<(Question<'_>, &[u8])> {
    let header: &[u8; HEADER] = bytes.first_chunk()?;
    let [l0, l1, l2, l3, k0, k1, f0, f1, s0, s1, s2, s3, ..] = *header;
    let length = u32::from_ne_bytes([l0, l1, l2, l3]) as usize;
    let body = bytes.get(HEADER..length)?;
    let question = Question {
        kind: u16::from_ne_bytes([k0, k1]),
        flags: u16::from_ne_bytes([f0, f1]).into(),
        sequence: u32::from_ne_bytes([s0, s1, s2, s3]),
        header,
        body,
        whole: bytes.get(..length)?,
    };
    Some((question, bytes.get(length.next_multiple_of(ALIGNMENT)..).unwrap_or_default()))
}

/// Returns the attributes behind the first `head` bytes of a request: kinds and values.
pub(super) fn attributes(body: &[u8], head: usize) -> impl Iterator<Item = (u16, &[u8])> {
    let mut rest = body.get(head..).unwrap_or_default();
    core::iter::from_fn(move || {
        let [l0, l1, k0, k1] = *rest.first_chunk()?;
        let length = usize::from(u16::from_ne_bytes([l0, l1]));
        let value = rest.get(ATTRIBUTE..length)?;
        rest = rest.get(length.next_multiple_of(ALIGNMENT)..).unwrap_or_default();
        Some((u16::from_ne_bytes([k0, k1]) & KIND, value))
    })
}

/// Appends a message with this body and these attributes, in parts; an attribute without a value is left out. ENOMEM without
/// memory.
pub(super) fn append(
    into: &mut Vec<u8>,
    question: &Question<'_>,
    kind: u16,
    flags: u32,
    body: &[&[u8]],
    reported: &[(u16, &[u8])],
) -> Result<(), Errno> {
    let reported = || reported.iter().filter(|(_, value)| !value.is_empty());
    let attribute = |value: &[u8]| ATTRIBUTE + value.len();
    let body_length: usize = body.iter().map(|part| part.len()).sum();
    let values: usize = reported().map(|(_, value)| attribute(value).next_multiple_of(ALIGNMENT)).sum();
    let length = HEADER + body_length + values;
    into.try_reserve(length.next_multiple_of(ALIGNMENT)).map_err(|_| Errno::ENOMEM)?;
    into.extend_from_slice(&(length as u32).to_ne_bytes());
    into.extend_from_slice(&kind.to_ne_bytes());
    into.extend_from_slice(&(flags as u16).to_ne_bytes());
    into.extend_from_slice(&question.sequence.to_ne_bytes());
    into.extend_from_slice(&PROCESS.to_ne_bytes());
    body.iter().for_each(|part| into.extend_from_slice(part));
    for (kind, value) in reported() {
        into.extend_from_slice(&(attribute(value) as u16).to_ne_bytes());
        into.extend_from_slice(&kind.to_ne_bytes());
        into.extend_from_slice(value);
        into.resize(into.len().next_multiple_of(ALIGNMENT), 0);
    }
    into.resize(into.len().next_multiple_of(ALIGNMENT), 0);
    Ok(())
}

/// Bytes of an address.
#[derive(Clone, Copy, Debug)]
pub(super) struct Octets {
    bytes: [u8; 16],
    length: usize,
}

impl Octets {
    pub(super) fn of(address: IpAddr) -> Self {
        let mut bytes = [0; 16];
        let length = match address {
            IpAddr::V4(v4) => {
                bytes[..4].copy_from_slice(&v4.octets());
                4
            }
            IpAddr::V6(v6) => {
                bytes = v6.octets();
                16
            }
        };
        Self { bytes, length }
    }

    /// Bytes of an address; none without one.
    pub(super) fn of_some(address: Option<IpAddr>) -> Self {
        address.map_or(Self { bytes: [0; 16], length: 0 }, Self::of)
    }

    pub(super) fn bytes(&self) -> &[u8] {
        self.bytes.get(..self.length).unwrap_or_default()
    }
}

impl Question<'_> {
    /// Number of the interface that a request for interfaces, addresses or neighbours is about.
    pub(super) fn number(&self) -> Option<u32> {
        self.body.get(4..8).and_then(|bytes| bytes.try_into().ok()).map(u32::from_ne_bytes)
    }

    /// Number of the family that a request is about; 0 for all.
    pub(super) fn family(&self) -> u8 {
        self.body.first().copied().unwrap_or(0)
    }

    /// Returns true if a request is about addresses of this one's family.
    pub(super) fn is_about(&self, address: IpAddr) -> bool {
        [0, Family::of(address).number() as u8].contains(&self.family())
    }

    /// The address of the request's family that is its attribute of this kind, behind `head` bytes of the body; EINVAL if it has
    /// another length.
    pub(super) fn address(&self, head: usize, kind: u16) -> Result<Option<IpAddr>, Errno> {
        let Some((_, value)) = attributes(self.body, head).find(|(found, _)| *found == kind) else { return Ok(None) };
        let address: IpAddr = match (<[u8; 4]>::try_from(value), <[u8; 16]>::try_from(value)) {
            (Ok(v4), _) => v4.into(),
            (_, Ok(v6)) => v6.into(),
            _ => return Err(Errno::EINVAL),
        };
        if self.is_about(address) { Ok(Some(address)) } else { Err(Errno::EINVAL) }
    }
}

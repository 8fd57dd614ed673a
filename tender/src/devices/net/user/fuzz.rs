//! Fuzz targets for hostile frames: see [`crate::fuzz`].

use super::dns::servers::Servers;
use super::policy::{Policy, Rule};
use super::{Network, Options, addresses};
use crate::devices::net::Wire;
use std::time::Duration;

/// Fuzzes a query and an answer: a message accepted as a query must be one, in its simplest form.
pub fn dns(bytes: &[u8]) {
    let (length, rest) = bytes.split_first().map_or((0, bytes), |(length, rest)| (usize::from(*length) * 2, rest));
    let (message, answer) = rest.split_at(length.min(rest.len()));
    super::dns::check(message, answer);
}

/// Fuzzes a guest's frames, one after the other: each byte pair is a length, followed by as many bytes. No host outside is
/// contacted.
pub fn frames(bytes: &[u8]) {
    let deny = ["all", "host"].map(|to| Rule::parse(false, to).expect("well-formed"));
    let options = Options { policy: Policy(deny.to_vec()), ..Options::default() };
    let Ok(mut network) = Network::open(&options, addresses::GUEST_MAC) else { return };
    network.servers = Servers::new(vec![], Duration::from_secs(5));
    let mut rest = bytes;
    while let Some((length, after)) = rest.split_first_chunk() {
        let length = usize::from(u16::from_le_bytes(*length)).min(after.len());
        let (frame, after) = after.split_at(length);
        network.take(frame);
        network.work();
        while network.rx_queue.first().is_some() {
            network.rx_queue.pop();
        }
        rest = after;
    }
    assert_eq!(network.flows.count(), 0, "nothing may be connected");
}

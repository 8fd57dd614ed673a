//! A property of the gate to guest memory: a claim is let through exactly if all of it lies in one region that the guest was
//! given with these rights, and then leads to where that region lies in the host's mapping.

use super::{Claim, Memory};
use crate::sample;
use husk_abi::memory::{BOOT, BOOT_SIZE, PAGE, Region, Rights};
use proptest::prelude::*;
use std::sync::OnceLock;

const READ_WRITE: Rights = Rights::READ.union(Rights::WRITE);

fn memory() -> &'static Memory {
    static MEMORY: OnceLock<Memory> = OnceLock::new();
    MEMORY.get_or_init(sample::memory)
}

/// What a guest is given, as the contract says it, and where it lies in physical memory.
fn given(memory: &Memory) -> Vec<(Region, Rights, u64)> {
    let layout = memory.layout();
    let writable = [layout.heap, layout.main_stack, layout.libos_stack, layout.image];
    let boot = Region { start: layout.own(BOOT), length: BOOT_SIZE };
    let writable = writable.map(|region| (region, READ_WRITE, layout.physical(region.start)));
    writable.into_iter().chain([(boot, Rights::READ, BOOT)]).collect()
}

/// Where the claim leads, by arithmetic that cannot wrap.
fn expected(memory: &Memory, claim: Claim, rights: Rights) -> Option<u64> {
    let (start, end) = (u128::from(claim.address), u128::from(claim.address) + u128::from(claim.length));
    let found = given(memory).into_iter().find(|(region, has, _)| {
        let (first, after) = (u128::from(region.start), u128::from(region.start) + u128::from(region.length));
        start >= first && end <= after && has.contains(rights)
    });
    found.map(|(region, _, physical)| memory.host_address() + physical + (claim.address - region.start))
}

fn holds(memory: &Memory, claim: Claim, rights: Rights) -> Result<(), TestCaseError> {
    let answer = memory.check(claim, rights).ok().map(|place| place.as_ptr() as u64);
    prop_assert_eq!(answer, expected(memory, claim, rights), "{:x?} {:?}", claim, rights);
    Ok(())
}

/// Edges of everything there is, and what lies beside them.
fn edges(memory: &Memory) -> Vec<u64> {
    let layout = memory.layout();
    let mut edges = vec![0, u64::MAX, 1 << 47];
    let regions = given(memory).into_iter().map(|(region, ..)| region);
    for region in regions.chain([layout.rings, layout.window]) {
        for edge in [region.start, region.end()] {
            edges.extend([-1, 0, 1, PAGE as i64, -(PAGE as i64)].map(|by| edge.wrapping_add_signed(by)));
        }
    }
    edges.sort_unstable();
    edges.dedup();
    edges
}

#[test]
fn every_claim_from_edge_to_edge_is_let_through_or_refused() {
    let memory = memory();
    let edges = edges(memory);
    let mut let_through = 0;
    for &address in &edges {
        let lengths = edges.iter().map(|end| end.wrapping_sub(address)).chain([0, 1, u64::MAX]);
        for claim in lengths.map(|length| Claim { address, length }) {
            for rights in [Rights::READ, READ_WRITE] {
                holds(memory, claim, rights).expect("the gate says what the contract says");
                let_through += u32::from(memory.check(claim, rights).is_ok());
            }
        }
    }
    assert!(let_through > 100, "{let_through}");
}

proptest! {
    #[test]
    fn a_claim_is_let_through_exactly_if_it_was_given(
        edge in any::<prop::sample::Index>(),
        by in -(3 * PAGE as i64)..3 * PAGE as i64,
        length in prop_oneof![0..4 * PAGE, any::<u64>()],
        writes in any::<bool>(),
    ) {
        let memory = memory();
        let address = edge.get(&edges(memory)).wrapping_add_signed(by);
        holds(memory, Claim { address, length }, if writes { READ_WRITE } else { Rights::READ })?;
    }

    #[test]
    fn rings_and_what_lies_between_are_never_let_through(at in any::<u64>(), length in 1..PAGE) {
        let layout = memory().layout();
        for region in [layout.rings, Region::between(0, layout.own(BOOT)), Region::between(layout.heap.end(), u64::MAX)] {
            let claim = Claim { address: region.start + at % region.length, length };
            prop_assert!(memory().check(claim, Rights::READ).is_err(), "{:x?}", claim);
        }
    }
}

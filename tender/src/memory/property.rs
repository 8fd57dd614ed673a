//! Property test of the gate to guest memory: a claim is accepted exactly if all of it lies in one region that the guest has
//! with these rights, and the result then points to that region in the host's mapping.
//!
//! Tested for every claim that begins and ends near an edge of any region, for each kind of guest, and for random claims.

use super::{Claim, Memory};
use crate::fuzz::sample;
use crate::memory::layout::Addresses;
use husk_abi::memory::{BOOT, BOOT_SIZE, PAGE, Region, Rights};
use husk_abi::note::kind;
use proptest::prelude::*;
use std::sync::OnceLock;

const READ_WRITE: Rights = Rights::READ.union(Rights::WRITE);
/// Length of an image file, which ends within a page.
const FILE: u64 = 2 * PAGE + 5;
/// Pages of the sparse region that the guest has, counted from its start; its last page is added.
const TOUCHED: [u64; 4] = [0, 1, 3, 64];

fn memory() -> &'static Memory {
    static MEMORY: OnceLock<Memory> = OnceLock::new();
    MEMORY.get_or_init(|| sample::memory_of(kind::NATIVE, Addresses::Translated, FILE))
}

/// Memory of a std program, with some pages of the sparse region.
fn program(addresses: Addresses) -> Memory {
    let memory = sample::memory_of(kind::STD, addresses, FILE);
    assert!(memory.sparse().host_address().is_some(), "the host has the addresses");
    for page in touched(&memory) {
        memory.sparse().open(Region { start: page, length: PAGE }).expect("the host has the memory");
    }
    memory
}

/// Addresses of the pages of the sparse region that a program has.
fn touched(memory: &Memory) -> impl Iterator<Item = u64> {
    let region = memory.sparse().region();
    let pages = TOUCHED.map(|page| region.start + page * PAGE).into_iter().chain([region.end().wrapping_sub(PAGE)]);
    pages.filter(move |_| region.length > 0)
}

/// Regions of a guest as the contract grants them, with rights and guest-physical address.
fn given(memory: &Memory) -> Vec<(Region, Rights, u64)> {
    let layout = memory.layout();
    let writable = [layout.heap, layout.main_stack, layout.libos_stack, layout.image];
    let boot = Region { start: layout.tender_address(BOOT), length: BOOT_SIZE };
    let at = |region: Region| layout.physical(region.start);
    let writable = writable.map(|region| (region, READ_WRITE, at(region)));
    let file = layout.image_file;
    let file = (file.length > 0).then(|| (file, Rights::READ, at(file)));
    writable.into_iter().chain([(boot, Rights::READ, BOOT)]).chain(file).collect()
}

/// Returns true if a claim lies in a region, by arithmetic that cannot wrap.
fn is_within(claim: Claim, region: Region) -> bool {
    let (start, end) = (u128::from(claim.address), u128::from(claim.address) + u128::from(claim.length));
    start >= u128::from(region.start) && end <= u128::from(region.start) + u128::from(region.length)
}

/// Host address that the claim must lead to.
fn expected(memory: &Memory, claim: Claim, rights: Rights) -> Option<u64> {
    let found = given(memory).into_iter().find(|(region, has, _)| is_within(claim, *region) && has.contains(rights));
    found.map(|(region, _, physical)| match memory.layout().addresses {
        Addresses::Translated => memory.host_address() + physical + (claim.address - region.start),
        // The guest's addresses are host addresses.
        Addresses::Direct => claim.address,
    })
}

/// Host address of a claim in the sparse region, touched by the guest or not.
fn expected_sparse(memory: &Memory, claim: Claim) -> Option<u64> {
    let sparse = memory.sparse();
    let is_inside = sparse.region().length > 0 && is_within(claim, sparse.region());
    is_inside.then(|| match memory.layout().addresses {
        Addresses::Translated => sparse.host_address().expect("it was made") + (claim.address - sparse.region().start),
        Addresses::Direct => claim.address,
    })
}

/// Returns true if the guest has touched every page of a claim in the sparse region; a claim of no bytes has the page of its
/// address.
fn is_touched(memory: &Memory, claim: Claim) -> bool {
    let last = (u128::from(claim.address) + u128::from(claim.length.max(1)) - 1) / u128::from(PAGE);
    let mut pages = (u128::from(claim.address / PAGE)..=last).map(|page| page * u128::from(PAGE));
    pages.all(|page| touched(memory).any(|has| page == u128::from(has)))
}

fn holds(memory: &Memory, claim: Claim, rights: Rights) -> Result<(), TestCaseError> {
    let place = |found: Result<std::ptr::NonNull<u8>, _>| found.ok().map(|place| place.as_ptr() as u64);
    let expected = expected(memory, claim, rights);
    prop_assert_eq!(place(memory.check(claim, rights)), expected, "{:x?} {:?}", claim, rights);
    let sparse = expected_sparse(memory, claim);
    let touched = sparse.filter(|_| is_touched(memory, claim)).or(expected);
    prop_assert_eq!(place(memory.check_with_sparse(claim, rights)), touched, "{:x?} {:?}", claim, rights);
    if rights == READ_WRITE {
        prop_assert_eq!(place(memory.pages(claim)), sparse.or(expected), "{:x?}", claim);
    }
    Ok(())
}

/// Edges of all regions, and addresses beside them.
fn edges(memory: &Memory) -> Vec<u64> {
    let layout = memory.layout();
    let mut edges = vec![0, 1, u64::MAX, 1 << 47, 1 << 63];
    let regions = given(memory).into_iter().map(|(region, ..)| region);
    let pages = touched(memory).map(|start| Region { start, length: PAGE });
    for region in regions.chain([layout.rings, layout.guest_ram, layout.sparse]).chain(pages) {
        for edge in [region.start, region.end()] {
            edges.extend([-1, 0, 1, PAGE as i64, -(PAGE as i64)].map(|by| edge.wrapping_add_signed(by)));
        }
    }
    edges.sort_unstable();
    edges.dedup();
    edges
}

/// Checks every claim from an edge to an edge, forwards and around the end of the address space.
fn holds_at_all_edges(memory: &Memory) {
    let edges = edges(memory);
    let (mut checked, mut let_through) = (0, 0);
    for &address in &edges {
        let lengths = edges.iter().map(|end| end.wrapping_sub(address)).chain([0, 1, 8, u64::MAX - address, u64::MAX]);
        for claim in lengths.map(|length| Claim { address, length }) {
            for rights in [Rights::empty(), Rights::READ, Rights::WRITE, READ_WRITE, Rights::all()] {
                holds(memory, claim, rights).expect("the gate says what the contract says");
                let_through += u32::from(memory.check_with_sparse(claim, rights).is_ok());
                checked += 1;
            }
        }
    }
    assert!(let_through > 500 && checked > 10 * let_through, "{let_through} of {checked}");
}

#[test]
fn every_claim_of_a_native_guest_from_edge_to_edge_is_let_through_or_refused() {
    holds_at_all_edges(memory());
}

#[test]
fn every_claim_of_a_program_in_a_machine_from_edge_to_edge_is_let_through_or_refused() {
    holds_at_all_edges(&program(Addresses::Translated));
}

#[test]
fn every_claim_of_a_program_in_this_process_from_edge_to_edge_is_let_through_or_refused() {
    holds_at_all_edges(&program(Addresses::Direct));
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
        for region in [layout.rings, Region::between(0, layout.tender_address(BOOT)), Region::between(layout.heap.end(), u64::MAX)] {
            let claim = Claim { address: region.start + at % region.length, length };
            prop_assert!(memory().check(claim, Rights::READ).is_err(), "{:x?}", claim);
        }
    }
}

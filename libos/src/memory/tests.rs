//! Memory over a host that only records calls.

use super::*;
use alloc::vec;
use alloc::vec::Vec;
use husk::abi::call::Status;

const START: u64 = 0x10_0000;
const READ_WRITE: Rights = Rights::READ.union(Rights::WRITE);

/// Recorded call, in pages from the start.
#[derive(Debug, PartialEq)]
enum Asked {
    Attach(u64),
    Protect(Span, Rights),
    Discard(Span),
    Zero(Span),
    Copy(Span, usize),
}

#[derive(Debug, Default)]
struct Notes(Vec<Asked>);

fn page(address: u64) -> usize {
    ((address - START) / PAGE) as usize
}

fn span(bytes: Region) -> Span {
    page(bytes.start)..page(bytes.end())
}

impl Host for Notes {
    fn attach(&mut self, length: u64) -> Result<u64, Status> {
        self.0.push(Asked::Attach(length));
        Ok(2 * length)
    }

    fn protect(&mut self, bytes: Region, rights: Rights) -> Result<(), Status> {
        self.0.push(Asked::Protect(span(bytes), rights));
        Ok(())
    }

    fn discard(&mut self, bytes: Region, _kept: u64) -> Result<(), Status> {
        self.0.push(Asked::Discard(span(bytes)));
        Ok(())
    }

    fn zero(&mut self, bytes: Region) {
        self.0.push(Asked::Zero(span(bytes)));
    }

    fn copy(&mut self, from: Region, to: u64) {
        self.0.push(Asked::Copy(span(from), page(to)));
    }
}

fn memory(count: usize) -> Memory<Notes> {
    let groups = vec![PageGroup::default(); Pages::groups(count)].leak();
    Memory::new(Pages::new(groups, count), START, count, Notes::default())
}

fn asked(memory: &mut Memory<Notes>) -> Vec<Asked> {
    core::mem::take(&mut memory.host.0)
}

const fn at(page: u64) -> u64 {
    START + page * PAGE
}

#[test]
fn fresh_pages_cost_nothing_and_used_ones_are_zeroed() {
    let mut memory = memory(1000);
    assert_eq!(memory.map(3 * PAGE - 1, READ_WRITE), Ok(START));
    assert_eq!(asked(&mut memory), []);
    assert_eq!(memory.unmap(START, 3 * PAGE), Ok(()));
    assert_eq!(memory.map(4 * PAGE, READ_WRITE), Ok(START));
    assert_eq!(asked(&mut memory), [Asked::Zero(0..3)]);
    assert_eq!(memory.map(100 * PAGE, READ_WRITE), Ok(at(4)));
    assert_eq!(memory.unmap(at(4), 100 * PAGE), Ok(()));
    assert_eq!(memory.map(100 * PAGE, READ_WRITE), Ok(at(4)));
    assert_eq!(asked(&mut memory), [Asked::Zero(4..104)]);
}

#[test]
fn memory_is_asked_for_before_it_is_used() {
    let mut memory = memory(64);
    memory.attached = 4;
    assert_eq!(memory.map(4 * PAGE, READ_WRITE), Ok(at(0)));
    assert_eq!(asked(&mut memory), []);
    assert_eq!(memory.map(2 * PAGE, READ_WRITE), Ok(at(4)));
    assert_eq!(asked(&mut memory), [Asked::Attach(6 * PAGE)]);
    assert_eq!(memory.map(6 * PAGE, READ_WRITE), Ok(at(6)), "the tender gave twice as much");
    assert_eq!(asked(&mut memory), []);
}

#[test]
fn very_many_pages_are_zeroed_by_the_tender() {
    let mut memory = memory(5000);
    assert_eq!(memory.map(2000 * PAGE, READ_WRITE), Ok(START));
    assert_eq!(memory.unmap(START, 2000 * PAGE), Ok(()));
    assert_eq!(memory.map(3000 * PAGE, READ_WRITE), Ok(START));
    assert_eq!(asked(&mut memory), [Asked::Discard(0..2000)]);
    assert_eq!(memory.clear(START, 16 * PAGE), Ok(()));
    assert_eq!(asked(&mut memory), [Asked::Discard(0..16)]);
}

#[test]
fn many_free_pages_are_given_back_together() {
    let mut memory = memory(20_000);
    assert_eq!(memory.map(5000 * PAGE, READ_WRITE), Ok(START));
    assert_eq!(memory.unmap(at(0), 1000 * PAGE), Ok(()));
    assert_eq!(memory.unmap(at(2000), 8 * PAGE), Ok(()));
    assert_eq!(memory.unmap(at(3000), 1000 * PAGE), Ok(()));
    assert_eq!(asked(&mut memory), [], "little");
    assert_eq!(memory.unmap(at(4500), 100 * PAGE), Ok(()));
    assert_eq!(asked(&mut memory), [Asked::Discard(0..1000), Asked::Discard(3000..4000), Asked::Discard(4500..4600)]);
    assert_eq!(memory.map(1000 * PAGE, READ_WRITE), Ok(START));
    assert_eq!(asked(&mut memory), [], "they are zero");
}

#[test]
fn a_guard_outlives_its_mapping_until_somebody_needs_the_page() {
    let mut memory = memory(1000);
    assert_eq!(memory.map(4 * PAGE, READ_WRITE), Ok(START));
    assert_eq!(memory.protect(START, PAGE, Rights::empty()), Ok(()));
    assert_eq!(memory.unmap(START, 4 * PAGE), Ok(()));
    assert_eq!(asked(&mut memory), [Asked::Protect(0..1, Rights::empty())]);
    assert_eq!(memory.map(4 * PAGE, READ_WRITE), Ok(at(1)), "the closed page is not worth an exit");
    assert_eq!(asked(&mut memory), [Asked::Zero(1..4)]);
    assert_eq!(memory.map_at(START, PAGE, READ_WRITE, true), Ok(START));
    assert_eq!(asked(&mut memory), [Asked::Protect(0..1, READ_WRITE), Asked::Zero(0..1)]);
    assert_eq!(memory.protect(START, PAGE, Rights::READ), Ok(()));
    assert_eq!(memory.clear(START, PAGE), Ok(()));
    assert_eq!(asked(&mut memory), [Asked::Protect(0..1, Rights::READ), Asked::Discard(0..1)]);
}

#[test]
fn closed_pages_that_lie_about_are_opened_together() {
    let mut memory = memory(1000);
    for start in 0..129 {
        assert_eq!(memory.map(3 * PAGE, READ_WRITE), Ok(at(start)));
        assert_eq!(memory.protect(at(start), PAGE, Rights::empty()), Ok(()));
        assert_eq!(memory.unmap(at(start), 3 * PAGE), Ok(()));
    }
    asked(&mut memory);
    assert_eq!(memory.map(PAGE, READ_WRITE), Ok(START));
    assert_eq!(asked(&mut memory), [Asked::Protect(0..129, READ_WRITE), Asked::Zero(0..1)]);
}

#[test]
fn a_reservation_that_is_opened_is_not_closed_first() {
    let mut memory = memory(1000);
    assert_eq!(memory.map(64 * PAGE, Rights::empty()), Ok(START));
    assert_eq!(memory.protect(at(2), 62 * PAGE, READ_WRITE), Ok(()));
    assert_eq!(asked(&mut memory), [Asked::Protect(0..2, Rights::empty())]);
    assert_eq!(memory.map(8 * PAGE, Rights::empty()), Ok(at(64)));
    assert_eq!(memory.flush_pending_mprotect(), Ok(()));
    assert_eq!(memory.flush_pending_mprotect(), Ok(()));
    assert_eq!(asked(&mut memory), [Asked::Protect(64..72, Rights::empty())]);
}

#[test]
fn stacks_are_discarded_together_and_keep_their_guards() {
    let mut memory = memory(20_000);
    let mut stack = |start| {
        assert_eq!(memory.map(514 * PAGE, Rights::empty()), Ok(at(start)));
        assert_eq!(memory.protect(at(start + 2), 512 * PAGE, READ_WRITE), Ok(()));
        assert_eq!(memory.unmap(at(start), 514 * PAGE), Ok(()));
        asked(&mut memory)
    };
    for number in 0..16 {
        let start = 514 * number;
        assert_eq!(stack(start), [Asked::Protect(start as usize..start as usize + 2, Rights::empty())]);
    }
    assert_eq!(stack(0), [Asked::Discard(0..16 * 514)]);
    assert_eq!(stack(514), []);
    let small = memory.map(PAGE, READ_WRITE);
    assert_eq!(small, Ok(at(16 * 514)), "not among the stacks");
}

#[test]
fn the_program_cannot_have_what_the_libos_has() {
    let mut memory = memory(1000);
    assert_eq!(memory.take(2), Some(START));
    assert_eq!(memory.unmap(START, 2 * PAGE), Ok(()));
    assert_eq!(memory.protect(START, PAGE, Rights::empty()), Err(Errno::ENOMEM));
    assert_eq!(memory.map_at(at(1), 2 * PAGE, READ_WRITE, true), Err(Errno::ENOMEM));
    assert_eq!(memory.map(PAGE, READ_WRITE), Ok(at(2)));
    memory.give_back(START, 2);
    assert_eq!(memory.map_at(START, 3 * PAGE, READ_WRITE, false), Err(Errno::EEXIST));
    assert_eq!(memory.map_at(START, 3 * PAGE, READ_WRITE, true), Ok(START));
    assert_eq!(memory.size(), (1000 * PAGE, 997 * PAGE));
}

#[test]
fn running_out_is_an_answer_and_leaves_a_reserve() {
    let mut memory = memory(100);
    assert_eq!(memory.map(u64::MAX, READ_WRITE), Err(Errno::ENOMEM));
    assert_eq!(memory.map(69 * PAGE, READ_WRITE), Err(Errno::ENOMEM));
    assert_eq!(memory.map(68 * PAGE, READ_WRITE), Ok(START));
    assert_eq!(memory.map(PAGE, READ_WRITE), Err(Errno::ENOMEM));
    assert!(memory.take(32).is_some());
    assert_eq!(memory.take(1), None);
}

#[test]
fn what_is_set_aside_is_there_when_the_program_has_the_rest() {
    let mut memory = memory(1000);
    memory.set_aside(100);
    assert_eq!(memory.map(869 * PAGE, READ_WRITE), Err(Errno::ENOMEM));
    assert_eq!(memory.map(868 * PAGE, READ_WRITE), Ok(START));
    assert_eq!(memory.resize(START, 868 * PAGE, 869 * PAGE, true), Err(Errno::ENOMEM));
    assert!((0..132).all(|_| memory.take(1).is_some()));
}

#[test]
fn half_of_what_is_free_is_the_programs() {
    let mut memory = memory(1032);
    memory.set_aside(usize::MAX);
    assert_eq!(memory.map(500 * PAGE, READ_WRITE), Ok(START));
    assert_eq!(memory.map(PAGE, READ_WRITE), Err(Errno::ENOMEM));
}

#[test]
fn a_mapping_grows_in_place_or_moves() {
    let mut memory = memory(1000);
    assert_eq!(memory.map(2 * PAGE, READ_WRITE), Ok(START));
    assert_eq!(memory.resize(START, 2 * PAGE, 4 * PAGE, false), Ok(START));
    assert_eq!(memory.map(PAGE, READ_WRITE), Ok(at(4)));
    assert_eq!(memory.resize(START, 4 * PAGE, 5 * PAGE, false), Err(Errno::ENOMEM));
    assert_eq!(memory.resize(START, 4 * PAGE, 5 * PAGE, true), Ok(at(5)));
    assert_eq!(asked(&mut memory), [Asked::Copy(0..4, 5)]);
    assert_eq!(memory.resize(at(5), 5 * PAGE, PAGE, true), Ok(at(5)));
    assert_eq!(memory.resize(START, PAGE, PAGE, true), Err(Errno::EFAULT));
    assert_eq!(memory.size().1, 998 * PAGE);
}

#[test]
fn a_mapping_moves_to_where_it_is_told_and_replaces_what_is_there() {
    let mut memory = memory(1000);
    assert_eq!(memory.map(4 * PAGE, READ_WRITE), Ok(START));
    assert_eq!(memory.map(8 * PAGE, READ_WRITE), Ok(at(4)));
    assert_eq!(memory.move_to(START, 4 * PAGE, at(3), 2 * PAGE), Err(Errno::EINVAL));
    assert_eq!(memory.move_to(START, 4 * PAGE, at(6), 2 * PAGE), Ok(at(6)));
    assert!(asked(&mut memory).contains(&Asked::Copy(0..2, 6)));
    assert_eq!(memory.move_to(START, 4 * PAGE, at(20), PAGE), Err(Errno::EFAULT));
    assert_eq!(memory.move_to(at(6), 2 * PAGE, at(20), 3 * PAGE), Ok(at(20)));
    assert!(asked(&mut memory).contains(&Asked::Copy(6..8, 20)));
    assert_eq!(memory.move_to(at(20), 3 * PAGE, at(999), 3 * PAGE), Err(Errno::ENOMEM));
    assert_eq!(memory.size().1, (1000 - 6 - 3) * PAGE);
}

#[test]
fn addresses_outside_are_refused() {
    let mut memory = memory(100);
    assert_eq!(memory.unmap(START + 1, PAGE), Err(Errno::EINVAL));
    assert_eq!(memory.unmap(0, PAGE), Err(Errno::ENOMEM));
    assert_eq!(memory.protect(at(99), 2 * PAGE, READ_WRITE), Err(Errno::ENOMEM));
    assert_eq!(memory.unmap(START, u64::MAX), Err(Errno::ENOMEM));
}

#[test]
fn a_signal_stack_is_used_again_with_its_guard() {
    let mut memory = memory(1000);
    assert_eq!(memory.map_signal_stack(), None);
    let first = memory.map(3 * PAGE, READ_WRITE).expect("room");
    memory.protect(first, PAGE, Rights::empty()).expect("its own");
    assert_eq!(asked(&mut memory), [Asked::Protect(0..1, Rights::empty())]);
    memory.unmap(first, 3 * PAGE).expect("its own");
    for _ in 0..3 {
        assert_eq!(memory.map_signal_stack(), Some(first));
        assert!(has_pending_mprotect());
        memory.protect(first, PAGE, Rights::empty()).expect("its own");
        assert_eq!(asked(&mut memory), [Asked::Zero(1..3)], "the guard is there");
        memory.unmap(first, 3 * PAGE).expect("its own");
    }
    assert_eq!(memory.map_signal_stack(), Some(first));
    memory.flush_pending_mprotect().expect("opened");
    assert_eq!(asked(&mut memory), [Asked::Zero(1..3), Asked::Protect(0..1, READ_WRITE)], "no guard was wanted");
    memory.unmap(first, 3 * PAGE).expect("its own");
    assert_eq!(memory.map_signal_stack(), None, "it has no guard any more");
}

#[test]
fn pages_that_others_got_are_no_signal_stack() {
    let mut memory = memory(64);
    let first = memory.map(3 * PAGE, READ_WRITE).expect("room");
    memory.protect(first, PAGE, Rights::empty()).expect("its own");
    memory.unmap(first, 3 * PAGE).expect("its own");
    assert_eq!(memory.map_at(first + PAGE, PAGE, READ_WRITE, false), Ok(first + PAGE));
    assert_eq!(memory.map_signal_stack(), None);
}

#[test]
fn a_window_is_not_the_programs_to_change_and_gives_its_memory_back() {
    let mut memory = memory(1000);
    let window = Region { start: memory.reserve(20 * PAGE).expect("room"), length: 20 * PAGE };
    let at = |page: u64| window.start + page * PAGE;
    assert_eq!(memory.unmap(window.start, window.length), Ok(()));
    assert_eq!(memory.protect(window.start, PAGE, Rights::empty()), Err(Errno::ENOMEM));
    assert_eq!(memory.map_at(at(2), PAGE, READ_WRITE, true), Err(Errno::ENOMEM));
    assert_eq!(memory.clear(at(2), PAGE), Err(Errno::ENOMEM));
    assert_eq!(asked(&mut memory), []);
    assert_eq!(memory.extend(window, 30 * PAGE), Ok(()));
    let window = Region { length: 30 * PAGE, ..window };
    assert_eq!(memory.map(PAGE, READ_WRITE), Ok(at(30)));
    assert_eq!(memory.extend(window, 31 * PAGE), Err(Errno::ENOMEM));
    assert_eq!(memory.protect_window(Region { start: at(3), length: PAGE }, Rights::READ), Ok(()));
    assert_eq!(memory.clear_window(window), Ok(()));
    assert_eq!(asked(&mut memory), [Asked::Protect(3..4, Rights::READ), Asked::Discard(0..30)]);
    memory.release_window(window);
    assert_eq!(asked(&mut memory), [Asked::Discard(0..30)]);
    assert_eq!(memory.reserve(40 * PAGE), Ok(at(31)), "other pages are in the way");
    assert_eq!(memory.reserve(30 * PAGE), Ok(at(0)));
    assert_eq!(asked(&mut memory), [Asked::Protect(3..4, READ_WRITE)], "they are zero");
    assert_eq!(memory.reserve(1000 * PAGE), Err(Errno::ENOMEM));
}

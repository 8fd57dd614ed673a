//! Maps memory as allocators do, and checks each call against its manual page.

use libc::*;
use programs::errno;
use std::ptr::{null_mut, without_provenance_mut};

const PAGE: usize = 4096;
const READ_WRITE: c_int = PROT_READ | PROT_WRITE;

fn map(address: *mut c_void, length: usize, rights: c_int, flags: c_int) -> Result<*mut u8, i32> {
    // SAFETY: a mapping that is replaced, if any, is this program's own, and is not used any more.
    let start = unsafe { mmap(address, length, rights, flags | MAP_ANONYMOUS, -1, 0) };
    if start == MAP_FAILED { Err(errno()) } else { Ok(start.cast()) }
}

fn byte(start: *mut u8, index: usize) -> u8 {
    // SAFETY: callers name bytes of their mappings.
    unsafe { start.add(index).read_volatile() }
}

fn set(start: *mut u8, index: usize, value: u8) {
    // SAFETY: callers name bytes of their mappings.
    unsafe { start.add(index).write_volatile(value) };
}

fn shared_memory_is_memory() {
    let start = map(null_mut(), 4 * PAGE, READ_WRITE, MAP_SHARED).expect("there is memory");
    let address = start as usize;
    let other = std::thread::spawn(move || set(address as *mut u8, PAGE, 7));
    other.join().expect("does not fail");
    assert_eq!((byte(start, PAGE), byte(start, 0)), (7, 0));
}

fn nothing_is_executed() {
    for flags in [MAP_PRIVATE, MAP_SHARED] {
        assert_eq!(map(null_mut(), PAGE, READ_WRITE | PROT_EXEC, flags), Err(EACCES));
    }
    let start = map(null_mut(), PAGE, READ_WRITE, MAP_PRIVATE).expect("there is memory");
    // SAFETY: the mapping is ours.
    assert_eq!(unsafe { mprotect(start.cast(), PAGE, READ_WRITE | PROT_EXEC) }, -1);
    assert_eq!(errno(), EACCES);
}

/// Cuts off both ends of a mapping: mimalloc and jemalloc map more than they need, and give up the rest.
fn ends_can_be_cut_off() {
    let start = map(null_mut(), 64 * PAGE, READ_WRITE, MAP_PRIVATE | MAP_NORESERVE).expect("there is memory");
    (0..64).for_each(|page| set(start, page * PAGE, page as u8));
    // SAFETY: these parts are used no more.
    unsafe {
        assert_eq!(munmap(start.cast(), 10 * PAGE), 0);
        assert_eq!(munmap(start.add(50 * PAGE).cast(), 14 * PAGE), 0);
    }
    assert!((10..50).all(|page| byte(start, page * PAGE) == page as u8));
    let hole = start.wrapping_add(50 * PAGE);
    assert_eq!(map(hole.cast(), PAGE, READ_WRITE, MAP_PRIVATE | MAP_FIXED_NOREPLACE), Ok(hole));
    assert_eq!(byte(hole, 0), 0);
    assert_eq!(
        map(start.wrapping_add(20 * PAGE).cast(), PAGE, READ_WRITE, MAP_PRIVATE | MAP_FIXED_NOREPLACE),
        Err(EEXIST)
    );
    let replaced = start.wrapping_add(20 * PAGE);
    assert_eq!(map(replaced.cast(), PAGE, READ_WRITE, MAP_PRIVATE | MAP_FIXED), Ok(replaced));
    assert_eq!((byte(replaced, 0), byte(replaced, PAGE)), (0, 21));
}

/// jemalloc reserves without rights, commits parts, and takes the rights away again.
fn rights_come_and_go() {
    let start = map(null_mut(), 512 * PAGE, PROT_NONE, MAP_PRIVATE | MAP_NORESERVE).expect("there is memory");
    // SAFETY: the mapping is ours.
    unsafe {
        assert_eq!(mprotect(start.add(100 * PAGE).cast(), 8 * PAGE, READ_WRITE), 0);
        set(start, 103 * PAGE, 5);
        assert_eq!(mprotect(start.add(100 * PAGE).cast(), 8 * PAGE, PROT_READ), 0);
        assert_eq!(byte(start, 103 * PAGE), 5);
        assert_eq!(mprotect(start.add(100 * PAGE).cast(), 8 * PAGE, PROT_NONE), 0);
        assert_eq!(mprotect(start.add(100 * PAGE).cast(), 8 * PAGE, READ_WRITE), 0);
        assert_eq!(byte(start, 103 * PAGE), 5);
        assert_eq!(madvise(start.add(100 * PAGE).cast(), 8 * PAGE, MADV_DONTNEED), 0);
        assert_eq!(byte(start, 103 * PAGE), 0);
        // By syscall(2), because musl's own function rounds the address.
        assert_eq!(syscall(SYS_mprotect, start.add(1), PAGE, PROT_READ), -1);
        assert_eq!(errno(), EINVAL);
        assert_eq!(munmap(start.cast(), 512 * PAGE), 0);
        assert_eq!(mprotect(start.cast(), PAGE, PROT_READ), -1);
        assert_eq!(errno(), ENOMEM);
    }
}

/// Places mappings at wished addresses, as garbage collectors do.
fn mappings_go_where_they_are_wished() {
    let room = map(null_mut(), 32 * PAGE, READ_WRITE, MAP_PRIVATE).expect("there is memory");
    let at = |page: usize| room.wrapping_add(page * PAGE).cast::<c_void>();
    // SAFETY: the mapping is used no more.
    assert_eq!(unsafe { munmap(room.cast(), 32 * PAGE) }, 0);
    let wished = map(at(8).wrapping_byte_add(1), 4 * PAGE, READ_WRITE, MAP_PRIVATE).expect("there is memory");
    assert_eq!(wished.cast(), at(8), "a wish for what is free");
    let elsewhere = map(at(10), 4 * PAGE, READ_WRITE, MAP_PRIVATE).expect("there is memory");
    assert_ne!(elsewhere.cast(), at(10), "a wish for what is not");
    assert!(map(without_provenance_mut(1), PAGE, READ_WRITE, MAP_PRIVATE).is_ok(), "a wish for what cannot be");
    // SAFETY: the mapping is used no more.
    assert_eq!(unsafe { munmap(elsewhere.cast(), 4 * PAGE) }, 0);

    (0..4).for_each(|page| set(wished, page * PAGE, page as u8 + 1));
    let mut replaced = map(at(20), 2 * PAGE, READ_WRITE, MAP_PRIVATE).expect("there is memory");
    set(replaced, 0, 99);
    // SAFETY: the mappings are ours, and what is replaced is used no more.
    let moved = |from: *mut u8, old, new, flags, to: *mut c_void| unsafe { mremap(from.cast(), old, new, flags, to) };
    let fixed = MREMAP_MAYMOVE | MREMAP_FIXED;
    for (flags, to) in [(MREMAP_FIXED, at(20)), (fixed, at(10)), (fixed, at(20).wrapping_byte_add(1))] {
        assert_eq!((moved(wished, 4 * PAGE, 3 * PAGE, flags, to), errno()), (MAP_FAILED, EINVAL));
    }
    assert_eq!(moved(wished, 4 * PAGE, 3 * PAGE, fixed, at(20)), at(20));
    replaced = replaced.with_addr(at(20) as usize);
    assert!((0..3).all(|page| byte(replaced, page * PAGE) == page as u8 + 1));
    // SAFETY: the mapping has moved away from these pages, so nothing uses them.
    assert_eq!((unsafe { mprotect(at(8), PAGE, PROT_READ) }, errno()), (-1, ENOMEM), "it is gone from where it was");
    assert_eq!(moved(replaced, 3 * PAGE, 5 * PAGE, fixed, at(1)), at(1));
    assert!((0..3).all(|page| byte(room, (page + 1) * PAGE) == page as u8 + 1));
    assert_eq!(byte(room, 5 * PAGE), 0);
}

/// dlmalloc resizes its mappings.
fn mappings_move_with_their_contents() {
    let start = map(null_mut(), 4 * PAGE, READ_WRITE, MAP_PRIVATE).expect("there is memory");
    (0..4).for_each(|page| set(start, page * PAGE, page as u8 + 1));
    // SAFETY: the old mapping is used no more once it has moved.
    let moved: *mut u8 = unsafe { mremap(start.cast(), 4 * PAGE, 400 * PAGE, MREMAP_MAYMOVE) }.cast();
    assert!((0..4).all(|page| byte(moved, page * PAGE) == page as u8 + 1));
    assert!((4..400).all(|page| byte(moved, page * PAGE) == 0));
    // SAFETY: the mapping is ours, and its end is used no more.
    let shorter = unsafe { mremap(moved.cast(), 400 * PAGE, 2 * PAGE, 0) }.cast();
    assert_eq!((moved, byte(shorter, PAGE)), (shorter, 2));
    // SAFETY: the page behind the mapping was ours, and is used no more; once it is taken again, there is no room.
    unsafe {
        assert_eq!(map(moved.add(2 * PAGE).cast(), PAGE, READ_WRITE, MAP_PRIVATE | MAP_FIXED), Ok(moved.add(2 * PAGE)));
        assert_eq!(mremap(moved.cast(), 2 * PAGE, 3 * PAGE, 0), MAP_FAILED);
    }
    assert_eq!(errno(), ENOMEM);
}

/// Asks brk(2) for more: allocators do without it if the break does not move.
fn the_break_stays_or_moves() {
    // SAFETY: brk(2) returns the break, and then moves it up by a page that nothing else uses.
    let (start, moved) = unsafe { (syscall(SYS_brk, 0), syscall(SYS_brk, syscall(SYS_brk, 0) + PAGE as i64)) };
    assert!(moved == start || moved == start + PAGE as i64);
}

fn main() {
    shared_memory_is_memory();
    nothing_is_executed();
    ends_can_be_cut_off();
    rights_come_and_go();
    mappings_go_where_they_are_wished();
    mappings_move_with_their_contents();
    the_break_stays_or_moves();
    println!("mappings work");
}

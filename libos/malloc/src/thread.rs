//! Per-thread caches: the address of a thread's cache, and its release at the thread's end.
//!
//! The cache's address lies in a word of thread-local storage, next to the program's: a thread reads it with one instruction.
//! The first thread that allocates keeps its cache for good; the others release theirs in a pthread key destructor, after which
//! a thread allocates without a cache.

#![expect(unsafe_code, reason = "thread-local storage")]

use crate::cache::Cache;
use crate::family::HEAP;
use crate::lock::Lock;
use core::arch::{asm, global_asm};
use core::ffi::{c_int, c_uint, c_void};
use core::ptr::NonNull;
use core::sync::atomic::{AtomicBool, Ordering};

global_asm!(
    ".section .tbss.husk_malloc_cache, \"awT\", @nobits",
    ".hidden husk_malloc_cache",
    ".globl husk_malloc_cache",
    ".balign 8",
    "husk_malloc_cache: .zero 8",
    ".size husk_malloc_cache, 8",
    ".text",
);

/// Value of the word in a thread that is about to end, in place of a cache's address.
const ENDED: usize = 1;

/// True once a thread has a cache.
static STARTED: AtomicBool = AtomicBool::new(false);
/// Key of the destructor in the C library.
static KEY: Lock<Option<c_uint>> = Lock::new(None);

unsafe extern "C" {
    fn pthread_key_create(key: *mut c_uint, destructor: unsafe extern "C" fn(*mut c_void)) -> c_int;
    fn pthread_setspecific(key: c_uint, value: *const c_void) -> c_int;
}

/// Calls `act` with this thread's cache.
#[inline(always)]
pub fn with_cache<T>(act: impl FnOnce(&mut Cache) -> T) -> T {
    let slot = slot();
    if slot <= ENDED {
        return with_new_cache(slot, act);
    }
    // SAFETY: the slot holds this thread's own cache, and `act` does not call `with_cache` again.
    act(unsafe { &mut *(slot as *mut Cache) })
}

#[inline(never)]
#[cold]
fn with_new_cache<T>(slot: usize, act: impl FnOnce(&mut Cache) -> T) -> T {
    let mut temporary = Cache::EMPTY;
    if slot != ENDED
        && let Some(own) = create(&mut temporary)
    {
        HEAP.drain(&mut temporary);
        // SAFETY: `create` made it for this thread just now, and there is no other reference to it.
        return act(unsafe { &mut *own.as_ptr() });
    }
    let done = act(&mut temporary);
    HEAP.drain(&mut temporary);
    done
}

/// Allocates this thread's cache, in a block of the heap.
fn create(temporary: &mut Cache) -> Option<NonNull<Cache>> {
    let cache = HEAP.allocate(temporary, size_of::<Cache>())?.cast::<Cache>();
    // SAFETY: `allocate` returned a block of this size, aligned to 16.
    unsafe { cache.write(Cache::EMPTY) };
    if STARTED.swap(true, Ordering::Relaxed) && !call_at_end(cache) {
        // SAFETY: the block came from this heap, and no other code has its address yet.
        unsafe { HEAP.free(temporary, cache.cast()) };
        return None;
    }
    set_slot(cache.as_ptr() as usize);
    Some(cache)
}

/// Registers [`end`] as the destructor of this thread's cache.
fn call_at_end(cache: NonNull<Cache>) -> bool {
    let mut key = KEY.lock();
    if key.is_none() {
        let mut new = 0;
        // SAFETY: `new` is a local variable that the function may write.
        if unsafe { pthread_key_create(&raw mut new, end) } == 0 {
            *key = Some(new);
        }
    }
    // SAFETY: `pthread_key_create` returned this key.
    key.is_some_and(|key| unsafe { pthread_setspecific(key, cache.as_ptr().cast()) } == 0)
}

/// Destructor: releases the cache of a thread that ends.
unsafe extern "C" fn end(cache: *mut c_void) {
    let Some(cache) = NonNull::new(cache.cast::<Cache>()) else { return };
    set_slot(ENDED);
    // SAFETY: `create` made the cache for this thread, and the slot no longer leads to it.
    HEAP.drain(unsafe { &mut *cache.as_ptr() });
    // SAFETY: `create` allocated it from this heap, and the thread uses it no more.
    with_cache(|temporary| unsafe { HEAP.free(temporary, cache.cast()) });
}

#[inline(always)]
fn slot() -> usize {
    let slot;
    // SAFETY: reads the thread-local word, which is defined above.
    unsafe {
        asm!("mov {}, qword ptr fs:[husk_malloc_cache@TPOFF]", out(reg) slot, options(nostack, readonly, preserves_flags));
    }
    slot
}

fn set_slot(slot: usize) {
    // SAFETY: writes the thread-local word, which is defined above, and nothing else uses.
    unsafe { asm!("mov qword ptr fs:[husk_malloc_cache@TPOFF], {}", in(reg) slot, options(nostack, preserves_flags)) };
}

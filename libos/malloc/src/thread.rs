//! Each thread's cache: where it is, and what becomes of it when the thread ends.
//!
//! Its address lies in a word of thread-local storage of our own, next to the program's: a thread finds it with one
//! instruction. The first thread that allocates keeps its cache; the others give theirs back through a destructor of the
//! C library's, after which a thread goes on without.

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

/// In place of a cache's address: the thread is about to end.
const ENDED: usize = 1;

/// Whether a thread has a cache already.
static STARTED: AtomicBool = AtomicBool::new(false);
/// What the C library calls our destructor by.
static KEY: Lock<Option<c_uint>> = Lock::new(None);

unsafe extern "C" {
    fn pthread_key_create(key: *mut c_uint, destructor: unsafe extern "C" fn(*mut c_void)) -> c_int;
    fn pthread_setspecific(key: c_uint, value: *const c_void) -> c_int;
}

/// Does something with this thread's cache.
#[inline(always)]
pub fn with_cache<T>(act: impl FnOnce(&mut Cache) -> T) -> T {
    let slot = slot();
    if slot <= ENDED {
        return with_new_cache(slot, act);
    }
    // SAFETY: the cache is this thread's, and nothing that runs with it comes here again.
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
        // SAFETY: it was made for this thread just now.
        return act(unsafe { &mut *own.as_ptr() });
    }
    let done = act(&mut temporary);
    HEAP.drain(&mut temporary);
    done
}

/// Makes this thread's cache, in a block of the heap.
fn create(temporary: &mut Cache) -> Option<NonNull<Cache>> {
    let cache = HEAP.allocate(temporary, size_of::<Cache>())?.cast::<Cache>();
    // SAFETY: the block is long enough, and aligned to 16.
    unsafe { cache.write(Cache::EMPTY) };
    if STARTED.swap(true, Ordering::Relaxed) && !call_at_end(cache) {
        // SAFETY: nobody else knows the block.
        unsafe { HEAP.free(temporary, cache.cast()) };
        return None;
    }
    set_slot(cache.as_ptr() as usize);
    Some(cache)
}

/// Has [`end`] called when this thread ends.
fn call_at_end(cache: NonNull<Cache>) -> bool {
    let mut key = KEY.lock();
    if key.is_none() {
        let mut new = 0;
        // SAFETY: writes the key.
        if unsafe { pthread_key_create(&raw mut new, end) } == 0 {
            *key = Some(new);
        }
    }
    // SAFETY: the key is a key.
    key.is_some_and(|key| unsafe { pthread_setspecific(key, cache.as_ptr().cast()) } == 0)
}

/// Gives back the cache of a thread that ends.
unsafe extern "C" fn end(cache: *mut c_void) {
    let Some(cache) = NonNull::new(cache.cast::<Cache>()) else { return };
    set_slot(ENDED);
    // SAFETY: the thread has it no more.
    HEAP.drain(unsafe { &mut *cache.as_ptr() });
    // SAFETY: it came from the heap.
    with_cache(|temporary| unsafe { HEAP.free(temporary, cache.cast()) });
}

#[inline(always)]
fn slot() -> usize {
    let slot;
    // SAFETY: reads the word.
    unsafe {
        asm!("mov {}, qword ptr fs:[husk_malloc_cache@TPOFF]", out(reg) slot, options(nostack, readonly, preserves_flags));
    }
    slot
}

fn set_slot(slot: usize) {
    // SAFETY: writes the word.
    unsafe { asm!("mov qword ptr fs:[husk_malloc_cache@TPOFF], {}", in(reg) slot, options(nostack, preserves_flags)) };
}

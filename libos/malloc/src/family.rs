//! The functions of C, as the standard defines them.

#![expect(unsafe_code, reason = "the functions have fixed names and raw arguments")]

use crate::heap::Heap;
use crate::kernel::Kernel;
use crate::thread::with_cache;
use core::ffi::{c_int, c_void};
use core::ptr::{NonNull, null_mut};

/// The heap of this program.
pub static HEAP: Heap<Kernel> = Heap::new(Kernel);

const EINVAL: c_int = 22;
const ENOMEM: c_int = 12;

unsafe extern "C" {
    safe fn __errno_location() -> *mut c_int;
}

/// malloc(3).
#[unsafe(no_mangle)]
pub extern "C" fn malloc(size: usize) -> *mut c_void {
    answer(with_cache(|cache| HEAP.allocate(cache, size)))
}

/// free(3).
///
/// # Safety
///
/// `block` came from this family and is not used any more, or is null.
#[unsafe(no_mangle)]
pub unsafe extern "C" fn free(block: *mut c_void) {
    if let Some(block) = NonNull::new(block.cast()) {
        // SAFETY: the caller guarantees that the block came from this family and is used no more.
        with_cache(|cache| unsafe { HEAP.free(cache, block) });
    }
}

/// calloc(3).
#[unsafe(no_mangle)]
pub extern "C" fn calloc(count: usize, size: usize) -> *mut c_void {
    let size = count.saturating_mul(size);
    answer(with_cache(|cache| HEAP.allocate_zeroed(cache, size)))
}

/// realloc(3). A size of 0 shrinks the block to the minimum.
///
/// # Safety
///
/// `block` came from this family and is not used any more if it moves, or is null.
#[unsafe(no_mangle)]
pub unsafe extern "C" fn realloc(block: *mut c_void, size: usize) -> *mut c_void {
    let Some(block) = NonNull::new(block.cast()) else { return malloc(size) };
    // SAFETY: the caller guarantees that the block came from this family and is used no more if it moves.
    answer(with_cache(|cache| unsafe { HEAP.resize(cache, block, size) }))
}

/// aligned_alloc(3).
#[unsafe(no_mangle)]
pub extern "C" fn aligned_alloc(align: usize, size: usize) -> *mut c_void {
    if !align.is_power_of_two() {
        set_errno(EINVAL);
        return null_mut();
    }
    answer(with_cache(|cache| HEAP.allocate_aligned(cache, size, align)))
}

/// memalign(3).
#[unsafe(no_mangle)]
pub extern "C" fn memalign(align: usize, size: usize) -> *mut c_void {
    aligned_alloc(align, size)
}

/// posix_memalign(3), which leaves `errno` alone.
///
/// # Safety
///
/// `result` can be written.
#[unsafe(no_mangle)]
pub unsafe extern "C" fn posix_memalign(result: *mut *mut c_void, align: usize, size: usize) -> c_int {
    if !align.is_power_of_two() || align < size_of::<usize>() {
        return EINVAL;
    }
    match with_cache(|cache| HEAP.allocate_aligned(cache, size, align)) {
        Some(block) => {
            // SAFETY: the caller guarantees that `result` can be written.
            unsafe { result.write(block.as_ptr().cast()) };
            0
        }
        None => ENOMEM,
    }
}

/// malloc_usable_size(3).
///
/// # Safety
///
/// `block` came from this family, or is null.
#[unsafe(no_mangle)]
pub unsafe extern "C" fn malloc_usable_size(block: *mut c_void) -> usize {
    // SAFETY: the caller guarantees that the block came from this family.
    NonNull::new(block.cast()).map_or(0, |block| unsafe { HEAP.usable(block) })
}

#[inline(always)]
fn answer(block: Option<NonNull<u8>>) -> *mut c_void {
    match block {
        Some(block) => block.as_ptr().cast(),
        None => {
            set_errno(ENOMEM);
            null_mut()
        }
    }
}

#[cold]
fn set_errno(errno: c_int) {
    // SAFETY: the C library returns the address of this thread's `errno`.
    unsafe { __errno_location().write(errno) };
}

//! Calls C's allocation functions with arguments that they must refuse, and those functions that are easily forgotten.

use libc::{c_void, calloc, free, malloc, malloc_usable_size, memalign, posix_memalign, realloc};
use std::hint::black_box;
use std::io::Error;
use std::ptr::null_mut;

fn refused(block: *mut c_void) {
    assert!(black_box(block).is_null());
    assert_eq!(Error::last_os_error().raw_os_error(), Some(libc::ENOMEM));
}

fn main() {
    // SAFETY: every block that these return is freed, or is null.
    unsafe {
        refused(malloc(black_box(usize::MAX)));
        refused(calloc(black_box(usize::MAX / 2), 4));
        refused(realloc(null_mut(), black_box(isize::MAX as usize)));
        refused(memalign(1 << 40, black_box(16)));
        free(null_mut());
        assert_eq!(malloc_usable_size(null_mut()), 0);
        let (one, other) = black_box((malloc(0), malloc(0)));
        assert!(!one.is_null() && one != other);
        free(one);
        free(realloc(other, 100_000));
        let mut aligned = null_mut();
        assert_eq!(posix_memalign(&mut aligned, 3, 16), libc::EINVAL);
        for shift in 3..23 {
            for size in [1, 100, 5000, 300_000] {
                assert_eq!(posix_memalign(&mut aligned, 1 << shift, size), 0);
                assert!((aligned as usize).is_multiple_of(1 << shift) && malloc_usable_size(aligned) >= size);
                aligned.write_bytes(1, size);
                free(aligned);
            }
        }
    }
    println!("as C has it");
}

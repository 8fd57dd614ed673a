//! Reads through a null pointer three calls deep, the last of them inlined.

#[inline(always)]
fn innermost(pointer: *const u32) -> u32 {
    // SAFETY: none: the test is how this is reported.
    unsafe { pointer.read_volatile() }
}

#[inline(never)]
fn middle(pointer: *const u32) -> u32 {
    innermost(pointer) + 1
}

#[inline(never)]
fn outer(pointer: *const u32) -> u32 {
    middle(pointer) * 3
}

fn main() {
    let pointer = std::hint::black_box(std::ptr::null());
    println!("{}", outer(pointer));
}

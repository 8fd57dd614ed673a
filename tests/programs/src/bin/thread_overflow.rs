//! Overflows the stack of a thread with a name, or of one without.

#[inline(never)]
fn recurse(depth: u64) -> u64 {
    let frame = std::hint::black_box([depth; 32]);
    if depth == u64::MAX { 0 } else { recurse(depth + 1) + frame[7] }
}

/// Needs more than a page of stack at once, so its prologue touches every page of it.
#[inline(never)]
fn recurse_widely(depth: u64) -> u64 {
    let frame = std::hint::black_box([depth; 4000]);
    if depth == u64::MAX { 0 } else { recurse_widely(depth + 1) + frame[7] }
}

fn main() {
    let overflow = match std::env::args().nth(1).as_deref() {
        Some("wide") => recurse_widely,
        _ => recurse,
    };
    // Other threads, which the report must not take for the one that overflows.
    for name in ["before", "later"] {
        std::thread::Builder::new().name(name.into()).spawn(std::thread::park).expect("memory for a thread");
    }
    let thread = std::thread::Builder::new().name("deep-thought".into()).spawn(move || println!("{}", overflow(0)));
    thread.expect("memory for a thread").join().expect("the program ends before");
}

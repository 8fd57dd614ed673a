//! Makes calls with odd values, which must return a status, or have no effect at all.

#![no_std]
#![no_main]

use husk::abi::call::Status;

husk::entry!(main);

const INVALID: i64 = Status::Invalid as i64;

fn main() {
    let heap = guests::heap();
    assert_eq!(husk::gate::raw(1, 99, heap.start, 16, 0), INVALID, "a stream that does not exist");
    assert_eq!(husk::gate::raw(1, 1, u64::MAX, 0, 0), 0, "nothing, from nowhere");
    assert_eq!(husk::gate::raw(5, heap.start + 1, 0x1000, 0, 0), INVALID, "an odd address");
    assert_eq!(husk::gate::raw(5, heap.start, 0, 0, 0), INVALID, "no pages");
    assert_eq!(husk::gate::raw(5, heap.start, 0x1000, 7, 0), INVALID, "executable heap");
    assert_eq!(husk::gate::raw(5, heap.start, 0x1000, 2, 0), INVALID, "write-only memory");
    assert_eq!(husk::gate::raw(6, heap.start, 0xfff, 0, 0), INVALID, "half a page");
    assert_eq!(husk::gate::raw(4, 0, 0, 0, 0), 0, "a deadline that has passed");
    guests::survived();
}

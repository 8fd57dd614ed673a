//! Protects a page of its heap, and writes to it.

#![no_std]
#![no_main]

use husk::abi::call::Number;
use husk::gate;

husk::entry!(main);

fn main() {
    let page = guests::heap().start.next_multiple_of(0x1000) + 0x10_0000;
    guests::poke(page);
    gate::call(Number::Protect, page, 0x1000, 0, 0).expect("a page of our own");
    gate::call(Number::Protect, page, 0x1000, 3, 0).expect("a page of our own");
    guests::poke(page);
    husk::println!("still ours");
    gate::call(Number::Protect, page, 0x1000, 0, 0).expect("a page of our own");
    guests::poke(page);
    guests::survived();
}

//! Asks as much of its host as it can, for ever, in the way that its argument names.

#![no_std]
#![no_main]

use guests::{Numbers, heap, poke, word};
use husk::abi::call::Number;
use husk::abi::memory::{PAGE, Rights};
use husk::gate;

husk::entry!(main);

fn main() {
    husk::println!("ready");
    match word(1) {
        "print" => loop {
            husk::println!("{}", "all work and no play ".repeat_into(&mut [0; 4000]));
        },
        "touch" => touch(),
        "protect" => protect(),
        "tell" => tell(),
        _ => loop {
            core::hint::spin_loop();
        },
    }
}

/// Fills a buffer with repeated text, without a heap.
trait Repeat {
    fn repeat_into<'b>(&self, buffer: &'b mut [u8]) -> &'b str;
}

impl Repeat for str {
    fn repeat_into<'b>(&self, buffer: &'b mut [u8]) -> &'b str {
        for (to, from) in buffer.iter_mut().zip(self.bytes().cycle()) {
            *to = from;
        }
        core::str::from_utf8(buffer).unwrap_or_default()
    }
}

/// Touches every page of its heap.
fn touch() {
    let region = heap();
    let mut length = region.length;
    // The tender may refuse the last pages.
    while gate::call(Number::GrowHeap, length, 0, 0, 0).is_err() {
        length -= PAGE;
    }
    for address in (region.start..region.start + length).step_by(PAGE as usize) {
        poke(address);
    }
    husk::println!("touched");
    loop {
        core::hint::spin_loop();
    }
}

/// Splits its heap into as many mappings as it can.
fn protect() {
    let region = heap();
    let mut numbers = Numbers(7);
    loop {
        let page = region.start + numbers.below(region.length / PAGE) * PAGE;
        let rights = [Rights::empty(), Rights::READ, Rights::READ | Rights::WRITE][numbers.below(3) as usize];
        // The call fails when the host cannot keep track any more.
        let _ = gate::call(Number::Protect, page, PAGE, rights.bits(), 0);
        let _ = gate::call(Number::Discard, page, PAGE, numbers.below(3), 0);
    }
}

/// Reports system calls and notices that do not exist.
fn tell() {
    let mut numbers = Numbers(9);
    loop {
        for number in [Number::Unanswered, Number::Notice] {
            let _ = gate::call(number, numbers.draw(), numbers.draw(), 0, 0);
        }
    }
}

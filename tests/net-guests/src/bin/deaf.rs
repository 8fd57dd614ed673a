//! Has a network device, and never takes a frame from it; ends when there is input.

#![no_std]
#![no_main]

use husk::abi::call::News;
use husk::wait;

husk::entry!(main);

fn main() {
    husk::println!("ready");
    while !wait::any(&mut [], News::INPUT, u64::MAX).contains(News::INPUT) {}
    husk::println!("heard nothing");
}

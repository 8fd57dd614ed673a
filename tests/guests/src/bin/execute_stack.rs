//! Executes its stack.

#![no_std]
#![no_main]

husk::entry!(main);

fn main() {
    let code = [0xc3u8; 16];
    guests::jump(core::hint::black_box(&code).as_ptr() as u64);
    guests::survived();
}

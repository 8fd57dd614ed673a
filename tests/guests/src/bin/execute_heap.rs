//! Executes its heap.

#![no_std]
#![no_main]

husk::entry!(main);

fn main() {
    let code = guests::heap().start;
    guests::poke(code);
    guests::jump(code);
    guests::survived();
}

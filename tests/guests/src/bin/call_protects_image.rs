//! Asks the tender to change the protection of its own code.

#![no_std]
#![no_main]

husk::entry!(main);

fn main() {
    husk::gate::raw(5, (main as *const () as u64) & !0xfff, 0x1000, 3, 0);
    guests::survived();
}

//! Has input read into its own code.

#![no_std]
#![no_main]

husk::entry!(main);

fn main() {
    husk::gate::raw(2, main as *const () as u64, 16, 0, 0);
    guests::survived();
}

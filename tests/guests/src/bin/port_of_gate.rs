//! Writes to the gate's port, which it may use, with an instruction that is not the gate's.

#![no_std]
#![no_main]

husk::entry!(main);

fn main() {
    guests::write_to_port(0x10);
    guests::survived();
}

//! Writes to the doorbell's port, which it may use, with an instruction that is not the doorbell's.

#![no_std]
#![no_main]

husk::entry!(main);

fn main() {
    guests::write_to_port(0x11);
    guests::survived();
}

//! A guest of spt that owns the process: its argument names the attack.

#![no_std]
#![no_main]

husk::entry!(main);

fn main() {
    guests::owner::attack();
}

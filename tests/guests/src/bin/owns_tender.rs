//! A guest of spt that owns the process: its argument says what it does with it.

#![no_std]
#![no_main]

husk::entry!(main);

fn main() {
    guests::owner::attack();
}

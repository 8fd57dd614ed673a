//! The smallest native guest: one line, no operating system at all.

#![no_std]
#![no_main]

husk::entry!(main);

fn main() {
    husk::println!("Hello from a Husk guest");
}

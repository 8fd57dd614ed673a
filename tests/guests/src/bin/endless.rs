//! Never ends by itself, in the way that its argument names.

#![no_std]
#![no_main]

husk::entry!(main);

fn main() {
    husk::println!("ready");
    match husk::boot::arguments().nth(1) {
        Some(b"read") => {
            let _ = husk::console::read(&mut [0]);
        }
        Some(b"sleep") => husk::clock::sleep_until(u64::MAX),
        _ => loop {
            core::hint::spin_loop();
        },
    }
}

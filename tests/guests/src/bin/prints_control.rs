//! Prints characters that control a terminal.

#![no_std]
#![no_main]

husk::entry!(main);

fn main() {
    let _ = husk::console::write_all(1, b"plain\n\x1b]0;title\x07 \xc2");
    let _ = husk::console::write_all(1, b"\x9b2J \xe2\x82\xac\xff\r\n");
    let _ = husk::console::write_all(2, b"\x1b[2J\n");
}

//! Sends a hundred frames and ends at once.

#![no_std]
#![no_main]

use husk::net::Link;

husk::entry!(main);

fn main() -> Result<(), husk::device::Error> {
    let mut link = Link::open("net")?;
    husk::println!("ready");
    // The host brings an interface up some time after it was opened.
    husk::console::read(&mut [0]).expect("there is input");
    for number in 0..100u8 {
        let mut frame = link.sender.frame().expect("there are more buffers than that");
        frame[..14].copy_from_slice(&[2, 0, 0, 0, 0, 2, 2, 0, 0, 0, 0, 1, 0x88, 0xb5]);
        frame[14..60].fill(number);
        frame.send(60);
    }
    link.sender.flush();
    Ok(())
}

//! Sends every frame back to where it came from, until one says that it is the last.

#![no_std]
#![no_main]

use husk::abi::call::News;
use husk::net::Link;

husk::entry!(main);

/// Beginning of the payload of the last frame.
const LAST: &[u8] = b"last";

fn main() -> Result<(), husk::device::Error> {
    let mut link = Link::open("net")?;
    husk::println!("ready, mtu {}", link.properties().mtu);
    let mut count = 0;
    let mut last = false;
    while !last {
        while let Some(frame) = link.receiver.frame() {
            // Frames by which neighbours announce themselves are ignored.
            let Some((header, payload)) = frame.split_at_checked(14).filter(|(header, _)| header[12..] == [0x88, 0xb5])
            else {
                continue;
            };
            last = payload.starts_with(LAST);
            let Some(mut answer) = link.sender.frame() else { continue };
            answer[..6].copy_from_slice(&header[6..12]);
            answer[6..12].copy_from_slice(&header[..6]);
            answer[12..frame.len()].copy_from_slice(&frame[12..]);
            answer.send(frame.len());
            count += 1;
        }
        link.sender.flush();
        if !last {
            husk::wait::any(&mut [&mut link], News::empty(), u64::MAX);
        }
    }
    husk::println!("{count} frames");
    Ok(())
}

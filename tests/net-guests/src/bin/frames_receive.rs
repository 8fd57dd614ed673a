//! Prints that it is ready, and counts the frames that arrive until there is a pause. Prints how many there were, and the time
//! from the first to the last, in nanoseconds.

#![no_std]
#![no_main]

use husk::abi::call::News;
use husk::net::Link;
use husk::{clock, wait};

husk::entry!(main);

/// Pause after which no more frames are waited for, in nanoseconds.
const PAUSE_NS: u64 = 200_000_000;

fn main() -> Result<(), husk::device::Error> {
    let mut link = Link::open("net")?;
    husk::println!("ready");
    let (mut count, mut first_ns, mut last_ns) = (0u64, 0, 0);
    loop {
        let before = count;
        while let Some(frame) = link.receiver.frame() {
            count += u64::from(frame.get(12..14) == Some(&[0x88, 0xb5]));
        }
        let now_ns = clock::monotonic_ns();
        if count > before {
            first_ns = if before == 0 { now_ns } else { first_ns };
            last_ns = now_ns;
        } else if count > 0 && now_ns - last_ns > PAUSE_NS {
            break;
        }
        let deadline_ns = if count > 0 { last_ns + PAUSE_NS } else { u64::MAX };
        wait::any(&mut [&mut link], News::empty(), deadline_ns);
    }
    husk::println!("{count} {}", last_ns - first_ns);
    Ok(())
}

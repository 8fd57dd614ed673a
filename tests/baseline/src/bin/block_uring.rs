//! Keeps a file busy for a moment through io_uring: arguments are the file, `read` or `write`, `sequential` or `random`,
//! bytes of a request, how many are under way at once, and for how many milliseconds. Prints how many were made, and
//! nanoseconds.

#![expect(unsafe_code, reason = "the kernel is handed buffers by address")]

use io_uring::types::Fd;
use io_uring::{IoUring, opcode};
use std::fs::File;
use std::os::fd::AsRawFd;
use std::time::{Duration, Instant};

fn main() {
    let words: Vec<String> = std::env::args().collect();
    let file = File::options().read(true).write(true).open(&words[1]).expect("the file is there");
    let (writes, random) = (words[2] == "write", words[3] == "random");
    let [size, depth, duration_ms] = [4, 5, 6].map(|index| words[index].parse::<u64>().expect("a number"));
    let places = file.metadata().expect("it is open").len() / size;
    let (mut state, mut next) = (88172645463325252u64, 0);
    let mut offset = || {
        next = if random {
            state ^= state << 13;
            state ^= state >> 7;
            state ^= state << 17;
            state % places
        } else {
            (next + 1) % places
        };
        next * size
    };
    let mut buffers: Vec<Vec<u8>> = (0..depth).map(|_| vec![1; size as usize]).collect();
    let mut builder = IoUring::builder();
    let mut ring: IoUring = builder.setup_coop_taskrun().build(64).expect("the kernel has io_uring");
    let file = Fd(file.as_raw_fd());
    let mut begin = |ring: &mut IoUring, number: usize| {
        let (buffer, length) = (buffers[number].as_mut_ptr(), size as u32);
        let entry = match writes {
            true => opcode::Write::new(file, buffer, length).offset(offset()).build(),
            false => opcode::Read::new(file, buffer, length).offset(offset()).build(),
        };
        // SAFETY: each buffer is in one request at a time, and stays until the end.
        unsafe { ring.submission().push(&entry.user_data(number as u64)) }.expect("there is room");
    };
    let start = Instant::now();
    let end = start + Duration::from_millis(duration_ms);
    (0..depth as usize).for_each(|number| begin(&mut ring, number));
    let (mut done, mut under_way) = (0u64, depth);
    while under_way > 0 {
        ring.submit_and_wait(1).expect("the kernel takes requests");
        let over = Instant::now() >= end;
        while let Some(completion) = { ring.completion().next() } {
            assert_eq!(completion.result() as u64, size);
            done += 1;
            match over {
                true => under_way -= 1,
                false => begin(&mut ring, completion.user_data() as usize),
            }
        }
    }
    println!("{done} {}", start.elapsed().as_nanos());
}

//! Keeps a file busy for a moment: arguments are the file, `read` or `write`, `sequential` or `random`, bytes of a request,
//! requests in flight, and milliseconds. A single one is a system call for each request; more go through
//! io_uring. Prints the number of finished requests, and nanoseconds.

#![expect(unsafe_code, reason = "the kernel is handed buffers by address")]

use io_uring::types::Fd;
use io_uring::{IoUring, opcode};
use std::fs::File;
use std::os::fd::AsRawFd;
use std::os::unix::fs::FileExt;
use std::time::{Duration, Instant};

/// Requests to make.
struct Load {
    file: File,
    writes: bool,
    random: bool,
    size: u64,
    depth: u64,
    duration: Duration,
    places: u64,
    state: u64,
}

fn main() {
    let words: Vec<String> = std::env::args().collect();
    let file = File::options().read(true).write(true).open(&words[1]).expect("the file is there");
    let (writes, random) = (words[2] == "write", words[3] == "random");
    let [size, depth, duration_ms] = [4, 5, 6].map(|index| words[index].parse::<u64>().expect("a number"));
    let places = file.metadata().expect("it is open").len() / size;
    let duration = Duration::from_millis(duration_ms);
    let state = if random { 88172645463325252 } else { 0 };
    let mut load = Load { file, writes, random, size, depth, duration, places, state };
    let start = Instant::now();
    let done = if depth == 1 { one_by_one(&mut load, start) } else { many(&mut load, start) };
    println!("{done} {}", start.elapsed().as_nanos());
}

impl Load {
    /// Returns the offset of the next request.
    fn offset(&mut self) -> u64 {
        if !self.random {
            self.state = (self.state + 1) % self.places;
            return self.state * self.size;
        }
        self.state ^= self.state << 13;
        self.state ^= self.state >> 7;
        self.state ^= self.state << 17;
        self.state % self.places * self.size
    }
}

fn one_by_one(load: &mut Load, start: Instant) -> u64 {
    let mut buffer = vec![1; load.size as usize];
    let mut done = 0;
    while start.elapsed() < load.duration {
        let offset = load.offset();
        match load.writes {
            true => load.file.write_all_at(&buffer, offset).expect("the file takes it"),
            false => load.file.read_exact_at(&mut buffer, offset).expect("the file has it"),
        }
        done += 1;
    }
    done
}

fn many(load: &mut Load, start: Instant) -> u64 {
    let (file, length, depth) = (Fd(load.file.as_raw_fd()), load.size as u32, load.depth);
    let end = start + load.duration;
    let mut buffers: Vec<Vec<u8>> = (0..depth).map(|_| vec![1; load.size as usize]).collect();
    let mut builder = IoUring::builder();
    let mut ring: IoUring = builder.setup_coop_taskrun().build(64).expect("the kernel has io_uring");
    let mut begin = |ring: &mut IoUring, number: usize| {
        let buffer = buffers[number].as_mut_ptr();
        let entry = match load.writes {
            true => opcode::Write::new(file, buffer, length).offset(load.offset()).build(),
            false => opcode::Read::new(file, buffer, length).offset(load.offset()).build(),
        };
        // SAFETY: each buffer is in one request at a time, and stays until the end.
        unsafe { ring.submission().push(&entry.user_data(number as u64)) }.expect("there is room");
    };
    (0..depth as usize).for_each(|number| begin(&mut ring, number));
    let (mut done, mut under_way) = (0u64, depth);
    while under_way > 0 {
        ring.submit_and_wait(1).expect("the kernel takes requests");
        let over = Instant::now() >= end;
        while let Some(completion) = { ring.completion().next() } {
            assert_eq!(completion.result(), length as i32);
            done += 1;
            match over {
                true => under_way -= 1,
                false => begin(&mut ring, completion.user_data() as usize),
            }
        }
    }
    done
}

//! Pipes, pairs of sockets and counters of events. Nothing waits: all are non-blocking.

use crate::Family;
use crate::calls::{call, digest, done, shown};
use crate::descriptors::{self, Descriptors};
use crate::random::Random;
use libc::{SOCK_CLOEXEC, SOCK_DGRAM, SOCK_NONBLOCK, SOCK_SEQPACKET, SOCK_STREAM};

const LENGTHS: &[usize] = &[0, 1, 7, 8, 100, 4095, 4096, 5000, 65_536, 70_000];

pub struct Pipes {
    descriptors: Descriptors,
}

impl Pipes {
    pub fn new() -> Self {
        call(libc::SYS_rt_sigaction, &[libc::SIGPIPE as usize, [1usize, 0, 0, 0].as_ptr() as usize, 0, 8]);
        Self { descriptors: Descriptors::new() }
    }

    pub fn make(&mut self, random: &mut Random) -> String {
        let mut pair = [-1i32; 2];
        let place = pair.as_mut_ptr() as usize;
        match random.below(4) {
            0 => {
                let flags = libc::O_NONBLOCK | random.bits(&[libc::O_CLOEXEC], 4);
                let result = call(libc::SYS_pipe2, &[place, flags as usize]);
                format!("pipe({flags:#o}) = {}", self.shown_pair(result, pair))
            }
            1 => {
                let flags = libc::EFD_NONBLOCK | random.bits(&[libc::EFD_SEMAPHORE], 2);
                let result = call(libc::SYS_eventfd2, &[random.below(3), flags as usize]);
                format!("eventfd({flags:#o}) = {}", self.descriptors.shown(result))
            }
            _ => {
                let kind = random.one_of(&[SOCK_STREAM, SOCK_STREAM, SOCK_DGRAM, SOCK_SEQPACKET]);
                let flags = SOCK_NONBLOCK | random.bits(&[SOCK_CLOEXEC], 4);
                let result = call(libc::SYS_socketpair, &[libc::AF_UNIX as usize, (kind | flags) as usize, 0, place]);
                format!("socketpair({kind}) = {}", self.shown_pair(result, pair))
            }
        }
    }

    fn shown_pair(&self, result: i64, pair: [i32; 2]) -> String {
        let [one, other] = pair.map(|descriptor| self.descriptors.shown(descriptor.into()));
        if result < 0 { shown(result) } else { format!("{one} {other}") }
    }

    fn read(&mut self, random: &mut Random) -> String {
        let (descriptor, length) = (self.descriptors.any(random), random.one_of(LENGTHS));
        let mut buffer = vec![0; length];
        let flags = libc::MSG_DONTWAIT | random.bits(&[libc::MSG_PEEK, libc::MSG_TRUNC, libc::MSG_WAITALL], 4);
        let place = buffer.as_mut_ptr() as usize;
        let (name, result) = match random.below(2) {
            0 => ("read", call(libc::SYS_read, &[descriptor, place, length])),
            _ => ("recv", call(libc::SYS_recvfrom, &[descriptor, place, length, flags as usize, 0, 0])),
        };
        let read = digest(&buffer[..result.clamp(0, length as i64) as usize]);
        format!("{name}({}, {length}, {flags:x}) = {} {read}", self.descriptors.name(descriptor), shown(result))
    }

    fn write(&mut self, random: &mut Random) -> String {
        let (descriptor, mut length) = (self.descriptors.any(random), random.one_of(LENGTHS));
        // From Linux 6.9 on, a counter of events takes 8 bytes only; before, it took the first 8 of more.
        match descriptors::kind(descriptor) {
            0 => length = length.min(8),
            // How much a pipe takes that is nearly full depends on how its bytes lie in pages.
            libc::S_IFIFO => length = length.min(100),
            // From Linux 6.17 on, an unread empty message is no reason for ECONNRESET.
            // How many messages fit depends on what the kernel allocates for each.
            libc::S_IFSOCK => length = length.clamp(1, 4096),
            _ => {}
        }
        // Counters of events take small numbers.
        let mut buffer: Vec<u8> = (0..length).map(|index| (index % 251) as u8).collect();
        if length == 8 {
            buffer.copy_from_slice(&(random.below(5) as u64).to_le_bytes());
        }
        let flags = libc::MSG_DONTWAIT | random.bits(&[libc::MSG_NOSIGNAL, libc::MSG_MORE], 3);
        let place = buffer.as_ptr() as usize;
        let (name, result) = match random.below(2) {
            0 => ("write", call(libc::SYS_write, &[descriptor, place, length])),
            _ => ("send", call(libc::SYS_sendto, &[descriptor, place, length, flags as usize, 0, 0])),
        };
        format!("{name}({}, {length}, {flags:x}) = {}", self.descriptors.name(descriptor), shown(result))
    }

    fn poll(&mut self, random: &mut Random) -> String {
        let descriptors = [self.descriptors.any(random), self.descriptors.any(random)];
        let events = (libc::POLLIN | libc::POLLOUT | libc::POLLRDHUP | libc::POLLPRI) as u32;
        let mut entries = descriptors.map(|descriptor| descriptor as u64 | u64::from(events) << 32);
        let result = call(libc::SYS_poll, &[entries.as_mut_ptr() as usize, 2, 0]);
        let ready = entries.map(|entry| format!("{:x}", entry >> 48));
        format!("poll({:?}) = {} {ready:?}", descriptors.map(|one| self.descriptors.name(one)), shown(result))
    }

    fn other(&mut self, random: &mut Random) -> String {
        let (one, other) = (self.descriptors.any(random), self.descriptors.any(random));
        let name = self.descriptors.name(one);
        match random.below(10) {
            0..3 => format!("close({name}) = {}", shown(call(libc::SYS_close, &[one]))),
            3 => format!("dup({name}) = {}", self.descriptors.shown(call(libc::SYS_dup, &[one]))),
            4 => {
                let result = call(libc::SYS_dup2, &[one, other]);
                format!("dup2({name}, {}) = {}", self.descriptors.name(other), self.descriptors.shown(result))
            }
            5 => {
                let how = random.below(4);
                format!("shutdown({name}, {how}) = {}", shown(call(libc::SYS_shutdown, &[one, how])))
            }
            6 => {
                let mut count = -1i32;
                let result = call(libc::SYS_ioctl, &[one, libc::FIONREAD as usize, &raw mut count as usize]);
                // Files without such a count have one error or the other, from Linux to Linux.
                let result = if result == -22 { -25 } else { result };
                format!("ioctl({name}, FIONREAD) = {} {count}", shown(result))
            }
            7 => {
                let option = random.one_of(&[libc::SO_TYPE, libc::SO_ERROR, libc::SO_DOMAIN, libc::SO_ACCEPTCONN]);
                let (mut value, mut size) = (-1i32, 4u32);
                let places = [one, libc::SOL_SOCKET as usize, option as usize];
                let results = [&raw mut value as usize, &raw mut size as usize];
                let result = call(libc::SYS_getsockopt, &[&places[..], &results].concat());
                format!("getsockopt({name}, {option}) = {} {value} {size}", shown(result))
            }
            8 => {
                let command = random.one_of(&[libc::F_GETFD, libc::F_GETFL, libc::F_GETPIPE_SZ]);
                format!("fcntl({name}, {command}) = {}", shown(call(libc::SYS_fcntl, &[one, command as usize])))
            }
            _ => {
                let mut status = [0u64; 32];
                let result = call(libc::SYS_fstat, &[one, status.as_mut_ptr() as usize]);
                format!("fstat({name}) = {} {:o}", done(result), status[3] as u32 & libc::S_IFMT)
            }
        }
    }
}

impl Family for Pipes {
    fn step(&mut self, random: &mut Random) -> String {
        match random.below(20) {
            0..4 => self.make(random),
            4..9 => self.read(random),
            9..14 => self.write(random),
            14..16 => self.poll(random),
            _ => self.other(random),
        }
    }
}

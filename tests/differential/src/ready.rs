//! epoll, over pipes, pairs of sockets and counters of events.

use crate::Family;
use crate::calls::{call, shown};
use crate::descriptors::Descriptors;
use crate::pipes::Pipes;
use crate::random::Random;
use libc::{EPOLLET, EPOLLHUP, EPOLLIN, EPOLLONESHOT, EPOLLOUT, EPOLLPRI, EPOLLRDHUP};

pub struct Ready {
    pipes: Pipes,
    /// Draws the same descriptors as `pipes`.
    descriptors: Descriptors,
}

impl Ready {
    pub fn new() -> Self {
        Self { pipes: Pipes::new(), descriptors: Descriptors::new() }
    }

    fn control(&mut self, random: &mut Random) -> String {
        let (epoll, of) = (self.descriptors.any(random), self.descriptors.any(random));
        let operation =
            random.one_of(&[libc::EPOLL_CTL_ADD, libc::EPOLL_CTL_ADD, libc::EPOLL_CTL_MOD, libc::EPOLL_CTL_DEL, 7]);
        let events = random.bits(&[EPOLLIN, EPOLLOUT], 2)
            | random.bits(&[EPOLLET, EPOLLONESHOT, EPOLLRDHUP, EPOLLPRI, EPOLLHUP], 4)
            | random.bits(&[libc::EPOLLEXCLUSIVE], 30);
        // struct epoll_event is packed: 4 bytes of events, 8 of data.
        let event = [events as u32, of as u32, random.below(1000) as u32];
        let result = call(libc::SYS_epoll_ctl, &[epoll, operation as usize, of, event.as_ptr() as usize]);
        let names = format!("{}, {}", self.descriptors.name(epoll), self.descriptors.name(of));
        format!("epoll_ctl({names}, {operation}, {events:x}) = {}", shown(result))
    }

    fn wait(&mut self, random: &mut Random) -> String {
        let (epoll, most) = (self.descriptors.any(random), random.one_of(&[20usize, 20, 20, 1]));
        let mut events = [0u32; 60];
        let result = call(libc::SYS_epoll_wait, &[epoll, events.as_mut_ptr() as usize, most, 0]);
        let count = result.clamp(0, 20) as usize;
        let name = |descriptor: u32| self.descriptors.name(descriptor as usize);
        let events = events.chunks(3).take(count);
        let mut events: Vec<_> =
            events.map(|event| format!("{:x} {} {}", event[0], name(event[1]), event[2])).collect();
        events.sort();
        format!("epoll_wait({}, {most}) = {} {events:?}", self.descriptors.name(epoll), shown(result))
    }
}

impl Family for Ready {
    fn step(&mut self, random: &mut Random) -> String {
        match random.below(10) {
            0 => {
                let flags = random.one_of(&[0, libc::EPOLL_CLOEXEC, 1]);
                let result = call(libc::SYS_epoll_create1, &[flags as usize]);
                format!("epoll_create({flags:#o}) = {}", self.descriptors.shown(result))
            }
            1..4 => self.control(random),
            4..6 => self.wait(random),
            _ => self.pipes.step(random),
        }
    }
}

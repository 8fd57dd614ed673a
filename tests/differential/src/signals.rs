//! Signals that are blocked, pending, ignored and waited for, files of signals, and timers that are not yet due.

use crate::Family;
use crate::calls::{call, shown};
use crate::descriptors::Descriptors;
use crate::random::Random;
use libc::{SIGCHLD, SIGHUP, SIGTERM, SIGUSR1, SIGUSR2, SIGWINCH};

/// Size of the kernel's set of signals.
const SET: usize = 8;

pub struct Signals {
    descriptors: Descriptors,
    timers: Vec<i32>,
}

/// Without real-time signals, which wait as often as they are sent; in a guest, none waits twice.
fn all() -> [i32; 6] {
    [SIGUSR1, SIGUSR2, SIGTERM, SIGHUP, SIGCHLD, SIGWINCH]
}

fn bit(signal: i32) -> u64 {
    1 << (signal - 1)
}

/// Draws a set of signals.
fn set(random: &mut Random) -> u64 {
    all().into_iter().filter(|_| random.once_in(2)).map(bit).sum()
}

/// Returns a result with the time that is left of a timer, in hours, and its interval.
fn hours_of(result: i64, [every, _, left, _]: [usize; 4]) -> String {
    format!("{} {} {every}", shown(result), left / 3600)
}

impl Signals {
    /// Starts with all signals blocked, none pending, and each one's default action.
    pub fn new() -> Self {
        let blocked: u64 = all().into_iter().map(bit).sum();
        call(libc::SYS_rt_sigprocmask, &[libc::SIG_SETMASK as usize, &raw const blocked as usize, 0, SET]);
        while call(libc::SYS_rt_sigtimedwait, &[&raw const blocked as usize, 0, [0u64; 2].as_ptr() as usize, SET]) > 0 {
        }
        for signal in all() {
            call(libc::SYS_rt_sigaction, &[signal as usize, [0usize; 4].as_ptr() as usize, 0, SET]);
        }
        Self { descriptors: Descriptors::new(), timers: vec![] }
    }

    fn send(&mut self, random: &mut Random) -> String {
        let signal = random.one_of(&[SIGUSR1, SIGTERM, SIGCHLD]);
        let process = std::process::id() as usize;
        match random.below(3) {
            0 => format!("kill({signal}) = {}", shown(call(libc::SYS_kill, &[process, signal as usize]))),
            1 => {
                // Other signals, as one that is sent to the program and to a thread waits once in a guest.
                let signal = random.one_of(&[SIGUSR2, SIGHUP, SIGWINCH]);
                format!("tgkill({signal}) = {}", shown(call(libc::SYS_tgkill, &[process, process, signal as usize])))
            }
            _ => {
                let value = random.below(100);
                // siginfo_t: number, errno, code, padding, process, user, value.
                let mut info = [0u32; 32];
                info[0] = signal as u32;
                info[2] = libc::SI_QUEUE as u32;
                info[6] = value as u32;
                let result = call(libc::SYS_rt_sigqueueinfo, &[process, signal as usize, info.as_ptr() as usize]);
                format!("sigqueue({signal}, {value}) = {}", shown(result))
            }
        }
    }

    /// Waits for signals of a set, for no time.
    fn wait(&mut self, random: &mut Random) -> String {
        let (set, mut info) = (set(random), [0u32; 32]);
        let arguments = [&raw const set as usize, info.as_mut_ptr() as usize, [0u64; 2].as_ptr() as usize, SET];
        let result = call(libc::SYS_rt_sigtimedwait, &arguments);
        let code = info[2] as i32;
        let value = if code == libc::SI_QUEUE { info[6] } else { 0 };
        format!("sigtimedwait({set:x}) = {} {} {code} {value}", shown(result), info[0])
    }

    fn mask(&mut self, random: &mut Random) -> String {
        // Blocked signals stay so: a default action would end the program.
        let (how, set, mut old) = (random.one_of(&[libc::SIG_BLOCK, 9]), set(random), 0u64);
        let arguments = [how as usize, &raw const set as usize, &raw mut old as usize, SET];
        let result = call(libc::SYS_rt_sigprocmask, &arguments);
        let mut pending = 0u64;
        call(libc::SYS_rt_sigpending, &[&raw mut pending as usize, SET]);
        let known: u64 = all().into_iter().map(bit).sum();
        format!("sigprocmask({how}, {set:x}) = {} {:x}, pending {:x}", shown(result), old & known, pending & known)
    }

    /// Ignores a signal, or takes its default action again. Either forgets what is pending.
    fn act(&mut self, random: &mut Random) -> String {
        let signal = random.one_of(&[SIGUSR1, SIGTERM, SIGCHLD, SIGWINCH, libc::SIGKILL, 0, 65]);
        let (action, mut old) = ([random.below(2), 0, 0, 0], [0usize; 4]);
        let arguments = [signal as usize, action.as_ptr() as usize, old.as_mut_ptr() as usize, SET];
        let result = call(libc::SYS_rt_sigaction, &arguments);
        format!("sigaction({signal}, {}) = {} {}", action[0], shown(result), old[0])
    }

    fn file(&mut self, random: &mut Random) -> String {
        let descriptor = self.descriptors.any(random);
        let name = self.descriptors.name(descriptor);
        match random.below(4) {
            0 => {
                let (set, at) = (set(random), if random.once_in(3) { descriptor } else { usize::MAX });
                let flags = libc::SFD_NONBLOCK as usize;
                let result = call(libc::SYS_signalfd4, &[at, &raw const set as usize, SET, flags]);
                format!("signalfd({name}, {}, {set:x}) = {}", at == descriptor, self.descriptors.shown(result))
            }
            1 => {
                let mut info = [0u32; 64];
                let length = random.one_of(&[128, 256, 100]);
                let result = call(libc::SYS_read, &[descriptor, info.as_mut_ptr() as usize, length]);
                format!("read({name}, {length}) = {} {} {} {}", shown(result), info[0], info[2] as i32, info[32])
            }
            2 => {
                let mut entry = descriptor as u64 | 1 << 32;
                let result = call(libc::SYS_poll, &[&raw mut entry as usize, 1, 0]);
                format!("poll({name}) = {} {:x}", shown(result), entry >> 48)
            }
            _ => format!("close({name}) = {}", shown(call(libc::SYS_close, &[descriptor]))),
        }
    }

    /// Timers that are due in hours: what is left is shown in hours.
    fn timer(&mut self, random: &mut Random) -> String {
        let drawn = random.below(4);
        let timer = self.timers.get(drawn).map_or(-1, |timer| *timer) as usize;
        let (hours, every) = (random.below(4), random.below(3));
        let times = [
            every * 3600,
            0,
            hours * 3600 + if hours > 0 { 1800 } else { 0 },
            random.one_of(&[0, 0, 0, 1_000_000_000]),
        ];
        let mut old = [0usize; 4];
        match random.below(5) {
            0 => {
                // struct sigevent: value, signal, kind.
                let event = [0u32, 0, SIGUSR1 as u32, random.below(2) as u32, 0, 0, 0, 0, 0, 0, 0, 0, 0, 0, 0, 0];
                let mut made = -1i32;
                let clock = random.one_of(&[libc::CLOCK_MONOTONIC, libc::CLOCK_REALTIME, 77]);
                let arguments = [clock as usize, event.as_ptr() as usize, &raw mut made as usize];
                let result = call(libc::SYS_timer_create, &arguments);
                if result == 0 {
                    self.timers.push(made);
                }
                format!("timer_create({clock}, {}) = {}", event[3], shown(result))
            }
            1..3 => {
                let arguments = [timer, 0, times.as_ptr() as usize, old.as_mut_ptr() as usize];
                let result = call(libc::SYS_timer_settime, &arguments);
                format!("timer_settime({drawn}, {times:?}) = {}", hours_of(result, old))
            }
            3 => {
                let result = call(libc::SYS_timer_gettime, &[timer, old.as_mut_ptr() as usize]);
                format!("timer_gettime({drawn}) = {}", hours_of(result, old))
            }
            _ => {
                let result = call(libc::SYS_timer_delete, &[timer]);
                self.timers.retain(|one| *one as usize != timer);
                format!("timer_delete({drawn}) = {}", shown(result))
            }
        }
    }

    fn timer_file(&mut self, random: &mut Random) -> String {
        let descriptor = self.descriptors.any(random);
        let name = self.descriptors.name(descriptor);
        let (hours, every) = (random.below(4), random.below(3));
        let times = [every * 3600, 0, hours * 3600 + if hours > 0 { 1800 } else { 0 }, 0];
        let mut old = [0usize; 4];
        match random.below(4) {
            0 => {
                let clock = random.one_of(&[libc::CLOCK_MONOTONIC, libc::CLOCK_REALTIME, libc::CLOCK_BOOTTIME, 50]);
                let result = call(libc::SYS_timerfd_create, &[clock as usize, libc::TFD_NONBLOCK as usize]);
                format!("timerfd_create({clock}) = {}", self.descriptors.shown(result))
            }
            1 => {
                let flags = random.one_of(&[0, 0, 8]);
                let arguments = [descriptor, flags, times.as_ptr() as usize, old.as_mut_ptr() as usize];
                let result = call(libc::SYS_timerfd_settime, &arguments);
                format!("timerfd_settime({name}, {flags}, {times:?}) = {}", hours_of(result, old))
            }
            2 => {
                let result = call(libc::SYS_timerfd_gettime, &[descriptor, old.as_mut_ptr() as usize]);
                format!("timerfd_gettime({name}) = {}", hours_of(result, old))
            }
            _ => {
                let mut count = 0u64;
                let result = call(libc::SYS_read, &[descriptor, &raw mut count as usize, 8]);
                format!("read({name}, 8) = {} {count}", shown(result))
            }
        }
    }
}

impl Family for Signals {
    fn step(&mut self, random: &mut Random) -> String {
        match random.below(16) {
            0..4 => self.send(random),
            4..7 => self.wait(random),
            7 => self.mask(random),
            8..10 => self.act(random),
            10..12 => self.file(random),
            12..14 => self.timer(random),
            _ => self.timer_file(random),
        }
    }
}

impl Drop for Signals {
    fn drop(&mut self) {
        for timer in &self.timers {
            call(libc::SYS_timer_delete, &[*timer as usize]);
        }
    }
}

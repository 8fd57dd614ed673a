//! Calls on timers ([`super::timer`]), and their expirations.

use super::Files;
use super::handle::NodeKey;
use super::inode::Kind;
use super::ready::Ready;
use super::timer::Setting;
use super::watch::wait;
use crate::clock;
use crate::errno::Errno;
use crate::syscall_result::{Sleep, Stop, SyscallResult};
use crate::user::Slice;
use linux_raw_sys::general as linux;

impl Files {
    /// timerfd_settime(2); returns the former setting, like timerfd_gettime(2).
    pub fn set_timer(&mut self, descriptor: i32, flags: u32, new: Setting, now: u64) -> Result<Setting, Errno> {
        if flags & !(linux::TFD_TIMER_ABSTIME | linux::TFD_TIMER_CANCEL_ON_SET) != 0 {
            return Err(Errno::EINVAL);
        }
        let node = self.descriptions[self.usable(descriptor)?].node;
        let Kind::Timer(timer) = &mut self.nodes[node].kind else { return Err(Errno::EINVAL) };
        let before = timer.setting(now);
        let [first, interval] = new;
        let due = match first {
            0 => 0,
            first if flags & linux::TFD_TIMER_ABSTIME != 0 => clock::to_monotonic(timer.base, first).max(1),
            first => now.saturating_add(first),
        };
        (timer.due, timer.interval, timer.rang) = (due, interval, false);
        self.alarms.set(node, due);
        // Threads that sleep for the timer, directly or by a set, need a new deadline.
        self.notify(node, Ready::IN);
        self.ring(now);
        Ok(before)
    }

    /// timerfd_gettime(2).
    pub fn timer_setting(&self, descriptor: i32, now: u64) -> Result<Setting, Errno> {
        match &self.nodes[self.descriptions[self.usable(descriptor)?].node].kind {
            Kind::Timer(timer) => Ok(timer.setting(now)),
            _ => Err(Errno::EINVAL),
        }
    }

    /// Marks the timers that are due as ready.
    #[inline]
    pub fn ring(&mut self, now: u64) {
        while self.alarms.next().is_some_and(|due| due <= now)
            && let Some((_, node)) = self.alarms.pending.pop()
        {
            if let Kind::Timer(timer) = &mut self.nodes[node].kind {
                timer.rang = true;
                self.notify(node, Ready::IN);
            }
        }
    }

    /// Time at which the next timer expires.
    #[inline]
    pub fn next_alarm(&self) -> Option<u64> {
        self.alarms.next()
    }

    /// Reads from a timer; while it is armed, the wait for it has its expiration as deadline.
    pub(super) fn read_timer(&mut self, node: NodeKey, nonblocking: bool, into: Slice, now: u64) -> SyscallResult {
        self.ring(now);
        let Kind::Timer(timer) = &mut self.nodes[node].kind else { return Err(Errno::EINVAL.into()) };
        let (read, deadline) = (timer.read(into, now), timer.deadline());
        match (read, wait(node)) {
            (Ok(count), _) => {
                self.alarms.set(node, deadline.unwrap_or(0));
                Ok(count)
            }
            (Err(Errno::EAGAIN), Stop::Block(sleep)) if !nonblocking => Err(Stop::Block(Sleep { deadline, ..sleep })),
            (Err(errno), _) => Err(errno.into()),
        }
    }
}

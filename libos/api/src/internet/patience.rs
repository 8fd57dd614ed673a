//! How long a connection bears a peer's silence: timeouts, and probes of an idle peer (keep-alive).

use super::connection::Connection;
use super::stack::instant;
use smoltcp::time::Duration;

/// Timeout of an unanswered SYN: Linux's, with six retransmissions.
const OPENING: Duration = Duration::from_secs(127);
/// Timeout of unacknowledged data: Linux's, with fifteen retransmissions.
const UNACKNOWLEDGED: Duration = Duration::from_secs(924);
/// Timeout of a connection that the program has dropped, or that the peer is opening; Linux's default.
pub(super) const CLOSE_TIMEOUT: Duration = Duration::from_secs(60);

/// Probes of an idle peer, by tcp(7).
#[derive(Clone, Copy, Debug, PartialEq, Eq)]
pub struct KeepAlive {
    /// Silence before the first probe (`TCP_KEEPIDLE`).
    pub idle: Duration,
    /// Time between probes (`TCP_KEEPINTVL`).
    pub interval: Duration,
    /// Unanswered probes that end the connection (`TCP_KEEPCNT`).
    pub count: u32,
}

impl KeepAlive {
    /// Silence that ends the connection.
    fn timeout(&self) -> Duration {
        self.idle + self.interval * self.count
    }
}

/// Timeouts of a connection.
#[derive(Clone, Copy, Debug, PartialEq, Eq)]
pub struct Patience {
    /// Of an unanswered SYN.
    pub opening: Duration,
    /// Of unacknowledged data.
    pub unacknowledged: Duration,
    /// Probes of an idle peer, if there are any.
    pub keep_alive: Option<KeepAlive>,
}

impl Default for Patience {
    fn default() -> Self {
        Self { opening: OPENING, unacknowledged: UNACKNOWLEDGED, keep_alive: None }
    }
}

impl Patience {
    /// Returns the timeout of a SYN that is retransmitted this number of times (`TCP_SYNCNT`), after one second, two, four, and so on.
    pub const fn of_retransmissions(count: u32) -> Duration {
        Duration::from_secs((1 << if count < 20 { count + 1 } else { 20 }) - 1)
    }
}

impl Connection {
    /// Sets the timeouts, as of `now` in nanoseconds: an idle peer's silence begins with its last segment.
    pub fn set_timeouts(&mut self, to: Patience, now: u64) {
        if to == self.patience {
            return;
        }
        let probes = to.keep_alive != self.patience.keep_alive;
        self.patience = to;
        if probes {
            self.last_received = self.last_received.max(now);
            self.await_silence(now);
        }
    }

    /// Restarts the wait for the first probe of an idle peer.
    pub(super) fn await_silence(&mut self, now: u64) {
        let idle = self.patience.keep_alive.map(|probes| probes.idle);
        let tcp = self.tcp();
        if idle.is_some() || tcp.keep_alive().is_some() {
            tcp.set_keep_alive(idle);
            tcp.restart_keep_alive(instant(now));
        }
    }

    /// Sets the timeout of the peer's silence. smoltcp's timeout counts every silence, but an idle connection must not time
    /// out.
    pub(super) fn set_patience(&mut self, now: u64) {
        let silent = Duration::from_micros(now.saturating_sub(self.last_received) / 1000);
        if self.orphaned && self.close_timeout.is_none() {
            // The connection may have been idle for long, and legitimately.
            self.close_timeout = Some(silent + CLOSE_TIMEOUT);
        }
        let (opening, close_timeout, patience) = (self.is_opening(), self.close_timeout, self.patience);
        let tcp = self.tcp();
        // The first probe is sent after a silence, and the others at intervals. The stack's times are rounded.
        let is_silent = |probes: &KeepAlive| silent + Duration::from_millis(1) >= probes.idle;
        if let Some(probes) = patience.keep_alive.filter(is_silent) {
            tcp.set_keep_alive(Some(probes.interval));
        }
        let timeout = match (close_timeout, patience.keep_alive) {
            (Some(close_timeout), _) => Some(close_timeout),
            _ if opening => Some(patience.opening),
            _ if tcp.send_queue() > 0 => Some(patience.unacknowledged),
            (None, probes) => probes.map(|probes| probes.timeout()),
        };
        tcp.set_timeout(timeout);
    }
}

#[cfg(test)]
mod tests {
    use super::*;

    #[test]
    fn retransmissions_double_their_interval() {
        assert_eq!(Patience::of_retransmissions(6), OPENING);
        assert_eq!(Patience::of_retransmissions(1), Duration::from_secs(3));
        assert_eq!(Patience::of_retransmissions(127), Patience::of_retransmissions(19));
    }
}

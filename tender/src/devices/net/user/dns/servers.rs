//! Name servers of the host, and which of them is asked: the first, as a resolver does, and the next when one does not answer or
//! answers that it cannot.
//!
//! A server that is silent or cannot be reached is passed over for some seconds, so that not every name waits for it. What a server
//! answers about one name says nothing about others: only that query goes to the next one.

use super::super::addresses::DNS_PORT;
use super::{Query, Waiting, failed};
use std::net::{IpAddr, SocketAddr};
use std::time::Duration;

/// Time for which a server is passed over, in nanoseconds.
const PASSED_OVER_NS: u64 = 10_000_000_000;
/// Longest wait for one server while there are others, in nanoseconds: clients ask again after seconds.
const TURN_NS: u64 = 1_000_000_000;

/// The name servers.
#[derive(Debug)]
pub struct Servers {
    addresses: Vec<IpAddr>,
    /// Index of the server that answered last, and the monotonic time in nanoseconds until which it is asked first.
    preferred: usize,
    until_ns: u64,
    turn_ns: u64,
}

impl Servers {
    /// Returns these servers, for clients that wait for `timeout`.
    pub fn new(addresses: Vec<IpAddr>, timeout: Duration) -> Self {
        let share = timeout.as_nanos() / addresses.len().max(1) as u128;
        let turn_ns = u64::try_from(share).unwrap_or(u64::MAX).min(TURN_NS);
        Self { addresses, preferred: 0, until_ns: 0, turn_ns }
    }

    /// Index of the server that is asked first.
    fn first(&self, now_ns: u64) -> usize {
        if now_ns < self.until_ns { self.preferred } else { 0 }
    }

    /// The server that is asked first, if there is one.
    pub fn address(&self, now_ns: u64) -> Option<IpAddr> {
        self.addresses.get(self.first(now_ns)).copied()
    }

    /// Notes that the server with this index has answered.
    pub fn answered(&mut self, index: usize, now_ns: u64) {
        // A server that is preferred already returns to its place in time.
        if index != self.first(now_ns) {
            (self.preferred, self.until_ns) = (index, now_ns.saturating_add(PASSED_OVER_NS));
        }
    }

    /// Queries of a new flow.
    pub fn queries(&self, now_ns: u64) -> Queries {
        Queries {
            waiting: Waiting::default(),
            addresses: self.addresses.clone(),
            asked: self.first(now_ns),
            failed: 0,
            detour: false,
            home: self.first(now_ns),
            asked_ns: now_ns,
            turn_ns: self.turn_ns,
            turn_ends_ns: u64::MAX,
        }
    }
}

/// Queries of one flow that wait for their answers, and the server that is asked.
#[derive(Debug)]
pub struct Queries {
    waiting: Waiting,
    addresses: Vec<IpAddr>,
    /// Index of the server that is asked.
    asked: usize,
    /// Servers that have failed since the last new query.
    failed: usize,
    /// True if a server was left for what it answered, which says nothing about other names.
    detour: bool,
    /// Index of the server that was left so, which is asked again when nothing waits.
    home: usize,
    /// Monotonic time since which this server is asked, in nanoseconds.
    asked_ns: u64,
    turn_ns: u64,
    /// Monotonic time at which the next server is asked, in nanoseconds.
    turn_ends_ns: u64,
}

/// Way of a query of the guest's.
#[derive(Clone, Copy, Debug, PartialEq, Eq)]
pub enum Step {
    /// To the server that is asked.
    Send,
    /// To the next server, with all that waits: the guest has asked again, and this server has had its turn.
    Next,
    /// Back to the server at this address, which was left for what it answered.
    Return(SocketAddr),
}

/// Treatment of a datagram from a server.
#[derive(Clone, Copy, Debug, PartialEq, Eq)]
pub enum Verdict {
    /// The datagram is no answer to a query.
    Drop,
    /// The datagram is an answer.
    Pass,
    /// The server cannot answer, and another one is to be asked.
    Next,
}

impl Queries {
    /// Admits the answer to a query, which is sent next.
    pub fn expect(&mut self, query: Query, message: &[u8], now_ns: u64) -> Step {
        let was_idle = self.waiting.is_empty();
        let is_repeated = self.waiting.add(query, message);
        self.failed = if is_repeated { self.failed } else { 0 };
        // A busy client does not give a silent server more time.
        if self.turn_ends_ns == u64::MAX {
            self.start_turn(now_ns);
        }
        if was_idle {
            self.asked_ns = now_ns;
            if std::mem::take(&mut self.detour) {
                self.asked = self.home;
                return self.address().map_or(Step::Send, Step::Return);
            }
        }
        // Only once in a turn, because all that waits is sent again.
        let moves = is_repeated && self.addresses.len() > 1 && now_ns >= self.asked_ns.saturating_add(self.turn_ns);
        if moves { Step::Next } else { Step::Send }
    }

    /// Address of the server that is asked.
    fn address(&self) -> Option<SocketAddr> {
        self.addresses.get(self.asked).map(|address| SocketAddr::new(*address, DNS_PORT))
    }

    fn start_turn(&mut self, now_ns: u64) {
        let is_last = self.failed + 1 >= self.addresses.len();
        self.turn_ends_ns =
            if is_last || self.waiting.is_empty() { u64::MAX } else { now_ns.saturating_add(self.turn_ns) };
    }

    /// Index of the server that is asked.
    pub fn asked(&self) -> usize {
        self.asked
    }

    /// Stays with the server of this index, because none of the next ones could be reached.
    pub fn stay(&mut self, index: usize) {
        self.asked = index;
    }

    /// Returns true if a server was left for what it answered.
    pub fn is_detour(&self) -> bool {
        self.detour
    }

    /// Returns true if there is a server that has not failed.
    pub fn has_more(&self) -> bool {
        self.failed + 1 < self.addresses.len()
    }

    /// Moves on to the next server, and returns its address.
    pub fn next(&mut self, now_ns: u64) -> Option<SocketAddr> {
        self.failed += 1;
        self.asked = (self.asked + 1) % self.addresses.len().max(1);
        self.asked_ns = now_ns;
        self.start_turn(now_ns);
        self.address()
    }

    /// Messages that wait for an answer.
    pub fn messages(&self) -> impl Iterator<Item = &[u8]> {
        self.waiting.messages()
    }

    /// Monotonic time at which the next server is to be asked, in nanoseconds.
    pub fn turn_ends_ns(&self) -> u64 {
        self.turn_ends_ns
    }

    /// Decides about a datagram of the server.
    pub fn take(&mut self, message: &[u8], now_ns: u64) -> Verdict {
        if failed(message) && self.has_more() && self.waiting.is_answered_by(message) {
            if !std::mem::replace(&mut self.detour, true) {
                self.home = self.asked;
            }
            return Verdict::Next;
        }
        let is_answer = self.waiting.take_datagram(message);
        // A server that answers is not silent: what else waits gets a turn of its own.
        if is_answer {
            self.start_turn(now_ns);
        }
        if is_answer { Verdict::Pass } else { Verdict::Drop }
    }
}

#[cfg(test)]
mod tests {
    use super::*;

    const SECOND_NS: u64 = 1_000_000_000;

    fn servers(count: u8, timeout_s: u64) -> Servers {
        Servers::new((1..=count).map(|last| [192, 0, 2, last].into()).collect(), Duration::from_secs(timeout_s))
    }

    /// A query of this identifier for the root's address, and an answer to it with this result.
    fn query(identifier: u8) -> Vec<u8> {
        vec![0, identifier, 1, 0, 0, 1, 0, 0, 0, 0, 0, 0, 0, 0, 1, 0, 1]
    }

    fn answer(identifier: u8, result: u8) -> Vec<u8> {
        let mut answer = query(identifier);
        (answer[2], answer[3]) = (0x81, result);
        answer
    }

    fn ask(queries: &mut Queries, identifier: u8, now_ns: u64) -> Step {
        let message = query(identifier);
        queries.expect(Query::parse(&message).expect("it is one"), &message, now_ns)
    }

    fn last(address: Option<SocketAddr>) -> Option<String> {
        address.map(|address| address.to_string())
    }

    #[test]
    fn the_next_server_is_asked_after_its_share_of_the_time() {
        let servers = servers(3, 5);
        let mut queries = servers.queries(0);
        assert_eq!(ask(&mut queries, 1, 0), Step::Send);
        assert_eq!((queries.asked(), queries.turn_ends_ns()), (0, SECOND_NS));
        assert_eq!(last(queries.next(SECOND_NS)).as_deref(), Some("192.0.2.2:53"));
        assert_eq!(queries.turn_ends_ns(), 2 * SECOND_NS);
        assert_eq!(last(queries.next(2 * SECOND_NS)).as_deref(), Some("192.0.2.3:53"));
        assert_eq!(queries.turn_ends_ns(), u64::MAX, "the last one has the rest of the time");
        assert_eq!(ask(&mut queries, 1, 3 * SECOND_NS), Step::Next, "a client that asks again wants another server");
        assert_eq!(queries.messages().count(), 1);
        assert_eq!(queries.take(&answer(1, 0), 0), Verdict::Pass);
        assert_eq!(queries.take(&answer(1, 0), 0), Verdict::Drop);
    }

    #[test]
    fn a_busy_client_gives_a_silent_server_no_more_time() {
        let mut queries = servers(2, 5).queries(0);
        for (identifier, now_ns) in [(1, 0), (2, 400_000_000), (3, 800_000_000)] {
            ask(&mut queries, identifier, now_ns);
            assert_eq!(queries.turn_ends_ns(), SECOND_NS);
        }
        assert_eq!(queries.take(&answer(1, 0), 900_000_000), Verdict::Pass);
        assert_eq!(queries.turn_ends_ns(), 1_900_000_000, "a server that answers is not silent");
    }

    #[test]
    fn repeated_queries_move_on_once_in_a_turn() {
        let mut queries = servers(2, 5).queries(0);
        let steps = [0, 1, SECOND_NS - 1, SECOND_NS].map(|now_ns| ask(&mut queries, 1, now_ns));
        assert_eq!(steps, [Step::Send, Step::Send, Step::Send, Step::Next]);
        queries.next(SECOND_NS);
        assert_eq!(ask(&mut queries, 1, SECOND_NS + 1), Step::Send);
        assert_eq!(ask(&mut queries, 1, 2 * SECOND_NS), Step::Next);
    }

    #[test]
    fn what_a_server_answers_about_one_name_leaves_the_others_to_it() {
        let mut queries = servers(2, 5).queries(0);
        ask(&mut queries, 1, 0);
        assert_eq!(queries.take(&answer(1, 2), 0), Verdict::Next);
        queries.next(0);
        assert_eq!(queries.take(&answer(1, 0), 0), Verdict::Pass);
        assert!(queries.is_detour());
        let first = SocketAddr::from(([192, 0, 2, 1], DNS_PORT));
        assert_eq!(ask(&mut queries, 2, 0), Step::Return(first));
        assert_eq!((queries.is_detour(), queries.asked()), (false, 0));
        assert_eq!(ask(&mut queries, 3, 0), Step::Send);
    }

    #[test]
    fn short_timeouts_leave_time_for_each() {
        let servers = servers(2, 1);
        let mut queries = servers.queries(0);
        ask(&mut queries, 1, 0);
        assert_eq!(queries.turn_ends_ns(), SECOND_NS / 2);
    }

    #[test]
    fn a_server_that_cannot_answer_is_followed_by_the_next() {
        let servers = servers(2, 5);
        let mut queries = servers.queries(0);
        ask(&mut queries, 1, 0);
        for result in [2, 4, 5] {
            assert_eq!(queries.take(&answer(1, result), 0), Verdict::Next, "{result}");
        }
        assert_eq!(queries.take(&answer(2, 2), 0), Verdict::Drop, "an answer to another");
        queries.next(0);
        assert_eq!(queries.take(&answer(1, 2), 0), Verdict::Pass, "no server is left");
        ask(&mut queries, 2, 0);
        assert_eq!(queries.take(&answer(2, 3), 0), Verdict::Pass, "that there is no such name is an answer");
        let mut alone = super::tests::servers(1, 5).queries(0);
        assert_eq!([0, 9].map(|now_s| ask(&mut alone, 1, now_s * SECOND_NS)), [Step::Send; 2]);
        assert_eq!((alone.turn_ends_ns(), alone.take(&answer(1, 2), 0)), (u64::MAX, Verdict::Pass));
    }

    #[test]
    fn a_server_that_failed_is_passed_over_for_some_time() {
        let mut servers = servers(2, 5);
        let address = |servers: &Servers, now_ns| servers.address(now_ns).map(|address| address.to_string());
        assert_eq!(address(&servers, 0).as_deref(), Some("192.0.2.1"));
        servers.answered(1, 0);
        assert_eq!(address(&servers, 9 * SECOND_NS).as_deref(), Some("192.0.2.2"));
        servers.answered(1, 9 * SECOND_NS);
        assert_eq!(address(&servers, 10 * SECOND_NS).as_deref(), Some("192.0.2.1"));
        assert_eq!(address(&super::tests::servers(0, 5), 0), None);
    }
}

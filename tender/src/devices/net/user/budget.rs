//! Places for flows, and who gives way when there are no more.
//!
//! Clients of published TCP and UDP ports, what the guest opens itself, and its queries of names have a budget each, so that
//! none takes the others' places. Within one, places are shared among parties: the addresses of clients, or the protocols
//! of what the guest opens. A party beyond its limit gives way to itself; when a budget is used up, the party with the most
//! places does. The flow that ends is the one that has been idle for longest.

use super::packet::Protocol;
use std::cmp::Reverse;
use std::collections::{BTreeSet, HashMap};
use std::net::{IpAddr, Ipv6Addr};

/// Whom places are shared among.
#[derive(Clone, Copy, Debug, PartialEq, Eq, Hash, PartialOrd, Ord)]
pub enum Party {
    /// A client. All of an IPv6 network of 64 bits are one, as a machine has as many of its addresses as it likes.
    Address(IpAddr),
    /// What the guest opens of one kind.
    Protocol(Protocol),
}

impl Party {
    /// The party that a client belongs to.
    pub fn of(peer: IpAddr) -> Self {
        Self::Address(match peer.to_canonical() {
            IpAddr::V6(address) => IpAddr::V6(Ipv6Addr::from(u128::from(address) >> 64 << 64)),
            address => address,
        })
    }
}

/// How many places there are, and how they are shared.
#[derive(Clone, Copy, Debug, PartialEq, Eq)]
pub struct Limits {
    /// Places.
    pub maximum: usize,
    /// Most of them for one party.
    pub party: usize,
    /// From this number of places on, a party gives way even by a flow that is in use.
    pub crowd: usize,
    /// A flow that was used within this time is in use, in nanoseconds.
    pub in_use_ns: u64,
}

/// What becomes of a new flow.
#[derive(Clone, Copy, Debug, PartialEq, Eq)]
pub enum Admission {
    /// There is a place for it.
    Room,
    /// There is if the flow in this slot ends.
    InsteadOf(usize),
    /// There is none, for all others are in use.
    Refused,
}

/// One budget.
#[derive(Debug)]
pub struct Budget {
    limits: Limits,
    /// The party of each flow, by its slot, and the time by which it is in order.
    flows: HashMap<usize, (Party, u64)>,
    /// The flows of each party, the longest idle first, for all that is known: a flow that was used since then is put in
    /// its place when its turn comes.
    parties: HashMap<Party, BTreeSet<(u64, usize)>>,
    /// The parties: the last is the one with the most flows, and of several the one whose first is idle for longest.
    ranking: BTreeSet<(usize, Reverse<u64>, Party)>,
}

impl Budget {
    /// One without flows.
    pub fn new(limits: Limits) -> Self {
        Self { limits, flows: HashMap::new(), parties: HashMap::new(), ranking: BTreeSet::new() }
    }

    /// How many flows there are.
    pub fn count(&self) -> usize {
        self.flows.len()
    }

    /// Whether there is a place for a flow of `party`, or of any that is not known yet, at `now_ns`. `used_ns` gives the
    /// time at which the flow in a slot was used last.
    pub fn admit(&mut self, party: Option<Party>, now_ns: u64, used_ns: impl Fn(usize) -> u64) -> Admission {
        let limits = self.limits;
        let is_in_use = |slot| now_ns.saturating_sub(used_ns(slot)) < limits.in_use_ns;
        let own = party.filter(|party| self.count_of(party) >= limits.party);
        let is_full = self.count() >= limits.maximum;
        let (victim, is_crowd) = match (own, is_full) {
            (Some(party), _) => (self.longest_idle(party, &used_ns), false),
            (None, true) => self.heaviest(&used_ns),
            (None, false) => return Admission::Room,
        };
        match victim {
            Some(slot) if is_crowd || !is_in_use(slot) => Admission::InsteadOf(slot),
            _ => Admission::Refused,
        }
    }

    /// Gives the flow in `slot` a place.
    pub fn enter(&mut self, slot: usize, party: Party, now_ns: u64) {
        self.flows.insert(slot, (party, now_ns));
        self.change(party, |flows| {
            flows.insert((now_ns, slot));
        });
    }

    /// Takes the place of the flow in `slot`.
    pub fn leave(&mut self, slot: usize) {
        if let Some((party, since_ns)) = self.flows.remove(&slot) {
            self.change(party, |flows| {
                flows.remove(&(since_ns, slot));
            });
        }
    }

    fn count_of(&self, party: &Party) -> usize {
        self.parties.get(party).map_or(0, BTreeSet::len)
    }

    /// Changes the flows of a party, and its rank with them.
    fn change(&mut self, party: Party, change: impl FnOnce(&mut BTreeSet<(u64, usize)>)) {
        let flows = self.parties.entry(party).or_default();
        let rank = |flows: &BTreeSet<(u64, usize)>| Some((flows.len(), Reverse(flows.first()?.0), party));
        if let Some(rank) = rank(flows) {
            self.ranking.remove(&rank);
        }
        change(flows);
        match rank(flows) {
            Some(rank) => drop(self.ranking.insert(rank)),
            None => drop(self.parties.remove(&party)),
        }
    }

    /// Puts the first flow of a party where it belongs, if it was used since. Whether it was.
    fn reorder(&mut self, party: Party, used_ns: impl Fn(usize) -> u64) -> bool {
        let Some(&(since_ns, slot)) = self.parties.get(&party).and_then(BTreeSet::first) else { return false };
        let used_ns = used_ns(slot);
        if used_ns <= since_ns {
            return false;
        }
        self.flows.insert(slot, (party, used_ns));
        self.change(party, |flows| {
            flows.remove(&(since_ns, slot));
            flows.insert((used_ns, slot));
        });
        true
    }

    fn longest_idle(&mut self, party: Party, used_ns: impl Fn(usize) -> u64) -> Option<usize> {
        while self.reorder(party, &used_ns) {}
        self.parties.get(&party)?.first().map(|(_, slot)| *slot)
    }

    /// The flow of the party with most that is idle for longest; and whether that party is a crowd, which gives way in any case.
    fn heaviest(&mut self, used_ns: impl Fn(usize) -> u64) -> (Option<usize>, bool) {
        while let Some(&(count, _, party)) = self.ranking.last() {
            if !self.reorder(party, &used_ns) {
                return (self.longest_idle(party, &used_ns), count >= self.limits.crowd);
            }
        }
        (None, false)
    }
}

#[cfg(test)]
mod tests {
    use super::*;

    const SECOND: u64 = 1_000_000_000;
    const LIMITS: Limits = Limits { maximum: 8, party: 6, crowd: 4, in_use_ns: SECOND };

    fn party(last: u8) -> Party {
        Party::of([192, 0, 2, last].into())
    }

    /// A budget in which the parties 1, 2, … have as many flows as said, each used last at its slot's second.
    fn budget(counts: &[usize]) -> (Budget, impl Fn(usize) -> u64 + Copy) {
        let mut budget = Budget::new(LIMITS);
        let mut slot = 0;
        for (number, count) in counts.iter().enumerate() {
            for _ in 0..*count {
                budget.enter(slot, party(number as u8 + 1), 0);
                slot += 1;
            }
        }
        (budget, |slot| slot as u64 * SECOND)
    }

    const NOW: u64 = 100 * SECOND;

    #[test]
    fn there_is_room_until_the_budget_is_used_up() {
        let (mut budget, used) = budget(&[5, 2]);
        assert_eq!(budget.admit(Some(party(1)), NOW, used), Admission::Room);
        assert_eq!(budget.admit(None, NOW, used), Admission::Room);
        budget.leave(0);
        assert_eq!(budget.count(), 6);
        budget.leave(0);
        assert_eq!(budget.count(), 6, "it has left");
    }

    #[test]
    fn the_longest_idle_flow_of_the_party_with_most_gives_way() {
        let (mut full, used) = budget(&[2, 5, 1]);
        assert_eq!(full.admit(Some(party(9)), NOW, used), Admission::InsteadOf(2));
        assert_eq!(full.admit(Some(party(1)), NOW, used), Admission::InsteadOf(2));
        // The order is that of use, not of arrival.
        let used = |slot: usize| (50 - slot as u64) * SECOND;
        assert_eq!(full.admit(None, NOW, used), Admission::InsteadOf(6));
        full.leave(6);
        full.enter(8, party(4), 0);
        assert_eq!(full.admit(None, NOW, used), Admission::InsteadOf(5));
    }

    #[test]
    fn of_parties_with_as_many_the_longest_idle_gives_way() {
        let (mut full, _) = budget(&[1; 8]);
        for oldest in [3, 7, 0] {
            let used = |slot| if slot == oldest { SECOND } else { 2 * SECOND };
            let (mut full, _) = budget(&[1; 8]);
            assert_eq!(full.admit(None, NOW, used), Admission::InsteadOf(oldest));
        }
        assert_eq!(full.admit(None, NOW, |_| NOW), Admission::Refused, "all are in use");
    }

    #[test]
    fn a_party_at_its_limit_gives_way_to_itself() {
        let (mut at_limit, used) = budget(&[1, 6]);
        assert_eq!(at_limit.admit(Some(party(2)), NOW, used), Admission::InsteadOf(1));
        assert_eq!(at_limit.admit(Some(party(3)), NOW, used), Admission::Room);
        assert_eq!(at_limit.admit(Some(party(2)), NOW, |_| NOW), Admission::Refused, "all of it is in use");
    }

    #[test]
    fn a_crowd_gives_way_in_use_or_not() {
        let (mut full, _) = budget(&[4, 2, 2]);
        assert_eq!(full.admit(Some(party(9)), NOW, |_| NOW), Admission::InsteadOf(0));
        let (mut full, _) = budget(&[3, 3, 2]);
        assert_eq!(full.admit(Some(party(9)), NOW, |_| NOW), Admission::Refused);
    }

    #[test]
    fn a_network_of_ipv6_is_one_party() {
        let of = |text: &str| Party::of(text.parse().expect("an address"));
        assert_eq!(of("2001:db8::1"), of("2001:db8::ffff:1"));
        assert_ne!(of("2001:db8::1"), of("2001:db8:0:1::1"));
        assert_eq!(of("::ffff:192.0.2.1"), of("192.0.2.1"));
        assert_ne!(of("192.0.2.1"), of("192.0.2.2"));
    }
}

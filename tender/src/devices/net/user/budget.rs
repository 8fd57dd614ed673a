//! Places for flows, and the choice of the flow that gives way when there are no more.
//!
//! Clients of published TCP ports, clients of published UDP ports, flows that the guest opens itself, and its DNS queries have
//! a budget each, so that none takes the others' places. Within a budget, places are shared among parties: the addresses of
//! clients, or the protocols of the guest's flows. A party beyond its limit gives way to itself; when a budget is used up, the
//! party with the most places does. The flow that ends is the one that has been idle for longest.

use super::packet::Protocol;
use std::cmp::Reverse;
use std::collections::{BTreeSet, HashMap};
use std::net::{IpAddr, Ipv6Addr};

/// Party that shares the places of a budget.
#[derive(Clone, Copy, Debug, PartialEq, Eq, Hash, PartialOrd, Ord)]
pub enum Party {
    /// A client. All addresses of an IPv6 /64 are one party, because one machine can use as many of them as it likes.
    Address(IpAddr),
    /// Flows of one protocol, opened by the guest.
    Protocol(Protocol),
}

impl Party {
    /// Returns the party of a client.
    pub fn of(peer: IpAddr) -> Self {
        Self::Address(match peer.to_canonical() {
            IpAddr::V6(address) => IpAddr::V6(Ipv6Addr::from(u128::from(address) >> 64 << 64)),
            address => address,
        })
    }
}

/// Number of places, and rules of sharing them.
#[derive(Clone, Copy, Debug, PartialEq, Eq)]
pub struct Limits {
    /// Number of places.
    pub maximum: usize,
    /// Most places for one party.
    pub party: usize,
    /// Number of places from which on a party gives way even by a flow in use.
    pub crowd: usize,
    /// Time since the last use below which a flow is in use, in nanoseconds.
    pub in_use_ns: u64,
}

/// Decision about a new flow.
#[derive(Clone, Copy, Debug, PartialEq, Eq)]
pub enum Admission {
    /// There is a place.
    Room,
    /// There is a place if the flow in this slot ends.
    InsteadOf(usize),
    /// There is no place, because the flows that could give way are in use.
    Refused,
}

/// A budget.
#[derive(Debug)]
pub struct Budget {
    limits: Limits,
    /// Party of each flow, by its slot, and the time by which the flow is sorted.
    flows: HashMap<usize, (Party, u64)>,
    /// Flows of each party, sorted by last known use: a flow that was used since is sorted in again when it comes first.
    parties: HashMap<Party, BTreeSet<(u64, usize)>>,
    /// Parties: the last has the most flows, and among equals the one with the longest idle first flow.
    ranking: BTreeSet<(usize, Reverse<u64>, Party)>,
}

impl Budget {
    /// Creates a budget without flows.
    pub fn new(limits: Limits) -> Self {
        Self { limits, flows: HashMap::new(), parties: HashMap::new(), ranking: BTreeSet::new() }
    }

    /// Number of flows.
    pub fn count(&self) -> usize {
        self.flows.len()
    }

    /// Decides at `now_ns` about a new flow of `party`, or, if `None`, of a party not known yet. `used_ns` returns the time of
    /// the last use of the flow in a slot.
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

    /// Frees the place of the flow in `slot`.
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

    /// Changes the flows of a party, and updates its rank.
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

    /// Sorts the first flow of a party in again, if it was used since. Returns true if it was.
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

    /// Returns the longest idle flow of the party with the most flows, and true if that party is a crowd, which gives way in
    /// any case.
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

    /// A budget in which the parties 1, 2, … have `counts` flows, each used last at its slot's second.
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

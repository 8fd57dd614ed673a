//! How long to look for what may follow at once, before one sleeps for it: as being woken is dear, a look that finds
//! something is worth it. If none does, it is time that somebody else could use. So this is learned.

/// How long to look at most, in nanoseconds: about what it costs to be woken.
const MAXIMUM_NS: u64 = 30_000;
/// How long is too short to be worth it, in nanoseconds.
const MINIMUM_NS: u64 = 1_000;
/// So many times without a look are followed by one with it.
const TIMES: u64 = 64;

/// What one has learned.
#[derive(Debug)]
pub struct Patience {
    /// How long to look the next time, in nanoseconds; below [`MINIMUM_NS`], how often that was not done.
    look_ns: u64,
}

impl Default for Patience {
    fn default() -> Self {
        Self { look_ns: MAXIMUM_NS }
    }
}

impl Patience {
    /// How long to look this time, in nanoseconds; 0 for not at all.
    pub fn look_ns(&mut self) -> u64 {
        if self.look_ns >= MINIMUM_NS {
            return self.look_ns;
        }
        self.look_ns = if self.look_ns < TIMES { self.look_ns + 1 } else { MAXIMUM_NS };
        0
    }

    /// Learns what came of a look.
    pub fn learn(&mut self, found: bool) {
        let less = self.look_ns * 3 / 4;
        self.look_ns = match found {
            true => (self.look_ns * 2).min(MAXIMUM_NS),
            false if less < MINIMUM_NS => 0,
            false => less,
        };
    }
}

#[cfg(test)]
mod tests {
    use super::*;

    #[test]
    fn looks_that_find_nothing_become_shorter_and_then_rare() {
        let mut patience = Patience::default();
        let mut before = u64::MAX;
        loop {
            let look_ns = patience.look_ns();
            if look_ns == 0 {
                break;
            }
            assert!(look_ns < before);
            before = look_ns;
            patience.learn(false);
        }
        let not_at_all = (0..).take_while(|_| patience.look_ns() == 0).count() as u64;
        assert_eq!(not_at_all, TIMES);
        assert_eq!(patience.look_ns(), MAXIMUM_NS);
    }

    #[test]
    fn looks_that_find_something_become_longer() {
        let mut patience = Patience::default();
        (0..5).for_each(|_| patience.learn(false));
        let short = patience.look_ns();
        patience.learn(true);
        assert_eq!(patience.look_ns(), short * 2);
        patience.learn(true);
        patience.learn(true);
        assert_eq!(patience.look_ns(), MAXIMUM_NS);
    }
}

//! Random bytes: ChaCha20, seeded once with entropy from the tender.

use rand_chacha::ChaCha20Rng;
use rand_chacha::rand_core::{Rng, SeedableRng};

/// Generator of all random bytes in the guest.
#[derive(Debug)]
pub struct Random {
    /// Seed for the first use: most programs never have one.
    entropy: [u8; 32],
    generator: Option<ChaCha20Rng>,
}

impl Random {
    /// A generator from `entropy`, which must serve no other purpose.
    pub fn new(entropy: [u8; 32]) -> Self {
        Self { entropy, generator: None }
    }

    /// Fills `bytes`.
    pub fn fill(&mut self, bytes: &mut [u8]) {
        let entropy = &mut self.entropy;
        self.generator.get_or_insert_with(|| ChaCha20Rng::from_seed(core::mem::take(entropy))).fill_bytes(bytes);
    }
}

#[cfg(test)]
mod tests {
    use super::*;

    #[test]
    fn zero_entropy_gives_the_published_key_stream() {
        let mut bytes = [0; 8];
        Random::new([0; 32]).fill(&mut bytes);
        // ChaCha20 with key, nonce and counter zero: RFC 8439, A.1, test vector 1.
        assert_eq!(bytes, [0x76, 0xb8, 0xe0, 0xad, 0xa0, 0xf1, 0x3d, 0x90]);
    }
}

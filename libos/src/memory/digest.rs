//! Digests of pages, by which changes that a program makes through a mapping are found.
//!
//! NH, the universal hash of UMAC and VMAC: the sum of products of words, to each of which a word of the key is added. Two pages that
//! differ have the same digest for one key of 2^64; the key is random, and nothing outside the guest knows it.

#![expect(unsafe_code, reason = "words are read by address, because the program may write to them at any time")]

use super::window::Bytes;
use alloc::boxed::Box;
use husk::abi::memory::PAGE;

/// Words of a page.
const WORDS: usize = PAGE as usize / size_of::<u64>();

/// Digest of a page.
pub type Digest = u128;

/// Key of the digests.
#[derive(Debug)]
pub struct Key(Box<[u64; WORDS]>);

impl Key {
    /// Returns a key of random bytes, which `fill` produces.
    pub fn new(fill: impl FnOnce(&mut [u8])) -> Self {
        let mut bytes = Box::new([0; PAGE as usize]);
        fill(&mut bytes[..]);
        let mut words = Box::new([0; WORDS]);
        for (word, bytes) in words.iter_mut().zip(bytes.as_chunks().0) {
            *word = u64::from_ne_bytes(*bytes);
        }
        Self(words)
    }

    /// Digest of the page that these bytes are.
    pub fn digest(&self, page: &[u8]) -> Digest {
        let mut words = page.as_chunks().0.iter().map(|bytes| u64::from_ne_bytes(*bytes));
        self.sum(|| words.next().unwrap_or(0))
    }

    /// Digest of the whole page that is this part of a window.
    pub fn digest_of(&self, page: Bytes) -> Digest {
        debug_assert_eq!(page.length(), PAGE);
        let mut next = page.pointer().cast::<u64>().cast_const();
        self.sum(|| {
            // SAFETY: `Window::part` made sure that the libos can read the page, which is aligned and has as many words as are read.
            let word = unsafe { next.read_volatile() };
            next = next.wrapping_add(1);
            word
        })
    }

    fn sum(&self, mut next: impl FnMut() -> u64) -> Digest {
        let mut sum: u128 = 0;
        for [one, other] in self.0.as_chunks().0 {
            let (one, other) = (next().wrapping_add(*one), next().wrapping_add(*other));
            sum = sum.wrapping_add(u128::from(one) * u128::from(other));
        }
        sum
    }
}

#[cfg(test)]
mod tests {
    use super::*;
    use crate::memory::window::Window;
    use husk::abi::memory::Rights;

    #[test]
    fn each_word_counts() {
        let mut state = 1u8;
        let key = Key::new(|bytes| {
            bytes.iter_mut().for_each(|byte| {
                state = state.wrapping_mul(29).wrapping_add(17);
                *byte = state;
            });
        });
        let zeros = key.digest(&[0; PAGE as usize]);
        // Miri takes seconds for each.
        for at in (0..PAGE as usize).step_by(if cfg!(miri) { 1021 } else { 1 }) {
            let mut page = [0; PAGE as usize];
            page[at] = 1;
            assert_ne!(key.digest(&page), zeros, "{at}");
        }
        let window = Window::reserve([PAGE; 2]).expect("memory");
        assert_eq!(key.digest_of(window.part(0, PAGE, Rights::READ)), zeros);
    }
}

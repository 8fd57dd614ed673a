//! Memory that a guest gets: the operator's value, else the size that its image asks for, up to a bound.
//!
//! Memory is all that an image can ask for and get by itself: devices are the operator's to attach, and stack, heap and
//! threads lie within the memory.

use crate::image::Image;
use crate::size::Size;
use husk_abi::size;
use std::fmt;

/// Bytes that an image gets because it asks for them, unless the operator bounds it otherwise: the size that an ordinary
/// program of `cargo husk` asks for.
pub const MAXIMUM: u64 = 512 << 20;

/// The operator's settings for a guest's memory.
#[derive(Clone, Copy, Debug, PartialEq, Eq)]
pub struct Grant {
    /// Bytes, whatever the image asks for.
    pub memory: Option<u64>,
    /// Most bytes that an image gets because it asks for them. `memory` is not bounded by this.
    pub maximum: u64,
}

impl Default for Grant {
    fn default() -> Self {
        Self { memory: None, maximum: MAXIMUM }
    }
}

impl Grant {
    /// Returns the bytes that a guest of this image gets.
    pub fn to(self, image: &Image) -> Result<u64, OverMaximum> {
        let asked = image.notes.manifest.memory;
        match self.memory {
            Some(memory) => Ok(memory),
            None if asked > self.maximum => Err(OverMaximum { asked, maximum: self.maximum }),
            None => Ok(asked),
        }
    }
}

/// An image asks for more memory than it gets without the operator.
#[derive(Clone, Copy, Debug, PartialEq, Eq)]
pub struct OverMaximum {
    asked: u64,
    maximum: u64,
}

impl fmt::Display for OverMaximum {
    fn fmt(&self, f: &mut fmt::Formatter<'_>) -> fmt::Result {
        let (asked, maximum) = (Size(self.asked), Size(self.maximum));
        write!(
            f,
            "asks for {asked} of memory, where an image gets at most {maximum} by itself; allow it with --memory-max {asked}, or set --memory"
        )
    }
}

/// Reads the bound: a size, or `none`.
pub fn parse(text: &str) -> Result<u64, String> {
    match text {
        "none" => Ok(u64::MAX),
        _ => size::parse(text).map_err(|error| format!("{error}, or none")),
    }
}

#[cfg(test)]
mod tests {
    use super::*;
    use crate::fuzz::sample;
    use husk_abi::memory::{PAGE, Region};

    #[test]
    fn an_image_gets_what_it_asks_for_up_to_the_bound_and_the_operator_decides() {
        let mut image = sample::image(true, Region { start: 0, length: PAGE }, 1 << 20);
        let mut grant = |asked: u64, memory, maximum| {
            image.notes.manifest.memory = asked;
            Grant { memory, maximum }.to(&image).ok()
        };
        assert_eq!(grant(MAXIMUM, None, MAXIMUM), Some(MAXIMUM));
        assert_eq!(grant(MAXIMUM + 1, None, MAXIMUM), None);
        assert_eq!(grant(u64::MAX, None, MAXIMUM), None);
        assert_eq!(grant(u64::MAX, None, u64::MAX), Some(u64::MAX));
        assert_eq!(grant(64 << 20, None, 32 << 20), None);
        assert_eq!(grant(u64::MAX, Some(1 << 30), 32 << 20), Some(1 << 30));
    }

    #[test]
    fn bounds_are_read() {
        assert_eq!((parse("1G"), parse("none")), (Ok(1 << 30), Ok(u64::MAX)));
        for wrong in ["", "all", "0", "lots"] {
            assert!(parse(wrong).is_err_and(|error| error.ends_with(", or none")), "{wrong}");
        }
    }
}

//! Sizes in the form that people write.

use std::fmt;

/// A number of bytes for people: `64M`, as --memory takes it.
pub struct Size(pub u64);

impl fmt::Display for Size {
    fn fmt(&self, f: &mut fmt::Formatter<'_>) -> fmt::Result {
        for (unit, letter) in [(1 << 30, 'G'), (1 << 20, 'M'), (1 << 10, 'K')] {
            if self.0 >= unit && self.0.is_multiple_of(unit) {
                return write!(f, "{}{letter}", self.0 / unit);
            }
        }
        write!(f, "{}", self.0)
    }
}

#[cfg(test)]
mod tests {
    use super::*;

    #[test]
    fn sizes_read_as_they_are_given() {
        assert_eq!(Size(64 << 20).to_string(), "64M");
        assert_eq!(Size(3 << 30).to_string(), "3G");
        assert_eq!(Size(4097).to_string(), "4097");
    }
}

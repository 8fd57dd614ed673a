//! Sizes as people write them: `64M`, `1G`, `8192`, `512 KiB`.

use crate::error::{Error, Result};

/// Reads a size in bytes. K, M and G are powers of 1024.
pub fn parse(text: &str) -> Result<u64> {
    let text = text.trim();
    let digits = text.find(|character: char| !character.is_ascii_digit()).unwrap_or(text.len());
    let (number, unit) = text.split_at(digits);
    let shift = match unit.trim().to_ascii_uppercase().as_str() {
        "" | "B" => 0,
        "K" | "KB" | "KIB" => 10,
        "M" | "MB" | "MIB" => 20,
        "G" | "GB" | "GIB" => 30,
        _ => return Err(Error::new("it is not a size; write a number and K, M or G, such as 64M")),
    };
    let number: u64 = number.parse().map_err(|_| Error::new("it is not a size; write a number first, such as 64M"))?;
    match number.checked_mul(1 << shift) {
        Some(0) => Err(Error::new("a size of nothing makes no sense")),
        Some(bytes) => Ok(bytes),
        None => Err(Error::new("it is larger than any machine")),
    }
}

#[cfg(test)]
mod tests {
    use super::*;

    #[test]
    fn units_are_powers_of_1024() {
        assert_eq!(parse("8192").ok(), Some(8192));
        assert_eq!(parse("64M").ok(), Some(64 << 20));
        assert_eq!(parse(" 2 GiB").ok(), Some(2 << 30));
        assert_eq!(parse("3k").ok(), Some(3 << 10));
    }

    #[test]
    fn nonsense_is_refused() {
        for text in ["", "M", "0", "1.5G", "64MM", "-1", "99999999999G"] {
            assert!(parse(text).is_err(), "{text}");
        }
    }
}

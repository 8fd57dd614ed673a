//! Sizes in human notation, on the command lines of both tools and in a package's manifest: `64M`, `1G`, `8192`, `512 KiB`.

use core::fmt;

/// Reason why a text is no size.
#[derive(Clone, Copy, Debug, PartialEq, Eq)]
#[expect(missing_docs, reason = "each is explained by its message below")]
pub enum NotSize {
    NoNumber,
    NoUnit,
    Nothing,
    TooLarge,
}

impl fmt::Display for NotSize {
    fn fmt(&self, f: &mut fmt::Formatter<'_>) -> fmt::Result {
        f.write_str(match self {
            Self::NoNumber => "it is not a size; write a number first, such as 64M",
            Self::NoUnit => "it is not a size; write a number and K, M, G or T, such as 64M",
            Self::Nothing => "a size of nothing makes no sense",
            Self::TooLarge => "it is larger than any machine",
        })
    }
}

/// Parses a size in bytes. K, M, G and T are powers of 1024.
pub fn parse(text: &str) -> Result<u64, NotSize> {
    const UNITS: [&[&str]; 5] =
        [&["", "B"], &["K", "KB", "KiB"], &["M", "MB", "MiB"], &["G", "GB", "GiB"], &["T", "TB", "TiB"]];
    let text = text.trim();
    let digits = text.find(|character: char| !character.is_ascii_digit()).unwrap_or(text.len());
    let (number, unit) = text.split_at(digits);
    let unit = unit.trim();
    let is = |names: &&[&str]| names.iter().any(|name| name.eq_ignore_ascii_case(unit));
    if number.is_empty() {
        return Err(NotSize::NoNumber);
    }
    let power = UNITS.iter().position(is).ok_or(NotSize::NoUnit)?;
    let number: u64 = number.parse().map_err(|_| NotSize::TooLarge)?;
    match number.checked_mul(1 << (10 * power)) {
        Some(0) => Err(NotSize::Nothing),
        Some(bytes) => Ok(bytes),
        None => Err(NotSize::TooLarge),
    }
}

#[cfg(test)]
mod tests {
    use super::*;

    #[test]
    fn units_are_powers_of_1024() {
        assert_eq!(parse("8192"), Ok(8192));
        assert_eq!(parse("64M"), Ok(64 << 20));
        assert_eq!(parse(" 2 GiB"), Ok(2 << 30));
        assert_eq!(parse("3k"), Ok(3 << 10));
        assert_eq!(parse("1T"), Ok(1 << 40));
    }

    #[test]
    fn nonsense_is_refused() {
        for (text, why) in [
            ("", NotSize::NoNumber),
            ("M", NotSize::NoNumber),
            ("-1", NotSize::NoNumber),
            ("1.5G", NotSize::NoUnit),
            ("64MM", NotSize::NoUnit),
            ("12X", NotSize::NoUnit),
            ("0", NotSize::Nothing),
            ("99999999999G", NotSize::TooLarge),
            ("99999999999999999999", NotSize::TooLarge),
        ] {
            assert_eq!(parse(text), Err(why), "{text}");
        }
    }
}

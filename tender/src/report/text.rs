//! Text from an untrusted file, made fit for a terminal.

use std::fmt;

/// Most characters shown of one name, path or line.
const SHOWN_MAXIMUM: usize = 512;

/// Marks of a terminal around an important part (ECMA-48, 8.3.117).
pub const BOLD: &str = "\x1b[1m";
pub const PLAIN: &str = "\x1b[0m";

/// Returns what goes before and after an important part: nothing, without colour.
pub const fn bold(colour: bool) -> (&'static str, &'static str) {
    if colour { (BOLD, PLAIN) } else { ("", "") }
}

/// Shows text without characters that could control a terminal or reorder a line, cut to a length that a person can read.
pub struct Clean<'t>(pub &'t str);

impl fmt::Display for Clean<'_> {
    fn fmt(&self, f: &mut fmt::Formatter<'_>) -> fmt::Result {
        use fmt::Write;
        for (count, character) in self.0.chars().enumerate() {
            match character {
                _ if count == SHOWN_MAXIMUM => return f.write_char('…'),
                '\t' => f.write_char(' ')?,
                _ if character.is_control() || reorders(character) => f.write_char(char::REPLACEMENT_CHARACTER)?,
                _ => f.write_char(character)?,
            }
        }
        Ok(())
    }
}

/// Bidirectional controls (Unicode Standard Annex 9).
fn reorders(character: char) -> bool {
    matches!(character, '\u{200e}' | '\u{200f}' | '\u{202a}'..='\u{202e}' | '\u{2066}'..='\u{2069}')
}

/// A symbol's name as its author wrote it, without the hash at its end.
pub fn demangle(name: &str) -> String {
    match rustc_demangle::try_demangle(name) {
        Ok(demangled) => {
            use fmt::Write;
            // A short mangled name can expand to a very long one.
            let mut text = Limited(String::new());
            let _ = write!(text, "{demangled:#}");
            text.0
        }
        Err(_) => name.to_string(),
    }
}

/// A writer that takes text up to a limit and then refuses.
struct Limited(String);

impl fmt::Write for Limited {
    fn write_str(&mut self, text: &str) -> fmt::Result {
        self.0.push_str(text);
        if self.0.len() > 4 * SHOWN_MAXIMUM { Err(fmt::Error) } else { Ok(()) }
    }
}

/// Bytes as hexadecimal digits.
pub fn hexadecimal(bytes: &[u8]) -> String {
    bytes.iter().map(|byte| format!("{byte:02x}")).collect()
}

#[cfg(test)]
mod tests {
    use super::*;

    #[test]
    fn nothing_reaches_the_terminal_but_text() {
        assert_eq!(Clean("a\x1b[2Jb\u{202e}c\u{9b}d\ne").to_string(), "a�[2Jb�c�d�e");
        assert_eq!(Clean(&"x".repeat(5000)).to_string().chars().count(), SHOWN_MAXIMUM + 1);
        assert_eq!(Clean("grün::λ").to_string(), "grün::λ");
    }

    #[test]
    fn names_are_demangled() {
        assert_eq!(demangle("_RNvC6_123foo3bar"), "123foo::bar");
        assert_eq!(demangle("_ZN4core3fmt5Write9write_fmt17h0123456789abcdefE"), "core::fmt::Write::write_fmt");
        assert_eq!(demangle("memcpy"), "memcpy");
    }
}

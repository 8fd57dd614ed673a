//! Guest output made safe for a trusted terminal: no byte of it drives the terminal, which could otherwise be made to hide, to
//! lie, or to type (`--console escaped`).

use std::fmt::Write;

/// Most bytes of a character without its last one.
const CUT_MAXIMUM: usize = 3;

/// Turns the bytes of a stream, piece by piece, into text without control characters.
///
/// A character that is cut by the end of a piece waits for the next.
#[derive(Debug, Default)]
pub struct Escape {
    /// First bytes of a cut character, at most [`CUT_MAXIMUM`].
    cut: Vec<u8>,
}

impl Escape {
    /// First bytes of a character that was cut.
    pub fn cut(&self) -> &[u8] {
        &self.cut
    }

    /// Continues after these bytes, if a character can be cut there; else after none.
    pub fn at(cut: &[u8]) -> Self {
        let cut = if cut.len() <= CUT_MAXIMUM && is_cut(cut) { cut.to_vec() } else { Vec::new() };
        Self { cut }
    }

    /// Returns the next piece, safe to show.
    pub fn piece(&mut self, bytes: &[u8]) -> String {
        let mut all = std::mem::take(&mut self.cut);
        all.extend_from_slice(bytes);
        let mut shown = String::with_capacity(all.len());
        let mut chunks = all.utf8_chunks().peekable();
        while let Some(chunk) = chunks.next() {
            chunk.valid().chars().for_each(|character| show(character, &mut shown));
            if chunks.peek().is_none() && is_cut(chunk.invalid()) {
                self.cut = chunk.invalid().to_vec();
                break;
            }
            chunk.invalid().iter().for_each(|byte| show_byte(*byte, &mut shown));
        }
        shown
    }
}

/// Returns true if this can be the beginning of a character.
fn is_cut(bytes: &[u8]) -> bool {
    !bytes.is_empty() && std::str::from_utf8(bytes).is_err_and(|error| error.error_len().is_none())
}

fn show(character: char, shown: &mut String) {
    match character {
        '\n' | '\t' => shown.push(character),
        // Writing to a string cannot fail.
        _ if character.is_control() || reorders(character) => _ = write!(shown, "{}", character.escape_unicode()),
        _ => shown.push(character),
    }
}

fn show_byte(byte: u8, shown: &mut String) {
    let _ = write!(shown, "\\x{byte:02x}");
}

/// Marks that change the order in which text is shown (Unicode Standard Annex 9), and separators of lines.
fn reorders(character: char) -> bool {
    matches!(character, '\u{61c}' | '\u{200e}' | '\u{200f}' | '\u{2028}'..='\u{202e}' | '\u{2066}'..='\u{2069}')
}

#[cfg(test)]
mod tests {
    use super::*;

    fn whole(bytes: &[u8]) -> String {
        Escape::default().piece(bytes)
    }

    #[test]
    fn text_stays_as_it_is_and_what_drives_a_terminal_is_shown() {
        assert_eq!(whole("grün\tλ\n".as_bytes()), "grün\tλ\n");
        assert_eq!(whole(b"\x1b]0;title\x07\r"), "\\u{1b}]0;title\\u{7}\\u{d}");
        assert_eq!(whole("\u{9b}2J \u{202e}x".as_bytes()), "\\u{9b}2J \\u{202e}x");
        assert_eq!(whole(b"\x9b2J\xff."), "\\x9b2J\\xff.");
    }

    #[test]
    fn a_character_may_come_in_pieces() {
        let mut escape = Escape::default();
        assert_eq!(escape.piece(&[b'a', 0xe2, 0x82]), "a");
        assert_eq!(escape.piece(&[0xac, b'b', 0xf0]), "€b");
        // The next byte does not continue the cut character.
        assert_eq!(escape.piece(b"c"), "\\xf0c");
        assert_eq!((escape.piece(&[0xc2]), escape.piece(&[0x9b])), (String::new(), "\\u{9b}".to_owned()));
    }

    #[test]
    fn no_bytes_make_control_characters() {
        let mut escape = Escape::default();
        let mut state = 1_u32;
        for length in 0..2000 {
            let bytes: Vec<u8> = (0..length % 7)
                .map(|_| {
                    state = state.wrapping_mul(1_664_525).wrapping_add(1_013_904_223);
                    (state >> 24) as u8
                })
                .collect();
            let shown = escape.piece(&bytes);
            assert!(!shown.chars().any(|shown| shown.is_control() && shown != '\n' && shown != '\t'), "{bytes:?}");
        }
    }
}

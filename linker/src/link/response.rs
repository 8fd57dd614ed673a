//! Response files: `@file` on a command line stands for the words in that file.
//!
//! rustc uses one when a command line grows too long for the system. Words are separated by white space; a backslash
//! takes the next character as it is, quotes keep white space (gcc's and lld's rules for GNU systems agree on that).

use crate::error::{Error, Result};
use std::ffi::{OsStr, OsString};
use std::fs;
use std::os::unix::ffi::{OsStrExt, OsStringExt};
use std::path::Path;

/// A command line longer than this goes through a response file: far below what Linux takes, environment included.
const LONG: usize = 64 << 10;

/// Returns `arguments` with response files replaced by their contents.
pub fn expand(arguments: Vec<OsString>) -> Result<Vec<OsString>> {
    let mut expanded = Vec::new();
    for argument in arguments {
        match argument.as_bytes() {
            [b'@', name @ ..] if Path::new(OsStr::from_bytes(name)).is_file() => {
                let path = Path::new(OsStr::from_bytes(name));
                let text = fs::read(path).map_err(|error| Error::file("read", path, error))?;
                expanded.extend(words(&text));
            }
            _ => expanded.push(argument),
        }
    }
    Ok(expanded)
}

/// Returns `arguments`, or if they are long, one that names a response file in `folder` with their content.
pub fn shorten(arguments: Vec<OsString>, folder: &Path) -> Result<Vec<OsString>> {
    if arguments.iter().map(|argument| argument.len() + 1).sum::<usize>() < LONG {
        return Ok(arguments);
    }
    let path = folder.join("words");
    fs::write(&path, quote(&arguments)).map_err(|error| Error::file("write", &path, error))?;
    let mut argument = OsString::from("@");
    argument.push(path);
    Ok(vec![argument])
}

/// Returns the words of a response file.
fn words(text: &[u8]) -> Vec<OsString> {
    let mut words = Vec::new();
    let mut word: Option<Vec<u8>> = None;
    let mut quoted_by = None;
    let mut bytes = text.iter().copied();
    while let Some(byte) = bytes.next() {
        match byte {
            b'\\' => word.get_or_insert_default().extend(bytes.next()),
            b'"' | b'\'' if quoted_by == Some(byte) => quoted_by = None,
            b'"' | b'\'' if quoted_by.is_none() => {
                quoted_by = Some(byte);
                word.get_or_insert_default();
            }
            byte if byte.is_ascii_whitespace() && quoted_by.is_none() => words.extend(word.take()),
            byte => word.get_or_insert_default().push(byte),
        }
    }
    words.extend(word);
    words.into_iter().map(OsString::from_vec).collect()
}

/// Returns the text of a response file with these words.
fn quote(words: &[OsString]) -> Vec<u8> {
    let mut text = Vec::new();
    for word in words {
        for &byte in word.as_bytes() {
            if byte.is_ascii_whitespace() || matches!(byte, b'\\' | b'"' | b'\'') {
                text.push(b'\\');
            }
            text.push(byte);
        }
        text.push(b'\n');
    }
    text
}

#[cfg(test)]
mod tests {
    use super::*;

    #[test]
    fn what_is_quoted_reads_back() {
        let original = ["-o", "/a folder/out", r"back\slash", "qu\"o'te", "-Wl,-z,now"].map(OsString::from).to_vec();
        assert_eq!(words(&quote(&original)), original);
    }

    #[test]
    fn quotes_and_escapes_are_understood() {
        assert_eq!(words(b"a\\ b \"c d\"'e f'\n\n g \"\""), ["a b", "c de f", "g", ""].map(OsString::from));
    }
}

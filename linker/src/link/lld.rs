//! Linking without a C compiler: translation of a driver's words for `rust-lld`.
//!
//! rustc gives start files and libraries by path and asks the driver for no libraries of its own, so little is left to
//! translate.

use super::line::Word;
use crate::error::{Error, Result};
use std::ffi::OsString;

/// Start of a program with a fixed place, as with other linkers; lld's default is where the tender has its own pages.
pub const FIXED_BASE: &str = "--image-base=0x400000";

/// Translates `words` for lld, or for a link editor that the user has chosen and has written options for.
pub fn translate(words: &[Word], is_chosen: bool) -> Result<Vec<OsString>> {
    let mut translated = Vec::new();
    for word in words {
        match word {
            Word::Editor(word) => translated.push(word.clone()),
            Word::Driver(word) => translate_driver(word.clone(), is_chosen, &mut translated)?,
        }
    }
    if !translated.iter().any(|word| word == "-pie" || word == "--pie") {
        translated.push(FIXED_BASE.into());
    }
    Ok(translated)
}

fn translate_driver(word: OsString, is_chosen: bool, translated: &mut Vec<OsString>) -> Result<()> {
    let text = word.to_string_lossy();
    match &*text {
        "-static-pie" => {
            translated.extend(["-static", "-pie", "--no-dynamic-linker", "-z", "text"].map(OsString::from))
        }
        "-rdynamic" => translated.push("--export-dynamic".into()),
        "-nostartfiles" | "-nodefaultlibs" | "-nostdlib" | "-nolibc" | "-pthread" | "-pipe" => {}
        // Objects are compiled, and a link editor is chosen: these options have no effect any more.
        option if ["-m", "-f", "-g", "-O", "-B", "-W"].iter().any(|start| option.starts_with(start)) => {}
        "-static" | "-pie" | "-no-pie" | "-u" | "-T" | "-L" | "-l" | "-z" | "-e" => translated.push(word),
        option if ["-L", "-l", "-u", "-T", "-e"].iter().any(|start| option.starts_with(start)) => translated.push(word),
        option if option.starts_with('-') && !is_chosen => {
            return Err(Error::new(format!(
                "no C compiler 'cc' was found, and '{option}' means nothing to rust-lld: install gcc or clang"
            )));
        }
        _ => translated.push(word),
    }
    Ok(())
}

#[cfg(test)]
mod tests {
    use super::*;

    fn translated(words: &[&str]) -> Result<Vec<OsString>> {
        translate(&words.iter().map(|word| Word::Driver(word.into())).collect::<Vec<_>>(), false)
    }

    #[test]
    fn a_static_pie_line_is_translated() {
        let words = translated(&["-m64", "rcrt1.o", "-nostartfiles", "-L", "/lib", "-lc", "-static-pie", "crtn.o"]);
        let expected = "rcrt1.o -L /lib -lc -static -pie --no-dynamic-linker -z text crtn.o";
        assert_eq!(words.ok(), Some(expected.split(' ').map(OsString::from).collect()));
    }

    #[test]
    fn a_fixed_program_gets_the_usual_place() {
        let words = translated(&["crt1.o", "-static", "-no-pie"]).expect("all known");
        assert_eq!(words.last().map(|word| word == FIXED_BASE), Some(true));
    }

    #[test]
    fn an_unknown_option_is_refused_by_name() {
        let message = translated(&["--coverage"]).expect_err("not an option of lld").to_string();
        assert!(message.contains("'--coverage'"), "{message}");
    }
}

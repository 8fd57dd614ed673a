//! Aliases of subcommands in cargo's configuration: `[alias]`.

use crate::config::{self, Config};
use crate::error::{Error, Result};
use clap::Command;
use std::ffi::OsString;

/// Aliases of aliases end here; cargo refuses those that are longer.
const DEPTH: usize = 16;

/// Returns `words` with what their first word stands for, as long as that is an alias and no subcommand of `command`. As
/// in cargo, the short name of a subcommand (`b`) may be an alias of another meaning.
pub fn follow(command: &Command, mut words: Vec<OsString>) -> Result<Vec<OsString>> {
    let mut config = None;
    for _ in 0..DEPTH {
        let is_subcommand = |name: &str| command.get_subcommands().any(|subcommand| subcommand.get_name() == name);
        let name = match words.first().and_then(|word| word.to_str()) {
            Some(name) if !name.starts_with('-') && !is_subcommand(name) => name.to_owned(),
            _ => return Ok(words),
        };
        let config = config.get_or_insert_with(|| Config::read(&[]));
        let key = ["alias", &name];
        // A string is not joined with others, as a list is.
        let meaning = config.text(&key).map(|text| config::split(&text).collect());
        match meaning.unwrap_or_else(|| config.words(&key)) {
            // clap has the best message about a name that it does not know.
            meaning if meaning.is_empty() => return Ok(words),
            meaning => drop(words.splice(..1, meaning.into_iter().map(OsString::from))),
        }
    }
    Err(Error::new(format!("the alias '{}' in cargo's configuration has no end", words[0].display())))
}

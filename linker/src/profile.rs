//! Settings of a profile for debug information.
//!
//! Crash reports name function, file and line, so a program is compiled with line tables even where its profile does
//! not ask for any; they end up beside the image, not in it. A profile that sets `debug` itself is left alone. cargo
//! has no stable query for that, so this module reads what cargo reads: `Cargo.toml` of the workspace, configuration files
//! from the current folder upwards and in cargo's home, environment variables, and `--config`.

use crate::arguments;
use std::env;
use std::fs;
use std::path::{Path, PathBuf};
use toml::{Table, Value};

/// Settings of the profile that a command line selects.
#[derive(Debug, PartialEq, Eq)]
pub struct Profile {
    /// Name of the profile.
    pub name: String,
    /// True if cargo would by itself compile without debug information, and strip what the standard library has.
    pub is_bare: bool,
    /// True if nothing sets `debug`.
    pub debug_is_unset: bool,
}

impl Profile {
    /// Returns the profile that `flags` select in the workspace at `root`.
    pub fn select(flags: &arguments::Cargo, root: &Path) -> Self {
        let name = match (&flags.profile, flags.release) {
            (Some(name), _) => name.as_str(),
            (None, true) => "release",
            (None, false) => "dev",
        };
        Self::resolve(name, &sources(flags, root))
    }

    /// Follows `inherits` from the profile `name` through `sources`.
    fn resolve(name: &str, sources: &[Table]) -> Self {
        let sets = |profile: &str, key: &str| {
            let variable = format!("CARGO_PROFILE_{}_{}", upper(profile), upper(key));
            env::var_os(variable).is_some() || sources.iter().any(|source| value(source, profile, key).is_some())
        };
        let (mut debug, mut strip) = (false, false);
        let mut current = name.to_owned();
        // More steps than this are a circle, which cargo refuses.
        for _ in 0..32 {
            debug |= sets(&current, "debug");
            strip |= sets(&current, "strip");
            let parent = sources.iter().find_map(|source| value(source, &current, "inherits")?.as_str());
            current = match (parent, current.as_str()) {
                (Some(parent), _) => parent.to_owned(),
                (None, "bench") => "release".to_owned(),
                (None, "test") => "dev".to_owned(),
                (None, _) => break,
            };
        }
        let debug_is_unset = !debug && current == "release";
        Self { name: name.to_owned(), is_bare: debug_is_unset && !strip, debug_is_unset }
    }

    /// Returns the environment variable of cargo that sets `debug` in this profile.
    pub fn debug_variable(&self) -> String {
        format!("CARGO_PROFILE_{}_DEBUG", upper(&self.name))
    }
}

fn upper(name: &str) -> String {
    name.to_uppercase().replace('-', "_")
}

fn value<'a>(source: &'a Table, profile: &str, key: &str) -> Option<&'a Value> {
    source.get("profile")?.get(profile)?.get(key)
}

/// Reads the sources that may set profiles. cargo complains about those that cannot be read.
fn sources(flags: &arguments::Cargo, root: &Path) -> Vec<Table> {
    let current = env::current_dir().unwrap_or_default();
    let home = env::var_os("CARGO_HOME").map(PathBuf::from);
    let home = home.or_else(|| Some(env::home_dir()?.join(".cargo")));
    let folders = current.ancestors().map(|folder| folder.join(".cargo")).chain(home);
    let files = folders.flat_map(|folder| [folder.join("config.toml"), folder.join("config")]);
    let given = flags.config.iter().map(|value| fs::read_to_string(value).unwrap_or_else(|_| value.clone()));
    let texts = std::iter::once(root.join("Cargo.toml")).chain(files).filter_map(|path| fs::read_to_string(path).ok());
    texts.chain(given).filter_map(|text| text.parse().ok()).collect()
}

#[cfg(test)]
mod tests {
    use super::*;

    fn profile(name: &str, manifest: &str) -> (bool, bool) {
        let profile = Profile::resolve(name, &[manifest.parse().expect("is TOML")]);
        (profile.debug_is_unset, profile.is_bare)
    }

    #[test]
    fn a_plain_release_is_bare_and_dev_is_not() {
        assert_eq!(profile("release", ""), (true, true));
        assert_eq!(profile("bench", ""), (true, true));
        assert_eq!(profile("dev", ""), (false, false));
    }

    #[test]
    fn what_a_profile_sets_is_left_alone() {
        assert_eq!(profile("release", "profile.release.debug = 1"), (false, false));
        assert_eq!(profile("release", "profile.release.debug = false"), (false, false));
        assert_eq!(profile("release", "profile.release.strip = false"), (true, false));
        assert_eq!(profile("release", "profile.dev.debug = 1"), (true, true));
    }

    #[test]
    fn inherited_settings_count() {
        let manifest = "[profile.dist]\ninherits = 'release'\n[profile.small]\ninherits = 'dist'\n";
        assert_eq!(profile("small", manifest), (true, true));
        assert_eq!(profile("small", &format!("{manifest}[profile.release]\ndebug = 2")), (false, false));
        assert_eq!(profile("fast", "[profile.fast]\ninherits = 'dev'"), (false, false));
    }

    #[test]
    fn a_circle_ends() {
        assert_eq!(profile("a", "[profile.a]\ninherits = 'b'\n[profile.b]\ninherits = 'a'"), (false, false));
    }
}

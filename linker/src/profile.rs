//! Settings of a profile for debug information.
//!
//! Crash reports name function, file and line, so a program is compiled with line tables even where its profile does
//! not ask for any; they end up beside the image, not in it. A profile that sets `debug` itself is left alone. Profiles
//! are in cargo's configuration, and after it in `Cargo.toml` of the workspace.

use crate::arguments;
use crate::config::Config;
use std::fs;
use std::path::Path;
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
    /// Returns the profile that `flags` of `cargo <subcommand>` select in the workspace at `root`, if it is known.
    pub fn select(subcommand: &str, flags: &arguments::Cargo, config: &Config, root: Option<&Path>) -> Self {
        let name = match (&flags.profile, flags.release, subcommand) {
            (Some(name), ..) => name.as_str(),
            (None, true, _) => "release",
            (None, false, "test") => "test",
            (None, false, "bench") => "bench",
            (None, false, "install") => "release",
            (None, false, _) => "dev",
        };
        // cargo complains about a manifest that cannot be read.
        let manifest = root.and_then(|root| fs::read_to_string(root.join("Cargo.toml")).ok()?.parse().ok());
        Self::resolve(name, config, &manifest.unwrap_or_default())
    }

    /// Follows `inherits` from the profile `name` through a configuration and a manifest.
    fn resolve(name: &str, config: &Config, manifest: &Table) -> Self {
        let sets = |profile: &str, key: &str| {
            config.sets(&["profile", profile, key]) || value(manifest, profile, key).is_some()
        };
        let (mut debug, mut strip) = (false, false);
        let mut current = name.to_owned();
        // More steps than this are a circle, which cargo refuses.
        for _ in 0..32 {
            debug |= sets(&current, "debug");
            strip |= sets(&current, "strip");
            let in_manifest = || value(manifest, &current, "inherits")?.as_str().map(str::to_owned);
            let parent = config.text(&["profile", &current, "inherits"]).or_else(in_manifest);
            current = match (parent, current.as_str()) {
                (Some(parent), _) => parent,
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

#[cfg(test)]
mod tests {
    use super::*;

    fn profile(name: &str, manifest: &str) -> (bool, bool) {
        let profile = Profile::resolve(name, &Config::default(), &manifest.parse().expect("is TOML"));
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
    fn the_configuration_precedes_the_manifest() {
        let manifest = "[profile.small]\ninherits = 'dev'".parse().expect("is TOML");
        let config = crate::config::of_files(&["[profile.small]\ninherits = 'release'"]);
        assert!(Profile::resolve("small", &config, &manifest).is_bare);
        let config = crate::config::of_files(&["[profile.small]\ninherits = 'release'", "profile.release.debug = 0"]);
        assert!(!Profile::resolve("small", &config, &manifest).debug_is_unset);
    }

    #[test]
    fn a_circle_ends() {
        assert_eq!(profile("a", "[profile.a]\ninherits = 'b'\n[profile.b]\ninherits = 'a'"), (false, false));
    }
}

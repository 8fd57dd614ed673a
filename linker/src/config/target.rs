//! Configuration of one target of the compiler: `[target.<triple>]`, every `[target.'cfg(…)']` that fits it, and its flags.

use super::Config;
use cargo_platform::{Cfg, Platform};
use std::collections::BTreeSet;
use std::env;
use std::path::{Path, PathBuf};
use std::process::Command;

/// Separator of the flags in `CARGO_ENCODED_RUSTFLAGS`.
const SEPARATOR: &str = "\x1f";

/// Configuration of a target.
#[derive(Debug)]
pub struct Target<'a> {
    config: &'a Config,
    name: &'a str,
    /// Names of all tables that fit the target, that with its own name first.
    tables: Vec<String>,
}

impl<'a> Target<'a> {
    /// Selects what `config` says about the target `name` of `rustc`.
    pub fn select(config: &'a Config, name: &'a str, rustc: &Path) -> Self {
        let tables = config.sources().filter_map(|source| source.table.get("target")?.as_table());
        let names: BTreeSet<_> = tables.flat_map(|table| table.keys()).filter(|key| key.starts_with("cfg(")).collect();
        let known = if names.is_empty() { vec![] } else { cfg(rustc, name) };
        let fits = |table: &&&String| table.parse::<Platform>().is_ok_and(|platform| platform.matches(name, &known));
        let tables = std::iter::once(name).chain(names.iter().filter(fits).map(|table| table.as_str()));
        Self { config, name, tables: tables.map(str::to_owned).collect() }
    }

    /// Returns the linker that is configured: the flags of the compiler decide, as rustc takes the last that is named.
    pub fn linker(&self) -> Option<PathBuf> {
        let (linker, _) = take_linker(self.flags());
        let of_table = |table: &String| self.config.program(&["target", table, "linker"]);
        linker.or_else(|| self.tables.iter().find_map(of_table))
    }

    /// Returns the variable for flags that name no linker, if those that are configured do.
    pub fn flags_without_linker(&self) -> Option<(&'static str, String)> {
        let (linker, flags) = take_linker(self.flags());
        linker.map(|_| ("CARGO_ENCODED_RUSTFLAGS", flags.join(SEPARATOR)))
    }

    /// Returns true if the target has a runner in the form of a string: no list can then be added to it.
    pub fn runner_is_text(&self) -> bool {
        self.config.is_text(&["target", self.name, "runner"])
    }

    /// Returns the flags of the compiler, from the first of cargo's four sources that has any.
    fn flags(&self) -> Vec<String> {
        if let Ok(flags) = env::var("CARGO_ENCODED_RUSTFLAGS") {
            return flags.split(SEPARATOR).filter(|flag| !flag.is_empty()).map(str::to_owned).collect();
        }
        if let Ok(flags) = env::var("RUSTFLAGS") {
            return flags.split(' ').map(str::trim).filter(|flag| !flag.is_empty()).map(str::to_owned).collect();
        }
        let of_table = |table: &String| self.config.words(&["target", table, "rustflags"]);
        match self.tables.iter().flat_map(of_table).collect::<Vec<_>>() {
            flags if flags.is_empty() => self.config.words(&["build", "rustflags"]),
            flags => flags,
        }
    }
}

/// Takes `-C linker=PATH` out of flags, in all forms that rustc has.
fn take_linker(flags: Vec<String>) -> (Option<PathBuf>, Vec<String>) {
    let (mut linker, mut others) = (None, vec![]);
    let mut flags = flags.into_iter();
    while let Some(flag) = flags.next() {
        let (mut group, mut option) = (vec![flag.clone()], None);
        if flag == "-C" || flag == "--codegen" {
            option = flags.next();
            group.extend(option.clone());
        } else if let Some(rest) = flag.strip_prefix("--codegen=").or_else(|| flag.strip_prefix("-C")) {
            option = Some(rest.to_owned());
        }
        match option.as_deref().and_then(|option| option.strip_prefix("linker=")) {
            Some(path) => linker = Some(path.into()),
            None => others.extend(group),
        }
    }
    (linker, others)
}

/// Returns what is configured when `rustc` compiles for a target; nothing if it cannot say.
fn cfg(rustc: &Path, target: &str) -> Vec<Cfg> {
    let output = Command::new(rustc).args(["--print", "cfg", "--target", target]).output();
    let text = output.map(|output| String::from_utf8_lossy(&output.stdout).into_owned()).unwrap_or_default();
    text.lines().filter_map(|line| line.parse().ok()).collect()
}

#[cfg(test)]
mod tests {
    use super::*;
    use crate::config::of_files;
    use husk_toolchain::MUSL;

    #[test]
    fn a_linker_is_taken_out_of_flags() {
        for line in [
            "-C linker=ld -O",
            "-O -Clinker=ld",
            "--codegen linker=ld -O",
            "-O --codegen=linker=ld",
            "-Clinker=a -Clinker=ld -O",
        ] {
            let flags = line.split(' ').map(str::to_owned).collect();
            assert_eq!(take_linker(flags), (Some("ld".into()), vec!["-O".to_owned()]), "{line}");
        }
        let flags: Vec<_> = ["-C", "link-arg=-s", "-Clinker-flavor=gcc"].map(str::to_owned).into();
        assert_eq!(take_linker(flags.clone()), (None, flags));
    }

    #[test]
    fn tables_of_cfg_count_after_that_of_the_target() {
        let own = format!("target.{MUSL}.linker = 'own'");
        let fitting =
            "target.'cfg(all(unix, target_env = \"musl\"))'.linker = 'fitting'\ntarget.'cfg(windows)'.linker = 'other'";
        let linker = |texts: &[&str]| Target::select(&of_files(texts), MUSL, "rustc".as_ref()).linker();
        assert_eq!(linker(&[fitting, &own]), Some("own".into()));
        assert_eq!(linker(&[fitting]), Some("fitting".into()));
        assert_eq!(linker(&["target.'cfg(windows)'.linker = 'other'"]), None);
    }
}

//! The linker that does the work: the configured one, else a C compiler, else `rust-lld`.

use super::line::Flavor;
use super::tool;
use std::path::{Path, PathBuf};

/// Names of a C compiler, in order of preference.
const COMPILERS: [&str; 3] = ["cc", "gcc", "clang"];

/// A linker.
#[derive(Debug, PartialEq, Eq)]
pub enum Linker {
    /// A C compiler, or a program that takes the words of one.
    Compiler(PathBuf),
    /// A link editor of the user's choice.
    Editor(PathBuf),
    /// The link editor that comes with rustc.
    Bundled,
}

impl Linker {
    /// Chooses the linker for a command line of this flavor, where `configured` is named by cargo's configuration.
    pub fn choose(configured: Option<&Path>, flavor: Flavor) -> Self {
        match (configured, flavor) {
            (Some(editor), _) if is_editor(editor) => Self::Editor(editor.into()),
            // rustc writes the words of a native program for a link editor.
            (_, Flavor::Lld) => Self::Bundled,
            (Some(compiler), Flavor::Compiler) => Self::Compiler(compiler.into()),
            (None, Flavor::Compiler) => {
                COMPILERS.into_iter().find_map(tool::find).map_or(Self::Bundled, Self::Compiler)
            }
        }
    }

    /// Returns true if the linker can use the toolchain's own link editor, which puts functions in an order.
    pub fn takes_order(&self) -> bool {
        let Self::Compiler(path) = self else { return false };
        let name = name(path);
        COMPILERS.contains(&name) || name.ends_with("-gcc") || name.ends_with("-clang")
    }

    /// Returns true if `-flavor` comes first.
    pub fn takes_flavor(&self) -> bool {
        match self {
            Self::Compiler(_) => false,
            Self::Editor(path) => ["lld", "rust-lld"].contains(&name(path)),
            Self::Bundled => true,
        }
    }
}

/// Returns true if rustc takes a linker of this name for a link editor.
fn is_editor(path: &Path) -> bool {
    let name = name(path);
    ["ld", "ld.lld", "lld", "rust-lld"].contains(&name) || name.ends_with("-ld")
}

fn name(path: &Path) -> &str {
    path.file_name().and_then(|name| name.to_str()).unwrap_or_default()
}

#[cfg(test)]
mod tests {
    use super::*;

    fn choose(configured: &str, flavor: Flavor) -> Linker {
        Linker::choose(Some(configured.as_ref()), flavor)
    }

    #[test]
    fn the_name_says_what_words_a_linker_takes() {
        assert_eq!(choose("rust-lld", Flavor::Compiler), Linker::Editor("rust-lld".into()));
        assert_eq!(
            choose("/usr/bin/x86_64-linux-gnu-ld", Flavor::Lld),
            Linker::Editor("/usr/bin/x86_64-linux-gnu-ld".into())
        );
        assert_eq!(choose("/a/clang", Flavor::Compiler), Linker::Compiler("/a/clang".into()));
        assert_eq!(choose("/a/clang", Flavor::Lld), Linker::Bundled);
    }

    #[test]
    fn only_a_known_compiler_takes_options_of_ours() {
        assert!(choose("/a/musl-gcc", Flavor::Compiler).takes_order());
        assert!(!choose("./wrapper.sh", Flavor::Compiler).takes_order());
        assert!(choose("/a/rust-lld", Flavor::Lld).takes_flavor() && !choose("ld.lld", Flavor::Lld).takes_flavor());
    }
}

//! The C compilers that can compile for musl.

use crate::error::{Error, Result};
use crate::link::tool;
use std::path::{Path, PathBuf};
use std::process::Command;

/// Compilers for musl alone. Build scripts know these names too.
const FOR_MUSL: [&str; 2] = ["x86_64-linux-musl-gcc", "musl-gcc"];

/// Folders in which packages of distributions put musl's headers.
const HEADERS: [&str; 3] = ["/usr/include/x86_64-linux-musl", "/usr/lib/musl/include", "/usr/local/musl/include"];

/// A C compiler, with what has to come first on its command line.
#[derive(Debug, PartialEq, Eq)]
pub struct Compiler {
    program: PathBuf,
    words: Vec<String>,
}

impl Compiler {
    /// Returns true if there is a compiler that build scripts find by themselves.
    pub fn is_found_by_build_scripts() -> bool {
        FOR_MUSL.iter().any(|name| tool::find(name).is_some())
    }

    /// Finds a compiler in the `PATH`.
    pub fn find() -> Result<Self> {
        Self::choose(tool::find, |folder| folder.join("stdio.h").is_file()).ok_or_else(|| {
            Error::new(
                "C code for an image needs a compiler for musl, and there is none: install musl-gcc (the package \
                 'musl-tools' of Debian and Ubuntu, 'musl-gcc' of Fedora, 'musl' of Arch), or zig",
            )
        })
    }

    /// Chooses a compiler among programs that can be found and headers that are there.
    fn choose(find: impl Fn(&str) -> Option<PathBuf>, has_headers: impl Fn(&Path) -> bool) -> Option<Self> {
        let of = |program: PathBuf, words: &[&str]| {
            let words = words.iter().chain(&["-fPIE"]).map(|word| (*word).to_owned()).collect();
            Some(Self { program, words })
        };
        if let Some(program) = FOR_MUSL.iter().find_map(|name| find(name)) {
            return of(program, &[]);
        }
        if let Some(program) = find("zig") {
            // Its check for undefined behaviour needs a library of its own.
            return of(program, &["cc", "-target", "x86_64-linux-musl", "-fno-sanitize=undefined"]);
        }
        let headers = HEADERS.into_iter().find(|folder| has_headers(folder.as_ref()))?;
        of(find("clang")?, &["--target=x86_64-linux-musl", "-nostdlibinc", "-isystem", headers])
    }

    /// Starts a command line.
    pub fn command(&self) -> Command {
        let mut command = Command::new(&self.program);
        command.args(&self.words);
        command
    }
}

#[cfg(test)]
mod tests {
    use super::*;

    fn chosen(programs: &[&str], has_headers: bool) -> Option<String> {
        let find = |name: &str| programs.contains(&name).then(|| PathBuf::from(name));
        Compiler::choose(find, |_| has_headers).map(|compiler| format!("{:?}", compiler.command()).replace('"', ""))
    }

    #[test]
    fn a_compiler_that_has_the_headers_is_chosen() {
        assert_eq!(chosen(&["clang", "zig", "musl-gcc", "cc"], true).as_deref(), Some("musl-gcc -fPIE"));
        assert_eq!(
            chosen(&["clang", "zig", "cc"], true).as_deref(),
            Some("zig cc -target x86_64-linux-musl -fno-sanitize=undefined -fPIE")
        );
        let clang = chosen(&["clang", "cc"], true).expect("it is there");
        assert!(clang.starts_with("clang --target=x86_64-linux-musl -nostdlibinc -isystem /usr/"), "{clang}");
        assert_eq!(chosen(&["clang", "cc"], false), None);
        assert_eq!(chosen(&["cc", "gcc"], true), None);
    }
}

//! The words of a C compiler, divided into those for compiling and those for linking.

use std::ffi::{OsStr, OsString};
use std::path::{Path, PathBuf};

/// Words after which a compiler links nothing.
const NO_LINK: [&str; 9] = ["-c", "-S", "-E", "-r", "-M", "-MM", "-fsyntax-only", "-dumpmachine", "-dumpversion"];

/// Options with a value in the next word, for compiling.
const WITH_VALUE: [&str; 17] = [
    "-I",
    "-D",
    "-U",
    "-include",
    "-imacros",
    "-isystem",
    "-iquote",
    "-idirafter",
    "-MF",
    "-MT",
    "-MQ",
    "-x",
    "-Xclang",
    "-Xpreprocessor",
    "-Xassembler",
    "--param",
    "-isysroot",
];

/// Options with a value in the next word, for linking.
const LINKING_WITH_VALUE: [&str; 7] = ["-L", "-l", "-u", "-Xlinker", "-T", "-z", "-e"];

/// Libraries that are parts of musl's one library.
const IN_LIBC: [&str; 9] = ["-lc", "-lm", "-lpthread", "-lrt", "-ldl", "-lutil", "-lcrypt", "-lresolv", "-lxnet"];

/// A compiler's command line.
#[derive(Debug, Default, PartialEq, Eq)]
pub struct Words {
    /// All words that the compiler takes.
    pub all: Vec<OsString>,
    /// Options for compiling.
    pub compiling: Vec<OsString>,
    /// Sources, objects and libraries, and options for linking, in their order.
    pub inputs: Vec<OsString>,
    /// File that is made.
    pub output: PathBuf,
    /// True if a program is to be linked.
    pub links: bool,
    /// True if a shared library is asked for.
    pub is_shared: bool,
}

impl Words {
    /// Divides the words after the compiler's name.
    pub fn parse(arguments: Vec<OsString>) -> Self {
        // rustc's name of the target, which build scripts add, is none of zig's; the compiler has its target already.
        let is_target = |word: &OsString| word.to_string_lossy().starts_with("--target=");
        let all: Vec<_> = arguments.into_iter().filter(|word| !is_target(word)).collect();
        let mut words = Self { output: "a.out".into(), links: true, ..Self::default() };
        let mut rest = all.iter();
        while let Some(word) = rest.next() {
            words.take(word, &mut rest);
        }
        words.links &= words.inputs.iter().any(|word| !word.to_string_lossy().starts_with('-'));
        Self { all, ..words }
    }

    fn take<'a>(&mut self, word: &OsStr, rest: &mut impl Iterator<Item = &'a OsString>) {
        let text = word.to_string_lossy();
        let mut group = vec![word.to_owned()];
        match &*text {
            "-o" => self.output = rest.next().map(PathBuf::from).unwrap_or_default(),
            "-shared" => self.is_shared = true,
            "-static" | "-static-pie" | "-pie" | "-no-pie" | "-nopie" | "-rdynamic" => {}
            name if IN_LIBC.contains(&name) => {}
            name if NO_LINK.contains(&name) || name.starts_with("-print-") || name == "--version" => self.links = false,
            name if WITH_VALUE.contains(&name) => {
                group.extend(rest.next().cloned());
                self.compiling.append(&mut group);
            }
            name if LINKING_WITH_VALUE.contains(&name) => {
                group.extend(rest.next().cloned());
                self.inputs.append(&mut group);
            }
            "-s" => self.inputs.append(&mut group),
            name if ["-L", "-l", "-Wl,"].iter().any(|start| name.starts_with(start)) => {
                self.inputs.append(&mut group);
            }
            name if name.starts_with('-') && name != "-" => self.compiling.append(&mut group),
            _ => self.inputs.append(&mut group),
        }
    }
}

/// Returns true if a file is compiled, rather than linked as it is.
pub fn is_source(word: &OsStr) -> bool {
    let extension = Path::new(word).extension().and_then(OsStr::to_str);
    !word.to_string_lossy().starts_with('-') && matches!(extension, Some("c" | "i" | "s" | "S"))
}

/// Returns true if a file is a source that is not C: C++, Objective-C.
pub fn is_of_another_language(word: &OsStr) -> bool {
    let extension = Path::new(word).extension().and_then(OsStr::to_str);
    !word.to_string_lossy().starts_with('-') && matches!(extension, Some("cc" | "cpp" | "cxx" | "C" | "m"))
}

#[cfg(test)]
mod tests {
    use super::*;

    fn parse(line: &str) -> Words {
        Words::parse(line.split(' ').map(OsString::from).collect())
    }

    fn joined(words: &[OsString]) -> String {
        words.join(OsStr::new(" ")).into_string().expect("UTF-8")
    }

    #[test]
    fn a_program_is_compiled_and_then_linked() {
        let words =
            parse("-O2 -std=c11 -I include -DX=1 main.c part.o -Llib -lz -lm -pthread -Wl,--gc-sections -o app");
        assert!(words.links && !words.is_shared);
        assert_eq!(joined(&words.compiling), "-O2 -std=c11 -I include -DX=1 -pthread");
        assert_eq!(joined(&words.inputs), "main.c part.o -Llib -lz -Wl,--gc-sections");
        assert_eq!(words.output, PathBuf::from("app"));
        assert!(is_source("main.c".as_ref()) && !is_source("part.o".as_ref()) && !is_source("-lx.c".as_ref()));
    }

    #[test]
    fn values_stay_with_their_options() {
        let words = parse("--param max-unroll-times=2 -isysroot / -Xassembler -a main.c -z now -e start");
        assert_eq!(joined(&words.compiling), "--param max-unroll-times=2 -isysroot / -Xassembler -a");
        assert_eq!(joined(&words.inputs), "main.c -z now -e start");
        assert!(is_of_another_language("a.cpp".as_ref()) && !is_of_another_language("a.c".as_ref()));
    }

    #[test]
    fn what_makes_no_program_is_the_compilers() {
        for line in
            ["-c main.c -o main.o", "-E -dM main.c", "-r a.o -o b.o", "--version", "-print-search-dirs", "-dumpmachine"]
        {
            let words = parse(line);
            assert!(!words.links, "{line}");
            assert_eq!(joined(&words.all), line);
        }
        assert_eq!(joined(&parse("--target=x86_64-unknown-linux-musl -c a.c").all), "-c a.c");
        assert!(parse("-shared a.c").is_shared);
    }
}

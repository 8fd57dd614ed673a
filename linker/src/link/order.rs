//! The order of functions in an image: those that every program runs at its start come first, side by side.
//!
//! A guest pays for each page that it touches first with a fault, and the functions of a start are scattered over the
//! C library, std and the libos. The list in `start.order` has them by name; the names that the link editor knows, with
//! the hashes of this toolchain and this libos, are looked up in what is linked.

use super::line::Word;
use object::read::archive::ArchiveFile;
use object::{Object, ObjectSymbol, ReadCache, SymbolKind};
use std::collections::HashMap;
use std::fs::File;
use std::path::Path;

const START: &str = include_str!("start.order");

/// A function of std that every program has.
const OF_STD: &str = "std::rt::lang_start_internal";

/// Archives that std is linked from.
const STD: [&str; 3] = ["libstd-", "libcore-", "liballoc-"];

/// Returns the order as a file for the link editor's `--symbol-ordering-file`: a symbol a line.
pub fn file(ours: &[&[u8]], words: &[Word]) -> String {
    let mut symbols = Symbols::of(ours);
    words.iter().filter_map(std_archive).for_each(|path| symbols.add_archive(path));
    if !symbols.0.contains_key(OF_STD) {
        // Optimised across crates, std is in the program's own objects.
        words.iter().filter_map(object_file).for_each(|path| symbols.add_object(path));
    }
    let mut order = String::new();
    for name in START.lines().filter(|line| !line.starts_with('#')) {
        // A name that is not mangled is its own symbol.
        match symbols.0.get(name) {
            Some(symbols) => symbols.iter().for_each(|symbol| order.extend([symbol, "\n"])),
            None => order.extend([name, "\n"]),
        }
    }
    order
}

/// Returns the path of an archive of std's.
fn std_archive(word: &Word) -> Option<&Path> {
    let Word::Driver(text) = word else { return None };
    let path = Path::new(text);
    let name = path.file_name()?.to_str()?;
    (name.ends_with(".rlib") && STD.iter().any(|start| name.starts_with(start))).then_some(path)
}

/// Returns the path of an object file.
fn object_file(word: &Word) -> Option<&Path> {
    let Word::Driver(text) = word else { return None };
    let path = Path::new(text);
    path.extension().is_some_and(|extension| extension == "o").then_some(path)
}

/// Symbols of the functions of each name. A file that cannot be read costs a little speed at the image's start, nothing
/// else.
#[derive(Default)]
struct Symbols(HashMap<String, Vec<String>>);

impl Symbols {
    fn of(objects: &[&[u8]]) -> Self {
        let mut symbols = Self::default();
        let objects = objects.iter().filter_map(|object| object::File::parse(*object).ok());
        objects.for_each(|object| symbols.add_functions(&object));
        symbols
    }

    fn add(&mut self, symbol: &str) {
        let name = format!("{:#}", rustc_demangle::demangle(symbol));
        self.0.entry(name).or_default().push(symbol.to_owned());
    }

    fn add_functions<'d>(&mut self, file: &impl Object<'d>) {
        let functions = file.symbols().filter(|symbol| symbol.kind() == SymbolKind::Text);
        functions.filter_map(|symbol| symbol.name().ok()).for_each(|symbol| self.add(symbol));
    }

    fn add_object(&mut self, path: &Path) {
        if let Ok(file) = File::open(path)
            && let Ok(file) = object::File::parse(&ReadCache::new(file))
        {
            self.add_functions(&file);
        }
    }

    /// Adds the symbols in an archive's index.
    fn add_archive(&mut self, path: &Path) {
        let Ok(file) = File::open(path) else { return };
        let cache = ReadCache::new(file);
        let Ok(archive) = ArchiveFile::parse(&cache) else { return };
        let Ok(Some(symbols)) = archive.symbols() else { return };
        symbols
            .flatten()
            .filter_map(|symbol| std::str::from_utf8(symbol.name()).ok())
            .for_each(|symbol| self.add(symbol));
    }
}

#[cfg(test)]
mod tests {
    use super::*;

    #[test]
    fn names_of_the_libos_get_their_hashes_and_those_of_c_stay() {
        let order = file(&[super::super::LIBOS], &[]);
        assert!(order.lines().any(|symbol| symbol == "__libc_start_main"));
        let of_libos = order.lines().filter(|symbol| symbol.starts_with('_') && symbol.contains("husk_libos"));
        assert!(of_libos.count() > 20, "{order}");
    }

    #[test]
    fn every_function_of_ours_exists() {
        let symbols = Symbols::of(&[super::super::LIBOS, super::super::MALLOC]);
        let ours = START.lines().filter(|line| !line.starts_with('#') && line.contains("husk"));
        let gone: Vec<_> = ours.filter(|name| !symbols.0.contains_key(*name)).collect();
        assert!(gone.is_empty(), "start.order names what is not there any more; take it out: {gone:#?}");
    }
}

//! Location of the names of an image's functions.

use super::debug_file::DebugFiles;
use super::elf::{Bytes, Elf};
pub use super::text::{BOLD, Clean, PLAIN, bold, hexadecimal};
use crate::image::Image;
use std::fmt;
use std::path::{Path, PathBuf};
use std::sync::Arc;

/// Kinds of names in an image, and the file that has the others.
#[derive(Clone, Debug, Default, PartialEq, Eq)]
pub struct Names {
    /// True if the image has a symbol table.
    pub symbols: bool,
    /// True if the image has debug information.
    pub lines: bool,
    /// The debug file of the image's build-id.
    pub debug_file: Option<PathBuf>,
    /// Paths at which no debug file was found.
    pub searched: Vec<PathBuf>,
}

impl Names {
    /// Reads the image and, if it has no debug information, searches for its debug file.
    pub fn of(image: &Image, debug_directory: Option<&Path>) -> Self {
        let bytes = Bytes::new(Arc::clone(&image.file));
        let Some(elf) = Elf::parse(&bytes) else { return Self::default() };
        let (symbols, lines) = (elf.has(".symtab"), elf.has(".debug_info"));
        if lines || image.notes.build_id.is_empty() {
            return Self { symbols, lines, ..Self::default() };
        }
        let build_id = &image.notes.build_id;
        let search = DebugFiles::open(&image.path, build_id, debug_directory).search(build_id);
        let searched = if search.path.is_some() { Vec::new() } else { search.searched };
        Self { symbols, lines, debug_file: search.path, searched }
    }
}

impl fmt::Display for Names {
    fn fmt(&self, f: &mut fmt::Formatter<'_>) -> fmt::Result {
        f.write_str(match (self.lines, self.symbols) {
            (true, _) => "functions and lines inside",
            (false, true) => "functions inside, no lines",
            (false, false) => "none inside",
        })?;
        match &self.debug_file {
            Some(path) => write!(f, "; all of them in {}", path.display()),
            None => self.searched.iter().enumerate().try_for_each(|(index, path)| {
                let lead = if index == 0 { "; a debug file would be found at\n" } else { "\n" };
                write!(f, "{lead}{}", path.display())
            }),
        }
    }
}

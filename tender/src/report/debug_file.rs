//! The debug file of a stripped image, found by its build-id in the places where debuggers look.

use super::elf::{Bytes, Elf};
use super::text::hexadecimal;
use crate::confine::{Descriptors, Role};
use std::fs::{File, OpenOptions};
use std::os::unix::fs::OpenOptionsExt;
use std::path::{Path, PathBuf};
use std::sync::Arc;

/// Where files of this build-id may be, for an image at `image`; `extra` is a directory to search first.
pub fn candidates(image: &Path, build_id: &[u8], extra: Option<&Path>) -> Vec<PathBuf> {
    let Some((first, rest)) = build_id.split_first() else { return Vec::new() };
    let by_id = format!(".build-id/{first:02x}/{}.debug", hexadecimal(rest));
    let beside = image.parent().map(|directory| match directory.as_os_str().is_empty() {
        true => Path::new("."),
        false => directory,
    });
    let mut places = Vec::new();
    if let Some(extra) = extra {
        places.push(extra.join(&by_id));
        places.extend(image.file_name().map(|name| with_debug(&extra.join(name))));
    }
    if let Some(beside) = beside {
        places.push(beside.join(&by_id));
        places.push(beside.join("..").join(&by_id));
    }
    places.push(with_debug(image));
    places.push(Path::new("/usr/lib/debug").join(&by_id));
    places
}

/// Files that may be the debug file of an image: opened while that can be done.
pub struct DebugFiles(Vec<(PathBuf, Option<Arc<File>>)>);

impl DebugFiles {
    /// Opens what there is at the candidates.
    pub fn open(image: &Path, build_id: &[u8], extra: Option<&Path>) -> Self {
        let opened = |path: PathBuf| {
            let file = open_regular(&path).map(Arc::new);
            (path, file)
        };
        Self(candidates(image, build_id, extra).into_iter().map(opened).collect())
    }

    /// The first that is a file of this build-id.
    pub fn search(&self, build_id: &[u8]) -> Search {
        let searched = self.0.iter().map(|(path, _)| path.clone()).collect();
        let found = self.0.iter().find_map(|(path, file)| {
            let file = file.as_ref()?;
            belongs(Arc::clone(file), build_id).then(|| (path.clone(), Arc::clone(file)))
        });
        let (path, file) = found.unzip();
        Search { build_id: build_id.to_vec(), searched, path, file }
    }
}

/// A search for a debug file, and what came of it.
#[derive(Default)]
pub struct Search {
    /// What it was searched by.
    pub build_id: Vec<u8>,
    /// Where it was searched.
    pub searched: Vec<PathBuf>,
    /// Where it was found.
    pub path: Option<PathBuf>,
    /// The file found.
    pub file: Option<Arc<File>>,
}

fn belongs(file: Arc<File>, build_id: &[u8]) -> bool {
    Elf::parse(&Bytes::new(file)).is_some_and(|elf| elf.build_id() == Some(build_id))
}

impl DebugFiles {
    /// Notes which files these are.
    pub fn list(&self, descriptors: &mut Descriptors) {
        self.0.iter().filter_map(|(_, file)| file.as_ref()).for_each(|file| descriptors.add(Role::Image, &**file));
    }
}

/// Opens a file unless it is something that one could wait for.
fn open_regular(path: &Path) -> Option<File> {
    let file = OpenOptions::new().read(true).custom_flags(libc::O_NONBLOCK | libc::O_CLOEXEC).open(path).ok()?;
    file.metadata().ok()?.is_file().then_some(file)
}

fn with_debug(path: &Path) -> PathBuf {
    let mut name = path.as_os_str().to_owned();
    name.push(".debug");
    name.into()
}

#[cfg(test)]
mod tests {
    use super::*;

    #[test]
    fn places_in_the_order_of_search() {
        let places = candidates(Path::new("bin/app.husk"), &[0xab, 0xcd, 0xef], Some(Path::new("/symbols")));
        let expected = [
            "/symbols/.build-id/ab/cdef.debug",
            "/symbols/app.husk.debug",
            "bin/.build-id/ab/cdef.debug",
            "bin/../.build-id/ab/cdef.debug",
            "bin/app.husk.debug",
            "/usr/lib/debug/.build-id/ab/cdef.debug",
        ];
        assert_eq!(places, expected.map(PathBuf::from));
        assert_eq!(candidates(Path::new("app"), &[1, 2], None)[0], Path::new("./.build-id/01/02.debug"));
    }
}

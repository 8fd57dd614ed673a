//! Debug file of a stripped image, found by its build-id in the directories that debuggers search.

use super::elf::{Bytes, Elf};
use super::text::hexadecimal;
use crate::confine::{Descriptors, Role};
use std::fs::{File, OpenOptions};
use std::os::unix::fs::OpenOptionsExt;
use std::path::{Path, PathBuf};
use std::sync::Arc;

/// Paths at which a file of this build-id may be, for an image at `image`; `extra` is a directory to search first.
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

/// Possible debug files of an image, opened while files can still be opened.
pub struct DebugFiles(Vec<(PathBuf, Option<Arc<File>>)>);

impl DebugFiles {
    /// Opens the files that exist at the candidate paths.
    pub fn open(image: &Path, build_id: &[u8], extra: Option<&Path>) -> Self {
        let opened = |path: PathBuf| {
            let file = open_regular(&path).map(Arc::new);
            (path, file)
        };
        Self(candidates(image, build_id, extra).into_iter().map(opened).collect())
    }

    /// Returns the first file with this build-id.
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

/// A search for a debug file, and its result.
#[derive(Default)]
pub struct Search {
    /// Build-id that was searched for.
    pub build_id: Vec<u8>,
    /// Paths that were searched.
    pub searched: Vec<PathBuf>,
    /// Path of the file found.
    pub path: Option<PathBuf>,
    /// The file found.
    pub file: Option<Arc<File>>,
}

fn belongs(file: Arc<File>, build_id: &[u8]) -> bool {
    Elf::parse(&Bytes::new(file)).is_some_and(|elf| elf.build_id() == Some(build_id))
}

impl DebugFiles {
    /// Adds these files to the descriptors that the filters allow.
    pub fn list(&self, descriptors: &mut Descriptors) {
        self.0.iter().filter_map(|(_, file)| file.as_ref()).for_each(|file| descriptors.add(Role::Image, &**file));
    }
}

/// Opens a file, but only a regular one, because a read of another may block.
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

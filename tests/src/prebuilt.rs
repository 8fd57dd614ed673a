//! Folder of prebuilt files, for machines without cargo: `HUSK_PREBUILT` names it.
//!
//! | path | content |
//! |---|---|
//! | `husk` | the tender |
//! | `husk-disk` | the program that makes disks |
//! | `attacking-husk` | the tender with attempts to break out of its confinement |
//! | `images/PACKAGE/NAME` | an image, with its debug information in `.build-id` beside it |
//! | `native/PACKAGE/NAME` | the same program as a process |

use std::path::{Path, PathBuf};

/// Returns the folder, if `HUSK_PREBUILT` is set.
pub fn folder() -> Option<&'static Path> {
    static FOLDER: std::sync::OnceLock<Option<PathBuf>> = std::sync::OnceLock::new();
    FOLDER.get_or_init(|| std::env::var_os("HUSK_PREBUILT").map(PathBuf::from)).as_deref()
}

/// Returns the path of `file` in the folder, if `HUSK_PREBUILT` is set; the file must exist.
pub fn path(file: impl AsRef<Path>) -> Option<PathBuf> {
    let path = folder()?.join(file);
    assert!(path.is_file(), "HUSK_PREBUILT lacks {}", path.display());
    Some(path)
}

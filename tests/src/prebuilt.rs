//! A folder with what the tests otherwise have cargo build, for machines without cargo: `HUSK_PREBUILT` names it.
//!
//! | path | content |
//! |---|---|
//! | `husk` | the tender |
//! | `attacking-husk` | the tender with attempts to break out of its confinement |
//! | `images/PACKAGE/NAME` | an image, with its debug information in `.build-id` beside it |
//! | `native/PACKAGE/NAME` | the same program as a process |

use std::path::{Path, PathBuf};

/// The folder, if the tests run on such a machine.
pub fn folder() -> Option<&'static Path> {
    static FOLDER: std::sync::OnceLock<Option<PathBuf>> = std::sync::OnceLock::new();
    FOLDER.get_or_init(|| std::env::var_os("HUSK_PREBUILT").map(PathBuf::from)).as_deref()
}

/// The path of `file` in the folder, if there is one; it must have that file.
pub fn path(file: impl AsRef<Path>) -> Option<PathBuf> {
    let path = folder()?.join(file);
    assert!(path.is_file(), "HUSK_PREBUILT lacks {}", path.display());
    Some(path)
}

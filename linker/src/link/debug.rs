//! Debug information: kept for crash reports, in a file of its own when the image is to be without.
//!
//! The file is named after the build-id, `.build-id/ab/cdef….debug`, where debuggers and the tender look for it: beside
//! the image or one folder up. Programs in `deps` and `examples` thus share the folder of their profile, which is also
//! where cargo puts the copy of a program that people use.

use super::line::Strip;
use super::tool;
use crate::error::{Error, Result};
use std::fs;
use std::path::{Path, PathBuf};

/// Strips the program `output` with the given build-id, after its debug information is put aside. If cargo copies
/// programs from the first of `folders` to the second, the debug information goes along.
pub fn split(output: &Path, build_id: &[u8], strip: Strip, folders: Option<&(PathBuf, PathBuf)>) -> Result<()> {
    let option = match strip {
        Strip::Nothing => return Ok(()),
        Strip::Debug => "--strip-debug",
        Strip::All => "--strip-all",
    };
    let name = file_name(build_id);
    let file = place(&folder(output), output, &name)?;
    let mut copy = tool::bundled("rust-objcopy")?;
    copy.arg("--only-keep-debug").arg(output).arg(&file);
    tool::run(copy, "putting debug information aside")?;
    if let Some(copied) = folders.and_then(|(build, target)| Some(target.join(output.strip_prefix(build).ok()?))) {
        let second = place(&folder(&copied), output, &name)?;
        fs::copy(&file, &second).map_err(|error| Error::file("write", &second, error))?;
    }
    let mut copy = tool::bundled("rust-objcopy")?;
    copy.arg(option).arg(output);
    tool::run(copy, "stripping the image")
}

/// Removes the previous debug information of `output` from `folder`; returns the path for the new file.
fn place(folder: &Path, output: &Path, name: &str) -> Result<PathBuf> {
    forget(folder, output)?;
    let file = folder.join(name);
    if let Some(parent) = file.parent() {
        fs::create_dir_all(parent).map_err(|error| Error::file("create", parent, error))?;
    }
    remember(folder, output, name)?;
    Ok(file)
}

/// Returns `.build-id` for a program at `output`.
fn folder(output: &Path) -> PathBuf {
    let parent = output.parent().unwrap_or(Path::new(""));
    let shared = parent.ends_with("deps") || parent.ends_with("examples");
    let place = if shared { parent.parent().unwrap_or(parent) } else { parent };
    place.join(".build-id")
}

/// Path, below `.build-id`, of the debug information of an image.
fn file_name(build_id: &[u8]) -> String {
    let digits: String = build_id.iter().map(|byte| format!("{byte:02x}")).collect();
    let (first, rest) = digits.split_at(digits.len().min(2));
    format!("{first}/{rest}.debug")
}

/// File in which [`remember`] records the debug information of the program `output`.
fn record(folder: &Path, output: &Path) -> PathBuf {
    folder.join(output.file_name().unwrap_or_default()).with_added_extension("last")
}

/// Records that `name` belongs to `output`.
fn remember(folder: &Path, output: &Path, name: &str) -> Result<()> {
    let record = record(folder, output);
    fs::write(&record, name).map_err(|error| Error::file("write", &record, error))
}

/// Removes the debug information of the previous program at `output`, unless another program has the same: the files would
/// accumulate, at megabytes each.
fn forget(folder: &Path, output: &Path) -> Result<()> {
    let own = record(folder, output);
    let Ok(name) = fs::read_to_string(&own) else { return Ok(()) };
    let others = fs::read_dir(folder).map_err(|error| Error::file("read", folder, error))?;
    let mut others = others.flatten().map(|entry| entry.path()).filter(|path| path.is_file() && *path != own);
    if !others.any(|other| fs::read_to_string(other).is_ok_and(|other| other == name)) {
        // The file may be gone already.
        let _ = fs::remove_file(folder.join(name));
    }
    Ok(())
}

#[cfg(test)]
mod tests {
    use super::*;

    #[test]
    fn the_file_is_found_from_both_places_of_a_program() {
        assert_eq!(folder(Path::new("/t/release/deps/app-1")), Path::new("/t/release/.build-id"));
        assert_eq!(folder(Path::new("/t/release/examples/app-1")), Path::new("/t/release/.build-id"));
        assert_eq!(folder(Path::new("/tmp/doctest/rust_out")), Path::new("/tmp/doctest/.build-id"));
        assert_eq!(file_name(&[0xab, 0xcd, 0x01]), "ab/cd01.debug");
    }
}

//! A folder of its own for the files of one link.

use crate::error::{Error, Result};
use std::fs;
use std::io::ErrorKind;
use std::path::{Path, PathBuf};
use std::process;

/// Folder for the files of one link, removed at its end.
#[derive(Debug)]
pub struct Scratch(pub PathBuf);

impl Scratch {
    /// Makes a folder beside `output`, with `name` in its extension. The folder is always a new one, because it is removed.
    pub fn beside(output: &Path, name: &str) -> Result<Self> {
        if output.file_name().is_none() {
            return Err(Error::new(format!("'-o {}' names no file: name the program to make", output.display())));
        }
        let base = output.with_added_extension(format!("{name}-{}", process::id()));
        let mut path = base.clone();
        // A process that was killed, and had the same number, has left its folder.
        for number in 1.. {
            match fs::create_dir(&path) {
                Ok(()) => break,
                Err(error) if error.kind() == ErrorKind::AlreadyExists => {
                    path = base.with_added_extension(number.to_string());
                }
                Err(error) => return Err(Error::file("create", &path, error)),
            }
        }
        Ok(Self(path))
    }

    /// Writes a file into the folder.
    pub fn write(&self, name: &str, bytes: &[u8]) -> Result<PathBuf> {
        let path = self.0.join(name);
        fs::write(&path, bytes).map_err(|error| Error::file("write", &path, error))?;
        Ok(path)
    }
}

impl Drop for Scratch {
    fn drop(&mut self) {
        // Files that are left over do no harm, and their name says where they come from.
        let _ = fs::remove_dir_all(&self.0);
    }
}

#[cfg(test)]
mod tests {
    use super::*;

    #[test]
    fn only_new_folders_are_removed() {
        let folder = tempfile::tempdir().expect("a folder");
        let output = folder.path().join("app");
        let first = Scratch::beside(&output, "x").expect("a folder");
        let second = Scratch::beside(&output, "x").expect("another folder");
        drop(second);
        assert!(first.0.is_dir());
        for path in [".", "..", "/", ""] {
            assert!(Scratch::beside(path.as_ref(), "x").is_err(), "{path}");
        }
    }
}

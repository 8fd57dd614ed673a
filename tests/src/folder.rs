//! Folders for guests: directories that are removed with the test.

use std::fs;
use std::path::{Path, PathBuf};
use std::process::Command;
use std::sync::atomic::{AtomicU32, Ordering::Relaxed};

/// A directory that serves as a guest's folder.
#[derive(Debug)]
pub struct Folder {
    path: PathBuf,
}

impl Folder {
    /// Creates an empty directory.
    pub fn empty() -> Self {
        static NUMBER: AtomicU32 = AtomicU32::new(0);
        let number = NUMBER.fetch_add(1, Relaxed);
        let path = std::env::temp_dir().join(format!("husk-test-folder-{}-{number}", std::process::id()));
        fs::create_dir(&path).expect("a directory");
        Self { path }
    }

    /// Returns the path of the directory.
    pub fn path(&self) -> &Path {
        &self.path
    }

    /// Returns the flag of `husk run` that shows the directory at `/data`, with `:ro` or another ending.
    pub fn flag(&self, ending: &str) -> String {
        format!("--files=/data={}{ending}", self.path.display())
    }
}

/// Names, kinds, permissions and contents of everything below a directory, whose path appears as `/data`.
pub fn contents(path: &Path) -> String {
    let script =
        "cd \"$1\" && find . -printf '%P %y %m %l\\n' | sort && find . -type f | sort | xargs -d '\\n' sha256sum";
    let output = Command::new("sh").args(["-c", script, "sh"]).arg(path).output().expect("a shell");
    assert!(output.status.success(), "{}", String::from_utf8_lossy(&output.stderr));
    String::from_utf8(output.stdout).expect("text").replace(&path.display().to_string(), "/data")
}

impl Drop for Folder {
    fn drop(&mut self) {
        let _ = fs::remove_dir_all(&self.path);
    }
}

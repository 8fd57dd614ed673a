//! Disks for guests: files that are removed with the test.

use std::fs::{self, File};
use std::path::{Path, PathBuf};
use std::sync::atomic::{AtomicU32, Ordering::Relaxed};

/// A file that serves as a guest's disk.
#[derive(Debug)]
pub struct Disk {
    path: PathBuf,
}

impl Disk {
    /// Creates a disk with these bytes.
    pub fn of(bytes: &[u8]) -> Self {
        let disk = Self { path: Self::new_path() };
        fs::write(&disk.path, bytes).expect("a file");
        disk
    }

    /// Creates a disk of `size` zeros, as a sparse file.
    pub fn empty(size: u64) -> Self {
        let disk = Self { path: Self::new_path() };
        File::create(&disk.path).and_then(|file| file.set_len(size)).expect("a file");
        disk
    }

    fn new_path() -> PathBuf {
        static NUMBER: AtomicU32 = AtomicU32::new(0);
        let number = NUMBER.fetch_add(1, Relaxed);
        std::env::temp_dir().join(format!("husk-test-disk-{}-{number}", std::process::id()))
    }

    /// Returns the path of the file.
    pub fn path(&self) -> &Path {
        &self.path
    }

    /// Returns the flag of `husk run` that attaches the disk as `data`; `options` begin with a comma.
    pub fn flag(&self, options: &str) -> String {
        format!("--block=data={}{options}", self.path.display())
    }

    /// Returns the contents of the disk.
    pub fn bytes(&self) -> Vec<u8> {
        fs::read(&self.path).expect("it is there")
    }
}

impl Drop for Disk {
    fn drop(&mut self) {
        let _ = fs::remove_file(&self.path);
    }
}

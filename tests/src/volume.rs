//! Disks with a file system for guests.

use crate::{Disk, Folder, Guest, build, run_briefly};
use std::fs;
use std::path::Path;
use std::process::{Command, Output, Stdio};

/// A disk with an ext4 file system.
#[derive(Debug)]
pub struct Volume {
    disk: Disk,
}

impl Volume {
    /// A disk of this size with an empty file system, as mkfs.ext4 makes it.
    pub fn empty(size: u64) -> Self {
        Self::with(size, &[])
    }

    /// A disk as mkfs.ext4 makes it with these flags.
    pub fn with(size: u64, flags: &[&str]) -> Self {
        let volume = Self { disk: Disk::empty(size) };
        let path = volume.path().display().to_string();
        expect_success(&run("mkfs.ext4", &[&["-q", "-F"][..], flags, &[&path]].concat()));
        volume
    }

    /// A disk of this size with the files that `make` makes in a folder.
    pub fn with_files(size: u64, make: impl FnOnce(&Path) -> std::io::Result<()>) -> Self {
        let folder = Folder::empty();
        make(folder.path()).expect("files");
        Self::with(size, &["-d", &folder.path().display().to_string()])
    }

    /// A disk as `husk disk create` makes it.
    pub fn created(size: u64) -> Self {
        let volume = Self { disk: Disk::empty(size) };
        fs::remove_file(volume.path()).expect("it is there");
        let (husk, path) = (build::husk_with_disks(), volume.path().display().to_string());
        run_briefly(Command::new(husk).args(["disk", "create", &path, &size.to_string()])).expect_success();
        volume
    }

    /// A disk with these bytes.
    pub fn of(bytes: &[u8]) -> Self {
        Self { disk: Disk::of(bytes) }
    }

    /// Path of the disk's file.
    pub fn path(&self) -> &Path {
        self.disk.path()
    }

    /// Returns the flag that attaches the disk alone.
    pub fn flag(&self, options: &str) -> String {
        self.disk.flag(options)
    }

    /// Attaches the disk to a guest, with the file system at `/data`; `options` of the disk begin with a comma, those of the mount
    /// with a colon.
    pub fn give(&self, guest: Guest, disk: &str, mount: &str) -> Guest {
        guest.flag(self.disk.flag(disk)).flag(format!("--mount=data:/data{mount}"))
    }

    /// A copy of the disk as it is now.
    pub fn copy(&self) -> Self {
        Self::of(&fs::read(self.path()).expect("it is there"))
    }

    /// Checks that e2fsck finds nothing to do but to look.
    #[track_caller]
    pub fn expect_clean(&self) {
        let output = self.tool("e2fsck", &["-f", "-n"]);
        assert!(output.status.success(), "{}", text(&output));
    }

    /// Has e2fsck replay the journal of the disk, and checks that it has nothing else to mend.
    #[track_caller]
    pub fn expect_replayed(&self) {
        // Status 1: it has changed something. It then has no more to do.
        let output = self.tool("e2fsck", &["-p"]);
        assert!(matches!(output.status.code(), Some(0 | 1)), "{}", text(&output));
        self.expect_clean();
    }

    /// Contents of a file of the disk, as debugfs reads it.
    #[track_caller]
    pub fn read(&self, path: &str) -> Vec<u8> {
        let output = self.debug(&format!("cat {path}"));
        assert!(output.status.success(), "{}", text(&output));
        output.stdout
    }

    /// Output of a command of debugfs.
    pub fn debug(&self, command: &str) -> Output {
        let path = self.path().display().to_string();
        run("debugfs", &["-R", command, &path])
    }

    /// Copies all files of the disk to a folder of the host, without a mount.
    #[track_caller]
    pub fn dump(&self, folder: &Path) {
        let output = self.debug(&format!("rdump / {}", folder.display()));
        assert!(output.status.success(), "{}", text(&output));
    }

    fn tool(&self, name: &str, flags: &[&str]) -> Output {
        let path = self.path().display().to_string();
        run(name, &[flags, &[&path]].concat())
    }
}

/// Runs a tool of e2fsprogs, which are in folders of root's.
fn run(name: &str, words: &[&str]) -> Output {
    let path = format!("{}:/usr/sbin:/sbin", std::env::var("PATH").unwrap_or_default());
    let started = Command::new(name).args(words).env("PATH", path).stdin(Stdio::null()).output();
    started.unwrap_or_else(|error| panic!("{name} of e2fsprogs: {error}"))
}

#[track_caller]
fn expect_success(output: &Output) {
    assert!(output.status.success(), "{}", text(output));
}

fn text(output: &Output) -> String {
    format!("{}{}", String::from_utf8_lossy(&output.stdout), String::from_utf8_lossy(&output.stderr))
}

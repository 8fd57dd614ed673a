//! Fresh machine, on which Husk was never built: a clone, a Rust toolchain without the targets, and separate homes of
//! rustup and cargo.
//!
//! The toolchain is that of the tests, hard-linked file by file, so that rustc finds its sysroot in the copy. The toolchain is
//! new in each run of the tests; crates that cargo has fetched and compiled are kept, because only the first run would differ.

use husk_tests::build::{target_directory, workspace};
use husk_tests::{CargoHusk, Outcome};
use husk_toolchain::{TARGETS, Toolchain};
use std::collections::BTreeSet;
use std::env;
use std::ffi::OsString;
use std::fs;
use std::os::unix::fs::{PermissionsExt, symlink};
use std::path::{Path, PathBuf};
use std::process::Command;
use std::sync::OnceLock;

/// Environment variables, or prefixes of them, that redirect cargo and rustup or make their output longer.
const FOREIGN: [&str; 7] = ["CARGO", "RUSTUP_", "RUSTC", "RUSTFLAGS", "RUST_", "HUSK", "LD_LIBRARY_PATH"];
/// Host triple in names of toolchains.
const HOST: &str = "x86_64-unknown-linux-gnu";

/// Fresh machine.
pub struct Machine {
    folder: PathBuf,
    /// Name of the toolchain for rustup.
    name: String,
}

impl Machine {
    /// Makes the machine, with the toolchain but without its targets. Returns `None`, after a loud skip, unless the tests
    /// run with a toolchain of rustup's in a git checkout.
    pub fn new() -> Option<Self> {
        let file = fs::read_to_string(workspace().join("rust-toolchain.toml")).expect("it is there");
        let channel = file.lines().find_map(|line| line.strip_prefix("channel = \"")?.strip_suffix('"'));
        let name = format!("{}-{HOST}", channel.expect("a channel"));
        let machine = Self { folder: target_directory().join("fresh"), name };
        let is_rustups = own_toolchain().sysroot().join("lib/rustlib/multirust-config.toml").is_file();
        if rustup().is_none() || !is_rustups || !machine.clone_workspace() {
            husk_skip::skip!("fresh machines, which take a git checkout and a toolchain of rustup's to copy");
            return None;
        }
        let programs = machine.folder.join("cargo/bin");
        remake(&programs);
        symlink(rustup()?, programs.join("rustup")).expect("a new folder");
        for name in ["cargo", "rustc"] {
            symlink("rustup", programs.join(name)).expect("a new folder");
        }
        remake(&machine.folder.join("rustup"));
        // Otherwise rustup might update itself, and it is the rustup of this host.
        let settings = "version = \"12\"\nprofile = \"minimal\"\nauto_self_update = \"disable\"\n";
        fs::write(machine.folder.join("rustup/settings.toml"), settings).expect("a new folder");
        machine.install();
        Some(machine)
    }

    /// Installs the toolchain anew, without targets.
    pub fn install(&self) {
        copy_toolchain(own_toolchain().sysroot(), &self.toolchain());
    }

    /// Folder of the toolchain.
    pub fn toolchain(&self) -> PathBuf {
        self.folder.join("rustup/toolchains").join(&self.name)
    }

    /// Makes a copy of the toolchain outside of rustup's folders, like that of a system's package. Returns its folder.
    pub fn system_toolchain(&self) -> PathBuf {
        let folder = self.folder.join("system");
        copy_toolchain(own_toolchain().sysroot(), &folder);
        folder
    }

    /// Makes a folder with this shell script as the program `name`. Returns the folder.
    pub fn script(&self, name: &str, text: &str) -> PathBuf {
        let folder = self.folder.join("scripts");
        remake(&folder);
        fs::write(folder.join(name), text).expect("a new folder");
        fs::set_permissions(folder.join(name), fs::Permissions::from_mode(0o755)).expect("our own");
        folder
    }

    /// Folder with rustup and its proxies for cargo and rustc.
    pub fn rustups(&self) -> PathBuf {
        self.folder.join("cargo/bin")
    }

    /// Call of this program in the clone, with a PATH of these folders and then those of the system that have no rustup.
    pub fn call(&self, first: &[&Path], program: &str, words: &str) -> CargoHusk {
        let folders = env::var_os("PATH").unwrap_or_default();
        let system = env::split_paths(&folders).filter(|folder| !folder.join("rustup").exists());
        let path = first.iter().map(|folder| folder.to_path_buf()).chain(system);
        self.call_in(env::join_paths(path).expect("no colon"), program, words)
    }

    /// Call of the toolchain's cargo with no other programs in PATH.
    pub fn call_alone(&self, words: &str) -> CargoHusk {
        self.call_in(self.toolchain().join("bin").into(), "cargo", words)
    }

    fn call_in(&self, path: OsString, program: &str, words: &str) -> CargoHusk {
        // env(1) looks programs up in the PATH that they are to have.
        let mut command = Command::new("/usr/bin/env");
        for (name, _) in env::vars_os() {
            if FOREIGN.iter().any(|foreign| name.to_string_lossy().starts_with(foreign)) {
                command.env_remove(name);
            }
        }
        command.env("PATH", path).env("RUSTUP_AUTO_INSTALL", "0").env("RUST_BACKTRACE", "1");
        command.env("RUSTUP_HOME", self.folder.join("rustup")).env("CARGO_HOME", self.folder.join("cargo"));
        command.arg(program).args(words.split_whitespace()).current_dir(self.clone());
        CargoHusk::of(command)
    }

    /// Runs cargo as usual, through rustup.
    pub fn cargo(&self, words: &str) -> Outcome {
        self.call(&[&self.rustups()], "cargo", words).build()
    }

    /// Adds the targets with the command that the error message suggests.
    pub fn add_targets(&self) -> Outcome {
        let words = format!("target add --toolchain {} {}", self.name, TARGETS.join(" "));
        self.call(&[&self.rustups()], "rustup", &words).build()
    }

    /// Targets that the toolchain has.
    pub fn targets(&self) -> Vec<&str> {
        let has = |target: &&str| self.toolchain().join("lib/rustlib").join(target).is_dir();
        TARGETS.into_iter().filter(has).collect()
    }

    fn clone(&self) -> PathBuf {
        self.folder.join("clone")
    }

    /// Makes the clone, with changes that are not committed yet. Unchanged files are left alone, so that cargo compiles only
    /// what has changed since the last time.
    fn clone_workspace(&self) -> bool {
        let mut git = Command::new("git");
        git.args(["ls-files", "-z", "--cached", "--others", "--exclude-standard"]).current_dir(workspace());
        let Ok(listed) = git.output() else { return false };
        let listed = String::from_utf8(listed.stdout).expect("names in UTF-8");
        let listed = listed.split('\0').filter(|name| workspace().join(name).is_file());
        let names: BTreeSet<PathBuf> = listed.map(PathBuf::from).collect();
        for name in &names {
            let (from, to) = (workspace().join(name), self.clone().join(name));
            let bytes = fs::read(from).expect("it was listed");
            if fs::read(&to).ok().as_ref() != Some(&bytes) {
                fs::create_dir_all(to.parent().expect("a folder")).expect("a folder of ours");
                fs::write(to, bytes).expect("a folder of ours");
            }
        }
        let gone = |path: &Path| !path.starts_with("target") && !names.contains(path);
        for path in files(&self.clone()) {
            if gone(path.strip_prefix(self.clone()).expect("it lies there")) {
                fs::remove_file(path).expect("a folder of ours");
            }
        }
        !names.is_empty()
    }
}

/// Toolchain that the tests run with.
fn own_toolchain() -> &'static Toolchain {
    static OWN: OnceLock<Toolchain> = OnceLock::new();
    OWN.get_or_init(|| Toolchain::of("rustc".as_ref()).unwrap_or_else(|error| panic!("{error}")))
}

fn rustup() -> Option<PathBuf> {
    let folders = env::var_os("PATH")?;
    env::split_paths(&folders).map(|folder| folder.join("rustup")).find(|path| path.is_file())?.canonicalize().ok()
}

/// Makes a new folder in place of an old one.
fn remake(folder: &Path) {
    let _ = fs::remove_dir_all(folder);
    fs::create_dir_all(folder).expect("a folder of ours");
}

/// Files below `folder`, except those in a target folder.
fn files(folder: &Path) -> Vec<PathBuf> {
    let mut found = vec![];
    for entry in fs::read_dir(folder).expect("a folder").map(|entry| entry.expect("it can be read")) {
        match entry.file_type().expect("it is there").is_dir() {
            true if entry.file_name() == "target" => {}
            true => found.extend(files(&entry.path())),
            false => found.push(entry.path()),
        }
    }
    found
}

/// Makes a copy of the toolchain in `from` at `to`, without targets. Programs and libraries are linked, because they are
/// never written to; rustup's own lists are copied.
fn copy_toolchain(from: &Path, to: &Path) {
    remake(to);
    let lists = from.join("lib/rustlib");
    for file in ["bin", "lib", "libexec"].iter().flat_map(|folder| files(&from.join(folder))) {
        let copy = to.join(file.strip_prefix(from).expect("it lies there"));
        let is_list = file.parent() == Some(&lists);
        let name = file.strip_prefix(&lists).unwrap_or(&file).to_string_lossy();
        if TARGETS.iter().any(|target| name.starts_with(target) || name == format!("manifest-rust-std-{target}")) {
            continue;
        }
        fs::create_dir_all(copy.parent().expect("a folder")).expect("a folder of ours");
        if is_list {
            fs::write(copy, without_targets(&file)).expect("a folder of ours");
        } else if fs::hard_link(&file, &copy).is_err() {
            fs::copy(file, copy).expect("a folder of ours");
        }
    }
}

/// Contents of a list of installed components, without the targets.
fn without_targets(list: &Path) -> Vec<u8> {
    let bytes = fs::read(list).expect("it was listed");
    let kept = |part: &&str| {
        !TARGETS.iter().any(|target| {
            part.contains(&format!("rust-std-{target}")) || part.contains(&format!("target = \"{target}\""))
        })
    };
    let separator = match list.file_name().and_then(|name| name.to_str()) {
        Some("components") => "\n",
        Some("multirust-config.toml") => "\n\n",
        _ => return bytes,
    };
    let text = String::from_utf8(bytes).expect("text");
    let parts: Vec<_> = text.split_inclusive(separator).filter(kept).collect();
    parts.concat().into()
}

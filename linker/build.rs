//! Makes the objects that this tool carries and links into every `std` image: the libos, and the allocator.
//!
//! Each is compiled for `x86_64-unknown-none` in a target folder of its own (the workspace's is locked by the
//! cargo that runs us), prelinked into one relocatable object, and stripped of all global names but those that others may
//! use: nothing else in it can then collide with, or be bound to, a symbol of the program. Local names stay, for the
//! patcher and for crash reports.

use std::env;
use std::ffi::OsString;
use std::path::{Path, PathBuf};
use std::process::Command;

/// The one global name of the libos: the entry point of the image.
const ENTRY: &str = "husk_start";
/// The global names of the allocator, which are weak: a program may define its own.
const FAMILY: [&str; 8] =
    ["malloc", "free", "calloc", "realloc", "memalign", "aligned_alloc", "posix_memalign", "malloc_usable_size"];
const TARGET: &str = "x86_64-unknown-none";
const PROFILE: &str = "libos";

/// Settings of the outer cargo that must not leak into the build of the libos.
const FOREIGN: [&str; 7] = [
    "RUSTFLAGS",
    "CARGO_ENCODED_RUSTFLAGS",
    "CARGO_BUILD_RUSTFLAGS",
    "CARGO_BUILD_TARGET",
    "CARGO_TARGET_DIR",
    "RUSTC_WORKSPACE_WRAPPER",
    "RUSTC_WRAPPER",
];

fn main() {
    let workspace = variable("CARGO_MANIFEST_DIR").join("..");
    for input in
        ["libos/src", "libos/Cargo.toml", "libos/api", "libos/malloc", "targets/abi", "Cargo.toml", "Cargo.lock"]
    {
        println!("cargo::rerun-if-changed={}", workspace.join(input).display());
    }
    println!("cargo::rerun-if-changed=build.rs");

    let out = variable("OUT_DIR");
    let tools = Tools::find();
    for (package, names, is_weak) in [("libos", &[ENTRY][..], false), ("malloc", &FAMILY, true)] {
        let archive = compile(package, &workspace, &target_folder(&out));
        let object = prelink(&tools, &archive, &out.join(package), names, is_weak);
        println!("cargo::rustc-env=HUSK_{}_OBJECT={}", package.to_uppercase(), object.display());
    }
}

/// Makes one object of what these names need, in which they alone are global.
fn prelink(tools: &Tools, archive: &Path, stem: &Path, names: &[&str], is_weak: bool) -> PathBuf {
    let (prelinked, object) = (stem.with_extension("prelinked.o"), stem.with_extension("o"));
    let options = ["-flavor", "gnu", "-r", "--gc-sections", "-e", names[0]].map(String::from);
    let wanted = names.iter().map(|name| format!("--undefined={name}"));
    tools.run("rust-lld", options.into_iter().chain(wanted), [archive, Path::new("-o"), &prelinked]);
    let kept = names.iter().map(|name| format!("--keep-global-symbol={name}"));
    let weakened = names.iter().filter(|_| is_weak).map(|name| format!("--weaken-symbol={name}"));
    tools.run("rust-objcopy", kept.chain(weakened), [prelinked.as_path(), &object]);
    object
}

/// Compiles `package`; returns its archive.
fn compile(package: &str, workspace: &Path, target_folder: &Path) -> PathBuf {
    let mut cargo = Command::new(variable("CARGO"));
    cargo.args(["rustc", "--quiet", "--package", &format!("husk-{package}"), "--lib", "--crate-type", "staticlib"]);
    cargo.args(["--target", TARGET, "--profile", PROFILE, "--target-dir"]).arg(target_folder);
    cargo.arg("--manifest-path").arg(workspace.join("Cargo.toml"));
    for name in FOREIGN {
        cargo.env_remove(name);
    }
    run(cargo);
    target_folder.join(TARGET).join(PROFILE).join(format!("libhusk_{package}.a"))
}

/// `libos` in the outer target folder, where debug, release and clippy builds of this tool share it: `OUT_DIR` is
/// `<target folder>/<profile>/build/<package>/out`, with or without a target triple in between.
fn target_folder(out: &Path) -> PathBuf {
    match out.ancestors().find(|folder| folder.join(".rustc_info.json").exists()) {
        Some(target) => target.join("libos"),
        None => out.join("libos"),
    }
}

/// The tools that come with the compiler.
struct Tools {
    folder: PathBuf,
    libraries: PathBuf,
}

impl Tools {
    fn find() -> Self {
        let rustc = env::var_os("RUSTC").unwrap_or("rustc".into());
        let output = Command::new(rustc).args(["--print", "sysroot"]).output().expect("rustc starts");
        let sysroot = PathBuf::from(String::from_utf8_lossy(&output.stdout).trim());
        let host = env::var("HOST").expect("cargo sets HOST");
        Self { folder: sysroot.join("lib/rustlib").join(host).join("bin"), libraries: sysroot.join("lib") }
    }

    fn run<'a, S: Into<OsString>>(
        &self,
        tool: &str,
        options: impl IntoIterator<Item = S>,
        files: impl IntoIterator<Item = &'a Path>,
    ) {
        let mut command = Command::new(self.folder.join(tool));
        // The tools load LLVM from there; nobody else may see it.
        command.env("LD_LIBRARY_PATH", &self.libraries);
        command.args(options.into_iter().map(Into::into)).args(files);
        run(command);
    }
}

fn run(mut command: Command) {
    match command.status() {
        Ok(status) if status.success() => {}
        Ok(status) => panic!("building the libos: {command:?} ended with {status}"),
        Err(error) => panic!("building the libos: cannot start {command:?}: {error}"),
    }
}

fn variable(name: &str) -> PathBuf {
    env::var_os(name).unwrap_or_else(|| panic!("cargo sets {name}")).into()
}

//! Makes the objects that `cargo-husk` carries and links into every `std` image: the libos, and functions of C that are
//! faster than musl's.
//!
//! Each is compiled in a target folder of its own (the workspace's is locked by the cargo that runs this script), prelinked
//! into one relocatable object, and stripped of all global names but those that others may use: nothing else in it can then
//! collide with, or be bound to, a symbol of the program. Local names stay, for the patcher and for crash reports.

use husk_toolchain::{MUSL, NONE, TARGETS, Toolchain};
use std::env;
use std::ffi::OsString;
use std::path::{Path, PathBuf};
use std::process::{Command, ExitCode};

/// Code that is compiled into an object.
struct Part {
    /// Name of the package, after `husk-`.
    name: &'static str,
    target: &'static str,
    /// Global names of the object.
    names: &'static [&'static str],
    /// True if the global names are weak: a program may define its own.
    is_weak: bool,
    /// The objects that are made of it.
    forms: &'static [Form],
}

/// Object that is made of a part.
struct Form {
    name: &'static str,
    /// A name that the code leaves undefined, and the function that it stands for.
    defines: Option<(&'static str, &'static str)>,
}

impl Form {
    const fn plain(name: &'static str) -> Self {
        Self { name, defines: None }
    }
}

/// The libos saves no vector registers when the program calls it, so its target has none.
/// Only one of its objects has file systems for disks (`libos/src/volume`).
const LIBOS: Part = Part {
    name: "libos",
    target: NONE,
    names: &["husk_start"],
    is_weak: false,
    forms: &[
        Form { name: "libos", defines: Some(("husk_volume_entry", "husk_no_volumes")) },
        Form { name: "libos_volumes", defines: Some(("husk_volume_entry", "husk_volume_main")) },
    ],
};

const MALLOC: Part = Part {
    name: "malloc",
    target: NONE,
    names: &[
        "malloc",
        "free",
        "calloc",
        "realloc",
        "memalign",
        "aligned_alloc",
        "posix_memalign",
        "malloc_usable_size",
    ],
    is_weak: true,
    forms: &[Form::plain("malloc")],
};

const BYTES: Part = Part {
    name: "bytes",
    target: MUSL,
    names: &["memcpy", "memmove", "memset", "memcmp", "bcmp"],
    is_weak: true,
    forms: &[Form::plain("bytes")],
};

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

fn main() -> ExitCode {
    let workspace = variable("CARGO_MANIFEST_DIR").join("../..");
    let inputs =
        ["libos/src", "libos/Cargo.toml", "libos/api", "libos/malloc", "libos/bytes", "libos/ext4", "targets/abi"];
    for input in inputs.into_iter().chain(["Cargo.toml", "Cargo.lock"]) {
        println!("cargo::rerun-if-changed={}", workspace.join(input).display());
    }
    println!("cargo::rerun-if-changed=build.rs");
    println!("cargo::rustc-env=HUSK_HOST={}", variable("HOST").display());
    match make(&workspace) {
        Ok(()) => ExitCode::SUCCESS,
        Err(Failure::Said(message)) => {
            // cargo prints this line, and nothing else after a script that succeeds.
            println!("cargo::error={message}");
            ExitCode::SUCCESS
        }
        Err(Failure::Command(message)) => {
            println!("cargo::error={message}");
            ExitCode::FAILURE
        }
    }
}

/// Reasons why there are no objects.
enum Failure {
    /// A requirement is missing, and the message is complete.
    Said(String),
    /// A command failed, and has printed the reason to standard error: cargo shows that of a script that fails.
    Command(String),
}

/// Makes all objects.
fn make(workspace: &Path) -> Result<(), Failure> {
    let out = variable("OUT_DIR");
    let tools = Tools::find().map_err(Failure::Said)?;
    for part in [LIBOS, MALLOC, BYTES] {
        let archive = compile(&part, workspace, &target_folder(&out))?;
        for form in part.forms {
            let object = prelink(&tools, &part, form, &archive, &out)?;
            println!("cargo::rustc-env=HUSK_{}_OBJECT={}", form.name.to_uppercase(), object.display());
        }
    }
    Ok(())
}

/// Makes one object of what a part's names need, in which they alone are global.
fn prelink(tools: &Tools, part: &Part, form: &Form, archive: &Path, out: &Path) -> Result<PathBuf, Failure> {
    let file = |end| out.join(format!("{}{end}", form.name));
    let (prelinked, object) = (file("-prelinked.o"), file(".o"));
    let options = ["-flavor", "gnu", "-r", "--gc-sections", "-e", part.names[0]].map(String::from);
    let defined = form.defines.map(|(name, function)| format!("--defsym={name}={function}"));
    let used = part.names.iter().copied().chain(form.defines.map(|(_, function)| function));
    let wanted = used.map(|name| format!("--undefined={name}")).chain(defined);
    tools.run(&tools.editor, options.into_iter().chain(wanted), [archive, Path::new("-o"), &prelinked])?;
    let kept = part.names.iter().map(|name| format!("--keep-global-symbol={name}"));
    let weakened = part.names.iter().filter(|_| part.is_weak).map(|name| format!("--weaken-symbol={name}"));
    tools.run(&tools.objcopy, kept.chain(weakened), [prelinked.as_path(), &object])?;
    Ok(object)
}

/// Compiles a part; returns its archive.
fn compile(part: &Part, workspace: &Path, target_folder: &Path) -> Result<PathBuf, Failure> {
    let mut cargo = Command::new(variable("CARGO"));
    cargo.args(["rustc", "--quiet", "--package", &format!("husk-{}", part.name), "--lib", "--crate-type", "staticlib"]);
    cargo.args(["--target", part.target, "--profile", PROFILE, "--target-dir"]).arg(target_folder);
    cargo.arg("--manifest-path").arg(workspace.join("Cargo.toml"));
    for name in FOREIGN {
        cargo.env_remove(name);
    }
    run(cargo)?;
    Ok(target_folder.join(part.target).join(PROFILE).join(format!("libhusk_{}.a", part.name)))
}

/// `libos` in the outer target folder, where debug, release and clippy builds of this tool share it: `OUT_DIR` is
/// `<target folder>/<profile>/build/<package>/out`, with or without a target triple in between.
fn target_folder(out: &Path) -> PathBuf {
    match husk_toolchain::target_folder(out) {
        Some(target) => target.join("libos"),
        None => out.join("libos"),
    }
}

/// The tools that come with the compiler.
struct Tools {
    editor: PathBuf,
    objcopy: PathBuf,
    libraries: PathBuf,
}

impl Tools {
    /// Finds the tools in a toolchain that has all targets.
    fn find() -> Result<Self, String> {
        let toolchain = Toolchain::of(&variable("RUSTC"))?;
        toolchain.provide(&TARGETS)?;
        let host = env::var("HOST").expect("cargo sets HOST");
        let tool = |name| toolchain.tool(&host, name);
        Ok(Self { editor: tool("rust-lld")?, objcopy: tool("rust-objcopy")?, libraries: toolchain.shared_libraries() })
    }

    fn run<'a, S: Into<OsString>>(
        &self,
        tool: &Path,
        options: impl IntoIterator<Item = S>,
        files: impl IntoIterator<Item = &'a Path>,
    ) -> Result<(), Failure> {
        let mut command = Command::new(tool);
        // The tools load LLVM from there; no other program may see it.
        command.env("LD_LIBRARY_PATH", &self.libraries);
        command.args(options.into_iter().map(Into::into)).args(files);
        run(command)
    }
}

fn run(mut command: Command) -> Result<(), Failure> {
    let program = Path::new(command.get_program()).display().to_string();
    match command.status() {
        Ok(status) if status.success() => Ok(()),
        Ok(status) => Err(Failure::Command(format!("building the libos failed: '{program}' ended with {status}"))),
        Err(error) => Err(Failure::Said(format!("building the libos failed: cannot start '{program}': {error}"))),
    }
}

fn variable(name: &str) -> PathBuf {
    env::var_os(name).unwrap_or_else(|| panic!("cargo sets {name}")).into()
}

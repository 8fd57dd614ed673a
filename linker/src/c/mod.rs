//! C for images: the compiler that build scripts and `husk-cc` use, and the linking of a C program.
//!
//! Code for musl needs a compiler that finds musl's headers: `musl-gcc`, or zig, which brings them, or clang with the headers
//! of a package. A C program is linked as rustc links a Rust program, with the C library that comes with the Rust target.

mod compiler;
mod words;

use crate::cargo;
use crate::config::Config;
use crate::error::{Error, Result};
use crate::link::request;
use crate::link::scratch::Scratch;
use crate::settings::Kind;
use crate::toolchain;
use compiler::Compiler;
use husk_toolchain::{MUSL, Toolchain};
use std::env;
use std::ffi::OsString;
use std::fs;
use std::os::unix::fs::symlink;
use std::os::unix::process::CommandExt;
use std::path::{Path, PathBuf};
use std::process::{self, Command, ExitCode};
use words::Words;

/// Name by which this executable is a C compiler.
pub const NAME: &str = "husk-cc";

/// Variables by which a user chooses the C compiler of build scripts.
const CHOICES: [&str; 4] = ["CC_x86_64_unknown_linux_musl", "CC_x86_64-unknown-linux-musl", "TARGET_CC", "CC"];

/// Returns the variables that have build scripts compile C by this tool, which is needed where they do not find a compiler
/// for musl by themselves. The tool then needs a name of its own, in `folder`.
pub fn variables(folder: Option<&Path>, config: &Config) -> Result<Option<(&'static str, PathBuf)>> {
    let is_chosen = CHOICES.iter().any(|name| env::var_os(name).is_some() || config.gives_variable(name));
    let Some(folder) = folder.filter(|_| !is_chosen && !Compiler::is_found_by_build_scripts()) else { return Ok(None) };
    let executable = cargo::executable()?;
    let name = folder.join(NAME);
    if fs::read_link(&name).ok().as_ref() != Some(&executable) {
        fs::create_dir_all(folder).map_err(|error| Error::file("create", folder, error))?;
        // Another build may do so at the same time.
        let own = folder.join(format!("{NAME}-{}", process::id()));
        symlink(&executable, &own)
            .and_then(|()| fs::rename(&own, &name))
            .map_err(|error| Error::file("create", &name, error))?;
    }
    Ok(Some((CHOICES[0], name)))
}

/// Compiles and links by the words of a C compiler.
pub fn run(arguments: Vec<OsString>) -> Result<ExitCode> {
    let words = Words::parse(arguments);
    if let Some(file) = words.inputs.iter().find(|input| words::is_of_another_language(input)) {
        return Err(Error::new(format!("'{}' is not C: husk-cc compiles C and assembly", file.display())));
    }
    if !words.links {
        let compiler = Compiler::find()?;
        let mut command = compiler.command();
        let error = command.args(words.all).exec();
        return Err(Error::start(command.get_program().as_ref(), error));
    }
    if words.is_shared {
        return Err(Error::new("-shared: an image is one static program; link the objects into it"));
    }
    let scratch = Scratch::beside(&words.output, NAME)?;
    let compiler = Compiler::find()?;
    let mut inputs = vec![];
    for (number, input) in words.inputs.iter().enumerate() {
        if !words::is_source(input) {
            inputs.push(input.clone());
            continue;
        }
        let object = scratch.0.join(format!("{number}.o"));
        let mut command = compiler.command();
        command.args(&words.compiling).arg("-c").arg(input).arg("-o").arg(&object);
        let status = command.status().map_err(|error| Error::start(command.get_program().as_ref(), error))?;
        if !status.success() {
            return Ok(cargo::exit_code(status));
        }
        inputs.push(object.into());
    }
    link(inputs, &words.output)
}

/// Links an image: this executable is the linker, with words like those of rustc.
fn link(inputs: Vec<OsString>, output: &Path) -> Result<ExitCode> {
    let rustc = toolchain::rustc(&Config::default());
    toolchain::provide(&rustc, MUSL)?;
    let toolchain = Toolchain::of(&rustc).map_err(Error::new)?;
    let libraries = toolchain.sysroot().join("lib/rustlib").join(MUSL).join("lib");
    let own = libraries.join("self-contained");
    let builtins = compiler_builtins(&libraries)?;
    let tools = toolchain.tool(husk_objects::HOST, "rust-lld").map_err(Error::new)?;
    let executable = cargo::executable()?;
    let mut command = Command::new(executable);
    command.args(["rcrt1.o", "crti.o", "crtbeginS.o"].map(|name| own.join(name))).args(inputs);
    command.args(["-nostartfiles", "-nodefaultlibs", "-static-pie", "-L"]).arg(&own);
    command.arg("-Wl,--start-group").arg("-lc").arg(builtins).arg("-Wl,--end-group");
    command.args(["-Wl,--eh-frame-hdr", "-Wl,--gc-sections", "-Wl,-z,noexecstack", "-Wl,-z,relro,-z,now"]);
    command.args(["crtendS.o", "crtn.o"].map(|name| own.join(name))).arg("-o").arg(output);
    // As rustc does for its linker.
    let folders = env::var_os("PATH").unwrap_or_default();
    let folders = tools.parent().map(Path::to_owned).into_iter().chain(env::split_paths(&folders));
    command.env("PATH", env::join_paths(folders).map_err(|error| Error::new(format!("cannot link: {error}")))?);
    command.env(request::KIND, Kind::Std.name()).env(request::TOOL, request::identity());
    command.env_remove("CARGO_PKG_NAME").env_remove(request::STRIP_DEBUG);
    let error = command.status().map(cargo::exit_code);
    error.map_err(|error| Error::start(command.get_program().as_ref(), error))
}

/// Returns the archive with functions that a compiler calls for arithmetic.
fn compiler_builtins(libraries: &Path) -> Result<PathBuf> {
    let entries = fs::read_dir(libraries).map_err(|error| Error::file("read", libraries, error))?;
    let is_it = |path: &PathBuf| {
        let name = path.file_name().unwrap_or_default().to_string_lossy();
        name.starts_with("libcompiler_builtins-") && name.ends_with(".rlib")
    };
    let found = entries.flatten().map(|entry| entry.path()).find(is_it);
    found.ok_or_else(|| Error::new(format!("the Rust target in '{}' has no compiler_builtins", libraries.display())))
}

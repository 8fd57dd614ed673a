//! The linker step, which rustc calls instead of its linker while `cargo husk` builds.
//!
//! It adds the libos and the manifest to rustc's words, runs the usual linker, turns `syscall` instructions of the
//! result into jumps to the libos, splits off debug information, and adds the package's files.

mod archive;
mod check;
mod debug;
pub mod files;
mod line;
mod linker;
mod lld;
mod note;
mod order;
pub mod request;
mod response;
pub mod scratch;
pub mod tool;

use crate::cargo;
use crate::error::{Error, Result};
use crate::settings::Kind;
use files::Tree;
use husk_abi::note::Manifest;
use husk_objects::{BYTES, LIBOS, LIBOS_VOLUMES, MALLOC};
use husk_patcher::{Plan, Reason};
use line::{Line, Strip, Word};
use linker::Linker;
use note::Notes;
use request::Request;
use scratch::Scratch;
use std::env;
use std::ffi::OsString;
use std::fs;
use std::path::Path;
use std::process::{Command, ExitCode, ExitStatus};
use zerocopy::IntoBytes;

/// Options that every image is linked with.
const OPTIONS: [&str; 4] = ["--entry=husk_start", "--build-id=sha1", "-z", "nopack-relative-relocs"];

/// Returns true if rustc is the caller.
pub fn is_called() -> bool {
    env::var_os(request::KIND).is_some()
}

/// Returns true if the file at `path` is an image that the linker step has made.
pub fn is_image(path: &Path) -> bool {
    let notes = fs::read(path).ok().and_then(|image| Notes::read(&image).ok());
    notes.is_some_and(|notes| notes.abi.is_some() && notes.manifest.is_some())
}

/// Links by the command line `arguments`, program name left out.
pub fn run(arguments: Vec<OsString>) -> Result<ExitCode> {
    let request = Request::from_environment()?;
    let mut line = Line::parse(&response::expand(arguments)?);
    let linker = Linker::choose(request.linker.as_deref(), line.flavor);
    let scratch = Scratch::beside(&line.output, "husk")?;
    if line.makes_program {
        add_ours(&mut line, &request, &scratch)?;
        if request.settings.kind == Kind::Std && linker.takes_order() {
            add_order(&mut line, libos(&request), &scratch)?;
        }
    }
    let status = link(&line, &linker, &scratch)?;
    if !status.success() {
        return Ok(cargo::exit_code(status));
    }
    if line.makes_program {
        finish(&line, &request)?;
    }
    Ok(ExitCode::SUCCESS)
}

/// Adds the manifest, the libos for a program that needs it, and the options of an image.
fn add_ours(line: &mut Line, request: &Request, scratch: &Scratch) -> Result<()> {
    let manifest = note::object(&request.settings)?;
    line.words.push(Word::Driver(scratch.write("manifest.o", &manifest)?.into()));
    if request.settings.kind == Kind::Std {
        line.words.push(Word::Driver(scratch.write("libos.o", libos(request))?.into()));
        add_functions(line, scratch)?;
    }
    line.words.extend(OPTIONS.map(|option| Word::Editor(option.into())));
    Ok(())
}

/// The libos for an image.
const fn libos(request: &Request) -> &'static [u8] {
    if request.settings.volumes { LIBOS_VOLUMES } else { LIBOS }
}

/// Adds functions of C right before the C library, which has slower ones: from an archive, the link editor takes only
/// symbols that are still undefined. So a program's own functions take precedence.
fn add_functions(line: &mut Line, scratch: &Scratch) -> Result<()> {
    let archive = archive::of(&[("malloc.o", MALLOC), ("bytes.o", BYTES)])?;
    let archive = scratch.write("libhusk.a", &archive)?;
    let of_c = |word: &Word| word.text() == "-lc" || word.text().to_string_lossy().ends_with("/libc.a");
    let place = line.words.iter().position(of_c).unwrap_or(line.words.len());
    line.words.insert(place, Word::Driver(archive.into()));
    Ok(())
}

/// Has the compiler use the toolchain's own link editor, which can put functions in an order; unless the user has
/// chosen another.
fn add_order(line: &mut Line, libos: &[u8], scratch: &Scratch) -> Result<()> {
    let chosen = |word: &Word| matches!(word, Word::Driver(text) if text.to_string_lossy().starts_with("-fuse-ld"));
    let Some(folder) = tool::link_editors().filter(|_| !line.words.iter().any(chosen)) else { return Ok(()) };
    let order = scratch.write("start.order", order::file(&[libos, MALLOC, BYTES], &line.words).as_bytes())?;
    let mut before = OsString::from("-B");
    before.push(folder);
    line.words.extend([before, "-fuse-ld=lld".into()].map(Word::Driver));
    let editor = |option: &str| Word::Editor(option.into());
    let mut ordering = OsString::from("--symbol-ordering-file=");
    ordering.push(order);
    line.words.extend([Word::Editor(ordering), editor("--no-warn-symbol-ordering")]);
    let is_fixed =
        !line.words.iter().any(|word| matches!(word.text().to_str(), Some("-static-pie" | "-pie" | "--pie")));
    line.words.extend(is_fixed.then(|| editor(lld::FIXED_BASE)));
    Ok(())
}

/// Runs the linker that rustc would have run.
fn link(line: &Line, linker: &Linker, scratch: &Scratch) -> Result<ExitStatus> {
    let output = [OsString::from("-o"), line.output.clone().into()];
    let (mut command, mut words) = match linker {
        Linker::Compiler(compiler) => (Command::new(compiler), line.for_compiler()),
        Linker::Editor(editor) => (Command::new(editor), lld::translate(&line.words, true)?),
        Linker::Bundled => (tool::bundled("rust-lld")?, lld::translate(&line.words, false)?),
    };
    if linker.takes_flavor() {
        command.args(["-flavor", "gnu"]);
    }
    words.extend(output);
    command.args(response::shorten(words, &scratch.0)?);
    command.status().map_err(|error| Error::start(Path::new(command.get_program()), error))
}

/// Turns the linker's output into an image.
fn finish(line: &Line, request: &Request) -> Result<()> {
    let path = &line.output;
    let mut image = fs::read(path).map_err(|error| Error::file("read", path, error))?;
    check::check(&image)?;
    let plan = match request.settings.kind {
        Kind::Std => husk_patcher::patch(&mut image)?,
        Kind::Native => Plan::default(),
    };
    let build_id = fill_in(&mut image, &plan)?;
    fs::write(path, &image).map_err(|error| Error::file("write", path, error))?;
    request.say(&summary(path, &plan));
    let strip = if request.strip_debug { line.strip.max(Strip::Debug) } else { line.strip };
    debug::split(path, &build_id, strip, request.folders.as_ref())?;
    if let Some(folder) = &request.settings.files {
        Tree::read(folder)?.append(path)?;
    }
    request.track(path)
}

/// Summarises the `syscall` sites of the program at `path` in one line; a warning if stubs ran out.
fn summary(path: &Path, plan: &Plan) -> String {
    let trapping: Vec<_> = plan.trapping.iter().map(|(reason, count)| format!("; {count} trap {reason}")).collect();
    let head = if plan.trapping.contains_key(&Reason::NoStub) { "warning: " } else { "" };
    format!("{head}{}: {} system calls are jumps{}", path.display(), plan.patched, trapping.concat())
}

/// Writes the counts of `plan` into the manifest; returns the build-id.
fn fill_in(image: &mut [u8], plan: &Plan) -> Result<Vec<u8>> {
    let missing = |what: &str| Error::new(format!("the linked program has no {what}"));
    let notes = Notes::read(image).map_err(|error| missing(&format!("readable notes: {error}")))?;
    if notes.abi.is_none() {
        return Err(missing("ABI note: a program with 'std = false' must use the crate 'husk'"));
    }
    let (manifest, place) = notes.manifest.ok_or_else(|| missing("manifest note"))?;
    let trapping_sites = plan.trapping.values().sum();
    let manifest = Manifest { patched_sites: plan.patched, trapping_sites, ..manifest };
    image[place].copy_from_slice(manifest.as_bytes());
    notes.build_id.ok_or_else(|| missing("build-id"))
}

//! Content of the machines: tests, images, tenders, and the tools of this machine that tests call, all built outside.

use crate::emulator::Machine;
use husk_tests::{build, run_briefly};
use object::read::elf::ElfFile64;
use object::{Endianness, Object};
use std::collections::BTreeSet;
use std::fs;
use std::path::{Path, PathBuf};
use std::process::Command;

/// Packages with images that tests run.
const PACKAGES: &[&str] =
    &["guests", "programs", "net-guests", "block-guests", "disk-programs", "echo", "hello", "hello-std"];
/// Programs that tests run as processes, too.
const NATIVE: &[&str] = &["closes", "interruptions", "signal_files", "signal_stack", "timers"];
/// Tools that tests call, beside those of busybox.
const TOOLS: &[&str] = &["bash", "ip", "kill", "mount", "setpriv", "sh", "unshare"];

/// Folder with the whole content.
#[derive(Debug)]
pub struct Content {
    /// Path of the folder.
    pub folder: PathBuf,
    /// Names of the test executables in the folder.
    pub tests: Vec<String>,
}

impl Content {
    /// Names of the tests in the executable `test`.
    pub fn names(&self, test: &str) -> Vec<String> {
        let mut list = Command::new(self.folder.join("tests").join(test));
        let text = run_briefly(list.args(["--list", "--format=terse"])).expect_success().stdout();
        text.lines().filter_map(|line| line.strip_suffix(": test")).map(str::to_owned).collect()
    }
}

/// Builds and gathers the content of `machine`.
pub fn gather(machine: Machine) -> Content {
    let folder = build::target_directory().join("lab").join(machine.name());
    let _ = fs::remove_dir_all(&folder);
    let content = Content { tests: gather_tests(&folder), folder };
    copy(&machine.husk(), &content.folder.join("husk"));
    copy(&machine.attacking_husk(), &content.folder.join("attacking-husk"));
    for package in PACKAGES {
        for image in build::images(package) {
            let folder = content.folder.join("images").join(package);
            copy(&image, &folder.join(image.file_name().expect("a file")));
            copy_debug_information(&image, &folder);
        }
    }
    for name in NATIVE {
        let to = content.folder.join("native/programs").join(name);
        copy(&build::native("programs", name), &to);
    }
    gather_tools(&content);
    content
}

/// Builds the executables of the tests of [`crate::plan::TESTS`] and [`crate::plan::LIBOS`], and copies them, without debug
/// information.
fn gather_tests(folder: &Path) -> Vec<String> {
    let line = ["test", "--no-run", "--message-format=json"];
    let tests: Vec<&str> = crate::plan::TESTS.iter().flat_map(|test| ["--test", test]).collect();
    let messages = build::cargo(&[&line[..], &["--package=husk-tests"], &tests].concat())
        + &build::cargo(&[&line[..], &["--package=husk-libos", "--lib"]].concat());
    let executables = messages.lines().filter_map(|line| line.split_once("\"executable\":\"")?.1.split('"').next());
    let mut names = vec![];
    for executable in executables.map(Path::new) {
        let file = executable.file_name().and_then(|name| name.to_str()).expect("a name in UTF-8");
        // Cargo appends a hash.
        let name = file.rsplit_once('-').map_or(file, |(name, _)| name);
        let to = folder.join("tests").join(name);
        copy(executable, &to);
        run_briefly(Command::new("strip").arg("--strip-debug").arg(&to)).expect_success();
        names.push(name.to_owned());
    }
    assert_eq!(names.len(), crate::plan::TESTS.len() + 1, "cargo names each executable: {names:?}");
    assert!(names.iter().any(|name| name == crate::plan::LIBOS), "{names:?}");
    names
}

/// Copies the debug information of `image`, which is named after the build-id, to where the tender looks for it.
fn copy_debug_information(image: &Path, folder: &Path) {
    let bytes = fs::read(image).expect("it was just built");
    let file = ElfFile64::<Endianness>::parse(&*bytes).expect("an image is an ELF file");
    let Ok(Some(id)) = file.build_id() else { panic!("{} has no build-id", image.display()) };
    let digits: String = id.iter().map(|byte| format!("{byte:02x}")).collect();
    let name = Path::new(".build-id").join(&digits[..2]).join(format!("{}.debug", &digits[2..]));
    let from = image.parent().expect("a folder").join(&name);
    // An image that is not stripped has no file of debug information beside it.
    if from.is_file() {
        copy(&from, &folder.join(name));
    }
}

/// Copies tools, and the libraries that they and the tests need.
fn gather_tools(content: &Content) {
    let mut programs: Vec<_> = content.tests.iter().map(|test| content.folder.join("tests").join(test)).collect();
    programs.extend(NATIVE.iter().map(|name| content.folder.join("native/programs").join(name)));
    for tool in TOOLS {
        let from = find(tool).unwrap_or_else(|| panic!("tests call {tool}: it is not in PATH"));
        copy(&from, &content.folder.join("bin").join(tool));
        programs.push(from);
    }
    let libraries: BTreeSet<_> = programs.iter().flat_map(|program| libraries(program)).collect();
    for library in libraries {
        copy(&library, &content.folder.join("root").join(library.strip_prefix("/").expect("an absolute path")));
    }
}

/// Path of the program `tool`, with all links resolved.
pub fn find(tool: &str) -> Option<PathBuf> {
    let folders = std::env::var_os("PATH").unwrap_or_default();
    let folders: Vec<_> = std::env::split_paths(&folders).chain(["/usr/sbin".into(), "/sbin".into()]).collect();
    folders.iter().map(|folder| folder.join(tool)).find(|path| path.is_file())?.canonicalize().ok()
}

/// Shared libraries of `program`, the loader included: absolute paths, as the loader has them.
fn libraries(program: &Path) -> Vec<PathBuf> {
    let text = run_briefly(Command::new("ldd").arg(program)).stdout();
    let words = text.split_whitespace().filter(|word| word.starts_with('/'));
    words.map(PathBuf::from).collect()
}

fn copy(from: &Path, to: &Path) {
    fs::create_dir_all(to.parent().expect("a folder")).expect("the target directory is ours");
    fs::copy(from, to).unwrap_or_else(|error| panic!("copying {} to {}: {error}", from.display(), to.display()));
}

//! C: in build scripts, and programs of their own.

use crate::elf::Image;
use crate::kinds::make_executable;
use crate::project::{Project, package};
use husk_tests::skip;
use std::os::unix::fs::symlink;
use std::path::Path;

const MISSING: &str = "C code for an image needs a compiler for musl, and there is none: install musl-gcc";

/// A build script that compiles C as the crate `cc` does.
const SCRIPT: &str = r#"use std::process::Command;
fn main() {
    println!("cargo::rerun-if-changed=part.c");
    let out = std::env::var("OUT_DIR").unwrap();
    let (object, archive) = (format!("{out}/part.o"), format!("{out}/libpart.a"));
    let compiler = std::env::var("CC_x86_64_unknown_linux_musl").unwrap_or("musl-gcc".into());
    let words = ["--target=x86_64-unknown-linux-musl", "-O2", "-c", "part.c", "-o", &object];
    let words = &words[usize::from(compiler == "musl-gcc")..];
    assert!(Command::new(compiler).args(words).status().unwrap().success());
    assert!(Command::new("ar").args(["crs", &archive, &object]).status().unwrap().success());
    println!("cargo::rustc-link-search=native={out}\ncargo::rustc-link-lib=static=part");
}"#;

/// Makes a program with a part in C.
fn with_part() -> Project {
    let main = "unsafe extern \"C\" { fn part() -> i32; }\nfn main() { println!(\"{}\", unsafe { part() }); }";
    let part = "#include <stdio.h>\nint part(void) { return puts(\"part\"); }";
    Project::new(&[("Cargo.toml", &package("app", "")), ("build.rs", SCRIPT), ("src/main.rs", main), ("part.c", part)])
}

/// Returns true if this machine has a compiler for musl.
fn has_compiler(project: &Project) -> bool {
    let outcome = project.husk("cc --version").outcome();
    assert!(outcome.status() == 0 || outcome.stderr().contains(MISSING), "{outcome}");
    outcome.status() == 0
}

#[test]
fn a_missing_compiler_is_named_in_a_line() {
    let project = with_part();
    project.write("bin/empty", "");
    for name in ["cc", "as", "ld", "ar", "sh"] {
        symlink(Path::new("/usr/bin").join(name), project.path("bin").join(name)).expect("a folder of ours");
    }
    let rustc = std::path::PathBuf::from(env!("CARGO")).with_file_name("rustc");
    let call = |words| project.husk(words).env("PATH", project.path("bin")).env("RUSTC", &rustc);
    let complaint = call("build").complaint();
    assert!(complaint.lines().any(|line| line.contains(MISSING)), "{complaint}");
    assert_eq!(call("cc part.c").complaint().lines().count(), 1);
    // A compiler of the user's choice is left.
    project.write("compiler", "#!/bin/sh\necho chosen >&2\nexit 1");
    make_executable(&project, "compiler");
    let complaint = call("build").env("CC_x86_64_unknown_linux_musl", project.path("compiler")).complaint();
    assert!(complaint.contains("chosen") && !complaint.contains(MISSING), "{complaint}");
    for value in [format!("'{}'", project.path("compiler").display()), "{ value = 'compiler', relative = true }".into()]
    {
        project.write(".cargo/config.toml", &format!("[env]\nCC_x86_64_unknown_linux_musl = {value}"));
        let complaint = call("build").complaint();
        assert!(complaint.contains("chosen") && !complaint.contains(MISSING), "{complaint}");
    }
}

#[test]
fn an_output_without_a_name_removes_nothing() {
    let project = Project::new(&[("main.c", "int main(void) { return 0; }"), ("part.cpp", "")]);
    for output in [".", "..", "/"] {
        let complaint = project.husk("cc main.c -o").argument(output).complaint();
        assert!(complaint.contains(&format!("'-o {output}' names no file: name the program to make")), "{complaint}");
        assert!(project.path("main.c").is_file());
    }
    assert!(project.husk("cc -c part.cpp").complaint().contains("'part.cpp' is not C"));
}

#[test]
fn build_scripts_compile_c() {
    let project = with_part();
    if !has_compiler(&project) {
        return skip!("C code in a package, as this machine has no compiler for musl");
    }
    Image::check(&project.build("")[0]);
}

#[test]
fn a_program_in_c_becomes_an_image() {
    let main = "#include <stdio.h>\n#include <math.h>\nint part(double);\n\
                int main(int count, char **words) { printf(\"%s %d\\n\", words[0], part(count)); return 0; }";
    let files = [("main.c", main), ("part.c", "#include <math.h>\nint part(double x) { return (int) sqrt(x); }")];
    let project = Project::new(&files);
    if !has_compiler(&project) {
        return skip!("programs in C, as this machine has no compiler for musl");
    }
    project.husk("cc -O2 -c part.c -o part.o").lines();
    project.husk("cc -O2 -Wall main.c part.o -lm -o app").lines();
    let image = Image::check(&project.path("app"));
    assert!(image.is_pie && image.symbols().contains_key("part"));
    assert!(project.husk("cc -shared main.c").complaint().contains("an image is one static program"));
    assert!(project.husk("cc missing.c").complaint().contains("missing.c"));
    assert!(project.husk("cc -E main.c").lines().iter().any(|line| line.starts_with("int main")));
}

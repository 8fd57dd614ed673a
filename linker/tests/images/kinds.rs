//! Sorts of packages: workspaces, examples, features, build scripts, tests, native programs.

use crate::elf::Image;
use crate::project::{HELLO, Project, name, package};
use husk_abi::note::kind;

const API: &str = concat!(env!("CARGO_MANIFEST_DIR"), "/../libos/api");

/// Returns the manifest of a native package.
fn native(name: &str) -> String {
    let rest = "[package.metadata.husk]\nstd = false\nmemory = '16M'\nstack = '256K'\n[dependencies]\n";
    package(name, &format!("{rest}husk = {{ path = '{API}' }}"))
}

const NATIVE: &str = "#![no_std]\n#![no_main]\nhusk::entry!(main);\nfn main() { husk::println!(\"hello\"); }";

/// Makes a workspace with an ordinary and a native program.
fn workspace() -> Project {
    Project::new(&[
        ("Cargo.toml", "[workspace]\nresolver = '3'\nmembers = ['ordinary', 'native']"),
        ("ordinary/Cargo.toml", &package("ordinary", "")),
        ("ordinary/src/main.rs", HELLO),
        ("native/Cargo.toml", &native("native")),
        ("native/src/main.rs", NATIVE),
    ])
    .sharing()
}

#[test]
fn a_workspace_of_both_kinds_is_built_whole_or_in_part() {
    let workspace = workspace();
    let images = workspace.build("--release");
    let mut kinds: Vec<_> = images.iter().map(|path| (name(path), Image::check(path).manifest.kind)).collect();
    kinds.sort();
    assert_eq!(kinds, [("native", kind::NATIVE), ("ordinary", kind::STD)]);
    let images = workspace.build("--release -p native");
    let manifest = Image::check(&images[0]).manifest;
    assert_eq!((images.len(), manifest.memory, manifest.main_stack), (1, 16 << 20, 256 << 10));
    assert_eq!(workspace.build("--release --workspace --exclude native").len(), 1);
    assert_eq!(workspace.build("--release --bin ordinary").len(), 1);
    let images = workspace.build("--release --manifest-path ordinary/Cargo.toml");
    assert_eq!(images.iter().map(|path| name(path)).collect::<Vec<_>>(), ["ordinary"]);
    assert!(workspace.husk("run").complaint().contains("choose a package with -p"));
    assert!(workspace.husk("test -p native").complaint().contains("cannot be tested"));
    assert!(workspace.husk("build -p nothing").complaint().contains("nothing"));
}

#[test]
fn examples_and_features_are_passed_through() {
    let manifest = package("app", "[features]\nloud = []");
    let example = "#[cfg(not(feature = \"loud\"))]\ncompile_error!(\"quiet\");\nfn main() {}";
    let project = Project::new(&[("Cargo.toml", &manifest), ("src/main.rs", HELLO), ("examples/shout.rs", example)]);
    assert!(project.husk("build --example shout").complaint().contains("quiet"));
    let images = project.build("--example shout --features loud --target-dir elsewhere");
    assert_eq!((images.len(), name(&images[0])), (1, "shout"));
    assert!(images[0].starts_with(project.path("elsewhere")));
    Image::check(&images[0]);
}

#[test]
fn build_scripts_and_macros_are_programs_of_the_host() {
    let macros = "use proc_macro::TokenStream;\n#[proc_macro]\npub fn seven(_: TokenStream) -> TokenStream { \"7\".parse().unwrap() }";
    let project = Project::new(&[
        ("Cargo.toml", &package("app", "[dependencies]\nmacros = { path = 'macros' }")),
        ("build.rs", "fn main() { println!(\"cargo::rustc-env=SIX=6\"); }"),
        ("src/main.rs", "fn main() { println!(\"{} {}\", env!(\"SIX\"), macros::seven!()); }"),
        ("macros/Cargo.toml", &package("macros", "[lib]\nproc-macro = true")),
        ("macros/src/lib.rs", macros),
    ]);
    Image::check(&project.build("")[0]);
}

#[test]
fn tests_become_images_that_the_tender_gets() {
    let project = Project::new(&[
        ("Cargo.toml", &package("app", "")),
        ("src/lib.rs", "//! ```\n//! assert!(true);\n//! ```\n#[test]\nfn unit() {}"),
        ("tests/whole.rs", "#[test]\nfn whole() {}"),
        ("tender", "#!/bin/sh\nfor word; do case \"$word\" in /*) echo \"$word\";; esac; done"),
    ]);
    make_executable(&project, "tender");
    let lines = project.husk("test -q").env("HUSK", project.path("tender")).lines();
    let images: Vec<_> = lines.iter().filter(|line| line.contains("/deps/")).collect();
    assert_eq!(images.len(), 2, "{lines:?}");
    for image in images {
        Image::check(image.as_ref());
    }
}

#[test]
fn settings_reach_the_manifest_and_a_change_links_again() {
    let project = Project::program("[package.metadata.husk]\nmemory = '32M'");
    let manifest = |project: &Project| Image::check(&project.build("")[0]).manifest;
    assert_eq!((manifest(&project).memory, manifest(&project).main_stack), (32 << 20, 8 << 20));
    project.write("Cargo.toml", &package("app", "[package.metadata.husk]\nmemory = '48M'\nstack = '2M'"));
    assert_eq!((manifest(&project).memory, manifest(&project).main_stack), (48 << 20, 2 << 20));
    project.write("Cargo.toml", &package("app", "[package.metadata.husk]\nmemroy = '48M'"));
    let complaint = project.husk("build").complaint();
    assert!(complaint.contains("package 'app', [package.metadata.husk]: there is no key 'memroy'"), "{complaint}");
}

/// Makes a file of a project executable.
pub fn make_executable(project: &Project, path: &str) {
    use std::os::unix::fs::PermissionsExt;
    std::fs::set_permissions(project.path(path), std::fs::Permissions::from_mode(0o755)).expect("our own file");
}

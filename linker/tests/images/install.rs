//! `cargo husk install`: images beside the programs that `cargo install` has installed.

use crate::elf::Image;
use crate::project::{Call, HELLO, Project, package};
use std::fs;
use std::process::Command;

/// Makes a folder with a package in it, from which the packages of crates.io are taken.
fn with_registry() -> Project {
    let manifest = |rest| package("app", &format!("version = '1.2.0'\n{rest}"));
    Project::new(&[
        ("home/config.toml", "[source.crates-io]\nreplace-with = 'here'\n[source.here]\ndirectory = 'packages'"),
        ("packages/app/Cargo.toml", &manifest("[package.metadata.husk]\nmemory = '48M'")),
        ("packages/app/src/main.rs", HELLO),
        ("packages/app/.cargo-checksum.json", "{\"files\":{}}"),
        ("packages/native/Cargo.toml", &package("native", "version = '1.0.0'\n[package.metadata.husk]\nstd = false")),
        ("packages/native/src/main.rs", HELLO),
        ("packages/native/.cargo-checksum.json", "{\"files\":{}}"),
        // cargo does not read the configuration of the current folder for a package that is no part of it.
        ("work/.cargo/config.toml", "build.rustflags = '--no-such-flag'"),
    ])
}

/// Prepares a call in a folder of the project, with a cargo's home in another.
fn call(project: &Project, words: &str) -> Call {
    project.husk(words).env("CARGO_HOME", project.path("home")).folder(&project.path("work"))
}

#[test]
fn a_program_of_the_registry_becomes_an_image_beside_programs() {
    let project = with_registry();
    project.write("home/bin/app", "a program");
    let images = call(&project, "install app").images();
    assert_eq!(images, [project.path("home/bin/app.husk")]);
    let image = Image::check(&images[0]);
    assert!(image.manifest.memory == 48 << 20 && image.has_symbols && !image.has_debug);
    assert_eq!(fs::read_to_string(project.path("home/bin/app")).ok().as_deref(), Some("a program"));

    // As with cargo, the version that is there is left.
    let again = call(&project, "install app@1.2.0").outcome();
    assert_eq!((again.status(), &*again.stdout()), (0, ""), "{again}");
    again.expect_stderr("is already installed");
    assert_eq!(call(&project, "install --list").lines(), ["app v1.2.0:", "    app"]);
    assert_eq!(call(&project, "install app --version 9.0.0").outcome().status(), 101);
    assert_eq!(call(&project, "install no-such-program").outcome().status(), 101);
    assert!(call(&project, "install native").complaint().contains("'native' is a native program"));

    call(&project, "uninstall app").lines();
    assert!(!images[0].exists() && project.path("home/bin/app").exists());
    let images = call(&project, "install -- app").images();
    fs::remove_file(&images[0]).expect("a file of ours");
    call(&project, "uninstall app").lines();
}

#[test]
fn folders_and_repositories_are_sources_too() {
    let project = Project::new(&[("in here/Cargo.toml", &package("app", "")), ("in here/src/main.rs", HELLO)]);
    let install =
        |words: &str, path: &str| project.husk(words).argument(path).argument("--root").argument("to").images();
    let images = install("install --debug --path", "in here");
    assert_eq!(images, [project.path("to/bin/app.husk")]);
    assert!(Image::check(&images[0]).has_symbols);
    let git = |words: &[&str]| {
        let options = ["-c", "user.name=a", "-c", "user.email=a@b", "-c", "commit.gpgsign=false"];
        let status = Command::new("git").args(options).args(words).current_dir(project.path("in here")).status();
        assert!(status.is_ok_and(|status| status.success()), "git {words:?}");
    };
    git(&["init", "--quiet"]);
    git(&["add", "."]);
    git(&["commit", "--quiet", "--message=all"]);
    let address = format!("file://{}", project.path("in here").display()).replace(' ', "%20");
    let call = project.husk("install --force --root to --git").argument(&address);
    Image::check(&call.env("CARGO_HOME", project.path("home")).images()[0]);

    // The configuration above the current folder counts.
    project.write(".cargo/config.toml", "install.root = 'there'");
    let call =
        |words: &str| project.husk(words).folder(&project.path("in here")).env("CARGO_HOME", project.path("home"));
    assert_eq!(call("install --path .").images(), [project.path("there/bin/app.husk")]);
    project.write("wrapper", "#!/bin/sh\nexec \"$@\" -C linker=cc");
    crate::kinds::make_executable(&project, "wrapper");
    let complaint =
        call("install --force --path . --target-dir fresh").env("RUSTC_WRAPPER", project.path("wrapper")).complaint();
    assert!(complaint.contains("is no image: another linker made it"), "{complaint}");
}

#[test]
fn check_clippy_and_bench_are_cargos() {
    let main = "fn main() {}\npub fn seven() -> u8 {\n    return 7;\n}";
    let manifest = package("app", "[[bench]]\nname = 'speed'\nharness = false");
    let bench = ("benches/speed.rs", "fn main() {}");
    let project = Project::new(&[("Cargo.toml", &manifest), ("src/main.rs", main), bench]);
    let status = |words: &str| project.husk(words).outcome().status();
    assert_eq!([status("check"), status("c --release"), status("clippy")], [0, 0, 0]);
    assert_eq!(status("clippy -- -D clippy::needless-return"), 101);
    assert!(project.husk("check --target x86_64-unknown-linux-gnu").complaint().contains("remove the option"));
    assert!(!project.path("target/husk/x86_64-unknown-linux-musl/debug/app").exists());

    project.write("tender", "#!/bin/sh\nfor word; do echo \"$word\"; done");
    crate::kinds::make_executable(&project, "tender");
    let lines = project.husk("bench -q --bench speed -m 64M -- fast").env("HUSK", project.path("tender")).lines();
    let image = lines.iter().find(|line| line.contains("/release/deps/speed-")).expect("the bench is run");
    Image::check(image.as_ref());
    assert!(lines.contains(&"--memory=64M".to_owned()) && lines.contains(&"fast".to_owned()), "{lines:?}");

    project.write("src/main.rs", "fn main() { 7 }");
    assert_eq!(status("check"), 101);
    let outcome = project.husk("check --message-format json").outcome();
    assert!(outcome.status() == 101 && outcome.stdout().contains("\"compiler-message\""), "{outcome}");
}

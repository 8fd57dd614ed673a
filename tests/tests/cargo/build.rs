//! `cargo husk build`: its output, and images that need nothing of the folder in which they were built.

use husk_tests::{Guest, Outcome, Project, build, package, run_briefly, skip};
use std::fs;
use std::path::Path;
use std::process::Command;
use tempfile::TempDir;

/// Workspace with a build script, a procedural macro, an old edition, and a C main function.
fn workspace() -> Project {
    let members = "[workspace]\nresolver = '3'\nmembers = ['made', 'macros', 'old', 'c-main']";
    let script = "fn main() { println!(\"cargo::rustc-env=SIX=6\"); }";
    let made = "fn main() { println!(\"{} {}\", env!(\"SIX\"), macros::seven!()); }";
    let macros =
        "#[proc_macro]\npub fn seven(_: proc_macro::TokenStream) -> proc_macro::TokenStream { \"7\".parse().unwrap() }";
    let old = "[package]\nname = 'old'\nversion = '1.0.0'\n";
    let c_main = "#![no_main]\n#[unsafe(no_mangle)]\nextern \"C\" fn main(count: i32, _: *const *const u8) -> i32 { 40 + count }";
    Project::new(
        "workspace",
        &[
            ("Cargo.toml", members),
            ("made/Cargo.toml", &package("made", "[dependencies]\nmacros = { path = '../macros' }")),
            ("made/build.rs", script),
            ("made/src/main.rs", made),
            ("macros/Cargo.toml", &package("macros", "[lib]\nproc-macro = true")),
            ("macros/src/lib.rs", macros),
            ("old/Cargo.toml", old),
            ("old/src/main.rs", "fn main() { let async = 2015; println!(\"{}\", async); }"),
            ("c-main/Cargo.toml", &package("c-main", "")),
            ("c-main/src/main.rs", c_main),
        ],
    )
}

/// Runs the image called `name` among `images`.
fn run(images: &[std::path::PathBuf], name: &str) -> Outcome {
    let image = images.iter().find(|path| path.file_name().is_some_and(|file| file == name));
    Guest::image(image.unwrap_or_else(|| panic!("no '{name}' in {images:?}"))).run()
}

#[test]
fn a_workspace_becomes_images_that_run() {
    let images = workspace().build("");
    assert_eq!(images.len(), 3, "{images:?}");
    run(&images, "made").expect_success().expect_stdout("6 7\n");
    run(&images, "old").expect_success().expect_stdout("2015\n");
    run(&images, "c-main").expect_status(41);
}

#[test]
fn an_image_runs_far_from_where_it_was_built() {
    let project = Project::program("carried", "fn main() { println!(\"carried {:?}\", std::env::current_dir()); }");
    let folder = TempDir::new().expect("a temporary folder");
    let copy = folder.path().join("an image");
    fs::copy(&project.build("--release")[0], &copy).expect("room for a copy");
    let outcome = Guest::image(&copy).through(&["env", "--chdir=/"]).run();
    outcome.expect_success().expect_stdout("carried Ok(\"/\")\n");
}

#[test]
fn an_error_of_the_compiler_is_shown_and_no_path_printed() {
    let project = Project::program("mistaken", "fn main() { let number: u32 = \"text\"; }");
    project.husk("build").build().expect_status(101).expect_stdout("").expect_stderr("mismatched types");
    project.husk("run").run().expect_status(101).expect_stdout("").expect_stderr("mismatched types");
}

#[test]
fn two_builds_at_once_both_end_well() {
    let project = Project::program("twice", "fn main() { println!(\"twice\"); }");
    std::thread::scope(|scope| {
        let builds = [(); 2].map(|()| scope.spawn(|| project.build("--release")));
        let images = builds.map(|build| build.join().expect("a build does not panic"));
        assert_eq!(images[0], images[1]);
        run(&images[0], "twice").expect_success().expect_stdout("twice\n");
    });
}

/// Output of `husk inspect` with these words about `image`.
fn inspect(words: &[&str], image: &Path) -> String {
    let output = run_briefly(Command::new(build::husk()).arg("inspect").args(words).arg(image));
    output.expect_success().stdout()
}

#[test]
fn an_image_can_be_inspected_as_a_table_and_as_json() {
    let settings = "[package.metadata.husk]\nmemory = '48M'\nstack = '2M'";
    let files = [("Cargo.toml", &*package("inspected", settings)), ("src/main.rs", "fn main() { println!(); }")];
    let image = &Project::new("inspected", &files).build("--release")[0];
    let table = inspect(&[], image);
    for part in
        ["contract      version", "std\n", "48M, of which main stack 2M", "sites call the libos, ", "r-x\n", "build-id"]
    {
        assert!(table.contains(part), "no '{part}' in {table}");
    }
    assert!(!table.contains('\x1b'), "no colours but on a terminal: {table}");
    let json = inspect(&["--json"], image);
    for part in [
        "\"kind\":\"std\"",
        "\"memory\":50331648",
        "\"main_stack\":2097152",
        "\"patched_sites\":",
        "\"trapping_sites\":",
    ] {
        assert!(json.contains(part), "no '{part}' in {json}");
    }
    assert_eq!(json.lines().count(), 1);
}

#[test]
fn a_program_in_c_runs() {
    let main = "#include <math.h>\n#include <pthread.h>\n#include <stdio.h>\n#include <stdlib.h>\n\
                static void *root(void *x) { *(double *) x = sqrt(*(double *) x); return x; }\n\
                int main(int count, char **words) {\n\
                    double x = count * 49.0; pthread_t thread;\n\
                    if (pthread_create(&thread, 0, root, &x) || pthread_join(thread, 0)) abort();\n\
                    printf(\"%.0f %s\\n\", x, getenv(\"HERE\")); return 7;\n\
                }";
    let project = Project::new("in-c", &[("main.c", main)]);
    let outcome = project.husk("cc -O2 -pthread main.c -lm -o app").build();
    if outcome.stderr().contains("needs a compiler for musl") {
        return skip!("a program in C, as this machine has no compiler for musl");
    }
    outcome.expect_success();
    let run = Guest::image(project.path("app")).flag("--env=HERE=there").run();
    run.expect_status(7).expect_stdout("7 there\n");
}

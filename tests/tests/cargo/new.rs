//! `cargo husk new`: projects that run at once.

use husk_tests::Project;
use std::fs;

/// Makes an empty folder.
fn empty(name: &str) -> Project {
    let project = Project::new(name, &[]);
    let _ = fs::remove_dir_all(project.path(""));
    fs::create_dir_all(project.path("")).expect("a folder");
    project
}

#[test]
fn a_new_project_runs() {
    let folder = empty("new");
    folder.husk("new new-ordinary").build().expect_success().expect_stderr("cd 'new-ordinary' && cargo husk run");
    let run = folder.husk("run -q").folder(&folder.path("new-ordinary")).run();
    run.expect_success().expect_stdout("Hello, world!\n");
}

#[test]
fn a_new_native_project_runs() {
    let folder = empty("new native");
    folder.husk("new --no-std new-native").build().expect_success();
    let run = folder.husk("run -q").folder(&folder.path("new-native")).run();
    run.expect_success().expect_stdout("Hello from a Husk guest\n");
}

#[test]
fn what_exists_is_not_overwritten() {
    let folder = empty("new twice");
    folder.husk("new new-twice").build().expect_success();
    folder.husk("new new-twice").build().expect_status(1).expect_stderr("already exists");
}

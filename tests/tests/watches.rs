//! inotify(7): what programs learn of files in memory, and in folders of the host.

use husk_tests::{Folder, Guest, Project, native, package};

#[test]
fn files_in_memory_are_watched_as_on_linux() {
    let here = Folder::empty();
    let expected = native::output_with("programs", "watches", &[&here.path().display().to_string(), "all"]);
    Guest::program("watches").argument("/tmp").argument("all").run().expect_success().expect_stdout(&expected);
}

#[test]
fn what_the_program_does_in_a_folder_is_watched_as_on_linux() {
    let (here, there) = (Folder::empty(), Folder::empty());
    let expected = native::output_with("programs", "watches", &[&here.path().display().to_string()]);
    let guest = Guest::program("watches").flag(there.flag("")).argument("/data");
    let outcome = guest.run();
    outcome.expect_success().expect_stdout(&expected);
    let told = "husk: the program watches files in a folder of the host (inotify_add_watch)";
    outcome.expect_stderr(told);
    assert_eq!(outcome.stderr().matches(told).count(), 1, "{outcome}");
}

/// Watches a directory with the crate `notify`, and prints the events about a new file, one renamed and one removed.
const NOTIFY: &str = r#"
use notify::event::{ModifyKind, RenameMode};
use notify::{Event, EventKind, RecursiveMode, Watcher};
use std::{fs, path::PathBuf, sync::mpsc, time::Duration};

fn main() {
    let root = PathBuf::from(std::env::args().nth(1).unwrap()).join("notified");
    fs::create_dir_all(root.join("sub")).unwrap();
    let (sender, receiver) = mpsc::channel();
    let mut watcher = notify::recommended_watcher(sender).unwrap();
    watcher.watch(&root, RecursiveMode::Recursive).unwrap();
    let until = |what: &str, wanted: fn(&EventKind) -> bool| loop {
        let Event { kind, paths, .. } = receiver.recv_timeout(Duration::from_secs(60)).unwrap().unwrap();
        if wanted(&kind) {
            let paths: Vec<_> = paths.iter().map(|path| path.strip_prefix(&root).unwrap()).collect();
            println!("{what}: {kind:?} {paths:?}");
            break;
        }
    };
    fs::write(root.join("sub/file"), "1").unwrap();
    until("made", EventKind::is_create);
    until("written", EventKind::is_modify);
    fs::rename(root.join("sub/file"), root.join("other")).unwrap();
    until("renamed", |kind| matches!(kind, EventKind::Modify(ModifyKind::Name(RenameMode::Both))));
    fs::create_dir(root.join("new")).unwrap();
    until("a directory", EventKind::is_create);
    fs::remove_file(root.join("other")).unwrap();
    until("removed", EventKind::is_remove);
    watcher.unwatch(&root).unwrap();
    fs::remove_dir_all(root).unwrap();
}
"#;

#[test]
fn the_crate_notify_is_told_of_changes_in_memory_and_in_folders() {
    let manifest = package("notifies", "[dependencies]\nnotify = { version = \"8\", default-features = false }\n");
    let project = Project::new("notifies", &[("Cargo.toml", &manifest), ("src/main.rs", NOTIFY)]);
    let folder = Folder::empty();
    let expected = "made: Create(File) [\"sub/file\"]\nwritten: Modify(Data(Any)) [\"sub/file\"]\n\
        renamed: Modify(Name(Both)) [\"sub/file\", \"other\"]\na directory: Create(Folder) [\"new\"]\n\
        removed: Remove(File) [\"other\"]\n";
    for image in project.build("--release") {
        Guest::image(image.clone()).argument("/tmp").run().expect_success().expect_stdout(expected);
        Guest::image(image).flag(folder.flag("")).argument("/data").run().expect_success().expect_stdout(expected);
    }
}

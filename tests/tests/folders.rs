//! Ordinary programs and folders of the host.

use husk_tests::{Folder, Guest, build};
use std::fs;
use std::os::unix::fs::symlink;
use std::path::Path;
use std::process::Command;
use std::time::Duration;

/// Program of the package `folder-programs`.
fn program(name: &str) -> Guest {
    Guest::image(build::image("folder-programs", name)).within(Duration::from_secs(120))
}

/// Standard output of the program as a process of this machine.
fn native(name: &str, arguments: &[&str]) -> String {
    let output = Command::new(build::native("folder-programs", name)).args(arguments).output().expect("it starts");
    assert!(output.status.success(), "{}", String::from_utf8_lossy(&output.stderr));
    String::from_utf8(output.stdout).expect("text")
}

/// Names, kinds, permissions and contents of everything below a directory.
fn contents(path: &Path) -> String {
    let script =
        "cd \"$1\" && find . -printf '%P %y %m %l\\n' | sort && find . -type f | sort | xargs -d '\\n' sha256sum";
    let output = Command::new("sh").args(["-c", script, "sh"]).arg(path).output().expect("a shell");
    assert!(output.status.success(), "{}", String::from_utf8_lossy(&output.stderr));
    String::from_utf8(output.stdout).expect("text").replace(&path.display().to_string(), "/data")
}

#[test]
fn files_behave_as_for_a_process() {
    let (here, there) = (Folder::empty(), Folder::empty());
    let expected = native("folder_calls", &[&here.path().display().to_string()]);
    program("folder_calls").flag(there.flag("")).argument("/data").run().expect_success().expect_stdout(&expected);
    assert_eq!(contents(there.path()), contents(here.path()));
}

#[test]
fn a_file_that_changes_at_random_has_what_was_written() {
    let folder = Folder::empty();
    let expected = native("folder_random", &[&folder.path().join("native").display().to_string(), "1500"]);
    let guest = program("folder_random").flag(folder.flag("")).argument("/data/guest").argument("1500");
    guest.run().expect_success().expect_stdout(&expected);
    let bytes = ["native", "guest"].map(|name| fs::read(folder.path().join(name)).expect("a file"));
    assert!(bytes[0] == bytes[1], "the host finds something else");
}

#[test]
fn a_large_directory_is_listed_while_files_are_removed() {
    let folder = Folder::empty();
    let guest = program("folder_many").flag(folder.flag("")).argument("/data");
    guest.run().expect_success().expect_stdout("20000 seen, 10000 left\n");
    assert_eq!(fs::read_dir(folder.path()).expect("a directory").count(), 0);
}

#[test]
fn changes_of_the_host_are_seen_at_once() {
    let folder = Folder::empty();
    let path = folder.path();
    for (version, text) in [("v1", "first"), ("v2", "second")] {
        fs::create_dir(path.join(version)).expect("a directory");
        fs::write(path.join(version).join("config"), text).expect("a file");
    }
    // As Kubernetes updates a ConfigMap.
    symlink("v1", path.join("..data")).expect("a link");
    symlink("..data/config", path.join("config")).expect("a link");
    let mut guest = program("folder_watch").flag(folder.flag(":ro")).argument("/data/config").spawn();
    guest.say("").expect_printed("Ok(\"first\")", 1);
    symlink("v2", path.join("..new")).expect("a link");
    fs::rename(path.join("..new"), path.join("..data")).expect("another link");
    guest.say("").expect_printed("Ok(\"second\")", 1);
    fs::write(path.join("v2/config"), "third").expect("a file");
    guest.say("").expect_printed("Ok(\"third\")", 1);
    guest.say("-").expect_printed("kind: ReadOnlyFilesystem", 2);
    fs::remove_file(path.join("v2/config")).expect("a file");
    guest.say("").expect_printed("Err(Some(2))", 1);
    guest.signal("TERM", 1);
    guest.finish();
}

#[test]
fn one_file_is_given_by_itself() {
    let folder = Folder::empty();
    let file = folder.path().join("secret");
    fs::write(&file, "word").expect("a file");
    let flag = format!("--files=/run/secrets/key={}:ro", file.display());
    let outcome = program("folder_watch").flag(flag).argument("/run/secrets/key").input(b"\n-\n").run();
    outcome.expect_success();
    assert!(outcome.stdout().starts_with("Ok(\"word\")\nErr("), "{}", outcome.stdout());
    assert_eq!(fs::read(&file).expect("a file"), b"word");
}

#[test]
fn what_cannot_be_given_is_named() {
    let refused = |flags: &[&str], parts: &[&str]| {
        let guest = flags.iter().fold(program("folder_watch"), |guest, flag| guest.flag(*flag));
        guest.run().expect_refusal(parts);
    };
    refused(
        &["--files=/data=/no/such/directory"],
        &["/no/such/directory", "there is no such directory or file", "mkdir"],
    );
    refused(&["--files=/data=/dev/null"], &["/dev/null", "neither a directory nor a regular file"]);
    refused(&["--files=data=/tmp"], &["--files", "absolute path"]);
    refused(&["--files=/a=/tmp", "--files=/a=/var"], &["--files /a=", "given twice"]);
    refused(&["--files=/a=/tmp", "--files=/a/b=/var"], &["/a/b", "inside"]);
    let native = Guest::native("idle").flag("--files=/data=/tmp").run();
    native.expect_refusal(&["--files", "native API"]);
}

#[test]
fn an_explanation_names_the_folder() {
    let folder = Folder::empty();
    let path = folder.path().display().to_string();
    for (ending, may) in [("", "read and change"), (":ro", "read")] {
        let outcome = program("folder_watch").flag(folder.flag(ending)).flag("--explain").run();
        outcome.expect_success();
        assert!(outcome.stdout().contains(&format!("{may} {path}, at /data")), "{}", outcome.stdout());
    }
}

//! Ordinary programs and folders of the host.

use husk_abi::fault::CALL;
use husk_tests::{
    Conversation, Folder, Guest, SlowFiles, build, contents, eventually, native, requires, same_lines, skip,
};
use std::fs;
use std::os::unix::fs::{MetadataExt, PermissionsExt, symlink};
use std::os::unix::net::UnixListener;
use std::path::Path;
use std::process::Command;
use std::time::Duration;

/// Program of the package `folder-programs`.
fn program(name: &str) -> Guest {
    Guest::image(build::image("folder-programs", name)).within(Duration::from_secs(120))
}

/// Standard output of the program as a process of this machine.
#[track_caller]
fn native(name: &str, arguments: &[&str]) -> String {
    native::output_with("folder-programs", name, arguments)
}

/// Checks that a program prints and leaves the same in an empty folder, in a guest, as in an empty directory, as a process.
#[track_caller]
fn behaves_as_natively(name: &str) {
    let (here, there) = (Folder::empty(), Folder::empty());
    let expected = native(name, &[&here.path().display().to_string()]);
    program(name).flag(there.flag("")).argument("/data").run().expect_success().expect_stdout(&expected);
    assert_eq!(contents(there.path()), contents(here.path()));
}

#[test]
fn files_behave_as_for_a_process() {
    behaves_as_natively("folder_calls");
}

#[test]
fn calls_on_each_kind_of_file_have_the_errors_of_linux() {
    let (here, there) = (Folder::empty(), Folder::empty());
    let _sockets = [&here, &there].map(|folder| {
        let made = Command::new("mkfifo").arg(folder.path().join("fifo")).status().expect("coreutils");
        assert!(made.success());
        UnixListener::bind(folder.path().join("socket")).expect("a socket")
    });
    let expected = native("folder_errors", &[&here.path().display().to_string()]);
    let outcome = program("folder_errors").flag(there.flag("")).argument("/data").run();
    outcome.expect_success();
    same_lines(&outcome.stdout(), &expected);
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
fn threads_that_share_a_descriptor_take_turns() {
    let folder = Folder::empty();
    let expected = native("folder_shared", &[&folder.path().join("native").display().to_string()]);
    assert_eq!(expected, "6400 bytes, at 6400\neach once: true, at 6400\n");
    let guest = program("folder_shared").flag(folder.flag("")).argument("/data/guest");
    guest.run().expect_success().expect_stdout(&expected);
}

#[test]
fn open_directories_keep_up_with_renames_and_links_are_followed() {
    behaves_as_natively("folder_moved");
}

#[test]
fn a_file_that_can_be_written_to_is_not_mapped_as_shared_memory() {
    let folder = Folder::empty();
    fs::write(folder.path().join("file"), "text").expect("a file");
    let guest = program("folder_maps").flag(folder.flag("")).argument("/data/file");
    let protected = "Some(13) Some(13) None\nSome(13)\ntrue None\n";
    let outcome = guest.run();
    outcome.expect_success().expect_stdout(&format!("Some(19)\nSome(19)\nNone\nNone\n{protected}"));
    assert_eq!(outcome.stderr().matches("tried to map a file of --files").count(), 1, "{outcome}");
    let expected = native("folder_maps", &[&folder.path().join("file").display().to_string()]);
    assert_eq!(expected, format!("None\nNone\nNone\nNone\n{protected}"));
}

#[test]
fn a_large_directory_is_listed_while_files_are_removed() {
    let folder = Folder::empty();
    let many = folder.path().join("many");
    fs::create_dir(&many).expect("a directory");
    (0..100_000).for_each(|number: u32| drop(fs::File::create(many.join(number.to_string())).expect("a file")));
    let guest = program("folder_many").flag(folder.flag("")).argument("/data");
    guest.run().expect_success().expect_stdout("100000 seen, 50000 left\n");
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
fn what_the_program_changes_is_seen_at_once() {
    behaves_as_natively("folder_kept");
}

#[test]
fn attributes_that_the_host_changes_are_seen_after_a_moment() {
    let folder = Folder::empty();
    let (path, flag) = (folder.path().join("file"), folder.flag(""));
    fs::write(&path, "text").expect("a file");
    let mut guest = program("folder_watch").flag(flag).argument("/data/file").converse();
    let looks_until = |guest: &mut Conversation, expected: &str| {
        eventually("the change is seen", || (guest.ask("?") == expected).then_some(()));
    };
    looks_until(&mut guest, "Ok(4) bytes");
    fs::write(&path, "longer text").expect("a file");
    looks_until(&mut guest, "Ok(11) bytes");
    fs::remove_file(&path).expect("it is there");
    looks_until(&mut guest, "Err(Some(2)) bytes");
    // What is not there is asked for each time.
    fs::write(&path, "anew").expect("a file");
    assert_eq!(guest.ask("?"), "Ok(4) bytes");
}

#[test]
fn attributes_are_not_kept_of_a_folder_that_is_never_cached() {
    let folder = Folder::empty();
    let path = folder.path().join("deep/file");
    fs::create_dir(folder.path().join("deep")).and_then(|()| fs::write(&path, "text")).expect("a file");
    let mut guest = program("folder_watch").flag(folder.flag(":cache=never")).argument("/data/deep/file").converse();
    for length in 5..50 {
        fs::write(&path, vec![b'x'; length]).expect("a file");
        assert_eq!(guest.ask("?"), format!("Ok({length}) bytes"));
    }
    fs::rename(folder.path().join("deep"), folder.path().join("else")).expect("it is there");
    assert_eq!(guest.ask("?"), "Err(Some(2)) bytes");
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
fn the_host_decides_for_the_user_that_husk_becomes() {
    if !requires::root() {
        return;
    }
    const USER: u32 = 65_533;
    let folder = Folder::empty();
    let mode = |path: &Path, mode| fs::set_permissions(path, fs::Permissions::from_mode(mode)).expect("our own");
    mode(folder.path(), 0o777);
    let (secret, theirs) = (folder.path().join("secret"), folder.path().join("theirs"));
    fs::write(&secret, "word").and_then(|()| fs::write(&theirs, "text")).expect("files");
    mode(&secret, 0o600);
    mode(&theirs, 0o644);
    std::os::unix::fs::chown(&theirs, Some(USER), Some(USER)).expect("root may");
    let run = |name: &str, line: &[u8]| {
        let guest = program("folder_watch").flag(folder.flag("")).flag(format!("--user={USER}"));
        let outcome = guest.argument(format!("/data/{name}")).input(line).run();
        outcome.expect_success();
        outcome.stdout()
    };
    assert_eq!(run("secret", b"\n"), "Err(Some(13))\n");
    assert_eq!(run("theirs", b"\n"), "Ok(\"text\")\n");
    assert_eq!(run("new", b"-\n"), "Ok(()) Ok(())\n");
    program("folder_wait")
        .flag(folder.flag(""))
        .flag(format!("--user={USER}"))
        .argument("/data/theirs")
        .argument("/data/made")
        .input(b"text\n")
        .run()
        .expect_success();
    assert_eq!(fs::metadata(folder.path().join("made")).map(|made| made.uid()).expect("it is there"), USER);
}

#[test]
fn a_full_disk_is_the_programs_error() {
    if !requires::root() {
        return;
    }
    let (folder, full) = (Folder::empty(), Folder::empty());
    let mount = |arguments: &[&str]| Command::new("mount").args(arguments).arg(full.path()).status();
    if !mount(&["-t", "tmpfs", "-o", "size=64k", "none"]).is_ok_and(|status| status.success()) {
        skip!("a test with a full disk, as no file system can be mounted");
        return;
    }
    let guest = program("folder_wait").flag(full.flag("")).flag(format!("--files=/other={}", folder.path().display()));
    let line = [b'x'; 100_000];
    let outcome = guest.argument("/other/none").argument("/data/note").input(&line).run();
    let _ = Command::new("umount").arg(full.path()).status();
    outcome.expect_stderr("StorageFull");
}

#[test]
fn a_folder_that_the_host_removes_is_empty() {
    let folder = Folder::empty();
    fs::write(folder.path().join("note"), "text").expect("a file");
    let mut guest = program("folder_watch").flag(folder.flag("")).argument("/data/note").spawn();
    guest.say("").expect_printed("Ok(\"text\")", 1);
    fs::remove_dir_all(folder.path()).expect("it is there");
    guest.say("").expect_printed("Err(Some(2))", 1);
    guest.say("-").expect_printed("NotFound", 2);
    guest.signal("TERM", 1).expect_ended();
}

#[test]
fn folders_are_in_the_table_of_mounts() {
    let folder = Folder::empty();
    let guest = program("folder_watch").flag(folder.flag(":ro")).argument("/proc/mounts");
    let outcome = guest.input(b"\n").run();
    outcome.expect_success();
    assert!(outcome.stdout().contains("host /data husk ro,"), "{}", outcome.stdout());
}

#[test]
fn a_file_system_that_hangs_holds_up_only_the_calls_on_it() {
    let Some(slow) = SlowFiles::mount() else { return };
    let folder = Folder::empty();
    let mut guest = waiting(&slow, &folder).spawn();
    eventually("a read hangs", || slow.has_waiting().then_some(()));
    for number in 1..=3 {
        guest.say("note").expect_printed("written: note", number);
    }
    slow.go_on();
    guest.expect_printed("Ok(\"contents\")", 1);
    guest.signal("TERM", 1).expect_ended();
    guest.finish().expect_status(128 + libc::SIGTERM);
}

#[test]
fn a_guest_ends_while_a_file_system_hangs() {
    let Some(slow) = SlowFiles::mount() else { return };
    let folder = Folder::empty();
    let mut guest = waiting(&slow, &folder).spawn();
    eventually("a read hangs", || slow.has_waiting().then_some(()));
    guest.signal("TERM", 1).expect_ended();
    guest.finish().expect_status(128 + libc::SIGTERM);
    let mut guest = waiting(&slow, &folder).flag("--timeout=1s").spawn();
    guest.expect_ended();
    guest.finish().expect_status(124);
}

/// Guest with a thread that waits for a file system that hangs, and another that uses a folder.
fn waiting(slow: &SlowFiles, folder: &Folder) -> Guest {
    let guest = program("folder_wait").flag(slow.flag()).flag(folder.flag(""));
    guest.argument("/slow/file").argument("/data/note")
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
    refused(&["--files=/etc/hosts/x=/tmp"], &["--files /etc/hosts/x", "ENOTDIR", "another place"]);
    refused(&["--files=/proc/x/y=/tmp"], &["--files /proc/x/y", "EPERM"]);
    refused(&["--files=/a=/tmp", "--files=/a/b=/var"], &["/a/b", "inside"]);
    let native = Guest::native("idle").flag("--files=/data=/tmp").run();
    native.expect_refusal(&["--files", "native API"]);
}

/// Nor is it waited for, as for the writer of a FIFO.
#[test]
fn what_is_no_folder_is_refused_at_once() {
    let folder = tempfile::tempdir().expect("a folder");
    let pipe = folder.path().join("pipe");
    assert!(Command::new("mkfifo").arg(&pipe).status().expect("coreutils").success());
    let refused = |path: &Path| program("folder_calls").flag(format!("--files=/given={}", path.display())).run();
    refused(&pipe).expect_refusal(&["neither a directory nor a regular file"]);
    refused(Path::new("/proc/self")).expect_refusal(&["the kernel's own files", "/proc/self"]);
}

#[test]
fn a_program_that_goes_past_its_libos_reaches_nothing_beside_a_folder() {
    let folder = Folder::empty();
    let (inside, secret) = (folder.path().join("inside"), folder.path().join("secret"));
    fs::create_dir_all(inside.join("deep")).and_then(|()| fs::write(&secret, "word")).expect("files");
    symlink("../secret", inside.join("up")).expect("a link");
    let _socket = UnixListener::bind(inside.join("pipe")).expect("a socket");
    let guest = || Guest::native("folder_hostile").flag(format!("--files=/data={}", inside.display()));
    // 65536 stands for a path that leads out; what is removed inside is the link itself.
    guest().run().expect_success().expect_stdout(
        "../secret: 65536 65536\nup: 65536 0\ndeep/../../secret: 65536 65536\n/etc/passwd: 65536 65536\n\
         pipe: 6 0\ndeep: 22 22\na handle of its own making: 9\nhandles: true\n",
    );
    assert_eq!(fs::read(&secret).expect("it is there"), b"word");
    for (how, reason) in [
        ("operation", "operation 99 does not exist"),
        ("short", "bytes long"),
        ("outside", "not memory that it may write"),
        ("tender", "not memory that it may write"),
    ] {
        guest().argument(how).run().expect_fault(CALL, reason);
    }
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

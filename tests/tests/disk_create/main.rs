//! `husk disk create`: disks that the host's tools take for what they are, and nothing in their place where that is not possible.

mod failures;
mod tree;

use husk_tests::{Outcome, build, requires, run_briefly};
use std::ffi::OsStr;
use std::fs;
use std::os::unix::fs::MetadataExt;
use std::path::Path;
use std::process::Command;
use tempfile::TempDir;
use tree::{ask, expect_same, expect_sound};

/// Returns the command that makes a disk.
fn command(file: &Path, size: &str, rest: &[&OsStr]) -> Command {
    let mut command = Command::new(build::husk_with_disks());
    command.args(["disk", "create"]).arg(file).arg(size).args(rest).env_remove("SOURCE_DATE_EPOCH");
    command
}

fn create(file: &Path, size: &str, rest: &[&OsStr]) -> Outcome {
    run_briefly(&mut command(file, size, rest))
}

fn from(folder: &Path) -> [&OsStr; 2] {
    ["--from".as_ref(), folder.as_os_str()]
}

/// Returns a folder with a tree in it, `tree`; `None` without the tools that look at a disk.
fn folder_with_tree(is_root: bool) -> Option<TempDir> {
    if !requires::program("fsck.ext4") || !requires::program("debugfs") {
        return None;
    }
    let folder = tempfile::tempdir().expect("a folder");
    tree::make(&folder.path().join("tree"), is_root);
    Some(folder)
}

fn is_root() -> bool {
    fs::metadata("/proc/self").is_ok_and(|own| own.uid() == 0)
}

#[test]
fn an_empty_disk_is_sound_and_sparse() {
    let folder = tempfile::tempdir().expect("a folder");
    let disk = folder.path().join("disk");
    for size in ["24M", "129M", "300M", "20G"] {
        let outcome = create(&disk, size, &["--label".as_ref(), "data".as_ref()]);
        outcome.expect_success();
        let line = outcome.stdout();
        assert!(
            line.starts_with(&format!("{}: {size}, 0 files, ", disk.display())) && outcome.stderr().is_empty(),
            "{outcome}"
        );
        let metadata = fs::metadata(&disk).expect("it was made");
        assert!(metadata.blocks() * 512 < metadata.size() / 8, "{outcome}");
        if requires::program("fsck.ext4") && requires::program("debugfs") {
            expect_sound(&disk);
            let shown = ask(&disk, "stats");
            assert!(shown.contains("Filesystem volume name:   data\n") && shown.contains("metadata_csum"), "{shown}");
        }
        fs::remove_file(&disk).expect("it was made");
    }
}

#[test]
fn a_copied_tree_is_what_it_was() {
    let Some(folder) = folder_with_tree(is_root()) else { return };
    let [disk, source, out] = ["disk", "tree", "out"].map(|name| folder.path().join(name));
    create(&disk, "64M", &from(&source)).expect_success();
    expect_sound(&disk);

    fs::create_dir(&out).expect("a folder");
    ask(&disk, &format!("rdump / {}", out.display()));
    expect_same(&source, &out);

    // What rdump does not restore.
    let file = ask(&disk, "stat a/file");
    assert!(file.contains("Links: 2 ") && file.contains("Mode:  0654"), "{file}");
    // 5,000,000,000 is 705,032,704 and one more period of 32 bits; nanoseconds stand above the two bits that count these.
    assert!(file.contains(&format!("mtime: 0x{:08x}:{:08x} ", 705_032_704, 999_999_999_u32 << 2 | 1)), "{file}");
    let folder = ask(&disk, "stat a/b");
    assert!(
        folder.contains("Mode:  01777") && folder.contains(&format!("mtime: 0x{:08x}:{:08x} ", -5_i32, 1 << 2)),
        "{folder}"
    );
    assert!(ask(&disk, "stat a/fifo").contains("Type: FIFO"));
    assert!(ask(&disk, "stat a/socket").contains("Type: socket"));
    assert!(ask(&disk, "stat outside").contains("Fast link dest: \"/etc\""));
    if rustix::fs::getxattr(source.join("a/file"), "user.one", &mut [0; 8][..]).is_ok() {
        assert!(ask(&disk, "ea_get a/file user.one").contains("user.one (1) = \"1\""));
        assert!(ask(&disk, "ea_get -V a/file user.long").contains(&"v".repeat(tree::LONG_VALUE)));
        assert!(ask(&disk, "ea_get a user.of.a.folder").contains("\"yes\""));
    }
    // Holes, and zeros that were written, take no room: two blocks of the first part, one of the second.
    let sparse = ask(&disk, "stat sparse");
    assert!(sparse.contains("Size: 62914560") && sparse.contains("Blockcount: 24\n"), "{sparse}");
    if is_root() {
        let large = ask(&disk, "stat large");
        assert!(large.contains("User:  1000   Group: 100000") && large.contains("Mode:  04750"), "{large}");
        assert!(ask(&disk, "stat a/block").contains("259:70000"));
    }
}

/// Lists a tree, and digests of its files; then mounts a disk and lists it, changes it, and checks it again.
const MOUNT: &str = r#"
    set -e
    list() {
        cd "$1"
        find . -name lost+found -prune -o -type d -printf '%p %m %U %G %T@\0' -o -printf '%p %y %m %U %G %s %n %T@ %l\0' | LC_ALL=C sort -z
        find . -type f -print0 | LC_ALL=C sort -z | xargs -0 sha256sum
        cd - > /dev/null
    }
    mount -o loop,ro "$1" "$3"
    list "$2" > "$3.before"; list "$3" > "$3.after"
    umount "$3"
    cmp "$3.before" "$3.after"
    mount -o loop "$1" "$3"
    mkdir "$3/many/new"; cp "$3/large" "$3/again"; rm -r "$3/many" "$3/large"; stat -c %a "$3/lost+found"
    umount "$3"
    fsck.ext4 -fn "$1" > /dev/null 2>&1
"#;

#[test]
fn the_kernel_finds_the_same_tree_and_changes_it() {
    if !requires::root() {
        return;
    }
    let Some(folder) = folder_with_tree(true) else { return };
    let [disk, source, mount] = ["disk", "tree", "mount"].map(|name| folder.path().join(name));
    create(&disk, "64M", &from(&source)).expect_success();
    fs::create_dir(&mount).expect("a folder");
    let mut script = Command::new("unshare");
    script.args(["--mount", "sh", "-c", MOUNT, "sh"]).args([&disk, &source, &mount]);
    let outcome = run_briefly(&mut script);
    if outcome.stderr().contains("loop device") {
        return husk_tests::skip!("disks that the kernel mounts, as there are no loop devices here");
    }
    outcome.expect_success().expect_stdout("700\n");
}

#[test]
fn ten_thousand_names_are_found_again() {
    if !requires::program("debugfs") {
        return;
    }
    let folder = tempfile::tempdir().expect("a folder");
    let [disk, source] = ["disk", "tree"].map(|name| folder.path().join(name));
    fs::create_dir(&source).expect("a folder");
    let name = |number: u32| format!("entry-{number}-{}", "n".repeat(number as usize % 50));
    (0..10_000).for_each(|number| fs::write(source.join(name(number)), "").expect("a file"));
    create(&disk, "300M", &from(&source)).expect_success();
    expect_sound(&disk);
    let names = ask(&disk, "ls -p /");
    assert_eq!(names.lines().filter(|line| line.contains("/entry-")).count(), 10_000);
    assert!((0..10_000).step_by(999).all(|number| names.contains(&format!("/{}/", name(number)))));
}

#[test]
fn the_same_files_give_the_same_disk() {
    let folder = tempfile::tempdir().expect("a folder");
    let [one, other] = ["one", "other"].map(|name| folder.path().join(name));
    for (source, order) in [(&one, [0, 1, 2]), (&other, [2, 0, 1])] {
        fs::create_dir(source).expect("a folder");
        for number in order {
            let file = fs::File::create(source.join(format!("file {number}"))).expect("a file");
            // A hole, and zeros.
            match number == order[0] {
                true => file.set_len(1 << 20).expect("a file"),
                false => std::io::Write::write_all(&mut &file, &vec![0; 1 << 20]).expect("a file"),
            }
        }
        fs::hard_link(source.join("file 1"), source.join("again")).expect("a link");
    }
    let made = |source: &Path, epoch: &str, label: &str| {
        let disk = folder.path().join("disk");
        let _ = fs::remove_file(&disk);
        let mut command = command(&disk, "24M", &from(source));
        run_briefly(command.args(["--label", label]).env("SOURCE_DATE_EPOCH", epoch)).expect_success();
        fs::read(&disk).expect("it was made")
    };
    // Times of both trees are later, and differ.
    let first = made(&one, "1000000000", "a");
    assert!(first == made(&other, "1000000000", "a"));
    assert!(first != made(&one, "1000000001", "a") && first != made(&one, "1000000000", "b"));
    // Without the variable, two disks are never the same.
    assert!(made(&one, "", "a") != made(&one, "", "a"));
}

#[test]
fn a_disk_among_the_files_is_left_out_of_itself() {
    let Some(folder) = folder_with_tree(false) else { return };
    let source = folder.path().join("tree");
    let [disk, link] = [source.join("disk"), folder.path().join("link")];
    std::os::unix::fs::symlink(&source, &link).expect("a link");
    create(&disk, "64M", &from(&link)).expect_success();
    expect_sound(&disk);
    let names = ask(&disk, "ls -p /");
    assert!(names.contains("/large/") && !names.contains("/disk/"), "{names}");
}

#[test]
fn cargo_husk_passes_the_words_on() {
    let folder = tempfile::tempdir().expect("a folder");
    let run = |words: &[&str]| {
        let mut cargo_husk = Command::new(build::cargo_husk());
        cargo_husk.args(["husk", "disk"]).args(words).current_dir(folder.path());
        run_briefly(cargo_husk.env("HUSK", build::husk_with_disks()))
    };
    let outcome = run(&["create", "disk", "24M", "--label=x"]);
    assert!(outcome.expect_success().stdout().starts_with("disk: 24M, 0 files, "), "{outcome}");
    let outcome = run(&["--help"]);
    assert!(outcome.expect_success().stdout().contains("Usage: husk disk create FILE SIZE [FLAGS]"), "{outcome}");
}

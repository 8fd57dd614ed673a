//! Files for production hosts: a unit of systemd, a jail that does without systemd, and a guide with lines that can be checked.

use husk_tests::{
    Disk, End, Guest, Pretence, Running, Target, build, eventually, process, requires, run_briefly, skip,
};
use serde_json::Value;
use std::collections::{BTreeMap, BTreeSet};
use std::fs;
use std::os::unix::fs::{MetadataExt, chown};
use std::path::{Path, PathBuf};
use std::process::Command;
use tempfile::TempDir;

const UNIT: &str = include_str!("../../dist/husk@.service");
const GUIDE: &str = include_str!("../../docs/production.md");
/// User that owns nothing on this machine.
const USER: u32 = 61_417;
/// Contents of a disk that its guest expects.
const BYTES: [u8; 8 * 512] = [b'.'; 8 * 512];

fn repository() -> &'static Path {
    Path::new(env!("CARGO_MANIFEST_DIR")).parent().expect("tests/ lies in the workspace")
}

/// Runs `systemd-analyze`. Returns its success and its output; `None` if it is not installed.
fn analyze(arguments: &[&str]) -> Option<(bool, String)> {
    if !requires::program("systemd-analyze") {
        return None;
    }
    let outcome = run_briefly(Command::new("systemd-analyze").args(arguments));
    Some((outcome.end() == End::Exit(0), outcome.stdout() + &outcome.stderr()))
}

#[test]
fn the_unit_is_valid_and_leaves_little_open() {
    let folder = TempDir::new().expect("a folder");
    let path = folder.path().join("husk@.service");
    // The command is looked for on this machine.
    let unit = UNIT.replace("ExecStart=/husk", &format!("ExecStart={}", build::husk().display()));
    fs::write(&path, unit).expect("our folder");
    let path = path.to_str().expect("UTF-8");
    let Some((is_valid, said)) = analyze(&["verify", path]) else { return };
    assert!(is_valid && !said.contains("husk@"), "{said}");
    // Tenths of a point: 1.8 of 10, most of it for the network and /dev/kvm.
    let (is_low, said) =
        analyze(&["security", "--no-pager", "--offline=true", "--threshold=18", path]).expect("it is there");
    assert!(is_low && said.contains("Overall exposure level"), "{said}");
}

/// Names of the system calls in these sets of systemd's, some of which contain others.
fn expand(sets: &str) -> BTreeSet<String> {
    let mut names = BTreeSet::new();
    for word in sets.split_whitespace() {
        if !word.starts_with('@') {
            names.insert(word.to_owned());
            continue;
        }
        let (is_known, said) = analyze(&["syscall-filter", "--no-pager", word]).expect("it is there");
        assert!(is_known, "{word}: {said}");
        let inside = said.lines().map(str::trim).skip(1).filter(|line| !line.starts_with('#'));
        names.extend(expand(&inside.collect::<Vec<_>>().join(" ")));
    }
    names
}

/// Names of the system calls of x86-64, by number (asm/unistd_64.h).
fn numbers() -> Option<BTreeMap<i64, String>> {
    let paths = ["/usr/include/x86_64-linux-gnu/asm/unistd_64.h", "/usr/include/asm/unistd_64.h"];
    let text = paths.iter().find_map(|path| fs::read_to_string(path).ok());
    if text.is_none() {
        skip!("the unit's filter, as the kernel's headers are not there");
    }
    let define = |line: &str| {
        let (name, number) = line.strip_prefix("#define __NR_")?.split_once(' ')?;
        Some((number.trim().parse().ok()?, name.to_owned()))
    };
    Some(text?.lines().filter_map(define).collect())
}

#[test]
fn the_unit_lets_through_all_calls_that_husk_makes() {
    if analyze(&["--version"]).is_none() {
        return;
    }
    let Some(names) = numbers() else { return };
    let filter = UNIT.lines().filter_map(|line| line.strip_prefix("SystemCallFilter=")).collect::<Vec<_>>();
    assert!(filter.iter().all(|line| !line.starts_with('~')), "only sets that allow are read here");
    let allowed = expand(&filter.join(" "));
    for target in Target::all() {
        let disk = Disk::of(&BYTES);
        let hello = || Guest::image(build::image("hello-std", "hello-std")).flag(target.flag());
        for guest in [
            hello().flag("--timeout=50s"),
            hello().flag("--net=user").flag("--publish=48213:80"),
            Guest::image(build::image("block-guests", "disk_use"))
                .flag(target.flag())
                .flag(disk.flag(""))
                .argument("512"),
        ] {
            let made = guest.calls().into_iter().filter_map(|kind| match kind {
                Pretence::Call { number, .. } => names.get(&number),
                _ => None,
            });
            let made: BTreeSet<String> = made.cloned().collect();
            assert!(made.len() > 20, "{made:?}");
            let refused: Vec<_> = made.difference(&allowed).collect();
            assert!(refused.is_empty(), "{refused:?}");
        }
    }
    let disk = Disk::of(&BYTES);
    // Calls that threads may make once they are confined, whether or not these runs have made them.
    for guest in [
        Guest::image(build::image("hello-std", "hello-std")).flag("--net=user"),
        Guest::image(build::image("block-guests", "disk_use")).flag(disk.flag("")),
    ] {
        let explained = guest.flag("--target=hvt").flag("--explain").flag("--json").run();
        let explained: Value = serde_json::from_str(&explained.expect_success().stdout()).expect("JSON");
        let threads = explained["threads"].as_array().expect("a list").iter();
        let calls = threads.flat_map(|thread| thread["calls"].as_array().expect("a list"));
        let names: BTreeSet<String> = calls.map(|call| call["call"].as_str().expect("a name").to_owned()).collect();
        assert!(names.len() > 20, "{names:?}");
        assert_eq!(names.difference(&allowed).collect::<Vec<_>>(), Vec::<&String>::new());
    }
    // Calls of the processes beside the tender, which are not traced.
    for name in ["fork", "clone", "pidfd_open", "rt_sigtimedwait", "wait4", "pidfd_send_signal"] {
        assert!(allowed.contains(name), "{name}");
    }
}

/// Jail that is removed at the end of the test.
struct Jail {
    folder: TempDir,
    variables: Vec<(&'static str, &'static str)>,
}

impl Jail {
    /// Makes a jail; returns `None`, after a loud skip, if there can be none.
    fn new(variables: &[(&'static str, &'static str)]) -> Option<Self> {
        if !requires::root() || !Target::all().contains(&Target::Hvt) {
            skip!("a jail, as there is no KVM, or we are not root");
            return None;
        }
        let groups = Path::new("/sys/fs/cgroup");
        if !groups.join("cgroup.controllers").exists() && !groups.join("memory").exists() {
            skip!("a jail, as there are no control groups");
            return None;
        }
        let folder = TempDir::new().expect("a folder");
        let jail = Self { folder, variables: variables.to_vec() };
        fs::create_dir(jail.root()).and_then(|()| fs::create_dir(jail.state())).expect("our folder");
        chown(jail.state(), Some(USER), Some(USER)).expect("we are root");
        Some(jail)
    }

    fn root(&self) -> PathBuf {
        // The control groups are named after this folder.
        let name = self.folder.path().file_name().expect("it has one").to_string_lossy();
        self.folder.path().join(format!("root-{}", name.trim_start_matches('.')))
    }

    fn state(&self) -> PathBuf {
        self.root().with_extension("state")
    }

    fn command(&self, image: &Path, words: &[&str]) -> Command {
        let mut command = Command::new(repository().join("dist/jail"));
        command.envs(self.variables.iter().copied());
        command.arg(self.root()).arg(USER.to_string()).arg(build::husk()).arg(image);
        command.args(["--target=hvt", "--memory-max=512M", "--status-file=/state/status"]).args(words);
        command
    }

    fn status(&self) -> Value {
        let text = fs::read_to_string(self.state().join("status")).expect("it was made");
        serde_json::from_str(&text).unwrap_or_else(|error| panic!("{error}: {text:?}"))
    }

    /// Folders of the jail's control groups.
    fn groups(&self) -> Vec<PathBuf> {
        let name = format!("husk-{}.", self.root().file_name().expect("it has one").to_string_lossy());
        let is_ours =
            |folder: &PathBuf| folder.file_name().is_some_and(|file| file.to_string_lossy().starts_with(&name));
        let places = ["", "memory", "cpu", "pids"].map(|place| Path::new("/sys/fs/cgroup").join(place));
        let folders = places.into_iter().filter_map(|place| fs::read_dir(place).ok()).flatten().flatten();
        folders.map(|entry| entry.path()).filter(is_ours).collect()
    }

    /// Waits until the jail's control groups are gone, after the end of its guest.
    fn expect_no_groups(&self) {
        eventually("the control groups are removed", || self.groups().is_empty().then_some(()));
    }
}

#[test]
fn a_guest_with_a_disk_runs_in_the_jail() {
    let Some(jail) = Jail::new(&[]) else { return };
    let disk = jail.state().join("disk");
    fs::write(&disk, BYTES).expect("our folder");
    chown(&disk, Some(USER), Some(USER)).expect("we are root");
    let image = build::image("block-guests", "disk_use");
    run_briefly(&mut jail.command(&image, &["--block=data=/state/disk", "--", "512"])).expect_success();
    assert_ne!(fs::read(&disk).expect("our file"), BYTES);
    assert_eq!((jail.status()["ended"].as_str(), jail.status()["target"].as_str()), (Some("guest"), Some("hvt")));
    assert_eq!(jail.state().join("status").metadata().expect("it was made").uid(), USER);
    assert_eq!(fs::read_dir(jail.root()).expect("our folder").count(), 0, "the root was of its own");
    jail.expect_no_groups();
}

#[test]
fn husk_finds_nothing_in_the_jail_but_what_it_needs() {
    let Some(jail) = Jail::new(&[("TASKS", "40"), ("CPU", "70")]) else { return };
    let mut running = Running::of(jail.command(&build::image("guests", "endless"), &["--", "sleep"]));
    running.expect_printed("ready\n", 1);
    let [tender] = process::children(running.id())[..] else { panic!("one child: a tender") };
    for id in [running.id(), tender] {
        let process = PathBuf::from(format!("/proc/{id}"));
        let user = format!("Uid:\t{USER}\t{USER}\t{USER}\t{USER}");
        // The bounding set is CAP_SETGID, CAP_SETUID and CAP_SYS_CHROOT, which entering the jail takes.
        let lines = [&*user, "NoNewPrivs:\t1", "Seccomp:\t2", "CapEff:\t0000000000000000", "CapBnd:\t00000000000400c0"];
        process::expect_status(id, &lines);
        let list = |place: &str| {
            let entries = fs::read_dir(process.join("root").join(place)).expect("it runs").flatten();
            entries.map(|entry| entry.file_name().to_string_lossy().into_owned()).collect::<BTreeSet<_>>()
        };
        assert_eq!(list(""), ["dev", "husk", "image", "state"].map(str::to_owned).into());
        assert_eq!(list("dev"), ["kvm".to_owned()].into());
        for file in ["husk", "image", "dev"] {
            let mounts = fs::read_to_string(process.join("mounts")).expect("it runs");
            let place = jail.root().join(file);
            let is_read_only =
                |line: &str| place.starts_with(line.split(' ').nth(1).unwrap_or_default()) && line.contains(" ro");
            assert!(mounts.lines().any(is_read_only), "{file}: {mounts}");
        }
        let interfaces = fs::read_to_string(process.join("net/dev")).expect("it runs");
        assert_eq!(interfaces.lines().skip(2).count(), 1, "the loopback alone: {interfaces}");
        for space in ["mnt", "net", "ipc", "uts", "cgroup"] {
            let of = |process: &Path| fs::read_link(process.join("ns").join(space)).expect("it runs");
            assert_ne!(of(&process), of(Path::new("/proc/self")), "{space}");
        }
        let limits = fs::read_to_string(process.join("limits")).expect("it runs");
        let is_limited = |start: &str, value: &str| {
            limits.lines().any(|line| line.starts_with(start) && line.split_whitespace().any(|word| word == value))
        };
        assert!(is_limited("Max open files", "16384") && is_limited("Max core file size", "0"), "{limits}");
    }
    let limits = jail.groups().into_iter().flat_map(|group| {
        let read = move |file: &str| fs::read_to_string(group.join(file)).ok();
        ["pids.max", "cpu.max", "cpu.cfs_quota_us"].into_iter().filter_map(read)
    });
    let limits: BTreeSet<String> = limits.map(|text| text.trim().to_owned()).collect();
    assert!(limits.contains("40") && (limits.contains("70000") || limits.contains("70000 100000")), "{limits:?}");
    running.signal("TERM", 1);
    running.finish().expect_status(128 + 15);
    assert_eq!((jail.status()["ended"].as_str(), jail.status()["signal"].as_u64()), (Some("signal"), Some(15)));
    jail.expect_no_groups();
}

#[test]
fn a_guest_that_takes_more_than_its_control_group_has_is_known_to_have_been_killed() {
    let Some(jail) = Jail::new(&[("MEMORY", "67108864")]) else { return };
    let image = build::image("programs", "large_heap");
    let outcome = run_briefly(&mut jail.command(&image, &["--memory=512M"]));
    outcome.expect_status(128 + 9);
    assert_eq!((jail.status()["ended"].as_str(), jail.status()["signal"].as_u64()), (Some("killed"), Some(9)));
    jail.expect_no_groups();
}

#[test]
fn every_row_that_the_guide_names_is_one_of_husk_check() {
    let folder = fs::read_dir(repository().join("tender/src/check")).expect("it is there");
    let sources: String = folder.flatten().map(|file| fs::read_to_string(file.path()).expect("it is text")).collect();
    let (_, host) = GUIDE.split_once("## The host").expect("the guide has it");
    let (host, _) = host.split_once("\n## ").expect("and more");
    let rows = host.lines().filter(|line| line.starts_with("| ")).skip(1);
    let named: Vec<&str> =
        rows.flat_map(|row| row.rsplit('|').nth(1).unwrap_or_default().split('`').skip(1).step_by(2)).collect();
    assert!(named.len() > 12, "{named:?}");
    for name in named {
        assert!(sources.contains(&format!("\"{name}\"")), "no row '{name}'");
    }
}

//! Hostile machine code, run as a guest: how it is made of any bytes (`assemble`), what is seen from outside when it has run,
//! and whether a tender that keeps its promises can look like that (`oracle`).
//!
//! A test runs some hundred programs of random bytes, a fuzzer (`fuzz/fuzz_targets/code.rs`) those that it evolves.

mod assemble;
mod oracle;

use crate::{End, Target, build, patience};
use husk_abi::memory::{IMAGE_OFFSET, PAGE, WINDOW_LOWEST};
pub use oracle::{Places, Seen, Verdict, judge};
use std::fs::{self, File, OpenOptions};
use std::io::{Read, Write};
use std::ops::Range;
use std::os::unix::fs::OpenOptionsExt;
use std::os::unix::process::{CommandExt, ExitStatusExt};
use std::path::{Path, PathBuf};
use std::process::{Child, Command, ExitStatus};
use std::sync::atomic::{AtomicU32, Ordering::Relaxed};
use std::thread;
use std::time::{Duration, Instant};

/// What lies before the place for the code: see tests/guests/src/bin/runs_code.rs.
const MARK: &[u8] = b"husk: code that somebody has written here is run, and then this:";
/// Bytes of the place.
pub const ROOM: usize = 512;
/// How long a guest may run: a loop is a program, too.
const GUEST_TIME: Duration = Duration::from_millis(150);
/// Time for code that ends by itself, on a machine that is as busy as can be.
const LONG_GUEST_TIME: Duration = Duration::from_secs(10);
/// How long the tender may take in all, on a machine that does other things as well.
const TIMEOUT: Duration = Duration::from_secs(20);
/// How often is looked whether it has ended.
const LOOK: Duration = Duration::from_micros(200);
/// Contents of a file that the tender has as its standard input, open for writing, too.
const CANARY: &[u8] = b"nobody may write here\n";

/// What runs code.
#[derive(Debug)]
pub struct Bench {
    husk: PathBuf,
    /// What the tender is told by its environment.
    variables: Vec<(String, String)>,
    image: Vec<u8>,
    /// Where in the image the code is.
    at: usize,
    places: Places,
    /// How long a guest may run.
    guest_time: Duration,
    /// How long the tender may take in all.
    timeout: Duration,
    /// A folder of its own, with nothing else in it.
    folder: PathBuf,
}

impl Bench {
    /// A bench for this tender and the image of `runs_code`.
    pub fn new(husk: &Path, image: &Path) -> Self {
        static NUMBER: AtomicU32 = AtomicU32::new(0);
        let image = fs::read(image).expect("the image was built");
        let marks = image.windows(MARK.len()).enumerate().filter(|(_, part)| *part == MARK).map(|(at, _)| at);
        let [mark] = marks.collect::<Vec<_>>()[..] else { panic!("the image has one place for code") };
        let at = mark + MARK.len();
        let places = Places { text: text(&image, at), gate: [0; 2] };
        let gate = |target: Target| target.own(husk_abi::memory::GATE);
        let places = Places { gate: [gate(Target::Hvt), gate(Target::Spt)], ..places };
        let name = format!("husk-code-{}-{}", std::process::id(), NUMBER.fetch_add(1, Relaxed));
        let folder = std::env::temp_dir().join(name);
        fs::create_dir(&folder).expect("a folder");
        Self {
            husk: husk.to_owned(),
            variables: vec![],
            image,
            at,
            places,
            guest_time: GUEST_TIME,
            timeout: TIMEOUT,
            folder,
        }
    }

    /// A bench for what the tests build.
    pub fn built() -> Self {
        Self::new(build::husk(), &build::image("guests", "runs_code"))
    }

    /// A bench for a tender that does something wrong when it is confined: see tender/src/confine/attack.rs.
    pub fn broken(attempt: &str) -> Self {
        let mut bench = Self::new(build::attacking_husk(), &build::image("guests", "runs_code"));
        // One that hangs is waited for.
        bench.timeout = Duration::from_secs(3);
        bench.guest_time = LONG_GUEST_TIME;
        bench.variables.push(("HUSK_ATTACK".to_owned(), attempt.to_owned()));
        bench
    }

    /// Gives guests so much time that code which ends by itself always does so before.
    pub fn patient(mut self) -> Self {
        self.guest_time = LONG_GUEST_TIME;
        self
    }

    /// Runs the program that `bytes` mean; how it ended, or in what way the tender broke its promises.
    pub fn run(&self, target: Target, bytes: &[u8]) -> Result<Verdict, String> {
        self.run_code(target, &assemble::code(bytes, ROOM))
    }

    /// The same for machine code as it is.
    pub fn run_code(&self, target: Target, code: &[u8]) -> Result<Verdict, String> {
        let seen = self.see(target, code);
        judge(&seen, target, &self.places)
            .map_err(|wrong| format!("{wrong}\ntarget {}, code {code:02x?}\n{seen}", target.name()))
    }

    /// Runs machine code and tells all that can be seen of it.
    fn see(&self, target: Target, code: &[u8]) -> Seen {
        let files = ["image", "input", "output", "error"].map(|name| self.folder.join(name));
        let [image, input, output, error] = &files;
        let mut bytes = self.image.clone();
        bytes[self.at..self.at + code.len()].copy_from_slice(code);
        let create = |path: &Path, bytes: &[u8]| {
            // An image that is mapped still is not written to.
            let _ = fs::remove_file(path);
            let options = OpenOptions::new().read(true).write(true).create_new(true).mode(0o755).open(path);
            let mut file = options.expect("the folder is ours");
            file.write_all(bytes).expect("there is room");
            file
        };
        drop(create(image, &bytes));
        drop(create(input, CANARY));
        let mut command = Command::new(&self.husk);
        command.arg("run").arg(target.flag()).args(["--no-aslr", "--memory=16M", "--verbose", "--console-rate=256K"]);
        command.arg(format!("--timeout={}ms", self.guest_time.as_millis())).arg("--stop-timeout=1").arg(image);
        command.stdin(OpenOptions::new().read(true).write(true).open(input).expect("it is there"));
        command.stdout(create(output, b"")).stderr(create(error, b"")).current_dir(&self.folder).process_group(0);
        command.env_clear().envs(self.variables.iter().cloned());
        let started = Instant::now();
        let mut child = command.spawn().expect("the tender was built");
        let status = wait(&mut child, started + patience(self.timeout));
        let took = started.elapsed();
        let left = self.left(&child, &files);
        let text = |path: &Path| {
            let mut text = Vec::new();
            let _ = File::open(path).and_then(|file| file.take(1 << 20).read_to_end(&mut text));
            String::from_utf8_lossy(&text).into_owned()
        };
        let time_left = took < self.guest_time;
        Seen { end: status.map(end), time_left, stdout: text(output), stderr: text(error), left }
    }

    /// What has changed outside.
    fn left(&self, child: &Child, files: &[PathBuf; 4]) -> Vec<String> {
        let mut left = vec![];
        if has_group(child.id()) {
            left.push("a process".to_owned());
            kill_group(child.id());
        }
        if fs::read(&files[1]).is_ok_and(|bytes| bytes != CANARY) {
            left.push("bytes on its standard input".to_owned());
        }
        let others = fs::read_dir(&self.folder).expect("it is ours").flatten().map(|entry| entry.path());
        left.extend(others.filter(|path| !files.contains(path)).map(|path| path.display().to_string()));
        left
    }
}

impl Drop for Bench {
    fn drop(&mut self) {
        let _ = fs::remove_dir_all(&self.folder);
    }
}

/// Waits for the end; one that comes too late is none.
fn wait(child: &mut Child, deadline: Instant) -> Option<ExitStatus> {
    while Instant::now() < deadline {
        if let Some(status) = child.try_wait().expect("it is our child") {
            return Some(status);
        }
        thread::sleep(LOOK);
    }
    kill_group(child.id());
    let _ = child.wait();
    None
}

fn end(status: ExitStatus) -> End {
    status.code().map_or_else(|| End::Signal(status.signal().unwrap_or(0)), End::Exit)
}

/// Whether the process group of a child that has ended has a process.
fn has_group(id: u32) -> bool {
    signal_group(id, 0)
}

fn kill_group(id: u32) {
    signal_group(id, libc::SIGKILL);
}

#[expect(unsafe_code, reason = "sends signals")]
fn signal_group(id: u32, signal: libc::c_int) -> bool {
    // SAFETY: only numbers; the group is one that we have made, and its number is not used again while it has a member.
    unsafe { libc::kill(-(id as libc::pid_t), signal) == 0 }
}

/// The guest addresses of the segment with the byte `at` this offset in a relocatable image, loaded without randomness.
fn text(image: &[u8], at: usize) -> Range<u64> {
    let word = |at: usize, length: usize| {
        let bytes = image.get(at..at + length).expect("a whole file");
        bytes.iter().rev().fold(0, |word, byte| word << 8 | u64::from(*byte))
    };
    // ELF64 (elf(5)): where the program headers are, how long one is, and how many there are.
    let (headers, size, count) = (word(32, 8) as usize, word(54, 2) as usize, word(56, 2) as usize);
    let found = (0..count).map(|index| headers + index * size).find_map(|header| {
        const LOAD: u64 = 1;
        let (kind, offset, start, length) =
            (word(header, 4), word(header + 8, 8), word(header + 16, 8), word(header + 32, 8));
        let inside = kind == LOAD && (offset..offset + length).contains(&(at as u64));
        inside.then_some(start..(start + length).next_multiple_of(PAGE))
    });
    let Range { start, end } = found.expect("the code is loaded");
    let base = WINDOW_LOWEST + IMAGE_OFFSET;
    base + start..base + end
}

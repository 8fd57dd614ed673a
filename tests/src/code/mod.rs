//! Hostile machine code, run as a guest: generation from any bytes (`assemble`), observation from outside, and the check
//! whether a correct tender can show these observations (`oracle`).
//!
//! A test runs some hundred random programs; a fuzzer (`fuzz/fuzz_targets/code.rs`) evolves its own.

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

/// Mark before the place for the code: see tests/guests/src/bin/runs_code.rs.
const MARK: &[u8] = b"husk: code that somebody has written here is run, and then this:";
/// Size of the place in bytes.
pub const ROOM: usize = 512;
/// Time limit of a guest, because the code may loop for ever.
const GUEST_TIME: Duration = Duration::from_millis(150);
/// Time limit for code that ends by itself, on a machine under full load.
const LONG_GUEST_TIME: Duration = Duration::from_secs(10);
/// Time limit of the tender, on a busy machine.
const TIMEOUT: Duration = Duration::from_secs(20);
/// Interval of checks for the tender's end.
const LOOK: Duration = Duration::from_micros(200);
/// Contents of the file that is the tender's standard input, which is open for writing too.
const CANARY: &[u8] = b"nobody may write here\n";

/// Test bench for machine code.
#[derive(Debug)]
pub struct Bench {
    husk: PathBuf,
    /// Environment variables of the tender.
    variables: Vec<(String, String)>,
    image: Vec<u8>,
    /// Offset of the code in the image.
    at: usize,
    places: Places,
    /// Time limit of a guest.
    guest_time: Duration,
    /// Time limit of the tender.
    timeout: Duration,
    /// Private folder, otherwise empty.
    folder: PathBuf,
}

impl Bench {
    /// Returns a bench for this tender and the image of `runs_code`.
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

    /// Returns a bench for the tender and image that the tests build.
    pub fn built() -> Self {
        Self::new(build::husk(), &build::image("guests", "runs_code"))
    }

    /// Returns a bench for a tender that misbehaves once it is confined: see tender/src/confine/attack.rs.
    pub fn broken(attempt: &str) -> Self {
        let mut bench = Self::new(build::attacking_husk(), &build::image("guests", "runs_code"));
        // A tender that hangs is killed after this time.
        bench.timeout = Duration::from_secs(3);
        bench.guest_time = LONG_GUEST_TIME;
        bench.variables.push(("HUSK_ATTACK".to_owned(), attempt.to_owned()));
        bench
    }

    /// Extends the guests' time limit, so that code which ends by itself always ends within it.
    pub fn patient(mut self) -> Self {
        self.guest_time = LONG_GUEST_TIME;
        self
    }

    /// Runs the program that `bytes` encode. Returns its verdict, or how the tender broke its promises.
    pub fn run(&self, target: Target, bytes: &[u8]) -> Result<Verdict, String> {
        self.run_code(target, &assemble::code(bytes, ROOM))
    }

    /// Runs machine code as it is. Returns its verdict, or how the tender broke its promises.
    pub fn run_code(&self, target: Target, code: &[u8]) -> Result<Verdict, String> {
        let seen = self.see(target, code);
        judge(&seen, target, &self.places)
            .map_err(|wrong| format!("{wrong}\ntarget {}, code {code:02x?}\n{seen}", target.name()))
    }

    /// Runs machine code and returns all observations.
    fn see(&self, target: Target, code: &[u8]) -> Seen {
        let files = ["image", "input", "output", "error"].map(|name| self.folder.join(name));
        let [image, input, output, error] = &files;
        let mut bytes = self.image.clone();
        bytes[self.at..self.at + code.len()].copy_from_slice(code);
        let create = |path: &Path, bytes: &[u8]| {
            // Replaces the file, because an image that is still mapped cannot be written to.
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

    /// Returns the changes outside the guest.
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

/// Waits for the end; returns `None` and kills the process group after the deadline.
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

/// Returns true if the process group of an ended child has a process.
fn has_group(id: u32) -> bool {
    signal_group(id, 0)
}

fn kill_group(id: u32) {
    signal_group(id, libc::SIGKILL);
}

#[expect(unsafe_code, reason = "sends signals")]
fn signal_group(id: u32, signal: libc::c_int) -> bool {
    // SAFETY: takes numbers only; the group was made for the child, and its number is not reused while it has a member.
    unsafe { libc::kill(-(id as libc::pid_t), signal) == 0 }
}

/// Returns the guest addresses of the segment that holds the byte `at` of a relocatable image, loaded without ASLR.
fn text(image: &[u8], at: usize) -> Range<u64> {
    let word = |at: usize, length: usize| {
        let bytes = image.get(at..at + length).expect("a whole file");
        bytes.iter().rev().fold(0, |word, byte| word << 8 | u64::from(*byte))
    };
    // ELF64 (elf(5)): offset, size and number of the program headers.
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

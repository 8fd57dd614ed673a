//! Reports on real programs, and on damaged files.
//!
//! A small program is built as images are, run as a Linux process until it waits, and reported on as if it were a
//! guest, with its memory from /proc and its registers from ptrace.

#![expect(unsafe_code, reason = "ptrace")]

use husk_abi::memory::{Region, Rights};
use husk_abi::registers::Registers as General;
use husk_tender::arch::registers::Registers;
use husk_tender::report::access::{Access, Use};
use husk_tender::report::place::{Kind, Place};
use husk_tender::report::{ReportRequest, Stop};
use husk_tests::build;
use object::LittleEndian;
use object::read::elf::{ElfFile64, FileHeader};
use object::{Object, ObjectSection, ObjectSymbol};
use std::fs::File;
use std::ops::Range;
use std::os::unix::fs::FileExt;
use std::path::{Path, PathBuf};
use std::process::{Child, Command, Stdio};
use std::time::{Duration, Instant};

const SOURCE: &str = concat!(env!("CARGO_MANIFEST_DIR"), "/tests/report/nested.rs");

/// The line of the source that carries this mark.
fn line(mark: &str) -> String {
    let source = std::fs::read_to_string(SOURCE).expect("the program's source");
    let mark = format!("// line: {mark}");
    let line = source.lines().position(|line| line.ends_with(&mark)).expect("a marked line");
    format!("nested.rs:{}:", line + 1)
}

/// Builds the program into a directory of its own; all have one build-id.
fn build(name: &str, options: &[&str]) -> PathBuf {
    let program = Path::new(env!("CARGO_TARGET_TMPDIR")).join(format!("report-{name}")).join("nested");
    build::by_rustc(SOURCE.as_ref(), &program, &[&["-Copt-level=3"], options].concat());
    program
}

/// A process that waits.
struct Waiting {
    child: Child,
    program: PathBuf,
    memory: File,
    registers: Registers,
    bias: u64,
}

impl Waiting {
    fn start(program: &Path, arguments: &[&str]) -> Self {
        let mut command = Command::new(program);
        command.args(arguments).stdin(Stdio::piped()).stdout(Stdio::null());
        let child = command.spawn().expect("the program starts");
        wait_until_asleep(child.id());
        let process = PathBuf::from(format!("/proc/{}", child.id()));
        let maps = std::fs::read_to_string(process.join("maps")).expect("its memory map");
        let first = maps.lines().find(|line| line.ends_with("/nested")).expect("its own mapping");
        let bias = number(first.split('-').next().expect("an address"));
        let memory = File::open(process.join("mem")).expect("its memory");
        let registers = stop(child.id());
        Self { child, program: program.to_owned(), memory, registers, bias }
    }

    fn read(&self, address: u64) -> Option<u64> {
        let mut word = [0; 8];
        self.memory.read_exact_at(&mut word, address).ok()?;
        Some(u64::from_ne_bytes(word))
    }

    /// Returns the report on the process, as if it had stopped in this state, with symbols from `file`.
    fn report_with(&self, file: &Path, registers: Registers, access: Option<Access>) -> String {
        let map = [Place {
            kind: Kind::Image,
            region: Region { start: self.bias, length: 1 << 20 },
            rights: Rights::READ | Rights::EXECUTE,
        }];
        ReportRequest {
            what: Some("a test".to_string()),
            stop: Some(Stop { access, registers, past: false, thread: None }),
            threads: &[],
            image: file,
            file: &File::open(file).expect("the program's file").into(),
            load_bias: self.bias,
            map: &map,
            read_guest: &mut |address| self.read(address),
            debug_files: None,
        }
        .report()
        .to_string()
    }

    fn report(&self) -> String {
        self.report_with(&self.program, self.registers, None)
    }
}

impl Drop for Waiting {
    fn drop(&mut self) {
        let _ = self.child.kill();
        let _ = self.child.wait();
    }
}

/// Waits until the process waits for input: in read(2) of file 0 (proc_pid_syscall(5)).
fn wait_until_asleep(process: u32) {
    let state = || std::fs::read_to_string(format!("/proc/{process}/syscall")).expect("what it is doing");
    let end = Instant::now() + Duration::from_secs(60);
    while !state().starts_with("0 0x0 ") {
        assert!(Instant::now() < end, "the program does not get to where it waits: {}", state());
        std::thread::sleep(Duration::from_millis(1));
    }
}

/// Stops a process and reads its registers.
fn stop(process: u32) -> Registers {
    let process = process as libc::pid_t;
    // SAFETY: the call affects a child of ours only.
    let attached = unsafe { libc::ptrace(libc::PTRACE_ATTACH, process, 0, 0) };
    assert_eq!(attached, 0, "ptrace: {}", std::io::Error::last_os_error());
    // SAFETY: the call waits for that child; the status pointer may be null.
    unsafe { libc::waitpid(process, std::ptr::null_mut(), 0) };
    // SAFETY: a structure of integers, for which zeros are a value.
    let mut r: libc::user_regs_struct = unsafe { std::mem::zeroed() };
    // SAFETY: the child is stopped, and the kernel writes one such structure.
    let read = unsafe { libc::ptrace(libc::PTRACE_GETREGS, process, 0, &raw mut r) };
    assert_eq!(read, 0, "ptrace: {}", std::io::Error::last_os_error());
    General {
        rip: r.rip,
        rsp: r.rsp,
        rbp: r.rbp,
        rbx: r.rbx,
        r12: r.r12,
        r13: r.r13,
        r14: r.r14,
        r15: r.r15,
        rcx: r.rcx,
        r11: r.r11,
        ..Default::default()
    }
    .into()
}

fn number(text: &str) -> u64 {
    u64::from_str_radix(text, 16).expect("a hexadecimal number")
}

/// Asserts that the report has these in this order.
fn expect_in_order(report: &str, expected: &[&str]) {
    let mut rest = report;
    for text in expected {
        let Some(at) = rest.find(text) else { panic!("no '{text}' where it should be in:\n{report}") };
        rest = &rest[at + text.len()..];
    }
}

fn expect_nested_calls(report: &str) {
    expect_calls(report, "nested::");
}

/// Expects the program's calls; line tables do not say in which module an inlined function is.
fn expect_calls(report: &str, module_of_inlined: &str) {
    expect_in_order(
        report,
        &[
            "nested::wait",
            &line("wait reads"),
            "nested::inner",
            &format!("{module_of_inlined}middle (inlined)"),
            &line("middle calls inner"),
            "nested::outer",
            &line("outer calls middle"),
            "nested::main",
            &line("main calls outer"),
            "std::rt::lang_start",
        ],
    );
    assert!(!report.contains("the stack ends here"), "{report}");
}

#[test]
fn all_frames_are_named_with_their_lines() {
    let waiting = Waiting::start(&build("full", &["-Cdebuginfo=full"]), &[]);
    expect_nested_calls(&waiting.report());
}

#[test]
fn line_tables_alone_are_enough() {
    let waiting = Waiting::start(&build("lines", &["-Cdebuginfo=line-tables-only"]), &[]);
    expect_calls(&waiting.report(), "");
}

#[test]
fn version_5_of_dwarf_is_understood() {
    let waiting = Waiting::start(&build("version-5", &["-Cdebuginfo=full", "-Cdwarf-version=5"]), &[]);
    expect_nested_calls(&waiting.report());
}

#[test]
fn a_stripped_image_is_explained_by_its_debug_file() {
    let stripped = build("stripped", &["-Cdebuginfo=full", "-Cstrip=symbols"]);
    let waiting = Waiting::start(&stripped, &[]);
    let report = waiting.report();
    expect_in_order(&report, &["   0: image+0x", "no names: ", "no debug file of build-id abcdef0123456789"]);
    expect_in_order(&report, &["is at any of", "report-stripped/.build-id/ab/cdef0123456789.debug", "/usr/lib/debug"]);

    let whole = build("for-stripped", &["-Cdebuginfo=full"]);
    let by_id = stripped.parent().expect("its directory").join(".build-id/ab");
    std::fs::create_dir_all(&by_id).expect("a directory for the debug file");
    std::fs::rename(whole, by_id.join("cdef0123456789.debug")).expect("the debug file moves");
    let report = waiting.report();
    expect_nested_calls(&report);
    expect_in_order(&report, &["names and lines are from ", "/.build-id/ab/cdef0123456789.debug"]);
}

#[test]
fn without_debug_information_functions_are_named() {
    let waiting = Waiting::start(&build("names", &["-Cstrip=debuginfo"]), &[]);
    let report = waiting.report();
    expect_in_order(&report, &["nested::wait+0x", "nested::inner+0x", "nested::outer+0x", "nested::main+0x"]);
    expect_in_order(&report, &["no lines: ", "holds no debug information"]);
}

#[test]
fn a_call_through_a_wild_pointer_is_blamed_on_its_caller() {
    let waiting = Waiting::start(&build("wild", &["-Cdebuginfo=full"]), &[]);
    // As if the function that `wait` called had been at the wild address: only its return address is on the stack.
    let mut slot = waiting.registers.rsp;
    let registers = loop {
        let wild = General { rip: 0, rsp: slot, ..*waiting.registers }.into();
        let access = Some(Access { address: 0, how: Some(Use::Execute) });
        let report = waiting.report_with(&waiting.program, wild, access);
        if report.contains("\n   1: nested::wait") {
            break report;
        }
        slot += 8;
        assert!(slot < waiting.registers.rsp + 4096, "{report}");
    };
    expect_in_order(
        &registers,
        &[", called by nested::wait", "address 0x0 is the null pointer", "1: nested::wait", "middle (inlined)"],
    );
}

#[test]
fn a_moved_instruction_is_reported_where_it_was() {
    let waiting = Waiting::start(&build("moved", &["-Cdebuginfo=full"]), &[]);
    let program = std::fs::read(&waiting.program).expect("the program");
    let file = ElfFile64::<LittleEndian>::parse(&*program).expect("an ELF file");
    let stub = file.symbol_by_name(husk_abi::stub::AREA).expect("the stub").address();
    // The last moved instruction ends where the one begins that loads the return address.
    let rip = waiting.bias + stub + husk_abi::stub::RETURN as u64 - 1;
    let report = waiting.report_with(&waiting.program, General { rip, ..*waiting.registers }.into(), None);
    expect_in_order(&report, &["0: nested::outer", " is a stub: its instruction was moved there from "]);
}

#[test]
fn a_deep_recursion_shows_both_ends() {
    let waiting = Waiting::start(&build("deep", &["-Cdebuginfo=full"]), &["deep"]);
    let report = waiting.report();
    expect_in_order(&report, &["nested::wait", "nested::deep", &line("deep calls deep"), " more calls …"]);
    expect_in_order(&report, &[" more calls …", "nested::main", &line("main calls deep")]);
    assert!(report.lines().count() < 200, "{report}");
}

/// Reports on a copy of the program with this content, and checks that some report comes.
fn catch_panic(waiting: &Waiting, name: &str, bytes: &[u8]) {
    let path = waiting.program.with_file_name(name);
    std::fs::write(&path, bytes).expect("a copy of the program");
    let report =
        waiting.report_with(&path, waiting.registers, Some(Access { address: waiting.registers.rsp, how: None }));
    expect_in_order(&report, &["husk: the guest stopped: a test", "registers:"]);
    assert!(report.len() < 1 << 20, "{} bytes of report", report.len());
}

#[test]
fn truncated_files_give_shorter_reports() {
    let waiting = Waiting::start(&build("truncated", &["-Cdebuginfo=line-tables-only"]), &[]);
    let whole = std::fs::read(&waiting.program).expect("the program");
    let lengths = (0..200).chain((200..whole.len()).step_by(whole.len() / 100));
    for length in lengths {
        catch_panic(&waiting, "cut", &whole[..length]);
    }
}

/// Offsets in the file of the sections that a report reads.
fn parts(bytes: &[u8]) -> Vec<Range<u64>> {
    let file = ElfFile64::<LittleEndian>::parse(bytes).expect("the program is an ELF file");
    let read = |name: &str| name.starts_with(".debug_") || name.starts_with(".eh_frame") || name == ".symtab";
    let sections = file.sections().filter(|section| section.name().is_ok_and(read));
    let ranges = sections.filter_map(|section| section.file_range()).map(|(start, size)| start..start + size);
    let table = file.elf_header().e_shoff(LittleEndian);
    ranges.chain([0..1024, table..bytes.len() as u64]).filter(|range| !range.is_empty()).collect()
}

#[test]
fn damaged_files_give_shorter_reports() {
    let waiting = Waiting::start(&build("damaged", &["-Cdebuginfo=full"]), &[]);
    let whole = std::fs::read(&waiting.program).expect("the program");
    let parts = parts(&whole);
    assert!(parts.len() > 8, "debug information is missing: {parts:?}");
    let mut random = 0x9e37_79b9_7f4a_7c15u64;
    let mut next = move |limit: u64| {
        random ^= random << 13;
        random ^= random >> 7;
        random ^= random << 17;
        random % limit
    };
    let seconds = std::env::var("HUSK_DAMAGE_SECONDS").map_or(5, |seconds| seconds.parse().expect("a number"));
    let started = Instant::now();
    let mut rounds = 0;
    while started.elapsed() < Duration::from_secs(seconds) {
        let mut damaged = whole.clone();
        let part = &parts[next(parts.len() as u64) as usize];
        let length = part.end - part.start;
        // Dense damage reaches data that is read first, sparse damage data that is read later.
        let one_in = [10, 1000, 100_000][next(3) as usize];
        for _ in 0..1 + length / one_in {
            let at = (part.start + next(length)) as usize;
            damaged[at] = [0, 0xff, damaged[at] ^ 1 << next(8), next(256) as u8][next(4) as usize];
        }
        let before = Instant::now();
        catch_panic(&waiting, "damaged", &damaged);
        assert!(before.elapsed() < Duration::from_secs(60), "a report must not hang");
        rounds += 1;
    }
    println!("{rounds} damaged files");
}

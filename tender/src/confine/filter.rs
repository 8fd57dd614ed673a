//! A thread's filter of system calls: the tables of its features as a program for seccomp(2).
//!
//! The program is a binary search for the range of numbers that a call lies in. It is as short as possible, because the
//! kernel translates it each time it is entered, at a fifth of a microsecond an instruction, and then runs it once for each
//! number that exists, which for a chain of comparisons took as long again.

#![expect(unsafe_code, reason = "the program is handed to the kernel by address")]

use super::calls::{Argument, Call, Feature, REFUSED};
use super::descriptors::Descriptors;
use super::error::Error;
use crate::arch::AUDIT_ARCHITECTURE;
use libc::{BPF_ABS, BPF_JA, BPF_JEQ, BPF_JGE, BPF_JMP, BPF_JSET, BPF_K, BPF_LD, BPF_RET, BPF_W, sock_filter};
use std::io;

/// A filter that is ready to be entered.
#[derive(Clone, Debug)]
pub struct Program(Vec<sock_filter>);

/// Verdict on calls of one number.
#[derive(Clone, Copy)]
enum Verdict<'c> {
    Always,
    Fails,
    /// Allowed in this case.
    Case(&'c Call),
}

/// Verdicts, with the numbers of their calls. A number can have several cases.
type Verdicts<'c> = Vec<(u32, Verdict<'c>)>;

impl Verdict<'_> {
    /// Rank among the verdicts on a number: the lowest decides.
    fn rank(self) -> u8 {
        match self {
            Self::Always => 0,
            Self::Fails => 1,
            Self::Case(_) => 2,
        }
    }
}

impl Program {
    /// Allows what `features` need, on these descriptors, and nothing else. `first` are instructions that decide before, or
    /// fall through to the rest.
    pub fn new(features: &[&Feature], first: &[sock_filter], descriptors: &Descriptors) -> Self {
        let mut code = Backward::new(descriptors);
        let ranges = ranges(&mut code, features);
        let tree = code.tree(&ranges);
        code.push(load(NUMBER), tree);
        // Numbers mean something else for calls of another kind, such as those of 32-bit programs.
        let start = code.last();
        code.compare(BPF_JEQ, AUDIT_ARCHITECTURE, start, Label::KILL);
        code.code.push(load(ARCHITECTURE));
        Self(first.iter().copied().chain(code.code.into_iter().rev()).collect())
    }

    /// Returns the argument of seccomp(2); valid as long as the program.
    pub fn header(&self) -> libc::sock_fprog {
        libc::sock_fprog { len: self.0.len() as u16, filter: self.0.as_ptr().cast_mut() }
    }

    /// Returns the word of the program that holds a secret argument.
    pub fn secret(&mut self, argument: u8) -> Option<&mut u32> {
        self.0.iter_mut().find(|one| one.code == COMPARE_EQUAL && one.k == placeholder(argument)).map(|one| &mut one.k)
    }

    /// Enters the filter with all threads of the process at once (SECCOMP_FILTER_FLAG_TSYNC); none of them is in another one.
    pub fn enter_by_all(&self) -> Result<(), Error> {
        self.enter_with(libc::SECCOMP_FILTER_FLAG_TSYNC)
    }

    /// Enters the filter with the calling thread, and those that it makes. Privileges must have been given up for good.
    pub fn enter(&self) -> Result<(), Error> {
        self.enter_with(0)
    }

    fn enter_with(&self, flags: libc::c_ulong) -> Result<(), Error> {
        let program = self.header();
        // SAFETY: the kernel copies the program; pointer and length in the header are the vector's.
        match unsafe { libc::syscall(libc::SYS_seccomp, libc::SECCOMP_SET_MODE_FILTER, flags, &raw const program) } {
            0 => Ok(()),
            -1 => Err(Error::NotConfined(io::Error::last_os_error())),
            // The id of a thread that cannot enter the filter.
            _ => Err(Error::NotConfined(io::ErrorKind::ResourceBusy.into())),
        }
    }
}

/// Returns the calls that may be made, in order of their numbers: in all cases, if any feature makes them without condition.
fn verdicts<'c>(features: &[&'c Feature]) -> Verdicts<'c> {
    let refused = REFUSED.iter().map(|call| (call.number as u32, Verdict::Fails));
    let made = features.iter().flat_map(|feature| feature.calls).map(|call| {
        let verdict = if call.only.is_empty() { Verdict::Always } else { Verdict::Case(call) };
        (call.number as u32, verdict)
    });
    let mut verdicts: Verdicts = refused.chain(made).collect();
    // Cases of a number stay in order, except for a verdict that makes the others needless.
    verdicts.sort_by_key(|(number, verdict)| (*number, verdict.rank()));
    verdicts.dedup_by(|later, first| later.0 == first.0 && !matches!(first.1, Verdict::Case(_)));
    verdicts
}

/// Offsets of the call's number, the architecture, the address after the instruction, and the arguments (struct
/// seccomp_data).
const NUMBER: u32 = 0;
const ARCHITECTURE: u32 = 4;
const INSTRUCTION: u32 = 8;
const fn argument(index: u8) -> u32 {
    16 + 8 * index as u32
}

/// First instruction that lets the kernel skip its analysis of the program: for each number, the kernel would run it up to
/// the first value that is unknown beforehand, to remember which are always allowed (seccomp_cache_prepare in
/// kernel/seccomp.c). That takes 10 us, to save some 20 ns at each such call.
pub const UNFORESEEN: sock_filter = load(INSTRUCTION);

const KILL: u32 = libc::SECCOMP_RET_KILL_PROCESS;
const FAIL: u32 = libc::SECCOMP_RET_ERRNO | libc::EACCES as u32;

const COMPARE_EQUAL: u16 = (BPF_JMP | BPF_JEQ | BPF_K) as u16;

/// Placeholder for a secret argument: a value that a program compares with nowhere else.
const fn placeholder(argument: u8) -> u32 {
    0x5ec2_e700 | argument as u32
}

const fn load(offset: u32) -> sock_filter {
    sock_filter { code: (BPF_LD | BPF_W | BPF_ABS) as u16, jt: 0, jf: 0, k: offset }
}

fn answer(action: u32) -> sock_filter {
    sock_filter { code: (BPF_RET | BPF_K) as u16, jt: 0, jf: 0, k: action }
}

fn jump(over: usize) -> sock_filter {
    sock_filter { code: (BPF_JMP | BPF_JA) as u16, jt: 0, jf: 0, k: over as u32 }
}

/// An instruction, by the number of instructions after it.
#[derive(Clone, Copy, Debug, PartialEq, Eq)]
struct Label(usize);

impl Label {
    const KILL: Self = Self(0);
    const FAIL: Self = Self(1);
    const ALLOW: Self = Self(2);
}

/// A program that is written from its end, as jumps lead forward only.
struct Backward<'d> {
    code: Vec<sock_filter>,
    descriptors: &'d Descriptors,
    /// Tests of a descriptor that allow the call or end with the second label: many calls share one.
    tests: Vec<(Argument, Label, Label)>,
}

impl<'d> Backward<'d> {
    /// Starts with the three answers.
    fn new(descriptors: &'d Descriptors) -> Self {
        let code = [KILL, FAIL, libc::SECCOMP_RET_ALLOW].map(answer).to_vec();
        Self { code, descriptors, tests: vec![] }
    }

    /// Returns the instruction that was written last.
    fn last(&self) -> Label {
        Label(self.code.len() - 1)
    }

    /// Writes an instruction that continues at `next`.
    fn push(&mut self, instruction: sock_filter, next: Label) -> Label {
        if next != self.last() {
            self.code.push(jump(self.distance(next)));
        }
        self.code.push(instruction);
        self.last()
    }

    /// Writes a comparison of the loaded value with `value`.
    fn compare(&mut self, how: u32, value: u32, yes: Label, no: Label) -> Label {
        let (yes, no) = (self.near(yes), self.near(no));
        let (jt, jf) = (self.distance(yes) as u8, self.distance(no) as u8);
        self.code.push(sock_filter { code: (BPF_JMP | how | BPF_K) as u16, jt, jf, k: value });
        self.last()
    }

    /// Returns the number of instructions between the next one and `label`.
    fn distance(&self, label: Label) -> usize {
        self.code.len() - label.0 - 1
    }

    /// Returns the label, or a jump to it that a comparison reaches, even if another jump comes in between.
    fn near(&mut self, label: Label) -> Label {
        if self.distance(label) >= usize::from(u8::MAX) {
            self.code.push(jump(self.distance(label)));
            return self.last();
        }
        label
    }

    /// Finds the range that the loaded number lies in. Ranges are listed by their first number; the first range starts at 0.
    fn tree(&mut self, ranges: &[(u32, Label)]) -> Label {
        match ranges {
            [] => Label::KILL,
            [(_, label)] => *label,
            _ => {
                let (lower, upper) = ranges.split_at(ranges.len() / 2);
                let (above, below) = (self.tree(upper), self.tree(lower));
                self.compare(BPF_JGE, upper[0].0, above, below)
            }
        }
    }

    /// Allows the call if all its arguments meet their conditions; else continues at `otherwise`.
    fn case(&mut self, call: &Call, otherwise: Label) -> Label {
        call.only.iter().rev().fold(Label::ALLOW, |next, only| self.test(*only, next, otherwise))
    }

    /// Continues at `next` if the argument meets its condition, else at `otherwise`.
    fn test(&mut self, only: Argument, next: Label, otherwise: Label) -> Label {
        let known = self.tests.iter().find(|(known, other, _)| (*known, *other) == (only, otherwise));
        if let Some((_, _, test)) = known.filter(|_| next == Label::ALLOW) {
            return *test;
        }
        let descriptors = self.descriptors;
        let (at, test) = match only {
            Argument::Is(at, value) => (at, self.compare(BPF_JEQ, value, next, otherwise)),
            Argument::Without(at, bits) => (at, self.compare(BPF_JSET, bits, otherwise, next)),
            Argument::OwnProcess(at) => (at, self.compare(BPF_JEQ, std::process::id(), next, otherwise)),
            Argument::Secret(at) => (at, self.compare(BPF_JEQ, placeholder(at), next, otherwise)),
            Argument::Turns(at) => match descriptors.turns {
                Some(timer) => (at, self.compare(BPF_JEQ, timer, next, otherwise)),
                None => return otherwise,
            },
            Argument::On(at, role) => {
                let either = |other, descriptor| self.compare(BPF_JEQ, descriptor as u32, next, other);
                (at, descriptors.of(role).fold(otherwise, either))
            }
            Argument::Made(at) => {
                let neither = |other, descriptor| self.compare(BPF_JEQ, descriptor as u32, otherwise, other);
                (at, descriptors.all().fold(next, neither))
            }
        };
        let test = self.push(load(argument(at)), test);
        if next == Label::ALLOW && matches!(only, Argument::On(..) | Argument::Made(_)) {
            self.tests.push((only, otherwise, test));
        }
        test
    }
}

/// Returns the label that each range of numbers leads to.
fn ranges(code: &mut Backward<'_>, features: &[&Feature]) -> Vec<(u32, Label)> {
    let mut ranges = vec![(0, Label::KILL)];
    for verdicts in verdicts(features).chunk_by(|one, other| one.0 == other.0) {
        let number = verdicts[0].0;
        let label = verdicts.iter().rev().fold(Label::KILL, |next, (_, verdict)| match verdict {
            Verdict::Always => Label::ALLOW,
            Verdict::Fails => Label::FAIL,
            Verdict::Case(call) => code.case(call, next),
        });
        // Directly behind the previous number, so the range that was to be killed in between is empty.
        ranges.pop_if(|(first, _)| *first == number);
        if ranges.last().is_none_or(|(_, before)| *before != label) {
            ranges.push((number, label));
        }
        ranges.push((number + 1, Label::KILL));
    }
    ranges
}

#[cfg(test)]
mod tests {
    use super::super::calls;
    use super::super::descriptors::Role;
    use super::*;

    const ALL: &[&Feature] = &[
        &calls::PROCESS,
        &calls::MEMORY,
        &calls::CLOCK,
        &calls::KVM,
        &calls::GUEST_MEMORY,
        &calls::CONSOLE,
        &calls::TERMINAL,
        &calls::INPUT_FILE,
        &calls::SIGNALS,
        &calls::REPORT,
        &calls::HOST_FILES,
        &calls::NOTIFIER,
        &calls::TAP,
        &calls::PASST,
        &calls::USER_NETWORK,
        &calls::BLOCK,
        &calls::FOLDER,
        &calls::FOLDER_CHANGES,
        &calls::SENTINEL,
    ];

    /// Makes a descriptor for each role, and the standard streams: 0 to 18.
    fn descriptors() -> Descriptors {
        let mut descriptors = Descriptors::default();
        for (role, number) in ROLES.into_iter().zip(3..) {
            descriptors.add(role, &number);
        }
        descriptors.turns = Some(2);
        descriptors
    }

    /// Descriptor that was made since.
    const MADE: u32 = 3 + ROLES.len() as u32;

    const ROLES: [Role; 16] = [
        Role::Terminal,
        Role::Image,
        Role::Pages,
        Role::Bell,
        Role::Machine,
        Role::Processor,
        Role::Interface,
        Role::Passt,
        Role::Watch,
        Role::Published,
        Role::Routes,
        Role::HostFile,
        Role::HostFolder,
        Role::Disk,
        Role::Ring,
        Role::Folder,
    ];

    /// Returns true if the arguments meet a call's conditions.
    fn holds(call: &Call, arguments: [u32; 6]) -> bool {
        let argument = |at: u8| arguments[usize::from(at)];
        call.only.iter().all(|only| match *only {
            Argument::Is(at, value) => argument(at) == value,
            Argument::Without(at, bits) => argument(at) & bits == 0,
            Argument::OwnProcess(at) => argument(at) == std::process::id(),
            Argument::Turns(at) => descriptors().turns == Some(argument(at)),
            Argument::Secret(at) => argument(at) == placeholder(at),
            Argument::On(at, role) => descriptors().of(role).any(|known| known as u32 == argument(at)),
            Argument::Made(at) => !descriptors().all().any(|known| known as u32 == argument(at)),
        })
    }

    /// Runs the program as the kernel's interpreter does; returns its answer.
    fn run(Program(program): &Program, architecture: u32, number: u32, arguments: [u32; 6]) -> u32 {
        let (mut at, mut loaded) = (0, 0);
        loop {
            let sock_filter { code, jt, jf, k } = program[at];
            at += 1;
            match u32::from(code) {
                code if code == BPF_LD | BPF_W | BPF_ABS => {
                    loaded = match k {
                        NUMBER => number,
                        ARCHITECTURE => architecture,
                        _ => arguments[(k as usize - 16) / 8],
                    }
                }
                code if code == BPF_RET | BPF_K => return k,
                code if code == BPF_JMP | BPF_JA => at += k as usize,
                code => {
                    let holds = match code & !BPF_JMP {
                        BPF_JEQ => loaded == k,
                        BPF_JGE => loaded >= k,
                        BPF_JSET => loaded & k != 0,
                        other => panic!("instruction {other:#x}"),
                    };
                    at += usize::from(if holds { jt } else { jf });
                }
            }
        }
    }

    fn is_allowed(features: &[&Feature], number: libc::c_long, arguments: [u32; 6]) -> bool {
        let program = Program::new(features, &[], &descriptors());
        run(&program, AUDIT_ARCHITECTURE, number as u32, arguments) == libc::SECCOMP_RET_ALLOW
    }

    /// Returns arguments that a call is allowed with; the first is `first` unless a condition needs another.
    fn arguments(call: &Call, first: u32) -> [u32; 6] {
        let mut arguments = [first, 0, 0, 0, 0, 0];
        for only in call.only {
            match *only {
                Argument::Is(at, value) => arguments[usize::from(at)] = value,
                Argument::Without(at, bits) => arguments[usize::from(at)] = !bits,
                Argument::OwnProcess(at) => arguments[usize::from(at)] = std::process::id(),
                Argument::Secret(at) => arguments[usize::from(at)] = placeholder(at),
                Argument::Made(at) if at > 0 => arguments[usize::from(at)] = MADE,
                Argument::Turns(_) | Argument::On(..) | Argument::Made(_) => {}
            }
        }
        arguments
    }

    #[test]
    fn every_call_of_the_tables_is_allowed_and_no_other_is() {
        let program = Program::new(ALL, &[], &descriptors());
        let mut allowed = 0;
        let all: Vec<&Call> = ALL.iter().flat_map(|feature| feature.calls).collect();
        for call in &all {
            let before = allowed;
            for first in (0..=MADE).chain([u32::MAX]) {
                let arguments = arguments(call, first);
                let expected = all.iter().any(|other| other.number == call.number && holds(other, arguments));
                let answer = run(&program, AUDIT_ARCHITECTURE, call.number as u32, arguments);
                assert_eq!(answer == libc::SECCOMP_RET_ALLOW, expected, "{} {:?} {first}", call.name, call.only);
                allowed += u32::from(expected);
            }
            assert!(allowed > before, "{} {:?} is never allowed", call.name, call.only);
        }
        let known = verdicts(ALL);
        for number in (0..1000).chain([1 << 30, 1 << 30 | 9, u32::MAX]) {
            let answer = run(&program, AUDIT_ARCHITECTURE, number, [u32::MAX; 6]);
            match known.iter().find(|(known, _)| *known == number) {
                Some((_, Verdict::Always)) => assert_eq!(answer, libc::SECCOMP_RET_ALLOW, "{number}"),
                Some((_, Verdict::Fails)) => assert_eq!(answer, FAIL, "{number}"),
                Some((_, Verdict::Case(_))) => {}
                None => assert_eq!(answer, KILL, "{number}"),
            }
        }
        assert_eq!(run(&program, 0x4000_0003, libc::SYS_exit as u32, [0; 6]), KILL);
    }

    #[test]
    fn calls_are_for_the_descriptors_that_they_are_for() {
        let of = |role| descriptors().of(role).next().expect("there is one") as u32;
        let disk =
            |number, descriptor| is_allowed(&[&calls::CONSOLE, &calls::BLOCK], number, [descriptor, 0, 0, 0, 0, 0]);
        for number in [libc::SYS_pwritev2, libc::SYS_pwrite64, libc::SYS_fallocate, libc::SYS_preadv2] {
            assert!(disk(number, of(Role::Disk)) && !disk(number, 1) && !disk(number, of(Role::Image)), "{number}");
        }
        assert!(disk(libc::SYS_write, 1) && disk(libc::SYS_write, 2) && !disk(libc::SYS_write, of(Role::Disk)));
        assert!(disk(libc::SYS_read, 0) && !disk(libc::SYS_read, 1));
        let network = |number, descriptor| is_allowed(&[&calls::USER_NETWORK], number, [descriptor, 0, 0, 0, 0, 0]);
        for number in [libc::SYS_sendmsg, libc::SYS_connect, libc::SYS_writev, libc::SYS_close] {
            assert!(network(number, MADE) && !network(number, 1) && !network(number, of(Role::Image)), "{number}");
        }
        assert!(network(libc::SYS_accept4, of(Role::Published)) && !network(libc::SYS_accept4, MADE));
        let open = |descriptor| is_allowed(&[&calls::HOST_FILES], libc::SYS_openat2, [descriptor, 0, 0, 0, 0, 0]);
        assert!(open(of(Role::HostFolder)) && ![libc::AT_FDCWD as u32, of(Role::HostFile), MADE].into_iter().any(open));
        // No disk is attached here.
        let none = Program::new(&[&calls::BLOCK], &[], &Descriptors::default());
        for descriptor in [0, 1, 2, of(Role::Disk)] {
            let answer = run(&none, AUDIT_ARCHITECTURE, libc::SYS_pwritev2 as u32, [descriptor, 0, 0, 0, 0, 0]);
            assert_eq!(answer, KILL, "{descriptor}");
        }
    }

    #[test]
    fn arguments_are_held_to_what_the_tables_say() {
        let map = |protection: libc::c_int, file| {
            let arguments = [0, 4096, protection as u32, 0, file, 0];
            is_allowed(&[&calls::MEMORY], libc::SYS_mmap, arguments)
        };
        assert!(map(libc::PROT_READ | libc::PROT_WRITE, u32::MAX));
        assert!(!map(libc::PROT_READ | libc::PROT_EXEC, u32::MAX) && !map(libc::PROT_READ, 3));
        let process = std::process::id();
        let signal = |process, signal: libc::c_int| {
            is_allowed(&[&calls::NOTIFIER], libc::SYS_tgkill, [process, 7, signal as u32, 0, 0, 0])
        };
        assert!(signal(process, libc::SIGIO) && !signal(process, libc::SIGKILL) && !signal(1, libc::SIGIO));
        let socket = |family: libc::c_int, kind: libc::c_int| {
            let kind = (kind | libc::SOCK_CLOEXEC) as u32;
            is_allowed(&[&calls::USER_NETWORK], libc::SYS_socket, [family as u32, kind, 6, 0, 0, 0])
        };
        assert!(socket(libc::AF_INET, libc::SOCK_STREAM) && socket(libc::AF_INET6, libc::SOCK_STREAM));
        assert!(!socket(libc::AF_UNIX, libc::SOCK_STREAM) && !socket(libc::AF_INET, libc::SOCK_RAW));
    }

    #[test]
    fn what_could_undo_the_rest_is_in_no_table() {
        let never = [
            libc::SYS_execve,
            libc::SYS_execveat,
            libc::SYS_fork,
            libc::SYS_vfork,
            libc::SYS_clone,
            libc::SYS_clone3,
            libc::SYS_ptrace,
            libc::SYS_kill,
            libc::SYS_tkill,
            libc::SYS_bind,
            libc::SYS_listen,
            libc::SYS_io_uring_setup,
            libc::SYS_io_uring_register,
            libc::SYS_prctl,
            libc::SYS_seccomp,
            libc::SYS_unlink,
            libc::SYS_rename,
            libc::SYS_mount,
            libc::SYS_bpf,
            libc::SYS_userfaultfd,
            libc::SYS_open,
            libc::SYS_openat,
        ];
        // Only those of folders, and of files of the host, open files.
        let opens = |feature: &&&Feature| {
            let openers = [&calls::FOLDER, &calls::FOLDER_CHANGES, &calls::HOST_FILES];
            openers.into_iter().any(|opener| std::ptr::eq(opener, **feature))
        };
        let others: Vec<&Feature> = ALL.iter().filter(|feature| !opens(feature)).copied().collect();
        assert_eq!(others.len() + 3, ALL.len());
        let without_folders = verdicts(&others);
        assert!(without_folders.iter().all(|(number, _)| i64::from(*number) != libc::SYS_openat2));
        let allowed = verdicts(ALL);
        for number in never {
            let mut verdicts = allowed.iter().filter(|(allowed, _)| i64::from(*allowed) == number);
            assert!(verdicts.all(|(_, verdict)| matches!(verdict, Verdict::Fails)), "{number}");
        }
    }

    #[test]
    fn own_instructions_decide_first() {
        let program = Program::new(ALL, &[answer(libc::SECCOMP_RET_TRAP)], &descriptors());
        assert_eq!(run(&program, AUDIT_ARCHITECTURE, libc::SYS_exit as u32, [0; 6]), libc::SECCOMP_RET_TRAP);
    }
}

//! A thread's filter of system calls: the tables of its features as a program for seccomp(2).
//!
//! The program is a tree that finds the range of numbers which a call lies in. It is as short as it can be, as the kernel
//! translates it each time it is entered, at a fifth of a microsecond an instruction; and is run once then for each number
//! that there is, which for a chain of comparisons took as long again.

#![expect(unsafe_code, reason = "the program is handed to the kernel by address")]

use super::calls::{Argument, Call, Feature, REFUSED};
use crate::error::Error;
use libc::{BPF_ABS, BPF_JA, BPF_JEQ, BPF_JGE, BPF_JMP, BPF_JSET, BPF_K, BPF_LD, BPF_RET, BPF_W, sock_filter};
use std::io;

/// A filter that is ready to be entered.
#[derive(Clone, Debug)]
pub struct Program(Vec<sock_filter>);

/// What becomes of calls of one number.
#[derive(Clone, Copy)]
enum Verdict<'c> {
    Always,
    Fails,
    /// It may be called in this case.
    Case(&'c Call),
}

/// What becomes of calls, with their numbers. There can be several cases of one number.
type Verdicts<'c> = Vec<(u32, Verdict<'c>)>;

impl Verdict<'_> {
    /// The lowest decides.
    fn rank(self) -> u8 {
        match self {
            Self::Always => 0,
            Self::Fails => 1,
            Self::Case(_) => 2,
        }
    }
}

impl Program {
    /// Allows what `features` need, and nothing else. `first` are instructions that decide before, or fall through to the
    /// rest.
    pub fn new(features: &[&Feature], first: &[sock_filter]) -> Self {
        let mut code = Backward::new();
        let ranges = ranges(&mut code, features);
        let tree = code.tree(&ranges);
        code.push(load(NUMBER), tree);
        // Numbers mean something else for calls of another kind, such as those of 32-bit programs.
        let start = code.last();
        code.compare(BPF_JEQ, X86_64, start, Label::KILL);
        code.0.push(load(ARCHITECTURE));
        Self(first.iter().copied().chain(code.0.into_iter().rev()).collect())
    }

    /// Holds the calling thread, and those that it makes, to it from now on. Privileges must have been given up for good.
    pub fn enter(&self) -> Result<(), Error> {
        let program = libc::sock_fprog { len: self.0.len() as u16, filter: self.0.as_ptr().cast_mut() };
        // SAFETY: the kernel copies the program, which has so many instructions.
        match unsafe { libc::syscall(libc::SYS_seccomp, libc::SECCOMP_SET_MODE_FILTER, 0, &raw const program) } {
            0 => Ok(()),
            _ => Err(Error::NotConfined(io::Error::last_os_error())),
        }
    }
}

/// Which calls may be made, in the order of their numbers: in all cases, if any feature makes them without condition.
fn verdicts<'c>(features: &[&'c Feature]) -> Verdicts<'c> {
    let refused = REFUSED.iter().map(|call| (call.number as u32, Verdict::Fails));
    let made = features.iter().flat_map(|feature| feature.calls).map(|call| {
        let verdict = if call.only.is_empty() { Verdict::Always } else { Verdict::Case(call) };
        (call.number as u32, verdict)
    });
    let mut verdicts: Verdicts = refused.chain(made).collect();
    // Those of one number stay in their order, but for the one that makes the others needless.
    verdicts.sort_by_key(|(number, verdict)| (*number, verdict.rank()));
    verdicts.dedup_by(|later, first| later.0 == first.0 && !matches!(first.1, Verdict::Case(_)));
    verdicts
}

/// Where the number of the call, the architecture, the address after the instruction and the arguments are (struct
/// seccomp_data).
const NUMBER: u32 = 0;
const ARCHITECTURE: u32 = 4;
const INSTRUCTION: u32 = 8;
const fn argument(index: u8) -> u32 {
    16 + 8 * index as u32
}

/// As the first instruction: has the kernel enter the program without a look at it. For each number, it would run it up to
/// the first thing that it does not know beforehand, to remember which are always allowed (seccomp_cache_prepare in
/// kernel/seccomp.c). That takes 10 us, to save some 20 ns at each such call.
pub const UNFORESEEN: sock_filter = load(INSTRUCTION);

/// AUDIT_ARCH_X86_64 (linux/audit.h).
const X86_64: u32 = 0xc000_003e;
const KILL: u32 = libc::SECCOMP_RET_KILL_PROCESS;
const FAIL: u32 = libc::SECCOMP_RET_ERRNO | libc::EACCES as u32;

const fn load(offset: u32) -> sock_filter {
    sock_filter { code: (BPF_LD | BPF_W | BPF_ABS) as u16, jt: 0, jf: 0, k: offset }
}

fn answer(action: u32) -> sock_filter {
    sock_filter { code: (BPF_RET | BPF_K) as u16, jt: 0, jf: 0, k: action }
}

fn jump(over: usize) -> sock_filter {
    sock_filter { code: (BPF_JMP | BPF_JA) as u16, jt: 0, jf: 0, k: over as u32 }
}

/// An instruction, by how many come after it.
#[derive(Clone, Copy, Debug, PartialEq, Eq)]
struct Label(usize);

impl Label {
    const KILL: Self = Self(0);
    const FAIL: Self = Self(1);
    const ALLOW: Self = Self(2);
}

/// A program that is written from its end, as jumps lead forward only.
struct Backward(Vec<sock_filter>);

impl Backward {
    /// The three answers.
    fn new() -> Self {
        Self([KILL, FAIL, libc::SECCOMP_RET_ALLOW].map(answer).to_vec())
    }

    /// The instruction that was written last.
    fn last(&self) -> Label {
        Label(self.0.len() - 1)
    }

    /// Writes an instruction after which it goes on at `next`.
    fn push(&mut self, instruction: sock_filter, next: Label) -> Label {
        if next != self.last() {
            self.0.push(jump(self.distance(next)));
        }
        self.0.push(instruction);
        self.last()
    }

    /// Writes a comparison of what was loaded with `value`.
    fn compare(&mut self, how: u32, value: u32, yes: Label, no: Label) -> Label {
        let (yes, no) = (self.near(yes), self.near(no));
        let (jt, jf) = (self.distance(yes) as u8, self.distance(no) as u8);
        self.0.push(sock_filter { code: (BPF_JMP | how | BPF_K) as u16, jt, jf, k: value });
        self.last()
    }

    /// How many instructions lie between the next one and `label`.
    fn distance(&self, label: Label) -> usize {
        self.0.len() - label.0 - 1
    }

    /// The label, or a jump to it that a comparison reaches, even if another jump comes in between.
    fn near(&mut self, label: Label) -> Label {
        if self.distance(label) >= usize::from(u8::MAX) {
            self.0.push(jump(self.distance(label)));
            return self.last();
        }
        label
    }

    /// Finds the range that the loaded number lies in. Each is given by its first number, the first range is from 0.
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

    /// Allows the call if all its arguments are as they must be; else goes on at `otherwise`.
    fn case(&mut self, call: &Call, otherwise: Label) -> Label {
        call.only.iter().rev().fold(Label::ALLOW, |next, only| {
            let (at, test) = match *only {
                Argument::Is(at, value) => (at, self.compare(BPF_JEQ, value, next, otherwise)),
                Argument::Without(at, bits) => (at, self.compare(BPF_JSET, bits, otherwise, next)),
                Argument::OwnProcess(at) => (at, self.compare(BPF_JEQ, std::process::id(), next, otherwise)),
            };
            self.push(load(argument(at)), test)
        })
    }
}

/// Where each range of numbers leads to.
fn ranges(code: &mut Backward, features: &[&Feature]) -> Vec<(u32, Label)> {
    let mut ranges = vec![(0, Label::KILL)];
    for verdicts in verdicts(features).chunk_by(|one, other| one.0 == other.0) {
        let number = verdicts[0].0;
        let label = verdicts.iter().rev().fold(Label::KILL, |next, (_, verdict)| match verdict {
            Verdict::Always => Label::ALLOW,
            Verdict::Fails => Label::FAIL,
            Verdict::Case(call) => code.case(call, next),
        });
        // Right behind the number before it: where that one has ended.
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
    use super::*;

    const ALL: &[&Feature] = &[
        &calls::PROCESS,
        &calls::MEMORY,
        &calls::CLOCK,
        &calls::KVM,
        &calls::GUEST_MEMORY,
        &calls::CONSOLE,
        &calls::SIGNALS,
        &calls::REPORT,
        &calls::BELLS,
        &calls::TAP,
        &calls::PASST,
        &calls::USER_NETWORK,
        &calls::BLOCK,
    ];

    /// What the program answers, as the kernel's interpreter does.
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
        run(&Program::new(features, &[]), X86_64, number as u32, arguments) == libc::SECCOMP_RET_ALLOW
    }

    #[test]
    fn every_call_of_the_tables_is_allowed_and_no_other_is() {
        let program = Program::new(ALL, &[]);
        let arguments = |call: &Call| {
            let mut arguments = [0; 6];
            for only in call.only {
                match *only {
                    Argument::Is(at, value) => arguments[usize::from(at)] = value,
                    Argument::Without(at, bits) => arguments[usize::from(at)] = !bits,
                    Argument::OwnProcess(at) => arguments[usize::from(at)] = std::process::id(),
                }
            }
            arguments
        };
        for call in ALL.iter().flat_map(|feature| feature.calls) {
            let answer = run(&program, X86_64, call.number as u32, arguments(call));
            assert_eq!(answer, libc::SECCOMP_RET_ALLOW, "{} {:?}", call.name, call.only);
        }
        let known = verdicts(ALL);
        for number in (0..1000).chain([1 << 30, 1 << 30 | 9, u32::MAX]) {
            let answer = run(&program, X86_64, number, [u32::MAX; 6]);
            match known.iter().find(|(known, _)| *known == number) {
                Some((_, Verdict::Always)) => assert_eq!(answer, libc::SECCOMP_RET_ALLOW, "{number}"),
                Some((_, Verdict::Fails)) => assert_eq!(answer, FAIL, "{number}"),
                // No argument is allowed to be this.
                Some((_, Verdict::Case(_))) | None => assert_eq!(answer, KILL, "{number}"),
            }
        }
        assert_eq!(run(&program, 0x4000_0003, libc::SYS_exit as u32, [0; 6]), KILL);
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
            is_allowed(&[&calls::BELLS], libc::SYS_tgkill, [process, 7, signal as u32, 0, 0, 0])
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
            libc::SYS_openat2,
        ];
        let allowed = verdicts(ALL);
        for number in never {
            let mut verdicts = allowed.iter().filter(|(allowed, _)| i64::from(*allowed) == number);
            assert!(verdicts.all(|(_, verdict)| matches!(verdict, Verdict::Fails)), "{number}");
        }
    }

    #[test]
    fn own_instructions_decide_first() {
        let program = Program::new(ALL, &[answer(libc::SECCOMP_RET_TRAP)]);
        assert_eq!(run(&program, X86_64, libc::SYS_exit as u32, [0; 6]), libc::SECCOMP_RET_TRAP);
    }
}

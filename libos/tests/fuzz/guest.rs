//! System calls that somebody made up, for a whole libos: see [`system_calls`].
//!
//! What stands in for the tender is a gate whose clock stands still but for waits, and which holds the libos to the memory
//! that it was given. A program that ends, or waits for what never comes, unwinds from there. The program's pointers lead
//! into memory of its own; any other is refused, so that none leads into the libos itself.

#![expect(unsafe_code, reason = "memory of a guest is reached by address, and the gate is told by address")]

use husk::abi::boot::Info;
use husk::abi::call::{News, Number, Status};
use husk::abi::clock::{Page, Parameters};
use husk::abi::memory::{PAGE, Region};
use husk::abi::registers::Registers as General;
use husk_libos::arch::Registers;
use husk_libos::libos::{self, LIBOS};
use husk_libos::memory::MEMORY;
use husk_libos::random::Random;
use husk_libos::state::Libos;
use husk_libos::syscalls::table::CALLS;
use husk_libos::user;
use std::alloc::{Layout, alloc_zeroed};
use std::any::Any;
use std::panic::{AssertUnwindSafe, catch_unwind, resume_unwind};
use std::sync::atomic::{AtomicU64, Ordering::Relaxed};
use std::sync::{Mutex, OnceLock, PoisonError};
use zerocopy::{FromZeros, IntoBytes};

/// Bytes that the program has from the start, and those from which it gets more.
const OWN: u64 = 32 << 10;
const HEAP: u64 = 2 << 20;
/// Most calls of one program, and most waits.
const CALLS_MAXIMUM: usize = 200;
const WAITS_MAXIMUM: u64 = 2000;
/// Linux's errors are below this.
const ERRORS: i64 = 4096;
/// Time that passes from one call to the next, in nanoseconds.
const STEP_NS: u64 = 50_000;
/// What there is to name: each lies at a multiple of 64 in the program's memory.
const PATHS: [&str; 12] = [
    "/tmp",
    "/tmp/a",
    "/tmp/b",
    "a",
    ".",
    "..",
    "/dev/null",
    "/dev/zero",
    "/proc/self/fd/3",
    "/tmp/directory",
    "/proc/self/exe",
    "/tmp/directory/../a",
];

/// Where a guest lives.
struct Place {
    own: Region,
    heap: Region,
    /// Its clock.
    clock: &'static Page,
}

static PLACE: OnceLock<Place> = OnceLock::new();
/// The time, and how often was waited since the start.
static NOW: AtomicU64 = AtomicU64::new(0);
static WAITS: AtomicU64 = AtomicU64::new(0);

/// The end of a guest.
struct Ended;

fn place() -> &'static Place {
    PLACE.get_or_init(|| {
        let region = |length: u64| {
            let layout = Layout::from_size_align(length as usize, PAGE as usize).expect("whole pages");
            // SAFETY: the length is not 0. Never given back.
            Region { start: unsafe { alloc_zeroed(layout) } as u64, length }
        };
        let (own, heap) = (region(OWN), region(HEAP));
        // A page below the stack is what the libos lends.
        let stack = region(9 * PAGE);
        let main_stack = Region { start: stack.start + PAGE, length: 8 * PAGE };
        // SAFETY: zeros are a page of the clock; it lies there for good, aligned.
        let clock = unsafe { &*(region(PAGE).start as *const Page) };
        let info = Info {
            version: husk::abi::VERSION,
            gate: gate as *const () as u64,
            clock: std::ptr::from_ref(clock) as u64,
            // None are there.
            program_headers: heap.start,
            main_stack,
            heap,
            heap_attached: heap.length / 2,
            ..Info::new_zeroed()
        };
        husk::boot::init(Box::leak(Box::new(info)));
        user::set_window(own.start, own.end());
        Place { own, heap, clock }
    })
}

fn set_time(now_ns: u64) {
    NOW.store(now_ns, Relaxed);
    let realtime_ns = 1_700_000_000_000_000_000_u64.wrapping_add(now_ns);
    // A counter that is of no use, so that each reading asks first.
    place().clock.write(Parameters { tsc: 0, nanoseconds_per_tick: 0, monotonic_ns: now_ns, realtime_ns, limit: 1 });
}

/// Stands in for the tender.
extern "sysv64-unwind" fn gate(number: u64, a: u64, b: u64, c: u64, _: u64) -> i64 {
    let place = place();
    let inside = |start: u64, length: u64| {
        let end = start.checked_add(length).expect("an end");
        [place.own, place.heap].iter().any(|region| start >= region.start && end <= region.end())
    };
    let number = Number::from_raw(number).expect("a call that exists");
    if let Number::ConsoleRead | Number::ConsoleWrite = number {
        assert!(LIBOS.try_lock().is_some(), "the libos waits for the console with its lock held");
    }
    let answer = match number {
        Number::ConsoleWrite => {
            assert!(inside(b, c), "{c} bytes at {b:#x} are not the program's");
            Ok(c.min(100))
        }
        Number::ConsoleRead => {
            assert!(inside(a, b), "{b} bytes at {a:#x} are not the program's");
            let count = b.min(5);
            // SAFETY: it is the program's.
            unsafe { (a as *mut u8).write_bytes(b'i', count as usize) };
            Ok(count)
        }
        Number::Wait => return wait(a, b),
        Number::Protect => {
            assert!(inside(a, b) && (a | b).is_multiple_of(PAGE));
            Ok(0)
        }
        Number::Discard => {
            assert!(inside(a, b) && (a | b).is_multiple_of(PAGE));
            // SAFETY: the libos says that nobody uses it any more.
            unsafe { (a as *mut u8).write_bytes(0, b as usize) };
            Ok(0)
        }
        Number::GrowHeap if a <= place.heap.length => Ok(a.next_multiple_of(64 * PAGE).min(place.heap.length)),
        Number::GrowHeap | Number::AttachImage | Number::HostFile | Number::Terminal | Number::InputSeek => {
            Err(Status::Invalid)
        }
        Number::Populated => Err(Status::InputOutput),
        Number::Unanswered | Number::Notice | Number::AvailableMemory | Number::Tick | Number::Time => Ok(0),
        Number::Panic => panic!("the libos gives up"),
        Number::Exit | Number::Deadlock | Number::Abort => resume_unwind(Box::new(Ended)),
    };
    Status::encode(answer) as i64
}

/// Time passes, or there is input. Meanwhile another processor may be in the libos; but a deadline of 0 is a query.
fn wait(deadline_ns: u64, news: u64) -> i64 {
    assert!(deadline_ns == 0 || LIBOS.try_lock().is_some(), "the libos waits with its lock held");
    let news = News::from_bits_truncate(news) & News::INPUT;
    let for_ever = deadline_ns == u64::MAX && news.is_empty();
    if for_ever || WAITS.fetch_add(1, Relaxed) >= WAITS_MAXIMUM {
        resume_unwind(Box::new(Ended));
    }
    if news.is_empty() {
        set_time(deadline_ns.max(NOW.load(Relaxed)));
    }
    news.bits() as i64
}

/// What the program knows.
struct Program<'b> {
    bytes: &'b [u8],
    /// What calls have answered, latest first.
    results: [u64; 8],
}

impl Program<'_> {
    fn byte(&mut self) -> Option<u8> {
        let (first, rest) = self.bytes.split_first()?;
        self.bytes = rest;
        Some(*first)
    }

    fn number<const N: usize>(&mut self) -> Option<u64> {
        let (first, rest) = self.bytes.split_first_chunk::<N>()?;
        self.bytes = rest;
        let mut bytes = [0; 8];
        bytes[..N].copy_from_slice(first);
        Some(u64::from_le_bytes(bytes))
    }

    /// An argument: a number, a flag, a pointer into its memory, or what a call has answered.
    fn argument(&mut self) -> Option<u64> {
        let own = place().own;
        let kind = self.byte()?;
        let small = u64::from(kind & 15);
        Some(match kind >> 4 {
            0 | 1 => small,
            2 => own.start + small * 64,
            3 => own.start + 64 * (16 + small),
            4 => own.start + 8 * u64::from(self.byte()?),
            5 => own.start + self.number::<2>()? % (own.length + 1),
            6 => self.results[small as usize % 8],
            7 => self.results[small as usize % 8].wrapping_add(PAGE * u64::from(self.byte()? % 8)),
            8 => small.wrapping_sub(16),
            9 => (-100_i64).cast_unsigned(),
            10 => 1 << (u32::from(kind & 15) + 16 * u32::from(self.byte()? % 4)),
            11 => PAGE * (small + 1),
            12 => self.byte()?.into(),
            13 => self.number::<2>()?,
            14 => self.number::<4>()?,
            _ => self.number::<8>()?,
        })
    }

    /// The number of the next call, and with what; it may write to its memory before.
    fn call(&mut self) -> Option<(u64, [u64; 6])> {
        let what = self.byte()?;
        if what == 255 {
            let (at, count) = (self.number::<2>()? % OWN, usize::from(self.byte()? % 64));
            let (bytes, rest) = self.bytes.split_at_checked(count)?;
            self.bytes = rest;
            let room = (OWN - at).min(count as u64) as usize;
            put(at, &bytes[..room]);
            return self.call();
        }
        let number = match what {
            254 => self.number::<2>()?,
            _ => CALLS[usize::from(what) % CALLS.len()].number.into(),
        };
        let mut arguments = [0; 6];
        for argument in &mut arguments {
            *argument = self.argument()?;
        }
        Some((number, arguments))
    }
}

/// Writes to the program's memory.
fn put(at: u64, bytes: &[u8]) {
    let own = place().own;
    assert!(at + bytes.len() as u64 <= own.length);
    // SAFETY: so much is there, and nobody refers to it.
    unsafe { ((own.start + at) as *mut u8).copy_from_nonoverlapping(bytes.as_ptr(), bytes.len()) };
}

/// Everything as a program finds it: paths, and what else calls are told by address.
fn prepare() {
    let place = place();
    for region in [place.own, place.heap] {
        // SAFETY: it is as long, and no guest lives there.
        unsafe { (region.start as *mut u8).write_bytes(0, region.length as usize) };
    }
    for (index, path) in PATHS.iter().enumerate() {
        put(64 * index as u64, path.as_bytes());
    }
    let at = |index: u64| 64 * (16 + index);
    let own = |offset: u64| place.own.start + offset;
    // Vectors of two parts; a message; times; an address of each family; a set of signals; an action; descriptors.
    put(at(0), [own(4096), 100, own(8192), 5].as_bytes());
    put(at(1), [own(at(4)), 16, own(at(0)), 2, own(4096), 256, 0].as_bytes());
    put(at(2), [0u64, 1000, 0, 5_000_000].as_bytes());
    put(at(3), [0u64, 0, 1, 0].as_bytes());
    put(at(4), &[2, 0, 0x1f, 0x90, 127, 0, 0, 1]);
    put(at(5), &[10, 0, 0x1f, 0x90, 0, 0, 0, 0, 0, 0, 0, 0, 0, 0, 0, 0, 0, 0, 0, 0, 0, 0, 0, 1]);
    put(at(6), b"\x01\0/tmp/socket\0");
    put(at(7), [1u64 << 9 | 1 << 11 | 1 << 13].as_bytes());
    put(at(8), [0x1000u64, 0x0400_0000, 0x2000, 0].as_bytes());
    put(at(9), [3u32, 0x5, 4, 0x1f, 0, 1, 1, 4].as_bytes());
    put(at(10), [1u32, 0x3, 0, 0, 0, 0, 0, 0].as_bytes());
    put(at(11), [7u64, 0, 0, 0].as_bytes());
    set_time(1_000_000_000);
    WAITS.store(0, Relaxed);
}

/// A program's system calls, one after the other, by whichever of its threads has the processor: each is answered, or ends
/// the program, and nothing is touched but the program's memory and the libos's.
pub fn system_calls(bytes: &[u8]) {
    static ALONE: Mutex<()> = Mutex::new(());
    let _alone = ALONE.lock().unwrap_or_else(PoisonError::into_inner);
    prepare();
    let outcome = catch_unwind(AssertUnwindSafe(|| run(bytes)));
    if let Err(reason) = outcome
        && !reason.is::<Ended>()
    {
        resume_unwind(reason as Box<dyn Any + Send>);
    }
}

fn run(bytes: &[u8]) {
    let place = place();
    MEMORY.lock().init(place.heap, place.heap.length / 2).expect("enough memory");
    let stack = place.own.end() - 64;
    let mut libos = Libos::new(Registers::start(0x1000, stack), Vec::new(), Random::new([7; 32])).expect("it starts");
    let mut registers: *mut Registers = &raw mut *libos.threads.current().registers;
    *LIBOS.lock() = Some(libos);
    let mut program = Program { bytes, results: [0; 8] };
    for _ in 0..CALLS_MAXIMUM {
        let Some((number, [a, b, c, d, e, f])) = program.call() else { return };
        // SAFETY: the libos has told of them, and is not at work: they are the program's to write.
        let registers_now = unsafe { &mut *registers };
        registers_now.whole = 0;
        registers_now.general =
            General { rax: number, rdi: a, rsi: b, rdx: c, r10: d, r8: e, r9: f, ..registers_now.general };
        set_time(NOW.load(Relaxed) + STEP_NS);
        registers = libos::system_call();
        // SAFETY: as above.
        let Registers { general: General { rax: result, .. }, whole, .. } = unsafe { (*registers).clone() };
        // What a handler returns to may be anything.
        assert!(whole != 0 || result.cast_signed() > -ERRORS, "{number} answered {result:#x}");
        program.results.rotate_right(1);
        program.results[0] = result;
    }
}

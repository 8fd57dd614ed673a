//! Fuzz targets: an image, a guest's calls, a guest's frames, all from untrusted bytes. Each function takes any bytes, and
//! panics if an invariant is broken. Fuzzers (`fuzz/`) call them with bytes that they evolve; the tests below with random
//! bytes and with the corpus, so that every build runs them.

#![expect(unsafe_code, reason = "a file without a name")]

#[cfg(test)]
#[path = "../../../fuzz/holds.rs"]
mod holds;
mod report;
pub(crate) mod sample;

use crate::devices::console::{self, Console};
pub use crate::devices::folder::fuzz::folders;
pub use crate::devices::fuzz::{race, rings};
pub use crate::devices::net::user::fuzz::{dns, frames};
use crate::devices::notifier::Notifier;
use crate::devices::table;
use crate::host_files::HostFiles;
pub use crate::host_files::fuzz::host_files;
use crate::hvt::heap::Heap;
use crate::image::Image;
use crate::memory::layout::{Addresses, Layout};
use crate::memory::{Claim, Memory, Touch};
use crate::vm::boot::{self, Entropy, Names, Program};
use crate::vm::clock::{Clock, Counter, Moment, Offset};
use crate::vm::guest::{Guest, Reply};
use crate::vm::guest_streams::Streams;
use crate::vm::statistics::Statistics;
use crate::vm::target::{Error, Vcpu, Vm};
use husk_abi::boot::Flags;
use husk_abi::call::{News, Number, Status};
use husk_abi::memory::{BOOT, CLOCK, PAGE, Region, Rights};
pub use report::report;
use std::fs::File;
use std::io::Write;
use std::os::fd::FromRawFd;
use std::path::Path;
use std::sync::{Arc, OnceLock};
use std::time::Instant;

/// Memory of the guests, in bytes.
const MEMORY: u64 = 16 << 20;

/// Makes a file of these bytes; nothing if the host has none left.
pub(crate) fn file(bytes: &[u8]) -> Option<File> {
    // SAFETY: the name is a constant, and the call only makes a new descriptor.
    let descriptor = unsafe { libc::memfd_create(c"husk-fuzz".as_ptr(), libc::MFD_CLOEXEC) };
    if descriptor < 0 {
        return None;
    }
    // SAFETY: the descriptor was just made, and nothing else owns it.
    let mut file = unsafe { File::from_raw_fd(descriptor) };
    file.write_all(bytes).ok()?;
    Some(file)
}

/// Checks an image file: it is refused, or can be mapped, with room in the plan for every part.
pub fn image(bytes: &[u8]) {
    let Some(file) = file(bytes) else { return };
    let Ok(image) = Image::check(file, Path::new("fuzz"), bytes.len() as u64) else { return };
    let aslr_seed = bytes.iter().fold(0, |sum: u64, byte| sum.wrapping_mul(31).wrapping_add(u64::from(*byte)));
    let Ok(layout) = Layout::plan(&image, MEMORY, aslr_seed, table::rings_size(1), Addresses::Translated) else {
        return;
    };
    for (part, _) in image.parts() {
        let part = layout.loaded(part);
        assert!(part.start >= layout.image.start && part.end() <= layout.image.end(), "{part:?} in {layout:?}");
    }
    for other in [layout.main_stack, layout.libos_stack, layout.rings, layout.heap] {
        let is_apart = other.end() <= layout.image.start || other.start >= layout.image.end();
        assert!(is_apart && other.end() <= layout.guest_ram.end(), "{other:?} in {layout:?}");
    }
    let program = Program { arguments: vec!["fuzz".into()], environment: vec![] };
    let Ok(boot) = boot::write(&image, &layout, &program, &Names::default(), Flags::empty(), Entropy::default(), &[])
    else {
        return;
    };
    if let Ok(memory) = Memory::map(layout, &image) {
        Heap::start(&memory, &image, boot.len() as u64);
    }
}

/// Memory of a guest without an image to speak of.
fn memory() -> Arc<Memory> {
    static MADE: OnceLock<Arc<Memory>> = OnceLock::new();
    Arc::clone(MADE.get_or_init(|| Arc::new(sample::memory())))
}

/// Takes arguments from bytes: plausible values of a guest's, or any.
pub(crate) struct Arguments<'b>(pub &'b [u8]);

impl Arguments<'_> {
    /// Takes a byte.
    pub fn byte(&mut self) -> Option<u8> {
        let (first, rest) = self.0.split_first()?;
        self.0 = rest;
        Some(*first)
    }

    /// Takes a plausible number of a guest's, or any.
    pub fn number(&mut self, layout: &Layout) -> Option<u64> {
        let small = |byte| u64::from(byte) * PAGE;
        Some(match self.byte()? {
            0 => layout.heap.start + small(self.byte()?),
            1 => layout.heap.end() - small(self.byte()?),
            2 => layout.main_stack.start + small(self.byte()?),
            3 => layout.image.start.wrapping_sub(small(self.byte()?)),
            4 => BOOT + u64::from(self.byte()?),
            5 => layout.rings.start + small(self.byte()?),
            6 => small(self.byte()?),
            7 => layout.heap.length,
            8 => 0,
            9 => u64::MAX - u64::from(self.byte()?),
            10 => layout.libos_stack.end() - u64::from(self.byte()?),
            _ => {
                let mut bytes = [0; 8];
                for byte in &mut bytes {
                    *byte = self.byte()?;
                }
                u64::from_le_bytes(bytes)
            }
        })
    }
}

/// Answers a guest's calls, one after the other: each gets a status or a fault, and only memory that is the guest's is
/// touched. Calls that would print, read or wait are left out.
pub fn calls(bytes: &[u8]) {
    let memory = memory();
    let layout = *memory.layout();
    let counter = Counter { offset: Offset::default(), khz: Some(1_000_000), began: Moment::now(0), steady: true };
    // SAFETY: the page is the guest's, outlives the clock, and only the clock writes it.
    let clock = unsafe { Clock::start(memory.tender_address(CLOCK).cast(), counter) };
    let statistics = Statistics::new(false, Instant::now());
    let console = Console::new(console::Options::default());
    let vm = Box::new(MemoryOnly(Arc::clone(&memory)));
    let mut guest = Guest {
        vm,
        memory: Arc::clone(&memory),
        clock,
        signals: None,
        statistics,
        console,
        streams: Streams::default(),
        host_files: HostFiles::default(),
        device_loop: None,
    };
    let mut arguments = Arguments(bytes);
    while let Some(number) = arguments.byte() {
        let number = u64::from(number) % (Number::ALL.len() as u64 + 2);
        let mut next = || arguments.number(&layout);
        let (Some(a), Some(b), Some(c), Some(d)) = (next(), next(), next(), next()) else { return };
        match Number::from_raw(number) {
            Some(Number::ConsoleRead) => continue,
            Some(Number::ConsoleWrite) if (1..=2).contains(&a) => continue,
            // The standard input is the fuzzer's.
            Some(Number::Wait) if a != 0 || b & News::INPUT.bits() != 0 => continue,
            _ => {}
        }
        if let Ok(reply) = guest.answer(None, number, [a, b, c, d]) {
            check(&memory, number, [a, b, c], reply);
        }
    }
    // Restored, for the next run.
    let heap = Claim { address: layout.heap.start, length: layout.heap.length };
    let _ = memory.protect(heap, Rights::READ | Rights::WRITE);
}

/// A machine without a processor, which checks what it is asked for.
#[derive(Debug)]
struct MemoryOnly(Arc<Memory>);

impl Vm for MemoryOnly {
    fn memory(&self) -> &Arc<Memory> {
        &self.0
    }

    fn create_vcpu(&mut self) -> Result<Box<dyn Vcpu>, Error> {
        unreachable!("no processor is asked for")
    }

    fn connect(&mut self, _: &Notifier) {}

    fn touch(&mut self, _: u64, _: u64) -> Touch {
        Touch::Fault
    }

    fn grow_heap(&mut self, length: u64) -> Result<u64, Status> {
        assert!(length <= self.0.layout().heap.length);
        Ok(length)
    }

    fn release(&mut self, claim: Claim) {
        assert!(self.0.pages(claim).is_ok());
    }

    fn available_memory(&self) -> u64 {
        0
    }

    fn attach_image(&mut self) -> Result<u64, Status> {
        assert!(self.0.layout().image_file.length > 0);
        Ok(0)
    }
}

/// Checks that an answer is plausible.
fn check(memory: &Memory, number: u64, [a, b, c]: [u64; 3], reply: Reply) {
    let layout = memory.layout();
    if let Reply::Resume(result) = reply {
        assert!(result as i64 >= Status::NotOpen as i64, "{result:#x}");
    }
    let done = Number::from_raw(number) == Some(Number::Protect) && reply == Reply::Resume(0);
    if done {
        let inside = |region: Region| a >= region.start && b <= region.length && a + b <= region.end();
        let writable = [layout.heap, layout.main_stack, layout.libos_stack, layout.image, layout.sparse];
        assert!(writable.into_iter().any(inside), "{a:#x} {b:#x}");
        let rights = Rights::from_bits(c).expect("others are refused");
        assert!(!rights.contains(Rights::EXECUTE));
    }
}

#[cfg(test)]
mod tests {
    use super::holds::{changed, corpus, holds};
    use super::*;
    use proptest::collection::vec;
    use proptest::prelude::{any, prop_oneof};

    #[test]
    fn any_file_is_an_image_or_refused() {
        holds("image", 3000, image, changed("image"));
    }

    #[test]
    fn the_image_of_the_corpus_is_one() {
        let good = corpus("image").into_iter().filter(|bytes| {
            let file = file(bytes).expect("the host has a file");
            Image::check(file, Path::new("fuzz"), bytes.len() as u64).is_ok()
        });
        assert!(good.count() > 0, "else nothing beyond the first check was tried");
    }

    #[test]
    fn any_call_is_answered_or_a_fault() {
        holds("calls", 3000, calls, vec(any::<u8>(), 0..200));
        holds("calls", 1000, calls, vec(0..12_u8, 0..200));
    }

    #[test]
    fn nothing_in_rings_reaches_beyond_the_guest() {
        holds("rings", 2000, rings, vec(any::<u8>(), 0..400));
        holds("rings", 1000, rings, vec(prop_oneof![3 => 0..12_u8, 1 => any::<u8>()], 0..400));
        holds("rings", 1000, rings, changed("rings"));
    }

    #[test]
    fn nothing_in_rings_that_change_meanwhile_reaches_beyond_the_guest() {
        holds("race", 40, race, vec(any::<u8>(), 0..200));
        holds("race", 40, race, changed("race"));
    }

    #[test]
    fn no_request_to_a_folder_reaches_beyond_it() {
        holds("folders", 3000, folders, vec(prop_oneof![3 => 0..24_u8, 1 => any::<u8>()], 0..400));
        holds("folders", 1000, folders, changed("folders"));
    }

    #[test]
    fn no_file_of_the_host_is_read_but_those_that_are_offered() {
        holds("host_files", 1000, host_files, vec(prop_oneof![3 => 0..24_u8, 1 => any::<u8>()], 0..200));
        holds("host_files", 500, host_files, changed("host_files"));
    }

    #[test]
    fn any_file_is_reported_on() {
        holds("report", 2000, report, changed("report"));
    }

    #[test]
    fn no_frames_upset_the_user_mode_network() {
        holds("frames", 1000, frames, changed("frames"));
    }

    #[test]
    fn what_is_taken_for_a_query_or_an_answer_is_one() {
        holds("dns", 5000, dns, changed("dns"));
    }
}

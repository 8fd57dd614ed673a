//! A report on a crash with untrusted image, debug file and memory: it is made, is text that is safe on a terminal, and is
//! short enough for a person to read.

use super::file;
use crate::arch::registers::Registers;
use crate::report::access::{Access, Use};
use crate::report::place::{Kind, Place};
use crate::report::{ReportRequest, Stop};
use husk_abi::memory::{PAGE, Region, Rights};
use std::panic::{self, PanicHookInfo};
use std::path::Path;
use std::sync::Arc;
use std::sync::Once;

/// Words at the end of the bytes that are the guest's registers and its stack.
const WORDS: usize = 8;
/// Address where the image is loaded.
const BIAS: u64 = 4 << 30;
/// Longest report, in bytes: as many frames as are shown, with names and paths as long as they are shown.
const LONGEST: usize = 2 << 20;

/// Reports on an image file, with the last words of the bytes as the guest's state.
pub fn report(bytes: &[u8]) {
    static FORGIVE: Once = Once::new();
    FORGIVE.call_once(forgive_libraries);
    let (image, state) = bytes.split_at(bytes.len().saturating_sub(8 * WORDS));
    let mut words = [0; WORDS];
    for (word, bytes) in words.iter_mut().zip(state.chunks_exact(8)) {
        *word = bytes.try_into().map_or(0, u64::from_le_bytes);
    }
    let Some(file) = file(image).map(Arc::new) else { return };
    let [pc, sp, fp, other, ..] = words;
    let registers = Registers::with_frame(BIAS.wrapping_add(pc), sp, fp, other);
    let rights = Rights::READ | Rights::EXECUTE;
    let map = [Place { kind: Kind::Image, region: Region { start: BIAS, length: 1 << 20 }, rights }];
    let access = (sp % 3 == 0).then_some(Access { address: BIAS.wrapping_add(other), how: Some(Use::Write) });
    // Words of the stack may point into the image; a page in four is not there.
    let mut read = |address: u64| {
        let word = words[(address >> 3) as usize % WORDS];
        let is_there = !(address / PAGE).is_multiple_of(4);
        is_there.then_some(if address & 8 == 0 { BIAS.wrapping_add(word) } else { word })
    };
    let report = ReportRequest {
        what: Some("made up".to_owned()),
        stop: Some(Stop { access, registers, past: fp % 2 == 0, thread: None }),
        threads: &[],
        image: Path::new("fuzz"),
        file: &file,
        load_bias: BIAS,
        map: &map,
        read_guest: &mut read,
        debug_files: None,
    }
    .report()
    .to_string();
    assert!(report.len() <= LONGEST, "{} bytes", report.len());
    let wrong = report.chars().find(|character| character.is_control() && *character != '\n');
    assert!(wrong.is_none(), "{wrong:?}");
}

/// Ignores panics of libraries that lack a check, because a report catches them, but a fuzzer stops at any panic.
fn forgive_libraries() {
    let before = panic::take_hook();
    let of_library = |info: &PanicHookInfo<'_>| {
        info.location().is_some_and(|location| {
            ["/gimli-", "/object-", "/rustc-demangle-"].iter().any(|name| location.file().contains(name))
        })
    };
    panic::set_hook(Box::new(move |info| {
        if !of_library(info) {
            before(info);
        }
    }));
}

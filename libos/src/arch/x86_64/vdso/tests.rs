//! Looks functions up in the vDSO like musl (src/internal/vdso.c), and calls one.

#![allow(unsafe_code, clippy::undocumented_unsafe_blocks, reason = "a reader of an ELF image in our own memory")]

use super::address;
use crate::user;
use std::collections::BTreeMap;
use std::string::String;
use std::vec::Vec;

fn word<T: zerocopy::FromBytes>(at: u64) -> T {
    user::read(at).expect("our own memory")
}

fn name(at: u64) -> String {
    String::from_utf8(user::read_string(at, 64).expect("our own memory")).expect("a name")
}

/// The dynamic section, and the difference between the image's addresses and its actual place.
fn dynamic() -> BTreeMap<u64, u64> {
    let image = address();
    let headers = image + word::<u64>(image + 32);
    let segments: Vec<u64> = (0..u64::from(word::<u16>(image + 56))).map(|n| headers + 56 * n).collect();
    let load = segments.iter().find(|at| word::<u32>(**at) == 1).expect("PT_LOAD");
    assert_eq!(word::<[u64; 2]>(load + 8), [0, 0], "offset and address are the same");
    let tags = image + word::<u64>(segments.iter().find(|at| word::<u32>(**at) == 2).expect("PT_DYNAMIC") + 8);
    (tags..)
        .step_by(16)
        .map(word::<[u64; 2]>)
        .take_while(|[tag, _]| *tag != 0)
        .map(|[tag, value]| (tag, value))
        .collect()
}

/// The address of a function of version `LINUX_2.6`.
fn find(wanted: &str) -> Option<u64> {
    let (image, dynamic) = (address(), dynamic());
    let at = |tag| image + dynamic[&tag];
    let (hash, names, symbols, versions, definition) = (at(4), at(5), at(6), at(0x6fff_fff0), at(0x6fff_fffc));
    assert_eq!(name(names + u64::from(word::<u32>(definition + 20))), "LINUX_2.6");
    let found = (0..u64::from(word::<u32>(hash + 4))).find(|n| {
        let symbol = symbols + 24 * n;
        name(names + u64::from(word::<u32>(symbol))) == wanted
            && word::<u16>(symbol + 6) != 0
            && word::<u16>(versions + 2 * n) == word::<u16>(definition + 4)
    })?;
    Some(image + word::<u64>(symbols + 24 * found + 8))
}

#[test]
fn every_function_is_found_inside_the_image() {
    let image = address();
    let size = word::<u64>(image + 64 + 40);
    for wanted in ["clock_gettime", "gettimeofday", "time", "clock_getres", "getcpu"] {
        let function = find(&std::format!("__vdso_{wanted}")).expect(wanted);
        assert!((image..image + size).contains(&function), "{wanted}");
    }
    assert_eq!(find("__vdso_other"), None);
}

#[test]
fn the_hash_chain_reaches_every_symbol() {
    let hash = address() + dynamic()[&4];
    assert_eq!(word::<[u32; 2]>(hash), [1, 6]);
    let mut seen = Vec::new();
    let mut at = word::<u32>(hash + 8);
    while at != 0 {
        seen.push(at);
        at = word(hash + 12 + 4 * u64::from(at));
    }
    assert_eq!(seen, [1, 2, 3, 4, 5]);
}

#[test]
fn a_function_found_there_runs() {
    let getcpu = find("__vdso_getcpu").expect("getcpu");
    let getcpu: extern "sysv64" fn(*mut u32, *mut u32) -> i32 = unsafe { core::mem::transmute(getcpu) };
    let (mut cpu, mut node) = (7, 7);
    assert_eq!((getcpu(&mut cpu, &mut node), cpu, node), (0, 0, 0));
}

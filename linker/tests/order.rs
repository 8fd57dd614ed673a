//! `src/link/start.order` is made from a start of `hello-std`, traced step by step:
//! `UPDATE=1 cargo test -p cargo-husk --test order -- --ignored` writes it again.

use husk_tests::{Target, build, steps};
use object::read::elf::ElfFile64;
use object::{Object, ObjectSymbol, SymbolKind};
use std::collections::HashSet;
use std::path::Path;
use std::process::Command;

const FILE: &str = concat!(env!("CARGO_MANIFEST_DIR"), "/src/link/start.order");
/// Start of the names of what other programs do not have.
const PROGRAM: &str = "hello_std::";

/// Returns the functions of an image by address, one name for each.
fn functions(image: &Path) -> Vec<(u64, String)> {
    let bytes = std::fs::read(image).expect("an image");
    let file: ElfFile64<'_> = ElfFile64::parse(&*bytes).expect("an ELF file");
    let symbols = file.symbols().filter(|symbol| symbol.kind() == SymbolKind::Text && symbol.is_definition());
    // Of several names, one that other files know: local names may be in several files.
    let mut symbols: Vec<_> = symbols
        .filter_map(|symbol| {
            let name = format!("{:#}", rustc_demangle::demangle(symbol.name().ok()?));
            Some((symbol.address(), symbol.is_local(), name))
        })
        .collect();
    symbols.sort();
    symbols.dedup_by_key(|(address, ..)| *address);
    symbols.into_iter().map(|(address, _, name)| (address, name)).collect()
}

/// Returns the functions that a std program runs as a process, in the order of their first instructions.
fn traced() -> Vec<String> {
    let image = build::image("hello-std", "hello-std");
    let functions = functions(&image);
    let mut husk = Command::new(build::husk());
    husk.args(["run", Target::Spt.flag()]).arg(&image);
    let names = steps::visited(husk, &image).into_iter().filter_map(|address| {
        let next = functions.partition_point(|(start, _)| *start <= address);
        functions.get(next.checked_sub(1)?).map(|(_, name)| name.clone())
    });
    let mut known = HashSet::new();
    names.filter(|name| !name.starts_with(PROGRAM) && known.insert(name.clone())).collect()
}

#[test]
#[ignore = "a tool: another order costs no more than page faults"]
fn functions_are_in_the_order_of_a_start() {
    let kept = std::fs::read_to_string(FILE).expect("the list");
    let (head, names): (Vec<_>, Vec<_>) = kept.lines().partition(|line| line.starts_with('#'));
    let traced = traced();
    let made: String =
        head.iter().copied().chain(traced.iter().map(String::as_str)).map(|line| format!("{line}\n")).collect();
    if std::env::var_os("UPDATE").is_some() {
        std::fs::write(FILE, &made).expect("the list can be written");
        return;
    }
    let traced: HashSet<&str> = traced.iter().map(String::as_str).collect();
    let kept_names: HashSet<&str> = names.iter().copied().collect();
    let (new, gone) = (traced.difference(&kept_names), kept_names.difference(&traced));
    let differences = format!("new: {:#?}, gone: {:#?}", new.collect::<Vec<_>>(), gone.collect::<Vec<_>>());
    assert!(kept == made, "start.order is not the order of a start; write it with UPDATE=1. {differences}");
}

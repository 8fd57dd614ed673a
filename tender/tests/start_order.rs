//! `src/start.order` is made from starts of small guests, traced step by step:
//! `UPDATE=1 cargo test -p husk-tender --test start_order -- --ignored` writes it again.

use husk_tests::{Target, build, steps};
use object::read::elf::ElfFile64;
use object::{Object, ObjectSymbol, SymbolKind};
use std::collections::{BTreeMap, HashSet};
use std::path::{Path, PathBuf};
use std::process::Command;

const FILE: &str = concat!(env!("CARGO_MANIFEST_DIR"), "/src/start.order");

/// Returns the symbols of the functions of a program, by address.
fn functions(program: &Path) -> BTreeMap<u64, Vec<String>> {
    let bytes = std::fs::read(program).expect("a program");
    let file: ElfFile64<'_> = ElfFile64::parse(&*bytes).expect("an ELF file");
    let mut functions = BTreeMap::<_, Vec<_>>::new();
    for symbol in file.symbols().filter(|symbol| symbol.kind() == SymbolKind::Text && symbol.is_definition()) {
        functions.entry(symbol.address()).or_default().push(symbol.name().expect("UTF-8").to_owned());
    }
    functions
}

/// Returns a pattern for the symbols of a function, without what differs from one build to the next: hashes (`17h…E`; `Cs…_` of a
/// crate), references into the symbol, which depend on the length of hashes (`B…_`, RFC 2603), and numbers of copies (`.123`).
fn pattern(symbol: &str) -> String {
    let numbered = symbol.rsplit_once('.').filter(|(_, number)| number.bytes().all(|digit| digit.is_ascii_digit()));
    if let Some((symbol, _)) = numbered {
        return format!("{}*", pattern(symbol.strip_suffix(".llvm").unwrap_or(symbol)));
    }
    if let Some((path, _)) = symbol.rsplit_once("17h").filter(|_| symbol.starts_with("_ZN")) {
        return format!("{path}17h*");
    }
    let mut pattern = String::new();
    let mut rest = symbol;
    while let Some(first) = rest.chars().next() {
        match changing(rest).filter(|_| symbol.starts_with("_R")) {
            Some(length) => {
                pattern.push('*');
                rest = &rest[length..];
            }
            None => {
                pattern.push(first);
                rest = &rest[first.len_utf8()..];
            }
        }
    }
    pattern
}

/// Returns the length of the hash or reference that `rest` of a symbol starts with.
fn changing(rest: &str) -> Option<usize> {
    let start = ["Cs", "B"].into_iter().find(|start| rest.starts_with(start))?.len();
    let end = start + rest.bytes().skip(start).take_while(u8::is_ascii_alphanumeric).count();
    rest[end..].starts_with('_').then_some(end + 1)
}

/// Returns true if a symbol matches a pattern, as names match in a script of the link editor.
fn matches(pattern: &str, symbol: &str) -> bool {
    let Some((start, rest)) = pattern.split_once('*') else { return pattern == symbol };
    let Some(symbol) = symbol.strip_prefix(start) else { return false };
    (0..=symbol.len()).any(|at| symbol.is_char_boundary(at) && matches(rest, &symbol[at..]))
}

/// Returns the patterns of the functions that the tender runs, in the order of their first instructions.
fn traced() -> Vec<String> {
    let husk = build::husk();
    let functions = functions(husk);
    let images: [PathBuf; 2] = [build::image("hello", "hello"), build::image("hello-std", "hello-std")];
    let mut known = HashSet::new();
    let mut order = vec![];
    for target in Target::all() {
        for image in &images {
            let mut command = Command::new(husk);
            command.args(["run", target.flag()]).arg(image);
            for address in steps::visited(command, husk) {
                let found = functions.range(..=address).next_back();
                let symbols = found.into_iter().flat_map(|(_, symbols)| symbols);
                order.extend(symbols.map(|symbol| pattern(symbol)).filter(|pattern| known.insert(pattern.clone())));
            }
        }
    }
    order
}

#[test]
fn patterns_leave_out_what_a_build_decides() {
    for (symbol, expected) in [
        ("memcpy", "memcpy"),
        ("_ZN4husk3run17h738d611d8014c2a4E", "_ZN4husk3run17h*"),
        ("_ZN4husk3run17h738d611d8014c2a4E.llvm.42", "_ZN4husk3run17h**"),
        ("_RNvXsZ_NtCs2Nb3_5allocNtB5_6String3run.333", "_RNvXsZ_Nt*5allocNt*6String3run*"),
    ] {
        let made = pattern(symbol);
        assert_eq!(made, expected);
        assert!(matches(&made, symbol), "{made}: {symbol}");
    }
    assert!(!matches("_ZN4husk3run17h*", "_ZN4husk4husk17h738d611d8014c2a4E"));
}

/// A list that is out of date costs page faults at each start.
#[test]
fn nearly_all_functions_of_the_list_exist() {
    let list = std::fs::read_to_string(FILE).expect("the list");
    let symbols: Vec<_> = functions(build::husk()).into_values().flatten().collect();
    let ours: Vec<_> = list.lines().filter(|line| !line.starts_with('#') && line.contains("husk")).collect();
    let gone: Vec<_> = ours.iter().filter(|line| !symbols.iter().any(|symbol| matches(line, symbol))).collect();
    assert!(ours.len() > 50 && gone.len() * 8 < ours.len(), "write start.order with UPDATE=1; gone: {gone:#?}");
}

#[test]
#[ignore = "a tool: another order costs no more than page faults"]
fn functions_are_in_the_order_of_a_start() {
    let kept = std::fs::read_to_string(FILE).expect("the list");
    let head = kept.lines().filter(|line| line.starts_with('#'));
    let traced = traced();
    let made: String = head.chain(traced.iter().map(String::as_str)).map(|line| format!("{line}\n")).collect();
    if std::env::var_os("UPDATE").is_some() {
        std::fs::write(FILE, &made).expect("the list can be written");
        return;
    }
    assert!(kept == made, "start.order is not the order of a start; write it with UPDATE=1");
}

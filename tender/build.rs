//! Puts the functions that `husk` runs at each start side by side. A start pays for each group of pages that it touches first with
//! a fault, and these functions are scattered over standard library, C library and tender.

use std::path::Path;
use std::{env, fs};

/// Functions, by patterns of their symbols; other lines are comments.
const ORDER: &str = "src/start.order";

fn main() {
    println!("cargo::rerun-if-changed=build.rs");
    println!("cargo::rerun-if-changed={ORDER}");
    // What is shipped, by the link editor of the C compiler: not every other one knows scripts.
    let is = |name: &str, wanted: &str| env::var(name).is_ok_and(|value| value == wanted);
    if !is("PROFILE", "release") || !is("CARGO_CFG_TARGET_ENV", "musl") || is_linked_otherwise() {
        return;
    }
    let order = fs::read_to_string(ORDER).unwrap_or_else(|error| panic!("tender/{ORDER}: {error}"));
    let path = Path::new(&env::var_os("OUT_DIR").expect("cargo sets OUT_DIR")).join("start.ld");
    fs::write(&path, script(&order)).unwrap_or_else(|error| panic!("{}: {error}", path.display()));
    println!("cargo::rustc-link-arg-bin=husk=-Wl,-T,{}", path.display());
}

/// Returns true if the user has chosen a link editor or its flags.
fn is_linked_otherwise() -> bool {
    let flags = env::var("CARGO_ENCODED_RUSTFLAGS").unwrap_or_default();
    env::var_os("RUSTC_LINKER").is_some() || flags.contains("link")
}

/// Returns a script that adds a section, in front of all other code, to those that the link editor makes by itself.
fn script(order: &str) -> String {
    let patterns = order.lines().filter(|line| !line.starts_with('#'));
    let sections: String = patterns.map(|pattern| format!("        *(.text.{pattern})\n")).collect();
    format!("SECTIONS\n{{\n    .text.start :\n    {{\n{sections}    }}\n}}\nINSERT BEFORE .text;\n")
}

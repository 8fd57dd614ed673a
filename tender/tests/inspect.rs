//! Output of `husk inspect` for a real image.

use husk_tender::inspect::Inspection;
use husk_tests::build;
use std::path::{Path, PathBuf};

/// Builds a program that carries notes of an image.
fn build(name: &str, options: &[&str]) -> PathBuf {
    let image = Path::new(env!("CARGO_TARGET_TMPDIR")).join(format!("inspect-{name}")).join("image.husk");
    build::by_rustc(concat!(env!("CARGO_MANIFEST_DIR"), "/tests/inspect/image.rs").as_ref(), &image, options);
    image
}

fn inspect(image: &Path) -> Inspection {
    Inspection::of(image, None).unwrap_or_else(|error| panic!("{error}"))
}

#[test]
fn an_image_is_described() {
    let text = inspect(&build("whole", &["-Cdebuginfo=full"])).to_string();
    let expected = [
        "  contract      version 3\n",
        "  program       std\n",
        "  loaded        static-pie, ",
        "  build-id      abcdef0123456789\n",
        "  memory        64M, of which main stack 1M\n",
        "  system calls  41 sites call the libos, 2 trap\n",
        "  devices       network 'net0'\n",
        "  names         functions and lines inside\n",
        "  r-x\n",
        "  rw-\n",
    ];
    for line in expected {
        assert!(text.contains(line), "no '{line}' in:\n{text}");
    }
}

#[test]
fn a_stripped_image_names_its_debug_file() {
    let image = build("stripped", &["-Cdebuginfo=full", "-Cstrip=symbols"]);
    let text = inspect(&image).to_string();
    assert!(text.contains("none inside; a debug file would be found at\n"), "{text}");
    assert!(text.contains("/inspect-stripped/.build-id/ab/cdef0123456789.debug\n"), "{text}");
    let whole = build("for-stripped", &["-Cdebuginfo=full"]);
    let debug = image.with_file_name("image.husk.debug");
    std::fs::rename(whole, &debug).expect("the debug file moves");
    let json = inspect(&image).json();
    let end =
        format!(r#""symbols_inside":false,"debug_information_inside":false,"debug_file":"{}"}}"#, debug.display());
    assert!(json.ends_with(&end), "{json}");
}

#[test]
fn what_is_no_image_is_refused_with_a_reason() {
    let error = Inspection::of(Path::new(concat!(env!("CARGO_MANIFEST_DIR"), "/Cargo.toml")), None).unwrap_err();
    assert!(error.to_string().ends_with("an image is what `cargo husk build` makes"), "{error}");
}

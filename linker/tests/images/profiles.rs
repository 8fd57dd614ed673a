//! A program, built in every way that changes how it is linked.

use crate::elf::Image;
use crate::project::Project;

/// Returns the one image of a plain program, built with `words`.
fn image(manifest: &str, words: &str) -> Image {
    match &Project::program(manifest).build(words)[..] {
        [path] => Image::check(path),
        images => panic!("one image expected: {images:?}"),
    }
}

/// Returns the image of a plain program, built with `RUSTFLAGS`.
fn image_with_flags(flags: &str) -> Image {
    let project = Project::program("");
    let images = project.husk("build --release").env("RUSTFLAGS", flags).images();
    Image::check(&images[0])
}

#[test]
fn a_release_build_keeps_symbols_and_puts_line_numbers_aside() {
    let image = image("", "--release");
    assert!(image.is_pie && image.has_symbols && !image.has_debug);
    let debug = image.debug_file.expect("a debug file");
    let file = object::File::parse(&*debug).expect("an ELF file");
    let lines = object::Object::section_by_name(&file, ".debug_line");
    assert!(object::ObjectSection::size(&lines.expect("line tables")) > 100_000);
}

#[test]
fn functions_of_c_are_ours_where_we_have_better_ones() {
    let symbols = image("", "--release").symbols();
    for ours in ["husk_malloc::", "husk_bytes::"] {
        assert!(symbols.keys().any(|name| format!("{:#}", rustc_demangle::demangle(name)).starts_with(ours)), "{ours}");
    }
    // A part of musl's own allocator.
    assert!(!symbols.contains_key("__malloc_alloc_meta"));
}

#[test]
fn debug_information_follows_a_program_that_cargo_copies_elsewhere() {
    let project = Project::program("");
    project.write(".cargo/config.toml", "[build]\nbuild-dir = 'made here'");
    let images = project.build("--release");
    assert!(images[0].starts_with(project.path("target")));
    assert!(Image::check(&images[0]).debug_file.is_some());
}

#[test]
fn a_debug_build_keeps_everything() {
    let image = image("", "");
    assert!(image.has_symbols && image.has_debug);
    assert_eq!(image.debug_file, None);
}

#[test]
fn a_profile_that_wants_debug_information_has_it_in_the_image() {
    assert!(image("[profile.release]\ndebug = 2", "--release").has_debug);
}

#[test]
fn a_stripped_program_has_its_symbols_aside() {
    let image = image("[profile.release]\nstrip = true", "--release");
    assert!(!image.has_symbols && !image.has_debug && image.debug_file.is_some());
}

#[test]
fn a_small_profile_of_its_own_works() {
    let profile =
        "[profile.my-small]\ninherits = 'release'\nlto = 'fat'\npanic = 'abort'\nopt-level = 'z'\nstrip = true";
    assert!(!image(profile, "--profile my-small").has_symbols);
}

#[test]
fn fat_lto_works() {
    image("[profile.release]\nlto = 'fat'", "-r");
}

#[test]
fn a_program_with_a_fixed_place_works() {
    assert!(!image_with_flags("-C relocation-model=static").is_pie);
}

#[test]
fn flags_for_the_processor_work() {
    image_with_flags("-C target-cpu=native");
}

#[test]
fn packed_relocations_are_not_used() {
    assert!(image_with_flags("-C link-arg=-Wl,-z,pack-relative-relocs").is_pie);
}

#[test]
fn a_response_file_is_read() {
    let project = Project::program("");
    project.write("words", "-Wl,-z,pack-relative-relocs \"-Wl,--strip-all\"");
    let flags = format!("-Clink-arg=@{}", project.path("words").display());
    let call = project.husk("build --release").env("CARGO_ENCODED_RUSTFLAGS", flags);
    assert!(!Image::check(&call.images()[0]).has_symbols);
}

#[test]
fn without_a_c_compiler_the_linker_of_rust_does() {
    let project = Project::program("");
    let cargo = std::path::PathBuf::from(std::env::var_os("CARGO").expect("cargo sets CARGO"));
    let image = |flags: &str| {
        let call = project.husk("build --release").env("PATH", "/nowhere").env("RUSTFLAGS", flags);
        Image::check(&call.env("RUSTC", cargo.with_file_name("rustc")).images()[0])
    };
    assert!(image("").is_pie);
    assert!(!image("-C relocation-model=static").is_pie);
}

//! Allocator of an image: the linked one, however the image is built, unless the program has its own.

use husk_abi::fault::PANIC;
use husk_tests::{Guest, Project, package};

/// The C functions that these programs call without the crate `libc`.
const C: &str = "use std::ffi::c_void;\nunsafe extern \"C\" { fn malloc(size: usize) -> *mut c_void; fn free(block: *mut c_void); }\n";

/// Message that only the linked allocator prints.
const NOTICED: &str = "malloc: a block was freed twice";

#[test]
fn every_kind_of_build_has_the_linked_allocator() {
    let manifest = package(
        "built",
        "[profile.whole]\ninherits = 'release'\nlto = 'fat'\ncodegen-units = 1\nstrip = true\npanic = 'abort'\n\
         [profile.small]\ninherits = 'release'\nopt-level = 'z'\ndebug = 2",
    );
    let main = "fn main() {
        // More than the first small blocks, which are never used again.
        let all: Vec<String> = (0..2000).map(|number| format!(\"number {number}\")).collect();
        println!(\"{}\", all.concat().len());
        unsafe { let block = malloc(16 + all.len() % 2); free(block); free(std::hint::black_box(block)); }
    }";
    let project = Project::new("built", &[("Cargo.toml", &manifest), ("src/main.rs", &format!("{C}{main}"))]);
    for words in ["", "--release", "--profile whole", "--profile small"] {
        let outcome = Guest::image(&project.build(words)[0]).run();
        outcome.expect_status(PANIC.into()).expect_stdout("20890\n").expect_stderr(NOTICED);
    }
}

#[test]
fn a_program_with_a_global_allocator_uses_that() {
    let main = "use std::alloc::{GlobalAlloc, Layout, System};
        use std::sync::atomic::{AtomicUsize, Ordering::Relaxed};
        struct Counting(AtomicUsize);
        #[global_allocator]
        static COUNTING: Counting = Counting(AtomicUsize::new(0));
        unsafe impl GlobalAlloc for Counting {
            unsafe fn alloc(&self, layout: Layout) -> *mut u8 { self.0.fetch_add(1, Relaxed); unsafe { System.alloc(layout) } }
            unsafe fn dealloc(&self, block: *mut u8, layout: Layout) { unsafe { System.dealloc(block, layout) } }
        }
        fn main() {
            let before = COUNTING.0.load(Relaxed);
            std::hint::black_box([1, 2, 3].map(Box::new));
            println!(\"{}\", COUNTING.0.load(Relaxed) - before);
        }";
    let outcome = Guest::image(&Project::program("counting", main).build("")[0]).run();
    outcome.expect_success().expect_stdout("3\n");
}

#[test]
fn a_program_that_defines_the_functions_of_c_uses_its_own() {
    let main = "use std::sync::atomic::{AtomicUsize, Ordering::Relaxed};
        use std::ffi::c_void;
        static NEXT: AtomicUsize = AtomicUsize::new(0);
        #[repr(align(64))]
        struct Arena([u8; 1 << 20]);
        static mut ARENA: Arena = Arena([0; 1 << 20]);
        fn take(size: usize) -> *mut c_void {
            let start = NEXT.fetch_add((size + 16).next_multiple_of(16), Relaxed);
            let block = unsafe { (&raw mut ARENA.0).cast::<u8>().add(start + 16) };
            unsafe { block.cast::<usize>().sub(1).write(size) };
            block.cast()
        }
        #[unsafe(no_mangle)] extern \"C\" fn malloc(size: usize) -> *mut c_void { take(size) }
        #[unsafe(no_mangle)] extern \"C\" fn calloc(count: usize, size: usize) -> *mut c_void { take(count * size) }
        #[unsafe(no_mangle)] extern \"C\" fn free(_: *mut c_void) {}
        #[unsafe(no_mangle)] unsafe extern \"C\" fn realloc(block: *mut c_void, size: usize) -> *mut c_void {
            let new = take(size);
            if !block.is_null() {
                let old = unsafe { block.cast::<usize>().sub(1).read() };
                unsafe { block.copy_to_nonoverlapping(new, old.min(size)) };
            }
            new
        }
        fn main() {
            let mut text = String::from(\"a\");
            (0..10).for_each(|_| text = text.repeat(2));
            let start = unsafe { &raw const ARENA.0 } as usize;
            println!(\"{} {}\", text.len(), (start..start + (1 << 20)).contains(&(text.as_ptr() as usize)));
        }";
    for words in ["", "--release"] {
        let outcome = Guest::image(&Project::program("own-functions", main).build(words)[0]).run();
        outcome.expect_success().expect_stdout("1024 true\n");
    }
}

#[test]
fn c_code_and_rust_free_what_the_other_allocated() {
    let script = "use std::process::Command;
        fn main() {
            println!(\"cargo::rerun-if-changed=part.c\");
            let out = std::env::var(\"OUT_DIR\").unwrap();
            let (object, archive) = (format!(\"{out}/part.o\"), format!(\"{out}/libpart.a\"));
            let compiled = Command::new(\"cc\").args([\"-c\", \"-O1\", \"part.c\", \"-o\", &object]).status().unwrap();
            let archived = Command::new(\"ar\").args([\"crs\", &archive, &object]).status().unwrap();
            assert!(compiled.success() && archived.success());
            println!(\"cargo::rustc-link-search=native={out}\");
            println!(\"cargo::rustc-link-lib=static=part\");
        }";
    let part = "typedef unsigned long size;
        void *malloc(size), *realloc(void *, size), *calloc(size, size); void free(void *); char *strdup(const char *);
        char *copy(const char *text) { return strdup(text); }
        void *longer(void *block, size length) { return realloc(block, length); }
        void *zeroed(size count) { return calloc(count, 1); }
        void give_up(void *block) { free(block); }";
    let main = "use std::ffi::{CStr, c_char};
        unsafe extern \"C\" {
            fn copy(text: *const c_char) -> *mut c_char;
            fn longer(block: *mut c_void, length: usize) -> *mut c_void;
            fn zeroed(count: usize) -> *mut u8;
            fn give_up(block: *mut c_void);
        }
        fn main() {
            let copied = unsafe { copy(c\"made by C\".as_ptr()) };
            let copied = unsafe { longer(copied.cast(), 300_000) };
            println!(\"{}\", unsafe { CStr::from_ptr(copied.cast()) }.to_str().unwrap());
            unsafe { free(copied) };
            for size in [1, 100, 10_000, 1_000_000] {
                let block = unsafe { zeroed(size) };
                assert!((0..size).all(|index| unsafe { block.add(index).read() } == 0));
                unsafe { free(block.cast()) };
                unsafe { give_up(malloc(size)) };
            }
        }";
    let project = Project::new(
        "with-c",
        &[
            ("Cargo.toml", &package("with-c", "")),
            ("build.rs", script),
            ("part.c", part),
            ("src/main.rs", &format!("{C}{main}")),
        ],
    );
    for words in ["", "--release"] {
        Guest::image(&project.build(words)[0]).run().expect_success().expect_stdout("made by C\n");
    }
}

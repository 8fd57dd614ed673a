//! `cargo husk run`: profiles and flags, input and output of a program.

use husk_tests::{Project, package, run_briefly};
use std::ffi::OsStr;
use std::fs;
use std::os::unix::ffi::OsStrExt;
use std::os::unix::fs::PermissionsExt;
use std::process::Command;

/// Program that does what its first argument says.
const ACTOR: &str = r#"
use std::io::{Read, Write};
use std::os::unix::ffi::OsStrExt;

struct Loud;
impl Drop for Loud {
    fn drop(&mut self) { println!("unwound"); }
}

fn main() {
    let mut words = std::env::args_os().skip(1);
    let action = words.next().unwrap_or_default();
    match action.to_str().unwrap_or_default() {
        "arguments" => for word in words { println!("{:?} {}", &word.as_bytes()[..word.len().min(8)], word.len()); },
        "variable" => println!("{:?}", words.next().map(std::env::var)),
        "streams" => {
            let mut text = String::new();
            std::io::stdin().read_to_string(&mut text).unwrap();
            print!("{text}");
            eprint!("{} bytes", text.len());
        }
        "exit" => std::process::exit(words.next().unwrap().to_str().unwrap().parse().unwrap()),
        "exit-in-thread" => std::thread::spawn(|| std::process::exit(77)).join().unwrap(),
        "panic" => { let _loud = Loud; panic!("for a reason"); }
        "panic-in-thread" => {
            let thread = std::thread::Builder::new().name("worker".into()).spawn(|| panic!("for a reason")).unwrap();
            println!("ended in a panic: {}", thread.join().is_err());
        }
        "null" => println!("{}", unsafe { std::hint::black_box(16 as *const u8).read_volatile() }),
        "allocate" => println!("{}", vec![1_u8; 100_000_000].iter().map(|&byte| usize::from(byte)).sum::<usize>()),
        "yes" => while writeln!(std::io::stdout(), "yes").is_ok() {},
        "sleep" => { println!("asleep"); std::thread::sleep(std::time::Duration::from_secs(600)); }
        "build" => println!("debug: {}, loud: {}", cfg!(debug_assertions), cfg!(feature = "loud")),
        other => println!("{other}?"),
    }
}
"#;

/// A package with that program as its binary and as an example.
fn actor(name: &str, rest: &str) -> Project {
    let manifest = package(name, &format!("[features]\nloud = []\n{rest}"));
    Project::new(name, &[("Cargo.toml", &manifest), ("src/main.rs", ACTOR), ("examples/actor-example.rs", ACTOR)])
}

fn plain() -> Project {
    actor("actor", "")
}

#[test]
fn any_bytes_are_arguments() {
    let long = "x".repeat(100_000);
    let bytes = OsStr::from_bytes(b"\xff\xfe");
    let call = plain().husk("run -q -- arguments").argument("two words").argument("").argument(bytes).argument(&long);
    let expected = "[116, 119, 111, 32, 119, 111, 114, 100] 9\n[] 0\n[255, 254] 2\n[120, 120, 120, 120, 120, 120, 120, 120] 100000\n";
    call.run().expect_success().expect_stdout(expected);
}

#[test]
fn environment_and_streams_are_handed_on() {
    let variable =
        plain().husk("run -q").argument("-eNAME=a value").argument("--").argument("variable").argument("NAME");
    variable.run().expect_success().expect_stdout("Some(Ok(\"a value\"))\n");
    let own = plain().husk("run -q -- variable HOME").run();
    own.expect_stdout("Some(Err(NotPresent))\n");
    let streams = plain().husk("run -q -- streams").input("a\nb\n").run();
    streams.expect_success().expect_stdout("a\nb\n").expect_stderr("4 bytes");
}

#[test]
fn the_exit_status_is_the_guests() {
    for status in [0, 1, 127, 200, 255] {
        plain().husk(&format!("run -q -- exit {status}")).run().expect_status(status);
    }
    plain().husk("run -q -- exit-in-thread").run().expect_status(77);
}

#[test]
fn panics_are_told_and_unwind() {
    let outcome = plain().husk("run -q -- panic").run();
    outcome.expect_status(101).expect_stdout("unwound\n").expect_stderr("for a reason").expect_stderr("main.rs:");
    let outcome = plain().husk("run -q -- panic-in-thread").run();
    outcome.expect_success().expect_stdout("ended in a panic: true\n").expect_stderr("thread 'worker'");
}

#[test]
fn a_fault_is_reported_with_its_place() {
    let line = ACTOR.lines().take_while(|line| !line.contains("\"null\"")).count() + 1;
    for profile in ["", "--release"] {
        let outcome = plain().husk(&format!("run -q {profile} -- null")).run();
        outcome.expect_fault(139, "read of address 0x10");
        outcome.expect_stderr("actor::main").expect_stderr(&format!("src/main.rs:{line}:"));
    }
}

#[test]
fn memory_that_is_not_there_is_refused_to_the_program_and_too_little_to_the_person() {
    plain()
        .husk("run -q --release --memory 64M -- allocate")
        .run()
        .expect_status(134)
        .expect_stderr("allocation of 100000000");
    plain().husk("run -q --release --memory 256M -- allocate").run().expect_stdout("100000000\n");
    plain().husk("run -q --release --memory 1M -- allocate").run().expect_refusal(&["--memory"]);
}

#[test]
fn packages_binaries_examples_features_and_profiles_are_chosen_as_with_cargo() {
    // A separate project, because its program is built anew with each choice, while other tests run theirs.
    let project = actor("choosing", "");
    let run = |words: &str| project.husk(&format!("run -q {words} -- build")).run();
    run("").expect_stdout("debug: true, loud: false\n");
    run("-p choosing --bin choosing --features loud").expect_stdout("debug: true, loud: true\n");
    run("-r --example actor-example -Floud").expect_stdout("debug: false, loud: true\n");
    run("--manifest-path Cargo.toml --release").expect_stdout("debug: false, loud: false\n");
    let below = project.husk("run -q -- build").folder(&project.path("src")).run();
    below.expect_success().expect_stdout("debug: true, loud: false\n");
}

#[test]
fn a_small_profile_and_flags_of_the_compiler_change_nothing_else() {
    let profile = "[profile.release]\nlto = 'fat'\nstrip = true\npanic = 'abort'\nopt-level = 'z'";
    let small = actor("small-actor", profile);
    small.husk("run -q -r -- exit 200").run().expect_status(200);
    let panic = small.husk("run -q -r -- panic").run();
    panic.expect_status(134).expect_stdout("").expect_stderr("for a reason");
    // A separate project, because this replaces the image, and other tests run that of the usual project at the same time.
    let flags = small.husk("run -q -r -- exit 201").env("RUSTFLAGS", "-C target-cpu=native -C relocation-model=static");
    flags.run().expect_status(201);
}

#[test]
fn a_reader_that_goes_away_ends_the_program() {
    let image = &plain().build("--release")[0];
    let line =
        format!("set -o pipefail; '{}' run '{}' yes | head -n 1", husk_tests::build::husk().display(), image.display());
    run_briefly(Command::new("bash").args(["-c", &line])).expect_success().expect_stdout("yes\n");
}

#[test]
fn an_interrupt_ends_the_program_and_all_that_started_it() {
    let mut running = plain().husk("run -q -- sleep").spawn();
    assert_eq!(running.line(1), "asleep");
    running.signal("INT", 1);
    // The program has no handler, so SIGINT's default action ends it, with the status that a shell shows.
    running.finish().expect_status(130);
}

#[test]
fn the_tender_of_the_checkout_is_found_without_being_named() {
    plain().husk("run -q -- exit 3").without("HUSK").run().expect_status(3);
}

#[test]
fn every_flag_of_the_tender_is_a_flag_of_the_tool() {
    let help = run_briefly(Command::new(husk_tests::build::husk()).args(["run", "--help"])).stdout();
    let flags: Vec<_> = help.split_whitespace().filter(|word| word.starts_with("--")).collect();
    assert!(flags.contains(&"--stop-timeout"), "{help}");
    let own = plain().husk("run --help").build();
    own.expect_success();
    for flag in flags {
        assert!(own.stdout().contains(&format!("{flag} ")) || own.stdout().contains(&format!("{flag}\n")), "{flag}");
    }
}

#[test]
fn flags_of_the_guest_reach_it() {
    let call = plain().husk("run -q -m 64M --stop-timeout 5 -e HERE -- variable HERE").env("HERE", "a value");
    call.run().expect_success().expect_stdout("Some(Ok(\"a value\"))\n");
}

#[test]
fn a_program_that_another_linker_made_is_refused_with_the_remedy() {
    // A separate project, because this replaces the image, and other tests run that of the usual project at the same time.
    let project = actor("foreign-actor", "");
    let wrapper = project.path("wrapper");
    fs::write(&wrapper, "#!/bin/sh\nexec \"$@\" -C linker=cc").expect("our own folder");
    fs::set_permissions(&wrapper, fs::Permissions::from_mode(0o755)).expect("our own file");
    let call = project.husk("run -q -- exit 3").env("RUSTC_WRAPPER", &wrapper);
    call.run().expect_status(125).expect_stderr("a wrapper of rustc has added '-C linker'");
}

#[test]
fn a_program_that_a_configured_linker_made_runs() {
    let call =
        actor("linked-actor", "").husk("run -q -- exit 3").env("RUSTFLAGS", "-C linker=cc -C link-arg=-fuse-ld=bfd");
    call.run().expect_status(3);
}

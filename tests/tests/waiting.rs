//! Programs that wait for files: they see the same as on Linux, so each also passes as a process.

use husk_tests::{Guest, Target, build, eventually, native, wire};
use std::io::{Read, Write};
use std::net::TcpStream;
use std::thread::sleep;
use std::time::{Duration, Instant};

/// Checks that the program `name` ends well as a process of this machine and in a guest, with the same output.
fn same_as_a_process(name: &str) {
    Guest::program(name).run().expect_success().expect_stdout(&native::output("programs", name));
}

#[test]
fn sets_of_files_and_timers_are_as_on_linux() {
    same_as_a_process("epoll");
}

#[test]
fn sockets_between_threads_are_as_on_linux() {
    same_as_a_process("sockets");
}

#[test]
fn a_thread_that_waits_for_input_stops_no_other() {
    let mut running = Guest::program("input").spawn();
    running.expect_printed("others run\n", 1).say("first").expect_printed("first\n", 1).say("second");
    running.expect_printed("second\n", 1);
    running.finish().expect_success().expect_stdout("waiting\nothers run\nfirst\nsecond\n");
}

#[test]
fn a_system_call_makes_as_many_calls_on_the_console_as_it_needs() {
    let expected = format!("{}\n0123456789abcdef and more\n", "a".repeat(8192));
    Guest::program("console_calls").input(b"0123456789abcdef and more").run().expect_success().expect_stdout(&expected);
}

#[test]
fn a_read_of_the_console_keeps_it_when_its_descriptor_is_closed() {
    let mut running = Guest::program("console_calls").argument("descriptor").spawn();
    running.expect_printed("ready\n", 1).say("a line").expect_printed("a line\n", 1);
    running.finish().expect_success().expect_stdout("ready\na line\n");
}

/// Connects to a server that may have just been started.
fn connect(address: &str) -> TcpStream {
    let deadline = Instant::now() + Duration::from_secs(20);
    loop {
        match TcpStream::connect(address) {
            Ok(stream) => return stream,
            Err(error) => assert!(Instant::now() < deadline, "{address}: {error}"),
        }
        sleep(Duration::from_millis(10));
    }
}

#[test]
fn a_server_that_has_been_busy_and_is_idle_takes_no_processor_time() {
    if !wire::alone() {
        return;
    }
    let servers = [
        ("a native guest", build::image("net-guests", "serve")),
        ("a program", build::image("programs", "idle_server")),
    ];
    for target in Target::all() {
        for (what, image) in &servers {
            let guest = Guest::image(image.clone()).flag(target.flag()).flag("-p8007:7").argument("0");
            let mut running = guest.spawn();
            running.expect_printed("ready", 1);
            let mut stream = connect("127.0.0.1:8007");
            // Requests one by one are the case in which polling pays.
            for _ in 0..2_000 {
                stream.write_all(b"ping").expect("it listens");
                stream.read_exact(&mut [0; 4]).expect("it answers");
            }
            // Work that remains after the last answer may take a while on a busy machine.
            const IDLE: Duration = Duration::from_secs(2);
            eventually(&format!("{what} under {} takes less than {:?} in {IDLE:?}", target.name(), IDLE / 100), || {
                let before = running.processor_time().expect("it runs");
                sleep(IDLE);
                let took = running.processor_time().expect("it runs") - before;
                (took < IDLE / 100).then_some(())
            });
            stream.write_all(b"quit").expect("it listens");
            drop(stream);
            let _ = running.signal("TERM", 1);
        }
    }
}

//! A process that gets an input and a limited time.

use std::io::Write;
use std::process::{Command, Output, Stdio};
use std::time::{Duration, Instant};

/// How often a tender is killed at a moment of no choice: so often, or as `HUSK_KILLS` says.
pub fn kills(usual: u64) -> u64 {
    std::env::var("HUSK_KILLS").ok().and_then(|count| count.parse().ok()).unwrap_or(usual)
}

/// A bound on how long something may take: `usual`, times `HUSK_SLOW` on a machine that is that much slower.
pub fn patience(usual: Duration) -> Duration {
    let factor = std::env::var("HUSK_SLOW").ok().and_then(|factor| factor.parse::<u32>().ok());
    usual * factor.unwrap_or(1)
}

/// Runs `command` to its end, with `input` on its standard input. Ends it after `timeout`, which fails the test.
pub fn output(mut command: Command, input: Vec<u8>, timeout: Duration) -> Output {
    let timeout = patience(timeout);
    command.stdin(Stdio::piped()).stdout(Stdio::piped()).stderr(Stdio::piped());
    let mut child = command.spawn().unwrap_or_else(|error| panic!("{command:?} does not start: {error}"));
    let mut stdin = child.stdin.take().expect("piped");
    // A program need not read its input; that it stops early is not the writer's failure.
    let writer = std::thread::spawn(move || drop(stdin.write_all(&input)));
    let id = child.id().to_string();
    let reader = std::thread::spawn(move || child.wait_with_output());
    let deadline = Instant::now() + timeout;
    while !reader.is_finished() {
        if Instant::now() > deadline {
            let _ = Command::new("kill").args(["-KILL", &id]).status();
            panic!("{command:?} did not end within {timeout:?}");
        }
        std::thread::sleep(Duration::from_millis(1));
    }
    writer.join().expect("the writer does not panic");
    reader.join().expect("the reader does not panic").expect("its output can be read")
}

//! Commands with a time limit.

use crate::Result;
use std::fs::File;
use std::os::unix::process::CommandExt;
use std::process::{Command, ExitStatus, Stdio};
use std::thread::sleep;
use std::time::{Duration, Instant};

/// Runs `command` with all its output in `output`. Returns None if it took longer than `limit` and was killed, with
/// all processes that it started.
pub fn run(command: &mut Command, output: &File, limit: Duration) -> Result<Option<ExitStatus>> {
    let copy = || output.try_clone().map(Stdio::from).map_err(|error| format!("cannot write a log: {error}"));
    command.stdin(Stdio::null()).stdout(copy()?).stderr(copy()?).process_group(0);
    let start = Instant::now();
    let mut child =
        command.spawn().map_err(|error| format!("cannot start {}: {error}", command.get_program().display()))?;
    loop {
        if let Some(status) = child.try_wait().map_err(|error| format!("cannot wait: {error}"))? {
            return Ok(Some(status));
        }
        if start.elapsed() > limit {
            // The group is the child's own and has its number, which is valid because nothing has waited for the child yet.
            let _ = Command::new("kill").args(["-KILL", "--", &format!("-{}", child.id())]).status();
            let _ = child.wait();
            return Ok(None);
        }
        sleep(Duration::from_millis(20));
    }
}

#[cfg(test)]
mod tests {
    use super::*;

    #[test]
    fn what_takes_too_long_is_ended() {
        let null = File::options().write(true).open("/dev/null").expect("is there");
        let mut sleep = Command::new("sleep");
        let ended = run(sleep.arg("60"), &null, Duration::from_millis(50));
        assert!(ended.is_ok_and(|status| status.is_none()));
        let status = run(&mut Command::new("true"), &null, Duration::from_secs(60));
        assert!(status.is_ok_and(|status| status.is_some_and(|status| status.success())));
    }
}

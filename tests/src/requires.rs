//! What a machine must have for a test, and how loudly its absence is told.

#![expect(unsafe_code, reason = "limits of the process have no other interface")]

use std::fs::OpenOptions;
use std::io::Write;
use std::sync::Once;

/// Whether we are root, as tests that change user or mount something need. The first time that we are not, says so past the capture of test
/// output.
pub fn root() -> bool {
    static TOLD: Once = Once::new();
    let root = std::fs::metadata("/proc/self").is_ok_and(|own| std::os::unix::fs::MetadataExt::uid(&own) == 0);
    if root {
        return true;
    }
    TOLD.call_once(|| {
        let _ = writeln!(std::io::stderr(), "\n*** SKIPPED: tests that need root ***\n");
    });
    false
}

/// Whether there are TAP interfaces; told as loudly.
pub fn tun() -> bool {
    static TOLD: Once = Once::new();
    match OpenOptions::new().read(true).write(true).open("/dev/net/tun") {
        Ok(_) => true,
        Err(error) => {
            TOLD.call_once(|| {
                let _ =
                    writeln!(std::io::stderr(), "\n*** SKIPPED: tests with interfaces, as /dev/net/tun: {error} ***\n");
            });
            false
        }
    }
}

/// Whether this process can have so many descriptors, as many as it may from now on; told as loudly.
pub fn descriptors(count: u64) -> bool {
    let mut limit = libc::rlimit { rlim_cur: 0, rlim_max: 0 };
    // SAFETY: the limit is a variable of ours.
    let result = unsafe { libc::getrlimit(libc::RLIMIT_NOFILE, &mut limit) };
    assert_eq!(result, 0, "there is such a limit");
    limit.rlim_cur = limit.rlim_max;
    // SAFETY: as above.
    unsafe { libc::setrlimit(libc::RLIMIT_NOFILE, &limit) };
    if limit.rlim_max < count {
        let _ = writeln!(std::io::stderr(), "\n*** SKIPPED: a test that needs {count} descriptors (ulimit -Hn) ***\n");
    }
    limit.rlim_max >= count
}

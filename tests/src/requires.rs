//! What a machine must have for a test; its absence is a loud skip.

#![expect(unsafe_code, reason = "limits of the process have no other interface")]

use husk_skip::skip;
use std::fs::OpenOptions;

/// Whether we are root, as tests that change user or mount something need.
pub fn root() -> bool {
    let root = std::fs::metadata("/proc/self").is_ok_and(|own| std::os::unix::fs::MetadataExt::uid(&own) == 0);
    if !root {
        skip!("tests that need root");
    }
    root
}

/// Whether there are TAP interfaces.
pub fn tun() -> bool {
    match OpenOptions::new().read(true).write(true).open("/dev/net/tun") {
        Ok(_) => true,
        Err(error) => {
            skip!("tests with interfaces, as /dev/net/tun: {error}");
            false
        }
    }
}

/// Whether there is a program of this name in PATH.
pub fn program(name: &str) -> bool {
    let folders = std::env::var_os("PATH").unwrap_or_default();
    let found = std::env::split_paths(&folders).any(|folder| folder.join(name).is_file());
    if !found {
        skip!("tests with {name}, which is not installed");
    }
    found
}

/// Whether this process can have so many descriptors, as many as it may from now on.
pub fn descriptors(count: u64) -> bool {
    let mut limit = libc::rlimit { rlim_cur: 0, rlim_max: 0 };
    // SAFETY: the limit is a variable of ours.
    let result = unsafe { libc::getrlimit(libc::RLIMIT_NOFILE, &mut limit) };
    assert_eq!(result, 0, "there is such a limit");
    limit.rlim_cur = limit.rlim_max;
    // SAFETY: as above.
    unsafe { libc::setrlimit(libc::RLIMIT_NOFILE, &limit) };
    if limit.rlim_max < count {
        skip!("a test that needs {count} descriptors (ulimit -Hn)");
    }
    limit.rlim_max >= count
}

//! Requirements of tests on the machine; a missing one is a loud skip.

#![expect(unsafe_code, reason = "limits of the process have no other interface")]

use husk_skip::skip;
use std::fs::OpenOptions;

/// Returns true if the process is root, as tests need that change user or mount.
pub fn root() -> bool {
    let root = std::fs::metadata("/proc/self").is_ok_and(|own| std::os::unix::fs::MetadataExt::uid(&own) == 0);
    if !root {
        skip!("tests that need root");
    }
    root
}

/// Returns true if there are TAP interfaces.
pub fn tun() -> bool {
    match OpenOptions::new().read(true).write(true).open("/dev/net/tun") {
        Ok(_) => true,
        Err(error) => {
            skip!("tests with interfaces, as /dev/net/tun: {error}");
            false
        }
    }
}

/// Returns true if PATH has a program of this name.
pub fn program(name: &str) -> bool {
    let folders = std::env::var_os("PATH").unwrap_or_default();
    let found = std::env::split_paths(&folders).any(|folder| folder.join(name).is_file());
    if !found {
        skip!("tests with {name}, which is not installed");
    }
    found
}

/// Raises the limit of descriptors to its maximum. Returns true if it allows `count`.
pub fn descriptors(count: u64) -> bool {
    let mut limit = libc::rlimit { rlim_cur: 0, rlim_max: 0 };
    // SAFETY: writes the limit, a local variable of that type.
    let result = unsafe { libc::getrlimit(libc::RLIMIT_NOFILE, &mut limit) };
    assert_eq!(result, 0, "there is such a limit");
    limit.rlim_cur = limit.rlim_max;
    // SAFETY: reads the limit, a local variable of that type.
    unsafe { libc::setrlimit(libc::RLIMIT_NOFILE, &limit) };
    if limit.rlim_max < count {
        skip!("a test that needs {count} descriptors (ulimit -Hn)");
    }
    limit.rlim_max >= count
}

//! The kernel: its version, and its features that Husk can use.

#![expect(unsafe_code, reason = "system calls without a wrapper")]

use super::{Host, Lacking, Row, State};
use crate::confine::{Lack, files};
use crate::memory::host::reserve;
use husk_abi::memory::PAGE;
use std::io;

const GROUP: &str = "kernel";

/// The oldest Linux that Husk is made for.
const OLDEST: (u32, u32) = (5, 10);

/// Rows about the kernel.
pub fn rows(host: &Host) -> Vec<Row> {
    vec![
        version(&release()),
        Row::of(GROUP, "seccomp", seccomp()),
        landlock(files::version()),
        Row::of(GROUP, "MADV_POPULATE", populate()),
        huge_pages(host, huge_pages_disabled()),
        Row::of(GROUP, "memfd", memfd()),
        user(),
    ]
}

/// Returns the release of the running kernel (uname(2)).
fn release() -> String {
    // SAFETY: all zeros is a valid `utsname`.
    let mut name: libc::utsname = unsafe { std::mem::zeroed() };
    // SAFETY: `name` is a local variable that the kernel may write.
    unsafe { libc::uname(&mut name) };
    let bytes: Vec<u8> = name.release.iter().map(|byte| *byte as u8).take_while(|byte| *byte != 0).collect();
    String::from_utf8_lossy(&bytes).into_owned()
}

fn version(release: &str) -> Row {
    let mut numbers = release.split(|letter: char| !letter.is_ascii_digit()).map_while(|number| number.parse().ok());
    let version: Option<(u32, u32)> = numbers.next().zip(numbers.next());
    let value = format!("Linux {release}");
    match version.is_some_and(|version| version >= OLDEST) {
        true => Row::new(GROUP, "version", State::Good, value),
        false => {
            Row::new(GROUP, "version", State::Without, value).remedy("use Linux 5.10 or newer, as Husk is tested with")
        }
    }
}

fn seccomp() -> Result<String, Lacking> {
    let action = libc::SECCOMP_RET_KILL_PROCESS;
    const GET_ACTION_AVAIL: libc::c_uint = 2;
    // SAFETY: `action` is a local variable that outlives the call.
    match unsafe { libc::syscall(libc::SYS_seccomp, GET_ACTION_AVAIL, 0, &raw const action) } {
        0 => Ok("filters of system calls, which end a process".to_owned()),
        _ => Err(Lacking::new(
            State::Missing,
            "no filters of system calls, and husk does not run without",
            "use a kernel with CONFIG_SECCOMP_FILTER, and a container whose own filter lets seccomp(2) through",
        )),
    }
}

fn landlock(version: Option<u32>) -> Row {
    match Lack::of_landlock(version) {
        None => Row::new(GROUP, "Landlock", State::Good, format!("version {}", version.unwrap_or_default()))
            .number(version.unwrap_or_default().into(), ""),
        Some(lack) => {
            let text = lack.to_string();
            let (what, remedy) = text.split_once(" (").unwrap_or((&text, ""));
            let remedy = remedy.trim_end_matches(')');
            // Version 1 refuses these in any case; from version 2 on, they can be allowed.
            let renames =
                "; in a folder (--files), no file can be renamed or linked from one directory to another: EXDEV";
            let what = if version == Some(1) { format!("{what}{renames}") } else { what.to_owned() };
            Row::new(GROUP, "Landlock", State::Weaker, what).remedy(remedy)
        }
    }
}

fn populate() -> Result<String, Lacking> {
    let missing = |error: io::Error| Lacking::without(error, "use Linux 5.14 or newer: memory then comes page by page");
    let page = reserve(PAGE).map_err(missing)?;
    // SAFETY: the page was just reserved, for this call alone.
    let result = unsafe { libc::madvise(page.as_ptr().cast(), PAGE as usize, libc::MADV_POPULATE_WRITE) };
    let error = io::Error::last_os_error();
    // SAFETY: the page was reserved here, and nothing uses it any more.
    unsafe { libc::munmap(page.as_ptr().cast(), PAGE as usize) };
    if result == 0 { Ok("memory can be taken ahead of use".to_owned()) } else { Err(missing(error)) }
}

fn huge_pages_disabled() -> bool {
    // SAFETY: this prctl(2) takes numbers only.
    unsafe { libc::prctl(libc::PR_GET_THP_DISABLE, 0, 0, 0, 0) == 1 }
}

fn huge_pages(host: &Host, disabled: bool) -> Row {
    const NAME: &str = "huge pages";
    let row = |value: &str, remedy: &str| Row::new(GROUP, NAME, State::Without, value).remedy(remedy);
    if disabled {
        return row("switched off for this process", "start husk without PR_SET_THP_DISABLE");
    }
    let modes = host.read("sys/kernel/mm/transparent_hugepage/enabled");
    let mode = modes.as_deref().and_then(|modes| modes.split_once('[')?.1.split(']').next());
    match mode {
        Some(mode @ ("always" | "madvise")) => Row::new(GROUP, NAME, State::Good, format!("transparent, {mode}")),
        Some(_) => row(
            "switched off",
            "echo madvise > /sys/kernel/mm/transparent_hugepage/enabled: memory then comes in pieces of 2 MiB",
        ),
        None => row("unknown", "mount /sys, or use a kernel with CONFIG_TRANSPARENT_HUGEPAGE"),
    }
}

fn memfd() -> Result<String, Lacking> {
    // SAFETY: the name is a constant, and the call only makes a new descriptor.
    let descriptor = unsafe { libc::memfd_create(c"husk-check".as_ptr(), libc::MFD_CLOEXEC) };
    if descriptor < 0 {
        let error = io::Error::last_os_error();
        return Err(Lacking::without(error, "use a container whose filter lets memfd_create(2) through"));
    }
    // SAFETY: the descriptor was just made, and nothing else owns it.
    unsafe { libc::close(descriptor) };
    Ok("files without a name".to_owned())
}

fn user() -> Row {
    // SAFETY: geteuid(2) has no preconditions.
    match unsafe { libc::geteuid() } {
        0 => Row::new(GROUP, "user", State::Fact, "root; husk gives up its capabilities, and with --user its identity"),
        id => Row::new(GROUP, "user", State::Fact, format!("{id}, without privileges")),
    }
}

#[cfg(test)]
mod tests {
    use super::super::tests::host;
    use super::*;

    #[test]
    fn versions_are_numbers() {
        let state = |release| version(release).state;
        for new in ["5.10.0-30-amd64", "6.18.44-fc", "10.0"] {
            assert_eq!(state(new), State::Good, "{new}");
        }
        for old in ["5.9.1", "4.18.0-553.el8.x86_64", "unknown", "", "5"] {
            assert_eq!(state(old), State::Without, "{old}");
        }
    }

    #[test]
    fn huge_pages_are_as_the_kernel_says() {
        let enabled =
            |text: &str| host(&format!("huge{}", text.len()), &[("sys/kernel/mm/transparent_hugepage/enabled", text)]);
        assert_eq!(huge_pages(&enabled("always [madvise] never\n"), false).value, "transparent, madvise");
        for (host, disabled) in
            [(enabled("always madvise [never]"), false), (enabled("[always]"), true), (host("no", &[]), false)]
        {
            let row = huge_pages(&host, disabled);
            assert!(row.state == State::Without && row.remedy.is_some(), "{row:?}");
        }
    }

    #[test]
    fn an_old_landlock_is_weaker_and_says_what_to_use() {
        assert_eq!(landlock(Some(6)).state, State::Good);
        let old = landlock(Some(2));
        assert_eq!((old.state, old.remedy.as_deref()), (State::Weaker, Some("use Linux 6.12 or newer")));
        assert!(!old.value.contains("EXDEV") && landlock(Some(1)).value.contains("EXDEV"), "{old:?}");
        assert!(landlock(None).remedy.is_some_and(|remedy| remedy.contains("Linux 5.13")));
    }
}

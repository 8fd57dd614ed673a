//! Prints what a program finds of the host's files, as libraries look for it: its own name, names of machines, certificates, time.

use chrono::{Local, Offset, TimeZone, Utc};
use std::ffi::CStr;
use std::fs;
use std::net::ToSocketAddrs;

/// A day of summer, in which no two zones of the tests agree: 2026-07-01 12:00 UTC.
const SUMMER: i64 = 1_782_907_200;

fn main() {
    for word in std::env::args().skip(1) {
        let (what, name) = word.split_once('=').unwrap_or((&word, ""));
        let found = match what {
            "hostname" => hostnames(),
            "address" => addresses(name),
            "certificates" => certificates(),
            "time" => time(),
            "read" => read(name),
            "link" => fs::read_link(name).map_or("none".to_owned(), |target| target.display().to_string()),
            "list" => list(name),
            "write" => write(name),
            _ => "what?".to_owned(),
        };
        println!("{word}: {found}");
    }
}

/// Name of the machine by each way to ask for it.
fn hostnames() -> String {
    let mut bytes = [0; 128];
    // SAFETY: the buffer has the length that is passed.
    assert_eq!(unsafe { libc::gethostname(bytes.as_mut_ptr().cast(), bytes.len()) }, 0);
    let asked = CStr::from_bytes_until_nul(&bytes).expect("it ends").to_string_lossy().into_owned();
    let files = ["/etc/hostname", "/proc/sys/kernel/hostname"].map(|file| fs::read_to_string(file).expect(file));
    format!("{asked} {} {}", files[0].trim(), files[1].trim())
}

fn addresses(name: &str) -> String {
    match (name, 80).to_socket_addrs() {
        Ok(found) => found.map(|address| address.ip().to_string()).collect::<Vec<_>>().join(" "),
        Err(_) => "not found".to_owned(),
    }
}

/// Number of certificates, or the first error.
fn certificates() -> String {
    let loaded = rustls_native_certs::load_native_certs();
    match loaded.errors.first() {
        Some(error) if loaded.certs.is_empty() => error.to_string(),
        _ => loaded.certs.len().to_string(),
    }
}

/// Difference of local time to UTC on that day, in seconds.
fn time() -> String {
    let utc = Utc.timestamp_opt(SUMMER, 0).single().expect("a time");
    utc.with_timezone(&Local).offset().fix().local_minus_utc().to_string()
}

fn read(file: &str) -> String {
    fs::read(file).map_or_else(|error| error.kind().to_string(), |bytes| bytes.escape_ascii().to_string())
}

fn list(folder: &str) -> String {
    let Ok(entries) = fs::read_dir(folder) else { return "none".to_owned() };
    let name = |entry: std::io::Result<fs::DirEntry>| entry.expect("an entry").file_name().into_string().expect("text");
    let mut names: Vec<_> = entries.map(name).collect();
    names.sort_unstable();
    names.join(" ")
}

/// Replaces a file, and reads it again.
fn write(file: &str) -> String {
    fs::write(file, "mine").map_or_else(|error| error.kind().to_string(), |()| read(file))
}

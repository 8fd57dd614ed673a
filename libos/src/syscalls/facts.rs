//! Facts for the texts of `/proc` and `/sys`, gathered from the whole libos.

use super::process;
use crate::errno::Errno;
use crate::fs::generated::{Facts, Generated, Signals};
use crate::identity::Identity;
use crate::image;
use crate::memory::MEMORY;
use crate::process::PROCESS;
use crate::processor_time;
use crate::state::{Libos, now};
use alloc::string::String;
use alloc::vec::Vec;
use core::fmt::{self, Write};
use husk::abi::memory::Region;

/// The text of a file under `/proc` or `/sys`, as of now.
pub fn text(libos: &mut Libos, file: Generated) -> Vec<u8> {
    let (memory, memory_free) = MEMORY.lock().size();
    let arguments = joined(husk::boot::arguments());
    let environment = joined(husk::boot::environment());
    let program = image::program();
    let mut maps = String::new();
    // Writing to a string does not fail.
    let _ = write_maps(&mut maps, &String::from_utf8_lossy(&program));
    let (signals, identity) = of_leader(libos);
    let limits = core::array::from_fn(|number| process::limit(libos, number as u64).unwrap_or_default());
    let uptime_ns = husk::clock::monotonic_ns().saturating_sub(libos.started);
    let network = match file {
        // Without memory for it the file is empty.
        Generated::Network(table) => libos.net.text(&libos.files, table).unwrap_or_default(),
        _ => String::new(),
    };
    file.text(&Facts {
        network: network.as_bytes(),
        hostname: libos.files.hostname,
        program: &program,
        arguments: &arguments,
        environment: &environment,
        auxiliary: &libos.auxiliary,
        maps: maps.as_bytes(),
        identity,
        signals,
        limits,
        umask: libos.files.umask,
        folders: libos.files.folders(),
        memory,
        memory_free,
        mapped: memory - memory_free,
        threads: libos.threads.count() as u32,
        processors: 1,
        uptime_ns,
        processor_ns: processor_time::of_program(),
        started_ns: husk::clock::realtime_ns().saturating_sub(uptime_ns),
    })
}

/// Signals and identity of the first thread; of the current one, if that has ended.
fn of_leader(libos: &mut Libos) -> (Signals, Identity) {
    let (ignored, handled) = libos.signals.ignored_and_handled();
    let of_program = libos.signals.pending;
    let leader = match libos.threads.find(PROCESS) {
        Some((_, leader)) => leader,
        None => libos.threads.current(),
    };
    let signals = Signals { of_thread: leader.pending, of_program, blocked: leader.blocked, ignored, handled };
    (signals, leader.identity.clone())
}

/// Brings `/proc/self/task` up to date.
#[cold]
pub fn show_tasks(libos: &mut Libos) -> Result<(), Errno> {
    let program = image::program();
    let Libos { files, threads, .. } = libos;
    let shown: Vec<_> = threads.all().map(|thread| (thread.id, thread.named(&program))).collect();
    files.show_tasks(&shown, now())
}

/// Joins strings, each followed by a NUL.
fn joined<'a>(strings: impl Iterator<Item = &'a [u8]>) -> Vec<u8> {
    let mut bytes = Vec::new();
    for string in strings {
        bytes.extend_from_slice(string);
        bytes.push(0);
    }
    bytes
}

/// Writes the regions of the guest's memory like `/proc/self/maps`.
fn write_maps(out: &mut String, program: &str) -> fmt::Result {
    let info = husk::boot::info();
    let mut line = |region: Region, rights: &str, name: &str| {
        writeln!(out, "{:08x}-{:08x} {rights} 00000000 00:02 0 {name}", region.start, region.end())
    };
    line(info.image, "r-xp", program)?;
    line(info.main_stack, "rw-p", "[stack]")?;
    line(info.heap, "rw-p", "[heap]")
}

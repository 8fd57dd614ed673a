//! Fills in the boot information of a guest: see [`husk_abi::boot`].

use crate::devices::{Open, table};
use crate::image::Image;
use crate::memory::layout::Layout;
use husk_abi::boot::{Flags, Info, Strings};
use husk_abi::memory::{BOOT, BOOT_SIZE, CLOCK, GATE, Region};
use husk_abi::stream::Stream;
use std::ffi::OsString;
use std::fmt;
use std::os::unix::ffi::OsStrExt;
use zerocopy::IntoBytes;

/// Arguments and environment of a program.
#[derive(Clone, Debug, Default, PartialEq, Eq)]
pub struct Program {
    /// Arguments, the program's own name first.
    pub arguments: Vec<OsString>,
    /// Environment, each of the form `NAME=value`.
    pub environment: Vec<OsString>,
}

/// What the guest learns of its surroundings: its name, paths of the host's files that it may read, kinds of its streams.
#[derive(Clone, Debug, Default, PartialEq, Eq)]
pub struct Names {
    /// Name of the guest, if the user gives it one.
    pub hostname: Option<OsString>,
    /// Paths; those of folders end in `/`.
    pub host_files: Vec<OsString>,
    /// Standard streams.
    pub streams: [Stream; 3],
}

/// Arguments and environment have no room in the boot information area.
#[derive(Clone, Copy, Debug, PartialEq, Eq)]
pub struct TooLong {
    size: u64,
    maximum: u64,
}

impl fmt::Display for TooLong {
    fn fmt(&self, f: &mut fmt::Formatter<'_>) -> fmt::Result {
        let Self { size, maximum } = self;
        write!(
            f,
            "arguments and environment take {size} bytes, where a guest can be given {maximum}; pass large values in a file"
        )
    }
}

/// Random bytes that no other guest gets.
#[derive(Clone, Copy, Debug, Default)]
pub struct Entropy {
    /// Seed of the guest's random number generator.
    pub guest: [u8; 32],
    /// For the program's auxiliary vector.
    pub program: [u8; 16],
}

/// Returns the bytes of the boot information area for a guest with this layout.
pub fn write(
    image: &Image,
    layout: &Layout,
    program: &Program,
    names: &Names,
    flags: Flags,
    entropy: Entropy,
    devices: &[Open],
) -> Result<Vec<u8>, TooLong> {
    let mut area = vec![0; size_of::<Info>()];
    let arguments = append(&mut area, layout, &program.arguments);
    let environment = append(&mut area, layout, &program.environment);
    let host_files = append(&mut area, layout, &names.host_files);
    let Strings { bytes: mut hostname, .. } = append(&mut area, layout, names.hostname.as_slice());
    // Without the terminator.
    hostname.length = hostname.length.saturating_sub(1);
    let devices = match devices {
        [] => 0,
        _ => {
            area.resize(area.len().next_multiple_of(8), 0);
            let at = layout.tender_address(BOOT) + area.len() as u64;
            area.extend(table::write(devices, layout, at));
            at
        }
    };
    if area.len() as u64 > BOOT_SIZE {
        let maximum = BOOT_SIZE - size_of::<Info>() as u64;
        return Err(TooLong { size: (area.len() - size_of::<Info>()) as u64, maximum });
    }
    let info = Info {
        version: husk_abi::VERSION,
        size: size_of::<Info>() as u32,
        gate: layout.tender_address(GATE),
        clock: layout.tender_address(CLOCK),
        load_bias: layout.load_bias,
        image: layout.image,
        program_headers: image.program_headers.wrapping_add(layout.load_bias),
        program_header_count: u32::from(image.program_header_count),
        flags: flags.bits(),
        libos_stack: layout.libos_stack,
        main_stack: layout.main_stack,
        heap: layout.heap,
        heap_attached: layout.heap_attached(layout.attached_at_start()),
        image_file: layout.image_file,
        sparse: layout.sparse,
        hostname,
        host_files,
        streams: names.streams,
        entropy: entropy.guest,
        program_entropy: entropy.program,
        arguments,
        environment,
        devices,
    };
    area.splice(..size_of::<Info>(), info.as_bytes().iter().copied());
    Ok(area)
}

/// Appends strings with their terminators; an interior NUL cannot occur in an argument that came from the host.
fn append(area: &mut Vec<u8>, layout: &Layout, strings: &[OsString]) -> Strings {
    let boot = layout.tender_address(BOOT);
    let start = boot + area.len() as u64;
    for string in strings {
        area.extend_from_slice(string.as_bytes());
        area.push(0);
    }
    Strings { bytes: Region::between(start, boot + area.len() as u64), count: strings.len() as u64 }
}

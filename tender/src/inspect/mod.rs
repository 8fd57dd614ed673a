//! Properties of an image, without running it: contract, manifest, segments, and where the names of its functions are.

mod json;
mod show;

pub(crate) use json::Value;

use crate::devices::mount::Mount;
use crate::error::Error;
use crate::image::Wanted;
use crate::image::{Image, Segment};
use crate::report::names::Names;
use husk_abi::memory::Rights;
use husk_abi::note::kind;
use std::path::{Path, PathBuf};

/// Properties of an image. Displays as a table; [`Inspection::json`] is for programs.
#[derive(Debug)]
pub struct Inspection {
    path: PathBuf,
    file_size: u64,
    contract: u32,
    kind: Kind,
    relocatable: bool,
    entry: u64,
    build_id: Vec<u8>,
    memory: u64,
    main_stack: u64,
    patched_sites: u32,
    trapping_sites: u32,
    devices: Vec<Wanted>,
    mounts: Vec<Mount>,
    files: Option<husk_abi::files::Note>,
    segments: Vec<Segment>,
    sizes: Sizes,
    names: Names,
    colour: bool,
}

/// Sort of program that an image holds.
#[derive(Clone, Copy, Debug, PartialEq, Eq)]
enum Kind {
    Std,
    Native,
    Other(u32),
}

/// Bytes of the image by purpose.
#[derive(Clone, Copy, Debug, Default, PartialEq, Eq)]
struct Sizes {
    text: u64,
    read_only: u64,
    data: u64,
    zeros: u64,
}

impl Inspection {
    /// Inspects the image at `path`, and looks for its debug file, first in `debug_directory`.
    pub fn of(path: &Path, debug_directory: Option<&Path>) -> Result<Self, Error> {
        let image = Image::open(path).map_err(Error::image(path))?;
        let names = Names::of(&image, debug_directory);
        let manifest = image.notes.manifest;
        Ok(Self {
            kind: match manifest.kind {
                kind::STD => Kind::Std,
                kind::NATIVE => Kind::Native,
                other => Kind::Other(other),
            },
            sizes: Sizes::of(&image.segments),
            devices: image.notes.devices,
            mounts: image.notes.mounts,
            files: image.notes.files,
            path: image.path,
            file_size: image.file_size,
            contract: image.notes.version,
            relocatable: image.relocatable,
            entry: image.entry,
            build_id: image.notes.build_id,
            memory: manifest.memory,
            main_stack: manifest.main_stack,
            patched_sites: manifest.patched_sites,
            trapping_sites: manifest.trapping_sites,
            segments: image.segments,
            names,
            colour: false,
        })
    }

    /// Marks headings for a terminal.
    #[must_use]
    pub fn with_colour(self, colour: bool) -> Self {
        Self { colour, ..self }
    }
}

impl Sizes {
    fn of(segments: &[Segment]) -> Self {
        let mut sizes = Self::default();
        for segment in segments {
            let part = match segment.rights {
                rights if rights.contains(Rights::EXECUTE) => &mut sizes.text,
                rights if rights.contains(Rights::WRITE) => &mut sizes.data,
                _ => &mut sizes.read_only,
            };
            *part = part.saturating_add(segment.file_size);
            sizes.zeros = sizes.zeros.saturating_add(segment.region.length.saturating_sub(segment.file_size));
        }
        sizes
    }
}

impl Kind {
    fn name(self) -> String {
        match self {
            Self::Std => "std".to_string(),
            Self::Native => "native".to_string(),
            Self::Other(number) => format!("unknown ({number})"),
        }
    }
}

/// `rwx`, with a dash for each right that is missing.
fn rights(rights: Rights) -> String {
    [(Rights::READ, 'r'), (Rights::WRITE, 'w'), (Rights::EXECUTE, 'x')]
        .map(|(right, letter)| if rights.contains(right) { letter } else { '-' })
        .iter()
        .collect()
}

#[cfg(test)]
mod tests {
    use super::*;
    use husk_abi::memory::Region;

    pub fn example() -> Inspection {
        let segment = |start, length, file_size, rights| Segment {
            region: Region { start, length },
            file_offset: start,
            file_size,
            rights,
        };
        let segments = vec![
            segment(0, 0x800, 0x800, Rights::READ),
            segment(0x1000, 0x2345, 0x2345, Rights::READ | Rights::EXECUTE),
            segment(0x4000, 0x3000, 0x1000, Rights::READ | Rights::WRITE),
        ];
        Inspection {
            path: PathBuf::from("app \"1\".husk"),
            file_size: 123_456,
            contract: 1,
            kind: Kind::Std,
            relocatable: true,
            entry: 0x1010,
            build_id: vec![0xab, 0xcd],
            memory: 64 << 20,
            main_stack: 8 << 20,
            patched_sites: 41,
            trapping_sites: 1,
            devices: vec![Wanted { kind: crate::image::Kind::Network, name: "front\x1b".to_string() }],
            mounts: vec![Mount { disk: "data".to_string(), place: "/srv".to_string(), read_only: true }],
            files: Some(husk_abi::files::Note { offset: 0x5000, length: 8192, count: 3 }),
            sizes: Sizes::of(&segments),
            segments,
            names: Names::default(),
            colour: false,
        }
    }

    #[test]
    fn sizes_are_summed_by_rights() {
        let sizes = example().sizes;
        assert_eq!(sizes, Sizes { text: 0x2345, read_only: 0x800, data: 0x1000, zeros: 0x2000 });
    }
}

//! The notes of an image: contract version, manifest, build-id. Formats in [`husk_abi::note`].

use super::refusal::Refusal;
use super::wanted::Wanted;
use crate::devices::mount::Mount;
use core::mem::offset_of;
use husk_abi::block::MOUNTS_VERSION;
use husk_abi::notes::{self, Cut};
use husk_abi::{folder, note};
use object::LittleEndian;
use object::elf::{self, ProgramHeader64};
use object::read::elf::ProgramHeader as _;
use zerocopy::FromBytes;

/// Largest note segment that is read.
const SIZE_MAXIMUM: u64 = 64 << 10;

/// Contents of the notes.
#[derive(Clone, Debug, Default, PartialEq, Eq)]
pub struct Notes {
    /// Version of the contract.
    pub version: u32,
    /// Target of `syscall` instructions, as an address in the file.
    pub system_calls: Option<u64>,
    /// Blocks of the processors, and code for preemption, as addresses in the file.
    pub processors: Option<Processors>,
    /// Record of pending signals, as an address in the file.
    pub signals: Option<u64>,
    /// Table of the threads, as an address in the file.
    pub threads: Option<u64>,
    /// File tree inside the image.
    pub files: Option<husk_abi::files::Note>,
    /// True if the image can use folders.
    pub takes_folders: bool,
    /// True if the image can mount disks.
    pub takes_mounts: bool,
    /// Mounts that the image asks for.
    pub mounts: Vec<Mount>,
    /// Requirements of the image.
    pub manifest: note::Manifest,
    /// Devices that the image wants.
    pub devices: Vec<Wanted>,
    /// GNU build-id; empty if there is none.
    pub build_id: Vec<u8>,
}

/// Addresses from [`husk_abi::processor::Note`].
#[derive(Clone, Copy, Debug, PartialEq, Eq)]
pub struct Processors {
    /// The first block.
    pub blocks: u64,
    /// Address at which a preempted thread continues.
    pub entry: u64,
    /// Start of the instructions at which a thread must not be preempted.
    pub from: u64,
    /// End of those instructions.
    pub to: u64,
}

/// A note: contents, and their address.
struct Note<'a> {
    body: &'a [u8],
    address: u64,
}

impl Notes {
    /// Reads the notes of the image with these program headers; `read` returns bytes of the file by offset and size.
    pub fn read(
        headers: &[ProgramHeader64<LittleEndian>],
        read: impl Fn(u64, u64) -> Result<Vec<u8>, Refusal>,
    ) -> Result<Self, Refusal> {
        let (mut abi, mut manifest, mut all) = (None, None, Self::default());
        for header in headers.iter().filter(|header| header.p_type(LittleEndian) == elf::PT_NOTE) {
            let size = header.p_filesz(LittleEndian).min(SIZE_MAXIMUM);
            let bytes = read(header.p_offset(LittleEndian), size)?;
            for read in notes::Notes::new(&bytes, header.p_align(LittleEndian)) {
                let read = read.map_err(|Cut| Refusal::BadNote("a note reaches beyond its segment"))?;
                let address = header.p_vaddr(LittleEndian).wrapping_add(read.offset as u64);
                let found = Note { body: read.body, address };
                match (read.name, read.kind) {
                    (note::NAME, note::ABI) => abi = Some(read_abi(&found)?),
                    (note::NAME, note::MANIFEST) => manifest = Some(read_manifest(&found)?),
                    (note::NAME, note::PROCESSORS) => all.processors = Some(read_processors(&found)?),
                    (note::NAME, note::SIGNALS) => all.signals = Some(read_signals(&found)?),
                    (note::NAME, note::THREADS) => all.threads = Some(read_threads(&found)?),
                    (note::NAME, note::FILES) => all.files = Some(read_files(&found)?),
                    (note::NAME, note::FOLDERS) => all.takes_folders = read_version(&found, folder::VERSION)?,
                    (note::NAME, note::MOUNTS) => all.takes_mounts = read_version(&found, MOUNTS_VERSION)?,
                    (note::NAME, note::MOUNT_POINTS) => all.mounts = read_mounts(&found)?,
                    (notes::GNU, notes::GNU_BUILD_ID) => all.build_id = found.body.to_vec(),
                    _ => {}
                }
            }
        }
        (all.version, all.system_calls) = abi.ok_or(Refusal::NoNotes)?;
        if all.version != husk_abi::VERSION {
            return Err(Refusal::OtherVersion { image: all.version });
        }
        (all.manifest, all.devices) = manifest.ok_or(Refusal::NoManifest)?;
        Ok(all)
    }
}

fn read_abi(note: &Note<'_>) -> Result<(u32, Option<u64>), Refusal> {
    let (abi, _) =
        note::Abi::read_from_prefix(note.body).map_err(|_| Refusal::BadNote("the contract version is cut"))?;
    let field = note.address.wrapping_add(offset_of!(note::Abi, system_calls) as u64);
    let system_calls = (abi.system_calls != 0).then(|| field.wrapping_add_signed(abi.system_calls));
    Ok((abi.version, system_calls))
}

fn read_processors(note: &Note<'_>) -> Result<Processors, Refusal> {
    use husk_abi::processor::Note as Raw;
    let (raw, _) =
        Raw::read_from_prefix(note.body).map_err(|_| Refusal::BadNote("the note about processors is cut"))?;
    if raw.count == 0 {
        return Err(Refusal::BadNote("the note about processors has no processor"));
    }
    let to = |field: usize, distance| note.address.wrapping_add(field as u64).wrapping_add_signed(distance);
    Ok(Processors {
        blocks: to(offset_of!(Raw, blocks), raw.blocks),
        entry: to(offset_of!(Raw, entry), raw.entry),
        from: to(offset_of!(Raw, from), raw.from),
        to: to(offset_of!(Raw, to), raw.to),
    })
}

fn read_signals(note: &Note<'_>) -> Result<u64, Refusal> {
    let (signals, _) = husk_abi::signals::Note::read_from_prefix(note.body)
        .map_err(|_| Refusal::BadNote("the note about signals is cut"))?;
    Ok(note.address.wrapping_add_signed(signals.record))
}

fn read_threads(note: &Note<'_>) -> Result<u64, Refusal> {
    let (threads, _) = husk_abi::threads::Note::read_from_prefix(note.body)
        .map_err(|_| Refusal::BadNote("the note about threads is cut"))?;
    Ok(note.address.wrapping_add_signed(threads.table))
}

fn read_files(note: &Note<'_>) -> Result<husk_abi::files::Note, Refusal> {
    let files = husk_abi::files::Note::read_from_prefix(note.body);
    files.map(|(files, _)| files).map_err(|_| Refusal::BadNote("the note about files is cut"))
}

/// Returns true if the version in a note is one that this tender serves.
fn read_version(note: &Note<'_>, latest: u32) -> Result<bool, Refusal> {
    let version = u32::read_from_prefix(note.body).map(|(version, _)| version);
    let version = version.map_err(|_| Refusal::BadNote("a note with a version is cut"))?;
    Ok((1..=latest).contains(&version))
}

fn read_mounts(note: &Note<'_>) -> Result<Vec<Mount>, Refusal> {
    let text = core::str::from_utf8(note.body).map_err(|_| Refusal::BadNote("the note about mounts is not UTF-8"))?;
    let words = text.split('\0').filter(|word| !word.is_empty()).take(note::DEVICES_MAXIMUM);
    words
        .map(|word| Mount::parse(word).map_err(|_| Refusal::BadNote("the note about mounts has no NAME:PATH")))
        .collect()
}

fn read_manifest(note: &Note<'_>) -> Result<(note::Manifest, Vec<Wanted>), Refusal> {
    let (manifest, rest) =
        note::Manifest::read_from_prefix(note.body).map_err(|_| Refusal::BadNote("the manifest is cut"))?;
    let count = manifest.device_count as usize;
    if count > note::DEVICES_MAXIMUM {
        return Err(Refusal::BadNote("the manifest names too many devices"));
    }
    let (devices, _) = <[note::Device]>::ref_from_prefix_with_elems(rest, count)
        .map_err(|_| Refusal::BadNote("the manifest's devices are cut"))?;
    let mut wanted: Vec<Wanted> = Vec::new();
    for device in devices {
        let device =
            Wanted::from_raw(device).ok_or(Refusal::BadNote("the manifest has a device that does not exist"))?;
        if wanted.iter().any(|known| known.name == device.name) {
            return Err(Refusal::BadNote("the manifest names a device twice"));
        }
        wanted.push(device);
    }
    Ok((manifest, wanted))
}

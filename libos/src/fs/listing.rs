//! Listing of directories.

use super::Files;
use super::handle::NodeKey;
use super::inode::{Kind, Time};
use crate::errno::Errno;
use crate::user::Slice;
use core::fmt::Write;
use linux_raw_sys::general as linux;

/// Bytes of a record before the name: number, position after, length, kind.
const HEADER: usize = 8 + 8 + 2 + 1;
/// Bytes of the longest record: header, name, NUL, padding.
const RECORD_MAXIMUM: usize = (HEADER + super::directory::NAME_MAXIMUM + 1).next_multiple_of(8);

/// Record of getdents64(2), as written to the program.
struct Record {
    bytes: [u8; RECORD_MAXIMUM],
    length: usize,
}

impl Record {
    fn new(number: u64, next: u64, format: u32, name: &[u8]) -> Self {
        let mut bytes = [0; RECORD_MAXIMUM];
        let length = (HEADER + name.len() + 1).next_multiple_of(8);
        bytes[..8].copy_from_slice(&number.to_ne_bytes());
        bytes[8..16].copy_from_slice(&next.to_ne_bytes());
        bytes[16..18].copy_from_slice(&(length as u16).to_ne_bytes());
        bytes[18] = (format >> 12) as u8;
        bytes[HEADER..HEADER + name.len()].copy_from_slice(name);
        Self { bytes, length }
    }
}

impl Files {
    /// getdents64(2): fills `into` with records from the description's position on. Returns 0 at the end; EINVAL if not even
    /// one record fits.
    pub fn list(&mut self, descriptor: i32, into: Slice, now: Time) -> Result<u64, Errno> {
        let key = self.usable(descriptor)?;
        let node = self.descriptions[key].node;
        match &self.nodes[node].kind {
            Kind::Directory(_) if self.nodes[node].links == 0 => return Err(Errno::ENOENT),
            kind if kind.is_directory() => {}
            _ => return Err(Errno::ENOTDIR),
        }
        self.unfold(node)?;
        let mut done = 0;
        while let Some((next, record)) = self.record(node, self.descriptions[key].offset) {
            if record.length as u64 > into.length - done {
                if done == 0 {
                    return Err(Errno::EINVAL);
                }
                break;
            }
            let bytes = record.bytes.get(..record.length).unwrap_or_default();
            match into.after(done).copy_in(bytes) {
                Err(errno) if done == 0 => return Err(errno),
                Err(_) => break,
                Ok(()) => done += bytes.len() as u64,
            }
            self.descriptions[key].offset = next;
        }
        self.touch(key, now);
        self.report(node, linux::IN_ACCESS);
        Ok(done)
    }

    /// The first record at `position` or after, with the position to continue from.
    fn record(&self, directory: NodeKey, position: u64) -> Option<(u64, Record)> {
        let inode = &self.nodes[directory];
        let parent = inode.directory().map(|entries| entries.parent).or(inode.home.map(|(home, _)| home));
        match (position, &inode.kind) {
            (0, _) => Some((1, Record::new(inode.number, 1, linux::S_IFDIR, b"."))),
            (1, _) => Some((2, Record::new(self.nodes[parent?].number, 2, linux::S_IFDIR, b".."))),
            (_, Kind::Directory(entries)) => {
                let (next, entry) = entries.entry_from(position - 2)?;
                let named = &self.nodes[entry.node];
                Some((next + 2, Record::new(named.number, next + 2, named.kind.format(), &entry.name)))
            }
            _ => {
                let number = self.descriptors.next_used(position - 2)?;
                let next = number as u64 + 3;
                let mut name = Digits::default();
                // Ten bytes hold any descriptor.
                let _ = write!(name, "{number}");
                Some((next, Record::new(DESCRIPTOR_LINKS + number as u64, next, linux::S_IFLNK, name.as_bytes())))
            }
        }
    }
}

/// Inode number of the link to descriptor 0; the others follow. Far above the numbers of other inodes, which count upwards.
pub const DESCRIPTOR_LINKS: u64 = 1 << 40;

/// A number in decimal.
#[derive(Default)]
struct Digits {
    bytes: [u8; 10],
    length: usize,
}

impl Digits {
    fn as_bytes(&self) -> &[u8] {
        self.bytes.get(..self.length).unwrap_or_default()
    }
}

impl Write for Digits {
    fn write_str(&mut self, text: &str) -> core::fmt::Result {
        let room = self.bytes.get_mut(self.length..self.length + text.len()).ok_or(core::fmt::Error)?;
        room.copy_from_slice(text.as_bytes());
        self.length += text.len();
        Ok(())
    }
}

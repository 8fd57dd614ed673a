//! Sizes of file systems: what fits into a size, and in which size files fit.

use crate::error::Result;
use crate::image::{BLOCK, GROUP, has_superblock};
use crate::source::{self, Found, Opened, Visit};
use rustix::fs::{FileType, OFlags};
use std::collections::HashSet;

/// Least size: journal, tables of one group, and some megabytes for files.
pub const LEAST: u64 = 24 << 20;
/// Sizes above are refused: numbers of blocks have 32 bits.
pub const MOST: u64 = (16 << 40) - BLOCK;
/// Inodes of a group, with 16 in each block of its table.
const INODES: u64 = GROUP / 4;
/// Blocks with the tables of a group: inodes, and two bitmaps.
const TABLES: u64 = INODES / 16 + 2;
/// Blocks that a last, smaller group has for files at least; a smaller one would lower the number of inodes of all groups.
const LAST: u64 = 512;
/// Blocks of the journal.
const JOURNAL: u64 = 4096;
/// Inodes of the file system itself, `lost+found` included, and blocks of its first directories, with some to spare.
const OWN_INODES: u64 = 11;
const OWN_BLOCKS: u64 = 16;

/// Returns the number of blocks of a file system in a file of this size: all, but for those of a last group that is too small.
pub fn blocks(size: u64) -> u64 {
    let blocks = size / BLOCK;
    let rest = blocks % GROUP;
    if rest < least_group(blocks.div_ceil(GROUP)) && blocks > GROUP { blocks - rest } else { blocks }
}

/// Blocks of the descriptors of this many groups.
fn descriptors(groups: u64) -> u64 {
    (groups * 64).div_ceil(BLOCK)
}

fn least_group(groups: u64) -> u64 {
    TABLES + 1 + descriptors(groups) + LAST
}

/// What files take.
#[derive(Clone, Copy, Debug, Default, PartialEq, Eq)]
pub struct Need {
    inodes: u64,
    blocks: u64,
}

impl Need {
    /// Returns the size of a file system that has room for it, in whole megabytes.
    pub fn size(self) -> u64 {
        let inodes = self.inodes + OWN_INODES;
        let needed = self.blocks + OWN_BLOCKS + JOURNAL;
        let mut groups = inodes.div_ceil(INODES).max(1);
        loop {
            let copies = (0..groups).filter(|group| has_superblock(*group)).count() as u64;
            let tables = groups * TABLES + copies * (1 + descriptors(groups));
            // The last group has room at least for its own tables.
            let all = (needed + tables).max((groups - 1) * GROUP + least_group(groups));
            if all <= groups * GROUP {
                return (all * BLOCK).next_multiple_of(1 << 20).max(LEAST);
            }
            groups += 1;
        }
    }
}

/// Adds up what the files of a directory take at most.
#[derive(Default)]
pub struct Measure {
    need: Need,
    links: HashSet<(u64, u64)>,
    /// Names of the directories from the first to where the walk is: their number, and the bytes that they take.
    names: Vec<[u64; 2]>,
}

impl Measure {
    /// Measures a directory; `left_out` as in [`source::walk`].
    pub fn of(root: Opened, left_out: (u64, u64)) -> Result<Need> {
        let mut measure = Self { names: vec![[0; 2]], ..Self::default() };
        source::walk(root, left_out, &mut measure)?;
        Ok(measure.need)
    }

    fn name(&mut self, found: &Found<'_>) {
        if let Some([number, bytes]) = self.names.last_mut() {
            *number += 1;
            *bytes += (8 + found.name.len() as u64).next_multiple_of(4);
        }
    }

    /// Adds the blocks of a file's contents, and of the tree that finds them.
    fn contents(&mut self, opened: &Opened) -> Result<()> {
        let (mut blocks, mut extents) = (0, 0);
        for part in opened.parts() {
            let part = part?;
            let length = part.end.div_ceil(BLOCK) - part.start / BLOCK;
            blocks += length;
            extents += 1 + length / (GROUP / 8);
        }
        // Four are in the inode, 340 in each other block, which is at least half full.
        self.need.blocks += blocks + if extents > 4 { extents / 170 + 3 } else { 0 };
        Ok(())
    }

    fn attributes(&mut self, opened: &Opened) -> Result<()> {
        self.need.blocks += u64::from(!opened.attributes()?.is_empty());
        Ok(())
    }
}

impl Visit for Measure {
    fn found(&mut self, found: &Found<'_>) -> Result<()> {
        self.name(found);
        if found.status.st_nlink > 1 && !self.links.insert(source::identity(&found.status)) {
            return Ok(());
        }
        self.need.inodes += 1;
        match source::kind(&found.status) {
            FileType::RegularFile => {
                let opened = Opened::found(found, OFlags::empty())?;
                self.contents(&opened)?;
                self.attributes(&opened)
            }
            FileType::Symlink => {
                self.need.blocks += u64::from(found.status.st_size >= 60);
                Ok(())
            }
            _ => Ok(()),
        }
    }

    fn enter(&mut self, found: &Found<'_>, directory: &Opened) -> Result<()> {
        self.name(found);
        self.need.inodes += 1;
        self.names.push([0; 2]);
        self.attributes(directory)
    }

    fn leave(&mut self, _: &Opened) -> Result<()> {
        let [number, bytes] = self.names.pop().unwrap_or_default();
        // One block up to a size; then an index, and blocks of which each is at least half full.
        self.need.blocks += if bytes < BLOCK - 64 { 1 } else { 2 * bytes.div_ceil(BLOCK - 300) + 2 + number / 2000 };
        Ok(())
    }
}

#[cfg(test)]
mod tests {
    use super::*;

    #[test]
    fn a_last_group_that_is_too_small_is_left_out() {
        const M: u64 = (1 << 20) / BLOCK;
        for (size, expected) in [(24, 24), (128, 128), (129, 128), (132, 128), (133, 133), (200, 200), (257, 256)] {
            assert_eq!(blocks(size << 20), expected * M, "{size}");
        }
    }

    #[test]
    fn what_needs_a_size_fits_into_it() {
        assert_eq!(Need::default().size(), LEAST);
        for (inodes, used) in
            [(10, 100), (8181, 10), (8182, 10), (100_000, 7), (10, 1 << 20), (20_000, 70_000), (5, 28_000)]
        {
            let size = Need { inodes, blocks: used }.size();
            let all = blocks(size);
            assert!(all * BLOCK == size, "{inodes} {used}");
            let groups = all.div_ceil(GROUP);
            let copies = (0..groups).filter(|group| has_superblock(*group)).count() as u64;
            assert!(groups * INODES >= inodes + OWN_INODES);
            assert!(all - groups * TABLES - copies * (1 + descriptors(groups)) - JOURNAL >= used, "{inodes} {used}");
        }
    }
}

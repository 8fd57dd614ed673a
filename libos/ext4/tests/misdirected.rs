//! Damaged places of files: none leads to metadata, to a place behind the disk, or in a circle.

mod support;

use support::*;

const BLOCK: usize = 1024;
/// What is written through damaged places.
const MARK: u8 = 0x9d;
/// Errors: the disk has to be repaired, or is read-only since it was found to be damaged.
const EUCLEAN: u32 = 117;
const EROFS: u32 = 30;

/// A disk of 8 MiB with small blocks, without checksums, made from a directory with a file of this many bytes.
fn made(features: &str, size: usize) -> Vec<u8> {
    let directory = scratch();
    let from = directory.path().join("from");
    std::fs::create_dir(&from).expect("a directory");
    let bytes: Vec<u8> = (0..size).map(|at| (at / BLOCK) as u8).collect();
    std::fs::write(from.join("large"), bytes).expect("room");
    std::fs::write(from.join("small"), b"small").expect("room");
    let from = from.to_str().expect("UTF-8");
    make(8, &["-b", "1024", "-N", "256", "-J", "size=1", "-O", features, "-d", from])
}

/// Place of the inode of a path.
fn inode_of(disk: &[u8], path: &str) -> usize {
    let told = String::from_utf8(debugfs(disk, &format!("imap {path}"))).expect("text");
    let number = |after: &str| {
        let rest = told.split(after).nth(1).unwrap_or_else(|| panic!("{told}"));
        rest.split([',', '\n', ')']).next().expect("a part").trim().trim_start_matches("0x").to_owned()
    };
    let block: usize = number("located at block ").parse().expect("a number");
    block * BLOCK + usize::from_str_radix(&number("offset "), 16).expect("a number")
}

/// Blocks of metadata, and what they are: of the first group, and of the journal.
fn metadata(disk: &[u8]) -> Vec<(&'static str, u32)> {
    let told = String::from_utf8(debugfs(disk, "stats")).expect("text");
    let block = |name: &str| {
        let rest = told.split(name).nth(1).unwrap_or_else(|| panic!("no {name}: {told}"));
        rest.trim_start().split(|byte: char| !byte.is_ascii_digit()).next().and_then(|number| number.parse().ok())
    };
    let journal = String::from_utf8(debugfs(disk, "bmap <8> 3")).expect("text");
    let mut places = vec![("the boot sector", 0), ("the superblock", 1), ("the group descriptors", 2)];
    for (what, name) in [
        ("the bitmap of blocks", "block bitmap at"),
        ("the bitmap of inodes", "inode bitmap at"),
        ("the inodes", "inode table at"),
    ] {
        places.push((what, block(name).unwrap_or_else(|| panic!("{told}"))));
    }
    places.push(("the journal", journal.trim().parse().unwrap_or_else(|_| panic!("{journal}"))));
    places.extend([("behind the disk", 8192), ("far behind the disk", u32::MAX)]);
    places
}

fn put(disk: &mut [u8], at: usize, number: u32) {
    disk[at..at + 4].copy_from_slice(&number.to_le_bytes());
}

/// Reads and changes a file with damaged places. Returns what the disk has then.
fn use_file(disk: Vec<u8>, what: &str) -> Vec<u8> {
    let memory = Memory::new(disk);
    let mut guest = Guest::mount(memory.clone());
    let refused = |result: Result<()>, attempt: &str| {
        let error = result.expect_err(attempt);
        assert!([EUCLEAN, EROFS].contains(&error), "{what}: {attempt}: {error}");
    };
    refused(guest.get("large").map(drop), "reading");
    let handle = guest.open("large", RDWR);
    if let Ok(handle) = handle {
        refused(
            guest.write_at(handle, 0, &[MARK; 4 * BLOCK]).map(drop).and_then(|()| guest.sync(handle, false)),
            "writing",
        );
        let _ = guest.close(handle);
    }
    let _ = guest.truncate("large", 3 * BLOCK as u64 / 2);
    let _ = guest.unlink("large");
    // If the blocks were free now, a new file would get them.
    let _ = guest.put("new", &[MARK; 6000 * BLOCK]);
    // Others are read as before.
    assert_eq!(guest.get("small"), Ok(b"small".to_vec()), "{what}");
    let _ = guest.volume.unmount();
    memory.bytes()
}

/// Fails if one of these blocks has what was written to the file.
fn assert_unharmed(disk: &[u8], blocks: impl IntoIterator<Item = u32>, what: &str) {
    for block in blocks {
        let bytes = disk.chunks(BLOCK).nth(block as usize);
        assert_ne!(bytes, Some(&[MARK; BLOCK][..]), "block {block} was written to: {what}");
    }
}

#[test]
fn an_extent_that_leads_to_metadata_is_an_error() {
    if !has_tools() {
        return;
    }
    let disk = made("^metadata_csum,^64bit", 100 * BLOCK);
    let extent = inode_of(&disk, "/large") + 0x28 + 12;
    for (what, block) in metadata(&disk) {
        let mut damaged = disk.clone();
        put(&mut damaged, extent + 8, block);
        assert_unharmed(&use_file(damaged, what), block..block.saturating_add(4), what);
    }
    // The last block of a run that begins well.
    let mut damaged = disk.clone();
    put(&mut damaged, extent + 8, 8192 - 50);
    use_file(damaged, "the end of a run");
}

#[test]
fn a_block_map_that_leads_to_metadata_is_an_error() {
    if !has_tools() {
        return;
    }
    // Beyond the singly indirect blocks; of a file that is older than the feature `extent` of its disk.
    let disk = tuned(&made("^extent,^metadata_csum,^64bit", 400 * BLOCK), "extent");
    let map = inode_of(&disk, "/large") + 0x28;
    let mut guest = Guest::mount(Memory::new(disk.clone()));
    assert_eq!(guest.get("large").map(|bytes| bytes.len()), Ok(400 * BLOCK), "a good one is read");
    drop(guest);
    let pointer = |disk: &[u8], at: usize| u32::from_le_bytes(disk[at..at + 4].try_into().expect("4")) as usize * BLOCK;
    let (indirect, double) = (pointer(&disk, map + 12 * 4), pointer(&disk, map + 13 * 4));
    let places = [map, map + 12 * 4, map + 13 * 4, indirect, double, pointer(&disk, double)];
    for (what, block) in metadata(&disk) {
        // Blocks without content are holes.
        for place in places.into_iter().filter(|_| block != 0) {
            let mut damaged = disk.clone();
            put(&mut damaged, place, block);
            assert_unharmed(&use_file(damaged, what), [block], what);
        }
    }
    // A block of places that has itself as such a block.
    let mut damaged = disk.clone();
    let own = (double / BLOCK) as u32;
    put(&mut damaged, double, own);
    assert_unharmed(&use_file(damaged, "a circle"), [own], "a circle");
}

//! A file system in memory, which knows what a crash may leave of a volume to which the same was done.

pub mod crowded;

use super::random::Random;
use super::{CREATE, EXCLUSIVE, Guest, RDWR, TRUNCATE};
use husk_abi::folder::*;
use husk_ext4::Disk;
use std::collections::BTreeMap;

/// A change, or a sync. Numbers choose among what is there.
#[derive(Clone, Debug)]
pub enum Step {
    Make {
        name: usize,
    },
    MakeDirectory {
        name: usize,
    },
    Link {
        of: usize,
        name: usize,
    },
    Symlink {
        name: usize,
    },
    Write {
        file: usize,
        offset: usize,
        length: usize,
    },
    Append {
        file: usize,
        length: usize,
    },
    Truncate {
        file: usize,
        size: usize,
    },
    Punch {
        file: usize,
        offset: usize,
        length: usize,
    },
    Allocate {
        file: usize,
        length: usize,
    },
    Scatter {
        file: usize,
        seed: usize,
    },
    Remove {
        name: usize,
    },
    Rename {
        from: usize,
        to: usize,
        exchange: bool,
    },
    Sync {
        file: usize,
        data_only: bool,
    },
    SyncAll,
    MoveDirectory {
        from: usize,
        to: usize,
    },
    /// One of many long names.
    Crowd {
        directory: usize,
        name: usize,
    },
    /// The volume is full for a while; without a sync, what is freed then can be used after a commit only.
    Fill {
        file: usize,
        syncs: bool,
    },
    /// With O_DSYNC.
    AppendDurably {
        file: usize,
        length: usize,
    },
    /// Files are left open, or closed, from here on.
    Keep {
        keeps: bool,
    },
    Remount,
}

/// Steps from a seed.
pub fn steps(random: &mut Random, count: usize) -> Vec<Step> {
    let mut steps = Vec::new();
    for _ in 0..count {
        match random.below(100) {
            0..3 => steps.push(Step::MoveDirectory { from: random.below(1000), to: random.below(1000) }),
            3..5 => steps.extend(crowded::crowd(random.below(1000), random.below(1000))),
            5 => steps.push(Step::Fill { file: random.below(1000), syncs: random.below(2) == 0 }),
            6..9 => steps.push(Step::AppendDurably { file: random.below(1000), length: random.below(20_000) + 1 }),
            _ => steps.push(step(random)),
        }
    }
    steps
}

fn step(random: &mut Random) -> Step {
    let (name, file) = (random.below(1000), random.below(1000));
    let length = match random.below(10) {
        0 => 300_000 + random.below(200_000),
        1..4 => random.below(60_000) + 1,
        _ => random.below(6_000) + 1,
    };
    match random.below(100) {
        0..16 => Step::Make { name },
        16..20 => Step::MakeDirectory { name },
        20..23 => Step::Link { of: file, name },
        23..26 => Step::Symlink { name },
        26..40 => Step::Write { file, offset: random.below(100_000), length },
        40..56 => Step::Append { file, length },
        56..62 => Step::Truncate { file, size: random.below(100_000) },
        62..64 => Step::Punch { file, offset: random.below(60_000), length },
        64..66 => Step::Allocate { file, length },
        66..68 => Step::Scatter { file, seed: random.below(1000) },
        68..74 => Step::Remove { name },
        74..84 => Step::Rename { from: file, to: name, exchange: random.below(5) == 0 },
        84..94 => Step::Sync { file, data_only: random.below(2) == 0 },
        94..96 => Step::SyncAll,
        96..99 => Step::Keep { keeps: random.below(3) > 0 },
        _ => Step::Remount,
    }
}

/// Kind of what is at a path. The permissions of a file are its number.
#[derive(Clone, Debug, PartialEq, Eq)]
pub enum Node {
    Directory,
    File(usize),
    Link(String),
}

pub type Tree = BTreeMap<String, Node>;

/// A step that was done.
struct Done {
    /// Names after it.
    tree: Tree,
    /// Writes and flushes of the disk after it.
    told: usize,
    /// Files that are durable with it, by number, with the count of their versions; and the step with durable names.
    durable: Vec<(usize, usize)>,
    names_of: usize,
}

/// History of a volume.
pub struct Model {
    tree: Tree,
    /// Versions of each file.
    files: Vec<Vec<Vec<u8>>>,
    /// Step that last changed a name of a file, or made a version: by file.
    named: Vec<usize>,
    versions_after: Vec<Vec<usize>>,
    done: Vec<Done>,
    /// First and last steps of the times at which the volume may be full.
    fills: Vec<(usize, usize)>,
    /// First step of such a time that is not over.
    filling: Option<usize>,
    written: u64,
    /// Files that are left open, by number.
    open: BTreeMap<usize, u32>,
    keeps: bool,
}

impl Model {
    pub fn new(tree: Tree, told: usize) -> Self {
        let first = Done { tree: tree.clone(), told, durable: Vec::new(), names_of: 0 };
        Self {
            tree,
            files: Vec::new(),
            named: Vec::new(),
            versions_after: Vec::new(),
            done: vec![first],
            fills: Vec::new(),
            filling: None,
            written: 0,
            open: BTreeMap::new(),
            keeps: true,
        }
    }

    /// Bytes that no other write has.
    fn bytes(&mut self, length: usize) -> Vec<u8> {
        self.written += 1;
        let mut random = Random::new(self.written);
        let mut bytes = Vec::with_capacity(length + 8);
        while bytes.len() < length {
            // No zeros: those stand for holes.
            bytes.extend((random.next() | 0x0101_0101_0101_0101).to_ne_bytes());
        }
        bytes.truncate(length);
        bytes
    }

    fn paths(&self, is_wanted: impl Fn(&Node) -> bool) -> Vec<String> {
        self.tree.iter().filter(|(_, node)| is_wanted(node)).map(|(path, _)| path.clone()).collect()
    }

    fn file(&self, number: usize) -> Option<(String, usize)> {
        let files = self.paths(|node| matches!(node, Node::File(_)));
        let path = files.get(number % files.len().max(1))?;
        match self.tree[path] {
            Node::File(file) => Some((path.clone(), file)),
            _ => None,
        }
    }

    /// A path that is not there.
    fn free(&self, name: usize) -> Option<String> {
        let directories = self.paths(|node| *node == Node::Directory);
        let directory = match name % (directories.len() + 1) {
            0 => String::new(),
            number => format!("{}/", directories[number - 1]),
        };
        let path = format!("{directory}n{}", name % 17);
        (!self.tree.contains_key(&path) && path.matches('/').count() < 4).then_some(path)
    }

    fn version(&mut self, file: usize, change: impl FnOnce(&mut Vec<u8>)) {
        let mut bytes = self.files[file].last().cloned().unwrap_or_default();
        change(&mut bytes);
        self.files[file].push(bytes);
    }

    /// Does a step, on the volume too. Every step that the model can do must succeed there.
    pub fn run<D: Disk + Clone>(&mut self, step: &Step, guest: &mut Guest<D>, disk: &D, told: impl Fn() -> usize) {
        let index = self.done.len();
        let mut durable = Vec::new();
        let mut names_of = 0;
        self.change(step, guest, index);
        match step {
            Step::Sync { file, data_only } => {
                if let Some((path, file)) = self.file(*file) {
                    let handle = self.handle(guest, &path, file);
                    guest.sync(handle, *data_only).expect("the disk works");
                    self.release(guest, file, handle);
                    durable.push((file, self.files[file].len()));
                    names_of = self.named[file];
                }
            }
            Step::AppendDurably { file, length } => {
                if let Some(file) = self.append_durably(guest, *file, *length) {
                    durable.push((file, self.files[file].len()));
                    names_of = self.named[file];
                }
            }
            Step::SyncAll => {
                guest.now_ns += 20_000_000_000;
                guest.volume.write_back(guest.now_ns);
                guest.now_ns += 20_000_000_000;
                guest.volume.write_back(guest.now_ns);
            }
            Step::Keep { keeps } => {
                self.keeps = *keeps;
                if !keeps {
                    std::mem::take(&mut self.open)
                        .into_values()
                        .for_each(|handle| guest.close(handle).expect("it is open"));
                }
            }
            Step::Remount => {
                self.open.clear();
                guest.volume.unmount().expect("it is unmounted");
                let now_ns = guest.now_ns;
                *guest = Guest::mount(disk.clone());
                guest.now_ns = now_ns;
            }
            _ => {}
        }
        if matches!(step, Step::SyncAll | Step::Remount) {
            durable = self.files.iter().map(Vec::len).enumerate().collect();
            names_of = index;
        }
        if matches!(step, Step::Fill { syncs: true, .. } | Step::SyncAll | Step::Remount)
            && let Some(first) = self.filling.take()
        {
            self.fills.push((first, index));
        }
        self.versions_after.push(self.files.iter().map(Vec::len).collect());
        self.done.push(Done { tree: self.tree.clone(), told: told(), durable, names_of });
    }

    fn change<D: Disk>(&mut self, step: &Step, guest: &mut Guest<D>, index: usize) {
        match step {
            Step::Make { name } => {
                let Some(path) = self.free(*name).filter(|_| self.files.len() < 511) else { return };
                let request = Request {
                    handle: ROOT,
                    flags: CREATE | EXCLUSIVE | RDWR,
                    mode: self.files.len() as u32 + 1,
                    ..Request::default()
                };
                let mut none = super::Bytes { bytes: Vec::new(), is_whole: true };
                let answer = guest.ask(OPEN, request, [&path, ""], &mut none).expect("room");
                guest.close(answer.handle).expect("it is open");
                self.tree.insert(path, Node::File(self.files.len()));
                self.files.push(vec![Vec::new()]);
                self.named.push(index);
            }
            Step::MakeDirectory { name } => {
                let Some(path) = self.free(*name) else { return };
                guest.mkdir(&path).expect("room");
                self.tree.insert(path, Node::Directory);
            }
            Step::Link { of, name } => {
                let (Some((path, file)), Some(new)) = (self.file(*of), self.free(*name)) else { return };
                guest.named(LINK, &path, &new, 0).expect("room");
                self.tree.insert(new, Node::File(file));
                self.named[file] = index;
            }
            Step::Symlink { name } => {
                let Some(path) = self.free(*name) else { return };
                let target = "target/".repeat(1 + name % 30);
                guest.named(SYMLINK, &path, &target, 0).expect("room");
                self.tree.insert(path, Node::Link(target));
            }
            Step::Write { file, offset, length } => self.write(guest, *file, Some(*offset), *length, index),
            Step::Append { file, length } => self.write(guest, *file, None, *length, index),
            Step::Truncate { file, size } => {
                let Some((path, file)) = self.file(*file) else { return };
                // Now and then by opening.
                if size.is_multiple_of(5) {
                    let handle = guest.open(&path, RDWR | TRUNCATE).expect("it is there");
                    guest.close(handle).expect("it is open");
                    self.version(file, Vec::clear);
                } else {
                    guest.truncate(&path, *size as u64).expect("it is there");
                    self.version(file, |bytes| bytes.resize(*size, 0));
                }
            }
            Step::Punch { file, offset, length } => {
                let Some((path, file)) = self.file(*file) else { return };
                self.allocate(guest, &path, (3, *offset, *length));
                self.version(file, |bytes| {
                    let end = (offset + length).min(bytes.len());
                    bytes[(*offset).min(end)..end].fill(0);
                });
            }
            Step::Allocate { file, length } => {
                let Some((path, file)) = self.file(*file) else { return };
                self.allocate(guest, &path, (0, 0, *length));
                self.version(file, |bytes| bytes.resize(bytes.len().max(*length), 0));
            }
            Step::Scatter { file, seed } => self.scatter(guest, *file, *seed),
            Step::Remove { name } => self.remove(guest, *name),
            Step::Rename { from, to, exchange } => self.rename(guest, *from, *to, *exchange, index),
            Step::MoveDirectory { from, to } => self.move_directory(guest, *from, *to),
            Step::Crowd { directory, name } => self.long_name(guest, *directory, *name),
            Step::Fill { file, syncs } => {
                self.filling.get_or_insert(index);
                self.fill(guest, *file, *syncs);
            }
            Step::Sync { .. } | Step::SyncAll | Step::AppendDurably { .. } | Step::Keep { .. } | Step::Remount => {}
        }
    }

    fn allocate<D: Disk>(&self, guest: &mut Guest<D>, path: &str, (flags, offset, count): (u32, usize, usize)) {
        let handle = guest.open(path, RDWR).expect("it is there");
        let request = Request { handle, flags, offset: offset as u64, count: count as u64, ..Request::default() };
        let result = guest.on_handle(ALLOCATE, request);
        guest.close(handle).expect("it is open");
        result.expect("room");
    }

    fn write<D: Disk>(
        &mut self,
        guest: &mut Guest<D>,
        file: usize,
        offset: Option<usize>,
        length: usize,
        index: usize,
    ) {
        let Some((path, file)) = self.file(file) else { return };
        let size = self.files[file].last().map_or(0, Vec::len);
        let used: usize = self.files.iter().filter_map(|versions| versions.last()).map(Vec::len).sum();
        if used > 2 << 20 || size > 600_000 {
            return;
        }
        let _ = index;
        let (bytes, offset) = (self.bytes(length), offset.unwrap_or(size));
        let handle = self.handle(guest, &path, file);
        assert_eq!(guest.write_at(handle, offset as u64, &bytes), Ok(length as u64), "{path}");
        self.release(guest, file, handle);
        self.version(file, |contents| {
            contents.resize(contents.len().max(offset + length), 0);
            contents[offset..offset + length].copy_from_slice(&bytes);
        });
    }

    /// The handle of a file, which may be left open.
    fn handle<D: Disk>(&mut self, guest: &mut Guest<D>, path: &str, file: usize) -> u32 {
        match self.open.get(&file) {
            Some(handle) => *handle,
            None => guest.open(path, RDWR).expect("it is there"),
        }
    }

    fn release<D: Disk>(&mut self, guest: &mut Guest<D>, file: usize, handle: u32) {
        if self.keeps {
            self.open.insert(file, handle);
        } else {
            self.open.remove(&file);
            guest.close(handle).expect("it is open");
        }
    }

    /// Writes here and there in space that is allocated, which splits its extents.
    fn scatter<D: Disk>(&mut self, guest: &mut Guest<D>, file: usize, seed: usize) {
        const LENGTH: usize = 150_000;
        let Some((path, file)) = self.file(file) else { return };
        self.allocate(guest, &path, (0, 0, LENGTH));
        self.version(file, |bytes| bytes.resize(bytes.len().max(LENGTH), 0));
        let mut random = Random::new(seed as u64);
        let handle = guest.open(&path, RDWR).expect("it is there");
        for _ in 0..30 {
            let (offset, bytes) = (random.below(LENGTH - 500), self.bytes(500));
            assert_eq!(guest.write_at(handle, offset as u64, &bytes), Ok(500), "{path}");
            self.version(file, |contents| contents[offset..offset + 500].copy_from_slice(&bytes));
        }
        guest.close(handle).expect("it is open");
    }

    fn remove<D: Disk>(&mut self, guest: &mut Guest<D>, name: usize) {
        let paths = self.paths(|_| true);
        let Some(path) = paths.get(name % paths.len().max(1)) else { return };
        let is_directory = self.tree[path] == Node::Directory;
        if is_directory && paths.iter().any(|other| other.starts_with(&format!("{path}/"))) {
            return;
        }
        guest.named(if is_directory { REMOVE_DIRECTORY } else { UNLINK }, path, "", 0).expect("it is there");
        self.tree.remove(path);
    }

    fn rename<D: Disk>(&mut self, guest: &mut Guest<D>, from: usize, to: usize, exchange: bool, index: usize) {
        let paths = self.paths(|node| *node != Node::Directory);
        let Some(old) = paths.get(from % paths.len().max(1)).cloned() else { return };
        let new = match (exchange || to.is_multiple_of(3), self.free(to)) {
            (false, Some(path)) => path,
            _ => paths[to % paths.len()].clone(),
        };
        guest.named(RENAME, &old, &new, if exchange { 2 } else { 0 }).expect("both are there");
        let (moved, there) = (self.tree[&old].clone(), self.tree.get(&new).cloned());
        if moved != Node::Directory && there.as_ref() == Some(&moved) && matches!(moved, Node::File(_)) {
            // Two names of one file: nothing happens.
            return;
        }
        for node in [Some(&moved), there.as_ref()].into_iter().flatten() {
            if let Node::File(file) = node {
                self.named[*file] = index;
            }
        }
        if old == new {
            return;
        }
        self.tree.remove(&old);
        self.tree.insert(new, moved);
        if let Some(there) = there.filter(|_| exchange) {
            self.tree.insert(old, there);
        }
    }

    /// Compares a volume after a crash, at a number of writes and flushes, with what may be left.
    pub fn check<D: Disk>(&self, guest: &mut Guest<D>, told: usize) -> Result<(), String> {
        // The step during which the crash was.
        let last = self.done.iter().position(|done| done.told > told).unwrap_or(self.done.len() - 1);
        let complete = || self.done.iter().take_while(|done| done.told <= told);
        let first = complete().map(|done| done.names_of).max().unwrap_or(0);
        let found = tree_of(guest, "")?;
        if !self.done[first..=last].iter().any(|done| done.tree == found) {
            let near = &self.done[last].tree;
            return Err(format!(
                "names are those of no moment between steps {first} and {last}: {found:?}\nat last: {near:?}"
            ));
        }
        let mut durable = vec![1; self.files.len()];
        complete().flat_map(|done| &done.durable).for_each(|(file, count)| durable[*file] = *count);
        for (path, node) in &found {
            let Node::File(file) = node else { continue };
            // A file that was made in the step of the crash has its first version then.
            let until =
                self.versions_after.get(last.max(1) - 1).and_then(|counts| counts.get(*file)).copied().unwrap_or(1);
            let versions = &self.files[*file][durable[*file] - 1..until.max(durable[*file])];
            let bytes = guest.get(path).map_err(|error| format!("{path}: error {error}"))?;
            compare(&bytes, versions, self.is_filling(told))
                .map_err(|error| format!("{path} (file {file}): {error}"))?;
        }
        Ok(())
    }
}

/// Fails if contents are not made of versions.
fn compare(bytes: &[u8], versions: &[Vec<u8>], is_filling: bool) -> Result<(), String> {
    // What does not fit as a whole is carried out in pieces, with a commit between them.
    let between = |pair: &[Vec<u8>]| is_filling && (pair[0].len()..pair[1].len()).contains(&bytes.len());
    if !versions.iter().any(|version| version.len() == bytes.len()) && !versions.windows(2).any(between) {
        let sizes: Vec<usize> = versions.iter().map(Vec::len).collect();
        return Err(format!("it has {} bytes, not one of {sizes:?}", bytes.len()));
    }
    if versions.iter().any(|version| version == bytes) {
        return Ok(());
    }
    for (at, byte) in bytes.iter().enumerate() {
        if !versions.iter().any(|version| version.get(at).copied().unwrap_or(0) == *byte) {
            return Err(format!("byte {at} of {} is {byte:#x}, which no one has written", bytes.len()));
        }
    }
    Ok(())
}

/// Names below a directory.
pub fn tree_of<D: Disk>(guest: &mut Guest<D>, directory: &str) -> Result<Tree, String> {
    let mut tree = Tree::new();
    let about = |path: &str, error| format!("{path}: error {error}");
    let names =
        guest.list(if directory.is_empty() { "." } else { directory }).map_err(|error| about(directory, error))?;
    for name in names.into_iter().filter(|name| name != "lost+found") {
        let path = if directory.is_empty() { name } else { format!("{directory}/{name}") };
        let attributes = guest.stat(&path).map_err(|error| about(&path, error))?;
        let node = match attributes.mode >> 12 {
            4 => {
                tree.append(&mut tree_of(guest, &path)?);
                Node::Directory
            }
            10 => Node::Link(guest.read_link(&path).map_err(|error| about(&path, error))?),
            _ => Node::File((attributes.mode as usize & 0o777).wrapping_sub(1)),
        };
        tree.insert(path, node);
    }
    Ok(tree)
}

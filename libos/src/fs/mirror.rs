//! Contents of a volume's file that is mapped with MAP_SHARED.
//!
//! The disk is the guest's alone, so that a window ([`super::shared`]) can stand for the file: its pages that are mapped are read when
//! they are mapped ([`Mirror::next`]), and from then on hold what the file does. Each request about the file passes by here when it is
//! completed, in the order in which the volume has carried them out ([`Mirror::completed`]): writes and truncations are made in the
//! window, too, and a read gets what is newer there.
//!
//! Newer is what the program has stored through a mapping. There is no fault that could say so, so a page that may be written to has a
//! digest of what the volume has of it ([`crate::memory::digest`]); pages that differ are written back ([`Mirror::collect`]).

mod changes;

use super::buffers::Buffers;
use super::data::PAGE;
use super::folder::{FolderFile, Memory};
use super::shared::Shared;
use super::steps::Steps;
use crate::errno::Errno;
use crate::memory::digest::{Digest, Key};
use crate::memory::window::Window;
use crate::user::Slice;
use alloc::sync::Arc;
use alloc::vec::Vec;
use core::ops::Range;
use husk::abi::folder::{ALLOCATE, Answer, Flags, OPEN, READ, Request, SEEK, SET, STAT, WRITE};
use husk::abi::memory::{Region, Rights};
use linux_raw_sys::general as linux;
use spin::Mutex;

/// The contents, as those share them that map the file and those that make requests about it.
pub type Mirrored = Arc<Mutex<Mirror>>;

/// Pages of one request to read contents.
const READ_MAXIMUM: u64 = 256;
/// Bytes that are copied at once.
const COPIED: u64 = 64 << 10;
/// Least length of a window, addresses per byte of the file, and the most that it gets beyond what it needs.
const LEAST: u64 = 4 << 20;
const GROWTH: u64 = 8;
const GROWTH_MOST: u64 = 1 << 30;
const READ_WRITE: Rights = Rights::READ.union(Rights::WRITE);
/// Error that says that there is no data up to the end.
const ENXIO: u32 = linux_raw_sys::errno::ENXIO;

/// Contents of a mapped file.
#[derive(Debug)]
pub struct Mirror {
    /// Number of the volume among all devices.
    pub folder: u32,
    /// Inode number.
    pub number: u64,
    /// Window of the file, from the first mapping on. It holds the pages that are mapped.
    pub shared: Option<Shared>,
    /// The file, open for writing, if it is mapped so.
    pub writer: Option<FolderFile>,
    /// Size of the file; `None` before the first answer with it.
    size: Option<u64>,
    /// Pages that are being read.
    reading: Option<Range<u64>>,
    /// Page that begins with data, as the last search for data has found.
    data: u64,
    /// 1 for the pages with a digest.
    tracked: Steps,
    /// Digests of pages as the volume has them; those of pages behind are that of zeros.
    digests: Vec<Digest>,
    zeros: Digest,
    key: Arc<Key>,
}

/// Step on the way to contents of pages that are mapped.
#[derive(Clone, Debug, PartialEq, Eq)]
pub enum Next {
    /// All is there.
    Ready,
    /// Another call is reading: to be asked again.
    Wait,
    /// A search for data from this byte on.
    Seek(u64),
    /// A read of these pages.
    Read(Range<u64>),
}

impl Mirror {
    /// Returns the contents of this file, which is not mapped.
    pub fn new(file: FolderFile, key: Arc<Key>) -> Self {
        let zeros = changes::shown(key.digest(&[0; PAGE as usize]));
        Self {
            folder: file.folder,
            number: file.number,
            shared: None,
            writer: None,
            size: None,
            reading: None,
            data: u64::MAX,
            tracked: Steps::default(),
            digests: Vec::new(),
            zeros,
            key,
        }
    }

    /// Makes room for these pages in the window, and returns where that is; for more, if the file `may_grow`. ENOMEM if there is none.
    pub fn hold(&mut self, pages: Range<u64>, may_grow: bool) -> Result<Region, Errno> {
        let size = self.size.ok_or(Errno::EIO)?;
        let needed = pages.end.checked_mul(PAGE).ok_or(Errno::ENOMEM)?;
        let wanted = size.saturating_mul(GROWTH).min(size.saturating_add(GROWTH_MOST)).max(LEAST);
        let lengths = [if may_grow { wanted.max(needed) } else { needed }, needed];
        let shared = match &mut self.shared {
            Some(shared) => shared,
            None => self.shared.insert(Shared::new(Window::reserve(lengths)?)),
        };
        let window = &mut shared.window;
        if window.place().length < needed && !lengths.iter().any(|length| window.extend(*length).is_ok()) {
            return Err(Errno::ENOMEM);
        }
        // Bytes that the program stores behind the end are not of the file.
        shared.held.change(pages.start.max(size.div_ceil(PAGE))..pages.end, |_| 1)?;
        Ok(shared.window.place())
    }

    /// The next step on the way to the contents of these pages.
    pub fn next(&self, pages: Range<u64>) -> Next {
        let (Some(shared), Some(size)) = (&self.shared, self.size) else { return Next::Ready };
        let pages = pages.start..pages.end.min(size.div_ceil(PAGE));
        let Some((run, _)) = shared.held.runs(pages).find(|(_, held)| *held == 0) else { return Next::Ready };
        match &self.reading {
            Some(_) => Next::Wait,
            None if self.data == run.start => Next::Read(run.start..run.end.min(run.start + READ_MAXIMUM)),
            None => Next::Seek(run.start * PAGE),
        }
    }

    /// Memory for the contents of these pages, into which they are about to be read.
    pub fn read_into(&mut self, pages: Range<u64>) -> Result<Slice, Errno> {
        let shared = self.shared.as_mut().ok_or(Errno::EIO)?;
        shared.window.charge(pages.end - pages.start)?;
        let (at, length) = (pages.start * PAGE, (pages.end - pages.start) * PAGE);
        // The volume writes to pages that are mapped read-only, too.
        shared.window.part(at, length, READ_WRITE);
        let start = shared.window.place().start + at;
        self.reading = Some(pages);
        Ok(Slice::new(start, length))
    }

    /// Notes that a read that was announced is not made.
    pub fn read_not(&mut self) {
        self.reading = None;
    }

    /// Takes note of a request about the file that the volume has carried out; `data` is that of the request.
    pub fn completed(
        &mut self,
        operation: u16,
        request: &Request,
        answer: &Answer,
        data: &mut Memory,
    ) -> Result<(), Errno> {
        let is_done = answer.error == 0;
        match operation {
            READ if matches!(data, Memory::Window(_)) => {
                let pages = self.reading.take().filter(|_| is_done);
                if let (Some(pages), Some(shared)) = (pages, &mut self.shared) {
                    shared.held.change(pages, |_| 1)?;
                }
            }
            SEEK if request.flags == linux::SEEK_DATA && (is_done || answer.error == ENXIO) => {
                let end = if is_done { answer.position } else { self.size.unwrap_or(0).next_multiple_of(PAGE) };
                self.data = if is_done { end / PAGE } else { u64::MAX };
                if let Some(shared) = &mut self.shared {
                    // Also those between mappings: no one has written to them.
                    let window = shared.window.place().length / PAGE;
                    let zeros = request.offset.div_ceil(PAGE)..(end / PAGE).min(window);
                    shared.held.change(zeros, |_| 1)?;
                }
            }
            _ if !is_done => {}
            STAT => self.size = self.size.or(Some(answer.attributes.size)),
            READ => self.show(request.offset, answer.count, data)?,
            WRITE => self.written(answer.position - answer.count.min(answer.position), data.bytes(), answer.count),
            SET if request.flags & Flags::SIZE.bits() != 0 => self.resized(request.count),
            OPEN if request.flags & linux::O_TRUNC != 0 => self.resized(0),
            ALLOCATE => self.allocated(request),
            _ => {}
        }
        Ok(())
    }

    /// Replaces what has been read from byte `offset` of the file on by what is newer.
    fn show(&self, offset: u64, count: u64, data: &mut Memory) -> Result<(), Errno> {
        let Some(shared) = &self.shared else { return Ok(()) };
        let end = offset.saturating_add(count);
        let mut at = offset;
        while at < end {
            match shared.at(at, end) {
                Err(next) => at = next,
                Ok(bytes) => {
                    let bytes = bytes.first(COPIED);
                    let mut copy = Vec::new();
                    copy.try_reserve_exact(bytes.length() as usize).map_err(|_| Errno::ENOMEM)?;
                    bytes.append_to(&mut copy);
                    match data {
                        Memory::Program(slices) => {
                            Buffers::new(slices, 0).scatter(at - offset, &copy)?;
                        }
                        Memory::Own(own) => {
                            let into = own.iter_mut().skip((at - offset) as usize);
                            into.zip(&copy).for_each(|(to, from)| *to = *from);
                        }
                        Memory::Window(_) => {}
                    }
                    at += bytes.length();
                }
            }
        }
        Ok(())
    }

    /// Makes a write in the window, too.
    fn written(&mut self, offset: u64, bytes: &[u8], count: u64) {
        self.grown(offset.saturating_add(count));
        let Some(shared) = &mut self.shared else { return };
        let bytes = bytes.get(..count as usize).unwrap_or(bytes);
        let end = offset.saturating_add(bytes.len() as u64);
        let mut at = offset;
        while at < end {
            match shared.at(at, end) {
                Err(next) => at = next,
                Ok(part) => {
                    let from = bytes.get((at - offset) as usize..).unwrap_or_default();
                    let from = from.get(..part.length() as usize).unwrap_or(from);
                    shared.store(at, from);
                    at += part.length();
                }
            }
        }
    }

    /// Notes that the file has at least this size.
    fn grown(&mut self, size: u64) {
        let before = self.size.unwrap_or(u64::MAX);
        if size > before {
            self.zero(before, size);
            self.size = Some(size);
        }
    }

    fn resized(&mut self, size: u64) {
        let before = self.size.unwrap_or(size);
        self.zero(before.min(size), before.max(size));
        self.size = self.size.map(|_| size);
    }

    fn allocated(&mut self, request: &Request) {
        let end = request.offset.saturating_add(request.count);
        if request.flags & (linux::FALLOC_FL_PUNCH_HOLE | linux::FALLOC_FL_ZERO_RANGE) != 0 {
            self.zero(request.offset, end);
        }
        if request.flags & linux::FALLOC_FL_KEEP_SIZE == 0 {
            self.grown(end);
        }
    }

    /// Zeroes bytes that the volume has as zeros.
    fn zero(&mut self, start: u64, end: u64) {
        if let Some(shared) = &mut self.shared {
            shared.zero(start, end);
        }
        let whole = start.div_ceil(PAGE) as usize..(end / PAGE) as usize;
        let (first, last) = (whole.start.min(self.digests.len()), whole.end.min(self.digests.len()));
        self.digests.get_mut(first..last).unwrap_or_default().fill(self.zeros);
    }

    /// Gives a mapping of these pages its rights; with `others`, some of them have other mappings.
    pub fn grant(&mut self, pages: Range<u64>, rights: Rights, others: bool) -> Result<(), Errno> {
        if rights.contains(Rights::WRITE) {
            self.track(pages.clone())?;
        }
        let shared = self.shared.as_mut().ok_or(Errno::EIO)?;
        // The volume writes to the window.
        let rights = if self.reading.is_some() { READ_WRITE } else { rights };
        shared.grant(pages, rights, others)
    }

    /// Drops pages that are not mapped any more, and have been written back.
    pub fn release(&mut self, pages: Range<u64>) {
        let Some(shared) = &mut self.shared else { return };
        // Without memory for the list, they stay.
        let (Ok(held), Ok(tracked)) =
            (shared.held.changed(pages.clone(), |_| 0), self.tracked.changed(pages.clone(), |_| 0))
        else {
            return;
        };
        let (at, length) = (pages.start * PAGE, (pages.end - pages.start) * PAGE);
        if shared.window.clear(at, length).is_ok() {
            (shared.held, self.tracked) = (held, tracked);
            let pages = pages.start as usize..pages.end as usize;
            let (first, last) = (pages.start.min(self.digests.len()), pages.end.min(self.digests.len()));
            self.digests.get_mut(first..last).unwrap_or_default().fill(self.zeros);
        }
    }
}

#[cfg(test)]
mod tests {
    use super::*;
    use husk::abi::folder::Attributes;

    const FILE: FolderFile = FolderFile { folder: 1, handle: 2, number: 3, format: linux::S_IFREG, changes: true };

    fn mirror(size: u64) -> Mirror {
        let mut mirror = Mirror::new(FILE, Arc::new(Key::new(|bytes| bytes.fill(7))));
        let attributes = Attributes { size, ..Attributes::default() };
        done(
            &mut mirror,
            STAT,
            Request::default(),
            Answer { attributes, ..Answer::default() },
            Memory::Own(Vec::new()),
        );
        mirror
    }

    fn done(mirror: &mut Mirror, operation: u16, request: Request, answer: Answer, mut data: Memory) -> Memory {
        mirror.completed(operation, &request, &answer, &mut data).expect("memory");
        data
    }

    /// Answers a search for data, which begins at this byte.
    fn found(mirror: &mut Mirror, offset: u64, position: u64) {
        let request = Request { offset, flags: linux::SEEK_DATA, ..Request::default() };
        done(mirror, SEEK, request, Answer { position, ..Answer::default() }, Memory::Own(Vec::new()));
    }

    fn write(mirror: &mut Mirror, offset: u64, bytes: &[u8]) {
        let (count, position) = (bytes.len() as u64, offset + bytes.len() as u64);
        done(
            mirror,
            WRITE,
            Request::default(),
            Answer { count, position, ..Answer::default() },
            Memory::Own(bytes.into()),
        );
    }

    fn read(mirror: &mut Mirror, offset: u64, bytes: &[u8]) -> Vec<u8> {
        let answer = Answer { count: bytes.len() as u64, ..Answer::default() };
        let request = Request { offset, ..Request::default() };
        done(mirror, READ, request, answer, Memory::Own(bytes.into())).bytes().into()
    }

    /// Stores as the program does.
    fn store(mirror: &mut Mirror, at: u64, bytes: &[u8]) {
        mirror.shared.as_ref().expect("mapped").window.part(at, bytes.len() as u64, READ_WRITE).fill(bytes);
    }

    #[test]
    fn pages_are_read_where_there_is_data() {
        let mut mirror = mirror(600 * PAGE);
        mirror.hold(0..700, false).expect("room");
        assert_eq!(mirror.next(0..700), Next::Seek(0));
        found(&mut mirror, 0, 10 * PAGE + 5);
        assert_eq!(mirror.next(0..700), Next::Read(10..266));
        let slice = mirror.read_into(10..266).expect("memory");
        assert_eq!(mirror.next(0..700), Next::Wait);
        assert_eq!(mirror.next(0..10), Next::Ready);
        done(&mut mirror, READ, Request::default(), Answer::default(), Memory::Window(slice));
        assert_eq!(mirror.next(0..700), Next::Seek(266 * PAGE));
        let request = Request { offset: 266 * PAGE, flags: linux::SEEK_DATA, ..Request::default() };
        done(&mut mirror, SEEK, request, Answer { error: ENXIO, ..Answer::default() }, Memory::Own(Vec::new()));
        assert_eq!(mirror.next(0..700), Next::Ready);
    }

    #[test]
    fn requests_and_stores_see_each_other_and_stores_are_found() {
        let mut mirror = mirror(3 * PAGE);
        mirror.hold(0..8, true).expect("room");
        found(&mut mirror, 0, 3 * PAGE);
        mirror.grant(0..8, READ_WRITE, false).expect("rights");
        assert_eq!(mirror.collect(0), Ok((vec![], None)));
        store(&mut mirror, PAGE + 1, b"ab");
        assert_eq!(read(&mut mirror, PAGE - 1, b"....."), *b"\0\0ab\0");
        let mut page = vec![0; PAGE as usize];
        page[1..3].copy_from_slice(b"ab");
        assert_eq!(mirror.collect(0), Ok((vec![(1, page.clone())], None)));
        assert_eq!(mirror.collect(0), Ok((vec![], None)));
        mirror.lost_all(1..2);
        assert_eq!(mirror.collect(0), Ok((vec![(1, page)], None)));
        // Behind the end, and then part of the file.
        store(&mut mirror, 3 * PAGE, b"lost");
        assert_eq!(mirror.collect(0), Ok((vec![], None)));
        write(&mut mirror, 4 * PAGE, b"end");
        assert_eq!(read(&mut mirror, 3 * PAGE, b"...."), [0; 4]);
        assert_eq!(read(&mut mirror, 4 * PAGE - 1, b"...."), *b"\0end");
        let request = Request { flags: Flags::SIZE.bits(), count: 1, ..Request::default() };
        done(&mut mirror, SET, request, Answer::default(), Memory::Own(Vec::new()));
        write(&mut mirror, PAGE + 8, b"x");
        assert_eq!(read(&mut mirror, PAGE, b"........."), *b"\0\0\0\0\0\0\0\0x");
        mirror.release(0..8);
        assert_eq!(read(&mut mirror, 4 * PAGE, b"..."), *b"...");
    }
}

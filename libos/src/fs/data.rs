//! Contents of a regular file: sparse, in pages that hold only what was written.
//!
//! A page is a vector of at most [`PAGE`] bytes; bytes beyond its length read as zeros. So no bytes are zeroed just before they
//! are overwritten, truncation within a page drops bytes instead of clearing them, and a small file takes little memory. Pages
//! are grouped in segments; a segment without any page does not exist, so holes cost nothing.
//!
//! A file of the image starts as bytes of the image, which show wherever there is no page: a write to a page copies them first.
//!
//! Invariant: neither a page nor the image holds bytes at or beyond the size of the file.
//!
//! Pages that have been mapped with MAP_SHARED are elsewhere: see [`super::shared`].

use super::quota::Quota;
use super::shared::Shared;
use super::source::Source;
use crate::errno::Errno;
use crate::memory::window::Bytes;
use crate::user::Slice;
use alloc::boxed::Box;
use alloc::vec::Vec;

/// Bytes in a page.
pub const PAGE: u64 = 4096;
/// Pages in a segment.
pub(super) const SEGMENT: u64 = 64;
/// Smallest allocation of the first write to a page, in bytes.
const PAGE_LEAST: usize = 256;
/// Largest size of a file.
pub const SIZE_MAXIMUM: u64 = i64::MAX as u64;

/// Contents of a file from some offset on.
#[derive(Debug, PartialEq, Eq)]
pub enum Run<'a> {
    /// Bytes.
    Bytes(&'a [u8]),
    /// Zeros; their number is at least one.
    Zeros(u64),
    /// Bytes that the program can map.
    Mapped(Bytes),
    /// End of the file.
    End,
}

pub(super) type Page = Vec<u8>;

#[derive(Debug)]
pub(super) struct Segment {
    /// Offset of the first byte, in segments.
    pub(super) index: u64,
    /// Pages from there on; an empty vector without capacity is a hole, one with capacity is an allocated page.
    pub(super) pages: Vec<Page>,
}

/// Memory in which shared mappings show the contents.
#[derive(Debug, Default)]
pub enum Shown {
    /// There are none, and never were.
    #[default]
    Nowhere,
    /// The image, which the file does not differ from.
    Image,
    /// A window of the file.
    Window(Box<Shared>),
}

/// Contents of a file.
#[derive(Debug, Default)]
pub struct Data {
    size: u64,
    /// Pages with capacity.
    pub(super) pages: u64,
    /// By ascending index.
    pub(super) segments: Vec<Segment>,
    /// Bytes from the start of the file that show where there is no page.
    image: &'static [u8],
    pub(super) shown: Shown,
}

impl Data {
    /// Returns contents that start as these bytes of the image.
    pub fn of_image(image: &'static [u8]) -> Self {
        Self { size: image.len() as u64, image, ..Self::default() }
    }

    /// Size in bytes.
    pub fn size(&self) -> u64 {
        self.size
    }

    /// Pages of memory that the contents take.
    pub fn pages(&self) -> u64 {
        self.pages
    }

    /// Pages that are not holes, in memory or in the image.
    pub fn full_pages(&self) -> u64 {
        if self.image.is_empty() { self.pages } else { self.size.div_ceil(PAGE) }
    }

    /// The whole contents, if they are in the image and have not been changed.
    pub fn unchanged(&self) -> Option<&'static [u8]> {
        let same = self.segments.is_empty() && self.image.len() as u64 == self.size;
        (same && !matches!(self.shown, Shown::Window(_))).then_some(self.image)
    }

    /// ETXTBSY if shared mappings show the image instead of the file, so that it must stay as it is.
    pub fn check_changeable(&self) -> Result<(), Errno> {
        if matches!(self.shown, Shown::Image) { Err(Errno::ETXTBSY) } else { Ok(()) }
    }

    /// Contents from `offset` on.
    pub fn run(&self, offset: u64) -> Run<'_> {
        if offset >= self.size {
            return Run::End;
        }
        match &self.shown {
            Shown::Window(shared) => self.run_beside(shared, offset),
            _ => self.run_apart(offset),
        }
    }

    /// The window of the file, if it has one.
    pub fn window(&mut self) -> Option<&mut Shared> {
        match &mut self.shown {
            Shown::Window(shared) => Some(shared),
            _ => None,
        }
    }

    /// Contents from `offset` on, in the window or up to it.
    pub(super) fn run_beside(&self, shared: &Shared, offset: u64) -> Run<'_> {
        let end = match shared.at(offset, self.size()) {
            Ok(bytes) => return Run::Mapped(bytes),
            Err(end) => end,
        };
        match self.run_apart(offset) {
            Run::Bytes(bytes) => Run::Bytes(bytes.get(..(end - offset) as usize).unwrap_or(bytes)),
            Run::Zeros(count) => Run::Zeros(count.min(end - offset)),
            run => run,
        }
    }

    /// Contents from `offset` on, which is less than the size, where they are not in the window.
    pub(super) fn run_apart(&self, offset: u64) -> Run<'_> {
        let (page, at) = (offset / PAGE, (offset % PAGE) as usize);
        let zeros_until = |end: u64| Run::Zeros(end.min(self.size) - offset);
        match self.find(page / SEGMENT) {
            Ok(found) => {
                let held = self.segments[found].pages.get((page % SEGMENT) as usize);
                match held.and_then(|held| held.get(at..)) {
                    Some(bytes) if !bytes.is_empty() => Run::Bytes(bytes),
                    _ if held.is_none_or(|held| held.capacity() == 0) && offset < self.image.len() as u64 => {
                        let end = self.image.len().min(((page + 1) * PAGE) as usize);
                        Run::Bytes(&self.image[offset as usize..end])
                    }
                    _ => zeros_until((page + 1) * PAGE),
                }
            }
            Err(next) if offset < self.image.len() as u64 => {
                let end = self.segments.get(next).map_or(u64::MAX, |next| next.index * SEGMENT * PAGE);
                Run::Bytes(&self.image[offset as usize..self.image.len().min(end as usize)])
            }
            Err(next) => match self.segments.get(next) {
                Some(next) => zeros_until(next.index * SEGMENT * PAGE),
                None => zeros_until(self.size),
            },
        }
    }

    /// Copies bytes at `offset` to the program; fewer than asked for only at the end.
    pub fn read(&self, offset: u64, into: Slice) -> Result<u64, Errno> {
        let wanted = into.length.min(self.size.saturating_sub(offset));
        let mut done = 0;
        while done < wanted {
            let rest = into.after(done).first(wanted - done);
            done += match self.run(offset + done) {
                Run::Bytes(bytes) => {
                    let part = bytes.get(..rest.length as usize).unwrap_or(bytes);
                    rest.copy_in(part)?;
                    part.len() as u64
                }
                Run::Zeros(count) => {
                    let part = rest.first(count);
                    part.zero()?;
                    part.length
                }
                Run::Mapped(bytes) => {
                    let part = bytes.first(rest.length);
                    part.copy_to(rest.first(part.length()))?;
                    part.length()
                }
                Run::End => break,
            };
        }
        Ok(done)
    }

    /// Replaces the contents of `into` by up to `count` bytes from `offset` on, within one page; fewer only at the end.
    pub fn take(&self, offset: u64, count: usize, into: &mut Vec<u8>) {
        into.clear();
        while into.len() < count {
            let wanted = count - into.len();
            match self.run(offset + into.len() as u64) {
                Run::Bytes(bytes) => into.extend_from_slice(bytes.get(..wanted).unwrap_or(bytes)),
                Run::Zeros(zeros) => into.resize(into.len() + wanted.min(zeros as usize), 0),
                Run::Mapped(bytes) => bytes.first(wanted as u64).append_to(into),
                Run::End => break,
            }
        }
    }

    /// Writes all of `from` at `offset`, or as much as there is space for.
    pub fn write(&mut self, quota: &mut Quota, offset: u64, from: Source<'_>) -> Result<u64, Errno> {
        from.check()?;
        if from.length() > 0 && offset >= SIZE_MAXIMUM {
            return Err(Errno::EFBIG);
        }
        let from = from.first(SIZE_MAXIMUM.saturating_sub(offset));
        if !matches!(self.shown, Shown::Nowhere) {
            self.check_changeable()?;
            self.clear_between(self.size, if from.length() > 0 { offset } else { 0 });
        }
        let mut done = 0;
        while done < from.length() {
            let at = offset + done;
            let part = from.after(done).first(PAGE - at % PAGE);
            match self.write_page(quota, at, part) {
                Ok(()) => done += part.length(),
                Err(errno) if done == 0 => return Err(errno),
                Err(_) => break,
            }
            self.size = self.size.max(offset + done);
        }
        Ok(done)
    }

    /// Writes `from` at `offset`, all inside one page.
    fn write_page(&mut self, quota: &mut Quota, offset: u64, from: Source<'_>) -> Result<(), Errno> {
        let at = (offset % PAGE) as usize;
        if let Shown::Window(shared) = &mut self.shown
            && shared.holds(offset / PAGE)
        {
            self.pages += shared.charge(quota, offset / PAGE)?;
            return shared.write(offset, from);
        }
        let page = self.page(quota, offset / PAGE, at + from.length() as usize)?;
        if at > page.len() {
            page.resize(at, 0);
        }
        let overwritten = from.first((page.len() - at) as u64);
        let end = at + overwritten.length() as usize;
        overwritten.copy_to(&mut page[at..end])?;
        from.after(overwritten.length()).append_to(page)
    }

    /// Returns page number `page`, with room for `room` bytes.
    fn page(&mut self, quota: &mut Quota, page: u64, room: usize) -> Result<&mut Page, Errno> {
        let found = match self.find(page / SEGMENT) {
            Ok(found) => found,
            Err(next) => {
                self.segments.try_reserve(1).map_err(|_| Errno::ENOSPC)?;
                self.segments.insert(next, Segment { index: page / SEGMENT, pages: Vec::new() });
                next
            }
        };
        let pages = &mut self.segments[found].pages;
        let slot = (page % SEGMENT) as usize;
        if slot >= pages.len() {
            pages.try_reserve(slot + 1 - pages.len()).map_err(|_| Errno::ENOSPC)?;
            pages.resize_with(slot + 1, Vec::new);
        }
        let start = self.image.len().min((page * PAGE) as usize);
        let page = &mut pages[slot];
        let new = page.capacity() == 0;
        let end = if new { self.image.len().min(start + PAGE as usize) } else { start };
        let room = room.max(end - start);
        if room > page.capacity() {
            if new {
                quota.take(PAGE)?;
            }
            let capacity = room.max(PAGE_LEAST).next_power_of_two().min(PAGE as usize);
            if page.try_reserve_exact(capacity - page.len()).is_err() {
                quota.give(if new { PAGE } else { 0 });
                return Err(Errno::ENOSPC);
            }
            self.pages += u64::from(new);
            page.extend_from_slice(&self.image[start..end]);
        }
        Ok(page)
    }

    /// Copies the visible bytes of the image into pages, so that [`Data::discard`] can make a hole in them.
    pub fn take_over(&mut self, quota: &mut Quota) -> Result<(), Errno> {
        for page in 0..(self.image.len() as u64).div_ceil(PAGE) {
            if !self.window().is_some_and(|shared| shared.holds(page)) {
                self.page(quota, page, 1)?;
            }
        }
        self.image = &[];
        Ok(())
    }

    /// Makes the file `size` bytes long.
    pub fn set_size(&mut self, quota: &mut Quota, size: u64) {
        if size <= self.size {
            self.discard(quota, size, u64::MAX);
        }
        self.clear_between(self.size, size);
        self.size = size;
    }

    /// Zeroes bytes of the window that become part of the file: the program can write behind the end.
    fn clear_between(&mut self, start: u64, end: u64) {
        if start < end
            && let Some(shared) = self.window()
        {
            shared.zero(start, end);
        }
    }

    /// Zeroes the bytes from `start` to `end`, and frees the whole pages among them. Visible bytes of the image must have been
    /// copied by [`Data::take_over`], unless `end` lies behind them.
    pub fn discard(&mut self, quota: &mut Quota, start: u64, end: u64) {
        if start < self.image.len() as u64 {
            self.image = &self.image[..start as usize];
        }
        let size = self.size;
        let mut freed = self.window().map_or(0, |shared| shared.discard(start, end, size));
        let touched = self.segments.partition_point(|segment| segment.index < start / PAGE / SEGMENT);
        for segment in self.segments.iter_mut().skip(touched).take_while(|s| s.index * SEGMENT * PAGE < end) {
            for (slot, page) in segment.pages.iter_mut().enumerate() {
                let first = (segment.index * SEGMENT + slot as u64) * PAGE;
                let from = start.saturating_sub(first).min(PAGE) as usize;
                let to = end.saturating_sub(first).min(PAGE) as usize;
                if from == 0 && to == PAGE as usize {
                    freed += u64::from(page.capacity() > 0);
                    *page = Vec::new();
                } else if from < to && to >= page.len() {
                    page.truncate(from);
                } else if from < to {
                    page[from..to].fill(0);
                }
            }
        }
        if freed > 0 {
            self.segments.retain(|segment| segment.pages.iter().any(|page| page.capacity() > 0));
        }
        self.pages -= freed;
        quota.give(freed * PAGE);
    }

    /// Allocates the pages between `start` and `end`, so that writes there find space.
    pub fn allocate(&mut self, quota: &mut Quota, start: u64, end: u64) -> Result<(), Errno> {
        if (end - start) / PAGE > quota.free() / PAGE + self.pages {
            return Err(Errno::ENOSPC);
        }
        for page in start / PAGE..end.div_ceil(PAGE) {
            match &mut self.shown {
                Shown::Window(shared) if shared.holds(page) => self.pages += shared.charge(quota, page)?,
                _ => _ = self.page(quota, page, PAGE as usize)?,
            }
        }
        Ok(())
    }

    /// The first offset from `offset` on that holds data, if any.
    pub fn next_data(&self, mut offset: u64) -> Option<u64> {
        loop {
            match self.run_of_pages(offset) {
                Run::Bytes(_) | Run::Mapped(_) => return Some(offset),
                Run::Zeros(count) => offset += count,
                Run::End => return None,
            }
        }
    }

    /// The first offset from `offset` on that holds no data; the end of the file counts.
    pub fn next_hole(&self, mut offset: u64) -> u64 {
        while let Run::Bytes(_) | Run::Mapped(_) = self.run_of_pages(offset) {
            offset = (offset / PAGE + 1) * PAGE;
        }
        offset.min(self.size)
    }

    /// Returns a run like [`Data::run`], but a page with any data counts as full.
    fn run_of_pages(&self, offset: u64) -> Run<'_> {
        match self.run(offset) {
            Run::Zeros(_) => match self.run(offset / PAGE * PAGE) {
                Run::Bytes(bytes) => Run::Bytes(bytes),
                _ => self.run(offset),
            },
            run => run,
        }
    }

    /// Position of the segment, or where to insert it. In a file without holes, the position equals its index.
    pub(super) fn find(&self, index: u64) -> Result<usize, usize> {
        match self.segments.get(index as usize) {
            Some(segment) if segment.index == index => Ok(index as usize),
            _ => self.segments.binary_search_by_key(&index, |segment| segment.index),
        }
    }
}

#[cfg(test)]
mod tests {
    use super::*;

    fn contents(data: &Data) -> Vec<u8> {
        let mut bytes = vec![0xff; data.size() as usize + 1];
        let into = Slice::new(bytes.as_mut_ptr() as u64, bytes.len() as u64);
        assert_eq!(data.read(0, into), Ok(data.size()));
        bytes.truncate(data.size() as usize);
        bytes
    }

    const SPACE: Quota = Quota { used: 0, limit: 1 << 30 };

    #[test]
    fn a_sparse_file_costs_what_it_holds() {
        let (mut data, mut quota) = (Data::default(), SPACE);
        let far = 1 << 40;
        assert_eq!(data.write(&mut quota, far, Source::Own(b"end")), Ok(3));
        assert_eq!((data.size(), data.pages(), quota.used), (far + 3, 1, PAGE));
        assert_eq!((data.next_data(0), data.next_hole(0), data.next_hole(far)), (Some(far), 0, far + 3));
        data.set_size(&mut quota, 10);
        assert_eq!((data.pages(), quota.used, data.next_data(0)), (0, 0, None));
        assert_eq!(contents(&data), [0; 10]);
    }

    #[test]
    fn truncated_bytes_do_not_come_back() {
        let (mut data, mut quota) = (Data::default(), SPACE);
        data.write(&mut quota, 0, Source::Own(&[7; 10_000])).expect("space");
        data.set_size(&mut quota, 5_000);
        data.set_size(&mut quota, 10_000);
        let mut expected = vec![7; 5_000];
        expected.resize(10_000, 0);
        assert_eq!(contents(&data), expected);
        assert_eq!(data.next_hole(0), 8_192);
    }

    #[test]
    fn a_punched_hole_reads_as_zeros() {
        let (mut data, mut quota) = (Data::default(), SPACE);
        data.write(&mut quota, 0, Source::Own(&[7; 20_000])).expect("space");
        data.discard(&mut quota, 100, 9_000);
        let mut expected = vec![7; 20_000];
        expected[100..9_000].fill(0);
        assert_eq!(contents(&data), expected);
        assert_eq!((data.pages(), quota.used), (4, 4 * PAGE));
        assert_eq!((data.next_hole(0), data.next_data(4_096)), (4_096, Some(8_192)));
    }

    #[test]
    fn a_full_file_system_takes_what_fits() {
        let (mut data, mut quota) = (Data::default(), Quota { used: 0, limit: 3 * PAGE - 1 });
        assert_eq!(data.write(&mut quota, 0, Source::Own(&[1; 9_000])), Ok(8_192));
        assert_eq!(data.write(&mut quota, 8_192, Source::Own(&[1])), Err(Errno::ENOSPC));
        assert_eq!(data.allocate(&mut quota, 0, u64::MAX / 2), Err(Errno::ENOSPC));
        assert_eq!(data.write(&mut quota, SIZE_MAXIMUM, Source::Own(&[1])), Err(Errno::EFBIG));
    }

    #[test]
    fn allocated_pages_count_but_hold_no_data() {
        let (mut data, mut quota) = (Data::default(), SPACE);
        data.allocate(&mut quota, 0, 8_192).expect("space");
        data.set_size(&mut quota, 8_192);
        assert_eq!((data.pages(), data.next_data(0)), (2, None));
    }
}

//! Mappings within an arena of addresses. Bytes are read and written where the calls before have made that possible: elsewhere a
//! program gets SIGSEGV, and Linux' calls answer EFAULT, for which husk ends the guest.

use crate::Family;
use crate::calls::{call, digest, done, shown};
use crate::random::Random;
use libc::{MAP_ANONYMOUS, MAP_FIXED, MAP_PRIVATE, PROT_READ, PROT_WRITE};

const PAGE: usize = 4096;

/// Pages of the arena.
const PAGES: usize = 24;

pub struct Memory {
    arena: usize,
    /// Protection of each page of the arena that is mapped, and the call that has mapped it.
    pages: [Option<(i32, u32)>; PAGES],
    made: u32,
    /// Both ends of a pipe that takes bytes from the arena, and gives them.
    pipe: [i32; 2],
}

impl Memory {
    pub fn new() -> Self {
        let flags = (MAP_PRIVATE | MAP_ANONYMOUS | libc::MAP_NORESERVE) as usize;
        // A page on each side is not part of it, so that nothing else grows into it.
        let arena = call(libc::SYS_mmap, &[0, (PAGES + 2) * PAGE, 0, flags, usize::MAX, 0]);
        assert!(arena > 0, "there are addresses");
        let mut pipe = [-1; 2];
        call(libc::SYS_pipe2, &[pipe.as_mut_ptr() as usize, libc::O_NONBLOCK as usize]);
        Self { arena: arena as usize + PAGE, pages: [Some((0, 0)); PAGES], made: 0, pipe }
    }

    /// Draws a range: its offset and length, which are of whole pages but for now and then.
    fn range(&self, random: &mut Random) -> (usize, usize) {
        let first = random.below(PAGES);
        let pages = 1 + random.below((PAGES - first).min(6));
        let odd = if random.once_in(15) { 1 + random.below(PAGE - 1) } else { 0 };
        (first * PAGE + if random.once_in(40) { 5 } else { 0 }, pages * PAGE - odd)
    }

    /// Notes what a call made of a range's pages: not mapped, or a new mapping.
    fn note(&mut self, (offset, length): (usize, usize), result: i64, now: Option<i32>) {
        if result >= 0 {
            self.made += 1;
            let now = now.map(|protection| (protection, self.made));
            self.pages[offset / PAGE..(offset + length).div_ceil(PAGE).min(PAGES)].fill(now);
        }
    }

    /// Notes another protection of a range's pages. A call that has failed may have changed some.
    fn protect(&mut self, (offset, length): (usize, usize), result: i64, protection: i32) {
        for page in self.pages[offset / PAGE..(offset + length).div_ceil(PAGE).min(PAGES)].iter_mut().flatten() {
            self.made += 1;
            *page = if result < 0 { (0, self.made) } else { (protection, page.1) };
        }
    }

    /// True if all pages of a range, up to the arena's end, have these rights.
    fn allows(&self, offset: usize, length: usize, rights: i32) -> bool {
        let end = (offset + length).div_ceil(PAGE);
        end <= PAGES
            && self.pages[offset / PAGE..end].iter().all(|page| page.is_some_and(|(page, _)| page & rights != 0))
    }

    /// True if some pages of a range are not mapped. What mremap(2) and madvise(2) then do is not the same in a guest.
    fn has_holes(&self, offset: usize, length: usize) -> bool {
        self.pages[offset / PAGE..(offset + length).div_ceil(PAGE).min(PAGES)].contains(&None)
    }

    fn map(&mut self, random: &mut Random) -> String {
        let (offset, length) = self.range(random);
        let protection = random.one_of(&[0, PROT_READ, PROT_READ | PROT_WRITE, PROT_READ | PROT_WRITE, PROT_WRITE]);
        let fixed = random.one_of(&[MAP_FIXED, MAP_FIXED, libc::MAP_FIXED_NOREPLACE]);
        let flags = MAP_PRIVATE | MAP_ANONYMOUS | fixed;
        let arguments = [self.arena + offset, length, protection as usize, flags as usize, usize::MAX, 0];
        let result = call(libc::SYS_mmap, &arguments);
        self.note((offset, length), result, Some(protection));
        format!("mmap({offset:x}, {length:x}, {protection}, {flags:x}) = {}", self.place(result))
    }

    /// Returns an address of the arena as an offset.
    fn place(&self, result: i64) -> String {
        if result < 0 { shown(result) } else { format!("{:x}", result as usize - self.arena) }
    }

    /// Calls on a range.
    fn change(&mut self, random: &mut Random) -> String {
        let (offset, length) = self.range(random);
        let address = self.arena + offset;
        match random.below(7) {
            0..2 => {
                let result = call(libc::SYS_munmap, &[address, length]);
                self.note((offset, length), result, None);
                format!("munmap({offset:x}, {length:x}) = {}", shown(result))
            }
            2..4 => {
                let protection = random.one_of(&[0, PROT_READ, PROT_READ | PROT_WRITE]);
                let result = call(libc::SYS_mprotect, &[address, length, protection as usize]);
                self.protect((offset, length), result, protection);
                format!("mprotect({offset:x}, {length:x}, {protection}) = {}", shown(result))
            }
            4 if self.has_holes(offset, length) => String::new(),
            4 => {
                let advice = random.one_of(&[
                    libc::MADV_DONTNEED,
                    libc::MADV_DONTNEED,
                    libc::MADV_WILLNEED,
                    libc::MADV_NORMAL,
                    99,
                ]);
                let result = call(libc::SYS_madvise, &[address, length, advice as usize]);
                format!("madvise({offset:x}, {length:x}, {advice}) = {}", shown(result))
            }
            5 => {
                let mut pages = [0u8; PAGES];
                let result = call(libc::SYS_mincore, &[address, length, pages.as_mut_ptr() as usize]);
                format!("mincore({offset:x}, {length:x}) = {}", shown(result))
            }
            _ => {
                let flags = random.one_of(&[libc::MS_ASYNC, libc::MS_SYNC, libc::MS_SYNC | libc::MS_ASYNC, 64]);
                let result = call(libc::SYS_msync, &[address, length, flags as usize]);
                format!("msync({offset:x}, {length:x}, {flags}) = {}", shown(result))
            }
        }
    }

    /// Moves within the arena, to a fixed place, or shrinks where it is.
    fn remap(&mut self, random: &mut Random) -> String {
        let ((from, length), (to, new)) = (self.range(random), self.range(random));
        let fixed = random.once_in(2);
        let flags = if fixed { libc::MREMAP_MAYMOVE | libc::MREMAP_FIXED } else { 0 };
        // Growing without a move depends on what lies behind.
        let new = if fixed { new } else { new.min(length) };
        let end = (from + length).div_ceil(PAGE).min(PAGES);
        // A range of several mappings stays as it is on Linux, and moves in a guest.
        if self.has_holes(from, length)
            || self.pages[from / PAGE..end].iter().any(|page| *page != self.pages[from / PAGE])
        {
            return String::new();
        }
        let arguments = [self.arena + from, length, new, flags as usize, self.arena + to];
        let result = call(libc::SYS_mremap, &arguments);
        let protection = self.pages[from / PAGE].map(|(protection, _)| protection);
        self.note((from, length), result, None);
        self.note((if fixed { to } else { from }, new), result, protection);
        format!("mremap({from:x}, {length:x}, {new:x}, {flags}, {to:x}) = {}", self.place(result))
    }

    /// Reads from the arena, by a call that writes to the pipe.
    fn read(&mut self, random: &mut Random) -> String {
        let (offset, length) = (random.below(PAGES * PAGE), random.one_of(&[1, 8, 100, 5000]));
        if !self.allows(offset, length, PROT_READ | PROT_WRITE) {
            return String::new();
        }
        let result = call(libc::SYS_write, &[self.pipe[1] as usize, self.arena + offset, length]);
        let mut bytes = [0; 5000];
        let read = call(libc::SYS_read, &[self.pipe[0] as usize, bytes.as_mut_ptr() as usize, 5000]);
        let content = digest(&bytes[..read.clamp(0, 5000) as usize]);
        format!("read from {offset:x}, {length} = {} {content}", shown(result))
    }

    /// Writes to the arena, by a call that reads from the pipe.
    fn write(&mut self, random: &mut Random) -> String {
        let (offset, length) = (random.below(PAGES * PAGE), random.one_of(&[1, 8, 100]));
        if !self.allows(offset, length, PROT_WRITE) {
            return String::new();
        }
        let bytes = [random.below(256) as u8; 100];
        call(libc::SYS_write, &[self.pipe[1] as usize, bytes.as_ptr() as usize, length]);
        let result = call(libc::SYS_read, &[self.pipe[0] as usize, self.arena + offset, length]);
        // The rest.
        let mut rest = [0; 100];
        call(libc::SYS_read, &[self.pipe[0] as usize, rest.as_mut_ptr() as usize, 100]);
        format!("write to {offset:x}, {length} = {}", shown(result))
    }
}

impl Family for Memory {
    fn step(&mut self, random: &mut Random) -> String {
        match random.below(14) {
            0..3 => self.map(random),
            3..6 => self.change(random),
            6 => self.remap(random),
            7..11 => self.read(random),
            _ => self.write(random),
        }
    }
}

impl Drop for Memory {
    fn drop(&mut self) {
        let unmapped = call(libc::SYS_munmap, &[self.arena - PAGE, (PAGES + 2) * PAGE]);
        assert_eq!(done(unmapped), "ok");
        for end in self.pipe {
            call(libc::SYS_close, &[end as usize]);
        }
    }
}

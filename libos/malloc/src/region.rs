//! A region: 1 MiB of pages, aligned to that, and what each page is used for.
//!
//! Its first pages hold the tables. `seal` and `kinds` are read by whoever frees a block; the rest belongs to whoever
//! holds the lock of the heap. The kind of a page does not change as long as a block in it is in use.

#![expect(unsafe_code, reason = "tables lie at the start of raw memory")]

use crate::bits::{Bits, COUNT};
use crate::pages::PAGE;
use crate::span::Span;
use core::mem::offset_of;
use core::ptr::NonNull;
use core::sync::atomic::{AtomicU8, Ordering};

/// Bytes in a region, and its alignment.
pub const REGION: usize = COUNT * PAGE;

/// The most pages of a run.
pub const LONGEST_RUN: usize = 64;

/// Pages that a region's tables take.
pub const TABLES: usize = size_of::<Tables>().div_ceil(PAGE);

/// The kind of a page that no block lies in. Those of small blocks are their class and one.
const NOTHING: u8 = 0;
/// The kind of the first page of a run, and how many pages that has: more than there are classes.
const RUN: u8 = 128;

/// Combined with a region's address this marks its start.
const SEAL: usize = 0x6b73_7548_a110_c8ed;

/// What a region starts with.
#[repr(C)]
struct Tables {
    seal: usize,
    kinds: [AtomicU8; COUNT],
    pages: PageTables,
    /// The rest of the first page, which [`crate::starter`] may have.
    spare: [u8; PAGE - size_of::<usize>() - COUNT - size_of::<PageTables>()],
    spans: [Span; COUNT],
}

/// Which pages are free, and what lies where.
#[repr(C)]
pub struct PageTables {
    /// Pages that can be used.
    pub free: Bits,
    /// Pages that may hold something but zeros.
    pub dirty: Bits,
    /// Links of the list of regions that this one is in.
    pub next: Option<Region>,
    /// See `next`.
    pub previous: Option<Region>,
    /// The number of the list, from 1 on; 0 if it is in none.
    pub list: usize,
    /// For each page of a span, the span's first.
    pub firsts: [u8; COUNT],
}

/// What a block is, going by its page.
#[derive(Clone, Copy, Debug, PartialEq, Eq)]
pub enum Kind {
    /// None.
    Nothing,
    /// A small one of this class.
    Class(usize),
    /// A run of so many pages, at most [`LONGEST_RUN`], which starts with this one.
    Run(usize),
}

impl Kind {
    fn to_raw(self) -> u8 {
        match self {
            Self::Nothing => NOTHING,
            Self::Class(class) => class as u8 + 1,
            Self::Run(count) => RUN + count as u8,
        }
    }
}

/// A region that exists.
#[derive(Clone, Copy, Debug, PartialEq, Eq)]
#[repr(transparent)]
pub struct Region(NonNull<Tables>);

// SAFETY: a region is bound to no thread.
unsafe impl Send for Region {}

impl Region {
    /// Makes a region.
    ///
    /// # Safety
    ///
    /// At `address`, aligned to [`REGION`], lie as many bytes that are zero and nobody else's.
    pub unsafe fn new(address: usize) -> Option<Self> {
        let tables = NonNull::new(address as *mut Tables)?;
        // SAFETY: the caller gave us these bytes, and zeros are valid tables.
        unsafe { (*tables.as_ptr()).seal = address ^ SEAL };
        let region = Self(tables);
        // SAFETY: nobody else knows the region yet.
        unsafe { region.pages() }.free.fill(TABLES..COUNT, true);
        Some(region)
    }

    /// The region of a block, if that is one.
    ///
    /// # Safety
    ///
    /// The start of the region can be read.
    #[inline(always)]
    pub unsafe fn of(block: NonNull<u8>) -> Option<Self> {
        let address = block.as_ptr() as usize & !(REGION - 1);
        let tables = NonNull::new(address as *mut Tables)?;
        // SAFETY: the caller says so.
        let seal = unsafe { (*tables.as_ptr()).seal };
        if seal == address ^ SEAL { Some(Self(tables)) } else { None }
    }

    /// The number of the page that `block` lies in.
    #[inline(always)]
    pub fn page_of(block: NonNull<u8>) -> usize {
        (block.as_ptr() as usize % REGION) / PAGE
    }

    /// The class of the blocks in a page, or something beyond all classes.
    #[inline(always)]
    pub fn class(self, page: usize) -> usize {
        // SAFETY: the region exists; `kinds` is only ever shared.
        let kinds = unsafe { &(*self.0.as_ptr()).kinds };
        usize::from(kinds[page % COUNT].load(Ordering::Relaxed)).wrapping_sub(1)
    }

    /// What the blocks in a page are.
    pub fn kind(self, page: usize) -> Kind {
        match self.class(page).wrapping_add(1) as u8 {
            NOTHING => Kind::Nothing,
            run @ RUN.. => Kind::Run((run - RUN).into()),
            class => Kind::Class(usize::from(class) - 1),
        }
    }

    /// Says what the blocks in a page are.
    pub fn set_kind(self, page: usize, kind: Kind) {
        // SAFETY: the region exists; `kinds` is only ever shared.
        let kinds = unsafe { &(*self.0.as_ptr()).kinds };
        kinds[page % COUNT].store(kind.to_raw(), Ordering::Relaxed);
    }

    /// The tables of its pages.
    ///
    /// # Safety
    ///
    /// The caller has the heap's lock, and no other reference to these tables.
    pub unsafe fn pages<'r>(self) -> &'r mut PageTables {
        // SAFETY: the caller's promise.
        unsafe { &mut (*self.0.as_ptr()).pages }
    }

    /// The span that starts with this page.
    pub fn span(self, page: usize) -> NonNull<Span> {
        let spans = self.0.as_ptr().wrapping_byte_add(offset_of!(Tables, spans)).cast::<Span>();
        NonNull::new(spans.wrapping_add(page % COUNT)).unwrap_or(NonNull::dangling())
    }

    /// The region and the number of a span's first page.
    pub fn of_span(span: NonNull<Span>) -> (Self, usize) {
        let address = span.as_ptr() as usize;
        let region = address & !(REGION - 1);
        let page = (address - region - offset_of!(Tables, spans)) / size_of::<Span>();
        (Self(NonNull::new(region as *mut Tables).unwrap_or(NonNull::dangling())), page)
    }

    /// Where a page starts.
    pub fn address(self, page: usize) -> usize {
        self.0.as_ptr() as usize + page * PAGE
    }

    /// From where to where its first page is spare.
    pub fn spare(self) -> (usize, usize) {
        (self.address(0) + offset_of!(Tables, spare), self.address(1))
    }
}

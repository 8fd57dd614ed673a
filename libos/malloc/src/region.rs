//! A region: 1 MiB of pages, aligned to that size, and the use of each page.
//!
//! The first pages hold the tables. A thread that frees a block reads `seal` and `kinds` without the lock; the heap's lock
//! protects the rest. The kind of a page does not change while a block in it is in use.

#![expect(unsafe_code, reason = "tables lie at the start of raw memory")]

use crate::bits::{Bits, COUNT};
use crate::pages::PAGE;
use crate::span::Span;
use core::mem::offset_of;
use core::ptr::NonNull;
use core::sync::atomic::{AtomicU8, Ordering};

/// Bytes in a region, and its alignment.
pub const REGION: usize = COUNT * PAGE;

/// Most pages of a run.
pub const LONGEST_RUN: usize = 64;

/// Number of pages for a region's tables.
pub const TABLES: usize = size_of::<Tables>().div_ceil(PAGE);

/// Raw kind of a page without a block. For small blocks the raw kind is the class plus one.
const NOTHING: u8 = 0;
/// Base of the raw kind of a run's first page, to which the number of pages is added; larger than any class.
const RUN: u8 = 128;

/// Seal of a region, XORed with its address.
const SEAL: usize = 0x6b73_7548_a110_c8ed;

/// Tables at the start of a region.
#[repr(C)]
struct Tables {
    seal: usize,
    kinds: [AtomicU8; COUNT],
    pages: PageTables,
    /// Rest of the first page, for [`crate::starter`].
    spare: [u8; PAGE - size_of::<usize>() - COUNT - size_of::<PageTables>()],
    spans: [Span; COUNT],
}

/// State of the pages that the heap's lock protects.
#[repr(C)]
pub struct PageTables {
    /// Free pages.
    pub free: Bits,
    /// Pages that may hold bytes other than zero.
    pub dirty: Bits,
    /// Links of the region's list: the next region.
    pub next: Option<Region>,
    /// The previous region.
    pub previous: Option<Region>,
    /// Number of the list, from 1 on; 0 if the region is in none.
    pub list: usize,
    /// For each page of a span, the number of the span's first page.
    pub firsts: [u8; COUNT],
}

/// Kind of the blocks in a page.
#[derive(Clone, Copy, Debug, PartialEq, Eq)]
pub enum Kind {
    /// No block.
    Nothing,
    /// A small block of this class.
    Class(usize),
    /// A run of this many pages, at most [`LONGEST_RUN`], which starts with this page.
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

/// Address of an existing region.
#[derive(Clone, Copy, Debug, PartialEq, Eq)]
#[repr(transparent)]
pub struct Region(NonNull<Tables>);

// SAFETY: a region is bound to no thread.
unsafe impl Send for Region {}

impl Region {
    /// Initializes a region.
    ///
    /// # Safety
    ///
    /// At `address`, aligned to [`REGION`], lie [`REGION`] bytes that are zero and the caller's alone.
    pub unsafe fn new(address: usize) -> Option<Self> {
        let tables = NonNull::new(address as *mut Tables)?;
        // SAFETY: the caller gave these bytes away, and zeros are valid tables.
        unsafe { (*tables.as_ptr()).seal = address ^ SEAL };
        let region = Self(tables);
        // SAFETY: no other code has the region's address yet.
        unsafe { region.pages() }.free.fill(TABLES..COUNT, true);
        Some(region)
    }

    /// Returns the region of a block, if the seal is valid.
    ///
    /// # Safety
    ///
    /// The start of the region can be read.
    #[inline(always)]
    pub unsafe fn of(block: NonNull<u8>) -> Option<Self> {
        let address = block.as_ptr() as usize & !(REGION - 1);
        let tables = NonNull::new(address as *mut Tables)?;
        // SAFETY: the caller guarantees that the start of the region can be read.
        let seal = unsafe { (*tables.as_ptr()).seal };
        if seal == address ^ SEAL { Some(Self(tables)) } else { None }
    }

    /// Returns the number of the page that `block` lies in.
    #[inline(always)]
    pub fn page_of(block: NonNull<u8>) -> usize {
        (block.as_ptr() as usize % REGION) / PAGE
    }

    /// Returns the class of the blocks in a page, or a number beyond all classes.
    #[inline(always)]
    pub fn class(self, page: usize) -> usize {
        // SAFETY: a `Region` always refers to an existing region; `kinds` holds atomics and is never borrowed mutably.
        let kinds = unsafe { &(*self.0.as_ptr()).kinds };
        usize::from(kinds[page % COUNT].load(Ordering::Relaxed)).wrapping_sub(1)
    }

    /// Returns the kind of the blocks in a page.
    pub fn kind(self, page: usize) -> Kind {
        match self.class(page).wrapping_add(1) as u8 {
            NOTHING => Kind::Nothing,
            run @ RUN.. => Kind::Run((run - RUN).into()),
            class => Kind::Class(usize::from(class) - 1),
        }
    }

    /// Sets the kind of the blocks in a page.
    pub fn set_kind(self, page: usize, kind: Kind) {
        // SAFETY: a `Region` always refers to an existing region; `kinds` holds atomics and is never borrowed mutably.
        let kinds = unsafe { &(*self.0.as_ptr()).kinds };
        kinds[page % COUNT].store(kind.to_raw(), Ordering::Relaxed);
    }

    /// Returns the tables of the region's pages.
    ///
    /// # Safety
    ///
    /// The caller has the heap's lock, and no other reference to these tables.
    pub unsafe fn pages<'r>(self) -> &'r mut PageTables {
        // SAFETY: the caller holds the heap's lock, and no other reference to these tables.
        unsafe { &mut (*self.0.as_ptr()).pages }
    }

    /// Returns the span that starts with this page.
    pub fn span(self, page: usize) -> NonNull<Span> {
        let spans = self.0.as_ptr().wrapping_byte_add(offset_of!(Tables, spans)).cast::<Span>();
        NonNull::new(spans.wrapping_add(page % COUNT)).unwrap_or(NonNull::dangling())
    }

    /// Returns the region and the number of a span's first page.
    pub fn of_span(span: NonNull<Span>) -> (Self, usize) {
        let address = span.as_ptr() as usize;
        let region = address & !(REGION - 1);
        let page = (address - region - offset_of!(Tables, spans)) / size_of::<Span>();
        (Self(NonNull::new(region as *mut Tables).unwrap_or(NonNull::dangling())), page)
    }

    /// Returns the address of a page.
    pub fn address(self, page: usize) -> usize {
        self.0.as_ptr() as usize + page * PAGE
    }

    /// Returns start and end of the spare part of the first page.
    pub fn spare(self) -> (usize, usize) {
        (self.address(0) + offset_of!(Tables, spare), self.address(1))
    }
}

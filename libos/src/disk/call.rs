//! Calls on a disk in progress.
//!
//! Whole sectors go directly between the disk and the program's memory, several requests at once. A part that begins or ends
//! within a sector, or lies in memory that the disk does not accept, goes through a bounce buffer that holds all
//! sectors concerned. A write through it reads first (read-modify-write); no other call may write to these sectors
//! until it is done.

use crate::errno::Errno;
use crate::fs::buffers::Buffers;
use crate::user::{Slice, is_for_devices};
use alloc::vec::Vec;
use core::ops::Range;
use husk::abi::block::{FLUSH, READ, WRITE};
use husk::abi::ring::Descriptor;
use husk::block::{Buffer, Disk, Error, bare};

/// Most requests of one call at once.
const REQUESTS_MAXIMUM: u32 = 16;
/// Most bytes of a bounce buffer.
const BOUNCE_MAXIMUM: u64 = 64 << 10;

/// Operation of a call.
#[derive(Debug)]
pub enum Work {
    /// Reads into the program's memory, or writes from it.
    Transfer {
        /// Operation of the disk.
        operation: u16,
        /// Memory of the program.
        slices: Vec<Slice>,
        /// Start on the disk.
        offset: u64,
        /// Number of bytes.
        length: u64,
        /// Number of bytes transferred.
        done: u64,
        /// Value of `done` when the requests are completed.
        target: u64,
        /// Sectors that go through a bounce buffer.
        bounce: Option<BounceBuffer>,
    },
    /// Makes one request without memory: operation, offset, length.
    Bare(u16, u64, u64),
    /// Finished.
    Nothing,
}

/// Part of a transfer that goes through a bounce buffer.
#[derive(Debug)]
pub struct BounceBuffer {
    buffer: Buffer,
    /// Start of the sectors on the disk.
    start: u64,
    /// Range of the program's bytes in the buffer.
    part: Range<usize>,
    /// True if the buffer holds the sectors, including the bytes to be written.
    filled: bool,
}

/// Call in progress.
#[derive(Debug)]
pub struct Call {
    /// Number of the calling thread.
    pub thread: u32,
    /// Number of the disk among all devices.
    pub disk: u32,
    /// Number of requests submitted to the tender and not completed.
    pub under_way: u32,
    work: Work,
    /// True if a flush is to follow.
    flushes: bool,
    /// Error of a failed request.
    failed: Option<Errno>,
    /// Number of bytes to return.
    moved: u64,
    /// Sectors that the call changes, from and to byte; empty if it changes none.
    changes: Range<u64>,
    /// True if it changes some of them in part only.
    in_part: bool,
}

impl Call {
    /// Returns a transfer of the bytes of `range`, followed by a flush if `flushes`.
    pub fn transfer(
        thread: u32,
        disk: u32,
        sector: u64,
        operation: u16,
        slices: Vec<Slice>,
        range: Range<u64>,
        flushes: bool,
    ) -> Self {
        let outer = range.start - range.start % sector..range.end.next_multiple_of(sector);
        let in_part = outer != range;
        let (offset, length) = (range.start, range.end - range.start);
        let changes = if operation == WRITE { outer } else { 0..0 };
        let work = Work::Transfer { operation, slices, offset, length, done: 0, target: 0, bounce: None };
        Self { thread, disk, under_way: 0, work, flushes, failed: None, moved: 0, changes, in_part }
    }

    /// Returns a request without memory, which changes a range or, if it is a flush, none.
    pub fn bare(thread: u32, disk: u32, operation: u16, range: Range<u64>) -> Self {
        let work = Work::Bare(operation, range.start, range.end - range.start);
        Self {
            thread,
            disk,
            under_way: 0,
            work,
            flushes: false,
            failed: None,
            moved: 0,
            changes: range,
            in_part: false,
        }
    }

    /// Returns true if another call has to wait until this one is done.
    pub fn excludes(&self, other: &Self) -> bool {
        let both = self.changes.start < other.changes.end && other.changes.start < self.changes.end;
        self.disk == other.disk && both && (self.in_part || other.in_part)
    }

    /// Returns true if the call reads or writes any of these bytes of the program's memory.
    pub fn uses(&self, memory: Slice) -> bool {
        let Work::Transfer { slices, .. } = &self.work else { return false };
        slices.iter().any(|slice| slice.meets(memory))
    }

    /// Notes the completion of a request.
    pub fn completed(&mut self, result: Result<(), Error>) {
        self.under_way = self.under_way.saturating_sub(1);
        if result.is_err() {
            self.failed = Some(Errno::EIO);
        }
    }

    /// Result of the call, once it is finished.
    pub fn result(&self) -> Option<Result<u64, Errno>> {
        match (self.under_way, self.failed, &self.work) {
            (0, Some(_), _) if self.moved > 0 => Some(Ok(self.moved)),
            (0, Some(errno), _) => Some(Err(errno)),
            (0, None, Work::Nothing) if !self.flushes => Some(Ok(self.moved)),
            _ => None,
        }
    }

    /// Starts the next step, while no request is submitted. Returns the number of requests started.
    pub fn go_on(&mut self, disk: &mut Disk) -> u32 {
        if self.failed.is_some() {
            return 0;
        }
        let started = self.settle().and_then(|()| self.start(disk));
        match started {
            Ok(started) => self.under_way = started,
            Err(errno) => self.failed = Some(errno),
        }
        self.under_way
    }

    /// Accounts for the completed requests.
    fn settle(&mut self) -> Result<(), Errno> {
        let Work::Transfer { operation, slices, length, done, target, bounce, .. } = &mut self.work else {
            return Ok(());
        };
        if let Some(bounce) = bounce.as_mut().filter(|bounce| !bounce.filled) {
            if *operation == READ {
                let bytes = bounce.buffer.get(bounce.part.clone()).unwrap_or_default();
                Buffers::new(slices, *done).scatter(0, bytes)?;
            } else {
                bounce.fill(slices, *done)?;
                return Ok(());
            }
        }
        *bounce = None;
        *done = *target;
        self.moved = *done;
        if *done == *length {
            self.work = Work::Nothing;
        }
        Ok(())
    }

    fn start(&mut self, disk: &mut Disk) -> Result<u32, Errno> {
        match &mut self.work {
            Work::Nothing if self.flushes => {
                let started = self.request(disk, bare(FLUSH, 0, 0));
                self.flushes = started == 0;
                Ok(started)
            }
            Work::Nothing => Ok(0),
            &mut Work::Bare(operation, offset, length) => {
                let started = self.request(disk, bare(operation, offset, length));
                if started > 0 {
                    self.work = Work::Nothing;
                }
                Ok(started)
            }
            Work::Transfer { bounce: Some(bounce), operation, .. } => {
                let descriptor = bounce.descriptor(*operation);
                Ok(self.request(disk, descriptor))
            }
            Work::Transfer { .. } => self.start_part(disk),
        }
    }

    /// Starts to transfer the next part: as much as goes directly, or a part through a bounce buffer.
    fn start_part(&mut self, disk: &mut Disk) -> Result<u32, Errno> {
        let mut started = 0;
        while started < REQUESTS_MAXIMUM {
            let Work::Transfer { operation, slices, offset, length, done, target, .. } = &mut self.work else { break };
            let left = *length - *target;
            let slice = Buffers::new(slices, *target).first().first(left);
            let direct = direct(disk, *offset + *target, slice);
            if direct == 0 {
                if started > 0 || left == 0 {
                    break;
                }
                *target = *done;
                return self.start_bounce(disk);
            }
            slice.first(direct).check()?;
            let (address, detail) = (slice.address, *offset + *target);
            let descriptor =
                Descriptor { address, length: direct as u32, operation: *operation, detail, ..Descriptor::default() };
            *target += direct;
            if self.request(disk, descriptor) == 0 {
                if let Work::Transfer { target, .. } = &mut self.work {
                    *target -= direct;
                }
                break;
            }
            started += 1;
        }
        Ok(started)
    }

    /// Starts to transfer the next part through a bounce buffer.
    fn start_bounce(&mut self, disk: &mut Disk) -> Result<u32, Errno> {
        let Work::Transfer { operation, slices, offset, length, done, target, bounce } = &mut self.work else {
            return Ok(0);
        };
        let sector = u64::from(disk.sector());
        let from = *offset + *done;
        let start = from - from % sector;
        let end = (*offset + *length).min(start + BOUNCE_MAXIMUM);
        let covered = (end.next_multiple_of(sector) - start) as usize;
        let part = (from - start) as usize..(end - start) as usize;
        let buffer = Buffer::try_new(covered).ok_or(Errno::ENOMEM)?;
        let whole = part == (0..covered);
        let bounce = bounce.insert(BounceBuffer { buffer, start, part, filled: false });
        *target = *done + (end - from);
        if *operation == WRITE && whole {
            bounce.fill(slices, *done)?;
        }
        let descriptor = bounce.descriptor(*operation);
        Ok(self.request(disk, descriptor))
    }

    /// Submits a request, if there is room; returns the number submitted.
    fn request(&self, disk: &mut Disk, descriptor: Descriptor) -> u32 {
        let descriptor = Descriptor { token: self.thread.into(), ..descriptor };
        // SAFETY: the memory is the program's, and its thread waits for this call, or is that of a bounce buffer, which is kept
        // with the call; the call is kept until the completion.
        #[expect(unsafe_code, reason = "the tender is handed the program's memory by address")]
        let submitted = unsafe { disk.submit_parts(&[descriptor]) };
        submitted.into()
    }
}

impl BounceBuffer {
    /// Copies the bytes to be written into the buffer.
    fn fill(&mut self, slices: &[Slice], done: u64) -> Result<(), Errno> {
        let part = self.buffer.get_mut(self.part.clone()).unwrap_or_default();
        Buffers::new(slices, done).fill(0, part)?;
        self.filled = true;
        Ok(())
    }

    /// The request that reads the sectors, or writes them once the buffer is filled.
    fn descriptor(&mut self, operation: u16) -> Descriptor {
        let operation = if self.filled { operation } else { READ };
        let (address, length) = (self.buffer.as_mut_ptr() as u64, self.buffer.len() as u32);
        Descriptor { address, length, operation, detail: self.start, ..Descriptor::default() }
    }
}

/// Number of bytes at `offset` of the disk that can go directly to or from the beginning of `slice`.
fn direct(disk: &Disk, offset: u64, slice: Slice) -> u64 {
    let sector = u64::from(disk.sector());
    let fits = offset.is_multiple_of(sector) && slice.address.is_multiple_of(disk.properties().alignment.into());
    let fits = fits && is_for_devices(slice);
    let most = slice.length.min(disk.request_maximum() as u64);
    if fits { most - most % sector } else { 0 }
}

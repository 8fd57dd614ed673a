//! Steps of calls on disks: a call is begun when it is first made, and continued when it is restarted.

use super::Disks;
use super::call::Call;
use crate::errno::Errno;
use crate::fs::buffers::Buffers;
use crate::fs::disk::{Disk, Request};
use crate::fs::file::TRANSFER_MAXIMUM;
use crate::syscall_result::{Stop, SyscallResult, WaitFor};
use crate::threads::Threads;
use crate::user::Slice;
use husk::abi::block::WRITE;

impl Disks {
    /// Reads from byte `start` of a disk or writes there, by `operation`, and then flushes the disk, if `flushes`.
    pub fn transfer(
        &mut self,
        threads: &mut Threads,
        disk: Disk,
        operation: u16,
        start: u64,
        memory: Buffers<'_>,
        flushes: bool,
    ) -> SyscallResult {
        let thread = threads.current().id;
        if self.call_of(thread).is_none() {
            let wanted = memory.length().min(TRANSFER_MAXIMUM);
            let end = start.saturating_add(wanted).min(disk.size);
            if wanted == 0 || start >= end {
                // There is nothing to read beyond the end, and no room to write.
                return if wanted > 0 && operation == WRITE { Err(Errno::ENOSPC.into()) } else { Ok(0) };
            }
            let (slices, sector) = (memory.to_slices()?, disk.sector.into());
            self.begin(Call::transfer(thread, disk.number, sector, operation, slices, start..end, flushes))?;
        }
        self.advance(threads, thread)
    }

    /// Makes a request without memory.
    pub fn request(&mut self, threads: &mut Threads, disk: Disk, request: Request) -> SyscallResult {
        let thread = threads.current().id;
        if self.call_of(thread).is_none() {
            self.begin(Call::bare(thread, disk.number, request.operation, request.range))?;
        }
        self.advance(threads, thread)
    }

    /// Advances the current thread's call: returns its result, or waits.
    fn advance(&mut self, threads: &mut Threads, thread: u32) -> SyscallResult {
        self.poll(threads);
        let result = self.go_on(thread);
        threads.current().held = result.is_none();
        match result {
            Some(result) => {
                // Other threads may have waited for this call to end.
                self.wake_excluded(threads);
                Ok(result?)
            }
            None => Err(Stop::until(WaitFor::Time, None)),
        }
    }

    /// Waits until no call on a disk uses these bytes of the program's memory, which are about to be unmapped or protected.
    pub fn await_memory(&mut self, threads: &mut Threads, address: u64, length: u64) -> Result<(), Stop> {
        let thread = threads.current();
        thread.held = self.uses(Slice::new(address, length));
        if !thread.held {
            return Ok(());
        }
        self.await_end(thread.id)?;
        Err(Stop::until(WaitFor::Time, None))
    }
}

//! Reading and writing files of folders.
//!
//! While the tender serves the folder beside the guest, a transfer goes in pieces that the host copies within the time for which a
//! wait polls: polling for a large one would end in an exit. As long as polling does not pay, a transfer is one request, and once the
//! call has waited nevertheless, the rest is.

use super::Folders;
use crate::fs::buffers::Buffers;
use crate::fs::file::TRANSFER_MAXIMUM;
use crate::fs::folder::{FolderFile, Memory};
use crate::syscall_result::{Stop, SyscallResult};
use crate::threads::Threads;
use crate::user::is_for_devices;
use husk::abi::folder::{DATA_MAXIMUM, Flags, READ, WRITE};
use husk::wait;

/// Most bytes of a request for which a wait polls.
const POLLED: u64 = 128 << 10;

impl Folders {
    /// Reads from a file, as much as there is, or what goes through memory of the libos at once.
    pub fn read(&mut self, threads: &mut Threads, file: FolderFile, offset: u64, into: Buffers<'_>) -> SyscallResult {
        let slices = &into.to_slices()?[..];
        let length = into.length().min(TRANSFER_MAXIMUM);
        let mut done = 0;
        loop {
            let rest = Buffers::new(slices, done);
            let most = self.piece(threads);
            let ask = file.transfer((READ, 0), offset + done, rest, most, is_for_devices)?;
            let is_direct = matches!(ask.data, Memory::Program(_));
            if is_direct || done == 0 {
                let reply = match self.ask(threads, file.folder, ask)?.check() {
                    Ok(reply) => reply,
                    Err(_) if done > 0 => return Ok(done),
                    Err(errno) => return Err(errno.into()),
                };
                let count = reply.answer.count.min(reply.room);
                if !is_direct {
                    rest.scatter(0, reply.counted())?;
                }
                done += count;
                if is_direct && count == reply.room && done < length {
                    continue;
                }
            }
            return Ok(done);
        }
    }

    /// Writes the first bytes to a file, at its end without an offset. Returns their number, and the offset behind them.
    pub fn write(
        &mut self,
        threads: &mut Threads,
        file: FolderFile,
        offset: Option<u64>,
        from: Buffers<'_>,
        durable: bool,
    ) -> Result<(u64, u64), Stop> {
        if from.length() == 0 {
            return Ok((0, offset.unwrap_or(0)));
        }
        let slices = &from.to_slices()?[..];
        let length = from.length().min(DATA_MAXIMUM.into());
        let mut flags = Flags::empty();
        flags.set(Flags::APPEND, offset.is_none());
        flags.set(Flags::DURABLE, durable);
        let (mut done, mut position) = (0, 0);
        loop {
            // What is appended stays together, whoever else appends.
            let most = if flags.is_empty() { self.piece(threads) } else { DATA_MAXIMUM.into() };
            let rest = if slices.is_empty() { from } else { Buffers::new(slices, done) };
            let at = offset.unwrap_or(0) + done;
            let ask = file.transfer((WRITE, flags.bits()), at, rest, most, is_for_devices)?;
            let is_direct = matches!(ask.data, Memory::Program(_));
            let reply = match self.ask(threads, file.folder, ask)?.check() {
                Err(_) if done > 0 => break,
                reply => reply?,
            };
            (done, position) = (done + reply.answer.count, reply.answer.position);
            if !is_direct || !flags.is_empty() || reply.answer.count < reply.room || done >= length {
                break;
            }
        }
        // The replies must not be found by a call that goes on after this.
        self.forget(threads.current().id);
        Ok((done, position))
    }

    /// Most bytes of the next request.
    fn piece(&self, threads: &mut Threads) -> u64 {
        let is_polled = wait::is_served() && !self.has_waited(threads.current().id);
        if is_polled { POLLED } else { DATA_MAXIMUM.into() }
    }
}

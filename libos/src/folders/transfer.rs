//! Reading and writing files of folders.

use super::Folders;
use crate::fs::buffers::Buffers;
use crate::fs::file::TRANSFER_MAXIMUM;
use crate::fs::folder::{FolderFile, Memory};
use crate::syscall_result::{Stop, SyscallResult};
use crate::threads::Threads;
use crate::user::is_for_devices;
use husk::abi::folder::{Flags, READ, WRITE};

impl Folders {
    /// Reads from a file, as much as there is, or what goes through memory of the libos at once.
    pub fn read(&mut self, threads: &mut Threads, file: FolderFile, offset: u64, into: Buffers<'_>) -> SyscallResult {
        let slices = &into.to_slices()?[..];
        let length = into.length().min(TRANSFER_MAXIMUM);
        let mut done = 0;
        loop {
            let rest = Buffers::new(slices, done);
            let ask = file.transfer(READ, offset + done, 0, rest, is_for_devices)?;
            let (wanted, is_direct) = (ask.data.length(), matches!(ask.data, Memory::Program(_)));
            if is_direct || done == 0 {
                let reply = match self.ask(threads, file.folder, ask)?.check() {
                    Ok(reply) => reply,
                    Err(_) if done > 0 => return Ok(done),
                    Err(errno) => return Err(errno.into()),
                };
                let count = reply.answer.count.min(wanted);
                if !is_direct {
                    rest.scatter(0, reply.counted())?;
                }
                done += count;
                if is_direct && count == wanted && done < length {
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
        let mut flags = Flags::empty();
        flags.set(Flags::APPEND, offset.is_none());
        flags.set(Flags::DURABLE, durable);
        // Of a mapped file, the same bytes go to the volume and to the mapping, also if the program changes them meanwhile.
        let is_direct = if self.is_mapped(file) { |_| false } else { is_for_devices };
        let ask = file.transfer(WRITE, offset.unwrap_or(0), flags.bits(), from, is_direct)?;
        let answer = self.ask_last(threads, file.folder, ask)?.check()?.answer;
        Ok((answer.count, answer.position))
    }
}

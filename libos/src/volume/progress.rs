//! Request of a volume's fiber to the disk, in as many parts as the disk takes.

use super::exchange::Transfer;
use husk::abi::block::{READ, WRITE};
use husk::abi::ring::Descriptor;
use husk::block::{Disk, bare};

/// Most requests to the disk at once.
const REQUESTS_MAXIMUM: u32 = 16;

/// Request to the disk under way.
#[derive(Debug)]
pub struct Progress {
    transfer: Transfer,
    /// Bytes for which requests have been submitted.
    submitted: u64,
    /// True if all has been submitted.
    whole: bool,
    pub under_way: u32,
    pub failed: bool,
}

impl Progress {
    /// Returns a request of which nothing is submitted.
    pub fn new(transfer: Transfer) -> Self {
        Self { transfer, submitted: 0, whole: false, under_way: 0, failed: false }
    }

    /// Submits what there is room for.
    pub fn submit(&mut self, disk: &mut Disk) {
        let Transfer { operation, offset, memory } = self.transfer;
        while !self.failed && !self.whole && self.under_way < REQUESTS_MAXIMUM {
            let part = memory.after(self.submitted).first(disk.request_maximum() as u64);
            let detail = offset + self.submitted;
            let descriptor = match operation {
                READ | WRITE => Descriptor {
                    address: part.address,
                    length: part.length as u32,
                    operation,
                    detail,
                    ..Descriptor::default()
                },
                _ => bare(operation, 0, 0),
            };
            // SAFETY: the memory is the fiber's, or lent to it by a request, and the fiber waits for the completion.
            #[expect(unsafe_code, reason = "the tender is handed memory by address")]
            let submitted = unsafe { disk.submit_parts(&[descriptor]) };
            if !submitted {
                // The queue is this volume's alone: full of its own requests, or not fit for any.
                self.failed |= self.under_way == 0;
                break;
            }
            self.under_way += 1;
            self.submitted += part.length;
            self.whole = self.submitted == memory.length;
        }
        disk.offer();
    }
}

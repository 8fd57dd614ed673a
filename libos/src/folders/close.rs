//! Closing files of folders: no call waits for it.
//!
//! The tender is not woken for closing a file that could only be read, and on which no lock can be held: others see nothing of it. It is
//! closed with the next request, or at the next tick at the latest.

use super::cache::Asked;
use super::{Folders, NOBODY, call, in_use};
use crate::fs::folder::FolderFile;
use alloc::boxed::Box;
use husk::abi::folder::{CLOSE, Message, Request};

impl Folders {
    /// Closes files, without waiting for it.
    pub fn close(&mut self, file: FolderFile) {
        if self.start_close(file).is_none() && self.unclosed.try_reserve(1).is_ok() {
            self.unclosed.push(file);
        }
    }

    fn start_close(&mut self, file: FolderFile) -> Option<()> {
        self.closing.try_reserve(1).ok()?;
        let request = Request { handle: file.handle, ..Request::default() };
        let mut message = Box::new(Message { request, ..Message::default() });
        let used = in_use(&mut self.open, file.folder).ok()?;
        let part = call::part(CLOSE, NOBODY, (&raw mut *message) as u64, size_of::<Message>() as u64);
        // Without an effect that others see, the tender need not be woken for it.
        let is_urgent = file.changes || used.has_locks;
        // SAFETY: the message is kept in `closing` until the completion.
        #[expect(unsafe_code, reason = "the tender is handed the message by address")]
        let submitted = unsafe { used.folder.submit(&[part]) };
        submitted.then(|| {
            if !is_urgent {
                used.folder.defer();
            }
            self.under_way += 1;
            self.closing.push((file.folder, message));
            let _: Asked = self.cache.submitted((CLOSE, file.folder), &request, None, 0);
        })
    }
}

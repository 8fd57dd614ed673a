//! Open files of a guest, by the handles that it knows them by.

use super::locks::Identity;
use super::system::Error;
use husk_abi::folder::HANDLES_MAXIMUM;
use std::os::fd::{AsRawFd, OwnedFd, RawFd};

/// An open file, and what it is if closing it releases locks: the kernel releases none with a file that is open by its path only.
type Open = (OwnedFd, Option<Identity>);

/// Table of open files.
#[derive(Debug, Default)]
pub struct Handles {
    files: Vec<Option<Open>>,
    free: Vec<u32>,
}

impl Handles {
    /// Returns true if one more file can be opened beside these `others`.
    pub fn has_room(&self, others: usize) -> bool {
        self.files.len() - self.free.len() + others < HANDLES_MAXIMUM as usize
    }

    /// Adds a file; EMFILE if there are too many.
    pub fn add(&mut self, file: OwnedFd, identity: Option<Identity>) -> Result<u32, Error> {
        if let Some(handle) = self.free.pop() {
            self.files[handle as usize] = Some((file, identity));
            return Ok(handle);
        }
        if !self.has_room(0) {
            return Err(libc::EMFILE as u32);
        }
        self.files.push(Some((file, identity)));
        Ok(self.files.len() as u32 - 1)
    }

    /// The file behind a handle; EBADF if there is none.
    pub fn get(&self, handle: u32) -> Result<RawFd, Error> {
        self.open(handle).map(|(file, _)| file.as_raw_fd())
    }

    /// The file that a handle stands for, if closing the handle releases locks; EBADF if there is no such handle.
    pub fn identity(&self, handle: u32) -> Result<Option<Identity>, Error> {
        self.open(handle).map(|(_, identity)| *identity)
    }

    fn open(&self, handle: u32) -> Result<&Open, Error> {
        self.files.get(handle as usize).and_then(Option::as_ref).ok_or(libc::EBADF as u32)
    }

    /// Calls `each` with every open file.
    #[cfg(any(test, fuzzing))]
    pub fn each(&self, each: impl FnMut(RawFd)) {
        self.files.iter().flatten().map(|(file, _)| file.as_raw_fd()).for_each(each);
    }

    /// Closes a file.
    pub fn close(&mut self, handle: u32) -> Result<(), Error> {
        let file = self.files.get_mut(handle as usize).and_then(Option::take).ok_or(libc::EBADF as u32)?;
        self.free.push(handle);
        drop(file);
        Ok(())
    }
}

#[cfg(test)]
mod tests {
    use super::*;

    #[test]
    fn there_are_so_many_handles_and_no_more() {
        let mut handles = Handles::default();
        let file = || OwnedFd::from(std::fs::File::open("/dev/null").expect("it is there"));
        let identity = Some((1, 2, 3));
        assert_eq!(handles.get(0), Err(libc::EBADF as u32));
        assert_eq!((handles.add(file(), identity), handles.add(file(), identity)), (Ok(0), Ok(1)));
        assert_eq!((handles.identity(1), handles.identity(2)), (Ok(identity), Err(libc::EBADF as u32)));
        assert_eq!((handles.close(0), handles.close(0)), (Ok(()), Err(libc::EBADF as u32)));
        assert_eq!((handles.add(file(), identity), handles.close(1)), (Ok(0), Ok(())));
        assert!(handles.has_room(HANDLES_MAXIMUM as usize - 2) && !handles.has_room(HANDLES_MAXIMUM as usize - 1));
        handles.files.resize_with(HANDLES_MAXIMUM as usize, || None);
        assert_eq!(handles.add(file(), identity), Ok(1));
        assert_eq!(handles.add(file(), identity), Err(libc::EMFILE as u32));
    }
}

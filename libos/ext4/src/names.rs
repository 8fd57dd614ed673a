//! Requests that change names.

use crate::errno::{self, EBUSY, EEXIST, EINVAL, EISDIR, ENAMETOOLONG, ENOENT, ENOTDIR, ENOTEMPTY, EPERM, Errno};
use crate::walk::TARGET_MAXIMUM;
use crate::{Disk, Volume};
use husk_abi::folder::Request;
use rsext4::{DirectoryEntryType, FileName, FilePermissions, InodeInfo, InodeNumber, MutationContext, RenameOptions};

/// Flags of renameat2(2).
const RENAME_NOREPLACE: u32 = 1;
const RENAME_EXCHANGE: u32 = 2;
/// Owner and permissions of what is made: the guest's root, and those that the request has.
const MADE: MutationContext = MutationContext::new(0, 0, 0, 0);

/// Permissions in a mode.
pub fn permissions(mode: u32) -> Result<FilePermissions, Errno> {
    FilePermissions::new((mode & 0o7777) as u16).map_err(errno::of)
}

/// A name that can be made or removed.
fn name(bytes: &[u8]) -> Result<FileName<'_>, Errno> {
    FileName::new(bytes).map_err(errno::of)
}

fn is_special(name: &[u8]) -> bool {
    matches!(name, b"." | b"..")
}

impl<D: Disk> Volume<D> {
    /// Makes a file in a directory.
    pub(crate) fn make_file(&mut self, parent: InodeNumber, file: &[u8], mode: u32) -> Result<InodeInfo, Errno> {
        let made = self.system.create_regular_file(MADE, parent, name(file)?, permissions(mode)?).map_err(errno::of)?;
        self.made(parent, file, made.number);
        Ok(made)
    }

    /// Notes a new name.
    fn made(&mut self, parent: InodeNumber, name: &[u8], number: InodeNumber) {
        self.names.forget(parent, name);
        self.files.changed(parent);
        self.files.changed(number);
        self.commits.changed(parent);
        self.commits.changed(number);
    }

    pub(crate) fn make_directory(&mut self, request: &Request, path: &[u8]) -> Result<(), Errno> {
        if path.is_empty() {
            return Err(EEXIST);
        }
        let (parent, last, _) = self.parent(request.handle, path)?;
        if is_special(&last) || self.look_up(parent, &last)?.is_some() {
            return Err(EEXIST);
        }
        let mode = permissions(request.mode & 0o1777)?;
        let made = self.system.create_directory(MADE, parent, name(&last)?, mode).map_err(errno::of)?;
        self.made(parent, &last, made.number);
        Ok(())
    }

    pub(crate) fn make_link(&mut self, request: &Request, path: &[u8], target: &[u8]) -> Result<(), Errno> {
        if path.is_empty() {
            return Err(EEXIST);
        }
        if target.is_empty() {
            return Err(ENOENT);
        }
        // A target fills a block at most.
        if target.len() > TARGET_MAXIMUM.min(self.block_size as usize - 1) {
            return Err(ENAMETOOLONG);
        }
        let (parent, last, slash) = self.parent(request.handle, path)?;
        if is_special(&last) || self.look_up(parent, &last)?.is_some() {
            return Err(EEXIST);
        }
        if slash {
            return Err(ENOENT);
        }
        let made = self.system.create_symlink(MADE, parent, name(&last)?, target).map_err(errno::of)?;
        self.made(parent, &last, made.number);
        Ok(())
    }

    pub(crate) fn unlink(&mut self, request: &Request, path: &[u8]) -> Result<(), Errno> {
        let (parent, last, slash) = self.parent(request.handle, path)?;
        if is_special(&last) {
            return Err(EISDIR);
        }
        let number = self.look_up(parent, &last)?.ok_or(ENOENT)?;
        let info = self.named(number)?;
        if info.is_directory() {
            return Err(EISDIR);
        }
        if slash {
            return Err(ENOTDIR);
        }
        let outcome = self.system.unlink(parent, name(&last)?).map_err(errno::of)?;
        self.made(parent, &last, number);
        self.unnamed(number, outcome.requires_reap())
    }

    pub(crate) fn remove_directory(&mut self, request: &Request, path: &[u8]) -> Result<(), Errno> {
        let (parent, last, _) = self.parent(request.handle, path)?;
        match &last[..] {
            b"." => return Err(EINVAL),
            b".." => return Err(ENOTEMPTY),
            _ => {}
        }
        let number = self.look_up(parent, &last)?.ok_or(ENOENT)?;
        if !self.named(number)?.is_directory() {
            return Err(ENOTDIR);
        }
        let outcome = self.system.remove_empty_directory(parent, name(&last)?).map_err(errno::of)?;
        self.made(parent, &last, number);
        self.names.forget_all(number);
        self.unnamed(number, outcome.requires_reap())
    }

    pub(crate) fn link(&mut self, request: &Request, path: &[u8], new: &[u8]) -> Result<(), Errno> {
        let number = self.reach(request.handle, path, false)?;
        let info = self.named(number)?;
        let (parent, last, slash) = self.parent(request.to, new)?;
        if is_special(&last) || self.look_up(parent, &last)?.is_some() {
            return Err(EEXIST);
        }
        if info.is_directory() {
            return Err(EPERM);
        }
        // A file that has lost its last name is on its way out.
        if slash || info.links == 0 {
            return Err(ENOENT);
        }
        self.system.hard_link(number, parent, name(&last)?).map_err(errno::of)?;
        self.made(parent, &last, number);
        Ok(())
    }

    pub(crate) fn rename(&mut self, request: &Request, path: &[u8], new: &[u8]) -> Result<(), Errno> {
        let (from, old_name, old_slash) = self.parent(request.handle, path)?;
        let (to, new_name, new_slash) = self.parent(request.to, new)?;
        let options = match request.flags {
            0 => RenameOptions::REPLACE,
            RENAME_NOREPLACE => RenameOptions::NO_REPLACE,
            RENAME_EXCHANGE => RenameOptions::EXCHANGE,
            _ => return Err(EINVAL),
        };
        if is_special(&old_name) || is_special(&new_name) {
            return Err(if request.flags == RENAME_NOREPLACE && is_special(&new_name) { EEXIST } else { EBUSY });
        }
        let moved = self.look_up(from, &old_name)?.ok_or(ENOENT)?;
        let there = self.look_up(to, &new_name)?;
        let is_directory = self.named(moved)?.is_directory();
        if (old_slash || (new_slash && !options.exchange())) && !is_directory {
            return Err(ENOTDIR);
        }
        self.check_target(request.flags, (moved, is_directory), (to, there), new_slash)?;
        if options.exchange() && there.is_some_and(|there| self.is_within(from, there).unwrap_or(true)) {
            return Err(EINVAL);
        }
        if there == Some(moved) {
            return Ok(());
        }
        // What the file is to hold is on the disk before the name leads to it.
        self.settle(moved)?;
        let outcome = self.system.rename(from, name(&old_name)?, to, name(&new_name)?, options).map_err(errno::of)?;
        self.made(from, &old_name, moved);
        self.made(to, &new_name, moved);
        [moved].into_iter().chain(there).for_each(|number| {
            self.names.forget(number, b"..");
            self.files.changed(number);
            self.commits.changed(number);
        });
        match outcome.replaced {
            Some(replaced) => {
                self.names.forget_all(replaced.inode);
                self.unnamed(replaced.inode, replaced.requires_reap())
            }
            None => Ok(()),
        }
    }

    /// Checks what is at the new name against what is to go there, as rename(2) does.
    fn check_target(
        &mut self,
        flags: u32,
        (moved, is_directory): (InodeNumber, bool),
        (to, there): (InodeNumber, Option<InodeNumber>),
        slash: bool,
    ) -> Result<(), Errno> {
        if flags == RENAME_NOREPLACE && there.is_some() {
            return Err(EEXIST);
        }
        if flags == RENAME_EXCHANGE && there.is_none() {
            return Err(ENOENT);
        }
        if is_directory && self.is_within(to, moved)? {
            return Err(EINVAL);
        }
        let Some(there) = there.filter(|there| *there != moved) else { return Ok(()) };
        let target = self.named(there)?;
        if flags == RENAME_EXCHANGE {
            return if slash && !target.is_directory() { Err(ENOTDIR) } else { Ok(()) };
        }
        match (is_directory, target.is_directory()) {
            (true, false) => Err(ENOTDIR),
            (false, true) => Err(EISDIR),
            _ => Ok(()),
        }
    }

    /// Returns true if a directory is another one, or below it.
    fn is_within(&mut self, directory: InodeNumber, above: InodeNumber) -> Result<bool, Errno> {
        /// Deepest directory, against circles on a damaged disk.
        const DEPTH_MAXIMUM: u32 = 4096;
        let mut at = directory;
        for _ in 0..DEPTH_MAXIMUM {
            if at == above {
                return Ok(true);
            }
            if at == self.system.root_inode() {
                return Ok(false);
            }
            at = self.look_up(at, b"..")?.ok_or(errno::EUCLEAN)?;
        }
        Err(errno::ELOOP)
    }

    /// Returns true if an inode is a symbolic link.
    pub(crate) fn is_link(info: &InodeInfo) -> bool {
        info.file_type() == DirectoryEntryType::Symlink
    }
}

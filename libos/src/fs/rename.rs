//! Renaming, with Linux's rules for replacing files.

use super::Files;
use super::handle::NodeKey;
use super::inode::{Mount, Time};
use super::path::{Follow, Last, Walked};
use crate::errno::Errno;
use linux_raw_sys::general as linux;

impl Files {
    /// renameat2(2). Errors come in Linux's order.
    pub fn rename(&mut self, from: (i32, &[u8]), to: (i32, &[u8]), flags: u32, now: Time) -> Result<(), Errno> {
        let keep = flags & linux::RENAME_NOREPLACE != 0;
        let exchange = flags & linux::RENAME_EXCHANGE != 0;
        if flags & !(linux::RENAME_NOREPLACE | linux::RENAME_EXCHANGE) != 0 || (keep && exchange) {
            return Err(Errno::EINVAL);
        }
        let from = self.walk(from.0, from.1, Follow::Never)?;
        let to = self.walk(to.0, to.1, Follow::Never)?;
        if self.nodes[from.directory].mount != self.nodes[to.directory].mount {
            return Err(Errno::EXDEV);
        }
        if from.last != Last::Name {
            return Err(Errno::EBUSY);
        }
        if to.last != Last::Name {
            return Err(if keep { Errno::EEXIST } else { Errno::EBUSY });
        }
        let node = from.node()?;
        let replaced = match to.node() {
            Ok(_) if keep => return Err(Errno::EEXIST),
            Ok(replaced) => Some(replaced),
            Err(Errno::ENOENT) if !exchange => None,
            Err(errno) => return Err(errno),
        };
        self.check_rename(&from, &to, node, replaced, exchange)?;
        match replaced {
            Some(replaced) if replaced == node => Ok(()),
            Some(replaced) if exchange => self.exchange(&from, &to, node, replaced, now),
            Some(replaced) => self.move_over(&from, &to, node, replaced, now),
            None => self.move_to(&from, &to, node, now),
        }
    }

    /// Checks the rules.
    fn check_rename(
        &self,
        from: &Walked<'_>,
        to: &Walked<'_>,
        node: NodeKey,
        replaced: Option<NodeKey>,
        exchange: bool,
    ) -> Result<(), Errno> {
        let is_directory = |node: NodeKey| self.nodes[node].kind.is_directory();
        if exchange && to.slash && !replaced.is_some_and(is_directory) {
            return Err(Errno::ENOTDIR);
        }
        if !is_directory(node) && (from.slash || (to.slash && !exchange)) {
            return Err(Errno::ENOTDIR);
        }
        if self.is_inside(to.directory, node) {
            return Err(Errno::EINVAL);
        }
        if replaced.is_some_and(|replaced| self.is_inside(from.directory, replaced)) {
            return Err(if exchange { Errno::EINVAL } else { Errno::ENOTEMPTY });
        }
        self.check_may_change(from.directory)?;
        self.check_may_change(to.directory)?;
        if [Some(node), replaced].into_iter().flatten().any(|node| self.is_mount(node)) {
            return Err(Errno::EBUSY);
        }
        let Some(replaced) = replaced.filter(|replaced| *replaced != node && !exchange) else { return Ok(()) };
        match (is_directory(node), is_directory(replaced)) {
            (true, false) => Err(Errno::ENOTDIR),
            (false, true) => Err(Errno::EISDIR),
            _ => match self.nodes[replaced].directory() {
                Some(entries) if !entries.is_empty() => Err(Errno::ENOTEMPTY),
                _ => Ok(()),
            },
        }
    }

    /// Returns true if another file system appears to be mounted on `node`, which is in the one in memory.
    fn is_mount(&self, node: NodeKey) -> bool {
        self.nodes[node].mount != Mount::Memory
    }

    /// Returns true if `directory` is `ancestor` or somewhere below it.
    fn is_inside(&self, directory: NodeKey, ancestor: NodeKey) -> bool {
        let mut current = directory;
        loop {
            if current == ancestor {
                return true;
            }
            match self.nodes[current].directory() {
                Some(entries) if entries.parent != current => current = entries.parent,
                _ => return false,
            }
        }
    }

    fn move_to(&mut self, from: &Walked<'_>, to: &Walked<'_>, node: NodeKey, now: Time) -> Result<(), Errno> {
        let target = self.nodes[to.directory].directory_mut().ok_or(Errno::ENOTDIR)?;
        target.insert(&mut self.quota, to.name(), node)?;
        self.leave(from, now);
        self.arrive(from.directory, to.directory, node, now);
        self.report_rename((from.directory, from.name()), (to.directory, to.name()), node, None);
        Ok(())
    }

    fn move_over(
        &mut self,
        from: &Walked<'_>,
        to: &Walked<'_>,
        node: NodeKey,
        replaced: NodeKey,
        now: Time,
    ) -> Result<(), Errno> {
        let target = self.nodes[to.directory].directory_mut().ok_or(Errno::ENOTDIR)?;
        target.replace(to.name(), node).ok_or(Errno::ENOENT)?;
        self.leave(from, now);
        self.arrive(from.directory, to.directory, node, now);
        self.report_rename((from.directory, from.name()), (to.directory, to.name()), node, Some(replaced));
        self.keep_name(to.directory, to.name(), replaced);
        self.unlinked(to.directory, replaced, now);
        Ok(())
    }

    fn exchange(
        &mut self,
        from: &Walked<'_>,
        to: &Walked<'_>,
        node: NodeKey,
        other: NodeKey,
        now: Time,
    ) -> Result<(), Errno> {
        let source = self.nodes[from.directory].directory_mut().ok_or(Errno::ENOTDIR)?;
        source.replace(from.name(), other).ok_or(Errno::ENOENT)?;
        let target = self.nodes[to.directory].directory_mut().ok_or(Errno::ENOTDIR)?;
        target.replace(to.name(), node).ok_or(Errno::ENOENT)?;
        self.arrive(from.directory, to.directory, node, now);
        self.arrive(to.directory, from.directory, other, now);
        let (from, to) = ((from.directory, from.name()), (to.directory, to.name()));
        self.report_rename(from, to, node, None);
        self.report_rename(to, from, other, None);
        Ok(())
    }

    /// Removes the old name.
    fn leave(&mut self, from: &Walked<'_>, now: Time) {
        let directory = &mut self.nodes[from.directory];
        if let Some(entries) = directory.directory_mut() {
            entries.remove(&mut self.quota, from.name());
        }
        directory.modified(now);
    }

    /// Notes that `node` moved from one directory to another, or the same.
    fn arrive(&mut self, from: NodeKey, to: NodeKey, node: NodeKey, now: Time) {
        let number = self.nodes[to].number;
        self.nodes[to].modified(now);
        let inode = &mut self.nodes[node];
        inode.home = Some((to, number));
        inode.times.changed = now;
        if let Some(entries) = inode.directory_mut().filter(|_| from != to) {
            entries.parent = to;
            self.nodes.retain(to);
            self.nodes[to].links += 1;
            self.nodes[from].links -= 1;
            self.release(from);
        }
    }
}

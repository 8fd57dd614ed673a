//! Attributes of files, and the space of the volume.

use crate::errno::{self, EINVAL, EISDIR, Errno};
use crate::names::permissions;
use crate::{Data, Disk, Volume};
use core::sync::atomic::Ordering;
use husk_abi::folder::{Answer, Attributes, Flags, Request, Space, Time};
use rsext4::{DirectoryEntryType, Ext4Timestamp, InodeInfo, InodeMetadataUpdate, InodeNumber};
use zerocopy::IntoBytes;

/// Magic number of ext4 (statfs(2)).
const MAGIC: u64 = 0xef53;
/// Latest and earliest second that an inode holds (34 bits from 1901 on).
const SECONDS: core::ops::RangeInclusive<i64> = -(1 << 31)..=(1 << 34) - (1 << 31) - 1;

impl<D: Disk> Volume<D> {
    /// Present, for the file system.
    pub(crate) fn present(&self) -> Ext4Timestamp {
        moment(self.now_ns.load(Ordering::Relaxed))
    }

    /// Sets the time of access, if it is older than a change or a day (`relatime`).
    pub(crate) fn accessed(&mut self, info: &InodeInfo) {
        const DAY: i64 = 24 * 60 * 60;
        let at = |stamp: Ext4Timestamp| (stamp.sec, stamp.nsec);
        let present = self.present();
        let is_new = at(info.atime) > at(info.mtime) && at(info.atime) > at(info.ctime);
        if self.read_only || info.atime == present || (is_new && present.sec - info.atime.sec < DAY) {
            return;
        }
        // A read does not fail because its time cannot be kept.
        if self.check_intact().is_ok() && self.system.touch_access_time(info.number).is_ok() {
            self.commits.timed(info.number);
            if let Some(known) = self.files.inode(info.number).and_then(|inode| inode.known.as_mut()) {
                known.info.atime = present;
            }
        }
    }

    pub(crate) fn stat(&mut self, request: &Request, path: &[u8]) -> Result<Answer, Errno> {
        let flags = Flags::from_bits(request.flags).ok_or(EINVAL)?;
        let number = self.reach(request.handle, path, !flags.contains(Flags::NO_FOLLOW))?;
        let info = self.named(number)?;
        Ok(Answer { attributes: self.attributes(&info), ..Answer::default() })
    }

    /// Attributes as the guest sees them, with what is not written yet.
    pub(crate) fn attributes(&self, info: &InodeInfo) -> Attributes {
        let (size, added) = self.pending.grown(info.number, info.size);
        let written = self.pending.written_at(info.number).map(moment);
        let (modified, changed) = (written.unwrap_or(info.mtime), written.unwrap_or(info.ctime));
        Attributes {
            mode: info.mode.into(),
            links: info.links.into(),
            user: info.uid,
            group: info.gid,
            number: info.number.raw().into(),
            size,
            blocks: info.blocks + added.div_ceil(u64::from(self.block_size)) * u64::from(self.block_size / 512),
            block_size: self.block_size,
            reserved: 0,
            times: [info.atime, modified, changed, info.btime].map(time),
        }
    }

    pub(crate) fn set(&mut self, request: &Request, path: &[u8]) -> Result<InodeNumber, Errno> {
        let flags = Flags::from_bits(request.flags).ok_or(EINVAL)?;
        let follow = !flags.contains(Flags::NO_FOLLOW);
        let number = self.reach(request.handle, path, follow)?;
        if flags.contains(Flags::SIZE) {
            let info = self.named(number)?;
            match info.file_type() {
                DirectoryEntryType::RegularFile => {}
                DirectoryEntryType::Directory => return Err(EISDIR),
                _ => return Err(EINVAL),
            }
            if path.is_empty() && self.files.get(request.handle).is_ok_and(|open| !open.writes) {
                return Err(EINVAL);
            }
            self.resize(number, request.count)?;
        }
        let times = Flags::ACCESSED | Flags::MODIFIED | Flags::ACCESSED_NOW | Flags::MODIFIED_NOW;
        if !flags.intersects(Flags::MODE | Flags::USER | Flags::GROUP | times) {
            return Ok(number);
        }
        // What is written later would set the times again.
        self.settle(number)?;
        let info = self.named(number)?;
        let owner = flags.intersects(Flags::USER | Flags::GROUP).then(|| {
            let user = if flags.contains(Flags::USER) { request.user } else { info.uid };
            (user, if flags.contains(Flags::GROUP) { request.group } else { info.gid })
        });
        let present = self.present();
        let pick = |set, now, time| match flags {
            _ if flags.contains(now) => Some(present),
            _ if flags.contains(set) => Some(stamp(time)),
            _ => None,
        };
        let update = InodeMetadataUpdate {
            permissions: flags.contains(Flags::MODE).then(|| permissions(request.mode)).transpose()?,
            owner,
            atime: pick(Flags::ACCESSED, Flags::ACCESSED_NOW, request.times[0]),
            mtime: pick(Flags::MODIFIED, Flags::MODIFIED_NOW, request.times[1]),
            ..InodeMetadataUpdate::default()
        };
        self.update(number, update)?;
        Ok(number)
    }

    /// Changes attributes of an inode.
    pub(crate) fn update(&mut self, number: InodeNumber, update: InodeMetadataUpdate) -> Result<(), Errno> {
        self.files.changed(number);
        self.commits.changed(number);
        self.system.update_inode_metadata(number, update).map(drop).map_err(errno::of)
    }

    pub(crate) fn space(&mut self, request: &Request, path: &[u8], data: &mut dyn Data) -> Result<(), Errno> {
        self.reach(request.handle, path, true)?;
        let stats = self.system.statfs();
        let free = stats.free_blocks.saturating_sub(self.pending.blocks(self.block_size));
        let space = Space {
            magic: MAGIC,
            block_size: self.block_size.into(),
            blocks: [stats.total_blocks, free, free.saturating_sub(self.system.reserved_blocks())],
            files: [stats.total_inodes.into(), stats.free_inodes.into()],
            name_maximum: 255,
        };
        if data.length() != space.as_bytes().len() as u64 {
            return Err(EINVAL);
        }
        data.write(0, space.as_bytes());
        Ok(())
    }
}

/// A number of nanoseconds since 1970.
fn moment(ns: u64) -> Ext4Timestamp {
    Ext4Timestamp { sec: (ns / 1_000_000_000) as i64, nsec: (ns % 1_000_000_000) as u32 }
}

fn time(stamp: Ext4Timestamp) -> Time {
    Time { seconds: stamp.sec, nanoseconds: stamp.nsec, reserved: 0 }
}

/// A time as an inode holds it: the nearest one.
fn stamp(time: Time) -> Ext4Timestamp {
    let sec = time.seconds.clamp(*SECONDS.start(), *SECONDS.end());
    Ext4Timestamp { sec, nsec: time.nanoseconds.min(999_999_999) }
}

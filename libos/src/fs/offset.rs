//! Offsets in files, by kind: see [`super::file`].

use super::Files;
use super::data::SIZE_MAXIMUM;
use super::inode::Kind;
use crate::errno::Errno;
use linux_raw_sys::general as linux;

/// Checks the offset argument of a call: EINVAL if it is negative.
pub fn checked(raw: u64) -> Result<u64, Errno> {
    if raw > SIZE_MAXIMUM { Err(Errno::EINVAL) } else { Ok(raw) }
}

/// EINVAL if a transfer would go beyond the largest offset.
pub(super) fn check_area(offset: u64, length: u64) -> Result<(), Errno> {
    match offset.checked_add(length) {
        Some(0..=SIZE_MAXIMUM) => Ok(()),
        _ => Err(Errno::EINVAL),
    }
}

impl Files {
    /// lseek(2).
    pub fn seek(&mut self, descriptor: i32, offset: i64, whence: u32) -> Result<u64, Errno> {
        let key = self.usable(descriptor)?;
        let description = &self.descriptions[key];
        let current = description.offset;
        let (size, data) = match &self.nodes[description.node].kind {
            Kind::Regular(data) => (data.size(), Some(data)),
            Kind::Image => (self.image_size, None),
            Kind::Generated(_) => (description.text.as_ref().map_or(0, |text| text.len() as u64), None),
            Kind::Disk(disk) => (disk.size, None),
            Kind::Directory(_) | Kind::Descriptors if matches!(whence, linux::SEEK_SET | linux::SEEK_CUR) => (0, None),
            Kind::Directory(_) | Kind::Descriptors => return Err(Errno::EINVAL),
            Kind::Link(_) => return Err(Errno::EBADF),
            // What needs the host is not asked here.
            Kind::Folder(_) if matches!(whence, linux::SEEK_SET | linux::SEEK_CUR) => (0, None),
            Kind::Folder(_) => return Err(Errno::EINVAL),
            kind if kind.is_stream() => return Err(Errno::ESPIPE),
            Kind::SocketName(_) => return Err(Errno::ESPIPE),
            _ => return Ok(0),
        };
        let inside = || u64::try_from(offset).ok().filter(|offset| *offset < size).ok_or(Errno::ENXIO);
        let to = match whence {
            linux::SEEK_SET => Some(offset),
            linux::SEEK_CUR => (current as i64).checked_add(offset),
            linux::SEEK_END => (size as i64).checked_add(offset),
            linux::SEEK_DATA => {
                let from = inside()?;
                Some(data.map_or(Some(from), |data| data.next_data(from)).ok_or(Errno::ENXIO)? as i64)
            }
            linux::SEEK_HOLE => {
                let from = inside()?;
                Some(data.map_or(size, |data| data.next_hole(from)) as i64)
            }
            _ => return Err(Errno::EINVAL),
        };
        let to = to.and_then(|to| u64::try_from(to).ok()).ok_or(Errno::EINVAL)?;
        self.descriptions[key].offset = to;
        Ok(to)
    }
}

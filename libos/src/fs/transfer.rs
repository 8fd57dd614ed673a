//! Reads, writes and seeks.

use super::Files;
use super::buffers::Buffers;
use super::data::SIZE_MAXIMUM;
use super::description::{Access, DescriptionKey};
use super::device::{Device, Devices};
use super::inode::{Kind, Time};
use super::socket::Sending;
use super::source::Source;
use crate::answer::Answer;
use crate::errno::Errno;
use crate::user::Slice;
use linux_raw_sys::general as linux;

/// Most bytes that one call transfers, as on Linux.
pub const TRANSFER_MAXIMUM: u64 = 0x7fff_f000;

/// Checks the offset argument of a call: EINVAL if it is negative.
pub fn offset(raw: u64) -> Result<u64, Errno> {
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
    /// read(2), or pread(2) if an offset is given.
    pub fn read(
        &mut self,
        devices: &mut dyn Devices,
        descriptor: i32,
        at: Option<u64>,
        into: Slice,
        now: Time,
    ) -> Answer {
        let key = self.usable_to(descriptor, Access::READ)?;
        let description = &self.descriptions[key];
        let node = description.node;
        let offset = at.unwrap_or(description.offset);
        check_area(offset, into.length)?;
        let into = into.first(TRANSFER_MAXIMUM);
        let count = match &mut self.nodes[node].kind {
            Kind::Regular(data) => data.read(offset, into)?,
            Kind::Image => devices.image_read(offset, into)?,
            Kind::Generated(_) => {
                let text = description.text.as_deref().unwrap_or_default();
                let rest = usize::try_from(offset).ok().and_then(|offset| text.get(offset..)).unwrap_or_default();
                let part = rest.get(..into.length as usize).unwrap_or(rest);
                into.copy_in(part)?;
                part.len() as u64
            }
            Kind::Directory(_) | Kind::Descriptors => return Err(Errno::EISDIR.into()),
            Kind::Pipe(_) | Kind::Event(_) | Kind::Timer(_) | Kind::Socket(_) if at.is_some() => {
                return Err(Errno::ESPIPE.into());
            }
            Kind::Device(Device::Console(_)) if at.is_some() => {
                return Err(Errno::ESPIPE.into());
            }
            Kind::Device(Device::Console(_)) => return self.read_console(devices, key, into),
            Kind::Device(device) => return device.read(devices, into),
            Kind::Pipe(_) => return self.read_pipe(key, into),
            Kind::Event(_) => return self.read_event(key, into),
            Kind::Timer(_) => return self.read_timer(devices, key, into),
            Kind::Socket(_) => return self.read_socket(descriptor, into),
            Kind::Link(_) | Kind::Epoll(_) | Kind::SocketName(_) | Kind::Foreign(..) => {
                return Err(Errno::EINVAL.into());
            }
        };
        if at.is_none() {
            self.descriptions[key].offset += count;
        }
        if !into.is_empty() {
            self.touch(key, now);
        }
        Ok(count)
    }

    fn read_socket(&mut self, descriptor: i32, into: Slice) -> Answer {
        let received = self.receive_message(descriptor, Buffers::new(&[into], 0), false, false)?;
        self.take_rights(received.rights, 0, false);
        Ok(received.count)
    }

    /// write(2), or pwrite(2) if an offset is given.
    pub fn write(
        &mut self,
        devices: &mut dyn Devices,
        descriptor: i32,
        at: Option<u64>,
        from: Slice,
        now: Time,
    ) -> Answer {
        let key = self.usable_to(descriptor, Access::WRITE)?;
        let append = self.descriptions[key].flags & linux::O_APPEND != 0;
        self.write_from(devices, key, at, append, Source::Program(from), now)
    }

    /// Writes through a description that allows it; with `append`, at the end of the file.
    pub(super) fn write_from(
        &mut self,
        devices: &mut dyn Devices,
        key: DescriptionKey,
        at: Option<u64>,
        append: bool,
        from: Source<'_>,
        now: Time,
    ) -> Answer {
        let description = &mut self.descriptions[key];
        check_area(at.unwrap_or(description.offset), from.length())?;
        let from = from.first(TRANSFER_MAXIMUM);
        let node = &mut self.nodes[description.node];
        match &mut node.kind {
            Kind::Regular(data) => {
                let offset = if append { data.size() } else { at.unwrap_or(description.offset) };
                let count = data.write(&mut self.space, offset, from)?;
                if at.is_none() {
                    description.offset = offset + count;
                }
                if count > 0 {
                    node.modified(now);
                }
                Ok(count)
            }
            Kind::Pipe(_) | Kind::Event(_) | Kind::Socket(_) | Kind::Device(Device::Console(_)) if at.is_some() => {
                Err(Errno::ESPIPE.into())
            }
            Kind::Device(device) => device.write(devices, from),
            Kind::Pipe(_) => self.write_pipe(key, from),
            Kind::Event(_) => self.write_event(key, from),
            Kind::Generated(_) | Kind::Image => Err(Errno::EIO.into()),
            Kind::Directory(_) | Kind::Descriptors | Kind::Link(_) => Err(Errno::EINVAL.into()),
            Kind::Socket(_) => match from {
                Source::Program(slice) => self.send_through(key, Buffers::new(&[slice], 0), &Sending::default()),
                Source::Own(bytes) => self.send_through(key, Buffers::own(bytes), &Sending::default()),
            },
            Kind::Timer(_) | Kind::Epoll(_) | Kind::SocketName(_) | Kind::Foreign(..) => Err(Errno::EINVAL.into()),
        }
    }

    /// lseek(2).
    pub fn seek(&mut self, descriptor: i32, offset: i64, whence: u32) -> Result<u64, Errno> {
        let key = self.usable(descriptor)?;
        let description = &self.descriptions[key];
        let current = description.offset;
        let (size, data) = match &self.nodes[description.node].kind {
            Kind::Regular(data) => (data.size(), Some(data)),
            Kind::Image => (self.image_size, None),
            Kind::Generated(_) => (description.text.as_ref().map_or(0, |text| text.len() as u64), None),
            Kind::Directory(_) | Kind::Descriptors if matches!(whence, linux::SEEK_SET | linux::SEEK_CUR) => (0, None),
            Kind::Directory(_) | Kind::Descriptors => return Err(Errno::EINVAL),
            Kind::Device(Device::Console(_)) | Kind::Pipe(_) | Kind::Event(_) => return Err(Errno::ESPIPE),
            Kind::Foreign(foreign, _) => (self.disk(foreign).ok_or(Errno::ESPIPE)?.size, None),
            Kind::Timer(_) | Kind::Epoll(_) => return Err(Errno::ESPIPE),
            Kind::Socket(_) | Kind::SocketName(_) => return Err(Errno::ESPIPE),
            Kind::Device(_) => return Ok(0),
            Kind::Link(_) => return Err(Errno::EBADF),
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

    /// The contents of a file that is open for reading, if they are in the image and have not been changed.
    pub fn unchanged(&self, descriptor: i32) -> Option<&'static [u8]> {
        let key = self.usable_to(descriptor, Access::READ).ok()?;
        match &self.nodes[self.descriptions[key].node].kind {
            Kind::Regular(data) => data.unchanged(),
            _ => None,
        }
    }

    /// `FIONREAD`: number of bytes that a read would find.
    pub fn readable_bytes(&self, descriptor: i32) -> Result<u64, Errno> {
        let description = &self.descriptions[self.usable(descriptor)?];
        match &self.nodes[description.node].kind {
            Kind::Regular(data) => Ok(data.size().saturating_sub(description.offset)),
            Kind::Pipe(pipe) => Ok(pipe.length() as u64),
            Kind::Socket(_) => self.received_bytes(description.node),
            _ => Err(Errno::ENOTTY),
        }
    }
}

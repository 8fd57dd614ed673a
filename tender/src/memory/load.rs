//! Loading of an image: mapped from its file as far as possible, so that guests of one image share its pages.

#![expect(unsafe_code, reason = "mappings are made by address")]

use super::host::protection;
use super::{Error, Memory};
use crate::image::{Image, Segment};
use crate::memory::layout::Addresses;
use husk_abi::memory::{PAGE, Region, Rights};
use std::io;
use std::os::fd::AsRawFd;
use std::ptr::NonNull;

impl Memory {
    /// Loads the contents of a segment: mapped from the file, except for pages that differ from the file. Pages with words to
    /// relocate, and a last page that is padded with zeros, are copied.
    pub(super) fn load(&self, image: &Image, segment: &Segment) -> Result<(), Error> {
        let pages = segment.pages();
        let contents_end = segment.region.start + segment.file_size;
        let zeros_follow = segment.region.length > segment.file_size;
        let mappable = if zeros_follow { contents_end & !(PAGE - 1) } else { contents_end.next_multiple_of(PAGE) };
        let relocations = image.relocations.within(segment.region);
        let copied = match (relocations.clone().next(), relocations.clone().next_back()) {
            (Some(first), Some(last)) => {
                Region::between(first.address & !(PAGE - 1), (last.address + 8).next_multiple_of(PAGE).min(pages.end()))
            }
            _ => Region { start: mappable, length: 0 },
        };
        self.map_file(image, segment, Region::between(pages.start, copied.start.min(mappable)))
            .map_err(Error::NotMapped)?;
        self.map_file(image, segment, Region::between(copied.end(), mappable)).map_err(Error::NotMapped)?;
        self.copy(image, segment, copied).map_err(Error::NotMapped)?;
        self.copy(image, segment, Region::between(mappable.max(copied.end()), contents_end))
            .map_err(Error::NotMapped)?;
        for relocation in relocations {
            let value = self.layout.load_bias.wrapping_add(relocation.addend);
            // SAFETY: `Image::check` found the whole word in this writable segment; its pages with relocations were copied
            // above; the guest does not run yet.
            unsafe { self.at(relocation.address).cast::<u64>().write_unaligned(value) };
        }
        Ok(())
    }

    /// Maps the whole image file after the guest_ram.
    pub(super) fn map_image_file(&self, image: &Image) -> Result<(), Error> {
        let to = self.host(self.layout.physical(self.layout.image_file.start));
        // SAFETY: replaces pages inside our own mapping, to which no reference exists yet.
        let result = unsafe {
            libc::mmap(
                to.as_ptr().cast(),
                self.layout.image_file.length as usize,
                libc::PROT_READ,
                libc::MAP_PRIVATE | libc::MAP_FIXED,
                image.file.as_raw_fd(),
                0,
            )
        };
        match result {
            libc::MAP_FAILED => Err(Error::NotMapped(io::Error::last_os_error())),
            _ => Ok(()),
        }
    }

    /// Maps whole pages of a segment privately from the file.
    fn map_file(&self, image: &Image, segment: &Segment, pages: Region) -> io::Result<()> {
        if pages.length == 0 {
            return Ok(());
        }
        // If the guest has page tables, they decide what can be executed.
        let executable = self.layout.addresses == Addresses::Direct;
        let rights = if executable { segment.rights } else { segment.rights - Rights::EXECUTE };
        let offset = segment.file_offset.wrapping_add(pages.start.wrapping_sub(segment.region.start));
        // SAFETY: replaces pages inside our own mapping, to which no reference exists yet.
        let result = unsafe {
            libc::mmap(
                self.at(pages.start).as_ptr().cast(),
                pages.length as usize,
                protection(rights),
                libc::MAP_PRIVATE | libc::MAP_FIXED,
                image.file.as_raw_fd(),
                offset as libc::off_t,
            )
        };
        if result == libc::MAP_FAILED { Err(io::Error::last_os_error()) } else { Ok(()) }
    }

    /// Copies the file's bytes for these addresses of a segment; addresses without bytes in the file stay zero.
    fn copy(&self, image: &Image, segment: &Segment, wanted: Region) -> io::Result<()> {
        let start = wanted.start.max(segment.region.start);
        let end = wanted.end().min(segment.region.start + segment.file_size);
        let (mut offset, end) = (segment.file_offset + (start - segment.region.start), end.saturating_sub(start));
        let mut copied = 0;
        while copied < end {
            let to = self.at(start + copied);
            // SAFETY: the range lies in the segment, inside our mapping, for which `at` checked the start; the guest does not
            // run yet.
            let count = unsafe {
                let length = (end - copied) as usize;
                libc::pread(image.file.as_raw_fd(), to.as_ptr().cast(), length, offset as libc::off_t)
            };
            match u64::try_from(count) {
                Ok(0) => return Err(io::ErrorKind::UnexpectedEof.into()),
                Ok(count) => (copied, offset) = (copied + count, offset + count),
                Err(_) => match io::Error::last_os_error() {
                    error if error.kind() == io::ErrorKind::Interrupted => {}
                    error => return Err(error),
                },
            }
        }
        Ok(())
    }

    /// Host address of an address of the image file.
    fn at(&self, address_in_file: u64) -> NonNull<u8> {
        let physical = self.layout.physical(address_in_file.wrapping_add(self.layout.load_bias));
        assert!(physical <= self.layout.physical_size(), "the layout has room for the whole image");
        self.host(physical)
    }
}

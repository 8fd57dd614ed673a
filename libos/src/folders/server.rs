//! Server of the requests to a folder: the tender, or a volume inside the guest.

use crate::volume::Volume;
use alloc::boxed::Box;
use alloc::string::String;
use husk::abi::note::device_kind;
use husk::abi::ring::Descriptor;
use husk::device;
use husk::folder::Folder;
use husk::wait::Source;

/// Server of a folder's requests.
#[derive(Debug)]
pub enum Server {
    /// A folder of the host.
    Host(Folder),
    /// The file system of a disk.
    Volume(Box<Volume>),
}

impl Server {
    /// Opens the device with this number; the reason, if that fails, is for the user.
    pub fn open(number: u32) -> Result<Self, String> {
        let device = device::all().nth(number as usize).ok_or("there is no such device")?;
        if device.kind == device_kind::BLOCK {
            return Ok(Self::Volume(Box::new(Volume::mount(device)?)));
        }
        let name = core::str::from_utf8(device::name(device)).unwrap_or_default();
        Folder::open(name).map(Self::Host).map_err(|_| "it is in use".into())
    }

    /// See [`Folder::submit`].
    ///
    /// # Safety
    ///
    /// The memory that the parts name is not accessed before the request is completed.
    #[expect(unsafe_code, reason = "the memory is used by address until the completion")]
    pub unsafe fn submit(&mut self, parts: &[Descriptor]) -> bool {
        match self {
            // SAFETY: the caller guarantees the same.
            Self::Host(folder) => unsafe { folder.submit(parts) },
            // SAFETY: the caller guarantees the same.
            Self::Volume(volume) => unsafe { volume.submit(parts) },
        }
    }

    /// See [`Folder::completed`].
    pub fn completed(&mut self) -> Option<u64> {
        match self {
            Self::Host(folder) => folder.completed(),
            Self::Volume(volume) => volume.completed(),
        }
    }

    /// See [`Folder::serve`].
    pub fn serve(&mut self) -> bool {
        match self {
            Self::Host(folder) => folder.serve(),
            Self::Volume(volume) => volume.serve(),
        }
    }

    /// See [`Folder::defer`].
    pub fn defer(&mut self) {
        match self {
            Self::Host(folder) => folder.defer(),
            Self::Volume(_) => {}
        }
    }

    /// See [`Folder::is_deferred`].
    pub fn is_deferred(&self) -> bool {
        match self {
            Self::Host(folder) => folder.is_deferred(),
            Self::Volume(_) => false,
        }
    }

    /// See [`Folder::publish`].
    pub fn publish(&mut self) {
        match self {
            Self::Host(folder) => folder.publish(),
            Self::Volume(volume) => volume.publish(),
        }
    }

    /// See [`Folder::offer`].
    pub fn offer(&mut self) {
        match self {
            Self::Host(folder) => folder.offer(),
            Self::Volume(volume) => volume.offer(),
        }
    }

    /// Wait source of the server.
    pub fn source(&mut self) -> &mut dyn Source {
        match self {
            Self::Host(folder) => folder,
            Self::Volume(volume) => &mut **volume,
        }
    }

    /// The volume, if it is one.
    pub fn volume(&mut self) -> Option<&mut Volume> {
        match self {
            Self::Host(_) => None,
            Self::Volume(volume) => Some(volume),
        }
    }

    /// Returns true if the server is a volume: it may answer requests without the tender.
    pub const fn is_volume(&self) -> bool {
        matches!(self, Self::Volume(_))
    }
}

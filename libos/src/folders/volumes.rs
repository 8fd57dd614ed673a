//! Folders that are volumes: mounting them at the start, and unmounting them at the end.

use super::{Folders, InUse};
use crate::fs::folder::Folder as Shown;
use alloc::string::String;
use husk::abi::device::Device;
use husk::device;

/// The volume of a device, as the files show it.
pub fn shown(number: u32, device: &'static Device) -> Option<Shown> {
    let (_, path) = device::mount(device)?;
    let read_only = device::is_mounted_read_only(device);
    let disk = Some(device::name(device).to_vec());
    Some(Shown { number, read_only, is_file: false, path: path.to_vec(), disk })
}

impl InUse {
    /// Returns true if it is a volume with work to do.
    pub fn has_work(&mut self) -> bool {
        self.folder.volume().is_some_and(|volume| volume.has_work())
    }
}

impl Folders {
    /// Mounts the volume on the device with this number; the reason, if that fails, is for the user.
    pub fn mount(&mut self, number: u32) -> Result<(), String> {
        let folder = super::Server::open(number)?;
        self.open.try_reserve(1).map_err(|_| "there is no memory for it; give the guest more, with --memory")?;
        self.open.push(InUse { number, folder, keeps: false, has_locks: false });
        Ok(())
    }

    /// Begins to unmount all volumes. Returns true if any is not unmounted yet.
    pub fn unmount(&mut self) -> bool {
        if self.write_back_all() {
            return true;
        }
        let volumes = self.open.iter_mut().filter_map(|used| used.folder.volume());
        self.has_work = volumes.filter_map(|volume| volume.unmount().then_some(())).count() > 0;
        self.has_work
    }

    /// Unmounts all volumes, and waits for it.
    pub fn unmount_now(&mut self) {
        self.open.iter_mut().filter_map(|used| used.folder.volume()).for_each(|volume| volume.unmount_now());
    }

    /// Returns true if a volume could not be unmounted, so that changes are lost.
    pub fn is_broken(&mut self) -> bool {
        self.open.iter_mut().filter_map(|used| used.folder.volume()).any(|volume| volume.is_broken())
    }
}

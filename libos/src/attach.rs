//! Devices of the image, which are taken into use when the program starts.

use crate::disk;
use crate::folders;
use crate::fs::disk::Disk;
use crate::fs::folder::Folder;
use crate::state::Libos;
use alloc::boxed::Box;
use core::fmt::Arguments;
use husk::abi::device::Network;
use husk::abi::fault::TENDER_ERROR;
use husk::abi::note::device_kind;
use husk::device;
use husk::internet::wire::Wire;

/// Adds the disks to the files. A disk is opened when a call first needs it.
#[cold]
pub fn disks(libos: &mut Libos) {
    for (number, name, block) in disk::attached() {
        // Without memory for it there is no disk; a program so short of memory does not run for long.
        let _ = libos.files.add_disk(Disk::new(number, block), name);
    }
}

/// Adds the folders to the files, and mounts the disks among them; ends the start if there is no place for one, or it cannot be
/// mounted.
#[cold]
pub fn folders(libos: &mut Libos) {
    for folder in folders::attached() {
        // As for a disk.
        let _ = libos.files.add_folder(folder);
    }
    if let Err((folder, errno)) = libos.files.place_folders() {
        let (flag, path) = folder.map_or(("--files", &[][..]), |folder| (folder.flag(), &folder.path));
        let (path, name) = (path.escape_ascii(), errno.name());
        refuse(format_args!("{flag} {path}: the program can have no folder there ({name}); choose another place"));
    }
    let Libos { files, folders, .. } = libos;
    for Folder { number, path, disk, .. } in files.folders() {
        if let Some(disk) = disk
            && let Err(reason) = folders.mount(*number)
        {
            let (disk, path) = (disk.escape_ascii(), path.escape_ascii());
            // Those before it would have to be recovered at the next start.
            folders.unmount_now();
            refuse(format_args!("the disk '{disk}' cannot be mounted at {path}: {reason}"));
        }
    }
}

/// Ends the start.
fn refuse(reason: Arguments<'_>) -> ! {
    husk::console::print(husk::console::ERROR, format_args!("husk: {reason}\n"));
    husk::process::exit(TENDER_ERROR);
}

/// Takes the first network device into use, if there is one. Without memory for its buffers there is no network.
#[cold]
pub fn network(libos: &mut Libos) {
    let network = device::all().find(|device| device.kind == device_kind::NETWORK);
    let name = network.and_then(|network| core::str::from_utf8(device::name(network)).ok());
    let link = name.and_then(|name| husk::net::Link::open_to_offload(name).ok());
    if let (Some(name), Some(link)) = (name, link) {
        let properties = *link.properties();
        network_attached(libos, name.as_bytes(), Box::new(link), &properties);
    }
}

fn network_attached(libos: &mut Libos, name: &'static [u8], wire: Box<dyn Wire>, properties: &Network) {
    libos.files.networks.device = Some(name);
    libos.network(|net, _, devices| net.attach(name, wire, properties, devices));
    libos.poll_network();
}

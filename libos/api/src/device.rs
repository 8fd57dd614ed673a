//! The devices that are attached to this guest.

#![expect(unsafe_code, reason = "the table of devices is tender memory, and the doorbell a function in it, by address")]

use crate::boot;
use core::fmt;
use core::sync::atomic::AtomicU64;
use core::sync::atomic::Ordering::Relaxed;
use husk_abi::block::{Block, Flags, Mount, MountFlags};
use husk_abi::device::{Device, Network, Offers, Table};
use husk_abi::note::device_kind;

/// Reason why a device cannot be opened.
#[derive(Clone, Copy, Debug, PartialEq, Eq)]
pub enum Error {
    /// No device of that name is attached.
    NotAttached,
    /// The device is of another kind.
    OtherKind,
    /// The device is open already.
    Taken,
    /// The heap has no room for the device's buffers.
    NoMemory,
}

impl fmt::Display for Error {
    fn fmt(&self, f: &mut fmt::Formatter<'_>) -> fmt::Result {
        f.write_str(match self {
            Self::NotAttached => "no device of that name is attached",
            Self::OtherKind => "the device is of another kind",
            Self::Taken => "the device is open already",
            Self::NoMemory => "there is no memory for the device's buffers",
        })
    }
}

impl core::error::Error for Error {}

/// Devices that have been opened, by their position in the table.
static TAKEN: AtomicU64 = AtomicU64::new(0);

fn table() -> Option<&'static Table> {
    // SAFETY: the contract guarantees a table at this address if it is not 0, read-only for the guest's lifetime.
    unsafe { (boot::info().devices as *const Table).as_ref() }
}

/// Returns all devices.
pub fn all() -> impl Iterator<Item = &'static Device> {
    let table = table();
    let (count, stride) = table.map_or((0, 0), |table| (table.count, table.stride));
    let start = boot::info().devices + size_of::<Table>() as u64;
    (0..u64::from(count)).map(move |index| {
        // SAFETY: the contract guarantees `count` records behind the table, `stride` apart, read-only for the guest's lifetime.
        unsafe { &*((start + index * u64::from(stride)) as *const Device) }
    })
}

/// Returns the name of a device.
pub fn name(device: &Device) -> &[u8] {
    device.name.get(..device.name_length as usize).unwrap_or_default()
}

/// Returns the features of a network device beyond sending and receiving complete frames.
pub fn offers(device: &'static Device) -> Offers {
    // The records of a tender without this field are shorter.
    let told = table().is_some_and(|table| table.stride as usize >= size_of::<Device>());
    if told { Offers::from_bits_truncate(device.offers) } else { Offers::empty() }
}

/// Returns the properties of a network device.
pub fn network(device: &'static Device) -> Option<&'static Network> {
    // SAFETY: the contract guarantees these properties for a device of this kind, read-only for the guest's lifetime.
    (device.kind == device_kind::NETWORK).then(|| unsafe { &*(device.properties as *const Network) })
}

/// Returns the properties of a block device.
pub fn block(device: &'static Device) -> Option<&'static Block> {
    // SAFETY: the contract guarantees these properties for a device of this kind, read-only for the guest's lifetime.
    (device.kind == device_kind::BLOCK).then(|| unsafe { &*(device.properties as *const Block) })
}

/// Returns the mount of a disk's file system and its path, if the disk has one.
pub fn mount(device: &'static Device) -> Option<(&'static Mount, &'static [u8])> {
    block(device).filter(|block| block.flags & Flags::MOUNTED.bits() != 0)?;
    let mount = device.properties + size_of::<Block>() as u64;
    // SAFETY: the contract guarantees a mount behind the properties of a disk with this flag, read-only for the guest's lifetime.
    let mount = unsafe { &*(mount as *const Mount) };
    let path = device.properties + (size_of::<Block>() + size_of::<Mount>()) as u64;
    // SAFETY: the contract guarantees the path behind the mount.
    let path = unsafe { core::slice::from_raw_parts(path as *const u8, mount.path_length as usize) };
    Some((mount, path))
}

/// Returns true if nothing can be changed on a disk that is mounted: by its mount, or because the disk itself is read-only.
pub fn is_mounted_read_only(device: &'static Device) -> bool {
    let is_disk = block(device).is_none_or(|block| block.flags & Flags::READ_ONLY.bits() != 0);
    is_disk || mount(device).is_none_or(|(mount, _)| mount.flags & MountFlags::READ_ONLY.bits() != 0)
}

/// Opens the device of this name and kind exclusively: from now on it is [`Error::Taken`].
pub fn open(wanted: &str, kind: u32) -> Result<&'static Device, Error> {
    let found = all().enumerate().find(|(_, device)| name(device) == wanted.as_bytes());
    let (index, device) = found.ok_or(Error::NotAttached)?;
    if device.kind != kind {
        return Err(Error::OtherKind);
    }
    let bit = 1 << (index % 64);
    match TAKEN.fetch_or(bit, Relaxed) & bit {
        0 => Ok(device),
        _ => Err(Error::Taken),
    }
}

/// Notifies the tender of a request for which it asked to be woken.
pub fn ring_doorbell() {
    let Some(table) = table() else { return };
    // SAFETY: the contract guarantees a function of this type at this address; the tender filled in the address.
    let doorbell = unsafe { core::mem::transmute::<u64, extern "sysv64" fn()>(table.doorbell) };
    doorbell();
}

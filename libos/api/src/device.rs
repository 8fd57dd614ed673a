//! The devices that are attached to this guest.

#![expect(unsafe_code, reason = "the table of devices is tender memory, and the doorbell a function in it, by address")]

use crate::boot;
use core::fmt;
use core::sync::atomic::AtomicU64;
use core::sync::atomic::Ordering::Relaxed;
use husk_abi::block::Block;
use husk_abi::device::{Device, Network, Offers, Table};
use husk_abi::note::device_kind;

/// Why a device is not there for the program.
#[derive(Clone, Copy, Debug, PartialEq, Eq)]
pub enum Error {
    /// Nothing of that name is attached.
    NotAttached,
    /// It is another kind of device.
    OtherKind,
    /// Somebody has opened it already.
    Taken,
    /// The heap has no room for its buffers.
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
    // SAFETY: if there is an address, the contract says that a table lies there, read-only and for good.
    unsafe { (boot::info().devices as *const Table).as_ref() }
}

/// All devices.
pub fn all() -> impl Iterator<Item = &'static Device> {
    let table = table();
    let (count, stride) = table.map_or((0, 0), |table| (table.count, table.stride));
    let start = boot::info().devices + size_of::<Table>() as u64;
    (0..u64::from(count)).map(move |index| {
        // SAFETY: the contract says that so many records follow the table, so far apart, read-only and for good.
        unsafe { &*((start + index * u64::from(stride)) as *const Device) }
    })
}

/// The name of a device.
pub fn name(device: &Device) -> &[u8] {
    device.name.get(..device.name_length as usize).unwrap_or_default()
}

/// What a network device does beyond sending and receiving frames as they are.
pub fn offers(device: &'static Device) -> Offers {
    // A tender that does not know of this has shorter records.
    let told = table().is_some_and(|table| table.stride as usize >= size_of::<Device>());
    if told { Offers::from_bits_truncate(device.offers) } else { Offers::empty() }
}

/// What there is to know about a network device.
pub fn network(device: &'static Device) -> Option<&'static Network> {
    // SAFETY: the contract says that this is there for a device of that kind, read-only and for good.
    (device.kind == device_kind::NETWORK).then(|| unsafe { &*(device.properties as *const Network) })
}

/// What there is to know about a block device.
pub fn block(device: &'static Device) -> Option<&'static Block> {
    // SAFETY: the contract says that this is there for a device of that kind, read-only and for good.
    (device.kind == device_kind::BLOCK).then(|| unsafe { &*(device.properties as *const Block) })
}

/// The device of this name and kind, which nobody else can open from now on.
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

/// Tells the tender that there is a request for which it wanted to be woken.
pub fn ring_doorbell() {
    let Some(table) = table() else { return };
    // SAFETY: the contract says that this address holds a function of this type.
    let doorbell = unsafe { core::mem::transmute::<u64, extern "sysv64" fn()>(table.doorbell) };
    doorbell();
}

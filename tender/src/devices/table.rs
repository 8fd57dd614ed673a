//! Table of devices that a guest reads ([`husk_abi::device`]), and layout of the rings that the table lists.

use super::Open;
use crate::image::Kind;
use crate::memory::layout::Layout;
use crate::vm::gate::DOORBELL;
use husk_abi::device::{Device, Queue, Table};
use husk_abi::memory::PAGE;
use husk_abi::note::{DEVICE_NAME_MAXIMUM, device_kind};
use husk_abi::ring::{self, Completion, Descriptor};
use zerocopy::IntoBytes;

/// Entries of each ring: at 1,514 bytes a frame, more than a window of TCP as it usually is, and more requests than a
/// disk can make use of.
const ENTRIES: u32 = 256;

/// Bytes of all rings of `count` devices, in whole pages.
pub fn rings_size(count: usize) -> u64 {
    (count as u64 * 2 * queue_size(ENTRIES)).next_multiple_of(PAGE)
}

const fn queue_size(entries: u32) -> u64 {
    ring::size(entries, size_of::<Descriptor>()) + ring::size(entries, size_of::<Completion>())
}

/// Returns the queues of device number `index`, in rings that start at `rings`. Only a network has two; the room of the second
/// queue stays empty for others.
pub fn queues(rings: u64, index: usize, kind: Kind) -> [Queue; 2] {
    [0, 1].map(|queue| {
        if kind != Kind::Network && queue > 0 {
            return Queue::default();
        }
        let submission = rings + (2 * index as u64 + queue) * queue_size(ENTRIES);
        Queue {
            submission,
            completion: submission + ring::size(ENTRIES, size_of::<Descriptor>()),
            entries: ENTRIES,
            reserved: 0,
        }
    })
}

/// Returns the bytes of the table, which is to lie at the guest address `at`, for a guest with this layout.
pub fn write(devices: &[Open], layout: &Layout, at: u64) -> Vec<u8> {
    let doorbell = layout.tender_address(DOORBELL);
    let table = Table { count: devices.len() as u32, stride: size_of::<Device>() as u32, doorbell };
    let mut properties_at = at + (size_of::<Table>() + devices.len() * size_of::<Device>()) as u64;
    let (mut bytes, mut properties) = (table.as_bytes().to_vec(), Vec::new());
    for (index, open) in devices.iter().enumerate() {
        let mut name = [0; DEVICE_NAME_MAXIMUM];
        name.iter_mut().zip(open.name.bytes()).for_each(|(to, from)| *to = from);
        let kind = match open.kind() {
            Kind::Network => device_kind::NETWORK,
            Kind::Block => device_kind::BLOCK,
            Kind::Folder => device_kind::FOLDER,
        };
        let name_length = open.name.len() as u32;
        let queues = queues(layout.rings.start, index, open.kind());
        let offers = open.offers();
        let device = Device { kind, name_length, name, queues, properties: properties_at, offers, reserved: 0 };
        bytes.extend_from_slice(device.as_bytes());
        let told = open.properties();
        properties.extend_from_slice(told);
        properties_at += told.len() as u64;
    }
    bytes.extend(properties);
    bytes
}

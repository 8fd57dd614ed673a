//! Rate limits of devices from the command line: each applies to the device of its name, or to all of its kind.

use super::{Error, Run};
use husk_tender::devices::attach::{Attachment, What};
use husk_tender::devices::limit::Rate;

/// Limit on the rate of devices.
#[derive(Clone, Debug, PartialEq, Eq)]
pub struct Limit {
    /// Quantity that is limited.
    pub what: Limited,
    /// Name of the device; nothing for all devices of the kind.
    pub name: Option<String>,
    /// The limit.
    pub rate: Rate,
}

/// Quantities that can be limited.
#[derive(Clone, Copy, Debug, PartialEq, Eq)]
pub enum Limited {
    /// Bytes of a network, in each direction.
    Network,
    /// Bytes of a disk.
    Block,
    /// Requests of a disk.
    Operations,
}

impl Limited {
    const fn flag(self) -> &'static str {
        match self {
            Self::Network => "--net-rate",
            Self::Block => "--block-rate",
            Self::Operations => "--block-iops",
        }
    }
}

/// Applies each limit to its devices.
pub fn give(run: &mut Run) -> Result<(), Error> {
    for Limit { what, name, rate } in std::mem::take(&mut run.limits) {
        let is_named = |device: &&mut Attachment| name.is_none() || device.name == name;
        let places = run.options.devices.iter_mut().filter(is_named).filter_map(|device| place(&mut device.what, what));
        if places.map(|place| *place = Some(rate)).count() == 0 {
            let name = name.map_or(String::new(), |name| format!(" {name}"));
            return Err(Error(format!("{}{name}: there is no such device; attach one first", what.flag())));
        }
    }
    Ok(())
}

/// Returns the field of a device for this limit, if the device has one.
fn place(device: &mut What, what: Limited) -> Option<&mut Option<Rate>> {
    match (device, what) {
        (What::Network(network), Limited::Network) => Some(&mut network.rate),
        (What::Block(disk), Limited::Block) => Some(&mut disk.rate),
        (What::Block(disk), Limited::Operations) => Some(&mut disk.operations),
        _ => None,
    }
}

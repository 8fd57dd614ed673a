//! The network device and the stack on it ([`husk::internet::stack`]).

use crate::errno::Errno;
use crate::fs::handle::SocketKey;
use crate::memory::heap;
use alloc::boxed::Box;
use alloc::vec::Vec;
use husk::abi::device::Network;
use husk::internet::wire::Wire;
use husk::wait::Source;

/// Network stack that knows connections by our socket keys.
pub(super) type Stack = husk::internet::stack::Stack<SocketKey>;

/// A network device with its stack.
#[derive(Debug)]
pub struct Device {
    /// Name in the image.
    pub(super) name: &'static [u8],
    pub(super) wire: Box<dyn Wire>,
    pub(super) stack: Stack,
}

impl Device {
    /// Takes a device into use. `seed` is random, and serves no other purpose.
    pub(super) fn new(name: &'static [u8], mut wire: Box<dyn Wire>, network: &Network, seed: u64, now: u64) -> Self {
        let stack = Stack::new(&mut *wire, network, seed, now);
        Self { name, wire, stack }
    }

    /// Returns the device as a source that can be waited for.
    pub fn source(&mut self) -> &mut dyn Source {
        self.wire.source()
    }

    /// Time at which the stack has something to do next: monotonic, in nanoseconds.
    pub fn deadline(&self) -> Option<u64> {
        self.stack.deadline()
    }
}

/// The smallest and the largest buffer of a connection, in bytes.
const BUFFER: (u64, u64) = (4 << 10, 1 << 20);
/// Connections assumed in addition to the existing ones, when half of the memory is divided among them.
const SHARES: u64 = 32;

/// Returns a buffer for one more connection when there are `count`, and `free` bytes of memory. The stack cannot grow buffers,
/// so their size depends on the number of connections: the first are large, and ten thousand take half the memory.
pub(super) fn buffer(free: u64, count: usize) -> Result<Vec<u8>, Errno> {
    let share = free / (16 * (count as u64 + SHARES));
    let length = share.clamp(BUFFER.0, BUFFER.1) as usize & !4095;
    heap::zeros(length)
}

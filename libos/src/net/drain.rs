//! End of the program. Data that it has sent reaches the peers before the machine is gone, as it would if there were a kernel
//! that outlives the program.

use super::Net;
use crate::fs::Files;
use alloc::vec::Vec;

/// Longest wait for peers to acknowledge the data sent to them, in nanoseconds.
const PATIENCE: u64 = 5_000_000_000;
/// Longest wait for datagrams to leave, in nanoseconds.
const DEPARTURE: u64 = 1_000_000_000;

impl Net {
    /// Closes all connections through the device, at the end of the program.
    pub fn close_all(&mut self, files: &mut Files) {
        let Some(device) = &self.device else { return };
        let slots = device.stack.connections.values();
        for key in slots.filter_map(|slot| self.sockets.key_at(*slot)).collect::<Vec<_>>() {
            let socket = &mut self.sockets[key];
            if socket.connection().is_some_and(|connection| !connection.is_orphaned()) {
                socket.node = None;
                let by_reset = socket.unread() > 0 || socket.options.linger == Some(0);
                self.orphan(files, key, by_reset);
            }
        }
    }

    /// Returns until when a program that ended at `ended_ns` has to wait for the device to send everything; `None` if it has, or
    /// has had time enough.
    pub fn drains_until(&self, ended_ns: u64) -> Option<u64> {
        let device = self.device.as_ref()?;
        let patience = if self.has_unacknowledged() { PATIENCE } else { DEPARTURE };
        let end = ended_ns.saturating_add(patience);
        let done = patience == DEPARTURE && device.stack.stalled.is_empty();
        (!done && husk::clock::monotonic_ns() < end).then_some(end)
    }

    /// Returns true if some connection has data or a FIN that its peer has not acknowledged.
    fn has_unacknowledged(&self) -> bool {
        let Some(device) = &self.device else { return false };
        device.stack.connections.values().filter_map(|slot| self.sockets.key_at(*slot)).any(|key| {
            let connection = self.sockets[key].connection();
            connection.is_some_and(|connection| !connection.is_acknowledged())
        })
    }
}

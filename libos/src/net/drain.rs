//! End of the program. Data that it has sent reaches the peers before the machine is gone, as it would if there were a kernel
//! that outlives the program.

use super::{Net, Socket, SocketKey};
use crate::fs::Files;
use crate::fs::device::Devices;
use alloc::vec::Vec;

/// Longest wait for peers to acknowledge the data sent to them, in nanoseconds.
const PATIENCE: u64 = 5_000_000_000;
/// Longest wait for datagrams to leave, in nanoseconds.
const DEPARTURE: u64 = 1_000_000_000;

impl Net {
    /// Closes all connections through the device, and waits until they have sent everything.
    pub fn drain(&mut self, files: &mut Files, devices: &mut dyn Devices) {
        let Some(device) = &self.device else { return };
        let connections: Vec<SocketKey> = device.stack.connections.values().copied().collect();
        for key in connections {
            if let Some(socket) = self.sockets.get_mut(key).filter(|socket| !socket.orphaned) {
                socket.node = None;
                let by_reset = socket.unread() > 0 || socket.options.lingers() == Some(0);
                self.orphan(files, key, by_reset);
            }
        }
        let start = devices.monotonic_ns();
        loop {
            self.poll(files, devices);
            let now = devices.monotonic_ns();
            let wanted = if self.has_unacknowledged() { PATIENCE } else { DEPARTURE };
            let end = start.saturating_add(wanted);
            let Some(device) = self.device.as_deref_mut() else { return };
            let done = wanted == DEPARTURE && device.stack.stalled.is_empty();
            if done || now >= end {
                return;
            }
            device.wait(false, end);
        }
    }

    /// Returns true if some connection has data or a FIN that its peer has not acknowledged.
    fn has_unacknowledged(&self) -> bool {
        let Some(device) = &self.device else { return false };
        device.stack.connections.values().any(|key| {
            let connection = self.sockets.get(*key).and_then(Socket::connection);
            connection.is_some_and(|connection| !connection.is_acknowledged())
        })
    }
}

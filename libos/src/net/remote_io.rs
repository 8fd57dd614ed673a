//! Data of connections through the device.

use super::{Net, SocketKey};
use crate::errno::Errno;
use crate::fs::Files;
use crate::fs::buffers::Buffers;
use crate::fs::watch::wait;
use crate::syscall_result::SyscallResult;

impl Net {
    /// Sends as much as there is room for.
    pub(super) fn send_remote(
        &mut self,
        files: &mut Files,
        key: SocketKey,
        from: Buffers<'_>,
        nonblocking: bool,
    ) -> SyscallResult {
        let socket = &mut self.sockets[key];
        let node = socket.node()?;
        let later = || if nonblocking { Errno::EAGAIN.into() } else { wait(node) };
        let Some(connection) = socket.connection_mut() else { return Err(Errno::EPIPE.into()) };
        if connection.is_opening() {
            return Err(later());
        }
        let (mut done, length) = (0, from.length());
        while done < length {
            let filled = connection.tcp().send(|room| match from.fill(done, room) {
                Ok(count) => (count, Ok(count)),
                Err(errno) => (0, Err(errno)),
            });
            match filled.map_err(|_| Errno::EPIPE)? {
                Ok(0) => break,
                Ok(count) => done += count as u64,
                Err(errno) if done == 0 => return Err(errno.into()),
                Err(_) => break,
            }
        }
        connection.note();
        if length > 0 && done == 0 {
            return Err(later());
        }
        self.flush_socket(files, key);
        Ok(done)
    }

    /// Reads the received data, of which there is some.
    pub(super) fn receive_remote(
        &mut self,
        files: &mut Files,
        key: SocketKey,
        into: Buffers<'_>,
        peek: bool,
    ) -> SyscallResult {
        let Some(connection) = self.sockets[key].connection_mut() else { return Err(Errno::ENOTCONN.into()) };
        let mut count = 0;
        loop {
            let read = |bytes: &[u8]| into.scatter(count, bytes);
            let moved = if peek {
                let wanted = into.length() as usize;
                connection.tcp().peek(wanted).map(read)
            } else {
                connection.tcp().recv(|bytes| match read(bytes) {
                    Ok(moved) => (moved, Ok(moved)),
                    Err(errno) => (0, Err(errno)),
                })
            };
            match moved {
                Ok(Ok(moved)) if moved > 0 => count += moved as u64,
                Ok(Err(errno)) if count == 0 => return Err(errno.into()),
                _ => break,
            }
            if peek {
                break;
            }
        }
        connection.note();
        if !peek {
            self.flush_socket(files, key);
        }
        Ok(count)
    }

    /// Ends the sending side of a connected socket (FIN).
    pub(super) fn finish_remote(&mut self, files: &mut Files, key: SocketKey) {
        self.sockets[key].write_shut = true;
        if let Some(connection) = self.sockets[key].connection_mut() {
            connection.close();
        }
        self.flush_socket(files, key);
    }
}

//! What calls on sockets of the internet families have in common: finding the socket, and letting it work.

use super::files::{Outside, settle};
use crate::errno::Errno;
use crate::fs::Files;
use crate::fs::device::Devices;
use crate::fs::foreign::{Foreign, Owner};
use crate::libos::Libos;
use crate::net::{Net, SocketKey};

/// A socket that a call names.
#[derive(Clone, Copy, Debug)]
pub enum Socket {
    /// Of `AF_UNIX`: the files know it by the descriptor.
    Unix,
    /// Of `AF_INET` or `AF_INET6`.
    Internet(SocketKey),
}

/// The socket that a descriptor stands for; ENOTSOCK if it stands for another file.
pub fn socket(libos: &Libos, file: i32) -> Result<Socket, Errno> {
    match libos.files.foreign(file)? {
        Some(Foreign { owner: Owner::Socket, handle }) => libos.net.socket(handle).map(Socket::Internet),
        _ => libos.files.socket_node(file).map(|_| Socket::Unix),
    }
}

/// The socket of the internet families that a descriptor stands for, if it does.
pub fn internet(libos: &Libos, file: i32) -> Option<SocketKey> {
    if let Ok(Socket::Internet(socket)) = socket(libos, file) { Some(socket) } else { None }
}

/// Lets `call` work on the sockets; wakes who waits for one, if that has changed any.
pub fn network<T>(libos: &mut Libos, call: impl FnOnce(&mut Net, &mut Files, &mut dyn Devices) -> T) -> T {
    let Libos { files, net, random, threads, .. } = libos;
    let result = call(net, files, &mut Outside::new(random, threads));
    settle(files, net, threads);
    result
}

//! Names of sockets: a path, or *abstract* bytes, which begin with a NUL and are in no directory.

use crate::errno::Errno;
use crate::fs::directory::boxed;
use alloc::boxed::Box;
use linux_raw_sys::net;

/// Longest name, in bytes.
pub const NAME_MAXIMUM: usize = net::UNIX_PATH_MAX as usize;
/// Bytes in front of the name in a `struct sockaddr_un`.
pub const FAMILY: usize = size_of::<u16>();

/// The name of a socket: a path without NUL, or abstract bytes after a NUL.
pub type Name = Box<[u8]>;

/// Parses the bytes of a `struct sockaddr_un`; `None` if it has only a family.
pub fn parse(address: &[u8]) -> Result<Option<Name>, Errno> {
    let (family, name) = address.split_at_checked(FAMILY).ok_or(Errno::EINVAL)?;
    if family != (net::AF_UNIX as u16).to_ne_bytes() || name.len() > NAME_MAXIMUM {
        return Err(Errno::EINVAL);
    }
    match name {
        [] => Ok(None),
        [0, ..] => boxed(name).map(Some),
        _ => boxed(name.split(|byte| *byte == 0).next().unwrap_or(name)).map(Some),
    }
}

/// Returns a name as a `struct sockaddr_un`, and its length in bytes.
pub fn format(name: Option<&Name>) -> ([u8; FAMILY + NAME_MAXIMUM + 1], usize) {
    let mut address = [0; FAMILY + NAME_MAXIMUM + 1];
    let name = name.map_or(&[][..], |name| name);
    let end = match name {
        [] | [0, ..] => 0,
        _ => 1,
    };
    for (slot, byte) in address.iter_mut().zip((net::AF_UNIX as u16).to_ne_bytes().iter().chain(name)) {
        *slot = *byte;
    }
    (address, FAMILY + name.len() + end)
}

#[cfg(test)]
mod tests {
    use super::*;

    fn survives(bytes: &[u8]) -> Result<(Vec<u8>, usize), Errno> {
        let name = parse(&[&1u16.to_ne_bytes(), bytes].concat())?;
        let (address, length) = format(name.as_ref());
        Ok((address[FAMILY..length].to_vec(), length))
    }

    #[test]
    fn paths_end_at_a_nul_and_abstract_names_do_not() {
        assert_eq!(survives(b"/tmp/a\0bc"), Ok((b"/tmp/a\0".to_vec(), 9)));
        assert_eq!(survives(b"\0a\0"), Ok((b"\0a\0".to_vec(), 5)));
        assert_eq!(survives(b""), Ok((vec![], 2)));
        assert_eq!(survives(&[b'a'; 108]).map(|(_, length)| length), Ok(111));
        assert_eq!(survives(&[b'a'; 109]), Err(Errno::EINVAL));
        assert_eq!(parse(&[2, 0, 0]), Err(Errno::EINVAL));
    }
}

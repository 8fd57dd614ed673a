//! A TAP interface of the host: a wire that the host's own network stack, a bridge or anything else holds the other end
//! of. Frames go from guest memory to the kernel and back without a copy in between.

#![expect(unsafe_code, reason = "interfaces are asked by ioctl, frames moved by system calls on guest memory")]

use super::{Parts, Unreachable, Wire};
use std::fs::{self, File, OpenOptions};
use std::io;
use std::mem::zeroed;
use std::os::fd::{AsRawFd, FromRawFd, OwnedFd, RawFd};
use std::os::unix::fs::OpenOptionsExt;

/// Largest frame payload that a guest can be told of.
const MTU_MAXIMUM: libc::c_int = u16::MAX as libc::c_int;

/// One TAP interface.
#[derive(Debug)]
pub struct Tap {
    file: File,
}

/// What is opened: the wire, the hardware address for the guest, and the most that a frame may carry.
pub type Opened = (Tap, [u8; 6], u16);

/// Opens the existing interface `name`.
pub fn by_name(name: &str) -> Result<Opened, String> {
    let mut request = request(name).ok_or_else(|| format!("'{name}' is not the name of an interface"))?;
    // SAFETY: the request has room for a name and its NUL.
    if unsafe { libc::if_nametoindex(request.ifr_name.as_ptr()) } == 0 {
        return Err(format!(
            "there is no interface '{name}'; make it: `ip tuntap add {name} mode tap user $USER && ip link set {name} up`"
        ));
    }
    let file = OpenOptions::new().read(true).write(true).custom_flags(libc::O_NONBLOCK).open("/dev/net/tun");
    let file = file.map_err(|error| format!("/dev/net/tun cannot be opened: {error}; load the tun module"))?;
    request.ifr_ifru.ifru_flags = (libc::IFF_TAP | libc::IFF_NO_PI) as libc::c_short;
    // SAFETY: the request is a variable of ours, of the type that this takes.
    let result = unsafe { libc::ioctl(file.as_raw_fd(), libc::TUNSETIFF as _, &mut request) };
    if result < 0 {
        let error = io::Error::last_os_error();
        let hint = match error.raw_os_error() {
            Some(libc::EBUSY) => "somebody else has it open",
            Some(libc::EPERM) => "make it yours: `ip tuntap add … user $USER`",
            _ => "is it a TAP interface with one queue?",
        };
        return Err(format!("interface '{name}' cannot be attached: {error}; {hint}"));
    }
    opened(file, name)
}

/// Takes the open TAP interface that we were started with as descriptor `descriptor`.
pub fn by_descriptor(descriptor: RawFd) -> Result<Opened, String> {
    let mut request = request("").unwrap_or_else(|| unreachable!("no name is a short one"));
    // SAFETY: the request is a variable of ours, of the type that this takes; the descriptor is a number.
    let result = unsafe { libc::ioctl(descriptor, libc::TUNGETIFF as _, &mut request) };
    if result < 0 {
        return Err(format!("descriptor {descriptor} is no open TAP interface: {}", io::Error::last_os_error()));
    }
    // SAFETY: the call succeeded, so it has set the flags.
    let flags = unsafe { request.ifr_ifru.ifru_flags };
    let has = |flag: libc::c_int| libc::c_int::from(flags) & flag != 0;
    if !has(libc::IFF_TAP) || !has(libc::IFF_NO_PI) || has(libc::IFF_VNET_HDR) {
        return Err(format!("descriptor {descriptor} must be opened with IFF_TAP | IFF_NO_PI and nothing else"));
    }
    // SAFETY: the descriptor is open, as the ioctl has shown, and given to us to keep.
    let file = File::from(unsafe { OwnedFd::from_raw_fd(descriptor) });
    // SAFETY: it changes flags of a file that is ours.
    unsafe { libc::fcntl(descriptor, libc::F_SETFL, libc::O_NONBLOCK) };
    let name: Vec<u8> = request.ifr_name.iter().map(|byte| *byte as u8).take_while(|byte| *byte != 0).collect();
    opened(file, &String::from_utf8_lossy(&name))
}

fn opened(file: File, name: &str) -> Result<Opened, String> {
    let mtu = mtu(name).map_err(|error| format!("the MTU of interface '{name}' is not told: {error}"))?;
    Ok((Tap { file }, stable_mac(name), mtu))
}

/// A request about the interface `name`, which may be 15 bytes long.
fn request(name: &str) -> Option<libc::ifreq> {
    // SAFETY: all zeros is a valid value.
    let mut request: libc::ifreq = unsafe { zeroed() };
    let is_plain = !name.contains(['/', '\0']) && name != "." && name != "..";
    if name.len() >= request.ifr_name.len() || !is_plain {
        return None;
    }
    request.ifr_name.iter_mut().zip(name.bytes()).for_each(|(to, from)| *to = from as libc::c_char);
    Some(request)
}

/// The MTU of an interface.
fn mtu(name: &str) -> io::Result<u16> {
    let mut request = request(name).ok_or(io::ErrorKind::InvalidInput)?;
    // SAFETY: makes a new descriptor.
    let socket = unsafe { libc::socket(libc::AF_INET, libc::SOCK_DGRAM | libc::SOCK_CLOEXEC, 0) };
    if socket < 0 {
        return Err(io::Error::last_os_error());
    }
    // SAFETY: it was just made, and is nobody else's.
    let socket = unsafe { OwnedFd::from_raw_fd(socket) };
    // SAFETY: the request is a variable of ours, of the type that this takes.
    if unsafe { libc::ioctl(socket.as_raw_fd(), libc::SIOCGIFMTU as _, &mut request) } < 0 {
        return Err(io::Error::last_os_error());
    }
    // SAFETY: the call succeeded, so it has set the MTU.
    let mtu = unsafe { request.ifr_ifru.ifru_mtu };
    Ok(mtu.clamp(0, MTU_MAXIMUM) as u16)
}

/// A hardware address that is the same each time for this interface of this machine, and another for another.
fn stable_mac(interface: &str) -> [u8; 6] {
    let machine = fs::read("/etc/machine-id").unwrap_or_default();
    // FNV-1a: nothing is secret here.
    let hash = machine
        .iter()
        .chain(interface.as_bytes())
        .fold(0xcbf2_9ce4_8422_2325_u64, |hash, byte| (hash ^ u64::from(*byte)).wrapping_mul(0x0000_0100_0000_01b3));
    let [a, b, c, d, e, ..] = hash.to_be_bytes();
    // Of one interface, and given by nobody who sells cards (IEEE 802, 8.2).
    [0x02, a, b, c, d, e]
}

impl Wire for Tap {
    fn send(&mut self, frame: &Parts) -> Result<(), Unreachable> {
        let (vectors, count) = frame.vectors();
        // SAFETY: each vector was checked to be guest memory; should it be protected by now, the kernel says EFAULT.
        let result = unsafe { libc::writev(self.file.as_raw_fd(), vectors.as_ptr(), count as libc::c_int) };
        match result < 0 && io::Error::last_os_error().raw_os_error() == Some(libc::EFAULT) {
            true => Err(Unreachable),
            // Whatever else is wrong, such as an interface that is down: a wire loses frames.
            false => Ok(()),
        }
    }

    fn receive(&mut self, into: &Parts) -> Result<Option<usize>, Unreachable> {
        let (vectors, count) = into.vectors();
        // SAFETY: as above.
        let result = unsafe { libc::readv(self.file.as_raw_fd(), vectors.as_ptr(), count as libc::c_int) };
        match usize::try_from(result) {
            Ok(length) => Ok(Some(length)),
            Err(_) if io::Error::last_os_error().raw_os_error() == Some(libc::EFAULT) => Err(Unreachable),
            Err(_) => Ok(None),
        }
    }

    fn file(&self) -> RawFd {
        self.file.as_raw_fd()
    }
}

#[cfg(test)]
mod tests {
    use super::*;

    #[test]
    fn a_hardware_address_is_stable_and_local() {
        assert_eq!(stable_mac("tap0"), stable_mac("tap0"));
        assert_ne!(stable_mac("tap0"), stable_mac("tap1"));
        assert_eq!(stable_mac("tap0")[0] & 3, 2);
    }

    #[test]
    fn what_cannot_be_an_interface_is_refused() {
        assert!(by_name("a/b").expect_err("no name").contains("not the name"));
        assert!(by_name("sixteen-letters-").expect_err("too long").contains("not the name"));
        assert!(by_name("husk-none").expect_err("not there").contains("ip tuntap add husk-none"));
        assert!(by_descriptor(9999).expect_err("not open").contains("descriptor 9999"));
    }
}

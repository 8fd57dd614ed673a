//! TAP interface of the host: a wire with the host's network stack, a bridge or anything else at its far end. The kernel
//! copies frames from guest memory and back, without a copy in the tender for long ones.
//!
//! Each frame is preceded by the header of virtio's network devices (Virtio 1.2, 5.1.6), by which the kernel takes frames that
//! need offload (NEEDS_CSUM, GSO) and delivers some. That header is in the tender's memory: guests neither see nor write it.

#![expect(unsafe_code, reason = "interfaces are asked by ioctl, frames moved by system calls on guest memory")]

use super::wire::{Received, Wire};
use crate::confine::{Descriptors, Role};
use crate::devices::copy::{self, Unreachable};
use crate::devices::ring::Parts;
use husk_abi::device::{Offers, Offload, gso_type};
use husk_abi::ring::PARTS_MAXIMUM;
use std::fs::{self, File, OpenOptions};
use std::io;
use std::mem::zeroed;
use std::os::fd::{AsRawFd, FromRawFd, OwnedFd, RawFd};
use std::os::unix::fs::OpenOptionsExt;
use std::ptr;
use zerocopy::{FromBytes, Immutable, IntoBytes};

/// Largest frame payload that can be announced to a guest.
const MTU_MAXIMUM: libc::c_int = u16::MAX as libc::c_int;

/// Longest frame that is copied before it is sent, in bytes: a copy takes less time than a system call with vectors.
const COPIED: usize = 2048;

/// An open TAP interface.
#[derive(Debug)]
pub struct Tap {
    file: File,
    /// Copy of a frame, and its header.
    copy: Vec<u8>,
    /// True if frames are preceded by a header (IFF_VNET_HDR).
    has_header: bool,
    /// True if the kernel may deliver frames that need offload.
    guest_offloads: bool,
}

/// Header of a frame: `struct virtio_net_hdr`, in the byte order of the host.
#[derive(Clone, Copy, Debug, Default, FromBytes, IntoBytes, Immutable)]
#[repr(C)]
struct Header {
    flags: u8,
    gso_type: u8,
    /// Hint of the length of the protocol headers.
    hdr_len: u16,
    gso_size: u16,
    csum_start: u16,
    csum_offset: u16,
}

/// [`Header::flags`]: the checksum is missing, from `csum_start` on.
const NEEDS_CSUM: u8 = 1;
/// [`Header::flags`]: the checksum is valid.
const DATA_VALID: u8 = 2;

impl Header {
    fn new(offload: Offload) -> Self {
        let Offload { csum_start, csum_offset, gso_size, gso_type } = offload;
        let flags = if csum_start > 0 { NEEDS_CSUM } else { 0 };
        Self { flags, gso_type: gso_type as u8, hdr_len: 0, gso_size, csum_start, csum_offset }
    }

    /// Returns true if a frame with this header needs no offload.
    fn is_complete(&self) -> bool {
        self.flags & NEEDS_CSUM == 0 && u16::from(self.gso_type) == gso_type::NONE
    }

    fn vector(&mut self) -> libc::iovec {
        libc::iovec { iov_base: ptr::from_mut(self).cast(), iov_len: size_of::<Self>() }
    }
}

/// Result of opening: the wire, the hardware address for the guest, and the MTU.
pub type Opened = (Tap, [u8; 6], u16);

/// Opens the existing interface `name`.
pub fn by_name(name: &str) -> Result<Opened, String> {
    let mut request = request(name).ok_or_else(|| format!("'{name}' is not the name of an interface"))?;
    // SAFETY: `request` left room for a NUL after the name.
    if unsafe { libc::if_nametoindex(request.ifr_name.as_ptr()) } == 0 {
        return Err(format!(
            "there is no interface '{name}'; make it: `ip tuntap add {name} mode tap user $USER && ip link set {name} up`"
        ));
    }
    let file = OpenOptions::new().read(true).write(true).custom_flags(libc::O_NONBLOCK).open("/dev/net/tun");
    let file = file.map_err(|error| format!("/dev/net/tun cannot be opened: {error}; load the tun module"))?;
    request.ifr_ifru.ifru_flags = (libc::IFF_TAP | libc::IFF_NO_PI | libc::IFF_VNET_HDR) as libc::c_short;
    // SAFETY: `request` is a local variable of the type that TUNSETIFF takes.
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
    opened(file, name, true)
}

/// Takes the open TAP interface that the tender inherited as `descriptor`.
pub fn by_descriptor(descriptor: RawFd) -> Result<Opened, String> {
    let mut request = request("").unwrap_or_else(|| unreachable!("no name is a short one"));
    // SAFETY: `request` is a local variable of the type that TUNGETIFF fills; the kernel checks the descriptor.
    let result = unsafe { libc::ioctl(descriptor, libc::TUNGETIFF as _, &mut request) };
    if result < 0 {
        return Err(format!("descriptor {descriptor} is no open TAP interface: {}", io::Error::last_os_error()));
    }
    // SAFETY: the call succeeded, so it has set the flags.
    let flags = unsafe { request.ifr_ifru.ifru_flags };
    let has = |flag: libc::c_int| libc::c_int::from(flags) & flag != 0;
    if !has(libc::IFF_TAP) || !has(libc::IFF_NO_PI) {
        return Err(format!(
            "descriptor {descriptor} must be opened with IFF_TAP | IFF_NO_PI, IFF_VNET_HDR if you like"
        ));
    }
    // SAFETY: the ioctl has shown that the descriptor is open, and the user hands it over with `fd:`.
    let file = File::from(unsafe { OwnedFd::from_raw_fd(descriptor) });
    // SAFETY: all arguments are numbers; only the flags of this file change.
    unsafe { libc::fcntl(descriptor, libc::F_SETFL, libc::O_NONBLOCK) };
    let name: Vec<u8> = request.ifr_name.iter().map(|byte| *byte as u8).take_while(|byte| *byte != 0).collect();
    opened(file, &String::from_utf8_lossy(&name), has(libc::IFF_VNET_HDR))
}

fn opened(file: File, name: &str, has_header: bool) -> Result<Opened, String> {
    let mtu = mtu(name).map_err(|error| format!("the MTU of interface '{name}' is not told: {error}"))?;
    let copy = Vec::with_capacity(size_of::<Header>() + COPIED);
    copy::prepare();
    let mut tap = Tap { file, copy, has_header, guest_offloads: false };
    if has_header {
        let size = size_of::<Header>() as libc::c_int;
        // SAFETY: `size` is a local variable of the type that TUNSETVNETHDRSZ reads.
        if unsafe { libc::ioctl(tap.file.as_raw_fd(), libc::TUNSETVNETHDRSZ as _, &size) } < 0 {
            return Err(format!("interface '{name}' has no headers of frames: {}", io::Error::last_os_error()));
        }
        // A process that had the interface before may have set more.
        tap.set_offload(false);
    }
    Ok((tap, stable_mac(name), mtu))
}

/// Builds a request about the interface `name`, of up to 15 bytes.
fn request(name: &str) -> Option<libc::ifreq> {
    // SAFETY: all zeros is a valid `ifreq`.
    let mut request: libc::ifreq = unsafe { zeroed() };
    let is_plain = !name.contains(['/', '\0']) && name != "." && name != "..";
    if name.len() >= request.ifr_name.len() || !is_plain {
        return None;
    }
    request.ifr_name.iter_mut().zip(name.bytes()).for_each(|(to, from)| *to = from as libc::c_char);
    Some(request)
}

/// MTU of an interface.
fn mtu(name: &str) -> io::Result<u16> {
    let mut request = request(name).ok_or(io::ErrorKind::InvalidInput)?;
    // SAFETY: creates a new descriptor, and takes no pointer.
    let socket = unsafe { libc::socket(libc::AF_INET, libc::SOCK_DGRAM | libc::SOCK_CLOEXEC, 0) };
    if socket < 0 {
        return Err(io::Error::last_os_error());
    }
    // SAFETY: `socket` returned this descriptor just now, and it has no other owner.
    let socket = unsafe { OwnedFd::from_raw_fd(socket) };
    // SAFETY: `request` is a local variable of the type that SIOCGIFMTU fills.
    if unsafe { libc::ioctl(socket.as_raw_fd(), libc::SIOCGIFMTU as _, &mut request) } < 0 {
        return Err(io::Error::last_os_error());
    }
    // SAFETY: the call succeeded, so it has set the MTU.
    let mtu = unsafe { request.ifr_ifru.ifru_mtu };
    Ok(mtu.clamp(0, MTU_MAXIMUM) as u16)
}

/// Returns a hardware address that stays the same for this interface of this machine, and differs for others.
pub(super) fn stable_mac(interface: &str) -> [u8; 6] {
    let machine = fs::read("/etc/machine-id").unwrap_or_default();
    // FNV-1a: nothing is secret here.
    let hash = machine
        .iter()
        .chain(interface.as_bytes())
        .fold(0xcbf2_9ce4_8422_2325_u64, |hash, byte| (hash ^ u64::from(*byte)).wrapping_mul(0x0000_0100_0000_01b3));
    let [a, b, c, d, e, ..] = hash.to_be_bytes();
    // A unicast address, locally administered (IEEE 802, 8.2).
    [0x02, a, b, c, d, e]
}

impl Tap {
    /// Lets the kernel deliver frames that need offload, or not. If the ioctl fails, the kernel completes them.
    fn set_offload(&mut self, on: bool) {
        let features = if on { libc::TUN_F_CSUM | libc::TUN_F_TSO4 | libc::TUN_F_TSO6 } else { 0 };
        // SAFETY: all arguments are numbers.
        unsafe { libc::ioctl(self.file.as_raw_fd(), libc::TUNSETOFFLOAD as _, libc::c_ulong::from(features)) };
        self.guest_offloads = on;
    }

    /// Sends a copy of a frame.
    fn send_copy(&mut self, frame: &Parts, offload: Offload) -> Result<(), Unreachable> {
        self.copy.clear();
        if self.has_header {
            self.copy.extend_from_slice(Header::new(offload).as_bytes());
        }
        copy::from_guest(frame, &mut self.copy)?;
        // Errors, such as of an interface that is down, are ignored: a wire loses frames.
        // SAFETY: pointer and length are those of `self.copy`.
        unsafe { libc::syscall(libc::SYS_write, self.file.as_raw_fd(), self.copy.as_ptr(), self.copy.len()) };
        Ok(())
    }

    /// Calls writev(2) or readv(2), by its number, for a frame in `parts`, after `header` if frames have one, and before the
    /// byte `behind`. Returns the bytes moved, or the error number.
    fn transfer(
        &self,
        call: libc::c_long,
        header: &mut Header,
        parts: &Parts,
        behind: Option<&mut u8>,
    ) -> Result<usize, i32> {
        // Most frames are in one piece, and the longer array takes time to fill.
        match parts.only() {
            Some(_) => self.transfer_with::<3>(call, header, parts, behind),
            None => self.transfer_with::<{ PARTS_MAXIMUM + 2 }>(call, header, parts, behind),
        }
    }

    /// Does the work of `transfer` with an array of `VECTORS` vectors.
    fn transfer_with<const VECTORS: usize>(
        &self,
        call: libc::c_long,
        header: &mut Header,
        parts: &Parts,
        behind: Option<&mut u8>,
    ) -> Result<usize, i32> {
        let mut vectors = [libc::iovec { iov_base: ptr::null_mut(), iov_len: 0 }; VECTORS];
        let header = self.has_header.then(|| header.vector());
        let behind = behind.map(|byte| libc::iovec { iov_base: ptr::from_mut(byte).cast(), iov_len: 1 });
        let all = header.into_iter().chain(parts.vectors().iter().copied()).chain(behind);
        let count = vectors.iter_mut().zip(all).map(|(vector, one)| *vector = one).count();
        // Not by the C library's functions, which are cancellation points and therefore slower.
        // SAFETY: the vectors are of variables that outlive the call, and of guest memory that `ring::check` checked; if the
        // guest has protected that since, the kernel returns EFAULT.
        let result = unsafe { libc::syscall(call, self.file.as_raw_fd(), vectors.as_ptr(), count) };
        usize::try_from(result).map_err(|_| io::Error::last_os_error().raw_os_error().unwrap_or(libc::EIO))
    }
}

impl Wire for Tap {
    fn offers(&self) -> Offers {
        if self.has_header { Offers::OFFLOAD } else { Offers::empty() }
    }

    fn send(&mut self, frame: &Parts, offload: Offload) -> Result<(), Unreachable> {
        if frame.length() <= COPIED {
            return self.send_copy(frame, offload);
        }
        match self.transfer(libc::SYS_writev, &mut Header::new(offload), frame, None) {
            Err(libc::EFAULT) => Err(Unreachable),
            // Other errors, such as of an interface that is down, are ignored: a wire loses frames.
            _ => Ok(()),
        }
    }

    fn receive(&mut self, into: &Parts, guest_offloads: bool) -> Result<Option<Received>, Unreachable> {
        if self.has_header && guest_offloads != self.guest_offloads {
            self.set_offload(guest_offloads);
        }
        // A frame that reaches the byte behind the buffer does not fit.
        let (mut header, mut behind) = (Header::default(), 0);
        let length = match self.transfer(libc::SYS_readv, &mut header, into, Some(&mut behind)) {
            Ok(length) => length,
            Err(libc::EFAULT) => return Err(Unreachable),
            Err(_) => return Ok(None),
        };
        let length = length.saturating_sub(if self.has_header { size_of::<Header>() } else { 0 });
        let fits = length <= into.length() && (guest_offloads || header.is_complete());
        let checked = guest_offloads && header.flags & (NEEDS_CSUM | DATA_VALID) != 0;
        Ok(Some(if fits { Received::Frame { length, checked } } else { Received::Dropped }))
    }

    fn file(&self) -> RawFd {
        self.file.as_raw_fd()
    }

    fn list(&self, descriptors: &mut Descriptors) {
        descriptors.add(Role::Interface, &self.file);
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

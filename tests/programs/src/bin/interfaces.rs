//! Prints the network interfaces, with their addresses, by C's functions: getifaddrs, if_nameindex, if_nametoindex.

use libc::{AF_INET, AF_INET6, getifaddrs, if_freenameindex, if_nameindex, if_nametoindex, ifaddrs, sockaddr};
use std::ffi::CStr;
use std::net::{IpAddr, Ipv4Addr, Ipv6Addr};
use std::ptr::null_mut;

/// Returns the address in a `struct sockaddr`, if it is of IPv4 or IPv6.
fn address(from: *const sockaddr) -> Option<IpAddr> {
    // SAFETY: the pointer is null, or comes from getifaddrs(3).
    match unsafe { from.as_ref() }?.sa_family.into() {
        // SAFETY: the family says that the address is a sockaddr_in.
        AF_INET => {
            Some(Ipv4Addr::from(u32::from_be(unsafe { *from.cast::<libc::sockaddr_in>() }.sin_addr.s_addr)).into())
        }
        // SAFETY: the family says that the address is a sockaddr_in6.
        AF_INET6 => Some(Ipv6Addr::from(unsafe { *from.cast::<libc::sockaddr_in6>() }.sin6_addr.s6_addr).into()),
        _ => None,
    }
}

fn main() {
    let mut first: *mut ifaddrs = null_mut();
    // SAFETY: getifaddrs(3) writes a pointer to a local variable.
    assert_eq!(unsafe { getifaddrs(&mut first) }, 0, "{}", std::io::Error::last_os_error());
    // SAFETY: the pointer is null at the end of the list, or leads to one of its entries, which are never freed.
    while let Some(entry) = unsafe { first.as_ref() } {
        first = entry.ifa_next;
        // SAFETY: getifaddrs(3) sets the name to a string.
        let name = unsafe { CStr::from_ptr(entry.ifa_name) }.to_string_lossy();
        if let (Some(address), Some(mask)) = (address(entry.ifa_addr), address(entry.ifa_netmask)) {
            let prefix = match mask {
                IpAddr::V4(mask) => mask.to_bits().leading_ones(),
                IpAddr::V6(mask) => mask.to_bits().leading_ones(),
            };
            println!("{name} {address}/{prefix}");
        }
    }
    // SAFETY: if_nameindex(3) takes no arguments.
    let list = unsafe { if_nameindex() };
    assert!(!list.is_null(), "{}", std::io::Error::last_os_error());
    // SAFETY: the list ends with an entry without a number.
    for entry in (0..).map(|at| unsafe { *list.add(at) }).take_while(|entry| entry.if_index != 0) {
        // SAFETY: if_nameindex(3) sets the name to a string.
        assert_eq!(unsafe { if_nametoindex(entry.if_name) }, entry.if_index);
        // SAFETY: if_nameindex(3) sets the name to a string.
        println!("{} {}", entry.if_index, unsafe { CStr::from_ptr(entry.if_name) }.to_string_lossy());
    }
    // SAFETY: the list comes from if_nameindex(3), and is not used any more.
    unsafe { if_freenameindex(list) };
}

//! Files of the host, as a program sees them.

use super::Machine;
use crate::errno::Errno;
use crate::fs::host::{Contents, HostFiles};
use crate::fs::tree::tests::example;
use linux_raw_sys::general::{self as linux, AT_FDCWD};

/// Stands in for the tender.
fn read(path: &[u8]) -> Result<Contents, Errno> {
    match path {
        b"/etc/ssl/certs/all.crt" => Ok(Contents::File(vec![b'c'; 10_000])),
        b"/etc/localtime" => Ok(Contents::Link(b"/usr/share/zones/Europe/Paris".to_vec())),
        b"/etc/hosts" => Ok(Contents::File(b"the host's".to_vec())),
        b"/usr/share/zones" => {
            Ok(Contents::Directory(b"\x02Europe\0\x01UTC\0\x01broken\0\x01linked\0\x01..\0\x01a/b\0\x01\0\0".to_vec()))
        }
        b"/usr/share/zones/Europe" | b"/usr/share/zones/linked" => Ok(Contents::Directory(b"\x01Paris\0".to_vec())),
        b"/usr/share/zones/Europe/Paris" | b"/usr/share/zones/linked/Paris" => Ok(Contents::File(b"CET".to_vec())),
        _ => Err(Errno::ENOENT),
    }
}

fn machine(image_files: fn() -> Result<&'static [u8], Errno>) -> Machine {
    let paths: [&[u8]; 5] =
        [b"/etc/ssl/certs/all.crt", b"/usr/share/zones/", b"/etc/localtime", b"/etc/hosts", b"/proc/what/ever"];
    Machine::with(image_files, HostFiles { paths: paths.to_vec(), read })
}

#[test]
fn a_file_is_read_when_it_is_looked_for() {
    let mut machine = machine(|| Ok(&[]));
    assert!(machine.files.stat(AT_FDCWD, b"/tmp", 0).is_ok());
    let before = machine.files.quota.used;
    let stat = machine.files.stat(AT_FDCWD, b"/etc/ssl/certs/all.crt", 0).expect("is there");
    assert_eq!((stat.size, stat.mode, stat.links), (10_000, linux::S_IFREG | 0o644, 1));
    assert!(machine.files.quota.used >= before + 3 * 4096 - 100, "it is paid for");
    let file = machine.open("/etc/ssl/certs/all.crt", linux::O_RDONLY).expect("can be opened");
    assert_eq!(machine.read(file, None, 20_000).expect("can be read"), [b'c'; 10_000]);
    assert_eq!(machine.open("/etc/ssl/certs/none", linux::O_RDONLY), Err(Errno::ENOENT));
    assert_eq!(machine.open("/proc/what/ever", linux::O_RDONLY), Err(Errno::ENOENT));
}

#[test]
fn directories_are_listed_and_links_followed() {
    let mut machine = machine(|| Ok(&[]));
    assert_eq!(machine.files.read_link(AT_FDCWD, b"/etc/localtime").expect("a link"), b"/usr/share/zones/Europe/Paris");
    let file = machine.open("/etc/localtime", linux::O_RDONLY).expect("can be opened");
    assert_eq!(machine.read(file, None, 100).expect("can be read"), b"CET");
    let zones = machine.open("/usr/share/zones", linux::O_RDONLY).expect("is there");
    assert_eq!(machine.names(zones, 4096).expect("listed"), [".", "..", "Europe", "UTC", "broken", "linked"]);
    assert_eq!(machine.files.stat(AT_FDCWD, b"/usr/share/zones", 0).expect("is there").links, 3);
    assert_eq!(machine.open("/usr/share/zones/broken", linux::O_RDONLY), Err(Errno::ENOENT));
    assert_eq!(
        machine.files.remove_directory(AT_FDCWD, b"/usr/share/zones/Europe", Default::default()),
        Err(Errno::ENOTEMPTY)
    );
}

#[test]
fn a_link_to_a_directory_is_a_directory() {
    let mut machine = machine(|| Ok(&[]));
    let file = machine.open("/usr/share/zones/linked/Paris", linux::O_RDONLY).expect("can be opened");
    assert_eq!(machine.read(file, None, 100).expect("can be read"), b"CET");
    let file = machine.open("/usr/share/zones/linked/../linked/Paris", linux::O_RDONLY).expect("can be opened");
    assert_eq!(machine.read(file, None, 100).expect("can be read"), b"CET");
    let linked = machine.open("/usr/share/zones/linked", linux::O_RDONLY | linux::O_DIRECTORY).expect("is one");
    assert_eq!(machine.names(linked, 4096).expect("listed"), [".", "..", "Paris"]);
    let stat = machine.files.stat(AT_FDCWD, b"/usr/share/zones/linked", 0).expect("is there");
    assert_eq!((stat.mode, stat.links), (linux::S_IFDIR | 0o755, 2));
    assert_eq!(machine.files.stat(AT_FDCWD, b"/usr/share/zones", 0).expect("is there").links, 4);
    machine.files.unlink(AT_FDCWD, b"/usr/share/zones/linked/Paris", Default::default()).expect("can be removed");
    machine.files.remove_directory(AT_FDCWD, b"/usr/share/zones/linked", Default::default()).expect("it is empty");
    assert_eq!(machine.files.stat(AT_FDCWD, b"/usr/share/zones", 0).expect("is there").links, 3);
}

#[test]
fn a_program_may_change_its_copy() {
    let mut machine = machine(|| Ok(&[]));
    let hosts = machine.open("/etc/hosts", linux::O_RDWR).expect("can be opened");
    assert_eq!(machine.read(hosts, None, 100).expect("can be read"), b"the host's");
    machine.files.set_resolver(b"nameserver 1.1.1.1\n".to_vec()).expect("memory");
    machine.files.write_text(b"/etc/hosts", b"mine").expect("can be written");
    let again = machine.open("/etc/hosts", linux::O_RDONLY).expect("can be opened");
    assert_eq!(machine.read(again, None, 100).expect("can be read"), b"mine");
    machine.files.unlink(AT_FDCWD, b"/etc/localtime", Default::default()).expect("can be removed");
    assert_eq!(machine.open("/etc/localtime", linux::O_RDONLY), Err(Errno::ENOENT));
}

#[test]
fn files_of_the_image_replace_those_of_the_host() {
    let mut machine = machine(|| Ok(example()));
    let hosts = machine.open("/etc/hosts", linux::O_RDONLY).expect("the image's");
    assert_eq!(machine.read(hosts, None, 100).expect("can be read"), b"hosts");
    let other = machine.open("/etc/ssl/certs/all.crt", linux::O_RDONLY).expect("the host's");
    assert_eq!(machine.read(other, None, 2).expect("can be read"), b"cc");
}

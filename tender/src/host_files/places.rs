//! Places of the host's certificates and time zones, and the paths at which a guest finds them.

use super::folder::Folder;
use super::{Entry, Source};
use crate::confine::files;
use crate::host::regular::open;
use std::ffi::OsString;
use std::os::unix::ffi::OsStrExt;
use std::path::{Component, Path, PathBuf};

/// Variable that names the bundle of certificates, for OpenSSL and most libraries for TLS.
const BUNDLE_VARIABLE: &str = "SSL_CERT_FILE";
/// Places of the bundle on the host: of Debian and Arch, Fedora and RHEL, SUSE, Alpine and the BSDs.
const BUNDLES: [&str; 6] = [
    "/etc/ssl/certs/ca-certificates.crt",
    "/etc/pki/ca-trust/extracted/pem/tls-ca-bundle.pem",
    "/etc/pki/tls/certs/ca-bundle.crt",
    "/etc/ssl/ca-bundle.pem",
    "/etc/ssl/cert.pem",
    "/usr/local/share/certs/ca-root-nss.crt",
];
/// Places of the bundle in the guest, where libraries look first.
const GUEST_BUNDLES: [&str; 3] = [BUNDLES[0], BUNDLES[2], BUNDLES[4]];

/// Places of the time zones on the host.
const ZONES: [&str; 4] = ["/usr/share/zoneinfo", "/usr/lib/zoneinfo", "/usr/share/lib/zoneinfo", "/etc/zoneinfo"];
/// Place of the time zones in the guest.
const GUEST_ZONES: &str = "/usr/share/zoneinfo/";
/// Local time.
const LOCAL_TIME: &str = "/etc/localtime";

/// Opens the bundle of certificates: that of husk's own environment, else the system's.
pub fn certificates() -> Option<Entry> {
    let named = std::env::var_os(BUNDLE_VARIABLE).map(PathBuf::from).filter(|path| is_plain(path));
    let places = named.iter().map(PathBuf::as_path).chain(BUNDLES.map(Path::new));
    let (file, path) = places.filter_map(|path| Some((open(path)?, path))).next()?;
    let mut paths: Vec<OsString> = GUEST_BUNDLES.map(OsString::from).into();
    // A program that gets the variable finds the bundle where it says.
    if let Some(named) = named.as_ref().filter(|named| *named == path && !paths.iter().any(|path| *named == path)) {
        paths.push(named.into());
    }
    Some(Entry { paths, source: Source::File(file, path.into()) })
}

/// Returns true for an absolute path without `..` outside of the file systems that the guest has itself.
fn is_plain(path: &Path) -> bool {
    let is_own = ["/proc", "/sys", "/dev"].iter().any(|own| path.starts_with(own));
    let has_name = |part: Component<'_>| matches!(part, Component::RootDir | Component::Normal(_));
    path.is_absolute() && !is_own && path.components().all(has_name) && path.as_os_str().len() < 256
}

/// Opens time zones and local time. The zones are opened while the guest runs, so they take a kernel with Landlock, which confines the
/// process to them; without it, the guest has local time alone.
pub fn time() -> [Option<Entry>; 2] {
    let zones = files::version().and_then(|_| {
        let (folder, path) = ZONES.iter().find_map(|path| Some((Folder::open(Path::new(path)).ok()?, path)))?;
        Some(Entry::new(GUEST_ZONES, Source::Folder(folder, path.into())))
    });
    let target = std::fs::read_link(LOCAL_TIME).ok().filter(|_| zones.is_some());
    let local = match target.as_deref().and_then(zone) {
        Some(zone) => Some(Source::Link([GUEST_ZONES.as_bytes(), zone].concat())),
        None => open(Path::new(LOCAL_TIME)).map(|file| Source::File(file, LOCAL_TIME.into())),
    };
    [zones, local.map(|source| Entry::new(LOCAL_TIME, source))]
}

/// Name of the zone that a link leads to.
fn zone(target: &Path) -> Option<&[u8]> {
    let bytes = target.as_os_str().as_bytes();
    let start = bytes.windows(b"/zoneinfo/".len()).rposition(|part| part == b"/zoneinfo/")? + b"/zoneinfo/".len();
    Some(&bytes[start..]).filter(|zone| !zone.is_empty())
}

#[cfg(test)]
mod tests {
    use super::*;

    #[test]
    fn a_link_to_a_zone_names_it() {
        let named = |target: &str| zone(Path::new(target)).map(|zone| String::from_utf8_lossy(zone).into_owned());
        assert_eq!(named("/usr/share/zoneinfo/Europe/Paris").as_deref(), Some("Europe/Paris"));
        assert_eq!(named("../usr/share/zoneinfo/Etc/UTC").as_deref(), Some("Etc/UTC"));
        assert_eq!(named("/etc/zoneinfo/UTC").as_deref(), Some("UTC"));
        for other in ["/etc/alternatives/localtime", "/usr/share/zoneinfo/", "zoneinfo"] {
            assert_eq!(named(other), None, "{other}");
        }
    }

    #[test]
    fn a_bundle_is_where_a_guest_has_files() {
        assert!(is_plain(Path::new("/opt/corp/ca.pem")));
        for odd in ["ca.pem", "/proc/self/environ", "/dev/stdin", "/sys/a", "/opt/../etc/shadow", ""] {
            assert!(!is_plain(Path::new(odd)), "{odd}");
        }
    }
}

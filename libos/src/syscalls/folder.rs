//! Calls on paths and files of the host's folders: each asks the host ([`crate::folders`]).
//!
//! A path that the host finds to leave its folder, by a link or `..`, goes on in the guest's tree, as on Linux: [`lead_out`] walks
//! it component by component up to that point.

use crate::errno::Errno;
use crate::fs::folder::{Ask, FolderFile, Memory, Place, Reply, joined};
use crate::state::Libos;
use crate::syscall_result::Stop;
use alloc::vec::Vec;
use husk::abi::folder::{OUTSIDE, READ_LINK, ROOT, Request};
use linux_raw_sys::general::AT_FDCWD;

/// Most links that a path follows.
const LINKS_MAXIMUM: usize = 40;
/// Longest target of a link.
const TARGET_MAXIMUM: usize = 4096;

/// Outcome of a request about a path.
#[derive(Debug)]
pub enum Reached {
    /// The path leads to no folder: directory and path to go on with.
    Elsewhere(i32, Vec<u8>),
    /// The reply, and the place in the folder.
    Folder(Reply, Place),
}

/// Treatment of a path.
#[derive(Clone, Copy, Debug, PartialEq, Eq)]
pub struct How {
    /// True if a link at the end is followed.
    pub follow: bool,
    /// True if an empty path is the file of the descriptor.
    pub empty: bool,
}

impl How {
    /// A path whose last name is not followed.
    pub const NAME: Self = Self { follow: false, empty: false };
}

/// Makes a request without data about the file at a path, if that is in a folder.
pub fn request(
    libos: &mut Libos,
    directory: i32,
    path: Vec<u8>,
    how: How,
    operation: u16,
    request: Request,
) -> Result<Reached, Stop> {
    reach(libos, (directory, path), how, (operation, request), b"", 0)
}

/// Makes a request about the file at a path, if that is in a folder, with a second name and that many bytes of data.
pub fn reach(
    libos: &mut Libos,
    (mut directory, mut path): (i32, Vec<u8>),
    how: How,
    (operation, request): (u16, Request),
    second: &[u8],
    length: usize,
) -> Result<Reached, Stop> {
    for _ in 0..LINKS_MAXIMUM {
        let Some(mut place) = libos.files.place(directory, &path, how.follow, how.empty)? else {
            return Ok(Reached::Elsewhere(directory, path));
        };
        let mut ask_at = |place: &Place| {
            let (data, names) = (Memory::own(length)?, [&place.path, second]);
            let request = Request { handle: place.base, ..request };
            send(libos, place.folder, Ask { operation, request, number: None, names, data })
        };
        let mut reply = ask_at(&place)?;
        if reply.answer.error == OUTSIDE && place.base != ROOT {
            // What is above the directory may still be in the folder.
            place = Place { base: ROOT, path: place.whole()?, prefix: Vec::new(), ..place };
            reply = ask_at(&place)?;
        }
        if reply.answer.error != OUTSIDE {
            return Ok(Reached::Folder(reply.check()?, place));
        }
        let led = lead_out(libos, &place, how.follow)?;
        if directory == AT_FDCWD && led == path {
            // No link leads out: the host has mounted something there, which is not of the folder.
            return Err(Errno::EXDEV.into());
        }
        (directory, path) = (AT_FDCWD, led);
    }
    Err(Errno::ELOOP.into())
}

/// Makes a request.
pub fn send(libos: &mut Libos, folder: u32, ask: Ask<'_>) -> Result<Reply, Stop> {
    let Libos { folders, threads, .. } = libos;
    folders.ask(threads, folder, ask)
}

/// Makes a request about an open file.
pub fn about(libos: &mut Libos, file: FolderFile, operation: u16, request: Request) -> Result<Reply, Stop> {
    Ok(send(libos, file.folder, file.ask(operation, request))?.check()?)
}

/// Makes a request about an open file, with an answer of that many bytes.
pub fn about_with(
    libos: &mut Libos,
    file: FolderFile,
    operation: u16,
    request: Request,
    length: usize,
) -> Result<Reply, Stop> {
    let data = Memory::own(length)?;
    Ok(send(libos, file.folder, Ask { data, ..file.ask(operation, request) })?.check()?)
}

/// Makes a request about an open file that has an effect: see [`crate::folders::Folders::ask_last`].
pub fn finally(libos: &mut Libos, file: FolderFile, operation: u16, request: Request) -> Result<Reply, Stop> {
    let Libos { folders, threads, .. } = libos;
    Ok(folders.ask_last(threads, file.folder, file.ask(operation, request))?.check()?)
}

/// Target of the link at a path of a folder; `None` if the file there is no link.
fn link_at(libos: &mut Libos, folder: u32, path: &[u8]) -> Result<Option<Vec<u8>>, Stop> {
    let request = Request { handle: ROOT, ..Request::default() };
    let data = Memory::own(TARGET_MAXIMUM)?;
    let ask = Ask { operation: READ_LINK, request, number: None, names: [path, b""], data };
    match send(libos, folder, ask)?.check() {
        Ok(reply) => Ok(Some(joined(reply.counted(), b"")?)),
        Err(Errno::EINVAL) => Ok(None),
        Err(errno) => Err(errno.into()),
    }
}

/// Returns the path in the guest's tree at which a path goes on that leaves its folder; or the path without links, if it does
/// not leave any more. ELOOP if there are too many links.
pub fn lead_out(libos: &mut Libos, place: &Place, follow: bool) -> Result<Vec<u8>, Stop> {
    let mount = joined(&libos.files.folder(place.folder).ok_or(Errno::EIO)?.path, b"")?;
    let (mut rest, mut done) = (place.whole()?, Vec::new());
    for _ in 0..=LINKS_MAXIMUM {
        let Some(target) = next_link(libos, place.folder, &mut done, &mut rest, follow)? else {
            // What is left begins with `..` at the mount point.
            return Ok(joined(&joined(&mount, &done)?, &rest)?);
        };
        rest = joined(&target, &rest)?;
        if target.starts_with(b"/") {
            return Ok(rest);
        }
    }
    Err(Errno::ELOOP.into())
}

/// Path of a name from the root of its folder, without links and `..` on the way; `None` if it cannot be found.
pub fn real(libos: &mut Libos, place: &Place) -> Result<Option<Vec<u8>>, Stop> {
    let path = match lead_out(libos, place, false) {
        Ok(path) => path,
        Err(Stop::Errno(_)) => return Ok(None),
        Err(wait) => return Err(wait),
    };
    let mount = libos.files.folder(place.folder).map_or(&[][..], |folder| &folder.path);
    Ok(path.strip_prefix(mount).and_then(|path| path.strip_prefix(b"/")).map(<[u8]>::to_vec))
}

/// Follows the links of a path, also one at its end. Returns a directory and a path to the same file.
pub fn followed(libos: &mut Libos, mut directory: i32, mut path: Vec<u8>) -> Result<(i32, Vec<u8>), Stop> {
    for _ in 0..LINKS_MAXIMUM {
        let Some(place) = libos.files.place(directory, &path, true, false)? else { return Ok((directory, path)) };
        let next = lead_out(libos, &place, true)?;
        if directory == AT_FDCWD && next == path {
            return Ok((directory, path));
        }
        (directory, path) = (AT_FDCWD, next);
    }
    Err(Errno::ELOOP.into())
}

/// Moves components from `rest` to `done`, up to a link, whose target is returned, or up to a `..` above the folder.
fn next_link(
    libos: &mut Libos,
    folder: u32,
    done: &mut Vec<u8>,
    rest: &mut Vec<u8>,
    follow: bool,
) -> Result<Option<Vec<u8>>, Stop> {
    loop {
        let start = rest.iter().take_while(|byte| **byte == b'/').count();
        let end = rest.iter().skip(start).position(|byte| *byte == b'/').map_or(rest.len(), |end| start + end);
        let name = rest.get(start..end).unwrap_or_default();
        match name {
            b"" => {
                rest.clear();
                return Ok(None);
            }
            b"." => {}
            b".." if done.is_empty() => {
                rest.drain(..start);
                return Ok(None);
            }
            b".." => done.truncate(done.iter().rposition(|byte| *byte == b'/').unwrap_or(0)),
            _ => {
                let path = joined(done, name)?;
                let is_last = rest.get(end..).unwrap_or_default().iter().all(|byte| *byte == b'/');
                let target = if is_last && !follow { None } else { link_at(libos, folder, &path)? };
                if let Some(target) = target {
                    rest.drain(..end);
                    return Ok(Some(target));
                }
                *done = path;
            }
        }
        rest.drain(..end);
    }
}

//! Shared mappings of regular files: which addresses show which file, and how often.
//!
//! All mappings of a file lie in its window ([`super::shared`]), or, of a file that is as the image brought it and mapped to be
//! read only, in the image: writing to such a file is refused while it is mapped (ETXTBSY, as for a program that runs). A
//! mapping keeps its inode, whatever becomes of the descriptor and the name.

use super::Files;
use super::data::{PAGE, Shown};
use super::description::Access;
use super::handle::NodeKey;
use super::inode::{Kind, Time};
use super::mirror::Mirrored;
use super::steps::Steps;
use crate::errno::Errno;
use alloc::sync::Arc;
use alloc::vec::Vec;
use core::ops::Range;
use husk::abi::memory::{Region, Rights};

/// The files that have shared mappings, by ascending address.
#[derive(Debug, Default)]
pub struct Mappings(Vec<Mapping>);

/// Shared mappings of one file.
#[derive(Debug)]
struct Mapping {
    /// Addresses of the whole file, and of those that it may grow to.
    place: Region,
    /// The file; the mapping has a reference.
    node: NodeKey,
    /// Number of mappings of each page.
    mapped: Steps,
    /// Contents, if the file is one of a volume.
    mirror: Option<Mirrored>,
    /// The file by a descriptor for writing, if the volume's is mapped so; the mapping has a reference.
    writer: Option<NodeKey>,
}

/// Address that a program asks for.
#[derive(Clone, Copy, Debug, PartialEq, Eq)]
pub enum Wish {
    /// Any.
    Anywhere,
    /// This one, in place of an existing mapping.
    At(u64),
    /// This one, if there is no mapping.
    AtFree(u64),
}

impl Mapping {
    /// Pages of the file at these addresses, rounded to whole pages and cut to those of the file.
    fn pages(&self, address: u64, length: u64) -> Range<u64> {
        let end = address.saturating_add(length).min(self.place.end());
        let page = |address: u64| address.saturating_sub(self.place.start);
        page(address) / PAGE..page(end).div_ceil(PAGE)
    }

    /// EINVAL unless these pages of the file, from byte `offset` on, lie at `address`.
    fn check_wish(&self, address: u64, offset: u64, pages: &Range<u64>) -> Result<(), Errno> {
        let is_there = self.place.start.checked_add(offset) == Some(address);
        if is_there && pages.end * PAGE <= self.place.length { Ok(()) } else { Err(Errno::EINVAL) }
    }
}

impl Mappings {
    /// Returns true if no file is mapped.
    #[inline]
    pub fn is_empty(&self) -> bool {
        self.0.is_empty()
    }

    /// The mapping with the first addresses behind or at `address`.
    fn from(&self, address: u64) -> usize {
        self.0.partition_point(|mapping| mapping.place.end() <= address)
    }

    /// The mapping whose addresses contain `address`.
    fn at(&self, address: u64) -> Option<usize> {
        let at = self.from(address);
        self.0.get(at).filter(|mapping| mapping.place.contains(address)).map(|_| at)
    }

    /// Returns true if contents of files of volumes are mapped at any of these addresses, which are those of `mirror`.
    pub fn mirrors(&self, address: u64, length: u64) -> impl Iterator<Item = &Mirrored> {
        let end = address.saturating_add(length);
        let from = self.0.get(self.from(address)..).unwrap_or_default().iter();
        from.take_while(move |mapping| mapping.place.start < end).filter_map(|mapping| mapping.mirror.as_ref())
    }

    /// Returns whether all of these bytes are mapped, if the first lies where a file is.
    pub fn contains(&self, address: u64, length: u64) -> Option<bool> {
        let mapping = self.at(address).and_then(|at| self.0.get(at))?;
        let inside = address.checked_add(length).is_some_and(|end| end <= mapping.place.end());
        Some(inside && mapping.mapped.all(mapping.pages(address, length), |count| count > 0))
    }

    /// The file whose addresses begin at this one, if it is mapped there.
    pub(super) fn starting_at(&self, address: u64) -> Option<NodeKey> {
        let mapping = self.0.get(self.at(address)?).filter(|mapping| mapping.place.start == address)?;
        mapping.mapped.all(0..1, |count| count > 0).then_some(mapping.node)
    }

    /// Number of mappings of the first page of a file in memory.
    pub(super) fn count_of(&self, node: NodeKey) -> u64 {
        let mapping = self.of(node, None).and_then(|at| self.0.get(at));
        mapping.and_then(|mapping| mapping.mapped.runs(0..1).next()).map_or(0, |(_, count)| count.into())
    }

    fn of(&self, node: NodeKey, mirror: Option<&Mirrored>) -> Option<usize> {
        let is_same =
            |other: &Option<Mirrored>| other.as_ref().zip(mirror).is_some_and(|(it, other)| Arc::ptr_eq(it, other));
        self.0.iter().position(|mapping| mapping.node == node || is_same(&mapping.mirror))
    }
}

impl Files {
    /// mmap(2) with MAP_SHARED of the bytes `bytes` of a file, which begin at a page. Returns their address. ENODEV for what is
    /// neither a regular file in memory nor has a `mirror`: then the pages have no contents and no rights yet ([`Files::open_mapping`]).
    pub fn map(
        &mut self,
        descriptor: i32,
        bytes: Range<u64>,
        mirror: Option<&Mirrored>,
        rights: Rights,
        wish: Wish,
        now: Time,
    ) -> Result<u64, Errno> {
        let description = &self.descriptions[self.usable(descriptor)?];
        let (node, access) = (description.node, description.access());
        let may_store = access.contains(Access::WRITE);
        if !access.contains(Access::READ) || rights.contains(Rights::WRITE) && !may_store {
            return Err(Errno::EACCES);
        }
        self.map_node((node, mirror), may_store, bytes, rights, wish, now)
    }

    /// Maps bytes of a file like [`Files::map`], of which the caller has checked the access.
    pub(super) fn map_node(
        &mut self,
        (node, mirror): (NodeKey, Option<&Mirrored>),
        may_store: bool,
        bytes: Range<u64>,
        rights: Rights,
        wish: Wish,
        now: Time,
    ) -> Result<u64, Errno> {
        let pages = bytes.start / PAGE..bytes.end.div_ceil(PAGE);
        let known = self.mappings.of(node, mirror);
        if let Wish::At(address) | Wish::AtFree(address) = wish {
            let mapping = known.and_then(|known| self.mappings.0.get(known)).ok_or(Errno::EINVAL)?;
            mapping.check_wish(address, bytes.start, &pages)?;
            if wish == Wish::AtFree(address) && !mapping.mapped.all(pages.clone(), |count| count == 0) {
                return Err(Errno::EEXIST);
            }
        }
        let place = match mirror {
            Some(mirror) => mirror.lock().hold(pages.clone(), may_store)?,
            None => self.make_place(node, &pages, may_store, known.is_none())?,
        };
        let at = known.map_or_else(|| self.add_mapping(place, node, mirror), Ok)?;
        let mapping = &mut self.mappings.0[at];
        mapping.place = place;
        let replaces = matches!(wish, Wish::At(_));
        let counted = mapping.mapped.change(pages.clone(), |count| if replaces { count.max(1) } else { count + 1 });
        if let Err(errno) = counted {
            if mapping.mapped.is_zero() {
                self.remove_mapping(at);
            }
            return Err(errno);
        }
        if let Some(mirror) = mirror {
            self.note_writer(at, node, may_store, mirror);
            return Ok(place.start + bytes.start);
        }
        if let Err(errno) = self.grant(at, pages.clone(), may_store, rights) {
            self.unmap(place.start + pages.start * PAGE, (pages.end - pages.start) * PAGE, now)?;
            return Err(errno);
        }
        Ok(place.start + bytes.start)
    }

    /// Returns the addresses of a regular file, after moving these pages to their place there.
    fn make_place(
        &mut self,
        node: NodeKey,
        pages: &Range<u64>,
        may_store: bool,
        may_move: bool,
    ) -> Result<Region, Errno> {
        let Kind::Regular(data) = &mut self.nodes[node].kind else { return Err(Errno::ENODEV) };
        let image = data.unchanged().map(|image| Region { start: image.as_ptr() as u64, length: image.len() as u64 });
        // A small file shares its page with others, which a mapping must not show.
        let whole = image.filter(|image| image.start.is_multiple_of(PAGE) && image.length >= PAGE);
        let whole = whole.map(|image| Region { length: image.length.next_multiple_of(PAGE), ..image });
        if let Some(image) = whole.filter(|image| !may_store && pages.end * PAGE <= image.length) {
            return Ok(image);
        }
        data.check_changeable()?;
        data.hold(&mut self.quota, pages.clone(), may_move, may_store)
    }

    /// Notes by which descriptor changes to a mapped file of a volume are written back.
    fn note_writer(&mut self, at: usize, node: NodeKey, may_store: bool, mirror: &Mirrored) {
        if may_store
            && self.mappings.0[at].writer.is_none()
            && let Kind::Folder(opened) = &self.nodes[node].kind
        {
            let mut mirror = mirror.lock();
            mirror.writer = Some(opened.file);
            mirror.shared.iter_mut().for_each(|shared| shared.may_store = true);
            self.nodes.retain(node);
            self.mappings.0[at].writer = Some(node);
        }
    }

    /// Gives mapped pages of a volume's file the rights that their mapping asks for, now that they have contents.
    pub fn open_mapping(&mut self, address: u64, length: u64, rights: Rights) -> Result<(), Errno> {
        let at = self.mappings.at(address).ok_or(Errno::ENOMEM)?;
        let pages = self.mappings.0[at].pages(address, length);
        self.grant(at, pages, false, rights)
    }

    /// Gives these pages rights, once the mapping that asks for them is counted: together with those of other mappings.
    fn grant(&mut self, at: usize, pages: Range<u64>, may_store: bool, rights: Rights) -> Result<(), Errno> {
        let Self { mappings, nodes, .. } = self;
        let mapping = &mappings.0[at];
        if let Some(mirror) = &mapping.mirror {
            let mut mirror = mirror.lock();
            return mapping.mapped.runs(pages).try_for_each(|(run, count)| mirror.grant(run, rights, count > 1));
        }
        let Kind::Regular(data) = &mut nodes[mapping.node].kind else { return Err(Errno::ENODEV) };
        match &mut data.shown {
            Shown::Window(shared) => {
                shared.may_store |= may_store;
                mapping.mapped.runs(pages).try_for_each(|(run, count)| shared.grant(run, rights, count > 1))
            }
            shown => {
                *shown = Shown::Image;
                Ok(())
            }
        }
    }

    fn add_mapping(&mut self, place: Region, node: NodeKey, mirror: Option<&Mirrored>) -> Result<usize, Errno> {
        self.mappings.0.try_reserve(1).map_err(|_| Errno::ENOMEM)?;
        let at = self.mappings.from(place.start);
        self.mappings
            .0
            .insert(at, Mapping { place, node, mapped: Steps::default(), mirror: mirror.cloned(), writer: None });
        self.nodes.retain(node);
        Ok(at)
    }

    /// Forgets the mappings of a file, of which none is left.
    fn remove_mapping(&mut self, at: usize) {
        let Mapping { node, mirror, writer, .. } = self.mappings.0.remove(at);
        if let Some(mirror) = mirror {
            let mut mirror = mirror.lock();
            mirror.writer = None;
            mirror.shared.iter_mut().for_each(|shared| shared.may_store = false);
        }
        writer.into_iter().chain([node]).for_each(|node| self.release(node));
    }

    /// Unmaps what is mapped of a file at these addresses: of pages that are mapped several times, one mapping.
    pub fn unmap(&mut self, address: u64, length: u64, now: Time) -> Result<(), Errno> {
        let mut at = self.mappings.from(address);
        while let Some(mapping) = self.mappings.0.get_mut(at) {
            if mapping.place.start >= address.saturating_add(length) {
                break;
            }
            let pages = mapping.pages(address, length);
            mapping.mapped.change(pages.clone(), |count| count.saturating_sub(1))?;
            if let Some(mirror) = &mapping.mirror {
                let left = mapping.mapped.runs(pages).filter(|(_, count)| *count == 0);
                left.for_each(|(run, _)| mirror.lock().release(run));
            }
            if !mapping.mapped.is_zero() {
                at += 1;
                continue;
            }
            let node = mapping.node;
            if let Kind::Regular(data) = &mut self.nodes[node].kind {
                let stored = data.window().is_some_and(|shared| core::mem::take(&mut shared.stored));
                if matches!(data.shown, Shown::Image) {
                    data.shown = Shown::Nowhere;
                }
                data.trim();
                if stored {
                    self.nodes[node].modified(now);
                }
            }
            self.remove_mapping(at);
        }
        Ok(())
    }

    /// mprotect(2), if `address` lies where a file is.
    pub fn protect(&mut self, address: u64, length: u64, rights: Rights) -> Option<Result<(), Errno>> {
        let mapping = self.mappings.0.get(self.mappings.at(address)?)?;
        let pages = mapping.pages(address, length);
        if self.mappings.contains(address, length) != Some(true) {
            return Some(Err(Errno::ENOMEM));
        }
        let at = self.mappings.at(address)?;
        let stores = match (&mapping.mirror, &mut self.nodes[mapping.node].kind) {
            (Some(mirror), _) => mirror.lock().shared.as_ref().map(|shared| shared.may_store),
            (None, Kind::Regular(data)) => data.window().map(|shared| shared.may_store),
            _ => return None,
        };
        Some(match stores {
            None if rights != Rights::READ => Err(Errno::EACCES),
            Some(false) if rights.contains(Rights::WRITE) => Err(Errno::EACCES),
            may_store => self.grant(at, pages, may_store == Some(true), rights),
        })
    }

    /// mremap(2) to anywhere, if `address` lies where a file is: returns the address of the mapping of `new` bytes.
    pub fn remap(
        &mut self,
        address: u64,
        (old, new): (u64, u64),
        may_move: bool,
        now: Time,
    ) -> Option<Result<u64, Errno>> {
        let at = self.mappings.at(address)?;
        Some(self.resize_mapping(at, address, (old, new), may_move, now))
    }

    fn resize_mapping(
        &mut self,
        at: usize,
        address: u64,
        (old, new): (u64, u64),
        may_move: bool,
        now: Time,
    ) -> Result<u64, Errno> {
        if self.mappings.contains(address, old) != Some(true) {
            return Err(Errno::EFAULT);
        }
        let Some(mapping) = self.mappings.0.get(at) else { return Err(Errno::EFAULT) };
        let pages = mapping.pages(address, old);
        let is_mirror = mapping.mirror.is_some();
        let first = pages.start;
        let wanted = first..first.checked_add(new.div_ceil(PAGE)).ok_or(Errno::ENOMEM)?;
        if wanted.end <= pages.end {
            let start = mapping.place.start;
            self.unmap(start + wanted.end * PAGE, (pages.end - wanted.end) * PAGE, now)?;
            return Ok(address);
        }
        if is_mirror {
            // Its contents would have to be read.
            return Err(Errno::ENOMEM);
        }
        let node = mapping.node;
        let alone = mapping.mapped.runs(0..mapping.place.length / PAGE);
        let alone = alone.filter(|(_, count)| *count > 0).eq([(pages.clone(), 1)]);
        let Kind::Regular(data) = &mut self.nodes[node].kind else { return Err(Errno::EFAULT) };
        let Some(shared) = data.window() else { return Err(Errno::ENOMEM) };
        let (rights, may_store) = (shared.window.rights(first), shared.may_store);
        let mapped = mapping.mapped.changed(pages.end..wanted.end, |count| count + 1)?;
        let place = data.hold(&mut self.quota, wanted.clone(), alone && may_move, may_store)?;
        let mut mapping = self.mappings.0.remove(at);
        let moved = core::mem::replace(&mut mapping.place, place).start != place.start;
        mapping.mapped = mapped;
        let at = self.mappings.from(place.start);
        self.mappings.0.insert(at, mapping);
        let granted = self.grant(at, if moved { wanted.clone() } else { pages.end..wanted.end }, may_store, rights);
        // What has moved cannot go back: it has all rights then.
        if let Err(errno) = granted.or_else(|errno| if moved { Ok(()) } else { Err(errno) }) {
            self.unmap(place.start + pages.end * PAGE, (wanted.end - pages.end) * PAGE, now)?;
            return Err(errno);
        }
        Ok(place.start + first * PAGE)
    }

    /// msync(2), if `address` lies where a file is: ENOMEM unless all is mapped. The memory is the file.
    pub fn sync_mapped(&mut self, address: u64, length: u64, now: Time) -> Option<Result<(), Errno>> {
        let mapping = self.mappings.0.get(self.mappings.at(address)?)?;
        let node = mapping.node;
        if self.mappings.contains(address, length) != Some(true) {
            return Some(Err(Errno::ENOMEM));
        }
        if let Kind::Regular(data) = &mut self.nodes[node].kind
            && data.window().is_some_and(|shared| shared.stored)
        {
            self.nodes[node].modified(now);
        }
        Some(Ok(()))
    }
}

//! Changes that the program makes to the pages of a [`Mirror`]: digests by which they are found, and copies to be written back.

use super::super::data::PAGE;
use super::super::shared::Shared;
use super::Mirror;
use crate::errno::Errno;
use crate::memory::digest::Digest;
use alloc::vec::Vec;
use core::ops::Range;
use husk::abi::memory::Rights;

/// Pages that are looked through at once for changes.
const PIECE: u64 = 1024;
/// Digest of no page: a change of such a page is not known yet.
const CHANGED: Digest = 0;

/// Copy of pages that the program has changed, with the number of the first.
pub type Run = (u64, Vec<u8>);

impl Mirror {
    /// Takes digests of pages that the program can write to from now on.
    pub(super) fn track(&mut self, pages: Range<u64>) -> Result<(), Errno> {
        let Self { shared: Some(shared), tracked, digests, key, zeros, .. } = self else { return Err(Errno::EIO) };
        let new = tracked.changed(pages.clone(), |_| 1)?;
        for (run, _) in tracked.runs(pages).filter(|(_, tracked)| *tracked == 0) {
            for start in run.clone().step_by(PIECE as usize) {
                each_populated(shared, start..run.end.min(start + PIECE), |page, shared| {
                    let digest = shown(key.digest_of(shared.window.part(page * PAGE, PAGE, Rights::READ)));
                    if digest == *zeros && page as usize >= digests.len() {
                        return Ok(());
                    }
                    set(digests, page, digest, *zeros)
                })?;
            }
        }
        *tracked = new;
        Ok(())
    }

    /// Returns true if the program may have changed pages.
    pub fn is_tracked(&self) -> bool {
        !self.tracked.is_zero()
    }

    /// Returns true if the program may have changed any of these pages.
    pub fn is_tracked_in(&self, pages: Range<u64>) -> bool {
        pages.start < pages.end && self.tracked.runs(pages).any(|(_, tracked)| tracked > 0)
    }

    /// Copies the runs of pages among the next from page `from` on that the program has changed, and takes them for written back. Returns
    /// them with their first pages, and the next page, if there are more. Those for which there is memory come first; ENOMEM if there
    /// is none for any.
    pub fn collect(&mut self, from: u64) -> Result<(Vec<Run>, Option<u64>), Errno> {
        let Self { shared: Some(shared), tracked, digests, key, zeros, size, .. } = self else {
            return Ok((Vec::new(), None));
        };
        let end = size.unwrap_or(0).div_ceil(PAGE);
        let mut runs: Vec<Run> = Vec::new();
        let Some((piece, _)) = tracked.runs(from..end).find(|(_, tracked)| *tracked > 0) else {
            return Ok((runs, None));
        };
        let piece = piece.start..piece.end.min(piece.start + PIECE);
        let (piece_end, mut next) = (piece.end, piece.end);
        let looked_through = each_populated(shared, piece, |page, shared| {
            if !shared.holds(page) {
                return Ok(());
            }
            let bytes = shared.window.part(page * PAGE, PAGE, Rights::READ);
            if shown(key.digest_of(bytes)) == digests.get(page as usize).copied().unwrap_or(*zeros) {
                return Ok(());
            }
            next = page;
            let run = room_for(&mut runs, page)?;
            set(digests, page, CHANGED, *zeros)?;
            let at = run.len();
            bytes.append_to(run);
            // Of the copy: the program may change the page meanwhile.
            set(digests, page, shown(key.digest(run.get(at..).unwrap_or_default())), *zeros)
        });
        runs.retain(|(_, run)| !run.is_empty());
        match looked_through {
            Ok(()) => next = piece_end,
            Err(_) if !runs.is_empty() => {}
            Err(errno) => return Err(errno),
        }
        Ok((runs, Some(next).filter(|next| *next < end)))
    }

    /// Takes pages for changed, which could not be written back.
    pub fn lost_all(&mut self, pages: Range<u64>) {
        let pages = pages.start as usize..(pages.end as usize).min(self.digests.len());
        self.digests.get_mut(pages).unwrap_or_default().fill(CHANGED);
    }
}

/// Makes room for a page at the end of the last run, or in a new one.
fn room_for(runs: &mut Vec<Run>, page: u64) -> Result<&mut Vec<u8>, Errno> {
    let is_next = runs.last().is_some_and(|(first, run)| first + run.len() as u64 / PAGE == page);
    if !is_next {
        runs.try_reserve(1).map_err(|_| Errno::ENOMEM)?;
        runs.push((page, Vec::new()));
    }
    let (_, run) = runs.last_mut().ok_or(Errno::ENOMEM)?;
    let few = run.try_reserve(PAGE as usize).or_else(|_| run.try_reserve_exact(PAGE as usize));
    few.map_err(|_| Errno::ENOMEM)?;
    Ok(run)
}

/// Digest of a page that is known.
pub(super) fn shown(digest: Digest) -> Digest {
    if digest == CHANGED { 1 } else { digest }
}

/// Sets the digest of a page.
fn set(digests: &mut Vec<Digest>, page: u64, digest: Digest, zeros: Digest) -> Result<(), Errno> {
    let at = page as usize;
    if at >= digests.len() {
        digests.try_reserve(at + 1 - digests.len()).map_err(|_| Errno::ENOMEM)?;
        digests.resize(at + 1, zeros);
    }
    if let Some(place) = digests.get_mut(at) {
        *place = digest;
    }
    Ok(())
}

/// Calls `each` for those of these pages that hold anything.
fn each_populated(
    shared: &Shared,
    pages: Range<u64>,
    mut each: impl FnMut(u64, &Shared) -> Result<(), Errno>,
) -> Result<(), Errno> {
    let bits = shared.window.populated(pages.start * PAGE, (pages.end - pages.start) * PAGE);
    for (page, at) in pages.zip(0usize..) {
        let is_populated =
            bits.as_ref().is_none_or(|bits| bits.get(at / 8).is_none_or(|byte| byte >> (at % 8) & 1 != 0));
        if is_populated {
            each(page, shared)?;
        }
    }
    Ok(())
}

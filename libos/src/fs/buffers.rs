//! Memory of the program that a call reads into or writes from: a list of claims, treated as one.

use super::source::Source;
use crate::errno::Errno;
use crate::user::Slice;
use alloc::vec::Vec;

/// Claims in order, without the first bytes, which an earlier attempt of the same call has transferred; or, as a source, memory
/// of the libos.
#[derive(Clone, Copy, Debug)]
pub struct Buffers<'a> {
    slices: &'a [Slice],
    skipped: u64,
    own: &'a [u8],
}

impl<'a> Buffers<'a> {
    /// Returns all bytes of these claims but the first `skipped`.
    pub fn new(slices: &'a [Slice], skipped: u64) -> Self {
        Self { slices, skipped, own: &[] }
    }

    /// Bytes of the libos.
    pub fn own(own: &'a [u8]) -> Self {
        Self { slices: &[], skipped: 0, own }
    }

    /// All bytes but the first `count`.
    pub fn after(self, count: u64) -> Self {
        let own = self.own.get(count as usize..).unwrap_or_default();
        Self { skipped: self.skipped.saturating_add(count), own, ..self }
    }

    /// Number of bytes, saturating.
    #[inline]
    pub fn length(self) -> u64 {
        let total = self.slices.iter().fold(0u64, |total, slice| total.saturating_add(slice.length));
        total.saturating_sub(self.skipped) + self.own.len() as u64
    }

    /// The claims from byte `from` on.
    fn rest(self, from: u64) -> impl Iterator<Item = Slice> {
        let mut skip = self.skipped.saturating_add(from);
        self.slices.iter().filter_map(move |slice| {
            let rest = slice.after(skip);
            skip -= slice.length - rest.length;
            (!rest.is_empty()).then_some(rest)
        })
    }

    /// The first claim that is not empty; an empty one if all are.
    #[inline]
    pub fn first(self) -> Slice {
        if let [only] = self.slices {
            return only.after(self.skipped);
        }
        self.rest(0).next().unwrap_or(Slice::new(0, 0))
    }

    /// The bytes of the first claim that is not empty, or those of the libos.
    pub fn source(self) -> Source<'a> {
        if self.own.is_empty() { Source::Program(self.first()) } else { Source::Own(self.own) }
    }

    /// Returns the claims as a list.
    pub fn to_slices(self) -> Result<Vec<Slice>, Errno> {
        let mut slices = Vec::new();
        slices.try_reserve_exact(self.slices.len()).map_err(|_| Errno::ENOMEM)?;
        slices.extend(self.rest(0));
        Ok(slices)
    }

    /// Appends the first `count` bytes to `into`, or fewer if there are no more.
    pub fn gather(self, count: usize, into: &mut Vec<u8>) -> Result<(), Errno> {
        let own = self.own.get(..count).unwrap_or(self.own);
        into.try_reserve(own.len()).map_err(|_| Errno::ENOMEM)?;
        into.extend_from_slice(own);
        let mut left = count - own.len();
        for slice in self.rest(0) {
            let part = slice.first(left as u64);
            into.try_reserve(part.length as usize).map_err(|_| Errno::ENOMEM)?;
            part.append_to(into)?;
            left -= part.length as usize;
        }
        Ok(())
    }

    /// Copies the bytes from byte `from` on into `into`, as many as fit, and returns the count.
    pub fn fill(self, from: u64, into: &mut [u8]) -> Result<usize, Errno> {
        let own = self.own.get(from as usize..).unwrap_or_default();
        let mut done = own.len().min(into.len());
        into[..done].copy_from_slice(&own[..done]);
        for slice in self.rest(from) {
            let part = slice.first((into.len() - done) as u64);
            part.copy_out(&mut into[done..done + part.length as usize])?;
            done += part.length as usize;
        }
        Ok(done)
    }

    /// Writes `bytes` from byte `from` on, as far as there is room, and returns the count.
    pub fn scatter(self, from: u64, bytes: &[u8]) -> Result<usize, Errno> {
        let mut done = 0;
        for slice in self.rest(from) {
            let part = bytes.len().saturating_sub(done).min(slice.length as usize);
            slice.copy_in(bytes.get(done..done + part).unwrap_or_default())?;
            done += part;
        }
        Ok(done)
    }
}

#[cfg(test)]
mod tests {
    use super::*;

    #[test]
    fn bytes_go_over_the_borders_of_claims() {
        let mut memory = *b"0123456789";
        let address = memory.as_mut_ptr() as u64;
        let slices = [Slice::new(address, 3), Slice::new(address, 0), Slice::new(address + 5, 4)];
        let buffers = Buffers::new(&slices, 1);
        let mut gathered = Vec::new();
        buffers.gather(4, &mut gathered).expect("own memory");
        assert_eq!((buffers.length(), &gathered[..]), (6, &b"1256"[..]));
        let mut filled = [0; 3];
        assert_eq!((buffers.fill(2, &mut filled), &filled), (Ok(3), b"567"));
        assert_eq!(buffers.scatter(1, b"abcdefgh"), Ok(5));
        assert_eq!(&memory, b"01a34bcde9");
    }
}

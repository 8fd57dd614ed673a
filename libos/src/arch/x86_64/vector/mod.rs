//! Vector and floating-point state, saved only when the processor switches to another thread.
//!
//! The libos is built without vector instructions, so a system call leaves this state alone. XRSTOR takes 95 ns, whatever it
//! loads. So if XINUSE shows that a thread has only its SSE registers in use, as most have, these are saved by ordinary moves,
//! which take a tenth of that.

#![expect(unsafe_code, reason = "XSAVE writes an area whose size the processor tells")]

pub mod frame;
mod instructions;
mod shape;

pub use shape::Shape;

use crate::errno::Errno;
use alloc::alloc::{Layout, alloc_zeroed, dealloc};
use core::arch::x86_64::__cpuid_count;
use core::ptr::NonNull;
use shape::{HEADER, LEGACY, LEGACY_COMPONENTS};

/// Alignment that XSAVE demands (Intel SDM volume 1, 13.4).
const ALIGNMENT: usize = 64;
/// Bit of the SSE registers in XSTATE_BV and XINUSE.
const SSE: u64 = 1 << 1;
/// Place of MXCSR in an area.
const MXCSR: core::ops::Range<usize> = 24..28;

/// True if the registers are the program's alone. In a test they are those of the test itself, which keeps them.
const ALONE: bool = cfg!(target_os = "none");

/// Part of the vector state that may differ from its initial state.
#[derive(Clone, Copy, Debug, PartialEq, Eq)]
pub enum Use {
    /// Only the SSE registers.
    Sse,
    /// Anything.
    Any,
}

impl Shape {
    /// Reads CPUID, at the cost of an exit per leaf.
    pub fn ask() -> Self {
        let mut shape = Self::of(__cpuid_count, instructions::enabled);
        shape.control = instructions::control_mask();
        shape
    }

    /// Current use of the vector state.
    #[inline]
    pub fn in_use(&self) -> Use {
        if self.tells_use && instructions::in_use() & self.mask & !SSE == 0 { Use::Sse } else { Use::Any }
    }

    /// Components that a signal frame must hold now. Those of x87 and SSE are always included, as on Linux.
    pub fn components_in_use(&self) -> u64 {
        if self.tells_use { instructions::in_use() & self.mask | LEGACY_COMPONENTS } else { self.mask }
    }
}

/// Room for the state of one thread.
#[derive(Debug)]
pub struct Area {
    start: NonNull<u8>,
    layout: Layout,
    /// See [`Shape::mask`].
    mask: u64,
    /// See [`Shape::control`].
    control: u32,
    /// Use of the state in the area.
    used: Use,
}

// SAFETY: an area is plain memory with one owner, and not bound to a processor.
unsafe impl Send for Area {}

impl Area {
    /// Allocates an area for a thread. Zeroed, because XRSTOR faults on a header with unknown bits.
    pub fn new(shape: &Shape) -> Result<Self, Errno> {
        let layout = Layout::from_size_align(shape.size().max(1), ALIGNMENT).map_err(|_| Errno::ENOMEM)?;
        // SAFETY: the layout's size is at least 1.
        let start = NonNull::new(unsafe { alloc_zeroed(layout) }).ok_or(Errno::ENOMEM)?;
        Ok(Self { start, layout, mask: shape.mask, control: shape.control, used: Use::Any })
    }

    /// Stores the processor's state, with `used` as its current use.
    #[inline]
    pub fn save(&mut self, used: Use) {
        self.used = used;
        let start = self.start.as_ptr();
        match used {
            _ if !ALONE => {}
            // SAFETY: `new` made the area as large as the shape says, zeroed and aligned, and `self` owns it.
            Use::Sse => unsafe { instructions::save_sse(start) },
            // SAFETY: `new` made the area as large as the shape says for this mask, zeroed and aligned, and `self` owns it.
            Use::Any => unsafe { instructions::save(start, self.mask) },
        }
    }

    /// Loads the state that `save` stored; `used` is the use of the state that it replaces.
    #[inline]
    pub fn load(&self, used: Use) {
        let start = self.start.as_ptr();
        match (self.used, used) {
            _ if !ALONE => {}
            // SAFETY: only `save` has written the area since `new` zeroed it, with the SSE registers; no other component is in
            // use.
            (Use::Sse, Use::Sse) => unsafe { instructions::load_sse(start) },
            // SAFETY: only `save` has written the area since `new` zeroed it, so its header is valid.
            _ => unsafe { instructions::load(start, self.mask) },
        }
    }

    /// Loads a state of `size` bytes from elsewhere, with the components `present` of this area's. `copy` copies bytes of it
    /// from an offset on. EFAULT if XRSTOR would fault on it.
    fn replace(
        &mut self,
        present: u64,
        size: usize,
        copy: impl Fn(usize, &mut [u8]) -> Result<(), Errno>,
    ) -> Result<(), Errno> {
        self.used = Use::Any;
        // SAFETY: `new` made the area as large as its layout says, zeroed, and `self` owns it.
        let area = unsafe { core::slice::from_raw_parts_mut(self.start.as_ptr(), self.layout.size()) };
        let (legacy, rest) = area.split_at_mut_checked(LEGACY).ok_or(Errno::EFAULT)?;
        copy(0, legacy)?;
        let control = legacy.get_mut(MXCSR).and_then(|bytes| bytes.as_mut_array()).ok_or(Errno::EFAULT)?;
        if u32::from_le_bytes(*control) & !self.control != 0 {
            *control = [0; 4];
            return Err(Errno::EFAULT);
        }
        if let Some((header, components)) = rest.split_at_mut_checked(HEADER) {
            let (bits, others) = header.split_at_mut(size_of::<u64>());
            bits.copy_from_slice(&present.to_le_bytes());
            others.fill(0);
            let copied = components.get_mut(..size.saturating_sub(LEGACY + HEADER)).ok_or(Errno::EFAULT)?;
            copy(LEGACY + HEADER, copied)?;
        }
        self.load(Use::Any);
        Ok(())
    }
}

impl Drop for Area {
    fn drop(&mut self) {
        // SAFETY: `new` allocated the area with this layout.
        unsafe { dealloc(self.start.as_ptr(), self.layout) };
    }
}

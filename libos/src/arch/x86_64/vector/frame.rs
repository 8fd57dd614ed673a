//! Vector state in a signal frame: Linux's `struct _fpstate_64` (arch/x86/include/uapi/asm/sigcontext.h), which is an XSAVE
//! area that describes itself, cut off behind its last component.

#![expect(unsafe_code, reason = "XSAVE writes to the program's memory")]

use super::shape::{HEADER, LEGACY};
use super::{ALIGNMENT, ALONE, Area, Shape, instructions};
use crate::errno::Errno;
use crate::user::{self, Slice};
use zerocopy::{FromBytes, Immutable, IntoBytes};

/// `FP_XSTATE_MAGIC1` in [`Software`], and `FP_XSTATE_MAGIC2` behind the area.
const MAGIC: (u32, u32) = (0x4650_5853, 0x4650_5845);
const MAGIC_SIZE: u64 = size_of::<u32>() as u64;
/// Offset of [`Software`].
const SOFTWARE: u64 = 464;

/// `struct _fpx_sw_bytes`, in bytes that the processor leaves to software.
#[derive(Clone, Copy, Debug, FromBytes, IntoBytes, Immutable)]
#[repr(C)]
struct Software {
    magic: u32,
    /// Size including the second magic number.
    extended_size: u32,
    components: u64,
    size: u32,
    reserved: [u32; 7],
}

/// The XSAVE header (Intel SDM volume 1, 13.4.2).
#[derive(Clone, Copy, Debug, FromBytes, IntoBytes, Immutable)]
#[repr(C)]
struct Header {
    present: u64,
    /// 0 in the standard format.
    compacted: u64,
    reserved: [u64; 6],
}
const _: () = assert!(size_of::<Header>() == HEADER && SOFTWARE as usize + size_of::<Software>() == LEGACY);

/// Address of a state that ends below `top`, and the components in it.
pub fn place(top: u64, shape: &Shape) -> (u64, u64) {
    let components = shape.components_in_use();
    let size = shape.size_of(components) as u64 + if components == 0 { 0 } else { MAGIC_SIZE };
    (top.saturating_sub(size) & !(ALIGNMENT as u64 - 1), components)
}

/// Stores these components of the processor's state in the program's memory, at an address from [`place`].
pub fn save(at: u64, components: u64, shape: &Shape) -> Result<(), Errno> {
    let size = shape.size_of(components);
    let area = Slice::new(at, size as u64);
    let start = area.check()?;
    // Without XSAVE, Linux has the first magic number and these sizes in a frame all the same, but not the second number.
    let extended_size = size as u32 + MAGIC_SIZE as u32;
    let software = Software { magic: MAGIC.0, extended_size, components, size: size as u32, reserved: [0; 7] };
    if components != 0 {
        area.after(LEGACY as u64).first(HEADER as u64).zero()?;
        user::write(at + size as u64, &MAGIC.1)?;
    }
    if ALONE {
        // SAFETY: `check` found the area to be the program's; `place` aligned it and made it large enough; its header is zero.
        unsafe { instructions::save(start, components) };
    }
    user::write(at + SOFTWARE, &software)
}

/// Loads a state stored by [`save`], which the handler may have changed: EFAULT if XRSTOR would fault on it.
///
/// It goes through the thread's own `area`. A frame is cut off behind the last component that it holds, and may end where the
/// stack does; but there are processors (AMD, family 1Ah) on which XRSTOR touches the places of all components that its mask
/// names, also of those that the header says are not there.
pub fn load(at: u64, shape: &Shape, area: &mut Area) -> Result<(), Errno> {
    if !at.is_multiple_of(ALIGNMENT as u64) {
        return Err(Errno::EFAULT);
    }
    let mut present = 0;
    if shape.mask != 0 {
        let header: Header = user::read(at.saturating_add(LEGACY as u64))?;
        if header.present & !shape.mask != 0 || header.compacted != 0 || header.reserved != [0; 6] {
            return Err(Errno::EFAULT);
        }
        present = header.present;
    }
    area.replace(present, shape.size_of(present), |offset, into| {
        Slice::new(at.saturating_add(offset as u64), into.len() as u64).copy_out(into)
    })
}

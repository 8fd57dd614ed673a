//! State components that XSAVE saves for a thread, and the length of its area: computed from CPUID and XCR0 (Intel SDM volume
//! 1, 13.2 and 13.4).
//!
//! Both sources count. XCR0 determines what instructions work with. CPUID describes what the guest may use, and can be less: a
//! KVM that emulates ring 0 intercepts CPUID, on some processors, but does not set XCR0. A component is saved if both have it.

use core::arch::x86_64::CpuidResult;

/// Bytes that FXSAVE writes, and the start of every XSAVE area: the registers of x87 and SSE.
pub const LEGACY: usize = 512;
/// Bytes of the XSAVE header, which follows them.
pub const HEADER: usize = 64;
/// Number of state components that are supported; they are the low bits of XCR0.
const COMPONENTS: usize = 32;

/// x87 and SSE, which are in the legacy region.
pub const LEGACY_COMPONENTS: u64 = 0b11;
/// Component number and end of the upper halves of the AVX registers, with the same offset on all processors (Intel SDM volume
/// 1, 13.5.2).
const AVX: (usize, u32) = (2, 576 + 256);
/// Components that Linux enables on request only, by calls that the libos lacks: protection keys (pkey_alloc(2)) and AMX
/// (`ARCH_REQ_XCOMP_PERM`, arch_prctl(2)).
const ON_REQUEST: u64 = 1 << 9 | 0b11 << 17;

/// Bit of CPUID leaf 1, ECX: the system has enabled XSAVE.
const OSXSAVE: u32 = 1 << 27;
/// Bit of CPUID leaf 0xD, sub-leaf 1, EAX: XGETBV with ECX = 1 returns XINUSE.
const XINUSE: u32 = 1 << 2;

/// Bits of MXCSR on a processor that does not report them (Intel SDM volume 1, 11.6.6).
pub const CONTROL: u32 = 0xffbf;

/// Layout of a thread's saved vector state.
#[derive(Clone, Copy, Debug, PartialEq, Eq)]
pub struct Shape {
    /// Components, as bits of XCR0; 0 without XSAVE, when FXSAVE is used.
    pub mask: u64,
    /// True if XINUSE can be read.
    pub tells_use: bool,
    /// Bits that the processor has in MXCSR: XRSTOR faults on others.
    pub control: u32,
    /// End of each component in an area of the standard format, in bytes.
    ends: [u32; COMPONENTS],
}

impl Shape {
    /// Returns the shape for a processor with these results of CPUID, by leaf and sub-leaf, and this XCR0. Few leaves are read,
    /// because each may cost an exit.
    pub fn of(cpuid: impl Fn(u32, u32) -> CpuidResult, xcr0: impl Fn() -> u64) -> Self {
        const STATE: u32 = 0xd;
        let mut shape = Self { mask: 0, tells_use: false, control: CONTROL, ends: [0; COMPONENTS] };
        if cpuid(1, 0).ecx & OSXSAVE == 0 {
            return shape;
        }
        let given = cpuid(STATE, 0);
        let known = (1 << COMPONENTS) - 1;
        shape.mask = xcr0() & u64::from(given.eax) & known & !ON_REQUEST | LEGACY_COMPONENTS;
        shape.tells_use = cpuid(STATE, 1).eax & XINUSE != 0;
        for (component, end) in shape.ends.iter_mut().enumerate().skip(2) {
            *end = match component {
                _ if shape.mask & 1 << component == 0 => 0,
                component if component == AVX.0 => AVX.1,
                component => match cpuid(STATE, component as u32) {
                    CpuidResult { eax: size @ 1.., ebx: offset, .. } => offset.saturating_add(size),
                    // The virtual processor has no such sub-leaf. This size is enough for all components that CPUID reports.
                    _ => given.ecx,
                },
            };
        }
        shape
    }

    /// Bytes of an area for all saved components.
    pub fn size(&self) -> usize {
        self.size_of(self.mask)
    }

    /// Bytes of an area for these components, of those that are saved.
    pub fn size_of(&self, components: u64) -> usize {
        if self.mask == 0 {
            return LEGACY;
        }
        let ends = self.ends.iter().enumerate().filter(|(component, _)| components & 1 << component != 0);
        ends.map(|(_, end)| *end as usize).fold(LEGACY + HEADER, usize::max)
    }
}

#[cfg(test)]
mod tests {
    use super::*;

    const AVX_512: u64 = 0b111 << 5;
    const PKRU: u64 = 1 << 9;
    const AMX: u64 = 0b11 << 17;

    /// Components beyond SSE of an Intel processor: bit, offset, size.
    const INTEL: &[(u32, u32, u32)] = &[
        (2, 576, 256),
        (5, 1088, 64),
        (6, 1152, 512),
        (7, 1664, 1024),
        (9, 2688, 8),
        (17, 2752, 64),
        (18, 2816, 8192),
    ];
    /// Components beyond SSE of an AMD processor, which has AVX-512 elsewhere.
    const AMD: &[(u32, u32, u32)] = &[(2, 576, 256), (5, 832, 64), (6, 896, 512), (7, 1408, 1024), (9, 2432, 8)];

    /// Returns CPUID of a processor with these components.
    fn answers(places: &'static [(u32, u32, u32)], given: u64) -> impl Fn(u32, u32) -> CpuidResult {
        let answer = |eax, ebx, ecx| CpuidResult { eax, ebx, ecx, edx: 0 };
        let has = move |place: &&(u32, u32, u32)| given & 1 << place.0 != 0;
        let all = places.iter().filter(has).map(|(_, offset, size)| offset + size).fold(576, u32::max);
        move |leaf, sub_leaf| match (leaf, sub_leaf) {
            (1, _) => answer(0, 0, OSXSAVE),
            (0xd, 0) => answer(given as u32, all, all),
            (0xd, 1) => answer(0xf, 0, 0),
            (0xd, component) => match places.iter().filter(has).find(|place| place.0 == component) {
                Some((_, offset, size)) => answer(*size, *offset, 0),
                None => answer(0, 0, 0),
            },
            other => panic!("nobody asks for {other:?}"),
        }
    }

    #[test]
    fn every_combination_of_components_has_an_area_that_holds_it_and_no_more() {
        for places in [INTEL, AMD] {
            for combination in 0..1 << 4 {
                let parts = [1 << 2, AVX_512, PKRU, AMX];
                let chosen = parts.iter().enumerate().filter(|(index, _)| combination & 1 << index != 0);
                let xcr0 = chosen.fold(0b11, |xcr0, (_, part)| xcr0 | part);
                let shape = Shape::of(answers(places, xcr0), || xcr0);
                assert_eq!(shape.mask, xcr0 & !(PKRU | AMX), "{xcr0:#x}");
                let kept = places.iter().filter(|place| shape.mask & 1 << place.0 != 0);
                let size = kept.map(|(_, offset, size)| offset + size).fold(576, u32::max);
                assert_eq!(shape.size(), size as usize, "{xcr0:#x}");
                assert!(shape.tells_use);
            }
        }
    }

    #[test]
    fn the_area_on_a_processor_with_amx_is_that_without_it() {
        let xcr0 = 0b1110_0111 | PKRU | AMX;
        let shape = Shape::of(answers(INTEL, xcr0), || xcr0);
        assert_eq!((shape.mask, shape.size()), (0b1110_0111, 2688));
        assert_eq!((shape.size_of(0b11), shape.size_of(0b111), shape.size_of(0b10_0111)), (576, 832, 1152));
    }

    #[test]
    fn a_processor_that_has_more_enabled_than_it_says_keeps_what_it_says() {
        // XCR0 cannot be set, CPUID is that of the model, without sub-leaves.
        let model = |leaf, sub_leaf| match (leaf, sub_leaf) {
            (0xd, 1..) => CpuidResult { eax: 0, ebx: 0, ecx: 0, edx: 0 },
            _ => CpuidResult {
                ecx: if leaf == 1 { OSXSAVE } else { 2688 },
                ..answers(INTEL, 0b1110_0111)(leaf, sub_leaf)
            },
        };
        let shape = Shape::of(model, || 0b1110_0111 | AMX);
        assert_eq!((shape.mask, shape.size(), shape.tells_use), (0b1110_0111, 2688, false));
    }

    #[test]
    fn a_processor_that_says_more_than_it_has_enabled_keeps_what_is_enabled() {
        let shape = Shape::of(answers(INTEL, 0b1110_0111), || 0b111);
        assert_eq!((shape.mask, shape.size()), (0b111, 832));
    }

    #[test]
    fn a_processor_without_xsave_keeps_what_fxsave_does() {
        let old = |leaf, _| match leaf {
            1 => CpuidResult { eax: 0, ebx: 0, ecx: 0, edx: 0 },
            leaf => panic!("nobody asks for {leaf:#x}"),
        };
        let shape = Shape::of(old, || panic!("XGETBV is not there"));
        assert_eq!((shape.mask, shape.size(), shape.tells_use), (0, LEGACY, false));
    }
}

//! The guest's CPUID: a short list of leaves, each bit chosen.
//!
//! There are leaves that programs query: vendor and signature (0, 1), features (1, 7, 0x8000_0001), sizes of XSAVE
//! areas and offsets of components in them (0xd), of addresses (0x8000_0008). There are none for caches, topology,
//! frequencies, power, performance counters, serial numbers, virtualisation of the guest's own, nor a hypervisor's.
//! [`Cpu::Baseline`] shows the same features on every host, and the same signature. On a KVM that emulates ring 0, all this
//! holds for ring 0 only: at CPL 3 the processor itself answers, unless its answers can be intercepted.
//!
//! The model is computed from the host's own `cpuid` rather than queried from KVM: a feature that a host *process* can use
//! and that adds no state beyond XSAVE's is one that KVM can give to a guest, and a query costs a third of a millisecond on
//! a KVM that emulates ring 0.

#![expect(unsafe_code, reason = "XCR0 is read by an instruction that not every processor has")]

use core::arch::x86_64::{__cpuid_count, _xgetbv, CpuidResult};
use kvm_bindings::{CpuId, KVM_CPUID_FLAG_SIGNIFCANT_INDEX, kvm_cpuid_entry2};

/// x87, SSE, AVX and the three AVX-512 components: what XCR0 may enable for a guest (SDM volume 1, 13.1).
const XSTATE_MASK: u64 = 0b1110_0111;

/// Leaf 1, ecx: SSE3, PCLMULQDQ, SSSE3, FMA, CMPXCHG16B, SSE4.1, SSE4.2, MOVBE, POPCNT, AES, XSAVE, AVX, F16C, RDRAND.
const LEAF1_ECX: u32 = bits(&[0, 1, 9, 12, 13, 19, 20, 22, 23, 25, 26, 28, 29, 30]);
/// Leaf 1, edx: FPU, PSE, TSC, MSR, PAE, CX8, PGE, CMOV, PAT, CLFSH, MMX, FXSR, SSE, SSE2.
const LEAF1_EDX: u32 = bits(&[0, 3, 4, 5, 6, 8, 13, 15, 16, 19, 23, 24, 25, 26]);
/// Leaf 7, ebx: FSGSBASE, BMI1, AVX2, BMI2, ERMS, AVX512F, AVX512DQ, RDSEED, ADX, AVX512_IFMA, CLFLUSHOPT, CLWB,
/// AVX512CD, SHA, AVX512BW, AVX512VL.
const LEAF7_EBX: u32 = bits(&[0, 3, 5, 8, 9, 16, 17, 18, 19, 21, 23, 24, 28, 29, 30, 31]);
/// Leaf 7, ecx: AVX512_VBMI, AVX512_VBMI2, GFNI, VAES, VPCLMULQDQ, AVX512_VNNI, AVX512_BITALG, AVX512_VPOPCNTDQ.
const LEAF7_ECX: u32 = bits(&[1, 6, 8, 9, 10, 11, 12, 14]);
/// Leaf 7, edx: fast short REP MOV.
const LEAF7_EDX: u32 = bits(&[4]);
/// Leaf 0x8000_0001, ecx: LAHF, LZCNT, PREFETCHW.
const EXTENDED_ECX: u32 = bits(&[0, 5, 8]);
/// Leaf 0x8000_0001, edx: SYSCALL, NX, 64-bit mode.
const EXTENDED_EDX: u32 = bits(&[11, 20, 29]);
/// Leaf 0x8000_0008, eax: 39 bits of physical address, which every processor with virtualisation has and is more than
/// a guest's memory takes; 48 of virtual.
const ADDRESS_SIZES: u32 = 48 << 8 | 39;

/// Masks for [`Cpu::Baseline`]: x86-64-v2 (System V ABI, table 3.1), and what libos and XSAVE need.
mod baseline {
    use super::bits;

    /// SSE3, SSSE3, CMPXCHG16B, SSE4.1, SSE4.2, POPCNT, XSAVE.
    pub const LEAF1_ECX: u32 = bits(&[0, 9, 13, 19, 20, 23, 26]);
    /// FSGSBASE.
    pub const LEAF7_EBX: u32 = bits(&[0]);
    /// LAHF.
    pub const EXTENDED_ECX: u32 = bits(&[0]);
    /// x87 and SSE.
    pub const XSTATE_MASK: u64 = 0b11;
    /// Family 6, model 15: the first that had most of these features.
    pub const SIGNATURE: u32 = 0x06f0;
}

/// Features that need the upper halves of AVX's registers: in leaf 1, ecx, FMA, AVX, F16C; in leaf 7, ebx, AVX2, and ecx,
/// VAES, VPCLMULQDQ.
const NEED_AVX: [u32; 3] = [bits(&[12, 28, 29]), bits(&[5]), bits(&[9, 10])];
/// Features that need AVX-512's registers: in leaf 7, ebx, AVX512F, DQ, IFMA, CD, BW, VL, and ecx, VBMI, VBMI2, VNNI, BITALG,
/// VPOPCNTDQ.
const NEED_AVX512: [u32; 2] = [bits(&[16, 17, 21, 28, 30, 31]), bits(&[1, 6, 11, 12, 14])];
/// Leaf 1, ecx: XSAVE, and OSXSAVE, which is set if the host's kernel uses it.
const XSAVE: u32 = 1 << 26;
const OSXSAVE: u32 = 1 << 27;
/// FSGSBASE in leaf 7, ebx.
const FSGSBASE: u32 = 1;
/// Leaf 0xd, sub-leaf 1, eax: XSAVEOPT, XSAVEC, XGETBV with ECX = 1. The bits that are missing here are for ring 0.
const XSAVE_EXTENSIONS: u32 = bits(&[0, 1, 2]);

/// Processor model that a guest sees.
#[derive(Clone, Copy, Debug, Default, PartialEq, Eq)]
pub enum Cpu {
    /// Features of the host's processor that a guest can use.
    #[default]
    Host,
    /// Features of all processors of the last ten years: a program does the same on each host.
    Baseline,
}

impl Cpu {
    /// Reads the value of `--cpu`.
    pub fn parse(text: &str) -> Result<Self, String> {
        match text {
            "host" => Ok(Self::Host),
            "baseline" => Ok(Self::Baseline),
            _ => Err("write host or baseline".to_owned()),
        }
    }
}

/// State components, as bits of XCR0: AVX-512's are all present or none.
const AVX: u64 = 1 << 2;
const AVX512: u64 = 0b111 << 5;
/// Offset and size of AVX's in an XSAVE area (Intel SDM volume 1, 13.5.2), and the end of what every area has, in bytes.
const AVX_PLACE: (u32, u32) = (576, 256);
const SMALLEST_AREA: u32 = 576;

const fn bits(positions: &[u32]) -> u32 {
    let (mut mask, mut i) = (0, 0);
    while i < positions.len() {
        mask |= 1 << positions[i];
        i += 1;
    }
    mask
}

/// The guest's CPUID, and the value for its XCR0.
pub struct Model {
    /// The leaves.
    pub leaves: Vec<kvm_cpuid_entry2>,
    /// State components that the guest may use; `None` without XSAVE: the guest has x87 and SSE then.
    pub xcr0: Option<u64>,
    /// True if the guest has FSGSBASE.
    pub has_base_instructions: bool,
}

impl Model {
    /// The model for this host.
    pub fn new(cpu: Cpu) -> Self {
        // SAFETY: `from` reads XCR0 only if CPUID has OSXSAVE.
        Self::from(__cpuid_count, || unsafe { _xgetbv(0) }, cpu)
    }

    /// Makes the model for a processor that answers `cpuid` with `host` and, if it has XSAVE, has this XCR0.
    fn from(host: impl Fn(u32, u32) -> CpuidResult, xcr0: impl Fn() -> u64, cpu: Cpu) -> Self {
        let is_baseline = cpu == Cpu::Baseline;
        let only = |mask: u32, baseline: u32| if is_baseline { mask & baseline } else { mask };
        let mut leaves = Vec::with_capacity(16);
        let mut add = |function: u32, index: Option<u32>, eax: u32, ebx: u32, ecx: u32, edx: u32| {
            let flags = if index.is_some() { KVM_CPUID_FLAG_SIGNIFCANT_INDEX } else { 0 };
            let index = index.unwrap_or(0);
            leaves.push(kvm_cpuid_entry2 { function, index, flags, eax, ebx, ecx, edx, ..Default::default() });
        };
        let vendor = host(0, 0);
        add(0, None, vendor.eax.min(0xd), vendor.ebx, vendor.ecx, vendor.edx);

        let one = host(1, 0);
        // A kernel can leave XSAVE, or components of its state, disabled: then KVM has none of them for a guest.
        let has_xsave = vendor.eax >= 0xd && one.ecx & (XSAVE | OSXSAVE) == XSAVE | OSXSAVE;
        let xcr0 = has_xsave.then(|| components(xcr0(), is_baseline));
        let [hidden_one, hidden_ebx, hidden_ecx] = hidden(xcr0);
        const CACHE_LINE: u32 = 0xff00;
        const ONE_PROCESSOR: u32 = 1 << 16;
        let signature = if is_baseline { baseline::SIGNATURE } else { one.eax };
        let features = one.ecx & only(LEAF1_ECX, baseline::LEAF1_ECX) & !hidden_one;
        add(1, None, signature, one.ebx & CACHE_LINE | ONE_PROCESSOR, features, one.edx & LEAF1_EDX);

        let mut has_base_instructions = false;
        if vendor.eax >= 7 {
            let seven = host(7, 0);
            let features = seven.ebx & only(LEAF7_EBX, baseline::LEAF7_EBX) & !hidden_ebx;
            let more = seven.ecx & only(LEAF7_ECX, 0) & !hidden_ecx;
            add(7, Some(0), 0, features, more, seven.edx & only(LEAF7_EDX, 0));
            has_base_instructions = features & FSGSBASE != 0;
        }

        if let Some(xcr0) = xcr0 {
            let places: Vec<_> =
                (2..32).filter(|bit| xcr0 & 1 << bit != 0).map(|bit| (bit, place(&host, bit))).collect();
            let size = places.iter().map(|(_, (offset, size))| offset + size).fold(SMALLEST_AREA, u32::max);
            add(0xd, Some(0), xcr0 as u32, size, size, 0);
            add(0xd, Some(1), host(0xd, 1).eax & XSAVE_EXTENSIONS, 0, 0, 0);
            for (bit, (offset, size)) in places {
                add(0xd, Some(bit), size, offset, 0, 0);
            }
        }

        let extended = host(0x8000_0001, 0);
        add(0x8000_0000, None, 0x8000_0008, vendor.ebx, vendor.ecx, vendor.edx);
        let features = extended.ecx & only(EXTENDED_ECX, baseline::EXTENDED_ECX);
        add(0x8000_0001, None, if is_baseline { 0 } else { extended.eax }, 0, features, extended.edx & EXTENDED_EDX);
        add(0x8000_0008, None, ADDRESS_SIZES, 0, 0, 0);
        Self { leaves, xcr0, has_base_instructions }
    }

    /// Returns true if these leaves have no vector, or other, extension that the model lacks. Bits that KVM sets by itself, after CR4
    /// and the APIC, are left out.
    pub fn covers(&self, shown: &[kvm_cpuid_entry2]) -> bool {
        const OSPKE: u32 = 1 << 4;
        let of_features = shown.iter().filter(|leaf| [1, 7, 0x8000_0001].contains(&leaf.function) && leaf.index == 0);
        let mut more = of_features.map(|leaf| {
            let own = self.leaves.iter().find(|own| (own.function, own.index) == (leaf.function, leaf.index));
            let [ebx, ecx, edx] = own.map_or([0; 3], |own| [own.ebx, own.ecx, own.edx]);
            match leaf.function {
                1 => leaf.ecx & !ecx & !OSXSAVE,
                7 => leaf.ebx & !ebx | leaf.ecx & !ecx & !OSPKE | leaf.edx & !edx,
                _ => leaf.ecx & !ecx,
            }
        });
        more.all(|bits| bits == 0)
    }

    /// Returns the leaves in the form that KVM takes; nothing if there are more than it can hold, which cannot happen.
    pub fn to_kvm(&self) -> Option<CpuId> {
        CpuId::from_entries(&self.leaves).ok()
    }
}

/// Returns the components for the guest, of those that the host has enabled.
fn components(enabled: u64, is_baseline: bool) -> u64 {
    let given = enabled & if is_baseline { baseline::XSTATE_MASK } else { XSTATE_MASK };
    if given & AVX512 == AVX512 && given & AVX != 0 { given } else { given & !AVX512 }
}

/// Features that a guest without some components cannot have: in leaf 1, ecx, and leaf 7, ebx and ecx.
fn hidden(xcr0: Option<u64>) -> [u32; 3] {
    let has = |part| xcr0.unwrap_or(0) & part == part;
    let [avx_one, avx_ebx, avx_ecx] = if has(AVX) { [0; 3] } else { NEED_AVX };
    let [avx512_ebx, avx512_ecx] = if has(AVX512) { [0; 2] } else { NEED_AVX512 };
    [avx_one | if xcr0.is_some() { 0 } else { XSAVE }, avx_ebx | avx512_ebx, avx_ecx | avx512_ecx]
}

/// Offset and size of a component in an XSAVE area of the standard format.
fn place(host: impl Fn(u32, u32) -> CpuidResult, component: u32) -> (u32, u32) {
    match 1 << component {
        AVX => AVX_PLACE,
        _ => {
            let CpuidResult { eax: size, ebx: offset, .. } = host(0xd, component);
            (offset, size)
        }
    }
}

#[cfg(test)]
mod tests {
    use super::*;

    /// Components of XCR0, up to AMX.
    const EVERYTHING: u64 = 0x602e7;

    /// A processor with every bit set, and AVX-512 and AMX where Intel has them.
    fn all(leaf: u32, sub_leaf: u32) -> CpuidResult {
        let [eax, ebx, ecx] = match (leaf, sub_leaf) {
            (0, _) => [0x20, 0, 0],
            (0xd, 5) => [64, 1088, 0],
            (0xd, 6) => [512, 1152, 0],
            (0xd, 7) => [1024, 1664, 0],
            (0xd, 9..) => panic!("a component that no guest has"),
            _ => [!0, 64, !0],
        };
        let ebx = if leaf == 7 { !0 } else { ebx };
        CpuidResult { eax, ebx, ecx, edx: !0 }
    }

    fn leaf(model: &Model, function: u32, index: u32) -> Option<[u32; 4]> {
        let found = model.leaves.iter().find(|leaf| (leaf.function, leaf.index) == (function, index))?;
        Some([found.eax, found.ebx, found.ecx, found.edx])
    }

    #[test]
    fn a_processor_with_every_bit_set_shows_no_virtualisation() {
        let model = Model::from(all, || EVERYTHING, Cpu::Host);
        assert_eq!(model.xcr0, Some(XSTATE_MASK));
        let [_, _, features, _] = leaf(&model, 1, 0).expect("leaf 1");
        const VMX_AND_HYPERVISOR: u32 = 1 << 5 | 1 << 31;
        assert_eq!(features & VMX_AND_HYPERVISOR, 0);
        assert!(model.leaves.iter().all(|leaf| leaf.function & 0x4000_0000 == 0), "no hypervisor leaves");
        assert!(model.to_kvm().is_some() && model.has_base_instructions);
    }

    #[test]
    fn features_that_are_shown_beside_the_models_are_found() {
        let [baseline, host] = [Cpu::Baseline, Cpu::Host].map(|cpu| Model::from(all, || EVERYTHING, cpu));
        assert!(baseline.covers(&baseline.leaves) && host.covers(&baseline.leaves));
        assert!(!baseline.covers(&host.leaves));
        let mut shown = baseline.leaves.clone();
        shown.iter_mut().filter(|leaf| leaf.function == 1).for_each(|leaf| leaf.ecx |= OSXSAVE);
        assert!(baseline.covers(&shown));
        shown.iter_mut().filter(|leaf| leaf.function == 7).for_each(|leaf| leaf.ebx |= 1 << 5);
        assert!(!baseline.covers(&shown), "AVX2");
    }

    #[test]
    fn every_combination_of_components_has_its_area_and_no_features_of_the_others() {
        for combination in 0..1 << 4 {
            let parts = [AVX, AVX512, 1 << 9, 0b11 << 17];
            let chosen = parts.iter().enumerate().filter(|(index, _)| combination & 1 << index != 0);
            let enabled = chosen.fold(0b11, |enabled, (_, part)| enabled | part);
            let model = Model::from(all, || enabled, Cpu::Host);
            let xcr0 = model.xcr0.expect("it has XSAVE");
            let (avx, avx512) = (enabled & AVX != 0, enabled & (AVX | AVX512) == AVX | AVX512);
            let size = if avx512 {
                2688
            } else if avx {
                832
            } else {
                576
            };
            assert_eq!(xcr0, 0b11 | if avx { AVX } else { 0 } | if avx512 { AVX512 } else { 0 }, "{enabled:#x}");
            assert_eq!(leaf(&model, 0xd, 0), Some([xcr0 as u32, size, size, 0]), "{enabled:#x}");
            assert_eq!(leaf(&model, 0xd, 1), Some([0b111, 0, 0, 0]));
            assert_eq!(leaf(&model, 0xd, 2), avx.then_some([256, 576, 0, 0]));
            assert_eq!(leaf(&model, 0xd, 7), avx512.then_some([1024, 1664, 0, 0]));
            let [_, _, one, _] = leaf(&model, 1, 0).expect("leaf 1");
            let [_, seven, more, _] = leaf(&model, 7, 0).expect("leaf 7");
            assert_eq!([one & 1 << 28 != 0, seven & 1 << 5 != 0, more & 1 << 9 != 0], [avx; 3], "{enabled:#x}");
            assert_eq!([seven & 1 << 16 != 0, more & 1 << 1 != 0], [avx512; 2], "{enabled:#x}");
        }
    }

    #[test]
    fn the_baseline_is_the_same_on_hosts_that_differ() {
        let host = |signature: u32, more: u32| {
            move |leaf: u32, sub_leaf: u32| match leaf {
                0 => CpuidResult { eax: 0x20, ebx: 0, ecx: 0, edx: 0 },
                1 | 0x8000_0001 => CpuidResult { eax: signature, ebx: 64 << 8, ecx: 0x0e98_2203 | more, edx: !0 },
                0xd => CpuidResult { eax: 0xf & !sub_leaf, ebx: 0, ecx: 0, edx: 0 },
                _ => CpuidResult { eax: 0, ebx: 0x21 | more, ecx: more, edx: more },
            }
        };
        let shown = |signature, more, enabled| {
            let model = Model::from(host(signature, more), || enabled, Cpu::Baseline);
            (
                model.leaves.iter().map(|leaf| (leaf.function, leaf.eax, leaf.ebx, leaf.ecx)).collect::<Vec<_>>(),
                model.xcr0,
            )
        };
        assert_eq!(shown(0x906a4, 0xf000_10e0, EVERYTHING), shown(0xa20f10, 0, 0b111));
        assert_eq!(shown(1, !0, EVERYTHING).1, Some(0b11));
    }

    #[test]
    fn a_processor_without_xsave_or_one_that_its_kernel_does_not_use_gets_x87_and_sse() {
        let old = |leaf: u32, _| match leaf {
            0 => CpuidResult { eax: 1, ebx: 0, ecx: 0, edx: 0 },
            _ => CpuidResult { eax: 0, ebx: 0, ecx: 0, edx: 0 },
        };
        let off = |leaf, sub_leaf| match leaf {
            1 => CpuidResult { ecx: !OSXSAVE, ..all(leaf, sub_leaf) },
            _ => all(leaf, sub_leaf),
        };
        for (model, bases) in [
            (Model::from(old, || panic!("there is none"), Cpu::Host), false),
            (Model::from(off, || panic!("there is none"), Cpu::Host), true),
        ] {
            assert_eq!((model.xcr0, model.has_base_instructions), (None, bases));
            assert_eq!(leaf(&model, 0xd, 0), None);
            let [_, _, features, _] = leaf(&model, 1, 0).expect("leaf 1");
            assert_eq!(features & (XSAVE | 1 << 28), 0, "neither XSAVE nor AVX");
        }
    }
}

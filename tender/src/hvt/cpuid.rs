//! What the guest sees when it executes `cpuid`: a short list of leaves, each bit chosen.
//!
//! Computed from the host's own `cpuid` rather than asked of KVM: a feature that a host *process* can use and that
//! adds no state beyond XSAVE's is one that KVM can give to a guest, and asking costs a third of a millisecond on a
//! KVM that emulates ring 0.

use core::arch::x86_64::{__cpuid_count, CpuidResult};
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

/// AVX-512's state components, as bits of XCR0: all or none.
const AVX512: u64 = 0b111 << 5;

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
    /// State components the guest may use.
    pub xcr0: u64,
}

impl Model {
    /// The model that this host allows.
    pub fn of_host() -> Self {
        Self::from(__cpuid_count)
    }

    /// The model for a processor that answers `cpuid` with `host`.
    fn from(host: impl Fn(u32, u32) -> CpuidResult) -> Self {
        let mut leaves = Vec::with_capacity(16);
        let mut add = |function: u32, index: Option<u32>, eax: u32, ebx: u32, ecx: u32, edx: u32| {
            let flags = if index.is_some() { KVM_CPUID_FLAG_SIGNIFCANT_INDEX } else { 0 };
            let index = index.unwrap_or(0);
            leaves.push(kvm_cpuid_entry2 { function, index, flags, eax, ebx, ecx, edx, ..Default::default() });
        };
        let vendor = host(0, 0);
        add(0, None, vendor.eax.min(0xd), vendor.ebx, vendor.ecx, vendor.edx);

        let one = host(1, 0);
        const CACHE_LINE: u32 = 0xff00;
        const ONE_PROCESSOR: u32 = 1 << 16;
        add(1, None, one.eax, one.ebx & CACHE_LINE | ONE_PROCESSOR, one.ecx & LEAF1_ECX, one.edx & LEAF1_EDX);

        if vendor.eax >= 7 {
            let seven = host(7, 0);
            add(7, Some(0), 0, seven.ebx & LEAF7_EBX, seven.ecx & LEAF7_ECX, seven.edx & LEAF7_EDX);
        }

        const XSAVE: u32 = 1 << 26;
        let mut xcr0 = 1;
        if vendor.eax >= 0xd && one.ecx & XSAVE != 0 {
            let state = host(0xd, 0);
            xcr0 = u64::from(state.eax) & XSTATE_MASK;
            if xcr0 & AVX512 != AVX512 {
                xcr0 &= !AVX512;
            }
            // Sizes for everything that the host could save: no less than what the guest's part takes. Where each
            // component lies, in further subleaves, is left out: XSAVE itself knows.
            add(0xd, Some(0), xcr0 as u32, state.ecx, state.ecx, 0);
        }

        let extended = host(0x8000_0001, 0);
        add(0x8000_0000, None, 0x8000_0008, vendor.ebx, vendor.ecx, vendor.edx);
        add(0x8000_0001, None, extended.eax, 0, extended.ecx & EXTENDED_ECX, extended.edx & EXTENDED_EDX);
        add(0x8000_0008, None, ADDRESS_SIZES, 0, 0, 0);
        Self { leaves, xcr0 }
    }

    /// The leaves in the form that KVM takes; nothing if there are more than it can hold, which cannot happen.
    pub fn to_kvm(&self) -> Option<CpuId> {
        CpuId::from_entries(&self.leaves).ok()
    }
}

#[cfg(test)]
mod tests {
    use super::*;

    #[test]
    fn a_processor_with_every_bit_set_shows_no_virtualisation() {
        let all = |leaf: u32, _| match leaf {
            0 => CpuidResult { eax: 0x20, ebx: 0, ecx: 0, edx: 0 },
            _ => CpuidResult { eax: !0, ebx: 64, ecx: !0, edx: !0 },
        };
        let model = Model::from(all);
        assert_eq!(model.xcr0, XSTATE_MASK);
        let leaf1 = model.leaves.iter().find(|leaf| leaf.function == 1).expect("leaf 1");
        const VMX_AND_HYPERVISOR: u32 = 1 << 5 | 1 << 31;
        assert_eq!(leaf1.ecx & VMX_AND_HYPERVISOR, 0);
        assert!(model.leaves.iter().all(|leaf| leaf.function & 0x4000_0000 == 0), "no hypervisor leaves");
        assert!(model.to_kvm().is_some());
    }

    #[test]
    fn a_processor_without_xsave_gets_x87_only() {
        let old = |leaf: u32, _| match leaf {
            0 => CpuidResult { eax: 1, ebx: 0, ecx: 0, edx: 0 },
            _ => CpuidResult { eax: 0, ebx: 0, ecx: 0, edx: 0 },
        };
        assert_eq!(Model::from(old).xcr0, 1);
    }
}

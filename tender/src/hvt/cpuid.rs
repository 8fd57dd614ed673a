//! What the guest sees when it executes `cpuid`: a short list of leaves, each bit chosen.
//!
//! There are leaves for what a program looks for: vendor and signature (0, 1), features (1, 7, 0x8000_0001), sizes of XSAVE
//! areas (0xd), of addresses (0x8000_0008). There are none for caches, topology, frequencies, power, performance counters,
//! serial numbers, virtualisation of the guest's own, nor a hypervisor's. [`Cpu::Baseline`] shows the same features on every
//! host, and the same signature. On a KVM that emulates ring 0, all this holds for ring 0 only: at CPL 3 the processor itself
//! answers, unless it can be told not to.
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

/// The same for [`Cpu::Baseline`]: x86-64-v2 (System V ABI, table 3.1), and what libos and XSAVE need.
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
    /// Family 6, model 15: the first that had most of it.
    pub const SIGNATURE: u32 = 0x06f0;
}

/// Which processor a guest is shown.
#[derive(Clone, Copy, Debug, Default, PartialEq, Eq)]
pub enum Cpu {
    /// All that the host's has and that a guest can use.
    #[default]
    Host,
    /// What all of the last ten years have: a program does the same on each host.
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
    /// The model for this host.
    pub fn new(cpu: Cpu) -> Self {
        Self::from(__cpuid_count, cpu)
    }

    /// The model for a processor that answers `cpuid` with `host`.
    fn from(host: impl Fn(u32, u32) -> CpuidResult, cpu: Cpu) -> Self {
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
        const CACHE_LINE: u32 = 0xff00;
        const ONE_PROCESSOR: u32 = 1 << 16;
        let signature = if is_baseline { baseline::SIGNATURE } else { one.eax };
        let features = one.ecx & only(LEAF1_ECX, baseline::LEAF1_ECX);
        add(1, None, signature, one.ebx & CACHE_LINE | ONE_PROCESSOR, features, one.edx & LEAF1_EDX);

        if vendor.eax >= 7 {
            let seven = host(7, 0);
            let features = seven.ebx & only(LEAF7_EBX, baseline::LEAF7_EBX);
            add(7, Some(0), 0, features, seven.ecx & only(LEAF7_ECX, 0), seven.edx & only(LEAF7_EDX, 0));
        }

        const XSAVE: u32 = 1 << 26;
        let mut xcr0 = 1;
        if vendor.eax >= 0xd && one.ecx & XSAVE != 0 {
            let state = host(0xd, 0);
            xcr0 = u64::from(state.eax) & if is_baseline { baseline::XSTATE_MASK } else { XSTATE_MASK };
            if xcr0 & AVX512 != AVX512 {
                xcr0 &= !AVX512;
            }
            // Sizes for everything that the host could save: no less than what the guest's part takes. Where each
            // component lies, in further subleaves, is left out: XSAVE itself knows.
            add(0xd, Some(0), xcr0 as u32, state.ecx, state.ecx, 0);
        }

        let extended = host(0x8000_0001, 0);
        add(0x8000_0000, None, 0x8000_0008, vendor.ebx, vendor.ecx, vendor.edx);
        let features = extended.ecx & only(EXTENDED_ECX, baseline::EXTENDED_ECX);
        add(0x8000_0001, None, if is_baseline { 0 } else { extended.eax }, 0, features, extended.edx & EXTENDED_EDX);
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
        let model = Model::from(all, Cpu::Host);
        assert_eq!(model.xcr0, XSTATE_MASK);
        let leaf1 = model.leaves.iter().find(|leaf| leaf.function == 1).expect("leaf 1");
        const VMX_AND_HYPERVISOR: u32 = 1 << 5 | 1 << 31;
        assert_eq!(leaf1.ecx & VMX_AND_HYPERVISOR, 0);
        assert!(model.leaves.iter().all(|leaf| leaf.function & 0x4000_0000 == 0), "no hypervisor leaves");
        assert!(model.to_kvm().is_some());
    }

    #[test]
    fn the_baseline_is_the_same_on_hosts_that_differ() {
        let host = |signature: u32, more: u32| {
            move |leaf: u32, _| match leaf {
                0 => CpuidResult { eax: 0x20, ebx: 0, ecx: 0, edx: 0 },
                1 | 0x8000_0001 => CpuidResult { eax: signature, ebx: 64 << 8, ecx: 0x0698_2203 | more, edx: !0 },
                0xd => CpuidResult { eax: 0b111 | more & 0xe0, ebx: 0, ecx: 0x340, edx: 0 },
                _ => CpuidResult { eax: 0, ebx: 0x21 | more, ecx: more, edx: more },
            }
        };
        let shown = |signature, more| {
            let model = Model::from(host(signature, more), Cpu::Baseline);
            (
                model.leaves.iter().map(|leaf| (leaf.function, leaf.eax, leaf.ebx, leaf.ecx)).collect::<Vec<_>>(),
                model.xcr0,
            )
        };
        assert_eq!(shown(0x906a4, 0xf000_10e0), shown(0xa20f10, 0));
        assert_eq!(shown(1, !0).1, 0b11);
    }

    #[test]
    fn a_processor_without_xsave_gets_x87_only() {
        let old = |leaf: u32, _| match leaf {
            0 => CpuidResult { eax: 1, ebx: 0, ecx: 0, edx: 0 },
            _ => CpuidResult { eax: 0, ebx: 0, ecx: 0, edx: 0 },
        };
        assert_eq!(Model::from(old, Cpu::Host).xcr0, 1);
    }
}

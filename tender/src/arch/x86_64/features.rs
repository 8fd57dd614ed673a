//! Features of the processor, as a process of this host sees them.

#![expect(unsafe_code, reason = "features of the processor are read by its own instructions")]

use core::arch::x86_64::__cpuid_count;

/// Answers of `cpuid`, and the state components that the kernel has enabled.
#[derive(Clone, Debug, Default)]
pub struct Processor {
    /// Name of the model.
    pub model: String,
    /// Levels of the x86-64 ABI, 1 to 4.
    pub level: u32,
    /// State components that XSAVE saves (XCR0); nothing if the kernel has not enabled XSAVE.
    pub components: Option<u64>,
    /// Bytes that these components take.
    pub state_size: u32,
    /// The processor has VT-x.
    pub has_vmx: bool,
    /// The processor has AMD-V.
    pub has_svm: bool,
    /// The host is itself a virtual machine.
    pub has_hypervisor: bool,
    /// Programs may use RDFSBASE and its like.
    pub has_base_instructions: bool,
    /// The time stamp counter has one rate and never stops.
    pub has_invariant_counter: bool,
}

impl Processor {
    /// Queries the processor.
    pub fn here() -> Self {
        let one = __cpuid_count(1, 0);
        let (basic, extended) = (__cpuid_count(0, 0).eax, __cpuid_count(0x8000_0000, 0).eax);
        let leaf = |leaf: u32, index| {
            let last = if leaf >= 0x8000_0000 { extended } else { basic };
            if leaf <= last { __cpuid_count(leaf, index) } else { __cpuid_count(0x8000_0000 | 0x0fff_ffff, 0) }
        };
        const OSXSAVE: u32 = 1 << 27;
        let has_xsave = one.ecx & OSXSAVE != 0;
        Self {
            model: model(extended),
            level: level(),
            components: has_xsave.then(enabled_components),
            state_size: if has_xsave { leaf(0xd, 0).ebx } else { 0 },
            has_vmx: one.ecx & 1 << 5 != 0,
            has_svm: extended > 0x8000_0000 && leaf(0x8000_0001, 0).ecx & 1 << 2 != 0,
            has_hypervisor: one.ecx & 1 << 31 != 0,
            has_base_instructions: super::spt::has_base_instructions(),
            has_invariant_counter: super::tsc::is_invariant(),
        }
    }
}

/// Returns the name, which is in three leaves of 16 bytes each (SDM volume 2, CPUID).
fn model(extended: u32) -> String {
    const FIRST: u32 = 0x8000_0002;
    if extended < FIRST + 2 {
        return "unknown".to_owned();
    }
    let leaves = (FIRST..FIRST + 3).map(|leaf| __cpuid_count(leaf, 0));
    let words = leaves.flat_map(|leaf| [leaf.eax, leaf.ebx, leaf.ecx, leaf.edx]);
    let bytes: Vec<u8> = words.flat_map(u32::to_le_bytes).take_while(|byte| *byte != 0).collect();
    String::from_utf8_lossy(&bytes).trim().to_owned()
}

/// Returns the highest level of the x86-64 ABI (System V ABI, table 3.1) with all its features present.
fn level() -> u32 {
    use std::arch::is_x86_feature_detected as has;
    let second =
        has!("cmpxchg16b") && has!("popcnt") && has!("sse3") && has!("sse4.1") && has!("sse4.2") && has!("ssse3");
    let third =
        has!("avx2") && has!("bmi1") && has!("bmi2") && has!("f16c") && has!("fma") && has!("lzcnt") && has!("movbe");
    let fourth = has!("avx512f") && has!("avx512bw") && has!("avx512cd") && has!("avx512dq") && has!("avx512vl");
    1 + [second, third, fourth].into_iter().take_while(|has| *has).count() as u32
}

/// Reads XCR0.
fn enabled_components() -> u64 {
    let (low, high): (u32, u32);
    // SAFETY: the caller has found that the kernel has enabled XSAVE; the instruction reads one register.
    unsafe {
        core::arch::asm!("xgetbv", in("ecx") 0, out("eax") low, out("edx") high, options(nomem, nostack, preserves_flags));
    }
    u64::from(high) << 32 | u64::from(low)
}

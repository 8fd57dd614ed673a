//! The processor, as a process of this host sees it.

#![expect(unsafe_code, reason = "features of the processor are read by its own instructions")]

use super::{Host, Lacking, Row, State};
use core::arch::x86_64::__cpuid_count;

const GROUP: &str = "processor";

/// Answers of `cpuid`, and the state components that the kernel has enabled.
#[derive(Clone, Debug, Default)]
pub struct Processor {
    pub(super) model: String,
    /// Levels of the x86-64 ABI, 1 to 4.
    pub(super) level: u32,
    /// State components that XSAVE saves (XCR0); nothing if the kernel has not enabled XSAVE.
    pub(super) components: Option<u64>,
    /// Bytes that these components take.
    pub(super) state_size: u32,
    /// The processor has VT-x.
    pub(super) has_vmx: bool,
    /// The processor has AMD-V.
    pub(super) has_svm: bool,
    /// The host is itself a virtual machine.
    pub(super) has_hypervisor: bool,
    pub(super) has_base_instructions: bool,
    pub(super) has_invariant_counter: bool,
}

/// State components by bit of XCR0 (SDM volume 1, 13.1).
const COMPONENTS: [(u64, &str); 8] = [
    (1 << 0, "x87"),
    (1 << 1, "SSE"),
    (1 << 2, "AVX"),
    (0b11 << 3, "MPX"),
    (0b111 << 5, "AVX-512"),
    (1 << 9, "PKRU"),
    (0b11 << 11, "CET"),
    (0b11 << 17, "AMX"),
];

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
            has_base_instructions: crate::arch::spt::has_base_instructions(),
            has_invariant_counter: extended >= 0x8000_0007 && leaf(0x8000_0007, 0).edx & 1 << 8 != 0,
        }
    }

    fn rows(&self, host: &Host) -> Vec<Row> {
        let count = std::thread::available_parallelism().map_or(1, usize::from);
        let clock = host.read("sys/devices/system/clocksource/clocksource0/current_clocksource");
        let clock = clock.map_or("unknown".to_owned(), |clock| clock);
        let invariant = match self.has_invariant_counter {
            true => Ok(format!("invariant; the host's clock source is {clock}")),
            false => Err(Lacking::without(
                format!("not invariant by CPUID; the host's clock source is {clock}"),
                "guests' clocks follow the host's when they leave the machine; a hypervisor can show the bit (invtsc)",
            )),
        };
        let base = match self.has_base_instructions {
            true => Ok("programs and processes may use it".to_owned()),
            false => Err(Lacking::without(
                "not for programs, so --target spt does not run",
                "use Linux 5.9 or newer, without the kernel parameter nofsgsbase",
            )),
        };
        vec![
            Row::new(GROUP, "model", State::Fact, format!("{}, {count} for husk", self.model)).number(count as u64, ""),
            Row::new(GROUP, "level", State::Fact, format!("x86-64-v{}", self.level)).number(self.level.into(), ""),
            self.state(),
            Row::of(GROUP, "FSGSBASE", base),
            Row::of(GROUP, "counter", invariant),
        ]
    }

    fn state(&self) -> Row {
        let Some(components) = self.components else {
            let remedy = "programs get x87 and SSE; use a processor and a kernel with XSAVE";
            return Row::new(GROUP, "XSAVE", State::Without, "not enabled by the kernel").remedy(remedy);
        };
        let names = COMPONENTS.iter().filter(|(bits, _)| components & bits == *bits).map(|(_, name)| *name);
        let names = names.collect::<Vec<_>>().join(", ");
        let value = format!("{} bytes: {names} (XCR0 {components:#x})", self.state_size);
        Row::new(GROUP, "XSAVE", State::Good, value).number(self.state_size.into(), "bytes")
    }
}

/// Rows about the processor.
pub fn rows(host: &Host) -> Vec<Row> {
    Processor::here().rows(host)
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

#[cfg(test)]
mod tests {
    use super::super::tests::host;
    use super::*;

    #[test]
    fn what_a_processor_lacks_has_a_remedy() {
        let bare = Processor { model: "old".to_owned(), level: 1, ..Processor::default() };
        let rows = bare.rows(&host("bare", &[]));
        let without: Vec<_> = rows.iter().filter(|row| row.state == State::Without).collect();
        assert_eq!(without.iter().map(|row| row.name).collect::<Vec<_>>(), ["XSAVE", "FSGSBASE", "counter"]);
        assert!(without.iter().all(|row| row.remedy.is_some()));
    }

    #[test]
    fn components_are_named() {
        let amx = Processor { components: Some(0x6_00e7), state_size: 11_008, ..Processor::default() };
        assert_eq!(amx.state().value, "11008 bytes: x87, SSE, AVX, AVX-512, AMX (XCR0 0x600e7)");
    }

    #[test]
    fn this_processor_says_something() {
        let here = Processor::here();
        assert!((1..=4).contains(&here.level));
        assert!(here.components.is_none_or(|components| components & 1 == 1 && here.state_size >= 576));
    }
}

//! The processor, as a process of this host sees it.

use super::{Host, Lacking, Row, State};
use crate::arch::features::Processor;

const GROUP: &str = "processor";

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

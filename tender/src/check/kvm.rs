//! KVM: its device, its features, its kind, and the cost of its operations.

use super::guest::{self, Costs, Failed};
use super::{Host, Lacking, Row, State};
use crate::arch::features::Processor;
use crate::confine::Lack;
use crate::hvt::create;
use crate::hvt::open::{self, NotOpened};
use kvm_ioctls::{Cap, Kvm};

const GROUP: &str = "KVM";

/// Rows about KVM.
pub fn rows(host: &Host) -> Vec<Row> {
    let kvm = match open::open() {
        Ok(kvm) => kvm,
        Err(why) => return vec![not_opened(&why)],
    };
    let mut rows = vec![Row::new(GROUP, "device", State::Good, "/dev/kvm opens")];
    rows.push(Row::new(GROUP, "kind", State::Fact, kind(host, &Processor::here())));
    let missing = create::REQUIRED.iter().filter(|(capability, _)| !kvm.check_extension(*capability));
    let missing: Vec<_> = missing.map(|(_, name)| *name).collect();
    let needed = match missing.is_empty() {
        true => Ok("all that is needed is there: memory slots, shared registers, immediate exit".to_owned()),
        false => Err(Lacking::new(State::Missing, missing.join(", "), "use Linux 5.10 or newer")),
    };
    rows.push(Row::of(GROUP, "extensions", needed));
    rows.extend(optional(&kvm));
    rows.extend(figures(guest::run(&kvm)));
    rows
}

/// Row for a KVM that does not open: the reason, and the remedy.
fn not_opened(why: &NotOpened) -> Row {
    let text = why.to_string();
    let (what, remedy) = text.split_once("; ").unwrap_or((&text, "see `husk run --target hvt`"));
    Row::new(GROUP, "device", State::Missing, what).remedy(remedy)
}

fn optional(kvm: &Kvm) -> Vec<Row> {
    let has = |capability, value: &str, lacking| match kvm.check_extension(capability) {
        true => Ok(value.to_owned()),
        false => Err(lacking),
    };
    let newer = "use a newer kernel";
    let no_filter = Lacking::new(State::Weaker, Lack::MsrFilter.to_string(), "use Linux 5.10 or newer");
    let no_event = Lacking::without("doorbells are exits", newer);
    let no_rate = Lacking::without("unknown; it is measured against the host's clock", newer);
    vec![
        Row::of(GROUP, "MSR filter", has(Cap::X86MsrFilter, "guests reach no model-specific register", no_filter)),
        Row::of(GROUP, "ioeventfd", has(Cap::Ioeventfd, "doorbells without an exit", no_event)),
        Row::of(GROUP, "counter's rate", has(Cap::GetTscKhz, "known to KVM", no_rate)),
        tsc_control(kvm),
        Row::new(GROUP, "processors", State::Fact, format!("{} recommended for a guest", kvm.get_nr_vcpus())),
    ]
}

/// Row for KVM_VCPU_TSC_CTRL, which sets the offset of a guest's time stamp counter.
fn tsc_control(kvm: &Kvm) -> Row {
    const VCPU_ATTRIBUTES: std::ffi::c_ulong = 127;
    let found = match kvm.check_extension_raw(VCPU_ATTRIBUTES) > 0 {
        true => Ok("a guest's counter can be set to the host's".to_owned()),
        false => Err(Lacking::without("a guest's counter starts where KVM says", "use Linux 5.16 or newer")),
    };
    Row::of(GROUP, "counter's offset", found)
}

fn figures(run: Result<Costs, Failed>) -> Vec<Row> {
    let costs = match run {
        Ok(costs) => costs,
        Err(failed) => {
            let (what, remedy) = match failed {
                Failed::NotMade(error) => (format!("cannot be made: {error}"), "see what the line says"),
                Failed::Stopped(why) => (format!("stopped: {why}"), "report this host as a defect of Husk's"),
                Failed::Late => ("did not come to its end".to_owned(), "report this host as a defect of Husk's"),
            };
            return vec![Row::new(GROUP, "test guest", State::Missing, what).remedy(remedy)];
        }
    };
    let row = |name, ns: u64| Row::new(GROUP, name, State::Fact, Duration(ns).to_string()).number(ns, "ns");
    let mut rows = vec![
        Row::new(
            GROUP,
            "test guest",
            State::Good,
            format!("ran to its end; {} to its first call", Duration(costs.start_ns)),
        )
        .number(costs.start_ns, "ns"),
        row("exit and back", costs.exit_ns),
        row("trapped system call", costs.trap_ns),
        row("first touch of a page", costs.touch_ns),
    ];
    rows.extend(costs.populated_touch_ns.map(|ns| row("the same, populated", ns)));
    rows
}

/// Returns the kind of KVM, and the evidence for it.
fn kind(host: &Host, processor: &Processor) -> String {
    const MODULES: [(&str, &str); 3] =
        [("kvm_intel", "Intel VT-x"), ("kvm_amd", "AMD-V"), ("kvm_pvm", "software, without the processor's help")];
    let loaded: Vec<_> = MODULES.iter().filter(|(module, _)| host.has(format!("sys/module/{module}"))).collect();
    let (name, how) = match (&loaded[..], processor.has_vmx, processor.has_svm) {
        ([(module, name), ..], ..) => (*name, format!("by /sys/module/{module}")),
        (_, true, _) => ("Intel VT-x", "by CPUID".to_owned()),
        (_, _, true) => ("AMD-V", "by CPUID".to_owned()),
        _ => ("software", "as the processor shows no virtualisation of its own".to_owned()),
    };
    let is_hardware = !name.starts_with("software");
    let nested = if processor.has_hypervisor && is_hardware { ", nested: this host is a virtual machine" } else { "" };
    format!("{name} ({how}){nested}")
}

/// Nanoseconds, displayed with a unit that people read.
struct Duration(u64);

impl std::fmt::Display for Duration {
    fn fmt(&self, f: &mut std::fmt::Formatter<'_>) -> std::fmt::Result {
        match self.0 {
            ns @ ..1000 => write!(f, "{ns} ns"),
            ns @ ..1_000_000 => write!(f, "{:.1} us", ns as f64 / 1e3),
            ns => write!(f, "{:.2} ms", ns as f64 / 1e6),
        }
    }
}

#[cfg(test)]
mod tests {
    use super::super::tests::host;
    use super::*;

    #[test]
    fn the_kind_is_known_by_module_or_processor() {
        let plain = Processor::default();
        let nested = Processor { has_vmx: true, has_hypervisor: true, ..Processor::default() };
        let intel = host("intel", &[("sys/module/kvm_intel/x", "")]);
        assert_eq!(kind(&intel, &plain), "Intel VT-x (by /sys/module/kvm_intel)");
        assert!(kind(&intel, &nested).ends_with("nested: this host is a virtual machine"));
        let software = host("pvm", &[("sys/module/kvm_pvm/x", "")]);
        assert!(kind(&software, &nested).starts_with("software") && !kind(&software, &nested).contains("nested"));
        let nothing = host("nothing", &[]);
        assert!(kind(&nothing, &nested).starts_with("Intel VT-x (by CPUID)"));
        assert!(kind(&nothing, &Processor { has_svm: true, ..plain }).starts_with("AMD-V (by CPUID)"));
        assert!(kind(&nothing, &Processor::default()).starts_with("software (as"));
    }

    #[test]
    fn durations_are_short() {
        assert_eq!([9, 71_040, 1_234_567].map(|ns| Duration(ns).to_string()), ["9 ns", "71.0 us", "1.23 ms"]);
    }

    #[test]
    fn a_guest_that_fails_is_missing_with_a_remedy() {
        let rows = figures(Err(Failed::Late));
        assert!(matches!(&rows[..], [row] if row.state == State::Missing && row.remedy.is_some()), "{rows:?}");
        let costs = Costs { exit_ns: 1, trap_ns: 2, touch_ns: 3, populated_touch_ns: None, start_ns: 5 };
        assert_eq!(figures(Ok(costs)).len(), 4);
    }
}

//! The time stamp counter of a virtual processor (SDM volume 3, 18.17.3; Linux's Documentation/virt/kvm/devices/vcpu.rst).
//!
//! KVM derives it from the host's: scaled if the guest's rate is another one, plus an offset, which for a new virtual
//! processor is such that its counter starts at 0. The offset is set to 0 where the kernel can (Linux 5.16); where it
//! cannot, the difference is read back. A KVM that emulates ring 0 cannot intercept `rdtsc` and ignores either.

#![expect(unsafe_code, reason = "an ioctl of KVM's that kvm-ioctls has for other processors only")]

use crate::arch::tsc;
use crate::vm::clock::{Counter, Moment, Offset};
use kvm_bindings::{KVM_VCPU_TSC_CTRL, KVM_VCPU_TSC_OFFSET, KVMIO, Msrs, kvm_device_attr, kvm_msr_entry};
use kvm_ioctls::VcpuFd;
use vmm_sys_util::ioctl::ioctl_with_ref;
use vmm_sys_util::ioctl_iow_nr;

ioctl_iow_nr!(KVM_SET_DEVICE_ATTR, KVMIO, 0xe1, kvm_device_attr);

/// IA32_TIME_STAMP_COUNTER.
const TSC: u32 = 0x10;

/// Sets the counter of a new processor to the host's, if that can be done. `began` is the start of the tender.
pub fn start(vcpu: &VcpuFd, began: Moment) -> Counter {
    let offset = if clear_offset(vcpu) { Some(Offset::default()) } else { offset(vcpu) };
    // KVM reports no rate where the host's counter is not stable. There, KVM keeps a guest's counter from going back.
    let khz = vcpu.get_tsc_khz().ok().filter(|khz| *khz > 0);
    Counter { offset: offset.unwrap_or_default(), khz, began, steady: true }
}

/// Reads back how far the processor's counter is ahead of the host's.
pub fn offset(vcpu: &VcpuFd) -> Option<Offset> {
    quickest(|| read(vcpu), tsc::read)
}

/// Sets the offset to 0; returns true if the kernel can.
fn clear_offset(vcpu: &VcpuFd) -> bool {
    let offset = 0u64;
    let attribute = kvm_device_attr {
        group: KVM_VCPU_TSC_CTRL,
        attr: KVM_VCPU_TSC_OFFSET.into(),
        addr: (&raw const offset) as u64,
        flags: 0,
    };
    // SAFETY: KVM reads the attribute, and the eight bytes at its address, which are a variable.
    unsafe { ioctl_with_ref(vcpu, KVM_SET_DEVICE_ATTR(), &attribute) == 0 }
}

/// Reads the guest's counter.
fn read(vcpu: &VcpuFd) -> Option<u64> {
    let mut entries = Msrs::from_entries(&[kvm_msr_entry { index: TSC, ..Default::default() }]).ok()?;
    (vcpu.get_msrs(&mut entries).ok()? == 1).then(|| entries.as_slice()[0].data)
}

/// Returns the difference of two counters, by the quickest of a few readings.
fn quickest(guest: impl Fn() -> Option<u64>, host: impl Fn() -> u64) -> Option<Offset> {
    let take = |_| {
        let (before, guest, after) = (host(), guest()?, host());
        let took = after.wrapping_sub(before);
        Some(Offset { ticks: guest.wrapping_sub(before.wrapping_add(took / 2)), slack: took })
    };
    (0..4).filter_map(take).min_by_key(|offset| offset.slack)
}

#[cfg(test)]
mod tests {
    use super::*;
    use husk_skip::skip;
    use kvm_ioctls::Kvm;
    use std::cell::Cell;

    #[test]
    fn an_offset_is_read_back_from_the_quickest_of_a_few_readings() {
        // Each reading of the host's counter takes a tick, and the third one of the guest's takes least.
        let (time, costs) = (Cell::new(1_000u64), Cell::new(0usize));
        let host = || time.replace(time.get() + 1);
        let guest = || {
            let cost = [500, 90, 8, 900][costs.replace(costs.get() + 1)];
            time.set(time.get() + cost);
            // Half the cost before the counter is read, half after.
            Some((time.get() - cost / 2).wrapping_sub(5_000))
        };
        let offset = quickest(guest, host).expect("it can be read");
        assert!(offset.ticks.wrapping_add(5_000).wrapping_add(2) <= 4, "{offset:?} is not about -5000");
        assert!((8..=10).contains(&offset.slack));
        assert_eq!(quickest(|| None, || 0), None);
    }

    #[test]
    fn a_new_processor_counts_as_the_host_does() {
        let Ok(kvm) = Kvm::new() else { return skip!("tests of the host's KVM, as /dev/kvm does not open") };
        let vm = kvm.create_vm().expect("a virtual machine");
        let vcpu = vm.create_vcpu(0).expect("a processor");
        let counter = start(&vcpu, Moment::now(0));
        let found = offset(&vcpu).expect("its counter");
        let change = found.ticks.wrapping_sub(counter.offset.ticks) as i64;
        assert!(change.unsigned_abs() <= found.slack + counter.offset.slack, "{counter:?}, then {found:?}");
    }
}

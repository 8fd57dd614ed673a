//! Prints the processor that a program finds: features, and traces of a hypervisor.

use std::arch::x86_64::__cpuid;

fn main() {
    let features = [
        ("sse4.2", is_x86_feature_detected!("sse4.2")),
        ("avx", is_x86_feature_detected!("avx")),
        ("avx2", is_x86_feature_detected!("avx2")),
        ("avx512f", is_x86_feature_detected!("avx512f")),
        ("rdrand", is_x86_feature_detected!("rdrand")),
    ];
    let found: Vec<&str> = features.iter().filter(|(_, found)| *found).map(|(name, _)| *name).collect();
    println!("features: {}", found.join(" "));
    const VMX: u32 = 1 << 5;
    const HYPERVISOR: u32 = 1 << 31;
    const SVM: u32 = 1 << 2;
    println!("virtualisation: {}", __cpuid(1).ecx & (VMX | HYPERVISOR) != 0 || __cpuid(0x8000_0001).ecx & SVM != 0);
    let leaf = __cpuid(0x4000_0000);
    let words = [leaf.ebx, leaf.ecx, leaf.edx].map(u32::to_le_bytes).concat();
    println!("hypervisor: {}", words.starts_with(b"KVM") || words.starts_with(b"Microsoft"));
    println!("leaves: {}", __cpuid(0).eax <= 0xd && __cpuid(0x8000_0000).eax <= 0x8000_0008);
}

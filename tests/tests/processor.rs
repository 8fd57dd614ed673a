//! Processor features that a guest finds.

use husk_tests::{Guest, skip};

#[test]
fn a_guest_sees_no_hypervisor_and_the_features_that_it_is_given() {
    let run = |cpu: &str| Guest::program("processor").flag(format!("--cpu={cpu}")).run();
    // Without hardware virtualisation, a processor on which CPUID can be executed at CPL 3 answers for itself.
    if run("host").stdout().contains("leaves: false") {
        return skip!("what cpuid says, as this KVM leaves that to the processor");
    }
    let baseline = run("baseline");
    let is_hidden = !baseline.stderr().contains("this one shows guests those of the host's processor");
    for (cpu, outcome) in [("host", run("host")), ("baseline", baseline)].into_iter().take(1 + usize::from(is_hidden)) {
        outcome.expect_success();
        for expected in ["virtualisation: false\n", "hypervisor: false\n", "leaves: true\n"] {
            assert!(outcome.stdout().contains(expected), "{cpu}: {outcome}");
        }
    }
    if is_hidden {
        assert!(run("baseline").stdout().starts_with("features: sse4.2\n"));
    }
    let host = run("host").stdout();
    let expected: Vec<&str> = [
        ("sse4.2", is_x86_feature_detected!("sse4.2")),
        ("avx", is_x86_feature_detected!("avx")),
        ("avx2", is_x86_feature_detected!("avx2")),
        ("avx512f", is_x86_feature_detected!("avx512f")),
        ("rdrand", is_x86_feature_detected!("rdrand")),
    ]
    .iter()
    .filter(|(_, found)| *found)
    .map(|(name, _)| *name)
    .collect();
    assert!(host.starts_with(&format!("features: {}\n", expected.join(" "))), "{host}");
    if !is_hidden {
        skip!("what --cpu baseline hides, as this KVM hides nothing, which husk says");
    }
}

//! System calls that each thread of a run keeps.

use super::calls::{self, Feature};

/// Features of each thread of a run.
#[derive(Clone, Debug)]
pub struct Plan {
    /// Features of the thread that runs the guest and answers its calls.
    pub processor: Vec<&'static Feature>,
    /// Features of the thread that serves the devices while the guest runs; empty if there is none.
    pub devices: Vec<&'static Feature>,
    /// True if all threads share the filter of the processor's thread: a guest in this process that controls one controls all.
    pub is_shared: bool,
    /// True if sockets may be connected.
    pub connects: bool,
}

impl Plan {
    /// Plan for a guest that has devices with these features, on a target with a processor's thread that needs `target`, and for
    /// calls whose answers take `answers`.
    pub fn new(
        target: &'static Feature,
        answers: impl IntoIterator<Item = &'static Feature>,
        devices: impl IntoIterator<Item = &'static Feature>,
    ) -> Self {
        let mut processor = vec![
            &calls::PROCESS,
            &calls::MEMORY,
            &calls::CLOCK,
            target,
            &calls::GUEST_MEMORY,
            &calls::CONSOLE,
            &calls::SIGNALS,
            &calls::REPORT,
        ];
        processor.extend(answers);
        let mut served = vec![];
        for device in devices {
            let common = [&calls::PROCESS, &calls::MEMORY, &calls::CLOCK, &calls::NOTIFIER, device];
            common.into_iter().for_each(|feature| add(&mut served, feature));
            // While the guest waits, its own thread serves.
            [&calls::NOTIFIER, device].into_iter().for_each(|feature| add(&mut processor, feature));
        }
        let connects = served.iter().any(|feature| std::ptr::eq(*feature, &calls::USER_NETWORK));
        let is_shared = std::ptr::eq(target, &calls::SPT);
        if is_shared {
            add(&mut processor, &calls::SENTINEL);
            served = if served.is_empty() { served } else { processor.clone() };
        }
        Self { processor, devices: served, is_shared, connects }
    }
}

fn add(to: &mut Vec<&'static Feature>, feature: &'static Feature) {
    if !to.iter().any(|known| std::ptr::eq(*known, feature)) {
        to.push(feature);
    }
}

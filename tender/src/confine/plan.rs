//! Which system calls each thread of a run is left.

use super::calls::{self, Feature};

/// What each thread of a run may do.
#[derive(Clone, Debug)]
pub struct Plan {
    /// The thread that runs the guest and answers its calls.
    pub processor: Vec<&'static Feature>,
    /// The thread that serves the devices while the guest runs; no feature if there is none.
    pub devices: Vec<&'static Feature>,
    /// Whether all threads share the filter of the processor's: a guest in this process that has one of them has all.
    pub is_shared: bool,
    /// Whether sockets may be connected.
    pub connects: bool,
}

impl Plan {
    /// For a guest whose devices take the features `devices` to be served, on a target whose processor's thread needs `target`.
    pub fn new(target: &'static Feature, devices: impl IntoIterator<Item = &'static Feature>) -> Self {
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
        let mut served = vec![];
        for device in devices {
            let common = [&calls::PROCESS, &calls::MEMORY, &calls::CLOCK, &calls::BELLS, device];
            common.into_iter().for_each(|feature| add(&mut served, feature));
            // While the guest waits, its own thread serves.
            [&calls::BELLS, device].into_iter().for_each(|feature| add(&mut processor, feature));
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

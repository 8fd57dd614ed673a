//! How the tender confines itself, so that a guest that should ever take it over finds nothing to take.
//!
//! Everything a run needs is opened and made first. Then, before the guest's first instruction, the process gives up what
//! it does not need any more ([`privileges`]: identity, capabilities; [`files`]: everything that has a name), and each
//! thread the system calls that its part does not make ([`filter`]). Which those are is data: [`calls`] has a table for
//! each feature, with a reason for each line, and a [`Plan`] says which features a thread has.
//!
//! A call that is not in the tables ends the process at once (SIGSYS, which a shell shows as status 159), instead of
//! failing: it shows that somebody else is at work, who must not be given a second attempt. A few calls by which libraries
//! look for something in passing, and go on without, fail instead ([`calls::REFUSED`]).

#[cfg(feature = "attack")]
pub mod attack;
pub mod calls;
pub mod crew;
pub mod descriptors;
pub mod explain;

pub mod files;
pub mod filter;
mod lacks;
pub mod privileges;

use crate::devices::attach::What;
use crate::devices::net::Backend;
use crate::error::Error;
use calls::Feature;
pub use crew::{Confined, Crew};
pub use descriptors::{Descriptors, Role};
pub use filter::Program;
pub use lacks::{Lack, Lacks};
pub use privileges::User;

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
    /// For a guest with these devices, on a target whose processor's thread needs `target`.
    pub fn new<'d>(target: &'static Feature, devices: impl IntoIterator<Item = &'d What>) -> Self {
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
            let common = [&calls::PROCESS, &calls::MEMORY, &calls::CLOCK, &calls::BELLS, served_by(device)];
            common.into_iter().for_each(|feature| add(&mut served, feature));
            // While the guest waits, its own thread serves.
            [&calls::BELLS, served_by(device)].into_iter().for_each(|feature| add(&mut processor, feature));
        }
        let connects = served.iter().any(|feature| std::ptr::eq(*feature, &calls::USER_NETWORK));
        let is_shared = std::ptr::eq(target, &calls::SPT);
        if is_shared {
            add(&mut processor, &calls::SENTINEL);
            served = if served.is_empty() { served } else { processor.clone() };
        }
        Self { processor, devices: served, is_shared, connects }
    }

    /// Gives up, for this thread and those that it makes from now on, what nobody needs once all is open: as `user` if
    /// there is one. The threads are confined next. Returns what this kernel cannot take, too.
    pub fn confine_process(self, user: Option<User>) -> Result<(Crew, Option<Lack>), Error> {
        privileges::drop(user)?;
        let lack = files::close_the_rest(self.connects)?;
        Ok((Crew::new(self), lack))
    }
}

/// What serving a device takes.
fn served_by(device: &What) -> &'static Feature {
    match device {
        What::Network(options) => match options.backend {
            Backend::Tap(_) | Backend::Descriptor(_) => &calls::TAP,
            Backend::Passt(_) => &calls::PASST,
            Backend::User(_) => &calls::USER_NETWORK,
        },
        What::Block(_) => &calls::BLOCK,
    }
}

fn add(to: &mut Vec<&'static Feature>, feature: &'static Feature) {
    if !to.iter().any(|known| std::ptr::eq(*known, feature)) {
        to.push(feature);
    }
}

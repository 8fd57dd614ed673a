//! Confinement of the tender, so that a guest that takes it over finds nothing to take.
//!
//! Everything that a run needs is opened and made first. Then, before the guest's first instruction, the process gives up
//! what it does not need any more ([`privileges`]: identity, capabilities; [`files`]: everything that has a name), and each
//! thread the system calls that its part does not make ([`filter`]). The allowed calls are data: [`calls`] has a table for
//! each feature, with a reason for each line, and a [`Plan`] lists the features of each thread.
//!
//! A call that is not in the tables ends the process at once (SIGSYS, which a shell shows as status 159), instead of
//! failing: it shows that foreign code is running, which must not get a second attempt. A few calls by which libraries
//! probe for something that they can do without fail instead ([`calls::REFUSED`]).

#[cfg(feature = "attack")]
pub mod attack;
pub mod calls;
pub mod crew;
pub mod descriptors;
mod error;
pub mod files;
pub mod filter;
mod lacks;
mod plan;
pub mod privileges;
pub mod sentinel;

pub use crew::{Confined, Crew};
pub use descriptors::{Descriptors, Role};
pub use error::Error;
pub use files::Beneath;
pub use filter::Program;
pub use lacks::{Lack, Lacks};
pub use plan::Plan;
pub use privileges::User;

/// Gives up, for this thread and those that it makes from now on, the privileges that no thread needs once all is open, and
/// becomes `user`, if there is one. What is `beneath` something stays open. The threads are confined next, by this `plan`. Also
/// returns the protection that this kernel lacks.
pub fn confine_process(plan: Plan, user: Option<User>, beneath: &[Beneath<'_>]) -> Result<(Crew, Option<Lack>), Error> {
    privileges::drop(user)?;
    let lack = files::close_the_rest(plan.connects, beneath)?;
    Ok((Crew::new(plan), lack))
}

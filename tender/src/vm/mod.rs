//! The virtual machine, on either target: what a guest is made of, the loop that runs it, and what is at the edge of the
//! contract: calls, boot information, clock page, preemption, faults.

pub mod boot;
pub mod clock;
pub mod fault;
pub mod gate;
pub mod guest;
pub mod guest_signals;
pub mod guest_streams;
pub mod machine;
pub mod preemption;
pub mod refusal;
pub mod statistics;
pub mod target;

//! A guest in the tender's own process on x86-64: the switch between both, and the signal frame of a stopped guest.

pub(crate) mod frame;
pub(crate) mod switch;

//! The host as the tender uses it: heap, clocks, random bytes, files, processors, resolver, signals, standard streams. Nothing here
//! knows of guests.

pub mod entropy;
pub mod heap;
pub(crate) mod place;
pub(crate) mod processors;
pub(crate) mod regular;
pub mod resolver;
pub mod signals;
pub mod streams;
pub mod terminal;
pub(crate) mod time;

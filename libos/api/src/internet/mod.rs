//! TCP and UDP over a network device: what the libos and native programs build their sockets on.

pub mod connection;
pub mod frame;
mod lease;
pub mod stack;
pub mod wire;

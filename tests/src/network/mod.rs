//! Networks that exist for one test or bench, and clients that load a server.

mod accept;
mod burst;
mod load;
mod namespace;
mod server;

pub use accept::accept;
pub use burst::connect_at_once;
pub use load::{Http, Load};
pub use namespace::{Namespace, in_original, ip, leave};
pub use server::Server;

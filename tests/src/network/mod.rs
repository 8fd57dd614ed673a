//! Networks that exist for one test or bench, and clients that load a server.

mod load;
mod namespace;

pub use load::{Http, Load};
pub use namespace::{Namespace, ip, leave};

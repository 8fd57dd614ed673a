//! The test harness: builds guests, runs them under a tender, and checks their outcome.
//!
//! ```ignore
//! #[test]
//! fn a_guest_that_writes_to_its_code_is_stopped() {
//!     Guest::native("write_text").run().expect_fault("write to");
//! }
//! ```

mod bounded;
pub mod build;
pub mod code;
mod conversation;
mod disk;
mod eventually;
pub mod failing;
pub mod figures;
mod folder;
mod guest;
pub mod manual;
pub mod measure;
pub mod native;
pub mod network;
mod outcome;
pub mod prebuilt;
pub mod pretence;
pub mod process;
mod project;
pub mod requires;
mod running;
mod slow_files;
pub mod steps;
mod target;
pub mod terminal;
mod tracer;
mod volume;
mod watch;
pub mod wire;

pub use bounded::{kills, patience, run_briefly};
pub use conversation::Conversation;
pub use disk::Disk;
pub use eventually::{eventually, with_more_time};
pub use folder::{Folder, contents};
pub use guest::Guest;
pub use husk_skip::skip;
pub use outcome::{End, Outcome, same_lines};
pub use pretence::Pretence;
pub use project::{CargoHusk, Project, package};
pub use running::Running;
pub use slow_files::SlowFiles;
pub use target::Target;
pub use volume::Volume;

//! The harness: builds guests, runs them under a tender, and says what they must have done.
//!
//! ```ignore
//! #[test]
//! fn a_guest_that_writes_to_its_code_is_stopped() {
//!     Guest::native("write_text").run().expect_fault("write to");
//! }
//! ```

pub mod build;
mod guest;
pub mod measure;
mod outcome;
pub mod requires;
mod running;

pub use guest::Guest;
pub use outcome::Outcome;
pub use running::Running;

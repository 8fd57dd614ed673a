//! Answer to a guest's page fault.

/// Outcome of a page fault.
#[derive(Clone, Copy, Debug, PartialEq, Eq)]
pub enum Touch {
    /// The page is the guest's, and mapped now.
    Mapped,
    /// The page could be the guest's, but there is no memory for it.
    OutOfMemory,
    /// The guest itself has taken its rights to the page.
    Forbidden,
    /// The page is not the guest's to touch, or was mapped before: the fault has another reason than a missing page.
    Fault,
}

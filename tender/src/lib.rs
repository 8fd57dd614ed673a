//! The tender.

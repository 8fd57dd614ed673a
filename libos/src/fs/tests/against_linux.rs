//! What Linux does, done to both.

//! What a guest program may use directly.

#![cfg_attr(not(test), no_std)]

//! Prints a hash that depends on the process's random keys.

use std::collections::HashMap;
use std::hash::{BuildHasher, RandomState};

fn main() {
    let map: HashMap<u32, String> = (0..10_000).map(|i| (i, i.to_string())).collect();
    assert_eq!(map.len(), 10_000);
    assert_eq!(map[&77], "77");
    println!("{:016x}", RandomState::new().hash_one(1));
}

//! Lists a directory with 100,000 entries, removes half of them meanwhile, and lists the rest.

use std::{env, fs, io, path::PathBuf};

const COUNT: usize = 100_000;

fn main() -> io::Result<()> {
    let root = PathBuf::from(env::args().nth(1).expect("a directory")).join("many");
    let mut seen = vec![false; COUNT];
    for entry in fs::read_dir(&root)? {
        let name = entry?.file_name();
        let number: usize = name.to_str().and_then(|name| name.parse().ok()).expect("a number");
        assert!(!std::mem::replace(&mut seen[number], true), "{number} is listed twice");
        if number.is_multiple_of(2) {
            fs::remove_file(root.join(name))?;
        }
    }
    let left = fs::read_dir(&root)?.count();
    println!("{} seen, {left} left", seen.iter().filter(|seen| **seen).count());
    fs::remove_dir_all(&root)
}

//! Lists a directory with as many entries as the second argument says, or 100,000, removes half of them meanwhile, and lists the rest.

use std::{env, fs, io, path::PathBuf};

fn main() -> io::Result<()> {
    let count = env::args().nth(2).map_or(100_000, |count| count.parse().expect("a number"));
    let root = PathBuf::from(env::args().nth(1).expect("a directory")).join("many");
    let mut seen = vec![false; count];
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

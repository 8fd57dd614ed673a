//! Prints the contents of a file at each line of input; with `-`, tries to change it instead; with `?`, prints its length.

use std::{env, fs, io};

fn main() {
    let path = env::args().nth(1).expect("a file");
    for line in io::stdin().lines() {
        match line.expect("a line").as_str() {
            "-" => println!("{:?} {:?}", fs::write(&path, "changed"), fs::remove_file(&path)),
            "?" => println!(
                "{:?} bytes",
                fs::metadata(&path).map(|found| found.len()).map_err(|error| error.raw_os_error())
            ),
            _ => println!("{:?}", fs::read_to_string(&path).map_err(|error| error.raw_os_error())),
        }
    }
}

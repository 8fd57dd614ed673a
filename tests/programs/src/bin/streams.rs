//! Prints the results of a write to standard output and of a read from standard input.

use std::io::{Read, Write};

fn main() {
    let mut output = std::io::stdout();
    let written = output.write_all(b"a line\n").and_then(|()| output.flush());
    eprintln!("write: {:?}", written.map_err(|error| error.kind()));
    let read = std::io::stdin().read(&mut [0]);
    eprintln!("read: {:?}", read.map_err(|error| error.kind()));
}

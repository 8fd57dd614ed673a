//! Copies standard input to standard output, and counts on standard error.

use std::io::{self, BufRead, Write};

fn main() -> io::Result<()> {
    let mut lines = 0;
    for line in io::stdin().lock().lines() {
        writeln!(io::stdout(), "{}", line?)?;
        lines += 1;
    }
    eprintln!("{lines} lines");
    Ok(())
}

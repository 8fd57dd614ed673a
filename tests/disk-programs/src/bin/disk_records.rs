//! Writes records one after the other, none of them whole sectors long, and prints the number of each once it is durable.

use std::fs::File;
use std::io::{self, Write};
use std::os::unix::fs::FileExt;

/// Bytes of a record.
const LENGTH: u64 = 700;

fn main() -> io::Result<()> {
    let file = File::options().read(true).write(true).open("/dev/data")?;
    let mut output = io::stdout();
    for number in 1u64.. {
        let mut record = [number as u8; LENGTH as usize];
        record[..8].copy_from_slice(&number.to_le_bytes());
        if let Err(error) = file.write_all_at(&record, (number - 1) * LENGTH) {
            writeln!(output, "full: {:?}", error.kind())?;
            return Ok(());
        }
        file.sync_data()?;
        writeln!(output, "{number}")?;
    }
    Ok(())
}

//! Reads and writes a disk that the host can no longer read and write, once a line on standard input says so.

use std::fs::File;
use std::io;
use std::os::unix::fs::FileExt;

fn main() -> io::Result<()> {
    let file = File::options().read(true).write(true).open("/dev/data")?;
    let length = 64 << 10;
    let mut buffer = vec![1; length];
    let far = 1 << 20;
    // Data that was read a moment ago must fail, too.
    for offset in [0, far, far] {
        file.read_exact_at(&mut buffer, offset)?;
    }
    println!("ready");
    io::stdin().read_line(&mut String::new())?;
    match std::env::args().nth(1).as_deref() {
        Some("read") => println!("{:?}", file.read_at(&mut buffer, far).map_err(|error| error.raw_os_error())),
        _ => {
            let mut failed = None;
            for offset in (far..far + (8 << 20)).step_by(length) {
                failed = failed.or(file.write_at(&vec![1; length], offset).err());
            }
            println!("{:?}", failed.and_then(|error| error.raw_os_error()));
        }
    }
    file.read_exact_at(&mut buffer, 0)?;
    println!("goes on");
    Ok(())
}

//! Reads the file of its first argument in a thread of its own; meanwhile it writes each line of its input to the file of its second
//! argument, and prints what that has then.

use std::{env, fs, io, thread};

fn main() -> io::Result<()> {
    let mut paths = env::args().skip(1);
    let (slow, quick) = (paths.next().expect("a path"), paths.next().expect("a second path"));
    thread::spawn(move || println!("{:?}", fs::read_to_string(slow)));
    for line in io::stdin().lines() {
        fs::write(&quick, line?)?;
        println!("written: {}", fs::read_to_string(&quick)?);
    }
    Ok(())
}

//! Prints a line and sleeps, so that its memory can be inspected.

fn main() {
    println!("resting");
    std::thread::sleep(std::time::Duration::from_secs(60));
}

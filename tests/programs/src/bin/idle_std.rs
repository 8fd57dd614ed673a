//! Prints a line and rests, so that its memory can be looked at.

fn main() {
    println!("resting");
    std::thread::sleep(std::time::Duration::from_secs(60));
}

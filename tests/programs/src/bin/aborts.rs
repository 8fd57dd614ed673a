//! Aborts.

fn main() {
    println!("about to abort");
    std::process::abort();
}

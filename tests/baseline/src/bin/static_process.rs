//! The least a process can do.

fn main() {
    println!("Hello from a static process");
}

//! An ordinary Rust program; nothing in it knows that it becomes a unikernel.

fn main() {
    println!("Hello from an ordinary Rust program");
}

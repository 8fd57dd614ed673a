//! Tries to start another program, which fails, and continues.

fn main() {
    let error = std::process::Command::new("/bin/true").status().expect_err("one image, one program");
    println!("no other program: {error}");
}

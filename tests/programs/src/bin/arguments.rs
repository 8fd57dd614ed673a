//! Prints its arguments and environment, and exits with the status in the variable STATUS.

fn main() {
    for argument in std::env::args().skip(1) {
        println!("{argument}");
    }
    for (name, value) in std::env::vars() {
        println!("{name}={value}");
    }
    std::process::exit(std::env::var("STATUS").map_or(0, |status| status.parse().expect("a number")));
}

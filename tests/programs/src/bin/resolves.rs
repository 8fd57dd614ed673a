//! Resolves the names in its arguments, and prints the addresses of each.

use std::net::ToSocketAddrs;

fn main() {
    for name in std::env::args().skip(1) {
        match (name.as_str(), 80).to_socket_addrs() {
            Ok(addresses) => {
                let addresses: Vec<_> = addresses.map(|address| address.ip().to_string()).collect();
                println!("{name}: {}", addresses.join(" "));
            }
            Err(_) => println!("{name}: not found"),
        }
    }
}

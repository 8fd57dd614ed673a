//! Rules of a user-mode network: the decision about one connection. `cargo bench -p husk-tender`

use criterion::Criterion;
use husk_tender::devices::net::user::policy::{Policy, Rule};
use std::hint::black_box;
use std::net::SocketAddr;

fn policy(criterion: &mut Criterion) {
    let outside: SocketAddr = "198.51.100.7:443".parse().expect("an address");
    let mapped: SocketAddr = "[64:ff9b::c633:6407]:443".parse().expect("an address");
    let networks = |count: u8| {
        let rules = (0..count).map(|third| Rule::parse(false, &format!("203.0.{third}.0/24:80")).expect("a rule"));
        Policy(rules.collect())
    };
    for (name, rules, to) in [("no rules", 0, outside), ("32 rules", 32, outside), ("32 rules, NAT64", 32, mapped)] {
        let policy = networks(rules);
        let decide = || black_box(&policy).target(black_box(to), None, |_| false);
        assert_eq!(decide(), Some(to));
        criterion.bench_function(&format!("policy/{name}"), |bench| bench.iter(decide));
    }
}

fn main() {
    let mut criterion = Criterion::default().configure_from_args();
    policy(&mut criterion);
    criterion.final_summary();
}

//! How many frames a second a native guest sends to a TAP interface, against a process that writes them there.
//!
//! `cargo bench -p husk-tests --bench frames [ROUNDS]`; takes root. In a network of its own.

use husk_tests::{Guest, build, measure, wire};

const FRAMES: usize = 200_000;

fn main() {
    if !wire::alone() {
        return;
    }
    wire::ip("tuntap add tap0 mode tap");
    wire::ip("link set tap0 up");
    let image = build::image("net-guests", "frames_send");
    println!("{:<14} {:>14} {:>14} {:>8} {:>14}", "frames", "guest 1000/s", "process", "ratio", "exits/frame");
    for length in [60, 1514] {
        let (mut guest, mut process, mut ratio, mut exits) = (vec![], vec![], vec![], vec![]);
        for _ in 0..measure::rounds(5) {
            let run = Guest::image(&image).flag("--net=tap:tap0").flag("--verbose");
            let outcome = run.argument(FRAMES.to_string()).argument(length.to_string()).run();
            let took_ns: f64 = outcome.stdout().trim().parse().expect("a time");
            let native = wire::write_frames("tap0", FRAMES, length).as_secs_f64() * 1e9;
            guest.push(FRAMES as f64 / took_ns * 1e6);
            process.push(FRAMES as f64 / native * 1e6);
            ratio.push(native / took_ns);
            exits.push(calls(&outcome.stderr()) / FRAMES as f64);
        }
        let [guest, process, ratio, exits] =
            [guest, process, ratio, exits].map(|mut values| measure::median(&mut values));
        println!("{:<14} {guest:>14.0} {process:>14.0} {ratio:>8.2} {exits:>14.4}", format!("{length} bytes"));
    }
}

/// The calls that a guest made, by what its tender tells at the end.
fn calls(told: &str) -> f64 {
    let line = told.lines().find(|line| line.starts_with("husk: exits:")).unwrap_or_default();
    line.split_whitespace().filter_map(|word| word.parse::<f64>().ok()).sum()
}

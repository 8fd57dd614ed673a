//! Table that every part prints: a row for each measurement, with the value of Linux, and for each target the value of a
//! guest, its ratio to Linux, and the guest's exits to its tender.

use husk_tests::Target;
use husk_tests::measure::median;
use std::env;

/// Measurement, and the results of others.
pub struct Row {
    /// Name of the measurement, with its unit.
    pub name: String,
    /// Solo5 0.12.1, hvt and spt, as once measured on the machine of the README; elsewhere the values are only a rough guide.
    pub solo5: &'static str,
}

impl Row {
    /// Makes a row.
    pub fn new(name: impl Into<String>, solo5: &'static str) -> Self {
        Self { name: name.into(), solo5 }
    }
}

/// Results of one measurement: a value for each row.
pub struct Sample<const ROWS: usize> {
    /// The values.
    pub values: [f64; ROWS],
    /// Exits of a guest to its tender, per operation.
    pub exits: f64,
}

/// Prints the first line of a table.
pub fn head(unit: &str) {
    print!("{:<44} {:>11}", "", "linux");
    for target in Target::all() {
        print!(" {:>11} {:>6} {:>8}", target.name(), "ratio", format!("exits/{unit}"));
    }
    println!("   Solo5, hvt and spt");
}

/// Returns true if a row of this name is measured: always, or with `--only` if the name contains the text behind it.
fn is_wanted(name: &str) -> bool {
    let words: Vec<String> = env::args().collect();
    words.windows(2).find(|pair| pair[0] == "--only").is_none_or(|pair| name.contains(&pair[1]))
}

/// Measures some rows at once, in rounds: on Linux, and in a guest of each target. Prints medians; ratios are taken within
/// a round. Does nothing if none of the rows is wanted.
pub fn rows<const ROWS: usize>(
    rows: [Row; ROWS],
    rounds: usize,
    native: impl Fn() -> [f64; ROWS],
    guest: impl Fn(Target) -> Sample<ROWS>,
) {
    if !rows.iter().any(|row| is_wanted(&row.name)) {
        return;
    }
    let targets = Target::all();
    let mut linux = [const { Vec::new() }; ROWS];
    let mut guests = vec![[const { [const { Vec::new() }; 3] }; ROWS]; targets.len()];
    for _ in 0..rounds {
        let native = native();
        linux.iter_mut().zip(native).for_each(|(values, value)| values.push(value));
        for (target, figures) in targets.iter().zip(&mut guests) {
            let sample = guest(*target);
            for (row, [values, ratios, exits]) in figures.iter_mut().enumerate() {
                values.push(sample.values[row]);
                ratios.push(sample.values[row] / native[row]);
                exits.push(sample.exits);
            }
        }
    }
    for (row, Row { name, solo5 }) in rows.into_iter().enumerate() {
        print!("{name:<44} {:>11}", short(median(&mut linux[row])));
        for figures in &mut guests {
            let [value, ratio, exits] = figures[row].each_mut().map(|values| median(values));
            let ratio = if ratio.is_finite() { format!("{ratio:.2}") } else { "-".to_owned() };
            print!(" {:>11} {ratio:>6} {exits:>8.4}", short(value));
        }
        println!("   {solo5}");
    }
}

/// Formats a value with its significant digits.
fn short(value: f64) -> String {
    if value < 100.0 { format!("{value:.1}") } else { format!("{value:.0}") }
}

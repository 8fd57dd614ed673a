//! Shows a check as a table for people, and as JSON for programs.

use super::{Check, Row, State};
use crate::inspect::Value;
use crate::report::names::{BOLD, Clean, PLAIN};
use std::fmt;

impl Check {
    /// Returns the check as one line of JSON.
    pub fn json(&self) -> String {
        use Value::{Flag, List, Nothing, Number, Object, Text};
        let row = |row: &Row| {
            let (number, unit) = match row.number {
                Some((number, unit)) => (Number(number), Text(unit.to_owned())),
                None => (Nothing, Nothing),
            };
            Object(vec![
                ("group", Text(row.group.to_owned())),
                ("name", Text(row.name.to_owned())),
                ("state", Text(row.state.name().to_owned())),
                ("value", Text(row.value.clone())),
                ("number", number),
                ("unit", unit),
                ("remedy", row.remedy.clone().map_or(Nothing, Text)),
            ])
        };
        Object(vec![
            ("well", Flag(self.is_well())),
            ("strict", Flag(self.is_strict())),
            ("verdict", Text(self.verdict().to_owned())),
            ("rows", List(self.rows.iter().map(row).collect())),
        ])
        .to_string()
    }
}

impl State {
    const fn colour(self) -> &'static str {
        match self {
            Self::Good => "\x1b[32m",
            Self::Fact => "",
            Self::Without | Self::Shared => "\x1b[33m",
            Self::Weaker | Self::Missing => "\x1b[31m",
        }
    }
}

impl fmt::Display for Check {
    fn fmt(&self, f: &mut fmt::Formatter<'_>) -> fmt::Result {
        let width = self.rows.iter().map(|row| row.name.len()).max().unwrap_or(0);
        let paint = |colour: &'static str| if self.colour { colour } else { "" };
        let (bold, plain) = (paint(BOLD), paint(PLAIN));
        let mut group = "";
        for row in &self.rows {
            if row.group != group {
                let space = if group.is_empty() { "" } else { "\n" };
                writeln!(f, "{space}{bold}{}{plain}", row.group)?;
                group = row.group;
            }
            let colour = paint(row.state.colour());
            let end = if colour.is_empty() { "" } else { plain };
            writeln!(f, "  {:<width$}  {colour}{:<7}{end}  {}", row.name, row.state.name(), Clean(&row.value))?;
            if let Some(remedy) = &row.remedy {
                writeln!(f, "  {:<width$}  {:<7}  -> {}", "", "", Clean(remedy))?;
            }
        }
        writeln!(f, "\n{bold}{}{plain}", self.verdict())
    }
}

#[cfg(test)]
mod tests {
    use super::super::tests::example;
    use super::*;

    fn two() -> Check {
        let mut check = example(&[State::Good, State::Missing]);
        check.rows[0].number = Some((71_000, "ns"));
        check.rows[1] = Row::new("other", "longer name", State::Missing, "not \"there\"\x1b[0m").remedy("get it");
        check
    }

    #[test]
    fn the_table_is_aligned_and_plain() {
        let text = two().to_string();
        let expected = "group\n  name         ok       value\n\nother\n  longer name  missing  not \"there\"";
        assert!(text.starts_with(expected), "{text}");
        assert!(text.contains("\n                        -> get it\n"), "{text}");
        assert!(text.ends_with("\nguests do not run in virtual machines here\n") && !text.contains('\x1b'), "{text}");
        assert!(two().with_colour(true).to_string().contains("\x1b[31mmissing\x1b[0m"));
    }

    #[test]
    fn programs_get_one_object() {
        let json = two().json();
        let start = r#"{"well":false,"strict":false,"verdict":"guests do not run in virtual machines here","rows":[{"group":"group","name":"name","state":"ok","value":"value","number":71000,"unit":"ns","remedy":null},"#;
        assert!(json.starts_with(start), "{json}");
        assert!(json.ends_with(r#""value":"not \"there\"\u001b[0m","number":null,"unit":null,"remedy":"get it"}]}"#));
    }
}

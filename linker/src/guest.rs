//! Flags of `husk run`, which `cargo husk run` and `test` take and pass on in the order in which they were written: of several
//! rules for where a guest may connect to, the first that fits decides.

use crate::cargo;
use crate::error::{Error, Result};
use clap::error::Result as Parsed;
use clap::{Arg, ArgAction, ArgMatches, Args, Command, FromArgMatches};
use husk_abi::size;
use husk_flags::run::{COMMAND, Run};
use husk_flags::{Flag, Flags, help};

/// Letters of flags of `husk run` that are flags of cargo.
const LETTERS_OF_CARGO: [char; 2] = ['p', 'v'];

/// Size that `--memory-max` has by default: the size is from the package's own author, unlike that of an image from elsewhere.
const MEMORY_MAX: &str = "none";

/// Flags for the tender, with their values.
#[derive(Clone, Debug, Default, PartialEq, Eq)]
pub struct Guest(Vec<(Run, String)>);

/// Returns the flags as `cargo husk` takes them.
pub fn flags() -> impl Iterator<Item = (Run, Flag<'static>)> {
    Run::ALL.iter().zip(COMMAND.flags).map(|(id, flag)| {
        let short = flag.short.filter(|letter| !LETTERS_OF_CARGO.contains(letter));
        let default = if *id == Run::MemoryMax { MEMORY_MAX } else { flag.default };
        (*id, Flag { short, default, ..*flag })
    })
}

/// Returns this text and the paragraphs that explain flags.
pub fn explained(text: &str) -> String {
    text.to_owned() + "\n" + &help::sections(&COMMAND)
}

impl Guest {
    /// Returns true if a disk is to be mounted.
    pub fn mounts(&self) -> bool {
        self.0.iter().any(|(id, _)| *id == Run::Mount)
    }

    /// Returns the words of `husk` for these flags, or an error about a value that shows before anything is built.
    pub fn words(&self) -> Result<Vec<String>> {
        let mut words = vec![];
        if !self.0.iter().any(|(id, _)| *id == Run::MemoryMax) {
            words.push(format!("--memory-max={MEMORY_MAX}"));
        }
        for (id, value) in &self.0 {
            check(*id, value)?;
            let Flag { long, value: takes, .. } = COMMAND.flags[*id as usize];
            words.push(if takes.is_some() { format!("--{long}={value}") } else { format!("--{long}") });
        }
        Ok(words)
    }
}

/// Checks the value of a flag as far as the tender's own check would come late.
fn check(flag: Run, value: &str) -> Result<()> {
    match flag {
        Run::Memory => size::parse(value).map(drop).map_err(|error| Error::new(format!("--memory {value}: {error}"))),
        Run::StopTimeout => value
            .parse::<u64>()
            .map(drop)
            .map_err(|_| Error::new(format!("--stop-timeout {value}: write a number of seconds, such as 30"))),
        Run::Target if !["hvt", "spt"].contains(&value) => Err(cargo::no_target(value)),
        _ => Ok(()),
    }
}

impl Args for Guest {
    fn augment_args(command: Command) -> Command {
        command.args(flags().map(|(_, flag)| {
            let action = match (flag.value.is_some(), flag.repeats) {
                (false, _) => ArgAction::SetTrue,
                (true, false) => ArgAction::Set,
                (true, true) => ArgAction::Append,
            };
            let argument =
                Arg::new(flag.long).long(flag.long).short(flag.short).value_name(flag.value.unwrap_or_default());
            argument.help(flag.description()).long_help(help::description(&COMMAND, &flag)).action(action)
        }))
    }

    fn augment_args_for_update(command: Command) -> Command {
        Self::augment_args(command)
    }
}

impl FromArgMatches for Guest {
    fn from_arg_matches(matches: &ArgMatches) -> Parsed<Self> {
        let mut guest = Self::default();
        guest.update_from_arg_matches(matches)?;
        Ok(guest)
    }

    fn update_from_arg_matches(&mut self, matches: &ArgMatches) -> Parsed<()> {
        let mut found = vec![];
        for (id, flag) in flags() {
            let places = matches.indices_of(flag.long).into_iter().flatten();
            match flag.value {
                Some(_) => {
                    let values = matches.get_many::<String>(flag.long).into_iter().flatten();
                    found.extend(places.zip(values).map(|(place, value)| (place, id, value.clone())));
                }
                None if matches.get_flag(flag.long) => found.extend(places.map(|place| (place, id, String::new()))),
                None => {}
            }
        }
        found.sort_by_key(|(place, ..)| *place);
        self.0.extend(found.into_iter().map(|(_, id, value)| (id, value)));
        Ok(())
    }
}

#[cfg(test)]
mod tests {
    use super::*;

    fn words(line: &str) -> Result<Vec<String>> {
        let matches =
            Guest::augment_args(Command::new("run")).try_get_matches_from(line.split(' ')).expect("all are flags");
        Guest::from_arg_matches(&matches).expect("all are flags").words()
    }

    #[test]
    fn flags_stay_in_the_order_in_which_they_were_written() {
        let line = "run --memory-max=1G --deny=10.0.0.1 --allow=10.0.0.0/8 --strict --deny=all:25 --env=A=b --allow=host --verbose";
        assert_eq!(words(line).expect("all valid").join(" "), &line["run ".len()..]);
    }

    #[test]
    fn a_project_of_ones_own_gets_the_memory_that_it_asks_for() {
        assert_eq!(
            words("run -e A --net-idle 5m").expect("all valid"),
            ["--memory-max=none", "--env=A", "--net-idle=5m"]
        );
    }

    #[test]
    fn every_flag_of_the_tender_is_taken() {
        for (_, flag) in flags() {
            let value = flag.value.map_or(String::new(), |_| "=1".to_owned());
            let matches = Guest::augment_args(Command::new("run"))
                .try_get_matches_from(["run", &format!("--{}{value}", flag.long)]);
            let Guest(found) = Guest::from_arg_matches(&matches.expect(flag.long)).expect(flag.long);
            assert_eq!(found.len(), 1, "{}", flag.long);
        }
    }

    #[test]
    fn bad_values_are_named() {
        let message = |line| words(line).expect_err("not valid").to_string();
        assert!(message("run --memory lots").starts_with("--memory lots"));
        assert!(message("run --stop-timeout soon").starts_with("--stop-timeout soon: write a number of seconds"));
        assert!(message("run --target i686").starts_with("--target i686: an image"));
    }
}

//! `--allow` and `--deny`: two flags with an order among each other, because the first rule that fits decides.

use clap::error::Result;
use clap::{Arg, ArgAction, ArgMatches, Args, Command, FromArgMatches};

/// The rules for where the guest may connect to, in the order in which they were written.
#[derive(Clone, Debug, Default, PartialEq, Eq)]
pub struct Rules(Vec<(usize, &'static str, String)>);

/// The flags, with their help.
const FLAGS: [(&str, &str); 2] = [
    ("allow", "Let the guest connect to this network, and only to what is allowed; see husk run --help"),
    ("deny", "Do not let the guest connect to this network; of several rules, the first that fits decides"),
];

impl Rules {
    /// Returns the tender's flags for the same rules.
    pub fn words(&self) -> impl Iterator<Item = String> {
        self.0.iter().flat_map(|(_, flag, network)| [format!("--{flag}"), network.clone()])
    }
}

impl Args for Rules {
    fn augment_args(command: Command) -> Command {
        let flag = |(name, help): (&'static str, &'static str)| {
            Arg::new(name).long(name).help(help).value_name("NETWORK[:PORT]").action(ArgAction::Append)
        };
        command.args(FLAGS.map(flag))
    }

    fn augment_args_for_update(command: Command) -> Command {
        Self::augment_args(command)
    }
}

impl FromArgMatches for Rules {
    fn from_arg_matches(matches: &ArgMatches) -> Result<Self> {
        let mut rules = Self::default();
        rules.update_from_arg_matches(matches)?;
        Ok(rules)
    }

    fn update_from_arg_matches(&mut self, matches: &ArgMatches) -> Result<()> {
        for (flag, _) in FLAGS {
            let places = matches.indices_of(flag).into_iter().flatten();
            let networks = matches.get_many::<String>(flag).into_iter().flatten();
            self.0.extend(places.zip(networks).map(|(place, network)| (place, flag, network.clone())));
        }
        self.0.sort();
        Ok(())
    }
}

#[cfg(test)]
mod tests {
    use super::*;

    #[test]
    fn rules_stay_in_the_order_in_which_they_were_written() {
        let line = "run --deny 10.0.0.1 --allow 10.0.0.0/8 --deny all:25 --allow host";
        let command = Rules::augment_args(Command::new("run"));
        let matches = command.try_get_matches_from(line.split(' ')).expect("all are flags");
        let rules = Rules::from_arg_matches(&matches).expect("all are rules");
        assert_eq!(rules.words().collect::<Vec<_>>().join(" "), &line["run ".len()..]);
    }
}

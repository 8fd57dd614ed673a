//! `cargo husk` in the form from which help is made: what clap knows of it, and the flags of `husk run`.

use crate::guest;
use clap::{Arg, ArgAction};
use husk_flags::{Command, Flag, Program, run};

/// Describes `cargo`, the built command `cargo husk`. The texts are made once for a process, and never freed.
pub fn program(cargo: &clap::Command) -> Program<'static> {
    let commands = cargo.get_subcommands().map(|known| &*Box::leak(Box::new(command(known))));
    Program { name: "cargo husk", about: fixed(cargo.get_about()), commands: commands.collect::<Vec<_>>().leak() }
}

fn command(known: &clap::Command) -> Command<'static> {
    let name = fixed(Some(known.get_name()));
    let usage = known.clone().render_usage().to_string();
    Command {
        name,
        usage: fixed(Some(usage.trim_start_matches("Usage: "))),
        summary: fixed(known.get_about()),
        about: fixed(known.get_about()),
        flags: known.get_arguments().filter_map(flag).collect::<Vec<_>>().leak(),
        sections: if ["run", "test"].contains(&name) { run::COMMAND.sections } else { &[] },
    }
}

/// Returns the flag that an argument is, unless it is hidden or `--help`, which every command has.
fn flag(argument: &Arg) -> Option<Flag<'static>> {
    let long = argument.get_long().filter(|long| !argument.is_hide_set() && *long != "help")?;
    if let Some((_, flag)) = guest::flags().find(|(_, flag)| flag.long == long) {
        return Some(flag);
    }
    let value = argument.get_value_names().filter(|_| argument.get_action().takes_values());
    Some(Flag {
        short: argument.get_short(),
        value: value.map(|names| fixed(names.first())),
        repeats: matches!(argument.get_action(), ArgAction::Append),
        ..Flag::new(fixed(Some(long)), fixed(argument.get_help()))
    })
}

/// Returns a text that lives as long as the process.
fn fixed(text: Option<impl ToString>) -> &'static str {
    text.map_or("", |text| text.to_string().leak())
}

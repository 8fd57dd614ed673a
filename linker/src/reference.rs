//! `cargo husk` in the form from which help, completions and the manual page are made: what clap knows of it, and the flags of `husk run`.

use crate::guest;
use clap::{Arg, ArgAction};
use husk_flags::{Argument, Command, Flag, Program, completions, disk, run};

/// Describes `cargo`, the built command `cargo husk`. The texts are made once for a process, and never freed.
pub fn program(cargo: &clap::Command) -> Program<'static> {
    let commands = cargo.get_subcommands().map(|known| &*Box::leak(Box::new(command(known))));
    Program {
        name: "cargo husk",
        about: "builds cargo projects as unikernel images and runs them",
        commands: commands.collect::<Vec<_>>().leak(),
        environment: &[
            ("HUSK", "Path of the program `husk`, which runs images."),
            ("HUSK_TARGET", "Target of guests where --target names none: hvt or spt."),
        ],
        see_also: "husk(1), cargo(1)",
    }
}

fn command(known: &clap::Command) -> Command<'static> {
    let name = fixed(Some(known.get_name()));
    if name == disk::COMMAND.name {
        return Command { usage: fixed(Some(format!("cargo {}", disk::COMMAND.usage))), ..disk::COMMAND };
    }
    let usage = known.clone().render_usage().to_string();
    Command {
        name,
        usage: fixed(Some(usage.trim_start_matches("Usage: "))),
        summary: fixed(known.get_about()),
        about: about(known),
        argument: match name {
            "new" => Argument::File,
            "completions" => Argument::Words(completions::SHELLS),
            "help" => Argument::Topic,
            _ => Argument::Text,
        },
        flags: known.get_arguments().filter_map(flag).collect::<Vec<_>>().leak(),
        sections: if ["run", "test", "bench"].contains(&name) { run::COMMAND.sections } else { &[] },
    }
}

/// Returns what a command does, and what clap prints below its flags.
fn about(known: &clap::Command) -> &'static str {
    let text = [known.get_about(), known.get_after_help()].into_iter().flatten().map(ToString::to_string);
    text.collect::<Vec<_>>().join(".\n").leak()
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

#[cfg(test)]
mod tests {
    use super::*;
    use crate::arguments::Husk;
    use clap::CommandFactory;
    use husk_flags::{help, man};

    fn husk() -> Program<'static> {
        let mut command = Husk::command();
        command.build();
        program(&command)
    }

    #[test]
    fn flags_of_both_tables_are_explained() {
        let explained = |word: &str| help::about(&husk(), word).expect(word);
        assert!(
            explained("--memory-max").contains("--memory-max SIZE|none\n")
                && explained("memory-max").contains("default: none")
        );
        assert!(
            explained("net").contains("cargo husk test --net [NAME=]WIRE") && explained("net").contains("\nNetworks: ")
        );
        assert!(
            explained("-p").starts_with("cargo husk build -p, --package SPEC\n    Build this package; may be repeated")
        );
        assert!(!explained("publish").contains("-p,"));
        assert!(
            explained("disk").contains("Usage: cargo husk disk create") && explained("label").contains("--label NAME")
        );
        assert_eq!(help::about(&husk(), "message-format"), None);
    }

    #[test]
    fn completions_and_the_manual_page_have_the_flags_of_both_tables() {
        let page = man::page(&husk(), "1");
        assert!(
            page.contains("cargo\\-husk \\- builds")
                && page.contains("prints the path of each.\nAll other options of 'cargo build' work too.")
                && page.contains("\\-\\-stop\\-timeout")
                && page.contains("\\-\\-release")
        );
        for shell in completions::SHELLS {
            let script = completions::script(&husk(), shell).expect("a known shell");
            assert!(script.contains("stop-timeout") && script.contains("release"), "{script}");
        }
    }
}

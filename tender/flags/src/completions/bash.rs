//! Completions for bash.

use super::{Candidates, arguments, function, values};
use crate::{Command, Program};
use std::fmt::Write;

/// Returns the script. For `cargo husk` it takes over the completion of `cargo`, and passes on what is not of `husk`.
pub fn script(program: &Program<'_>) -> String {
    let (function, at) = (function(program), program.name.split(' ').count());
    let mut text = format!("# Completions of {} for bash.\n\n", program.name);
    let others = match program.name.split_once(' ') {
        Some((tool, name)) => {
            let _ = write!(
                text,
                "# Completions of {tool} itself, where they are installed.\n\
                 _completion_loader {tool} 2> /dev/null\n\
                 {function}_others=$(complete -p {tool} 2> /dev/null | sed -n 's/.* -F \\([^ ]*\\) .*/\\1/p')\n"
            );
            format!(
                "    if [[ ${{COMP_WORDS[1]}} != {name} ]] || ((COMP_CWORD < 2)); then\n        \
                     if [[ ${function}_others ]]; then \"${function}_others\" \"$@\"; fi\n        \
                     return\n    \
                 fi\n"
            )
        }
        None => String::new(),
    };
    let commands: Vec<_> = program.commands.iter().map(|command| command.name).collect();
    let cases: String = program.commands.iter().map(|command| of_command(program, command)).collect();
    let _ = write!(
        text,
        "{function}() {{\n{others}    \
             local word=${{COMP_WORDS[COMP_CWORD]}} before=${{COMP_WORDS[COMP_CWORD - 1]}} offer=(-W '')\n    \
             # bash separates a flag and its value at `=`.\n    \
             if [[ $word == = ]]; then\n        \
                 word=\n    \
             elif [[ $before == = ]]; then\n        \
                 before=${{COMP_WORDS[COMP_CWORD - 2]}}\n    \
             fi\n    \
             COMPREPLY=()\n    \
             if ((COMP_CWORD == {at})); then\n        \
                 offer=(-W '{commands}')\n    \
             else\n        \
                 case ${{COMP_WORDS[{at}]}}:$before:$word in\n{cases}        \
                 esac\n    \
             fi\n    \
             mapfile -t COMPREPLY < <(compgen \"${{offer[@]}}\" -- \"$word\")\n    \
             [[ ${{offer[0]}} != -f ]] || compopt -o filenames 2> /dev/null\n\
         }}\n\
         complete -F {function} {called}\n",
        commands = commands.join(" "),
        called = program.name.split(' ').next().unwrap_or_default(),
    );
    text
}

/// Returns the cases of one command: its flags that take a value, flags, arguments.
fn of_command(program: &Program<'_>, command: &Command<'_>) -> String {
    let name = command.name;
    let mut text = String::new();
    for flag in command.flags.iter().filter(|flag| flag.value.is_some()) {
        let patterns: Vec<_> = flag.spellings().map(|spelling| format!("{name}:{spelling}:*")).collect();
        let _ = writeln!(text, "            {}) {} ;;", patterns.join("|"), offer(values(flag)));
    }
    let flags: Vec<_> = command.flags.iter().flat_map(|flag| flag.spellings()).collect();
    let _ = writeln!(text, "            {name}:*:-*) offer=(-W '{} -h --help') ;;", flags.join(" "));
    let _ = writeln!(text, "            {name}:*) {} ;;", offer(arguments(program, command.argument)));
    text
}

/// Returns the statement that offers these words.
fn offer(candidates: Candidates<'_>) -> String {
    match candidates {
        Candidates::Files([]) => "offer=(-f)".to_owned(),
        Candidates::Files(words) => format!("offer=(-f -W '{}')", words.join(" ")),
        Candidates::Words(words) => format!("offer=(-W '{}')", words.join(" ")),
    }
}

//! Sides of the comparison, and how a program starts on each.

use crate::list::Program;
use crate::place::Place;
use crate::{Result, install};
use husk_tests::build;
use std::fmt;
use std::process::Command;

/// Memory of a guest, unless the list says another one.
const MEMORY: &str = "256M";

/// Side on which a program runs.
#[derive(Clone, Copy, Debug, PartialEq, Eq)]
pub enum Side {
    /// A process of this machine.
    Linux,
    /// A VM.
    Hvt,
    /// A process of Husk.
    Spt,
}

impl fmt::Display for Side {
    fn fmt(&self, f: &mut fmt::Formatter<'_>) -> fmt::Result {
        f.write_str(match self {
            Self::Linux => "Linux",
            Self::Hvt => "hvt",
            Self::Spt => "spt",
        })
    }
}

impl Side {
    /// Sides with builds of their own: an image runs under both targets.
    pub const BUILDS: [Self; 2] = [Self::Linux, Self::Hvt];

    /// Returns the command that starts a program in a place, with these arguments; a server with its port.
    pub fn command(self, program: &Program, place: &Place, args: &[String], is_server: bool) -> Result<Command> {
        let installed = install::provide(program, self)?;
        let mut command = match self {
            Self::Linux => {
                let mut command = Command::new(installed);
                command.env_clear().envs(program.env.iter().map(|(name, value)| (name, place.fill(value))));
                command
            }
            Self::Hvt | Self::Spt => {
                let mut command = Command::new(build::husk());
                command.args(["run", "--target", &self.to_string()]);
                command.args(["--memory", program.memory.as_deref().unwrap_or(MEMORY)]);
                command.arg("--files").arg(format!("{0}={0}", place.folder().display()));
                for (name, value) in &program.env {
                    command.arg("--env").arg(format!("{name}={}", place.fill(value)));
                }
                if is_server {
                    let port = place.port();
                    command.args(["--publish", &format!("{port}:{port}")]);
                    if program.serve.as_ref().is_some_and(|serve| serve.udp) {
                        command.args(["--publish", &format!("{port}:{port}/udp")]);
                    }
                }
                command.args(program.flags.iter().map(|flag| place.fill(flag)));
                command.arg(installed).arg("--");
                command
            }
        };
        command.args(args.iter().map(|word| place.fill(word))).current_dir(place.folder());
        Ok(command)
    }
}

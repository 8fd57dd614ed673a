//! `cargo husk check` and `cargo husk clippy`: cargo's own, for the targets and settings of images.

use super::build::only;
use crate::arguments::Check;
use crate::cargo::{self, Call};
use crate::error::{Error, Result};
use crate::forward::Divided;
use crate::project::Project;
use crate::settings::Kind;
use std::process::ExitCode;

/// Runs `cargo <subcommand>` for each kind of program, until one fails; its exit status is cargo's.
pub fn run(subcommand: &str, check: &Check, divided: &Divided) -> Result<ExitCode> {
    if let Some(target) = &check.target {
        return Err(cargo::no_target(target));
    }
    let project = Project::select(&check.cargo, &divided.cargo)?;
    let mut kinds = cargo::kinds(&project.members);
    let has_both = kinds.len() > 1;
    // cargo has the best message about a name that it does not know.
    if kinds.is_empty() {
        kinds.push(Kind::Std);
    }
    for kind in kinds {
        let words = if has_both { only(kind, &project, divided) } else { divided.cargo.clone() };
        let mut call = Call::new(subcommand, kind, &project, &check.cargo, &words)?;
        if !divided.rest.is_empty() {
            call.command.arg("--").args(&divided.rest);
        }
        let status = call.command.status().map_err(|error| Error::start(call.command.get_program().as_ref(), error))?;
        if !status.success() {
            return Ok(cargo::exit_code(status));
        }
    }
    Ok(ExitCode::SUCCESS)
}

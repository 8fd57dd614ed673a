//! `cargo husk run` and `cargo husk test`: cargo builds and starts, the tender is its runner.

use crate::arguments::{Guest, Run};
use crate::cargo::{self, Call};
use crate::error::{Error, Result};
use crate::forward::Divided;
use crate::project::Project;
use crate::settings::Kind;
use crate::tender;
use husk_abi::size;
use std::env;
use std::os::unix::process::CommandExt;
use std::process::ExitCode;

/// Variables that a guest gets without a flag: they control how much a program prints.
const PASSED_ON: [&str; 3] = ["RUST_BACKTRACE", "RUST_LOG", "RUST_TEST_THREADS"];

/// Targets that a guest may run in.
const TARGETS: [&str; 2] = ["hvt", "spt"];

/// Replaces this process by `cargo run` or `cargo test`; its exit status is the guest's.
pub fn run(subcommand: &str, run: &Run, divided: &Divided) -> Result<ExitCode> {
    let options = options(&run.guest)?;
    let project = Project::select(&run.cargo, &divided.cargo)?;
    let kind = kind(subcommand, &project)?;
    let mut call = Call::new(subcommand, kind, &project, &run.cargo, &divided.cargo)?;
    call.run_by(kind, &tender::find()?, options)?;
    if !divided.rest.is_empty() {
        call.0.arg("--").args(&divided.rest);
    }
    let error = call.0.exec();
    Err(Error::start(call.0.get_program().as_ref(), error))
}

/// Returns the single kind of program that is to run.
fn kind(subcommand: &str, project: &Project) -> Result<Kind> {
    let members: Vec<_> = match subcommand {
        // Packages without a program do not run.
        "run" => project.members.iter().filter(|member| member.has_programs).cloned().collect(),
        _ => project.members.clone(),
    };
    match (subcommand, &cargo::kinds(&members)[..]) {
        ("test", kinds) if kinds.contains(&Kind::Native) => Err(Error::new(
            "a native program ('std = false') cannot be tested, for the test harness needs std: put its logic into a \
             library package and choose that with -p",
        )),
        // cargo has the best message if there is nothing to run.
        (_, []) => Ok(Kind::Std),
        (_, [kind]) => Ok(*kind),
        _ => Err(Error::new("std and native programs cannot run together: choose a package with -p")),
    }
}

/// Returns the words of `husk` that come before the image, the last being `--`.
fn options(guest: &Guest) -> Result<Vec<String>> {
    let mut words = vec!["run".to_owned()];
    if let Some(memory) = &guest.memory {
        size::parse(memory).map_err(|error| Error::new(format!("--memory {memory}: {error}")))?;
        words.extend(["--memory".to_owned(), memory.clone()]);
    }
    // The size is from the package's own author, unlike that of an image from elsewhere.
    words.push(format!("--memory-max={}", guest.memory_max.as_deref().unwrap_or("none")));
    if let Some(target) = &guest.target {
        if !TARGETS.contains(&target.as_str()) {
            return Err(cargo::no_target(target));
        }
        words.push(format!("--target={target}"));
    }
    for name in PASSED_ON {
        if let Ok(value) = env::var(name) {
            words.extend(["-e".to_owned(), format!("{name}={value}")]);
        }
    }
    for variable in &guest.environment {
        words.extend(["-e".to_owned(), variable.clone()]);
    }
    let devices = [
        ("--env-file", &guest.env_file),
        ("--net", &guest.net),
        ("--publish", &guest.publish),
        ("--net-rate", &guest.net_rate),
        ("--block", &guest.block),
        ("--block-rate", &guest.block_rate),
        ("--block-iops", &guest.block_iops),
    ];
    for (flag, values) in devices {
        words.extend(values.iter().flat_map(|value| [flag.to_owned(), value.clone()]));
    }
    words.extend(guest.rules.words());
    let rest = [
        ("--net-keepalive", &guest.net_keepalive),
        ("--net-idle", &guest.net_idle),
        ("--console", &guest.console),
        ("--console-rate", &guest.console_rate),
        ("--cpu-limit", &guest.cpu_limit),
        ("--timeout", &guest.timeout),
        ("--cpu", &guest.cpu),
        ("--user", &guest.user),
        ("--status-file", &guest.status_file),
    ];
    words.extend(rest.into_iter().filter_map(|(flag, value)| Some(format!("{flag}={}", value.as_ref()?))));
    words.extend(guest.stop_timeout.map(|seconds| format!("--stop-timeout={seconds}")));
    let switches = [
        ("--verbose", guest.verbose),
        ("--no-aslr", guest.no_aslr),
        ("--strict", guest.strict),
        ("--explain", guest.explain),
        ("--json", guest.json),
    ];
    words.extend(switches.into_iter().filter(|(_, given)| *given).map(|(flag, _)| flag.to_owned()));
    // cargo adds the image and the program's arguments: all of them are its own.
    words.push("--".to_owned());
    Ok(words)
}

#[cfg(test)]
mod tests {
    use super::*;
    use crate::rules::Rules;

    fn guest() -> Guest {
        let [net, publish, net_rate, block] =
            [["tap:a"], ["80:80"], ["1M"], ["b.img"]].map(|value| value.map(str::to_owned).to_vec());
        let [block_rate, block_iops] = [["2M"], ["9"]].map(|value| value.map(str::to_owned).to_vec());
        Guest {
            environment: vec!["A=b c".into(), "D".into()],
            env_file: vec!["secrets".into()],
            memory: Some("64M".into()),
            memory_max: None,
            target: Some("spt".into()),
            net,
            publish,
            rules: Rules::default(),
            net_keepalive: None,
            net_idle: Some("5m".into()),
            net_rate,
            block,
            block_rate,
            block_iops,
            console: Some("escaped".into()),
            console_rate: None,
            cpu_limit: None,
            timeout: None,
            cpu: None,
            user: None,
            status_file: Some("status.json".into()),
            explain: false,
            json: false,
            stop_timeout: Some(3),
            verbose: true,
            no_aslr: false,
            strict: true,
        }
    }

    #[test]
    fn flags_become_words_of_the_tender() {
        let words = options(&guest()).expect("all valid").join(" ");
        assert!(words.starts_with("run --memory 64M --memory-max=none --target=spt"), "{words}");
        let network = "--net tap:a --publish 80:80 --net-rate 1M";
        let devices = format!("--env-file secrets {network} --block b.img --block-rate 2M --block-iops 9");
        assert!(
            words.ends_with(&format!(
                "-e A=b c -e D {devices} --net-idle=5m --console=escaped --status-file=status.json --stop-timeout=3 --verbose --strict --"
            )),
            "{words}"
        );
    }

    #[test]
    fn bad_values_are_named() {
        let message = |guest| options(&guest).expect_err("not valid").to_string();
        assert!(message(Guest { memory: Some("lots".into()), ..guest() }).starts_with("--memory lots"));
        assert!(message(Guest { target: Some("i686".into()), ..guest() }).starts_with("--target i686: an image"));
    }
}

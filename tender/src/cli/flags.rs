//! The flags of each command: name, value, help, and what each sets.

use super::limits::{Limit, Limited};
use super::{Check, Inspect, Run};
use husk_abi::size;
use husk_tender::arch::hvt::Cpu;
use husk_tender::confine::User;
use husk_tender::devices::attach::Attachment;
use husk_tender::devices::limit::Rate;
use husk_tender::devices::net::user;
use husk_tender::devices::net::user::policy::Rule;
use husk_tender::devices::net::user::publish::Publish;
use husk_tender::limits::cpu_quota::Share;
use husk_tender::limits::timeout;
use husk_tender::memory::grant;
use husk_tender::vm::target::Choice;
use std::ffi::OsString;
use std::time::Duration;

/// Flag of a command with words that are gathered in a `T`.
pub struct Flag<T> {
    /// `--long`.
    pub long: &'static str,
    /// `-s`.
    pub short: Option<char>,
    /// Placeholder of the value in the help, if the flag takes one.
    pub value: Option<&'static str>,
    /// Description in one line.
    pub help: &'static str,
    /// Applies the flag; an error says what to write instead.
    pub set: fn(&mut T, OsString) -> Result<(), String>,
}

/// Flags of `husk run`.
pub const RUN: &[Flag<Run>] = &[
    Flag {
        long: "memory",
        short: Some('m'),
        value: Some("SIZE"),
        help: "Guest memory, such as 64M or 2G; default: what the image asks for, up to --memory-max",
        set: |run, value| {
            run.memory.memory = Some(size::parse(&value.to_string_lossy()).map_err(|error| error.to_string())?);
            Ok(())
        },
    },
    Flag {
        long: "memory-max",
        short: None,
        value: Some("SIZE|none"),
        help: "Refuse an image that asks for more, unless --memory says what it gets; default: 512M",
        set: |run, value| {
            run.memory.maximum = grant::parse(&value.to_string_lossy())?;
            Ok(())
        },
    },
    Flag {
        long: "env",
        short: Some('e'),
        value: Some("NAME[=VALUE]"),
        help: "Set an environment variable of the guest; NAME alone passes on husk's own, for secrets",
        set: |run, value| {
            run.environment.push(value);
            Ok(())
        },
    },
    Flag {
        long: "env-file",
        short: None,
        value: Some("FILE"),
        help: "Set those of a file with a line NAME=VALUE or NAME for each; --env goes before it",
        set: |run, value| {
            run.environment_files.push(value.into());
            Ok(())
        },
    },
    Flag {
        long: "net",
        short: None,
        value: Some("[NAME=]WIRE"),
        help: "Attach a network: user, tap:INTERFACE, fd:NUMBER or passt:SOCKET; see below",
        set: |run, value| {
            run.devices.push(Attachment::network(&value.to_string_lossy())?);
            Ok(())
        },
    },
    Flag {
        long: "block",
        short: None,
        value: Some("[NAME=]FILE[,ro]"),
        help: "Attach a disk: a file or block device; also: ,sector=4096 ,direct; may be repeated",
        set: |run, value| {
            let text = value.to_str().ok_or("the name of the file is not UTF-8; rename it")?;
            run.devices.push(Attachment::block(text)?);
            Ok(())
        },
    },
    Flag {
        long: "publish",
        short: Some('p'),
        value: Some("[ADDR:]HOST:GUEST"),
        help: "Lead a port of the host, at 127.0.0.1 unless told otherwise, to the guest; see below",
        set: |run, value| {
            run.user.publish.push(Publish::parse(&value.to_string_lossy())?);
            Ok(())
        },
    },
    Flag {
        long: "allow",
        short: None,
        value: Some("NETWORK[:PORT]"),
        help: "Let the guest connect to this, and only to what is allowed; see below",
        set: |run, value| rule(run, true, &value.to_string_lossy()),
    },
    Flag {
        long: "deny",
        short: None,
        value: Some("NETWORK[:PORT]"),
        help: "Do not let the guest connect to this",
        set: |run, value| rule(run, false, &value.to_string_lossy()),
    },
    Flag {
        long: "net-keepalive",
        short: None,
        value: Some("TIME|off"),
        help: "Ask a peer that is silent for this time whether it is still there; default: 60s",
        set: |run, value| {
            run.user.keepalive = time_or_off(&value.to_string_lossy())?;
            match run.user.keepalive {
                Some(time) if !user::KEEPALIVES.contains(&time) => Err("write a time from 1s to 9h, or off".to_owned()),
                _ => Ok(()),
            }
        },
    },
    Flag {
        long: "net-idle",
        short: None,
        value: Some("TIME|off"),
        help: "End a connection in which nothing moves for this time; default: 124m",
        set: |run, value| {
            run.user.idle = time_or_off(&value.to_string_lossy())?;
            Ok(())
        },
    },
    Flag {
        long: "net-rate",
        short: None,
        value: Some("[NAME=]RATE[:BURST]"),
        help: "Let a network send, and receive, so many bytes a second, such as 10M",
        set: |run, value| {
            run.limits.push(limit(Limited::Network, &value.to_string_lossy())?);
            Ok(())
        },
    },
    Flag {
        long: "block-rate",
        short: None,
        value: Some("[NAME=]RATE[:BURST]"),
        help: "Let a disk read and write so many bytes a second, such as 100M",
        set: |run, value| {
            run.limits.push(limit(Limited::Block, &value.to_string_lossy())?);
            Ok(())
        },
    },
    Flag {
        long: "block-iops",
        short: None,
        value: Some("[NAME=]RATE[:BURST]"),
        help: "Let a disk carry out so many requests a second, such as 1000",
        set: |run, value| {
            run.limits.push(limit(Limited::Operations, &value.to_string_lossy())?);
            Ok(())
        },
    },
    Flag {
        long: "target",
        short: None,
        value: Some("hvt|spt"),
        help: "Run in a virtual machine or in a process; default: $HUSK_TARGET, else in a machine where there is KVM",
        set: |run, value| {
            run.target = Some(Choice::parse(&value.to_string_lossy())?);
            Ok(())
        },
    },
    Flag {
        long: "strict",
        short: None,
        value: None,
        help: "Refuse a host that protects less than others: no KVM, no filter of MSRs, none or an old Landlock",
        set: |run, _| {
            run.strict = true;
            Ok(())
        },
    },
    Flag {
        long: "no-aslr",
        short: None,
        value: None,
        help: "Load a relocatable image at the same address every time",
        set: |run, _| {
            run.fixed_base = true;
            Ok(())
        },
    },
    Flag {
        long: "stop-timeout",
        short: None,
        value: Some("SECONDS"),
        help: "How long the guest may take to end after SIGTERM or SIGINT; default: 10",
        set: |run, value| {
            let seconds = value.to_string_lossy().parse().map_err(|_| "write a number of seconds, such as 30")?;
            run.stop_timeout_s = Some(seconds);
            Ok(())
        },
    },
    Flag {
        long: "console",
        short: None,
        value: Some("raw|escaped"),
        help: "How what the guest prints is shown: as it is (default), or with control characters as text",
        set: |run, value| run.console.set_mode(&value.to_string_lossy()),
    },
    Flag {
        long: "console-rate",
        short: None,
        value: Some("RATE[:BURST]"),
        help: "Let the guest print so many bytes a second, such as 64K",
        set: |run, value| {
            run.console.rate = Some(rate(&value.to_string_lossy())?);
            Ok(())
        },
    },
    Flag {
        long: "cpu-limit",
        short: None,
        value: Some("SHARE"),
        help: "Let the guest, husk included, use so much of a processor, such as 50%",
        set: |run, value| {
            run.share = Some(Share::parse(&value.to_string_lossy())?);
            Ok(())
        },
    },
    Flag {
        long: "timeout",
        short: None,
        value: Some("TIME"),
        help: "Have the guest end after this time, such as 90s, as by SIGTERM; exit status 124",
        set: |run, value| {
            run.timeout = Some(timeout::parse(&value.to_string_lossy())?);
            Ok(())
        },
    },
    Flag {
        long: "cpu",
        short: None,
        value: Some("host|baseline"),
        help: "Which features of the processor a std program finds; baseline: x86-64-v2, on any host",
        set: |run, value| {
            run.cpu = Cpu::parse(&value.to_string_lossy())?;
            Ok(())
        },
    },
    Flag {
        long: "user",
        short: None,
        value: Some("UID[:GID]"),
        help: "Go on as this user once everything is open; takes root",
        set: |run, value| {
            run.user_to_be = Some(User::parse(&value.to_string_lossy())?);
            Ok(())
        },
    },
    Flag {
        long: "status-file",
        short: None,
        value: Some("FILE"),
        help: "Record how the run ended, in a line of JSON that the guest cannot forge; see below",
        set: |run, value| {
            run.status_file = Some(value.into());
            Ok(())
        },
    },
    Flag {
        long: "explain",
        short: None,
        value: None,
        help: "Tell what the guest and husk itself may do, call by call, and do not run it",
        set: |run, _| {
            run.explain = true;
            Ok(())
        },
    },
    Flag {
        long: "json",
        short: None,
        value: None,
        help: "With --explain: print one line of JSON instead of a table",
        set: |run, _| {
            run.json = true;
            Ok(())
        },
    },
    Flag {
        long: "verbose",
        short: Some('v'),
        value: None,
        help: "Tell what the guest does: unanswered system calls, exits, times",
        set: |run, _| {
            run.verbose = true;
            Ok(())
        },
    },
];

/// Flags of `husk inspect`.
pub const INSPECT: &[Flag<Inspect>] = &[Flag {
    long: "json",
    short: None,
    value: None,
    help: "Print one line of JSON instead of a table",
    set: |inspect, _| {
        inspect.json = true;
        Ok(())
    },
}];

/// Flags of `husk check`.
pub const CHECK: &[Flag<Check>] = &[Flag {
    long: "json",
    short: None,
    value: None,
    help: "Print one line of JSON instead of a table",
    set: |check, _| {
        check.json = true;
        Ok(())
    },
}];

/// Reads `[NAME=]RATE[:BURST]`.
fn limit(what: Limited, text: &str) -> Result<Limit, String> {
    let (name, rate) = text.split_once('=').map_or((None, text), |(name, rate)| (Some(name.to_owned()), rate));
    Ok(Limit { what, name, rate: self::rate(rate)? })
}

/// Reads `RATE[:BURST]`.
fn rate(text: &str) -> Result<Rate, String> {
    let (rate, burst) = text.split_once(':').map_or((text, None), |(rate, burst)| (rate, Some(burst)));
    let size = |text| size::parse(text).map_err(|error| error.to_string());
    Ok(Rate::new(size(rate)?, burst.map(size).transpose()?))
}

/// Reads a time, or `off`.
fn time_or_off(text: &str) -> Result<Option<Duration>, String> {
    match text {
        "off" => Ok(None),
        _ => timeout::parse(text).map(Some).map_err(|error| format!("{error}, or off")),
    }
}

fn rule(run: &mut Run, allow: bool, text: &str) -> Result<(), String> {
    run.user.policy.0.push(Rule::parse(allow, text)?);
    Ok(())
}

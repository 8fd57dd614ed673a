//! Effect of each flag of `husk run`. The flags themselves, with their help, are declared in [`husk_flags`].

use super::Run;
use super::limits::{Limit, Limited};
use husk_abi::size;
use husk_flags::run::Run as Flag;
use husk_tender::arch::hvt::Cpu;
use husk_tender::confine::User;
use husk_tender::devices::attach::Attachment;
use husk_tender::devices::limit::Rate;
use husk_tender::devices::mount::Mount;
use husk_tender::devices::net::user;
use husk_tender::devices::net::user::policy::Rule;
use husk_tender::devices::net::user::publish::Publish;
use husk_tender::host::resolver::SERVERS_MAXIMUM;
use husk_tender::host_files::names::{self, Added};
use husk_tender::limits::cpu_quota::CpuQuota;
use husk_tender::limits::timeout;
use husk_tender::memory::grant;
use husk_tender::vm::target::Choice;
use std::ffi::OsString;
use std::net::IpAddr;
use std::time::Duration;

/// Applies a flag; an error says what to write instead of `value`, which is empty for a flag without one.
pub fn apply(run: &mut Run, flag: Flag, value: OsString) -> Result<(), String> {
    let text = value.to_string_lossy();
    let options = &mut run.options;
    match flag {
        Flag::Memory => options.memory.memory = Some(size::parse(&text).map_err(|error| error.to_string())?),
        Flag::MemoryMax => options.memory.maximum = grant::parse(&text)?,
        Flag::Env => run.environment.push(value),
        Flag::EnvFile => run.environment_files.push(value.into()),
        Flag::Net => options.devices.push(Attachment::network(&text)?),
        Flag::Block => {
            let text = value.to_str().ok_or("the name of the file is not UTF-8; rename it")?;
            options.devices.push(Attachment::block(text)?);
        }
        Flag::Files => {
            let text = value.to_str().ok_or("a name in it is not UTF-8; rename it")?;
            options.devices.push(Attachment::folder(text)?);
        }
        Flag::Mount => {
            let text = value.to_str().ok_or("the path is not UTF-8; choose another")?;
            options.mounts.push(Mount::parse(text)?);
        }
        Flag::Publish => run.user.publish.push(Publish::parse(&text)?),
        Flag::Allow => run.user.policy.0.push(Rule::parse(true, &text)?),
        Flag::Deny => run.user.policy.0.push(Rule::parse(false, &text)?),
        Flag::Dns => name_server(&mut options.host_files.name_servers, &text)?,
        Flag::Hostname => options.host_files.hostname = Some(names::hostname(&text)?),
        Flag::AddHost => options.host_files.added.push(Added::parse(&text)?),
        Flag::NoHostFiles => options.host_files.shown = false,
        Flag::NetKeepalive => run.user.keepalive = keepalive(&text)?,
        Flag::NetIdle => run.user.idle = time_or_off(&text)?,
        Flag::NetRate => run.limits.push(limit(Limited::Network, &text)?),
        Flag::BlockRate => run.limits.push(limit(Limited::Block, &text)?),
        Flag::BlockIops => run.limits.push(limit(Limited::Operations, &text)?),
        Flag::Target => options.target = Choice::parse(&text)?,
        Flag::Strict => options.strict = true,
        Flag::NoAslr => options.randomize = false,
        Flag::StopTimeout => {
            options.grace_s = text.parse().map_err(|_| "write a number of seconds, such as 30")?;
        }
        Flag::Console => options.console.set_mode(&text)?,
        Flag::ConsoleRate => options.console.rate = Some(rate(&text)?),
        Flag::CpuLimit => options.share = Some(CpuQuota::parse(&text)?),
        Flag::Timeout => options.timeout = Some(timeout::parse(&text)?),
        Flag::Cpu => options.cpu = Cpu::parse(&text)?,
        Flag::User => options.user = Some(User::parse(&text)?),
        Flag::StatusFile => run.status_file = Some(value.into()),
        Flag::Explain => run.explain = true,
        Flag::Json => run.json = true,
        Flag::Verbose => options.verbose = true,
    }
    Ok(())
}

/// Reads the address of a name server.
fn name_server(servers: &mut Vec<IpAddr>, text: &str) -> Result<(), String> {
    let address: Option<IpAddr> = text.parse().ok();
    let address = address.filter(|address| !address.is_unspecified() && !address.is_multicast());
    servers.push(address.ok_or("write the address of a name server, such as 9.9.9.9 or 2620:fe::fe")?);
    match servers.len() <= SERVERS_MAXIMUM {
        true => Ok(()),
        false => Err("resolvers take three name servers at most; leave one out".to_owned()),
    }
}

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

/// Reads the time after which a silent peer is asked, or `off`.
fn keepalive(text: &str) -> Result<Option<Duration>, String> {
    match time_or_off(text)? {
        Some(time) if !user::KEEPALIVES.contains(&time) => Err("write a time from 1s to 9h, or off".to_owned()),
        time => Ok(time),
    }
}

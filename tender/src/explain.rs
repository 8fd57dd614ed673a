//! `husk run --explain`: permissions of an image with these devices at run time, without running it.

use crate::confine::calls::{self, Argument, Call, Feature, REFUSED};
use crate::confine::{Plan, files};
use crate::devices::attach::What;
use crate::devices::mount::Mount;
use crate::devices::net::Backend;
use crate::devices::net::user;
use crate::error::Error;
use crate::host_files::HostFiles;
use crate::image::Image;
use crate::inspect::Value;
use crate::report::names::{Clean, bold};
use crate::run::{Options, host_files, matched};
use crate::size::Size;
use crate::vm::guest_streams::Streams;
use std::fmt;
use std::net::IpAddr;
use std::path::PathBuf;

/// Permissions of a run. Displays as a table; [`Explanation::json`] is for programs.
#[derive(Debug)]
pub struct Explanation {
    path: PathBuf,
    memory: u64,
    devices: Vec<(String, What)>,
    host_files: HostFiles,
    landlock: Option<u32>,
    plan: Plan,
    colour: bool,
}

impl Explanation {
    /// Explains a run of an image, whose devices are not opened, for a target with a processor thread that needs
    /// `target`, with the memory, devices and files of `options`.
    pub fn of(options: &Options, target: &'static Feature) -> Result<Self, Error> {
        let path = &options.image;
        let image = Image::open(path).map_err(Error::image(path))?;
        let memory = options.memory.to(&image).map_err(Error::over_maximum(path))?;
        let devices = matched(&image, options)?;
        let host_files = host_files(&image, &options.host_files, &devices)?;
        let streams = Streams::of_process(options.console);
        let answers = host_files.feature().into_iter().chain(streams.features());
        let plan = Plan::new(target, answers, devices.iter().flat_map(|(_, what)| what.features()));
        Ok(Self { path: image.path, memory, devices, host_files, landlock: files::version(), plan, colour: false })
    }

    /// Marks headings for a terminal.
    #[must_use]
    pub fn with_colour(self, colour: bool) -> Self {
        Self { colour, ..self }
    }

    /// Returns the explanation as one line of JSON.
    pub fn json(&self) -> String {
        let text = |text: &str| Value::Text(text.to_owned());
        let device = |(name, what): &(String, What)| {
            let means = reach(what).into_iter().map(Value::Text).collect();
            Value::Object(vec![
                ("name", text(name)),
                ("kind", text(what.kind().name())),
                ("reaches", Value::List(means)),
            ])
        };
        let call = |feature: &Feature, call: &Call| {
            Value::Object(vec![
                ("feature", text(feature.name)),
                ("call", text(call.plain_name())),
                ("only", Value::List(call.only.iter().map(|only| Value::Text(only.to_string())).collect())),
                ("reason", text(call.reason)),
            ])
        };
        let thread = |(name, features): &(&str, &Vec<&'static Feature>)| {
            let calls = features.iter().flat_map(|feature| feature.calls.iter().map(|one| call(feature, one)));
            Value::Object(vec![("name", text(name)), ("calls", Value::List(calls.collect()))])
        };
        let refused = REFUSED.iter().map(|call| text(call.plain_name())).collect();
        Value::Object(vec![
            ("path", Value::Text(self.path.to_string_lossy().into_owned())),
            ("memory", Value::Number(self.memory)),
            ("devices", Value::List(self.devices.iter().map(device).collect())),
            ("host_files", Value::List(self.host_files.lines().into_iter().map(Value::Text).collect())),
            ("landlock_version", self.landlock.map_or(Value::Nothing, |version| Value::Number(version.into()))),
            ("capabilities", Value::List(vec![])),
            ("threads", Value::List(self.threads().iter().map(thread).collect())),
            ("refused", Value::List(refused)),
        ])
        .to_string()
    }

    fn threads(&self) -> Vec<(&'static str, &Vec<&'static Feature>)> {
        let all = [("processor", &self.plan.processor), ("devices", &self.plan.devices)];
        all.into_iter().filter(|(_, features)| !features.is_empty()).collect()
    }

    /// What Landlock leaves open.
    fn exceptions(&self) -> &'static str {
        let has_folders = self.devices.iter().any(|(_, what)| matches!(what, What::Folder(_)));
        match (has_folders, self.host_files.beneath().is_some()) {
            (false, false) => "",
            (false, true) => ", except time zones for reading",
            (true, false) => ", except these folders",
            (true, true) => ", except these folders, and time zones for reading",
        }
    }

    fn facts(&self) -> Vec<(&'static str, String)> {
        let landlock = match self.landlock {
            Some(version) => {
                format!("Landlock {version}: nothing can be opened, bound or signalled by name{}", self.exceptions())
            }
            None => "this kernel has no Landlock: only the filters below keep files from being opened".to_owned(),
        };
        let sandbox = match self.plan.processor.iter().any(|feature| std::ptr::eq(*feature, &calls::SPT)) {
            true => "husk's own process",
            false => "a virtual machine",
        };
        let mut facts = vec![
            ("guest", format!("CPL 3 in {sandbox} with {} of memory, never more", Size(self.memory))),
            ("console", "standard input, output and error".to_owned()),
        ];
        for (name, what) in &self.devices {
            let reach = reach(what).into_iter();
            facts.extend(reach.map(|reach| match what {
                What::Folder(_) => (what.kind().name(), reach),
                What::Network(_) | What::Block(_) => (what.kind().name(), format!("'{name}': {reach}")),
            }));
        }
        let lines = self.host_files.lines();
        let nothing = lines.is_empty().then(|| "nothing of the host's".to_owned());
        facts.extend(lines.into_iter().chain(nothing).map(|line| ("host files", line)));
        facts.extend([
            ("files", landlock),
            ("privileges", "no capabilities, no way to new ones, no core file, not to be traced".to_owned()),
            ("calls", "those below; any other ends husk at once, by SIGSYS (status 159)".to_owned()),
        ]);
        facts
    }
}

/// Resources of the host that a device reaches.
fn reach(what: &What) -> Vec<String> {
    match what {
        What::Block(options) => {
            let writes = if options.read_only { "read" } else { "read and write" };
            let place = |mount: &Mount| {
                let only = if mount.read_only && !options.read_only { ", there to read only" } else { "" };
                format!("; its file system is at {}{only}", mount.place)
            };
            let mounted = options.mount.as_ref().map(place).unwrap_or_default();
            vec![format!("{writes} {}{mounted}", options.file.display())]
        }
        What::Folder(options) => {
            let may = if options.read_only { "read" } else { "read and change" };
            vec![format!("{may} {}, at {}", options.host.display(), options.guest)]
        }
        What::Network(options) => match &options.backend {
            Backend::Tap(interface) => vec![format!("frames of the interface {interface}")],
            Backend::Descriptor(descriptor) => vec![format!("frames of the interface open as descriptor {descriptor}")],
            Backend::Passt(path) => vec![format!("frames of the passt at {}", path.display())],
            Backend::User(options) => user_reach(options),
        },
    }
}

fn user_reach(options: &user::Options) -> Vec<String> {
    let published = options
        .publish
        .iter()
        .map(|publish| format!("clients of {} {}, at port {}", publish.protocol(), publish.host, publish.guest));
    let servers: Vec<_> = options.name_servers.iter().map(IpAddr::to_string).collect();
    let servers = (!servers.is_empty()).then(|| format!("queries of names to {}", servers.join(", ")));
    published.chain(servers).chain(options.policy.lines()).collect()
}

impl fmt::Display for Argument {
    fn fmt(&self, f: &mut fmt::Formatter<'_>) -> fmt::Result {
        match self {
            Self::Is(index, value) => write!(f, "argument {index} is {value:#x}"),
            Self::Without(index, bits) => write!(f, "argument {index} without {bits:#x}"),
            Self::OwnProcess(index) => write!(f, "argument {index} is husk itself"),
            Self::Secret(index) => write!(f, "argument {index} is known to no other thread"),
            Self::Turns(index) => write!(f, "argument {index} is the timer of turns"),
            Self::On(index, role) => write!(f, "argument {index} is {role}"),
            Self::Made(index) => write!(f, "argument {index} is a socket or file opened since"),
        }
    }
}

impl fmt::Display for Explanation {
    fn fmt(&self, f: &mut fmt::Formatter<'_>) -> fmt::Result {
        let (bold, plain) = bold(self.colour);
        writeln!(f, "{bold}{}{plain}", Clean(&self.path.to_string_lossy()))?;
        for (name, value) in self.facts() {
            writeln!(f, "  {bold}{name:<12}{plain}  {}", Clean(&value))?;
        }
        for (thread, features) in self.threads() {
            writeln!(f, "\n{bold}system calls of the {thread}'s thread{plain}")?;
            for feature in features {
                let mut name = feature.name;
                for call in feature.calls {
                    let only: String = call.only.iter().map(|only| format!(" [{only}]")).collect();
                    writeln!(f, "  {bold}{name:<18}{plain} {:<18} {}{only}", call.plain_name(), call.reason)?;
                    name = "";
                }
            }
        }
        writeln!(f, "\n{bold}system calls that fail{plain}")?;
        REFUSED.iter().try_for_each(|call| writeln!(f, "  {:<18} {:<18} {}", "", call.plain_name(), call.reason))
    }
}

//! The command line of `husk`.
//!
//! Each flag is declared once, with its help, in the table of its command ([`flags`]). The tables are small, and start-up
//! time is this program's measure, so they use nothing larger than a tokeniser.

mod environment;
mod flags;
mod help;
mod limits;

pub use environment::gather;
use flags::Flag;
use husk_tender::arch::hvt::Cpu;
use husk_tender::confine::User;
use husk_tender::devices::attach::{Attachment, What};
use husk_tender::devices::console;
use husk_tender::devices::net::{self, Backend, user};
use husk_tender::limits::cpu_quota::Share;
use husk_tender::memory::grant::Grant;
use husk_tender::vm::target::Choice;
use lexopt::{Arg, Parser};
use limits::Limit;
use std::ffi::OsString;
use std::fmt;
use std::path::PathBuf;
use std::time::Duration;

/// Request of the user.
#[derive(Debug, PartialEq, Eq)]
pub enum Command {
    /// Run an image.
    Run(Box<Run>),
    /// Describe an image.
    Inspect(Inspect),
    /// Show what this host offers.
    Check(Check),
    /// Print this text.
    Print(String),
}

/// `husk run`.
#[derive(Debug, Default, PartialEq, Eq)]
pub struct Run {
    /// Memory that the guest gets.
    pub memory: Grant,
    /// Environment, each `NAME=value`, or `NAME` to pass on husk's own value.
    pub environment: Vec<OsString>,
    /// Files with more assignments.
    pub environment_files: Vec<PathBuf>,
    /// Load a relocatable image at the same address every time.
    pub fixed_base: bool,
    /// Target to run in, if specified.
    pub target: Option<Choice>,
    /// Refuse hosts that protect less than Husk can use.
    pub strict: bool,
    /// The devices that are attached.
    pub devices: Vec<Attachment>,
    /// Rate limits of devices.
    pub limits: Vec<Limit>,
    /// Options of the user-mode network.
    pub user: user::Options,
    /// Seconds that the guest has to end after a request to stop, if specified.
    pub stop_timeout_s: Option<u64>,
    /// Report what the guest does.
    pub verbose: bool,
    /// Treatment of the guest's output.
    pub console: console::Options,
    /// Share of a processor that the guest may use, if not all of it.
    pub share: Option<Share>,
    /// Time that the guest may run, if limited.
    pub timeout: Option<Duration>,
    /// Processor model that a std program sees.
    pub cpu: Cpu,
    /// User to become, if not the current one.
    pub user_to_be: Option<User>,
    /// File that records how the run ended, if any.
    pub status_file: Option<PathBuf>,
    /// Show what the guest may do, instead of running it.
    pub explain: bool,
    /// Print JSON.
    pub json: bool,
    /// The image, then the program's arguments.
    pub line: Vec<OsString>,
}

/// `husk inspect`.
#[derive(Debug, Default, PartialEq, Eq)]
pub struct Inspect {
    /// Print JSON.
    pub json: bool,
    /// The image.
    pub image: PathBuf,
}

/// `husk check`.
#[derive(Debug, Default, PartialEq, Eq)]
pub struct Check {
    /// Print JSON.
    pub json: bool,
}

/// A command line that cannot be carried out.
#[derive(Debug, PartialEq, Eq)]
pub struct Error(String);

impl fmt::Display for Error {
    fn fmt(&self, f: &mut fmt::Formatter<'_>) -> fmt::Result {
        f.write_str(&self.0)
    }
}

impl From<lexopt::Error> for Error {
    fn from(error: lexopt::Error) -> Self {
        Self(error.to_string())
    }
}

/// Parses the command line; its first word is the name under which husk was called.
pub fn parse(words: impl IntoIterator<Item = OsString>) -> Result<Command, Error> {
    let mut parser = Parser::from_iter(words);
    match parser.next()? {
        None => Ok(Command::Print(help::overview())),
        Some(Arg::Short('h') | Arg::Long("help")) => Ok(Command::Print(help::overview())),
        Some(Arg::Short('V') | Arg::Long("version")) => Ok(Command::Print(help::version())),
        Some(Arg::Value(command)) => match command.to_str() {
            Some("run") => run(parser),
            Some("inspect") => inspect(parser),
            Some("check") => check(parser),
            Some("help") => explain(&mut parser),
            _ => Err(Error(format!(
                "no such command: {}; there are `husk run`, `husk inspect` and `husk check`, see `husk --help`",
                command.display()
            ))),
        },
        Some(Arg::Short(_) | Arg::Long(_)) => {
            Err(Error(format!("flags come after the command: `{}`", help::RUN.usage)))
        }
    }
}

/// Handles `husk help`, of everything or of the command or flag that follows.
fn explain(parser: &mut Parser) -> Result<Command, Error> {
    let Some(word) = parser.raw_args()?.next() else { return Ok(Command::Print(help::overview())) };
    let text = help::about(&word.to_string_lossy());
    text.map(Command::Print).ok_or_else(|| {
        Error(format!("there is no command or flag '{}'; `husk run --help` lists those of `husk run`", word.display()))
    })
}

fn run(mut parser: Parser) -> Result<Command, Error> {
    let mut run = Run::default();
    while let Some(argument) = parser.next()? {
        match argument {
            Arg::Value(image) if run.line.is_empty() => run.line.push(image),
            Arg::Value(word) => {
                // The program's first argument, or the first word after `--`: all words from here on are the program's.
                run.line.push(word);
                run.line.extend(parser.raw_args()?);
            }
            Arg::Short('h') | Arg::Long("help") => return Ok(Command::Print(help::command(&help::RUN))),
            flag => {
                let flag = find(flags::RUN, "run", &flag)?;
                apply(&mut run, flag, &mut parser)?;
            }
        }
    }
    match run.line.is_empty() {
        true => Err(Error(format!("which image? `{}`; `cargo husk build` prints the path of each", help::RUN.usage))),
        false => {
            if run.json && !run.explain {
                return Err(Error("--json goes with --explain".to_owned()));
            }
            if run.explain && run.status_file.is_some() {
                return Err(Error("--status-file goes with a run, not with --explain".to_owned()));
            }
            connect(&mut run)?;
            limits::give(&mut run)?;
            Ok(Command::Run(Box::new(run)))
        }
    }
}

/// Moves the options of the user-mode network to the device that has it; adds that device if there is none.
fn connect(run: &mut Run) -> Result<(), Error> {
    if run.user == user::Options::default() {
        return Ok(());
    }
    if run.devices.iter_mut().find_map(user_network).is_none() {
        run.devices.push(Attachment { name: None, what: What::Network(net::Options::default()) });
    }
    let mut networks = run.devices.iter_mut().filter_map(user_network);
    match (networks.next(), networks.next()) {
        (Some(network), None) => {
            *network = std::mem::take(&mut run.user);
            Ok(())
        }
        _ => Err(Error("--publish, --allow, --deny, --net-keepalive and --net-idle go with one user-mode network; there are several".to_owned())),
    }
}

/// Returns the options of a device that is a user-mode network.
fn user_network(attachment: &mut Attachment) -> Option<&mut user::Options> {
    match network(attachment)? {
        net::Options { backend: Backend::User(user), .. } => Some(user),
        _ => None,
    }
}

/// Returns the options of a device that is a network.
fn network(attachment: &mut Attachment) -> Option<&mut net::Options> {
    match &mut attachment.what {
        What::Network(options) => Some(options),
        What::Block(_) => None,
    }
}

fn inspect(mut parser: Parser) -> Result<Command, Error> {
    let mut inspect = Inspect::default();
    while let Some(argument) = parser.next()? {
        match argument {
            Arg::Value(image) if inspect.image.as_os_str().is_empty() => inspect.image = image.into(),
            Arg::Value(image) => return Err(Error(format!("one image at a time: {} is too much", image.display()))),
            Arg::Short('h') | Arg::Long("help") => return Ok(Command::Print(help::command(&help::INSPECT))),
            flag => {
                let flag = find(flags::INSPECT, "inspect", &flag)?;
                apply(&mut inspect, flag, &mut parser)?;
            }
        }
    }
    match inspect.image.as_os_str().is_empty() {
        true => Err(Error("which image? `husk inspect [--json] IMAGE`".to_owned())),
        false => Ok(Command::Inspect(inspect)),
    }
}

fn check(mut parser: Parser) -> Result<Command, Error> {
    let mut check = Check::default();
    while let Some(argument) = parser.next()? {
        match argument {
            Arg::Value(word) => {
                return Err(Error(format!("`husk check` takes no image; {} is too much", word.display())));
            }
            Arg::Short('h') | Arg::Long("help") => return Ok(Command::Print(help::command(&help::CHECK))),
            flag => {
                let flag = find(flags::CHECK, "check", &flag)?;
                apply(&mut check, flag, &mut parser)?;
            }
        }
    }
    Ok(Command::Check(check))
}

/// Finds the flag in the table of its command.
fn find<T>(table: &'static [Flag<T>], command: &str, flag: &Arg<'_>) -> Result<&'static Flag<T>, Error> {
    let (written, found) = match *flag {
        Arg::Long(name) => (format!("--{name}"), table.iter().find(|known| known.long == name)),
        Arg::Short(letter) => (format!("-{letter}"), table.iter().find(|known| known.short == Some(letter))),
        Arg::Value(ref value) => (value.display().to_string(), None),
    };
    found.ok_or_else(|| {
        Error(format!(
            "husk {command} has no flag {written}; see `husk {command} --help`. Flags of the program come after `--`"
        ))
    })
}

/// Applies one flag as its table says.
fn apply<T>(to: &mut T, flag: &Flag<T>, parser: &mut Parser) -> Result<(), Error> {
    let value = if flag.value.is_some() { parser.value()? } else { OsString::new() };
    (flag.set)(to, value).map_err(|reason| Error(format!("--{}: {reason}", flag.long)))
}

#[cfg(test)]
mod tests {
    use super::*;
    use husk_tender::devices::limit::Rate;

    fn parsed(line: &str) -> Result<Command, Error> {
        parse(line.split(' ').map(OsString::from))
    }

    fn refused(line: &str) -> String {
        parsed(line).expect_err(line).to_string()
    }

    #[test]
    fn flags_come_before_the_image_and_arguments_after_it() {
        let run = Run {
            memory: Grant { memory: Some(64 << 20), maximum: 1 << 30 },
            environment: vec!["A=b c".into(), "D".into()],
            environment_files: vec!["secrets".into()],
            fixed_base: true,
            target: None,
            strict: true,
            devices: vec![],
            limits: vec![],
            user: user::Options::default(),
            stop_timeout_s: Some(3),
            verbose: true,
            console: console::Options::default(),
            share: None,
            timeout: None,
            cpu: Cpu::Host,
            user_to_be: None,
            status_file: Some("s.json".into()),
            explain: false,
            json: false,
            line: ["app", "-v", "--memory", "x"].map(OsString::from).to_vec(),
        };
        let words = [
            "husk",
            "run",
            "-m64M",
            "--memory-max=1G",
            "-e",
            "A=b c",
            "--env=D",
            "--env-file=secrets",
            "--no-aslr",
            "--strict",
            "--status-file=s.json",
            "--stop-timeout",
            "3",
            "-v",
            "app",
            "--",
            "-v",
            "--memory",
            "x",
        ];
        assert_eq!(parse(words.map(OsString::from)), Ok(Command::Run(Box::new(run))));
    }

    #[test]
    fn flags_may_follow_the_image_and_end_at_the_first_argument() {
        let run = |verbose: bool, line: &[&str]| {
            let line = line.iter().map(OsString::from).collect();
            Ok(Command::Run(Box::new(Run { verbose, line, ..Run::default() })))
        };
        assert_eq!(parsed("husk run app -v"), run(true, &["app"]));
        assert_eq!(parsed("husk run app -v serve -v"), run(true, &["app", "serve", "-v"]));
        assert_eq!(parsed("husk run app -- -v"), run(false, &["app", "-v"]));
        assert_eq!(parsed("husk run -v -- app -v -- x"), run(true, &["app", "-v", "--", "x"]));
        assert_eq!(parsed("husk run app -- -- x"), run(false, &["app", "--", "x"]));
    }

    #[test]
    fn a_published_port_makes_the_network_that_it_needs() {
        let devices = |line: &str| match parsed(line) {
            Ok(Command::Run(run)) => run.devices,
            other => panic!("{other:?}"),
        };
        let mut made = devices("husk run app -p 8080:80 --deny all:25");
        let [made] = &mut made[..] else { panic!("one device") };
        assert_eq!(made.name, None);
        let user = user_network(made).expect("the user-mode network");
        assert_eq!((user.publish.len(), user.policy.0.len()), (1, 1));
        let named = devices("husk run -p 8080:80 --net front=user --net back=tap:a app");
        assert_eq!(
            named.iter().map(|device| device.name.as_deref()).collect::<Vec<_>>(),
            [Some("front"), Some("back")]
        );
        assert!(devices("husk run app").is_empty());
        let mut kept = devices("husk run app --net-keepalive off --net-idle 5m");
        let kept = user_network(&mut kept[0]).expect("the user-mode network");
        assert_eq!((kept.keepalive, kept.idle), (None, Some(Duration::from_secs(300))));
        assert!(refused("husk run --net-keepalive 10h app").contains("from 1s to 9h"));
        assert!(refused("husk run --net-idle never app").contains("or off"));
        assert!(refused("husk run -p 1:1 --net a=user --net b=user app").contains("there are several"));
        let mut limited = devices("husk run --net-rate 10M:1M --net a=user --net-rate b=1M --net b=user app");
        let rates = [Rate::new(10 << 20, Some(1 << 20)), Rate::new(1 << 20, None)].map(Some);
        assert_eq!(limited.iter_mut().map(|device| network(device)?.rate).collect::<Vec<_>>(), rates);
        assert!(refused("husk run --net-rate 10M app").contains("there is no such device"));
        assert!(refused("husk run --net-rate fast --net user app").contains("--net-rate: it is not a size"));
    }

    #[test]
    fn what_is_wrong_is_named() {
        assert!(refused("husk run --memori 64M app").contains("no flag --memori"));
        assert!(refused("husk run -x app").contains("no flag -x"));
        assert!(refused("husk run app --port 80").contains("Flags of the program come after `--`"));
        assert!(refused("husk run --memory lots app").contains("--memory: it is not a size; write a number"));
        assert!(refused("husk run --memory").contains("memory"));
        assert!(refused("husk run --memory-max all app").contains("--memory-max: it is not a size"));
        assert!(refused("husk run --stop-timeout 1m app").contains("--stop-timeout: write a number of seconds"));
        assert!(refused("husk run --verbose=yes app").contains("verbose"));
        assert!(refused("husk run --explain --status-file s app").contains("--status-file goes with a run"));
        assert!(refused("husk run --json app").contains("--json goes with --explain"));
        assert!(refused("husk run --cpu fast app").contains("--cpu: write host or baseline"));
        assert!(refused("husk run --user root app").contains("--user: write numbers"));
        assert!(refused("husk run").contains("which image?"));
        assert!(refused("husk inspect a b").contains("one image at a time"));
        assert!(refused("husk start app").contains("no such command: start"));
        assert!(refused("husk -v run app").contains("flags come after the command"));
    }

    #[test]
    fn a_check_takes_a_flag_and_no_image() {
        assert_eq!(parsed("husk check"), Ok(Command::Check(Check { json: false })));
        assert_eq!(parsed("husk check --json"), Ok(Command::Check(Check { json: true })));
        assert!(refused("husk check app").contains("takes no image"));
        assert!(refused("husk check --fast").contains("no flag --fast"));
    }

    #[test]
    fn help_explains_one_flag() {
        let shown = |line: &str| match parsed(line) {
            Ok(Command::Print(help)) => help,
            other => panic!("{line}: {other:?}"),
        };
        for flag in flags::RUN {
            let help = shown(&format!("husk help {}", flag.long));
            assert!(help.starts_with("husk run -") && help.contains(flag.help), "{help}");
            assert_eq!(help, shown(&format!("husk help --{}", flag.long)));
        }
        assert_eq!(shown("husk help -p"), shown("husk help publish"));
        assert!(shown("husk help publish").contains("\nPublished ports: "));
        assert!(shown("husk help net").contains("\nNetworks: ") && !shown("husk help net").contains("Exit status"));
        assert_eq!(shown("husk help json").lines().filter(|line| line.starts_with("husk ")).count(), 3);
        assert_eq!(shown("husk help run"), shown("husk run --help"));
        assert_eq!(shown("husk help"), shown("husk --help"));
        assert!(refused("husk help frobnicate").contains("no command or flag 'frobnicate'"));
    }

    #[test]
    fn help_names_every_flag() {
        let Ok(Command::Print(help)) = parsed("husk run --help") else { panic!("help is printed") };
        for flag in flags::RUN {
            assert!(help.contains(flag.long) && help.contains(flag.help), "{}", flag.long);
        }
    }
}

//! The command line of `husk`.
//!
//! Each flag is declared once, with its help, in the table of its command ([`husk_flags`]). The tables are small, and start-up
//! time is this program's measure, so they use nothing larger than a tokeniser.

mod environment;
mod flags;
mod limits;
mod names;

pub use environment::gather;
use husk_flags::{Flags, HUSK, check, completions, generated, help, inspect, run};
use husk_tender::devices::attach::{Attachment, What};
use husk_tender::devices::net::{self, Backend, user};
use husk_tender::run::Options;
use lexopt::{Arg, Parser};
use limits::Limit;
use std::ffi::OsString;
use std::fmt;
use std::path::PathBuf;

/// Request of the user.
#[derive(Debug, PartialEq, Eq)]
pub enum Command {
    /// Run an image.
    Run(Box<Run>),
    /// Describe an image.
    Inspect(Inspect),
    /// Show what this host offers.
    Check(Check),
    /// Have `husk-disk` carry out these words.
    Disk(Vec<OsString>),
    /// Print this text.
    Print(String),
}

/// `husk run`.
#[derive(Debug, Default, PartialEq, Eq)]
pub struct Run {
    /// Options of the run, without environment and default target.
    pub options: Options,
    /// Environment, each `NAME=value`, or `NAME` to pass on husk's own value.
    pub environment: Vec<OsString>,
    /// Files with more assignments.
    pub environment_files: Vec<PathBuf>,
    /// File that records how the run ended, if any.
    pub status_file: Option<PathBuf>,
    /// Show what the guest may do, instead of running it.
    pub explain: bool,
    /// Print JSON.
    pub json: bool,
    /// Rate limits that no device has yet.
    limits: Vec<Limit>,
    /// Options of the user-mode network that its device does not have yet.
    user: user::Options,
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
        None => Ok(Command::Print(help::overview(&HUSK))),
        Some(Arg::Short('h') | Arg::Long("help")) => Ok(Command::Print(help::overview(&HUSK))),
        Some(Arg::Short('V') | Arg::Long("version")) => Ok(Command::Print(version())),
        Some(Arg::Value(command)) => match command.to_str() {
            Some("run") => parse_run(parser),
            Some("inspect") => parse_inspect(parser),
            Some("check") => parse_check(parser),
            Some("disk") => Ok(Command::Disk(parser.raw_args()?.collect())),
            Some("completions") => complete(&mut parser),
            Some("man") => Ok(Command::Print(generated::MAN.to_owned())),
            Some("help") => explain(&mut parser),
            _ => Err(Error(format!(
                "no such command: {}; there are `husk run`, `husk inspect`, `husk check` and `husk disk`, see `husk --help`",
                command.display()
            ))),
        },
        Some(Arg::Short(_) | Arg::Long(_)) => {
            Err(Error(format!("flags come after the command: `{}`", run::COMMAND.usage)))
        }
    }
}

/// Answer to `husk --version`.
fn version() -> String {
    format!("husk {} (image contract {})\n", env!("CARGO_PKG_VERSION"), husk_abi::VERSION)
}

/// Handles `husk help`, of everything or of the command or flag that follows.
fn explain(parser: &mut Parser) -> Result<Command, Error> {
    let Some(word) = parser.raw_args()?.next() else { return Ok(Command::Print(help::overview(&HUSK))) };
    let text = help::about(&HUSK, &word.to_string_lossy());
    text.map(Command::Print).ok_or_else(|| {
        Error(format!("there is no command or flag '{}'; `husk run --help` lists those of `husk run`", word.display()))
    })
}

/// Handles `husk completions`.
fn complete(parser: &mut Parser) -> Result<Command, Error> {
    let shell = parser.raw_args()?.next().unwrap_or_default();
    match generated::completions(&shell.to_string_lossy()) {
        Some(script) => Ok(Command::Print(script.to_owned())),
        None => Err(Error(format!("which shell? `husk completions {}`", completions::SHELLS.join("|")))),
    }
}

fn parse_run(mut parser: Parser) -> Result<Command, Error> {
    let mut run = Run::default();
    while let Some(argument) = parser.next()? {
        let words = &mut run.options.program.arguments;
        match argument {
            Arg::Value(image) if words.is_empty() => words.push(image),
            Arg::Value(word) => {
                // The program's first argument, or the first word after `--`: all words from here on are the program's.
                words.push(word);
                words.extend(parser.raw_args()?);
            }
            Arg::Short('h') | Arg::Long("help") => return Ok(Command::Print(help::command(&run::COMMAND))),
            flag => {
                let (effect, flag) = find(&flag)?;
                let value = if flag.value.is_some() { parser.value()? } else { OsString::new() };
                let refused = |reason| Error(format!("--{}: {reason}", flag.long));
                flags::apply(&mut run, effect, value).map_err(refused)?;
            }
        }
    }
    let Some(image) = run.options.program.arguments.first() else {
        return Err(Error(format!(
            "which image? `{}`; `cargo husk build` prints the path of each",
            run::COMMAND.usage
        )));
    };
    run.options.image = image.into();
    if run.json && !run.explain {
        return Err(Error("--json goes with --explain".to_owned()));
    }
    if run.explain && run.status_file.is_some() {
        return Err(Error("--status-file goes with a run, not with --explain".to_owned()));
    }
    let has_network = run.options.devices.iter_mut().any(|device| network(device).is_some());
    if !has_network {
        run.user.name_servers.clone_from(&run.options.host_files.name_servers);
    }
    connect(&mut run)?;
    names::give(&mut run)?;
    limits::give(&mut run)?;
    Ok(Command::Run(Box::new(run)))
}

/// Moves the options of the user-mode network to the device that has it; adds that device if there is none.
fn connect(run: &mut Run) -> Result<(), Error> {
    if run.user == user::Options::default() {
        return Ok(());
    }
    if run.options.devices.iter_mut().find_map(user_network).is_none() {
        run.options.devices.push(Attachment { name: None, what: What::Network(net::Options::default()) });
    }
    let mut networks = run.options.devices.iter_mut().filter_map(user_network);
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
        What::Block(_) | What::Folder(_) => None,
    }
}

fn parse_inspect(mut parser: Parser) -> Result<Command, Error> {
    let mut request = Inspect::default();
    while let Some(argument) = parser.next()? {
        match argument {
            Arg::Value(image) if request.image.as_os_str().is_empty() => request.image = image.into(),
            Arg::Value(image) => return Err(Error(format!("one image at a time: {} is too much", image.display()))),
            Arg::Short('h') | Arg::Long("help") => return Ok(Command::Print(help::command(&inspect::COMMAND))),
            flag => match find(&flag)?.0 {
                inspect::Inspect::Json => request.json = true,
            },
        }
    }
    match request.image.as_os_str().is_empty() {
        true => Err(Error(format!("which image? `{}`", inspect::COMMAND.usage))),
        false => Ok(Command::Inspect(request)),
    }
}

fn parse_check(mut parser: Parser) -> Result<Command, Error> {
    let mut request = Check::default();
    while let Some(argument) = parser.next()? {
        match argument {
            Arg::Value(word) => {
                return Err(Error(format!("`husk check` takes no image; {} is too much", word.display())));
            }
            Arg::Short('h') | Arg::Long("help") => return Ok(Command::Print(help::command(&check::COMMAND))),
            flag => match find(&flag)?.0 {
                check::Check::Json => request.json = true,
            },
        }
    }
    Ok(Command::Check(request))
}

/// Finds the flag in the table of its command.
fn find<F: Flags>(flag: &Arg<'_>) -> Result<(F, &'static husk_flags::Flag<'static>), Error> {
    let (written, found) = match *flag {
        Arg::Long(name) => (format!("--{name}"), F::find(|known| known.long == name)),
        Arg::Short(letter) => (format!("-{letter}"), F::find(|known| known.short == Some(letter))),
        Arg::Value(ref value) => (value.display().to_string(), None),
    };
    found.ok_or_else(|| {
        let command = F::COMMAND.name;
        Error(format!(
            "husk {command} has no flag {written}; see `husk {command} --help`. Flags of the program come after `--`"
        ))
    })
}

#[cfg(test)]
mod tests {
    use super::*;
    use husk_tender::devices::limit::Rate;
    use husk_tender::memory::grant::Grant;
    use husk_tender::vm::boot::Program;
    use std::time::Duration;

    fn parsed(line: &str) -> Result<Command, Error> {
        parse(line.split(' ').map(OsString::from))
    }

    fn refused(line: &str) -> String {
        parsed(line).expect_err(line).to_string()
    }

    #[test]
    fn flags_come_before_the_image_and_arguments_after_it() {
        let arguments = ["app", "-v", "--memory", "x"].map(OsString::from).to_vec();
        let run = Run {
            options: Options {
                image: "app".into(),
                memory: Grant { memory: Some(64 << 20), maximum: 1 << 30 },
                program: Program { arguments, environment: vec![] },
                randomize: false,
                strict: true,
                grace_s: 3,
                verbose: true,
                ..Options::default()
            },
            environment: vec!["A=b c".into(), "D".into()],
            environment_files: vec!["secrets".into()],
            status_file: Some("s.json".into()),
            ..Run::default()
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
            let program = Program { arguments: line.iter().map(OsString::from).collect(), environment: vec![] };
            let options = Options { image: "app".into(), program, verbose, ..Options::default() };
            Ok(Command::Run(Box::new(Run { options, ..Run::default() })))
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
            Ok(Command::Run(run)) => run.options.devices,
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
    fn name_servers_are_for_every_network_and_imply_one() {
        let networks = |line: &str| match parsed(line) {
            Ok(Command::Run(mut run)) => {
                let networks = run.options.devices.iter_mut().filter_map(network);
                networks.map(|network| network.clone()).collect::<Vec<_>>()
            }
            other => panic!("{other:?}"),
        };
        let servers = |options: &net::Options| match &options.backend {
            Backend::User(user) => user.name_servers.iter().map(ToString::to_string).collect(),
            _ => vec![],
        };
        let made = networks("husk run app --dns 9.9.9.9 --dns 2620:fe::fe");
        assert_eq!(made.iter().map(servers).collect::<Vec<_>>(), [["9.9.9.9", "2620:fe::fe"]]);
        let several = networks("husk run --net a=tap:a --net b=user --net c=tap:c,dns=1.1.1.1 --dns 9.9.9.9 app");
        assert_eq!(servers(&several[1]), ["9.9.9.9"]);
        assert_eq!((&several[0].v4.name_server[..4], several[0].v6.name_server), (&[9, 9, 9, 9][..], [0; 16]));
        assert_eq!(several[2].v4.name_server[..4], [1, 1, 1, 1]);
        assert!(refused("husk run --dns x app").contains("--dns: write the address of a name server"));
        assert!(refused("husk run --dns 0.0.0.0 app").contains("--dns: write the address of a name server"));
        assert!(refused(&format!("husk run {} app", "--dns 9.9.9.9 ".repeat(4).trim())).contains("three name servers"));
        assert!(refused("husk run --net tap:a --add-host a:host-gateway app").contains("takes a user-mode network"));
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
    fn words_about_disks_are_passed_on() {
        let words = ["create", "--from", "x", "-h"].map(OsString::from).to_vec();
        assert_eq!(parsed("husk disk create --from x -h"), Ok(Command::Disk(words)));
    }

    #[test]
    fn help_is_printed_on_request() {
        let shown = |line: &str| match parsed(line) {
            Ok(Command::Print(help)) => help,
            other => panic!("{line}: {other:?}"),
        };
        assert_eq!(shown("husk help run"), shown("husk run --help"));
        assert_eq!(shown("husk help inspect"), shown("husk inspect -h"));
        assert_eq!(shown("husk help"), shown("husk --help"));
        assert_eq!(shown("husk help -p"), shown("husk help publish"));
        assert!(shown("husk completions bash").contains("complete -F _husk husk"));
        assert!(refused("husk completions csh").contains("bash|zsh|fish"));
        assert!(shown("husk man").starts_with(".TH HUSK 1"));
        assert!(refused("husk help frobnicate").contains("no command or flag 'frobnicate'"));
    }
}

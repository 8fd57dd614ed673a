//! The help texts, made from the tables of flags.

use super::flags::{self, Flag};
use std::fmt::Write;

/// Help texts of a command, and its table of flags.
pub struct Topic<T: 'static> {
    /// Usage line.
    pub usage: &'static str,
    about: &'static str,
    flags: &'static [Flag<T>],
    after: &'static str,
}

/// `husk run`.
pub const RUN: Topic<super::Run> = Topic {
    usage: "husk run [FLAGS] IMAGE [FLAGS] [[--] ARGUMENTS]",
    about: "Runs an image, made by `cargo husk build`, to its end. Arguments are the program's from the first on that is no\n\
            flag, or from `--` on.",
    flags: flags::RUN,
    after: "Networks: `--net user` needs no privilege; the guest is 10.0.2.15, its gateway 10.0.2.2, its name server\n\
            10.0.2.3 (the host's), and it may connect to anything outside. NETWORK is an address, 192.0.2.0/24, or a word:\n\
            all (anything outside, and the name server), private (RFC 1918 and the like), dns (the name server), host (the\n\
            host: its loopback, seen as 10.0.2.4, and all its addresses) or metadata (services that give machines of a\n\
            cloud their secrets). Of several rules, the first that fits decides. As soon as one --allow is given, the guest\n\
            reaches only what is allowed; host and metadata it reaches only if they are allowed by their word or by their\n\
            single address. An IPv6 address that carries one of IPv4 counts as both.\n\
            `--net tap:INTERFACE` takes ,ip=ADDRESS/PREFIX ,gw=ADDRESS ,dns=ADDRESS (else the guest asks by DHCP) and,\n\
            like any, ,mac=ADDRESS. `--net passt:SOCKET` is the passt that listens there. Before any, NAME= says which device\n\
            of the image it is, if there are several.\n\n\
            Published ports: `-p 8080:80` leads clients of 127.0.0.1:8080 to port 80 of the guest, `-p 0.0.0.0:8080:80`\n\
            those of every IPv4 address of the host, `-p [::]:8080:80` of IPv6 as well; /udp at its end is for UDP. A line\n\
            at the start says where each is. Implies --net user.\n\n\
            Exit status: the guest's own; 128 + n for a guest that was stopped, n being the signal that Linux\n\
            would have sent; 125 if husk itself could not start it or go on. A guest can exit with any of these:\n\
            --status-file tells them apart. Its line has `ended`: guest (it exited by itself), fault (it crashed), limit\n\
            (of time, memory or cpu), signal (one to husk asked for the end), killed (one ended husk itself) or error (husk\n\
            could not start it or go on); an empty file is that of a run that goes on, or whose husk was killed.\n",
};

/// `husk inspect`.
pub const INSPECT: Topic<super::Inspect> = Topic {
    usage: "husk inspect [FLAGS] IMAGE",
    about: "Tells what an image is, without running it: manifest, segments, sizes, system call sites.",
    flags: flags::INSPECT,
    after: "",
};

/// `husk check`.
pub const CHECK: Topic<super::Check> = Topic {
    usage: "husk check [FLAGS]",
    about: "Shows what this host offers and what Husk makes of it: KVM, with the cost of an exit, a trap and a page measured\n\
            in a small virtual machine; processor, kernel, networks, disks, limits. Takes less than a second, on a slow\n\
            emulator some more.",
    flags: flags::CHECK,
    after: "Beside each thing: ok; is, a fact; without, Husk has a substitute that is slower or does less; weaker, guests\n\
            are protected less and `husk run --strict` refuses; shared, what other guests on this machine may learn;\n\
            missing, guests do not run in virtual machines. Remedies follow `->`.\n\n\
            Exit status: 0 if guests run well in virtual machines here, so if nothing is missing: KVM opens and has the\n\
            extensions that are needed, a test guest ran to its end, and husk can confine itself; else 1; 125 if husk\n\
            itself could not go on.\n",
};

/// `husk --help`.
pub fn overview() -> String {
    format!(
        "husk runs Husk images: single-application virtual machines.\n\n\
         Commands:\n  {:<56} Run an image; the exit status is the guest's\n  {:<56} Tell what an image is\n  {:<56} Show what this host offers\n\n\
         `husk COMMAND --help` tells more, `husk help FLAG` what one flag does, `husk --version` the version.\n",
        RUN.usage, INSPECT.usage, CHECK.usage
    )
}

/// `husk --version`.
pub fn version() -> String {
    format!("husk {} (image contract {})\n", env!("CARGO_PKG_VERSION"), husk_abi::VERSION)
}

/// Returns the help of one command.
pub fn command<T>(topic: &Topic<T>) -> String {
    let mut text = format!("{}\n\nUsage: {}\n\nFlags:\n", topic.about, topic.usage);
    // Writing to a string cannot fail.
    for flag in topic.flags {
        let _ = writeln!(text, "  {:<26} {}", spelling(flag), flag.help);
    }
    let _ = writeln!(text, "  {:<26} Print this help", "-h, --help");
    if !topic.after.is_empty() {
        let _ = write!(text, "\n{}", topic.after);
    }
    text
}

/// Returns the help of the command or the flags called `word`, a flag with or without its dashes.
pub fn about(word: &str) -> Option<String> {
    let name = word.trim_start_matches('-');
    let text = match word {
        "run" => command(&RUN),
        "inspect" => command(&INSPECT),
        "check" => command(&CHECK),
        _ => [of_flag("run", &RUN, name), of_flag("inspect", &INSPECT, name), of_flag("check", &CHECK, name)].concat(),
    };
    (!text.is_empty()).then_some(text)
}

/// Returns the help of one flag of a command, with the paragraphs that mention it.
fn of_flag<T>(command: &str, topic: &Topic<T>, name: &str) -> String {
    let is_called = |flag: &&Flag<T>| flag.long == name || flag.short.is_some_and(|short| name.chars().eq([short]));
    let Some(flag) = topic.flags.iter().find(is_called) else { return String::new() };
    let spellings = [Some(format!("--{}", flag.long)), flag.short.map(|short| format!("-{short}"))];
    let is_on = |paragraph: &&str| {
        let mut words = paragraph.split([' ', '`', '\n', ':', ';', ',']);
        words.any(|word| spellings.iter().flatten().any(|spelling| word == spelling))
    };
    let paragraphs = topic.after.split("\n\n").filter(is_on).map(|paragraph| format!("\n{}\n", paragraph.trim_end()));
    format!("husk {command} {}\n    {}\n{}", spelling(flag).trim_start(), flag.help, paragraphs.collect::<String>())
}

/// Spelling of a flag on the command line, with its value.
fn spelling<T>(flag: &Flag<T>) -> String {
    let short = flag.short.map_or("   ".to_owned(), |letter| format!("-{letter},"));
    let value = flag.value.map_or(String::new(), |value| format!(" {value}"));
    format!("{short} --{}{value}", flag.long)
}

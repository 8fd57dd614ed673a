//! `husk run`.

use crate::{Argument, Command, Section};

flags! {
    /// A flag of `husk run`.
    pub enum Run {
        /// Guest memory, such as 64M or 2G
        Memory = "memory".short('m').takes("SIZE").default("what the image asks for, up to --memory-max"),
        /// Refuse an image that asks for more, unless --memory says what it gets
        MemoryMax = "memory-max".takes("SIZE|none").default("512M"),
        /// Set an environment variable of the guest; NAME alone passes on husk's own, for secrets
        Env = "env".short('e').takes("NAME[=VALUE]").repeats(),
        /// Set those of a file with a line NAME=VALUE or NAME for each; --env takes precedence
        EnvFile = "env-file".takes("FILE").repeats(),
        /// Attach a network: user, tap:INTERFACE, fd:NUMBER or passt:SOCKET
        Net = "net".takes("[NAME=]WIRE").repeats(),
        /// Attach a disk, a file or block device; also ,sector=4096 ,direct
        Block = "block".takes("[NAME=]FILE[,ro]").repeats(),
        /// Show the guest a directory or file of the host at this place; with :ro, to read only; also :cache=never
        Files = "files".takes("GUEST=HOST[:ro]").repeats(),
        /// Show the guest the ext4 file system of this disk here; with :ro, to read only
        Mount = "mount".takes("NAME:PATH[:ro]").repeats(),
        /// Forward a port of the host, by default of 127.0.0.1, to the guest
        Publish = "publish".short('p').takes("[ADDR:]HOST:GUEST").repeats(),
        /// Let the guest connect to this, and only to what is allowed
        Allow = "allow".takes("NETWORK[:PORT]").repeats(),
        /// Do not let the guest connect to this
        Deny = "deny".takes("NETWORK[:PORT]").repeats(),
        /// Look up names at this name server, in place of the host's; up to three, in this order
        Dns = "dns".takes("ADDRESS").repeats(),
        /// Name of the guest, for uname and hostname
        Hostname = "hostname".takes("NAME").default("husk"),
        /// Add a name to /etc/hosts of the guest; the address may be host-gateway, the host's
        AddHost = "add-host".takes("NAME:ADDRESS").repeats(),
        /// Do not show the guest any file of the host: names, search domains, certificates, time zones
        NoHostFiles = "no-host-files",
        /// Ask a peer that is silent for this time if it is still there
        NetKeepalive = "net-keepalive".takes("TIME|off").default("60s"),
        /// End a connection in which nothing moves for this time
        NetIdle = "net-idle".takes("TIME|off").default("124m"),
        /// Limit the bytes a second that a network sends, and those that it receives, such as 10M
        NetRate = "net-rate".takes("[NAME=]RATE[:BURST]").repeats(),
        /// Limit the bytes a second that a disk reads and writes, such as 100M
        BlockRate = "block-rate".takes("[NAME=]RATE[:BURST]").repeats(),
        /// Limit the requests a second that a disk carries out, such as 1000
        BlockIops = "block-iops".takes("[NAME=]RATE[:BURST]").repeats(),
        /// Run in a virtual machine or in a process
        Target = "target".takes("hvt|spt").default("$HUSK_TARGET, else in a machine where there is KVM"),
        /// Refuse a host that protects less than others: no KVM, no filter of MSRs, none or an old Landlock
        Strict = "strict",
        /// Load a relocatable image at the same address every time
        NoAslr = "no-aslr",
        /// Time that the guest has to end after SIGTERM or SIGINT
        StopTimeout = "stop-timeout".takes("SECONDS").default("10"),
        /// Show what the guest prints as it is, or with control characters as text
        Console = "console".takes("raw|escaped").default("raw"),
        /// Limit the bytes a second that the guest prints, such as 64K
        ConsoleRate = "console-rate".takes("RATE[:BURST]"),
        /// Limit the share of a processor that the guest, husk included, uses, such as 50%
        CpuLimit = "cpu-limit".takes("SHARE"),
        /// Have the guest end after this time, such as 90s, as by SIGTERM; exit status 124
        Timeout = "timeout".takes("TIME"),
        /// Features of the processor that a std program finds; baseline: x86-64-v2, on any host
        Cpu = "cpu".takes("host|baseline").default("host"),
        /// Change to this user once everything is open; takes root
        User = "user".takes("UID[:GID]"),
        /// Record how the run ended, in a line of JSON that the guest cannot forge
        StatusFile = "status-file".takes("FILE"),
        /// Show what the guest and husk itself may do, call by call, and do not run it
        Explain = "explain",
        /// With --explain: print one line of JSON instead of a table
        Json = "json",
        /// Print what the guest does: unanswered system calls, exits, times
        Verbose = "verbose".short('v'),
    }
}

/// `husk run`.
pub static COMMAND: Command<'static> = Command {
    name: "run",
    usage: "husk run [FLAGS] IMAGE [FLAGS] [[--] ARGUMENTS]",
    summary: "Run an image; the exit status is the guest's",
    about: "Runs an image, made by `cargo husk build`, to its end. Arguments are the program's from the first on that is no\n\
            flag, or from `--` on.",
    flags: FLAGS,
    argument: Argument::File,
    sections: &[
        Section {
            title: "Networks",
            text: "`--net user` needs no privilege; the guest is 10.0.2.15, its gateway 10.0.2.2, its name server\n\
                   10.0.2.3 (the host's), and it may connect to anything outside. NETWORK is an address, 192.0.2.0/24, or a word:\n\
                   all (anything outside, and the name server), private (RFC 1918 and the like), dns (the name server), host (the\n\
                   host: its loopback, seen as 10.0.2.4, and all its addresses) or metadata (services that give machines of a\n\
                   cloud their secrets). Of several rules, the first that fits decides. With one --allow or more, the guest\n\
                   reaches only what is allowed; host and metadata it reaches only if they are allowed by their word or by their\n\
                   single address. An IPv6 address that carries one of IPv4 counts as both.\n\
                   `--net tap:INTERFACE` takes ,ip=ADDRESS/PREFIX ,gw=ADDRESS ,dns=ADDRESS (else the guest asks by DHCP) and,\n\
                   like any, ,mac=ADDRESS. `--net passt:SOCKET` is the passt that listens there. Before any, NAME= says which device\n\
                   of the image it is, if there are several.",
            flags: &["net", "allow", "deny"],
        },
        Section {
            title: "Published ports",
            text: "`-p 8080:80` leads clients of 127.0.0.1:8080 to port 80 of the guest, `-p 0.0.0.0:8080:80`\n\
                   those of every IPv4 address of the host, `-p [::]:8080:80` of IPv6 as well; /udp at its end is for UDP. A line\n\
                   at the start says where each is. Implies --net user.",
            flags: &["net", "publish"],
        },
        Section {
            title: "Names and host files",
            text: "An ordinary program finds the host's certificates, time zones and time (/etc/localtime), which are read when\n\
                   it looks for them. With a network, its /etc/hosts has the names of the host's, but for those of loopback addresses;\n\
                   with a user-mode network, its /etc/resolv.conf has the search domains and options of the host's. Files of\n\
                   the image replace these. --no-host-files keeps all of them from the guest. --add-host and --dns are as\n\
                   for containers; --dns implies --net user, unless there is another network.",
            flags: &["no-host-files", "hostname", "add-host", "dns"],
        },
        Section {
            title: "Files",
            text: "`--files /data=./data` shows the guest the directory ./data of the host at /data; what it changes there\n\
                   stays. HOST may be a single file, and :ro at its end keeps the guest from changing anything. Nothing beside it\n\
                   can be reached, and no link leads out. The files are made as the user that husk runs as.",
            flags: &["files"],
        },
        Section {
            title: "Disks with files",
            text: "`--block data=disk.img --mount data:/var/lib/app` shows the guest the files of an ext4 file system on a disk, made\n\
                   by `husk disk create` or mkfs.ext4; what the guest changes stays. A disk that is attached with ,ro is mounted to\n\
                   read only.",
            flags: &["block", "mount"],
        },
        Section {
            title: "Exit status",
            text: "the guest's own; 128 + n for a guest that was stopped, n being the signal that Linux\n\
                   would have sent; 125 if husk itself could not start or continue it. A guest can exit with any of these:\n\
                   --status-file tells them apart. Its line has `ended`: guest (it exited by itself), fault (it crashed), limit\n\
                   (of time, memory or cpu), signal (one to husk asked for the end), killed (one ended husk itself) or error (husk\n\
                   could not start or continue it); an empty file is that of a run that is not over, or whose husk was killed.",
            flags: &["status-file"],
        },
    ],
};

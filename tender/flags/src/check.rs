//! `husk check`.

use crate::{Argument, Command, Section};

flags! {
    /// A flag of `husk check`.
    pub enum Check {
        /// Print one line of JSON instead of a table
        Json = "json",
    }
}

/// `husk check`.
pub static COMMAND: Command<'static> = Command {
    name: "check",
    usage: "husk check [FLAGS]",
    summary: "Show what this host offers",
    about: "Shows what this host offers and what Husk makes of it: KVM, with the cost of an exit, a trap and a page measured\n\
            in a small virtual machine; processor, kernel, networks, disks, limits. Takes less than a second, on a slow\n\
            emulator some more.",
    flags: FLAGS,
    argument: Argument::Text,
    sections: &[
        Section {
            title: "Marks",
            text: "beside each thing: ok; is, a fact; without, Husk has a substitute that is slower or does less; weaker, guests\n\
                   are protected less and `husk run --strict` refuses; shared, what other guests on this machine may learn;\n\
                   missing, guests do not run in virtual machines. Remedies follow `->`.",
            flags: &[],
        },
        Section {
            title: "Exit status",
            text: "0 if guests run well in virtual machines here, so if nothing is missing: KVM opens and has the\n\
                   extensions that are needed, a test guest ran to its end, and husk can confine itself; else 1; 125 if husk\n\
                   itself could not continue.",
            flags: &[],
        },
    ],
};

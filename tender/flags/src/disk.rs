//! `husk disk`.

use crate::{Argument, Command, Section};

flags! {
    /// A flag of `husk disk`.
    pub enum Disk {
        /// Copy the contents of this directory onto the disk
        From = "from".takes("FOLDER"),
        /// Name of the file system, at most 16 bytes
        Label = "label".takes("NAME"),
    }
}

/// `husk disk`.
pub static COMMAND: Command<'static> = Command {
    name: "disk",
    usage: "husk disk create FILE SIZE [FLAGS]",
    summary: "Make a disk with a file system for `--block`",
    about: "Makes FILE, a disk of SIZE, such as 1G, with an ext4 file system, without root. The host's tools take it too:\n\
            mount(8), fsck.ext4(8), debugfs(8). FILE must not be there yet; it takes up only what is used of it. At least 24M.",
    flags: FLAGS,
    argument: Argument::WordsOrFile(&["create"]),
    sections: &[
        Section {
            title: "What is copied",
            text: "directories, files with their holes, links of both kinds, FIFOs, sockets and devices, with their permissions,\n\
                   times, extended attributes of the namespace user, and owners by number, as `ls -n` shows them. Links are not\n\
                   followed; FILE itself is left out if it is in there. Something that cannot be read, or that changes meanwhile,\n\
                   is an error. After an error or a signal, no FILE is left.",
            flags: &["from"],
        },
        Section {
            title: "Reproducible disks",
            text: "with SOURCE_DATE_EPOCH in the environment, the same files give the same disk, byte for byte: no time is later\n\
                   than that, and the identity of the file system is made of that, SIZE and label.",
            flags: &["from", "label"],
        },
    ],
};

//! Tables of mounts in `/proc`: what the program finds at the start, the host's folders, and disks.

use super::folder::{FIRST_FOLDER, Folder};
use alloc::string::String;
use core::fmt::{self, Write};

/// Text of `/proc/self/mounts`, as for fstab(5).
pub fn table(out: &mut String, folders: &[Folder]) -> fmt::Result {
    out.write_str("none / tmpfs rw,relatime 0 0\nproc /proc proc rw,relatime 0 0\nsysfs /sys sysfs ro,relatime 0 0\n")?;
    folders.iter().try_for_each(|folder| {
        let (source, kind) = (Source(folder), kind(folder));
        writeln!(out, "{source} {} {kind} {},relatime 0 0", Escaped(&folder.path), access(folder))
    })
}

/// Text of `/proc/self/mountinfo` (proc_pid_mountinfo(5)).
pub fn numbered(out: &mut String, folders: &[Folder]) -> fmt::Result {
    out.write_str(
        "2 1 0:2 / / rw,relatime - tmpfs none rw\n\
         3 2 0:3 / /proc rw,relatime - proc proc rw\n\
         4 2 0:4 / /sys ro,relatime - sysfs sysfs ro\n",
    )?;
    folders.iter().try_for_each(|folder| {
        let (number, access) = (FIRST_FOLDER + folder.number, access(folder));
        let (source, kind) = (Source(folder), kind(folder));
        writeln!(out, "{number} 2 0:{number} / {} {access},relatime - {kind} {source} {access}", Escaped(&folder.path))
    })
}

/// File system type of a folder.
fn kind(folder: &Folder) -> &'static str {
    if folder.disk.is_some() { "ext4" } else { "husk" }
}

/// What is mounted.
struct Source<'a>(&'a Folder);

impl fmt::Display for Source<'_> {
    fn fmt(&self, f: &mut fmt::Formatter<'_>) -> fmt::Result {
        match &self.0.disk {
            Some(name) => write!(f, "/dev/{}", Escaped(name)),
            None => f.write_str("host"),
        }
    }
}

fn access(folder: &Folder) -> &'static str {
    if folder.read_only { "ro" } else { "rw" }
}

/// Path with its separators as octal numbers.
struct Escaped<'a>(&'a [u8]);

impl fmt::Display for Escaped<'_> {
    fn fmt(&self, f: &mut fmt::Formatter<'_>) -> fmt::Result {
        String::from_utf8_lossy(self.0).chars().try_for_each(|one| match one {
            ' ' | '\t' | '\n' | '\\' => write!(f, "\\{:03o}", u32::from(one)),
            one => f.write_char(one),
        })
    }
}

#[cfg(test)]
mod tests {
    use super::*;

    #[test]
    fn folders_are_in_both_tables() {
        let folder =
            |number, read_only, path: &str| Folder { number, read_only, is_file: false, path: path.into(), disk: None };
        let disk = Folder { disk: Some(b"data".to_vec()), ..folder(3, false, "/var/lib") };
        let folders = [folder(0, false, "/data"), folder(2, true, "/a b\\c"), disk];
        let (mut short, mut long) = (String::new(), String::new());
        table(&mut short, &folders).and_then(|()| numbered(&mut long, &folders)).expect("strings take all");
        assert!(
            short.ends_with(
                "host /data husk rw,relatime 0 0\n\
                 host /a\\040b\\134c husk ro,relatime 0 0\n\
                 /dev/data /var/lib ext4 rw,relatime 0 0\n"
            ),
            "{short}"
        );
        assert!(
            long.ends_with(
                "18 2 0:18 / /a\\040b\\134c ro,relatime - husk host ro\n\
                 19 2 0:19 / /var/lib rw,relatime - ext4 /dev/data rw\n"
            ),
            "{long}"
        );
    }
}

//! An inspection as a table for people.

use super::{Inspection, rights};
use crate::report::names::{Clean, bold, hexadecimal};
use crate::size::Size;
use std::fmt;

impl Inspection {
    fn facts(&self) -> Vec<(&'static str, String)> {
        let place = if self.relocatable { "static-pie, at an address of the tender's choice" } else { "fixed address" };
        let build_id = match self.build_id.as_slice() {
            [] => "none: its debug file could not be found again".to_string(),
            build_id => hexadecimal(build_id),
        };
        let devices: Vec<String> =
            self.devices.iter().map(|device| format!("{} '{}'", device.kind.name(), Clean(&device.name))).collect();
        let files = match self.files {
            None => "none".to_string(),
            Some(files) => {
                format!("{} files, folders and links, {} bytes at {:#x}", files.count, files.length, files.offset)
            }
        };
        let mounts: Vec<String> = self.mounts.iter().map(|mount| Clean(&mount.to_string()).to_string()).collect();
        let sizes = self.sizes;
        vec![
            ("contract", format!("version {}", self.contract)),
            ("program", self.kind.name()),
            ("loaded", format!("{place}, entry {:#x}", self.entry)),
            ("build-id", build_id),
            ("memory", format!("{}, of which main stack {}", Size(self.memory), Size(self.main_stack))),
            ("system calls", format!("{} sites call the libos, {} trap", self.patched_sites, self.trapping_sites)),
            ("devices", if devices.is_empty() { "none".to_string() } else { devices.join(", ") }),
            ("mounts", if mounts.is_empty() { "none".to_string() } else { mounts.join(", ") }),
            ("files", files),
            ("names", self.names.to_string()),
            (
                "bytes",
                format!(
                    "{} in file: text {}, read-only {}, data {}; and {} zeros in memory",
                    self.file_size, sizes.text, sizes.read_only, sizes.data, sizes.zeros
                ),
            ),
        ]
    }

    fn segment_rows(&self) -> Vec<[String; 4]> {
        let heading = ["address", "in file", "in memory", "rights"].map(str::to_string);
        let rows = self.segments.iter().map(|segment| {
            [
                format!("{:#x}", segment.region.start),
                segment.file_size.to_string(),
                segment.region.length.to_string(),
                rights(segment.rights),
            ]
        });
        [heading].into_iter().chain(rows).collect()
    }
}

impl fmt::Display for Inspection {
    fn fmt(&self, f: &mut fmt::Formatter<'_>) -> fmt::Result {
        let (bold, plain) = bold(self.colour);
        writeln!(f, "{bold}{}{plain}", Clean(&self.path.to_string_lossy()))?;
        for (name, value) in self.facts() {
            let mut lines = value.lines();
            writeln!(f, "  {bold}{name:<12}{plain}  {}", Clean(lines.next().unwrap_or_default()))?;
            lines.try_for_each(|line| writeln!(f, "  {:<12}  {}", "", Clean(line)))?;
        }
        writeln!(f)?;
        let rows = self.segment_rows();
        let width = |column: usize| rows.iter().map(|row| row[column].len()).max().unwrap_or(0);
        let widths = [0, 1, 2, 3].map(width);
        for (index, row) in rows.iter().enumerate() {
            let (bold, plain) = if index == 0 { (bold, plain) } else { ("", "") };
            let [address, in_file, in_memory, rights] = row;
            let [first, second, third, _] = widths;
            let cells = format!("{address:>first$}  {in_file:>second$}  {in_memory:>third$}  {rights}");
            writeln!(f, "  {bold}{cells}{plain}")?;
        }
        Ok(())
    }
}

#[cfg(test)]
mod tests {
    use super::super::tests::example;

    #[test]
    fn the_table_is_aligned_and_plain() {
        let text = example().to_string();
        assert!(!text.contains('\x1b'), "{text}");
        assert!(text.contains("\n  memory        64M, of which main stack 8M\n"), "{text}");
        assert!(text.contains("\n  system calls  41 sites call the libos, 1 trap\n"), "{text}");
        assert!(text.contains("\n  files         3 files, folders and links, 8192 bytes at 0x5000\n"), "{text}");
        assert!(text.ends_with(
            "  address  in file  in memory  rights\n\
             \x20     0x0     2048       2048  r--\n\
             \x20  0x1000     9029       9029  r-x\n\
             \x20  0x4000     4096      12288  rw-\n"
        ));
        assert!(example().with_colour(true).to_string().starts_with("\x1b[1mapp"));
    }
}

//! Cost of calls on files of a mounted disk, in a guest, and as a process on a directory of the host.
//! `cargo bench -p husk-tests --bench volumes [-- ROUNDS]`; `HUSK_TARGET` is the guest's target.

use husk_tests::{Folder, Volume, figures, measure};

/// Bytes of the disk.
const SIZE: u64 = 512 << 20;

fn main() {
    let programs = figures::built("folder-programs", "folder_speed");
    let (folder, volume) = (Folder::empty(), Volume::empty(SIZE));
    let path = folder.path().display().to_string();
    // The guest has the disk where the process has the directory.
    let flags = [volume.flag(""), format!("--mount=data:{path}")];
    figures::compare_with(programs, "ns a call", measure::rounds(5), &path, &flags);
}

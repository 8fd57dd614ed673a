//! Cost of calls on files of a folder of the host, in a guest and as a process on the same directory.
//! `cargo bench -p husk-tests --bench folders [-- ROUNDS]`; `HUSK_TARGET` is the guest's target.

use husk_tests::{Folder, figures, measure};

fn main() {
    let programs = figures::built("folder-programs", "folder_speed");
    let folder = Folder::empty();
    let path = folder.path().display().to_string();
    let flag = format!("--files={path}={path}");
    figures::compare_with(programs, "ns a call", measure::rounds(11), &path, &[flag]);
}

//! Looks at attributes before and after the program's own changes, by each way to a file, and prints what it finds: the same as a
//! process and in a guest, though a guest keeps attributes for a moment.

use std::env;
use std::fs::{self, File, FileTimes, Metadata, OpenOptions, Permissions};
use std::io::{self, Read, Write};
use std::os::fd::AsRawFd;
use std::os::unix::fs::{FileExt, MetadataExt, PermissionsExt, symlink};
use std::path::Path;
use std::time::{Duration, SystemTime};

/// A time long ago.
fn past() -> SystemTime {
    SystemTime::UNIX_EPOCH + Duration::from_secs(1_000_000_000)
}

/// Prints what is known of a file by its path, by a link to it, and by a descriptor.
fn look(what: &str, root: &Path, file: &File) {
    let show = |found: io::Result<Metadata>| match found {
        Ok(found) => format!(
            "{} bytes, mode {:o}, {} links, accessed long ago {}, modified long ago {}",
            found.len(),
            found.mode() & 0o7777,
            found.nlink(),
            found.accessed().is_ok_and(|time| time == past()),
            found.modified().is_ok_and(|time| time == past()),
        ),
        Err(error) => format!("error {:?}", error.raw_os_error()),
    };
    println!("{what}:");
    println!("  path {}", show(fs::metadata(root.join("file"))));
    println!("  itself {}", show(fs::symlink_metadata(root.join("file"))));
    println!("  link {}", show(fs::metadata(root.join("link"))));
    println!("  descriptor {}", show(file.metadata()));
    println!("  there {:?}", root.join("file").try_exists().map_err(|error| error.raw_os_error()));
}

fn main() -> io::Result<()> {
    let root = &env::args().nth(1).map(std::path::PathBuf::from).expect("a directory");
    let (path, other) = (root.join("file"), root.join("other"));
    symlink("file", root.join("link"))?;
    println!("{:?}", fs::metadata(&path).map(drop).map_err(|error| error.raw_os_error()));
    fs::write(&path, "0123456789")?;
    let mut file = OpenOptions::new().read(true).write(true).open(&path)?;
    look("written", root, &file);
    file.set_times(FileTimes::new().set_accessed(past()).set_modified(past()))?;
    look("times", root, &file);
    file.read_exact(&mut [0; 4])?;
    look("read", root, &file);
    file.set_times(FileTimes::new().set_accessed(past()).set_modified(past()))?;
    look("times", root, &file);
    file.write_all_at(b"more", 20)?;
    look("written at", root, &file);
    OpenOptions::new().append(true).open(root.join("link"))?.write_all(b"end")?;
    look("appended by another descriptor", root, &file);
    file.set_len(3)?;
    look("cut", root, &file);
    fs::set_permissions(&path, Permissions::from_mode(0o640))?;
    look("permissions", root, &file);
    fs::hard_link(&path, &other)?;
    look("linked", root, &file);
    fs::write(&other, "by the other name")?;
    look("written by another name", root, &file);
    fs::rename(&path, root.join("moved"))?;
    look("moved", root, &file);
    fs::write(&path, "new")?;
    look("made again", root, &file);
    fs::remove_file(&other)?;
    look("one name less", root, &file);
    fs::rename(root.join("moved"), &path)?;
    look("replaced", root, &file);
    File::create(&path).map(drop)?;
    look("emptied", root, &file);
    // SAFETY: fallocate(2) takes numbers.
    let allocated = unsafe { libc::fallocate(file.as_raw_fd(), 0, 0, 5000) };
    println!("allocated: {allocated}");
    look("allocated", root, &file);
    fs::remove_file(root.join("link"))?;
    symlink("nowhere", root.join("link"))?;
    look("link elsewhere", root, &file);
    fs::remove_file(&path)?;
    look("removed", root, &file);
    let entries = |name: &str| fs::metadata(root.join(name)).map(|found| found.nlink());
    fs::create_dir_all(root.join("directory/a"))?;
    println!("{:?}", entries("directory").map_err(|error| error.raw_os_error()));
    fs::create_dir(root.join("directory/b"))?;
    println!("{:?}", entries("directory").map_err(|error| error.raw_os_error()));
    fs::rename(root.join("directory"), root.join("renamed"))?;
    for name in ["directory/a", "renamed/a"] {
        println!("{:?}", entries(name).map_err(|error| error.raw_os_error()));
    }
    fs::remove_dir(root.join("renamed/a"))?;
    println!("{:?}", entries("renamed").map_err(|error| error.raw_os_error()));
    Ok(())
}

//! Works in a directory with std::fs alone, and prints what it finds: the same as a process and in a guest.

use std::env;
use std::fmt::Debug;
use std::fs::{self, File, OpenOptions, Permissions};
use std::io::{self, Read, Seek, SeekFrom, Write};
use std::os::unix::fs::{FileExt, MetadataExt, PermissionsExt, symlink};
use std::path::{Path, PathBuf};
use std::time::{Duration, SystemTime};

fn main() -> io::Result<()> {
    let root = PathBuf::from(env::args().nth(1).expect("a directory"));
    files(&root.join("files"))?;
    names(&root.join("names"))?;
    links(&root.join("links"))?;
    sparse(&root.join("sparse"))?;
    locks(&root.join("locks"))?;
    working_directory(&root.join("here"))?;
    removal(&root.join("removal"))?;
    Ok(())
}

/// Prints a value, or the error that Linux knows by that number.
fn show(what: &str, result: io::Result<impl Debug>) {
    match result {
        Ok(value) => println!("{what}: {value:?}"),
        Err(error) => println!("{what}: error {:?}", error.raw_os_error()),
    }
}

fn files(root: &Path) -> io::Result<()> {
    fs::create_dir_all(root.join("a/b"))?;
    let path = root.join("a/b/file");
    show("a file that is not there", File::open(&path).map(drop));
    let mut file = File::create_new(&path)?;
    show("again", File::create_new(&path).map(drop));
    show("write", file.write(b"0123456789"));
    show("position", file.stream_position());
    show("read of a file to write", file.read(&mut [0; 4]));
    file.sync_all()?;
    file.sync_data()?;
    let mut file = OpenOptions::new().read(true).append(true).open(&path)?;
    file.seek(SeekFrom::Start(3))?;
    show("append", file.write(b"ab"));
    show("position", file.stream_position());
    show("whole", fs::read_to_string(&path));
    show("end", file.seek(SeekFrom::End(-4)));
    let mut rest = String::new();
    show("rest", file.read_to_string(&mut rest).map(|_| rest));
    let file = OpenOptions::new().read(true).write(true).open(&path)?;
    show("write at", file.write_at(b"XY", 20));
    let mut bytes = [0; 5];
    show("read at", file.read_at(&mut bytes, 18).map(|count| bytes[..count].to_vec()));
    show("read beyond", file.read_at(&mut bytes, 100));
    file.set_len(4)?;
    show("cut", fs::read(&path));
    file.set_len(6)?;
    show("longer", fs::read(&path));
    show("truncated at open", File::create(&path).and_then(|file| file.metadata()).map(|found| found.len()));
    file.set_permissions(Permissions::from_mode(0o640))?;
    show("permissions", fs::metadata(&path).map(|found| format!("{:o}", found.permissions().mode())));
    let time = SystemTime::UNIX_EPOCH + Duration::new(1_000_000_000, 123_456_789);
    file.set_modified(time)?;
    show("modified", fs::metadata(&path)?.modified().map(|found| found == time));
    let found = fs::metadata(&path)?;
    println!("owner {} {}, {} links, file {}", found.uid(), found.gid(), found.nlink(), found.is_file());
    println!("on another file system than /dev: {}", found.dev() != fs::metadata("/dev")?.dev());
    show("directory to write", OpenOptions::new().write(true).open(root).map(drop));
    show("directory to read", File::open(root).and_then(|mut file| file.read(&mut [0; 4])));
    show("copy", fs::copy(&path, root.join("copy")));
    fs::write(root.join("large"), vec![7; 3_000_000])?;
    show("large", fs::read(root.join("large")).map(|bytes| (bytes.len(), bytes.iter().all(|byte| *byte == 7))));
    static TEXT: &[u8] = &[b'x'; 100_000];
    fs::write(root.join("constant"), TEXT)?;
    show("constant", fs::read(root.join("constant")).map(|bytes| bytes == TEXT));
    Ok(())
}

fn names(root: &Path) -> io::Result<()> {
    fs::create_dir(root)?;
    show("again", fs::create_dir(root));
    show("below nothing", fs::create_dir(root.join("x/y")));
    show("long", File::create(root.join("n".repeat(256))).map(drop));
    show("longest", File::create(root.join("n".repeat(255))).map(drop));
    fs::write(root.join("one"), "1")?;
    fs::write(root.join("two"), "2")?;
    fs::rename(root.join("one"), root.join("two"))?;
    show("renamed over", fs::read(root.join("two")));
    show("gone", fs::read(root.join("one")));
    fs::create_dir_all(root.join("full/of"))?;
    fs::create_dir(root.join("empty"))?;
    show("over a full directory", fs::rename(root.join("empty"), root.join("full")));
    show("over an empty one", fs::rename(root.join("full"), root.join("empty")));
    show("into itself", fs::rename(root.join("empty"), root.join("empty/of/it")));
    show("a file over a directory", fs::rename(root.join("two"), root.join("empty")));
    show("to another file system", fs::rename(root.join("two"), "/dev/two"));
    show("through a file", fs::metadata(root.join("two/x")));
    show("slash", fs::metadata(root.join("two/")).map(drop));
    show("remove a directory as a file", fs::remove_file(root.join("empty")));
    show("remove a file as a directory", fs::remove_dir(root.join("two")));
    show("remove a full directory", fs::remove_dir(root.join("empty")));
    show("up and down", fs::read(root.join("empty/../two")));
    list(root)
}

fn list(root: &Path) -> io::Result<()> {
    let entries = fs::read_dir(root)?.collect::<io::Result<Vec<_>>>()?;
    let mut names: Vec<_> = entries
        .iter()
        .map(|entry| (entry.file_name(), entry.file_type().map(|kind| (kind.is_dir(), kind.is_symlink())).ok()))
        .collect();
    names.sort();
    println!("{names:?}");
    Ok(())
}

fn links(root: &Path) -> io::Result<()> {
    fs::create_dir_all(root.join("v1"))?;
    fs::create_dir_all(root.join("v2"))?;
    fs::write(root.join("v1/config"), "first")?;
    fs::write(root.join("v2/config"), "second")?;
    symlink("v1", root.join("..data"))?;
    symlink("..data/config", root.join("config"))?;
    show("first", fs::read_to_string(root.join("config")));
    symlink("v2", root.join("..new"))?;
    fs::rename(root.join("..new"), root.join("..data"))?;
    show("second", fs::read_to_string(root.join("config")));
    show("target", fs::read_link(root.join("config")));
    show("no link", fs::read_link(root.join("v1")));
    show("link itself", fs::symlink_metadata(root.join("config")).map(|found| found.is_symlink()));
    fs::hard_link(root.join("v1/config"), root.join("hard"))?;
    show("links", fs::metadata(root.join("hard")).map(|found| found.nlink()));
    show("hard link to a directory", fs::hard_link(root.join("v1"), root.join("no")));
    fs::write(root.join("hard"), "changed")?;
    show("through another name", fs::read_to_string(root.join("v1/config")));
    symlink(root.join("v1/config"), root.join("absolute"))?;
    show("absolute", fs::read_to_string(root.join("absolute")));
    symlink("/dev/null", root.join("away"))?;
    show("out of the folder", fs::read_to_string(root.join("away")));
    symlink("../../../../../../../../dev/zero", root.join("up"))?;
    let zeros = File::open(root.join("up")).and_then(|mut file| file.read(&mut [1; 4]));
    show("up and out of the folder", zeros);
    symlink("nowhere", root.join("broken"))?;
    show("broken", fs::read(root.join("broken")));
    show("made through a broken link", fs::write(root.join("broken"), "x"));
    symlink("loop", root.join("loop"))?;
    show("loop", fs::read(root.join("loop")));
    show("canonical", fs::canonicalize(root.join("config")).map(|path| path.ends_with("links/v2/config")));
    list(root)
}

fn sparse(root: &Path) -> io::Result<()> {
    let file = OpenOptions::new().read(true).write(true).create_new(true).open(root)?;
    file.write_all_at(b"end", 10 << 20)?;
    let found = file.metadata()?;
    println!("{} bytes, sparse: {}", found.len(), found.blocks() * 512 < found.len());
    let mut bytes = [1; 64];
    file.read_exact_at(&mut bytes, 5 << 20)?;
    println!("zeros: {}", bytes == [0; 64]);
    let descriptor = std::os::fd::AsRawFd::as_raw_fd(&file);
    // SAFETY: lseek(2) takes numbers.
    let data = unsafe { libc::lseek(descriptor, 0, libc::SEEK_DATA) };
    println!("data near the end: {}", data > 9 << 20);
    let mode = libc::FALLOC_FL_PUNCH_HOLE | libc::FALLOC_FL_KEEP_SIZE;
    // SAFETY: fallocate(2) takes numbers.
    let punched = unsafe { libc::fallocate(descriptor, mode, 10 << 20, 2) };
    file.read_exact_at(&mut bytes[..3], 10 << 20)?;
    println!("punched {punched}: {:?}", &bytes[..3]);
    Ok(())
}

fn locks(root: &Path) -> io::Result<()> {
    let (one, other) = (File::create(root)?, File::open(root)?);
    one.lock()?;
    println!("second lock: {:?}", other.try_lock().is_err());
    one.unlock()?;
    println!("after unlock: {:?}", other.try_lock_shared().is_ok());
    println!("over shared: {:?}", one.try_lock().is_err());
    drop(other);
    println!("after close: {:?}", one.try_lock().is_ok());
    let third = File::open(root)?;
    let waiter = std::thread::spawn(move || third.lock());
    std::thread::sleep(Duration::from_millis(20));
    drop(one);
    println!("waited: {:?}", waiter.join().expect("no panic").is_ok());
    Ok(())
}

fn working_directory(root: &Path) -> io::Result<()> {
    fs::create_dir_all(root.join("below"))?;
    env::set_current_dir(root.join("below/../below"))?;
    println!("here: {}", env::current_dir()?.ends_with("here/below"));
    fs::write("file", "relative")?;
    show("relative", fs::read_to_string("../below/./file"));
    show("above", fs::metadata("../../files").map(|found| found.is_dir()));
    env::set_current_dir("..")?;
    println!("up: {}", env::current_dir()?.ends_with("here"));
    show("from up", fs::read_to_string("below/file"));
    let open = File::open("below/file")?;
    fs::remove_file("below/file")?;
    let mut text = String::new();
    show("removed, but open", (&open).read_to_string(&mut text).map(|_| text));
    env::set_current_dir("/")
}

fn removal(root: &Path) -> io::Result<()> {
    fs::create_dir(root)?;
    for number in 0..3000 {
        fs::write(root.join(format!("file {number}")), "")?;
    }
    fs::create_dir_all(root.join("a/b/c"))?;
    symlink("../files", root.join("a/link"))?;
    let mut seen = 0;
    for entry in fs::read_dir(root)? {
        let entry = entry?;
        if entry.file_type()?.is_file() {
            fs::remove_file(entry.path())?;
            seen += 1;
        }
    }
    println!("{seen} seen and removed");
    list(root)?;
    fs::remove_dir_all(root)?;
    println!("gone: {}", !root.exists() && root.with_file_name("files").exists());
    Ok(())
}

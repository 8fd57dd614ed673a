//! Uses std::fs as programs do, on whatever file system it finds below the temporary directory.

use std::fs::{self, File, OpenOptions};
use std::io::{self, ErrorKind, Read, Seek, SeekFrom, Write};

fn main() -> io::Result<()> {
    let root = std::env::temp_dir().join(format!("husk-files-{}", std::process::id()));
    fs::create_dir_all(root.join("a/b/c"))?;
    let path = root.join("a/file");
    let mut file = OpenOptions::new().read(true).write(true).create_new(true).open(&path)?;
    file.write_all(b"hello, files")?;
    file.seek(SeekFrom::Start(7))?;
    let mut text = String::new();
    file.read_to_string(&mut text)?;
    assert_eq!(text, "files");
    assert_eq!(file.metadata()?.len(), 12);
    assert_eq!(File::create_new(&path).map_err(|error| error.kind()).err(), Some(ErrorKind::AlreadyExists));

    OpenOptions::new().append(true).open(&path)?.write_all(b"!")?;
    assert_eq!(fs::read(&path)?, b"hello, files!");
    file.set_len(5)?;
    assert_eq!(fs::read_to_string(&path)?, "hello");

    let renamed = root.join("a/b/renamed");
    fs::rename(&path, &renamed)?;
    assert_eq!(fs::metadata(&path).map_err(|error| error.kind()).err(), Some(ErrorKind::NotFound));
    assert_eq!(fs::copy(&renamed, root.join("copy"))?, 5);
    fs::hard_link(&renamed, root.join("link"))?;
    std::os::unix::fs::symlink("a/b/renamed", root.join("symlink"))?;
    assert_eq!(fs::read_to_string(root.join("symlink"))?, "hello");
    assert_eq!(fs::canonicalize(root.join("a/../symlink"))?, fs::canonicalize(&renamed)?);

    let mut names: Vec<_> =
        fs::read_dir(&root)?.map(|entry| entry.map(|entry| entry.file_name())).collect::<Result<_, _>>()?;
    names.sort();
    assert_eq!(names, ["a", "copy", "link", "symlink"]);
    assert!(fs::metadata(root.join("a"))?.is_dir());
    assert!(fs::symlink_metadata(root.join("symlink"))?.is_symlink());
    assert!(fs::metadata(&renamed)?.modified()?.elapsed().is_ok());
    assert_eq!(fs::remove_dir(root.join("a")).map_err(|error| error.kind()).err(), Some(ErrorKind::DirectoryNotEmpty));
    fs::remove_file(&renamed)?;
    assert_eq!(fs::read_to_string(root.join("link"))?, "hello", "the other name keeps the file");
    fs::remove_dir_all(&root)?;
    assert!(!root.exists());
    println!("files work");
    Ok(())
}

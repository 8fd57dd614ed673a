//! `docs/system-calls.md` says what the table of system calls says.
//!
//! `HUSK_WRITE_DOCS=1 cargo test -p husk-libos --test system_calls` writes it anew.

use husk_libos::syscalls::table::{CALLS, Call, Mark};
use std::{env, fs};

/// The document, from here.
const PATH: &str = concat!(env!("CARGO_MANIFEST_DIR"), "/../docs/system-calls.md");

/// Section about mappings, which does not fit into the table.
const MAPPINGS: &str = "\
## Mappings of files

A regular file in memory, one of `memfd_create`, `shm_open` or `sem_open` included, has one place in the guest's addresses from its
first shared mapping on. The pages there are the file: all mappings, read(2) and write(2) use them, and msync(2) and fsync(2) have
nothing to do. What differs from Linux:

- A page has one address. So MAP_FIXED elsewhere is EINVAL, and mapping other memory over a mapping ENOMEM.
- A page has one set of rights, those of all its mappings together; from the first write(2) to a mapped file on, what may be read may
  be written there.
- Bytes behind the end of a file can be accessed, also after ftruncate(2) below a mapping: they read as zeros, and what is written
  there is not kept. Linux raises SIGBUS.
- A file gets addresses for eight times its size, at least 4 MiB; if it outgrows them while it is mapped, mmap and mremap fail with
  ENOMEM. All files together have those of the sparse region: 4 GiB, or eight times the guest's memory.
- A file that came with the image and is mapped through a descriptor for reading cannot be changed meanwhile (ETXTBSY). Other
  private mappings are copies of what the file holds when it is mapped.
- Memory that a program touches through a mapping does not count in `st_blocks`. If there is none left, the guest ends, as a
  program on Linux gets SIGBUS on a full tmpfs.
- A disk cannot be mapped (ENODEV), nor can files of `/proc` and `/sys` with MAP_SHARED. Of files on mounted disks, see also
  [disks](disks.md#mapped-files); of folders of the host, see [files](files.md).
";

/// Section about what random sequences of calls show.
const COMPARED: &str = "\
## Compared with Linux

tests/tests/differential.rs carries out random sequences of calls on files and names, on pipes and pairs of sockets, on epoll, on
memory, and on signals and timers, natively and in a guest, and compares all results. What it leaves out, because it differs:

- An address of the program that cannot be read or written, given to a call, ends the guest as the program's own access would. Linux
  answers EFAULT, as the libos does for addresses outside the program's.
- mremap(2) of a range of several mappings or with holes, and madvise(2) of one with holes.
- A pipe holds 65,536 bytes, however they were written. On Linux small writes fill it earlier.
- Real-time signals, and signals sent to the program and to a thread: each waits once.

What differs from Linux to Linux is left out, too: more than 8 bytes written to an eventfd, the error of FIONREAD where there is no
count, and whether a message without bytes that nobody has read counts when a socket is closed.
";

/// The variable that has it written.
const WRITE: &str = "HUSK_WRITE_DOCS";

#[test]
fn the_document_says_what_the_table_says() {
    let text = document();
    if env::var_os(WRITE).is_some() {
        fs::write(PATH, &text).expect("the document can be written");
    }
    let written = fs::read_to_string(PATH).unwrap_or_default();
    let differs = text.lines().zip(written.lines()).find(|(now, written)| now != written);
    assert!(
        text == written,
        "docs/system-calls.md is out of date, first at {differs:?}: \
         run {WRITE}=1 cargo test -p husk-libos --test system_calls"
    );
}

fn document() -> String {
    let mut calls: Vec<_> = CALLS.iter().collect();
    calls.sort_by_key(|call| name(call));
    let (mut answered, mut partial, mut refused) = (Vec::new(), String::new(), String::new());
    for call in &calls {
        let (name, note) = (name(call), call.note);
        match call.mark {
            Mark::Answered => answered.push(format!("`{name}`")),
            Mark::Partial => partial += &format!("| `{name}` | {note} |\n"),
            Mark::Refused(errno) => refused += &format!("| `{name}` | {} | {note} |\n", errno.name()),
        }
    }
    format!(
        "# System calls\n\n\
         What the libos answers of Linux's system calls, inside the guest. Made from `libos/src/syscalls/table.rs` by\n\
         `{WRITE}=1 cargo test -p husk-libos --test system_calls`; do not edit.\n\n\
         {} calls are known. Any other answers ENOSYS, and `husk run --verbose` names it.\n\n\
         ## Answered as on Linux\n\n{}\n\n\
         ## Answered in part\n\n| call | what differs |\n|---|---|\n{partial}\n\
         ## Refused\n\n| call | error | why |\n|---|---|---|\n{refused}\n{MAPPINGS}\n{COMPARED}",
        calls.len(),
        wrapped(&answered)
    )
}

fn name(call: &Call) -> &'static str {
    call.name.trim_start_matches("__NR_")
}

/// Words with commas between them, in lines that a person can read.
fn wrapped(words: &[String]) -> String {
    let mut text = String::new();
    let mut width = 0;
    for (index, word) in words.iter().enumerate() {
        let separator = match index {
            0 => "",
            _ if width + word.len() > 110 => ",\n",
            _ => ", ",
        };
        width = if separator.ends_with('\n') { 0 } else { width + separator.len() } + word.len();
        text += separator;
        text += word;
    }
    text
}

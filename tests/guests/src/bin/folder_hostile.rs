//! Asks a folder for what lies beside it, as a program can that goes past its libos, and prints the errors. With an argument, it
//! breaks the contract of the folder's queue in that way.

#![no_std]
#![no_main]

use core::arch::global_asm;
use guests::word;
use husk::abi::folder::{self, Answer, Message, OPEN, ROOT, Request, UNLINK, VERSION, WRITE};
use husk::abi::note;
use husk::abi::ring::Descriptor;
use husk::folder::Folder;
use husk::{boot, clock};

husk::entry!(main);

// The note by which an image says that it can use folders.
global_asm!(
    ".pushsection .note.husk, \"a\", @note",
    ".balign 4",
    ".long {length}, 4, {folders}",
    ".asciz \"Husk\"",
    ".balign 4",
    ".long {version}",
    ".popsection",
    length = const note::NAME.len() + 1,
    folders = const note::FOLDERS,
    version = const VERSION,
);

/// Asks for something about the file at a path, and returns the answer.
fn ask(folder: &mut Folder, operation: u16, request: Request, path: &mut [u8]) -> Answer {
    let names = [path.len() as u32, 0];
    let mut message = Message { request: Request { names, ..request }, ..Message::default() };
    let part =
        |address: u64, length: usize| Descriptor { address, length: length as u32, operation, ..Descriptor::default() };
    let parts = [part((&raw mut message) as u64, size_of::<Message>()), part(path.as_mut_ptr() as u64, path.len())];
    let parts = if path.is_empty() { &parts[..1] } else { &parts[..] };
    // SAFETY: the memory is not accessed before the completion.
    unsafe { folder.submit(parts) };
    folder.publish();
    while folder.completed().is_none() {}
    // SAFETY: the message is a local variable, and any bytes are a valid one.
    unsafe { (&raw const message).read_volatile() }.answer
}

fn main() {
    let mut folder = Folder::open("files:0").expect("a folder");
    if boot::arguments().nth(1).is_some() {
        break_queue(&mut folder, word(1));
    }
    let root = Request { handle: ROOT, flags: 2, ..Request::default() };
    for path in ["../secret", "up", "deep/../../secret", "/etc/passwd", "pipe", "deep\0"] {
        let mut bytes = [0; 32];
        let name = &mut bytes[..path.len()];
        name.copy_from_slice(path.as_bytes());
        let opened = ask(&mut folder, OPEN, root, name).error;
        let removed = ask(&mut folder, UNLINK, Request { handle: ROOT, ..Request::default() }, name).error;
        husk::println!("{}: {opened} {removed}", path.trim_end_matches('\0'));
    }
    let unknown = ask(&mut folder, WRITE, Request { handle: 7, ..Request::default() }, &mut []).error;
    husk::println!("a handle of its own making: {unknown}");
    let mut count = 0;
    while ask(&mut folder, OPEN, Request { handle: ROOT, ..Request::default() }, &mut [b'.']).error == 0 {
        count += 1;
    }
    husk::println!("handles: {}", count == folder::HANDLES_MAXIMUM);
}

fn break_queue(folder: &mut Folder, how: &str) {
    let address = boot::info().heap.start + (1 << 20);
    let length = size_of::<Message>() as u32;
    let message = Descriptor { address, length, operation: OPEN, ..Descriptor::default() };
    let request = match how {
        "operation" => Descriptor { operation: 99, ..message },
        "short" => Descriptor { length: length - 1, ..message },
        "outside" => Descriptor { address: 0xdead_0000_0000, ..message },
        "tender" => Descriptor { address: boot::info().libos_stack.end(), ..message },
        other => panic!("'{other}' is no way to break a queue"),
    };
    // SAFETY: nothing else uses that memory.
    unsafe { folder.submit(&[request]) };
    folder.publish();
    clock::sleep_until(clock::monotonic_ns() + 20_000_000_000);
    husk::println!("survived");
}

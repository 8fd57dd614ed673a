//! Start of the machine with VT-x, by Bochs.

use crate::boot::Disk;
use crate::emulator::{Emulated, Machine};
use std::fs::File;
use std::io::{BufRead, BufReader, Read};
use std::process::{Command, Stdio};
use std::thread;
use std::time::Duration;

/// Starts the machine with VT-x.
pub fn start(disk: &Disk) -> Emulated {
    let file = |extension: &str| disk.image.with_extension(extension);
    let (settings, commands, serial, log) = (file("bochsrc"), file("commands"), file("serial"), file("log"));
    let text = format!(
        "cpu: model=broadwell_ult, ips=100000000, reset_on_triple_fault=0\nmemory: guest=2048, host=2048\n\
         romimage: file=/usr/share/bochs/BIOS-bochs-latest\nvgaromimage: file=/usr/share/bochs/VGABIOS-lgpl-latest\n\
         panic: action=fatal\nata0-master: type=cdrom, path={}, status=inserted\nboot: cdrom\n\
         com1: enabled=1, mode=file, dev={}\nclock: sync=none\ndisplay_library: term\nlog: {}\n",
        disk.image.display(),
        serial.display(),
        log.display(),
    );
    std::fs::write(&settings, text).expect("the target directory is ours");
    // The debugger of Bochs waits for a command before the first instruction.
    std::fs::write(&commands, "c\n").expect("the target directory is ours");
    File::create(&serial).expect("the target directory is ours");
    // Bochs wants a terminal for its display: script(1) makes one, in a session that would outlive it.
    let line =
        format!("exec setpriv --pdeathsig KILL bochs -q -f '{}' -rc '{}'", settings.display(), commands.display());
    let mut script = Command::new("script");
    script.args(["-qfc", &line, "/dev/null"]).env("TERM", "xterm");
    let mut child = script.stdin(Stdio::null()).stdout(Stdio::piped()).spawn().expect("script is there");
    let messages = child.stdout.take().expect("piped");
    thread::spawn(move || watch_screen(BufReader::new(messages)));
    let serial = Growing(File::open(&serial).expect("just made"));
    Emulated::new(Machine::VtX, child, serial, Some(log))
}

/// Reads what Bochs prints, and the terminal that it opens for the machine's screen and names in its messages. Without a reader
/// of that terminal, Bochs stands still as soon as it is full.
fn watch_screen(messages: impl BufRead) {
    for message in messages.split(b'\n').map_while(Result::ok) {
        let message = String::from_utf8_lossy(&message);
        let name = message.split_once("connected to screen \"").and_then(|(_, rest)| rest.split_once('"'));
        if let Some((name, _)) = name {
            let mut screen = File::open(name).expect("Bochs has opened it");
            // The read ends with an error when Bochs does.
            thread::spawn(move || std::io::copy(&mut screen, &mut std::io::sink()));
        }
    }
}

/// File that another process appends to: a reader waits at its end for more.
struct Growing(File);

impl Read for Growing {
    fn read(&mut self, buffer: &mut [u8]) -> std::io::Result<usize> {
        loop {
            match self.0.read(buffer)? {
                0 => thread::sleep(Duration::from_millis(50)),
                count => return Ok(count),
            }
        }
    }
}

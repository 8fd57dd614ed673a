//! The emulated machines: how each is started, and what it prints on its serial line.

use crate::boot::Disk;
use crate::content::find;
use crate::modules::Kernel;
use husk_tests::build;
use std::fmt;
use std::fs::File;
use std::io::{BufRead, BufReader, Read};
use std::path::PathBuf;
use std::process::{Child, Command, Stdio};
use std::sync::mpsc::{self, Receiver};
use std::thread;
use std::time::Duration;

/// A machine with virtualisation of its own.
#[derive(Clone, Copy, Debug, PartialEq, Eq)]
pub enum Machine {
    /// AMD-V with nested paging, by QEMU: two processors.
    AmdV,
    /// VT-x with EPT, by Bochs: one processor, and a tenth of the speed.
    VtX,
}

impl fmt::Display for Machine {
    fn fmt(&self, f: &mut fmt::Formatter<'_>) -> fmt::Result {
        f.write_str(match self {
            Self::AmdV => "AMD-V",
            Self::VtX => "VT-x",
        })
    }
}

/// Where the kernel for the machines is unpacked.
pub fn kernel_folder() -> PathBuf {
    build::target_directory().join("lab/kernel")
}

impl Machine {
    /// A name for files.
    pub const fn name(self) -> &'static str {
        match self {
            Self::AmdV => "amd-v",
            Self::VtX => "vt-x",
        }
    }

    /// Which program or file is missing to have it here, and how to get it.
    pub fn available(self) -> Result<(), String> {
        let (program, package) = match self {
            Self::AmdV => ("qemu-system-x86_64", "qemu-system-x86"),
            Self::VtX => ("bochs", "bochs bochsbios bochs-term vgabios"),
        };
        find(program).ok_or_else(|| format!("there is no {program}: apt-get install {package}"))?;
        crate::boot::available()?;
        let folder = kernel_folder();
        Kernel::find(&folder).ok_or_else(|| {
            format!(
                "there is no kernel in {}: `apt-get download` the linux-image-…-amd64-unsigned that `apt-cache search` lists, \
                 and unpack it there with `dpkg -x`",
                folder.display()
            )
        })?;
        Ok(())
    }

    /// The tender for it.
    pub fn husk(self) -> PathBuf {
        match self {
            Self::AmdV => build::husk_for_qemu(),
            Self::VtX => build::husk().to_owned(),
        }
    }

    /// The tender for it that attacks.
    pub fn attacking_husk(self) -> PathBuf {
        match self {
            Self::AmdV => build::attacking_husk_for_qemu(),
            Self::VtX => build::attacking_husk().to_owned(),
        }
    }

    /// Variables of the shell that the first process reads.
    pub fn settings(self) -> String {
        let (at_once, slow) = match self {
            Self::AmdV => (2, 10),
            Self::VtX => (1, 30),
        };
        format!("AT_ONCE={at_once}\nHUSK_SLOW={slow}\n")
    }

    /// Parameters of the kernel. The emulators have no flaws to be mitigated, and a counter that can be relied on.
    pub const fn kernel_line(self) -> &'static str {
        "console=ttyS0 quiet panic=-1 nokaslr tsc=reliable mitigations=off"
    }

    /// The longest that it may print nothing, a test that is about to be ended included.
    pub const fn silence(self) -> Duration {
        match self {
            Self::AmdV => Duration::from_secs(240),
            Self::VtX => Duration::from_secs(600),
        }
    }

    /// Starts it.
    pub fn start(self, disk: &Disk) -> Emulated {
        match self {
            Self::AmdV => self.qemu(disk),
            Self::VtX => self.bochs(disk),
        }
    }

    fn qemu(self, disk: &Disk) -> Emulated {
        let mut qemu = Command::new("qemu-system-x86_64");
        // One thread runs both processors in turns. With a thread each, a busy host had both stand at a lock of the other for
        // minutes, and got nothing done but timer interrupts.
        qemu.args(["-accel", "tcg,thread=single", "-cpu", "max,+svm,+npt", "-smp", "2", "-m", "6144"]);
        qemu.args(["-nodefaults", "-display", "none", "-no-reboot", "-serial", "stdio"]);
        qemu.arg("-kernel").arg(&disk.kernel).arg("-initrd").arg(&disk.initramfs).args(["-append", self.kernel_line()]);
        qemu.arg("-drive").arg(format!("file={},if=virtio,format=raw,readonly=on", disk.image.display()));
        let mut child = qemu.stdin(Stdio::null()).stdout(Stdio::piped()).spawn().expect("it was found before");
        let serial = child.stdout.take().expect("piped");
        Emulated { machine: self, child, lines: lines(serial) }
    }

    fn bochs(self, disk: &Disk) -> Emulated {
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
        // Its debugger waits for a command before the first instruction.
        std::fs::write(&commands, "c\n").expect("the target directory is ours");
        File::create(&serial).expect("the target directory is ours");
        // It wants a terminal for its display: script(1) makes one.
        let line = format!("exec bochs -q -f '{}' -rc '{}'", settings.display(), commands.display());
        let mut script = Command::new("script");
        script.args(["-qfc", &line, "/dev/null"]).env("TERM", "xterm");
        let child = script.stdin(Stdio::null()).stdout(Stdio::null()).spawn().expect("script is there");
        Emulated { machine: self, child, lines: lines(Growing(File::open(&serial).expect("just made"))) }
    }
}

/// A machine that runs. It ends with this.
#[derive(Debug)]
pub struct Emulated {
    /// Which.
    pub machine: Machine,
    child: Child,
    lines: Receiver<String>,
}

impl Emulated {
    /// The next line of its console; nothing if there is none for too long, or no more.
    pub fn line(&mut self) -> Option<String> {
        self.lines.recv_timeout(self.machine.silence()).ok()
    }
}

impl Drop for Emulated {
    fn drop(&mut self) {
        // Neither has anything to do if it has ended.
        let _ = self.child.kill();
        let _ = self.child.wait();
    }
}

/// Reads lines in a thread of its own, which ends with the stream or when they are not wanted any more.
fn lines(stream: impl Read + Send + 'static) -> Receiver<String> {
    let (sender, receiver) = mpsc::channel();
    thread::spawn(move || {
        let mut stream = BufReader::new(stream);
        let mut bytes = vec![];
        while let Ok(1..) = stream.read_until(b'\n', &mut bytes) {
            if sender.send(String::from_utf8_lossy(&bytes).trim_end().to_owned()).is_err() {
                return;
            }
            bytes.clear();
        }
    });
    receiver
}

/// A file that another process writes: its end is where more comes later.
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

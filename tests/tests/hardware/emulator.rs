//! Emulated machines: start and serial output of each.

use crate::bochs;
use crate::boot::Disk;
use crate::content::find;
use crate::modules::Kernel;
use husk_tests::build;
use std::fmt;
use std::io::{BufRead, BufReader, Read};
use std::path::PathBuf;
use std::process::{Child, Command, Stdio};
use std::sync::mpsc::{self, Receiver, RecvTimeoutError};
use std::thread;
use std::time::{Duration, Instant};

/// Machine with hardware virtualisation.
#[derive(Clone, Copy, Debug, PartialEq, Eq)]
pub enum Machine {
    /// AMD-V with nested paging, by QEMU: two processors.
    AmdV,
    /// AMD-V with nested paging, by QEMU, without XSAVE, and so without AVX.
    NoXsave,
    /// VT-x with EPT, by Bochs: one processor, and a tenth of the speed.
    VtX,
}

impl fmt::Display for Machine {
    fn fmt(&self, f: &mut fmt::Formatter<'_>) -> fmt::Result {
        f.write_str(match self {
            Self::AmdV => "AMD-V",
            Self::NoXsave => "AMD-V without XSAVE",
            Self::VtX => "VT-x",
        })
    }
}

/// Folder in which the kernel for the machines is unpacked.
pub fn kernel_folder() -> PathBuf {
    build::target_directory().join("lab/kernel")
}

impl Machine {
    /// Name for files.
    pub const fn name(self) -> &'static str {
        match self {
            Self::AmdV => "amd-v",
            Self::NoXsave => "no-xsave",
            Self::VtX => "vt-x",
        }
    }

    /// Returns an error if a program or file that the machine takes is missing: its name, and how to install it.
    pub fn available(self) -> Result<(), String> {
        let (program, package) = match self {
            Self::AmdV | Self::NoXsave => ("qemu-system-x86_64", "qemu-system-x86"),
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

    /// Path of the tender for the machine.
    pub fn husk(self) -> PathBuf {
        match self {
            Self::AmdV | Self::NoXsave => build::husk_for_qemu(),
            Self::VtX => build::husk().to_owned(),
        }
    }

    /// Path of the attacking tender for the machine.
    pub fn attacking_husk(self) -> PathBuf {
        match self {
            Self::AmdV | Self::NoXsave => build::attacking_husk_for_qemu(),
            Self::VtX => build::attacking_husk().to_owned(),
        }
    }

    /// Shell variables that the first process reads.
    pub fn settings(self) -> String {
        let (at_once, slow) = match self {
            Self::AmdV | Self::NoXsave => (2, 10),
            Self::VtX => (1, 30),
        };
        format!("AT_ONCE={at_once}\nHUSK_SLOW={slow}\n")
    }

    /// Command line of the kernel. Emulators have no hardware flaws to mitigate, and a reliable time stamp counter.
    pub const fn kernel_line(self) -> &'static str {
        "console=ttyS0 quiet panic=-1 nokaslr tsc=reliable mitigations=off"
    }

    /// Longest time without a line of the first process, which prints one every 20 s of the machine's clock.
    pub const fn silence(self) -> Duration {
        match self {
            Self::AmdV | Self::NoXsave => Duration::from_secs(240),
            Self::VtX => Duration::from_secs(600),
        }
    }

    /// Starts the machine.
    pub fn start(self, disk: &Disk) -> Emulated {
        match self {
            Self::AmdV => self.qemu("max,+svm,+npt", disk),
            Self::NoXsave => self.qemu("max,+svm,+npt,-xsave", disk),
            Self::VtX => bochs::start(disk),
        }
    }

    fn qemu(self, processor: &str, disk: &Disk) -> Emulated {
        let mut qemu = Command::new("qemu-system-x86_64");
        // One thread runs both processors in turns. With a thread each, both waited for a lock of the other for minutes on a
        // busy host, and handled nothing but timer interrupts.
        qemu.args(["-accel", "tcg,thread=single", "-cpu", processor, "-smp", "2", "-m", "6144"]);
        qemu.args(["-nodefaults", "-display", "none", "-no-reboot", "-serial", "stdio"]);
        qemu.arg("-kernel").arg(&disk.kernel).arg("-initrd").arg(&disk.initramfs).args(["-append", self.kernel_line()]);
        qemu.arg("-drive").arg(format!("file={},if=virtio,format=raw,readonly=on", disk.image.display()));
        let mut child = qemu.stdin(Stdio::null()).stdout(Stdio::piped()).spawn().expect("it was found before");
        let serial = child.stdout.take().expect("piped");
        Emulated::new(self, child, serial, None)
    }
}

/// Running machine, which is ended when this is dropped.
#[derive(Debug)]
pub struct Emulated {
    /// Kind of the machine.
    pub machine: Machine,
    process: Process,
    lines: Receiver<String>,
    /// Log file of the emulator itself, if it writes one.
    log: Option<PathBuf>,
    silence: Duration,
    /// Time of the last line of the first process.
    heard: Instant,
}

impl Emulated {
    /// Takes an emulator that was started: its process, console, and log file.
    pub fn new(machine: Machine, child: Child, serial: impl Read + Send + 'static, log: Option<PathBuf>) -> Self {
        let (silence, heard) = (machine.silence(), Instant::now());
        Self { machine, process: Process(child), lines: lines(serial), log, silence, heard }
    }

    /// Returns the next line of the console; `None` if none was of the first process for too long, or the emulator has ended. A
    /// kernel that prints only warnings makes no progress either.
    pub fn line(&mut self) -> Option<String> {
        /// Time between two checks for the emulator's end.
        const LOOK: Duration = Duration::from_secs(1);
        loop {
            let left = self.silence.checked_sub(self.heard.elapsed())?;
            let has_ended = self.process.has_ended();
            match self.lines.recv_timeout(left.min(LOOK)) {
                Ok(line) => {
                    if line.starts_with('@') {
                        self.heard = Instant::now();
                    }
                    return Some(line);
                }
                Err(_) if has_ended => return None,
                Err(RecvTimeoutError::Disconnected) => thread::sleep(LOOK),
                Err(RecvTimeoutError::Timeout) => {}
            }
        }
    }

    /// Returns the last lines of the emulator's own log.
    pub fn log(&self) -> String {
        const LINES: usize = 10;
        let text = self.log.as_ref().and_then(|log| std::fs::read(log).ok()).unwrap_or_default();
        let text = String::from_utf8_lossy(&text).into_owned();
        let lines: Vec<&str> = text.lines().collect();
        lines[lines.len().saturating_sub(LINES)..].join("\n")
    }
}

/// Process of an emulator, killed when this is dropped.
#[derive(Debug)]
struct Process(Child);

impl Process {
    fn has_ended(&mut self) -> bool {
        !matches!(self.0.try_wait(), Ok(None))
    }
}

impl Drop for Process {
    fn drop(&mut self) {
        // Both have no effect if the process has ended.
        let _ = self.0.kill();
        let _ = self.0.wait();
    }
}

/// Reads lines in a thread of its own, which ends with the stream or when the receiver is dropped.
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

#[cfg(test)]
mod tests {
    use super::*;
    use crate::console::Summary;

    /// Machine with the output of a shell script as its console.
    fn machine(script: &str) -> Emulated {
        let mut child =
            Command::new("sh").args(["-c", script]).stdout(Stdio::piped()).spawn().expect("there is a shell");
        let serial = child.stdout.take().expect("piped");
        Emulated { silence: Duration::from_secs(2), ..Emulated::new(Machine::AmdV, child, serial, None) }
    }

    fn followed(script: &str) -> String {
        let mut summary = Summary::default();
        summary.follow(machine(script));
        assert!(!summary.is_done());
        summary.to_string()
    }

    #[test]
    fn a_machine_that_stands_still_is_ended_and_says_what_it_did() {
        let text = followed("echo '@start ring3::hlt'; echo 'the last words'; exec sleep 600");
        assert!(text.contains("ring3::hlt, for ") && text.contains("\n  the last words"), "{text}");
    }

    #[test]
    fn a_machine_that_only_complains_stands_still() {
        let text = followed("echo '@start ring3::hlt'; while :; do echo 'soft lockup'; sleep 0.1; done");
        assert!(text.contains("ring3::hlt, for ") && text.contains("\n  soft lockup"), "{text}");
    }

    #[test]
    fn an_emulator_that_ends_is_not_waited_for() {
        let started = Instant::now();
        let mut machine = machine("echo '@ready'; echo 'goodbye'");
        machine.silence = Duration::from_secs(600);
        let mut summary = Summary::default();
        summary.follow(machine);
        assert!(!summary.is_done() && started.elapsed() < Duration::from_secs(300));
        assert!(summary.to_string().contains("\n  goodbye"), "{summary}");
    }
}

//! A terminal of the test's own (pty(7)), with a process in its foreground.

#![expect(unsafe_code, reason = "pseudoterminals have no other interface")]

use crate::bounded;
use std::fs::File;
use std::io::{ErrorKind, Read, Write};
use std::os::fd::{AsRawFd, FromRawFd};
use std::os::unix::process::CommandExt;
use std::process::{Child, Command, ExitStatus};
use std::time::{Duration, Instant};

/// A process on a terminal.
#[derive(Debug)]
pub struct OnTerminal {
    child: Child,
    /// The end of the person.
    person: File,
    /// The end of the process, which stays open so that its modes can be looked at.
    process: File,
    printed: String,
}

/// Size of the window at the start: rows and columns.
pub const WINDOW: [u16; 2] = [24, 80];

impl OnTerminal {
    /// Starts a process in the foreground of a new terminal, which is all of its standard streams.
    pub fn start(mut command: Command) -> Self {
        let (mut person, mut process) = (0, 0);
        let size = libc::winsize { ws_row: WINDOW[0], ws_col: WINDOW[1], ws_xpixel: 0, ws_ypixel: 0 };
        // SAFETY: the numbers are variables of ours; there is no name, and modes are the usual ones.
        let opened = unsafe {
            libc::openpty(
                &mut person,
                &mut process,
                std::ptr::null_mut(),
                std::ptr::null_mut(),
                (&raw const size).cast_mut(),
            )
        };
        assert_eq!(opened, 0, "{}", std::io::Error::last_os_error());
        // SAFETY: openpty(3) has opened both for us.
        let [person, process] = [person, process].map(|number| unsafe { File::from_raw_fd(number) });
        let stream = || process.try_clone().expect("a descriptor");
        command.stdin(stream()).stdout(stream()).stderr(stream());
        // SAFETY: the function makes two system calls, and uses no memory.
        unsafe { command.pre_exec(take_terminal) };
        // SAFETY: numbers only.
        unsafe { libc::fcntl(person.as_raw_fd(), libc::F_SETFL, libc::O_NONBLOCK) };
        Self { child: command.spawn().expect("it starts"), person, process, printed: String::new() }
    }

    /// Waits until the process has printed this.
    #[track_caller]
    pub fn expect(&mut self, text: &str) -> &mut Self {
        let (start, patience) = (Instant::now(), bounded::patience(Duration::from_secs(20)));
        while !self.printed.contains(text) {
            assert!(start.elapsed() < patience, "'{text}' was not printed, but: {}", self.printed);
            if !self.take() {
                std::thread::sleep(Duration::from_millis(2));
            }
        }
        self
    }

    /// Returns true if the process has printed this.
    pub fn has_printed(&mut self, text: &str) -> bool {
        self.take();
        self.printed.contains(text)
    }

    /// Takes what has been printed. Returns true if there was something.
    fn take(&mut self) -> bool {
        let mut bytes = [0; 4096];
        match self.person.read(&mut bytes) {
            Ok(count) => {
                self.printed.push_str(&String::from_utf8_lossy(&bytes[..count]));
                count > 0
            }
            Err(error) => {
                assert_eq!(error.kind(), ErrorKind::WouldBlock, "{error}");
                false
            }
        }
    }

    /// Types keys.
    pub fn press(&mut self, keys: &[u8]) -> &mut Self {
        self.person.write_all(keys).expect("there is room");
        self
    }

    /// Changes the size of the window.
    pub fn resize(&mut self, [rows, columns]: [u16; 2]) -> &mut Self {
        let size = libc::winsize { ws_row: rows, ws_col: columns, ws_xpixel: 0, ws_ypixel: 0 };
        // SAFETY: a variable of ours, of the type that the request is for.
        assert_eq!(unsafe { libc::ioctl(self.person.as_raw_fd(), libc::TIOCSWINSZ, &size) }, 0);
        self
    }

    /// The process's number.
    pub fn id(&self) -> u32 {
        self.child.id()
    }

    /// Modes of input and of lines (termios(3)).
    pub fn modes(&self) -> [u32; 4] {
        // SAFETY: all zeros is a valid value.
        let mut modes: libc::termios = unsafe { std::mem::zeroed() };
        // SAFETY: a variable of ours.
        assert_eq!(unsafe { libc::tcgetattr(self.process.as_raw_fd(), &mut modes) }, 0);
        [modes.c_iflag, modes.c_oflag, modes.c_cflag, modes.c_lflag]
    }

    /// Waits for the end. Returns the status and all that was printed.
    pub fn finish(&mut self) -> (ExitStatus, String) {
        let (start, patience) = (Instant::now(), bounded::patience(Duration::from_secs(20)));
        loop {
            self.take();
            if let Some(status) = self.child.try_wait().expect("our own child") {
                while self.take() {}
                return (status, std::mem::take(&mut self.printed));
            }
            assert!(start.elapsed() < patience, "it does not end: {}", self.printed);
            std::thread::sleep(Duration::from_millis(2));
        }
    }
}

/// Makes standard input the terminal of a new group of processes, in the foreground.
fn take_terminal() -> std::io::Result<()> {
    // SAFETY: no argument.
    unsafe { libc::setsid() };
    // SAFETY: numbers only.
    unsafe { libc::ioctl(0, libc::TIOCSCTTY, 0) };
    Ok(())
}

impl Drop for OnTerminal {
    fn drop(&mut self) {
        // It may have ended.
        let _ = self.child.kill();
        let _ = self.child.wait();
    }
}

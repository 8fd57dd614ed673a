//! Standard streams as the guest sees them: their kinds, and calls about a terminal or a file behind one.

use super::fault::Fault;
use super::guest::{Answer, Guest};
use crate::confine::calls::{self, Feature};
use crate::confine::{Descriptors, Role};
use crate::devices::console;
use crate::host::terminal;
use husk_abi::call::Status;
use husk_abi::memory::Rights;
use husk_abi::stream::{MODES_SIZE, Stream, kind, request};
use std::io;

/// The standard streams of a guest.
#[derive(Clone, Copy, Debug, Default, PartialEq, Eq)]
pub struct Streams(pub [Stream; 3]);

impl Streams {
    /// Returns the streams of this process, for a console with these options. The guest is not told of a terminal that it must not
    /// control, nor of a file to which its output goes escaped.
    pub fn of_process(options: console::Options) -> Self {
        if options.escaped { Self::default() } else { Self(terminal::streams()) }
    }

    fn leads_to(&self, stream: u64, kind: u32) -> bool {
        usize::try_from(stream).ok().and_then(|stream| self.0.get(stream)).is_some_and(|stream| stream.kind == kind)
    }

    /// System calls that answers about the streams take.
    pub fn features(&self) -> impl Iterator<Item = &'static Feature> {
        let has_terminal = self.0.iter().any(|stream| stream.kind == kind::TERMINAL);
        let has_file = self.leads_to(0, kind::REGULAR);
        has_terminal.then_some(&calls::TERMINAL).into_iter().chain(has_file.then_some(&calls::INPUT_FILE))
    }

    /// Notes which streams are terminals.
    pub fn list(&self, descriptors: &mut Descriptors) {
        for (descriptor, stream) in (0..).zip(&self.0) {
            if stream.kind == kind::TERMINAL {
                descriptors.add(Role::Terminal, &Standard(descriptor));
            }
        }
    }
}

/// Standard stream by its number.
struct Standard(libc::c_int);

impl std::os::fd::AsRawFd for Standard {
    fn as_raw_fd(&self) -> std::os::fd::RawFd {
        self.0
    }
}

impl Guest {
    /// Makes a request to the terminal behind a stream.
    pub(super) fn terminal(&self, [stream, number, address, length]: [u64; 4]) -> Result<Answer, Fault> {
        if !self.streams.leads_to(stream, kind::TERMINAL) {
            return Ok(Err(Status::Invalid));
        }
        let descriptor = stream as libc::c_int;
        let result = match number {
            request::WINDOW => terminal::window(descriptor).map(|window| window.encode()),
            request::FLUSH if address <= 2 => terminal::flush(descriptor, address as libc::c_int).map(|()| 0),
            request::GET if length == MODES_SIZE => {
                let into = self.claim(address, length, Rights::READ | Rights::WRITE)?;
                match terminal::modes(descriptor) {
                    Ok(modes) if into.is_some_and(|into| !self.memory.put(into, &modes)) => {
                        return Ok(Err(Status::InputOutput));
                    }
                    result => result.map(|_| 0),
                }
            }
            request::SET | request::SET_DRAINED | request::SET_FLUSHED if length == MODES_SIZE => {
                self.claim(address, length, Rights::READ)?;
                let bytes = self.memory.bytes(crate::memory::Claim { address, length });
                let Some(modes) = bytes.and_then(|bytes| bytes.try_into().ok()) else {
                    return Ok(Err(Status::InputOutput));
                };
                let how = match number {
                    request::SET => terminal::SET,
                    request::SET_DRAINED => terminal::SET_DRAINED,
                    _ => terminal::SET_FLUSHED,
                };
                terminal::set_modes(descriptor, how, modes).map(|()| 0)
            }
            _ => return Ok(Err(Status::Invalid)),
        };
        Ok(result.map_err(|error| status(&error)))
    }

    /// Moves the offset of standard input.
    pub(super) fn input_seek(&self, offset: u64, whence: u64) -> Answer {
        if !self.streams.leads_to(0, kind::REGULAR) || whence > 2 {
            return Err(Status::Invalid);
        }
        terminal::seek(0, offset as i64, whence as libc::c_int).map_err(|error| status(&error))
    }
}

fn status(error: &io::Error) -> Status {
    match error.kind() {
        io::ErrorKind::Interrupted => Status::Interrupted,
        io::ErrorKind::InvalidInput => Status::Invalid,
        _ => Status::InputOutput,
    }
}

#[cfg(test)]
mod tests {
    use super::*;

    #[test]
    fn streams_have_the_calls_that_their_kinds_take_and_no_other() {
        let names = |streams: Streams| streams.features().map(|feature| feature.name).collect::<Vec<_>>();
        let of = |kind| Stream { kind, ..Stream::default() };
        assert_eq!(names(Streams::default()), [""; 0]);
        assert_eq!(names(Streams([of(kind::PIPE), of(kind::REGULAR), of(kind::SOCKET)])), [""; 0]);
        assert_eq!(names(Streams([of(kind::REGULAR), of(kind::TERMINAL), of(9)])), ["terminal", "input from a file"]);
        let mut descriptors = Descriptors::default();
        Streams([of(kind::TERMINAL), of(kind::PIPE), of(kind::TERMINAL)]).list(&mut descriptors);
        assert_eq!(descriptors.of(Role::Terminal).collect::<Vec<_>>(), [0, 2]);
    }
}

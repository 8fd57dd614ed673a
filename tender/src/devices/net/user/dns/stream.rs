//! Messages of a TCP connection to a name server, each after its length (RFC 1035, 4.2.2): a message is passed on once it is
//! complete and was checked.

use super::{QUERY_MAXIMUM, Query, Waiting};
use smoltcp::socket::tcp::{RecvError, SendError, Socket};
use std::io::{self, Read, Write};

/// Longest message with its length.
const MAXIMUM: usize = 2 + u16::MAX as usize;
/// Bytes read at once.
const PART: usize = 4096;

/// A direction of the connection: buffered bytes, of which the first `checked` may be passed on.
#[derive(Debug, Default)]
struct Direction {
    bytes: Vec<u8>,
    checked: usize,
}

impl Direction {
    /// Number of bytes that it takes now.
    fn room(&self) -> usize {
        MAXIMUM.saturating_sub(self.bytes.len()).min(PART)
    }

    /// Takes bytes; an error if a message is longer than `longest`, or not `accepted`.
    fn take(&mut self, bytes: &[u8], longest: usize, mut accepted: impl FnMut(&[u8]) -> bool) -> io::Result<()> {
        self.bytes.extend_from_slice(bytes);
        while let Some((length, rest)) = self.bytes[self.checked..].split_first_chunk() {
            let length = usize::from(u16::from_be_bytes(*length));
            if length > longest {
                return Err(io::ErrorKind::InvalidData.into());
            }
            let Some(message) = rest.get(..length) else { break };
            if !accepted(message) {
                return Err(io::ErrorKind::InvalidData.into());
            }
            self.checked += 2 + length;
        }
        Ok(())
    }

    fn checked(&self) -> &[u8] {
        &self.bytes[..self.checked]
    }

    fn forget(&mut self, count: usize) {
        self.bytes.drain(..count);
        self.checked -= count;
    }
}

/// Both directions of a connection.
#[derive(Debug, Default)]
pub struct Stream {
    queries: Direction,
    answers: Direction,
    waiting: Waiting,
}

impl Stream {
    /// Returns true if a query waits to be sent to the host's side.
    pub fn has_query(&self) -> bool {
        self.queries.checked > 0
    }

    /// Moves queries from the guest's `socket` to the `host`'s.
    pub fn send(&mut self, socket: &mut Socket<'_>, host: &mut impl Write) -> Result<io::Result<()>, RecvError> {
        let Self { queries, waiting, .. } = self;
        if queries.checked > 0 {
            return Ok(host.write(queries.checked()).map(|count| queries.forget(count)));
        }
        let accept = |message: &[u8]| Query::parse(message).map(|query| waiting.add(query, message)).is_some();
        socket.recv(|data| {
            let count = data.len().min(queries.room());
            (count, queries.take(&data[..count], QUERY_MAXIMUM, accept))
        })
    }

    /// Moves answers from the `host`'s socket to the guest's; returns the number of bytes received, 0 at the end.
    pub fn receive(&mut self, socket: &mut Socket<'_>, host: &mut impl Read) -> Result<io::Result<usize>, SendError> {
        let Self { answers, waiting, .. } = self;
        if answers.checked == 0 {
            let mut part = [0; PART];
            let received = host.read(&mut part[..answers.room()]).and_then(|count| {
                answers.take(&part[..count], u16::MAX.into(), |message| waiting.take(message))?;
                Ok(count)
            });
            if answers.checked == 0 {
                return Ok(received);
            }
        }
        let count = socket.send_slice(answers.checked())?;
        answers.forget(count);
        Ok(Ok(count.max(1)))
    }
}

#[cfg(test)]
mod tests {
    use super::*;

    #[test]
    fn a_message_is_passed_on_when_all_of_it_is_there() {
        let mut direction = Direction::default();
        let mut seen = Vec::new();
        let bytes = b"\x00\x03abc\x00\x02de\x00";
        for byte in bytes {
            let see = |message: &[u8]| {
                seen.push(message.to_vec());
                true
            };
            direction.take(&[*byte], 10, see).expect("all is well");
        }
        assert_eq!(seen, [&b"abc"[..], b"de"]);
        assert_eq!(direction.checked(), &bytes[..bytes.len() - 1]);
        direction.forget(6);
        assert_eq!(direction.checked(), b"\x02de");
        direction.forget(3);
        assert!(direction.take(b"\x0b", 10, |_| true).is_err(), "too long");
        let mut direction = Direction::default();
        assert!(direction.take(b"\x00\x01a", 10, |_| false).is_err());
        assert_eq!(direction.checked(), b"", "what is wrong is not passed on");
    }
}

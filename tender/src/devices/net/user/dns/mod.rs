//! Filter for messages to and from the host's name servers: queries and their answers (RFC 1035, RFC 6891), and nothing else.
//!
//! A query has one question of class IN in the header's simplest form, and at most an OPT record besides. An answer repeats
//! identifier and question of a query that waits for it. All else is dropped: so a guest cannot use the port for another
//! protocol, and only answers reach it. Neither side is trusted: each message is parsed to its last byte.

pub mod servers;
pub mod stream;

use std::collections::VecDeque;

/// Longest query: a name, a question and the usual options are less.
pub const QUERY_MAXIMUM: usize = 512;
/// Longest answer by UDP, as recommended to clients and servers (RFC 6891, 6.2.5).
const DATAGRAM_MAXIMUM: usize = 4096;
/// Longest name, its length bytes included.
const NAME_MAXIMUM: usize = 255;
/// Queries of one flow that wait for an answer.
const WAITING: usize = 32;

/// Bytes of a header.
const HEADER: usize = 12;
const RESPONSE: u16 = 0x8000;
/// Kind of query, and the flag of a truncated message.
const OPCODE: u16 = 0x7800;
const TRUNCATED: u16 = 0x0200;
const RESULT: u16 = 0x000f;
const CLASS_IN: u16 = 1;
/// Record type of EDNS options.
const OPT: u16 = 41;
/// Question types of zone transfers, which take more than one answer.
const TRANSFERS: [u16; 2] = [251, 252];

/// A well-formed query.
#[derive(Clone, Debug, PartialEq, Eq)]
pub struct Query {
    identifier: u16,
    /// Name, type and class, the name in lower case.
    question: Vec<u8>,
}

impl Query {
    /// Parses a message of the guest's; `None` if it is not a query.
    pub fn parse(message: &[u8]) -> Option<Self> {
        let header = Header::of(message).filter(|_| message.len() <= QUERY_MAXIMUM)?;
        let is_plain = header.flags & (RESPONSE | OPCODE | TRUNCATED | RESULT) == 0;
        let [1, 0, 0, options @ 0..=1] = header.counts else { return None };
        let (question, kind, mut at) = question(message)?;
        if !is_plain || TRANSFERS.contains(&kind) {
            return None;
        }
        if options == 1 {
            let (kind, is_root, end) = record(message, at)?;
            at = end;
            if kind != OPT || !is_root {
                return None;
            }
        }
        (at == message.len()).then_some(Self { identifier: header.identifier, question })
    }

    /// Returns true if a message is a well-formed answer to this query.
    fn is_answered_by(&self, message: &[u8]) -> bool {
        let check = || {
            let header = Header::of(message)?;
            let is_answer = header.flags & (RESPONSE | OPCODE) == RESPONSE && header.identifier == self.identifier;
            let [questions, records @ ..] = header.counts;
            let mut at = HEADER;
            match questions {
                // Answer of a server that did not understand the question.
                0 if header.flags & RESULT != 0 && records == [0; 3] => {}
                1 => {
                    let (question, _, end) = question(message)?;
                    at = end;
                    (question == self.question).then_some(())?;
                }
                _ => return None,
            }
            for _ in 0..records.into_iter().map(u32::from).sum::<u32>() {
                (_, _, at) = record(message, at)?;
            }
            (is_answer && at == message.len()).then_some(())
        };
        check().is_some()
    }
}

/// Returns true if a server answers that it cannot: SERVFAIL, NOTIMP or REFUSED.
fn failed(message: &[u8]) -> bool {
    Header::of(message).is_some_and(|header| matches!(header.flags & RESULT, 2 | 4 | 5))
}

/// Queries that wait for their answers, with their messages, the oldest first.
#[derive(Debug, Default)]
pub struct Waiting(VecDeque<(Query, Vec<u8>)>);

impl Waiting {
    /// Adds a query, in place of the oldest if there are too many. Returns true if the query is waiting already.
    pub fn add(&mut self, query: Query, message: &[u8]) -> bool {
        let before = self.0.len();
        self.0.retain(|(other, _)| *other != query);
        let is_repeated = self.0.len() < before;
        if self.0.len() == WAITING {
            self.0.pop_front();
        }
        self.0.push_back((query, message.to_vec()));
        is_repeated
    }

    /// Returns true if no query waits.
    pub fn is_empty(&self) -> bool {
        self.0.is_empty()
    }

    /// Messages of the queries that wait.
    pub fn messages(&self) -> impl Iterator<Item = &[u8]> {
        self.0.iter().map(|(_, message)| &message[..])
    }

    /// Returns true if a message answers a waiting query.
    pub fn is_answered_by(&self, message: &[u8]) -> bool {
        self.0.iter().any(|(query, _)| query.is_answered_by(message))
    }

    /// Returns true if a datagram answers a waiting query, and removes that query.
    pub fn take_datagram(&mut self, message: &[u8]) -> bool {
        message.len() <= DATAGRAM_MAXIMUM && self.take(message)
    }

    /// Returns true if a message answers a waiting query, and removes that query.
    pub fn take(&mut self, message: &[u8]) -> bool {
        let answered = self.0.iter().position(|(query, _)| query.is_answered_by(message));
        answered.is_some_and(|at| self.0.remove(at).is_some())
    }
}

struct Header {
    identifier: u16,
    flags: u16,
    /// Counts of questions, answers, authorities and additional records.
    counts: [u16; 4],
}

impl Header {
    fn of(message: &[u8]) -> Option<Self> {
        let mut words = [0; HEADER / 2];
        for (word, bytes) in words.iter_mut().zip(message.get(..HEADER)?.chunks_exact(2)) {
            *word = u16::from_be_bytes([bytes[0], bytes[1]]);
        }
        let [identifier, flags, counts @ ..] = words;
        Some(Self { identifier, flags, counts })
    }
}

fn half(message: &[u8], at: usize) -> Option<u16> {
    Some(u16::from_be_bytes([*message.get(at)?, *message.get(at + 1)?]))
}

/// Parses the first question: returns name, type and class, in lower case; its type; and its end.
fn question(message: &[u8]) -> Option<(Vec<u8>, u16, usize)> {
    let end = name(message, HEADER, false)?;
    let (kind, class) = (half(message, end)?, half(message, end + 2)?);
    let bytes = message.get(HEADER..end + 4)?;
    (class == CLASS_IN).then(|| {
        let (name, rest) = bytes.split_at(end - HEADER);
        // Lowercasing keeps the length bytes of labels, which are at most 63, below the letters.
        ([&name.to_ascii_lowercase()[..], rest].concat(), kind, end + 4)
    })
}

/// Parses the record at `at`: returns its type, true if its name is the root, and its end.
fn record(message: &[u8], at: usize) -> Option<(u16, bool, usize)> {
    let end = name(message, at, true)?;
    let (kind, length) = (half(message, end)?, half(message, end + 8)?);
    let after = end + 10 + usize::from(length);
    (after <= message.len()).then_some((kind, message[at] == 0, after))
}

/// Returns the end of the name at `at`. Follows the name to its root, through pointers if it may be `compressed`; each pointer
/// must lead further back than the one before (RFC 1035, 4.1.4), so that the loop ends.
fn name(message: &[u8], at: usize, compressed: bool) -> Option<usize> {
    let (mut next, mut end, mut limit, mut length) = (at, None, at, 0);
    loop {
        let first = *message.get(next)?;
        match first {
            0 => return (length < NAME_MAXIMUM).then_some(end.unwrap_or(next + 1)),
            1..=63 => {
                next += 1 + usize::from(first);
                length += 1 + usize::from(first);
            }
            0xc0.. if compressed => {
                end = end.or(Some(next + 2));
                next = usize::from(half(message, next)? & 0x3fff);
                if !(HEADER..limit).contains(&next) {
                    return None;
                }
                limit = next;
            }
            _ => return None,
        }
        if length >= NAME_MAXIMUM {
            return None;
        }
    }
}

/// Checks properties of any two messages: a query has its simplest form, and an answer to it repeats it.
#[cfg(any(test, fuzzing))]
pub fn check(message: &[u8], answer: &[u8]) {
    let Some(query) = Query::parse(message) else { return };
    assert!(message.len() <= QUERY_MAXIMUM && message[2] & 0xfa == 0 && message[3] & 0xf == 0);
    assert_eq!(message[4..11], [0, 1, 0, 0, 0, 0, 0]);
    let mut echo = message.to_vec();
    echo[2] |= 0x80;
    assert!(query.is_answered_by(&echo), "a server without an answer");
    echo[0] ^= 1;
    assert!(!query.is_answered_by(&echo), "an answer to another");
    if query.is_answered_by(answer) {
        assert!(answer[..2] == message[..2] && answer[2] & 0xf8 == 0x80);
        assert!(!query.is_answered_by(&answer[..answer.len() - 1]), "it has no end of its own");
        let mut waiting = Waiting::default();
        waiting.add(query, message);
        assert!(waiting.take(answer) && !waiting.take(answer));
    }
}

#[cfg(test)]
mod tests;

//! Tests of queries, answers, and messages that are neither.

use super::*;

const NAME: &[u8] = b"\x07example\x04test\x00";

fn message(flags: u16, counts: [u16; 4], parts: &[&[u8]]) -> Vec<u8> {
    let mut bytes = vec![0x12, 0x34];
    for word in [flags].into_iter().chain(counts) {
        bytes.extend(word.to_be_bytes());
    }
    parts.iter().for_each(|part| bytes.extend(*part));
    bytes
}

const QUESTION: &[u8] = b"\x07example\x04test\x00\x00\x01\x00\x01";
const OPTIONS: &[u8] = b"\x00\x00\x29\x04\xd0\x00\x00\x00\x00\x00\x00";
/// Record with a name that is a pointer to the question's.
const RECORD: &[u8] = b"\xc0\x0c\x00\x01\x00\x01\x00\x00\x00\x3c\x00\x04\xc0\x00\x02\x07";

fn query() -> Query {
    Query::parse(&message(0x0100, [1, 0, 0, 0], &[QUESTION])).expect("it is one")
}

#[test]
fn queries_are_known() {
    assert_eq!(query().identifier, 0x1234);
    let with_options = message(0x0120, [1, 0, 0, 1], &[QUESTION, OPTIONS]);
    assert_eq!(Query::parse(&with_options), Some(query()));
    let mixed = message(0x0100, [1, 0, 0, 0], &[b"\x07eXAmple\x04tesT\x00\x00\x01\x00\x01"]);
    assert_eq!(Query::parse(&mixed), Some(query()));
    let root = message(0x0100, [1, 0, 0, 0], &[b"\x00\x00\x02\x00\x01"]);
    assert!(Query::parse(&root).is_some());
}

#[test]
fn what_is_no_query_is_refused() {
    let long = [b"\x3f", [b'a'; 63].as_slice()].concat().repeat(4);
    for (wrong, why) in [
        (b"hello".to_vec(), "no header"),
        (b"GET / HTTP/1.1\r\n\r\n".to_vec(), "another protocol"),
        (message(0x8100, [1, 0, 0, 0], &[QUESTION]), "a response"),
        (message(0x2900, [1, 0, 0, 0], &[QUESTION]), "an update"),
        (message(0x0300, [1, 0, 0, 0], &[QUESTION]), "cut off"),
        (message(0x0103, [1, 0, 0, 0], &[QUESTION]), "a result"),
        (message(0x0100, [0, 0, 0, 0], &[]), "no question"),
        (message(0x0100, [2, 0, 0, 0], &[QUESTION, QUESTION]), "two questions"),
        (message(0x0100, [1, 1, 0, 0], &[QUESTION, RECORD]), "an answer"),
        (message(0x0100, [1, 0, 0, 1], &[QUESTION, RECORD]), "a record that is no option"),
        (message(0x0100, [1, 0, 0, 2], &[QUESTION, OPTIONS, OPTIONS]), "two options"),
        (message(0x0100, [1, 0, 0, 0], &[QUESTION, b"smuggled"]), "more than it says"),
        (message(0x0100, [1, 0, 0, 1], &[QUESTION]), "less than it says"),
        (message(0x0100, [1, 0, 0, 0], &[&QUESTION[..QUESTION.len() - 1]]), "cut"),
        (message(0x0100, [1, 0, 0, 0], &[NAME, b"\x00\xfc\x00\x01"]), "a transfer"),
        (message(0x0100, [1, 0, 0, 0], &[NAME, b"\x00\x10\x00\x03"]), "another class"),
        (message(0x0100, [1, 0, 0, 0], &[b"\xc0\x0c\x00\x01\x00\x01"]), "a name that points at itself"),
        (message(0x0100, [1, 0, 0, 0], &[b"\x40a\x00\x00\x01\x00\x01"]), "a label of no kind"),
        (message(0x0100, [1, 0, 0, 0], &[&long, b"\x00\x00\x01\x00\x01"]), "a name that is too long"),
        (
            message(0x0100, [1, 0, 0, 1], &[QUESTION, b"\x00\x00\x29\x04\xd0\x00\x00\x00\x00\x02\x00", &[0; 512]]),
            "long",
        ),
    ] {
        assert_eq!(Query::parse(&wrong), None, "{why}");
    }
}

#[test]
fn an_answer_is_that_of_a_query() {
    let is_answer = |message: &[u8]| query().is_answered_by(message);
    assert!(is_answer(&message(0x8180, [1, 1, 0, 1], &[QUESTION, RECORD, OPTIONS])));
    assert!(is_answer(&message(0x8183, [1, 0, 0, 0], &[QUESTION])), "no such name");
    assert!(is_answer(&message(0x8181, [0, 0, 0, 0], &[])), "a server that did not understand");
    let mut forged = message(0x8180, [1, 1, 0, 0], &[QUESTION, RECORD]);
    assert!(is_answer(&forged));
    forged[1] = 0x35;
    assert!(!is_answer(&forged), "another identifier");
    let other = b"\x07exemple\x04test\x00\x00\x01\x00\x01";
    let forward = b"\xc0\x30\x00\x01\x00\x01\x00\x00\x00\x3c\x00\x04\xc0\x00\x02\x07";
    for (wrong, why) in [
        (message(0x0100, [1, 0, 0, 0], &[QUESTION]), "a query"),
        (message(0xa980, [1, 0, 0, 0], &[QUESTION]), "of an update"),
        (message(0x8180, [1, 1, 0, 0], &[other, RECORD]), "another name"),
        (message(0x8180, [1, 1, 0, 0], &[NAME, b"\x00\x1c\x00\x01", RECORD]), "another type"),
        (message(0x8180, [0, 1, 0, 0], &[RECORD]), "no question"),
        (message(0x8180, [0, 0, 0, 0], &[]), "nothing, and no reason"),
        (message(0x8180, [1, 1, 0, 0], &[QUESTION]), "less than it says"),
        (message(0x8180, [1, 0, 0, 0], &[QUESTION, RECORD]), "more than it says"),
        (message(0x8180, [1, 1, 0, 0], &[QUESTION, &RECORD[..RECORD.len() - 1]]), "cut"),
        (message(0x8180, [1, 1, 0, 0], &[QUESTION, forward]), "a name that points ahead"),
        (message(0x8180, [1, u16::MAX, u16::MAX, u16::MAX], &[QUESTION, RECORD]), "far less than it says"),
    ] {
        assert!(!is_answer(&wrong), "{why}");
    }
}

#[test]
fn each_query_is_answered_once() {
    let mut waiting = Waiting::default();
    let answer = message(0x8180, [1, 1, 0, 0], &[QUESTION, RECORD]);
    assert!(!waiting.take(&answer), "nothing waits");
    waiting.add(query(), b"");
    waiting.add(query(), b"");
    assert!(waiting.take_datagram(&answer) && !waiting.take_datagram(&answer));
    for number in 0..1000 {
        waiting.add(Query { identifier: number, ..query() }, b"");
    }
    assert_eq!(waiting.0.len(), WAITING);
}

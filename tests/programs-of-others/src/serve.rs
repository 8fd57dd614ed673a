//! A server on one side: its start, its clients and its end.

use crate::Result;
use crate::bounded::{Bounded, Ended};
use crate::list::{Program, Serve};
use crate::place::Place;
use crate::side::Side;
use std::process::Command;
use std::thread::sleep;
use std::time::{Duration, Instant};

/// Time within which a server answers its first client.
const START_LIMIT: Duration = Duration::from_secs(20);
/// Time within which a client has its answer.
const CLIENT_LIMIT: Duration = Duration::from_secs(20);
/// Time within which a server ends after SIGTERM, and is ended otherwise.
const END_LIMIT: Duration = Duration::from_secs(20);
/// Time between two attempts of the first client.
const PAUSE: Duration = Duration::from_millis(100);

/// Starts the server of a program, has all clients ask, and ends it. Returns what the clients got.
pub fn serve(program: &Program, serve: &Serve, side: Side, place: &Place) -> Result<Vec<Ended>> {
    let mut server = Bounded::start(&mut side.command(program, place, &serve.args, true)?, "")?;
    let answers = ask(serve, place, &mut server);
    server.signal("TERM");
    let ended = server.end(END_LIMIT);
    let told = || format!("{}\n{}", ended.output, ended.errors);
    let answers = answers.map_err(|error| format!("{error}\n{}", told()))?;
    match ended.status {
        None => Err(format!("the server did not end after SIGTERM\n{}", told())),
        Some(_) => Ok(answers),
    }
}

/// Has all clients ask, one after the other.
fn ask(serve: &Serve, place: &Place, server: &mut Bounded) -> Result<Vec<Ended>> {
    let start = Instant::now();
    let mut answers = Vec::new();
    for (at, words) in serve.ask.iter().enumerate() {
        let answer = loop {
            let answer = client(words, place)?;
            if at > 0 || answer.status.is_some_and(|status| status.success()) {
                break answer;
            }
            if server.has_ended() {
                return Err("the server ended before its first client had an answer".into());
            }
            if start.elapsed() > START_LIMIT {
                return Err(format!("the first client had no answer:\n{}", answer.errors));
            }
            sleep(PAUSE);
        };
        answers.push(answer);
    }
    match server.has_ended() {
        true => Err("the server ended while clients asked".into()),
        false => Ok(answers),
    }
}

/// Runs a client.
fn client(words: &[String], place: &Place) -> Result<Ended> {
    let (program, arguments) = words.split_first().ok_or("programs.toml: a client without words")?;
    let mut command = Command::new(program);
    command.args(arguments.iter().map(|word| place.fill(word))).current_dir(place.folder()).env("LC_ALL", "C.UTF-8");
    Ok(Bounded::start(&mut command, "")?.end(CLIENT_LIMIT))
}

//! An HTTP client that keeps a number of connections busy: each sends its next request after the answer to the last.

use mio::net::TcpStream;
use mio::{Events, Interest, Poll, Token};
use std::io::{self, Read, Write};
use std::net::SocketAddr;
use std::time::{Duration, Instant};

/// Load for a server.
#[derive(Clone, Debug)]
pub struct Http {
    /// Address of the server.
    pub server: SocketAddr,
    /// Path of the requests.
    pub path: String,
    /// Number of connections.
    pub connections: usize,
    /// Duration of the measurement, which follows a warm-up of a fifth of that.
    pub duration: Duration,
}

/// Results of a load.
#[derive(Clone, Copy, Debug)]
pub struct Load {
    /// Answers per second.
    pub rate: f64,
    /// Median of the latency from a request to its answer.
    pub median: Duration,
    /// 99th percentile of the latency.
    pub p99: Duration,
    /// Number of all answers, including those outside the measured time.
    pub answers: usize,
}

/// Length limit of an answer, in bytes.
const ANSWER_MAXIMUM: usize = 1 << 20;

impl Http {
    /// Runs the load. Any failure on any connection is an error.
    pub fn run(&self) -> io::Result<Load> {
        let mut poll = Poll::new()?;
        let request = format!("GET {} HTTP/1.1\r\nHost: {}\r\n\r\n", self.path, self.server).into_bytes();
        let mut connections = Vec::with_capacity(self.connections);
        for number in 0..self.connections {
            let mut stream = TcpStream::from_std(connected(self.server)?);
            poll.registry().register(&mut stream, Token(number), Interest::READABLE)?;
            connections.push(Connection { stream, answer: Vec::new(), asked: Instant::now() });
        }
        let start = Instant::now() + self.duration / 5;
        let end = start + self.duration;
        let (mut took, mut answers) = (Vec::new(), 0);
        for connection in &mut connections {
            connection.ask(&request)?;
        }
        let mut events = Events::with_capacity(1024);
        while Instant::now() < end {
            poll.poll(&mut events, Some(Duration::from_secs(5)))?;
            if events.is_empty() {
                return Err(io::Error::new(io::ErrorKind::TimedOut, "no answer for five seconds"));
            }
            for event in &events {
                let connection = &mut connections[event.token().0];
                while connection.take_answer()? {
                    let now = Instant::now();
                    answers += 1;
                    if (start..end).contains(&now) {
                        took.push(now - connection.asked);
                    }
                    connection.ask(&request)?;
                }
            }
        }
        if took.is_empty() {
            return Err(io::Error::new(io::ErrorKind::TimedOut, "no answer at all"));
        }
        took.sort_unstable();
        let rate = took.len() as f64 / self.duration.as_secs_f64();
        Ok(Load { rate, median: took[took.len() / 2], p99: took[took.len() * 99 / 100], answers })
    }
}

/// Opens a non-blocking connection. Retries, because a server that has just started may not listen yet.
fn connected(server: SocketAddr) -> io::Result<std::net::TcpStream> {
    let deadline = Instant::now() + Duration::from_secs(5);
    loop {
        match std::net::TcpStream::connect_timeout(&server, Duration::from_secs(1)) {
            Ok(stream) => {
                stream.set_nodelay(true)?;
                stream.set_nonblocking(true)?;
                return Ok(stream);
            }
            Err(error) if Instant::now() > deadline => return Err(error),
            Err(_) => std::thread::sleep(Duration::from_millis(10)),
        }
    }
}

struct Connection {
    stream: TcpStream,
    answer: Vec<u8>,
    asked: Instant,
}

impl Connection {
    /// Sends a request, which is far smaller than any socket's buffer.
    fn ask(&mut self, request: &[u8]) -> io::Result<()> {
        self.asked = Instant::now();
        self.stream.write_all(request)
    }

    /// Reads received bytes. Returns true if the answer is complete.
    fn take_answer(&mut self) -> io::Result<bool> {
        let mut part = [0; 16 << 10];
        loop {
            match self.stream.read(&mut part) {
                Ok(0) => return Err(io::ErrorKind::UnexpectedEof.into()),
                Ok(count) => self.answer.extend_from_slice(&part[..count]),
                Err(error) if error.kind() == io::ErrorKind::WouldBlock => return Ok(false),
                Err(error) => return Err(error),
            }
            match length(&self.answer)? {
                Some(length) if self.answer.len() == length => {
                    self.answer.clear();
                    return Ok(true);
                }
                Some(length) if self.answer.len() > length => return Err(wrong("more than one answer to one request")),
                _ if self.answer.len() > ANSWER_MAXIMUM => return Err(wrong("an answer that is too long")),
                _ => {}
            }
        }
    }
}

/// Returns the length of the answer that starts with these bytes, once its head is complete.
fn length(answer: &[u8]) -> io::Result<Option<usize>> {
    let mut headers = [httparse::EMPTY_HEADER; 32];
    let mut response = httparse::Response::new(&mut headers);
    let Ok(httparse::Status::Complete(head)) = response.parse(answer) else {
        return if answer.starts_with(&b"HTTP/1.1"[..answer.len().min(8)]) { Ok(None) } else { Err(wrong("no HTTP")) };
    };
    if response.code != Some(200) {
        return Err(wrong("an answer that is not 200 OK"));
    }
    let given = response.headers.iter().find(|header| header.name.eq_ignore_ascii_case("content-length"));
    let body = given.and_then(|header| std::str::from_utf8(header.value).ok()?.parse::<usize>().ok());
    Ok(Some(head + body.ok_or_else(|| wrong("an answer without its length"))?))
}

fn wrong(what: &str) -> io::Error {
    io::Error::new(io::ErrorKind::InvalidData, format!("the server sent {what}"))
}

#[cfg(test)]
mod tests {
    use super::*;
    use std::net::TcpListener;

    /// Starts a server that sends `answer` for each read.
    fn server(answer: &'static str) -> SocketAddr {
        let listener = TcpListener::bind("127.0.0.1:0").expect("loopback");
        let address = listener.local_addr().expect("it is bound");
        std::thread::spawn(move || {
            for stream in listener.incoming().flatten() {
                std::thread::spawn(move || {
                    let mut stream = stream;
                    while let Ok(1..) = stream.read(&mut [0; 1024]) {
                        let (first, rest) = answer.as_bytes().split_at(10);
                        let _ = stream.write_all(first);
                        let _ = stream.write_all(rest);
                    }
                });
            }
        });
        address
    }

    fn load(answer: &'static str) -> io::Result<Load> {
        let duration = Duration::from_millis(50);
        Http { server: server(answer), path: "/".to_owned(), connections: 3, duration }.run()
    }

    #[test]
    fn whole_answers_are_counted() {
        let load = load("HTTP/1.1 200 OK\r\nContent-Length: 5\r\n\r\nhello").expect("all went well");
        assert!(load.rate > 0.0 && load.median <= load.p99, "{load:?}");
    }

    #[test]
    fn what_is_no_success_is_an_error() {
        assert!(load("HTTP/1.1 500 Oops\r\nContent-Length: 0\r\n\r\n").is_err());
        assert!(load("HTTP/1.1 200 OK\r\nContent-Length: 0\r\n\r\nmore than that").is_err());
        assert!(load("SSH-2.0-OpenSSH").is_err());
    }
}

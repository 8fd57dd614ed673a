//! Many connections that are opened concurrently.

use mio::net::TcpStream;
use mio::{Events, Interest, Poll, Token};
use std::net::SocketAddr;
use std::time::{Duration, Instant};

/// Time limit until all connections are open.
const PATIENCE: Duration = Duration::from_secs(40);

/// Opens `count` connections to `server` concurrently. Returns all of them, open and in blocking mode.
pub fn connect_at_once(server: SocketAddr, count: usize) -> Vec<std::net::TcpStream> {
    let mut poll = Poll::new().expect("a descriptor");
    let mut streams: Vec<TcpStream> = (0..count).map(|_| TcpStream::connect(server).expect("a free port")).collect();
    for (number, stream) in streams.iter_mut().enumerate() {
        poll.registry().register(stream, Token(number), Interest::WRITABLE).expect("it is open");
    }
    let (mut events, mut open) = (Events::with_capacity(1024), vec![false; count]);
    let deadline = Instant::now() + PATIENCE;
    while open.contains(&false) {
        let missing = open.iter().filter(|open| !**open).count();
        assert!(Instant::now() < deadline, "{missing} of {count} connections do not open");
        poll.poll(&mut events, Some(Duration::from_millis(100))).expect("nothing interrupts it");
        for event in &events {
            let stream = &streams[event.token().0];
            if let Some(error) = stream.take_error().expect("a socket has that option") {
                panic!("a connection does not open: {error}");
            }
            open[event.token().0] |= stream.peer_addr().is_ok();
        }
    }
    let blocking = |stream: TcpStream| {
        let stream = std::net::TcpStream::from(stream);
        stream.set_nonblocking(false).expect("a socket can wait");
        stream.set_read_timeout(Some(PATIENCE)).expect("a socket has timeouts");
        stream
    };
    streams.into_iter().map(blocking).collect()
}

//! Accepting a connection that a guest opens, within a time limit.

use crate::patience;
use std::io::ErrorKind;
use std::net::{SocketAddr, TcpListener, TcpStream};
use std::thread;
use std::time::{Duration, Instant};

/// Time limit of the accept, and of each read and write on the connection.
const PATIENCE: Duration = Duration::from_secs(60);

/// Waits for the next connection to `listener`; reads and writes on the connection have a time limit too.
#[track_caller]
pub fn accept(listener: &TcpListener) -> (TcpStream, SocketAddr) {
    listener.set_nonblocking(true).expect("a socket need not wait");
    let patience = patience(PATIENCE);
    let deadline = Instant::now() + patience;
    loop {
        match listener.accept() {
            Ok((stream, from)) => {
                stream.set_nonblocking(false).expect("a socket can wait");
                stream.set_read_timeout(Some(patience)).expect("a socket has timeouts");
                stream.set_write_timeout(Some(patience)).expect("a socket has timeouts");
                return (stream, from);
            }
            Err(error) if error.kind() == ErrorKind::WouldBlock => {}
            Err(error) => panic!("no connection: {error}"),
        }
        assert!(Instant::now() < deadline, "nobody connects within {patience:?}");
        thread::sleep(Duration::from_millis(1));
    }
}

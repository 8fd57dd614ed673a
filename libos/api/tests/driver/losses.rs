//! Packets that get lost, or arrive late: the connection goes on without waiting for a timeout.

use super::*;

/// Bytes to be sent, and of each buffer.
const LENGTH: usize = 1 << 20;
const BUFFER: usize = 256 << 10;

/// Pseudorandom numbers (xorshift).
struct Random(u64);

impl Random {
    /// Returns true with this probability, of 1,000.
    fn is(&mut self, probability: u64) -> bool {
        self.0 ^= self.0 << 13;
        self.0 ^= self.0 >> 7;
        self.0 ^= self.0 << 17;
        (self.0 >> 20) % 1000 < probability
    }
}

/// Sends bytes from the client to the server, with this share of 1,000 frames lost, and of those that change places with the next one.
/// Returns the time that takes.
fn transfer(lost: u64, late: u64) -> u64 {
    let mut cable = Cable::new();
    for machine in [&mut cable.client, &mut cable.server] {
        (machine.owner.buffer, machine.owner.backlog) = (BUFFER, Some(4));
    }
    let (client, server) = cable.connected();
    let (mut random, mut written, mut read, started) = (Random(7), 0, 0, cable.now);
    while read < LENGTH {
        assert!(cable.now < started + 100_000 * MILLISECOND, "{read} of {LENGTH} bytes arrived");
        let tcp = cable.client.owner.stream(client).tcp();
        written += tcp.send_slice(&vec![7; LENGTH - written]).expect("open");
        cable.client.device.poll_socket(&mut cable.client.owner, client, cable.now);
        let mut bytes = vec![0; BUFFER];
        read += cable.server.owner.stream(server).tcp().recv_slice(&mut bytes).expect("open");
        cable.server.device.poll_socket(&mut cable.server.owner, server, cable.now);
        for frames in [&cable.client.outgoing, &cable.server.outgoing] {
            let mut frames = frames.lock().expect("one thread");
            frames.retain(|_| !random.is(lost));
            (1..frames.len()).for_each(|at| {
                if random.is(late) {
                    frames.swap(at - 1, at)
                }
            });
        }
        cable.run(MILLISECOND);
    }
    cable.now - started
}

#[test]
fn lost_packets_are_sent_again_without_waiting_for_a_timeout() {
    let whole = transfer(0, 0);
    // Each hundredth or twentieth packet was lost: with a timeout of 200 ms for a small part of them, it would take longer.
    assert!(transfer(10, 0) < 5 * whole, "{} and {whole}", transfer(10, 0));
    assert!(transfer(50, 0) < 20 * whole, "{} and {whole}", transfer(50, 0));
}

#[test]
fn late_packets_are_waited_for() {
    let whole = transfer(0, 0);
    assert!(transfer(0, 100) < 3 * whole, "{} and {whole}", transfer(0, 100));
}

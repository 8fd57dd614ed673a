//! Options of a socket that are longer than a number: state of a connection (`TCP_INFO`), names.

use super::known::numbers as net;
use super::{Net, Protocol, Socket, SocketKey, State, interface};
use crate::errno::Errno;
use alloc::vec::Vec;
use core::mem::offset_of;
use core::net::IpAddr;
use husk::abi::device::FRAME_HEADER;
use husk::internet::connection::Connection;
use husk::internet::report;
use smoltcp::socket::tcp::{self, Metrics};
use smoltcp::time::Duration;

/// Name of the congestion control, which there is one of.
const CONGESTION_CONTROL: &[u8; 16] = b"cubic\0\0\0\0\0\0\0\0\0\0\0";
/// Longest packets to the program itself; Linux's for the loopback interface.
const LOOPBACK_MTU: u64 = 65_535;
const LOOPBACK_MTU_V6: u64 = 65_536;
/// Bytes of a `struct tcp_info`.
const INFO: usize = size_of::<net::tcp_info>();
/// Segment length of connections within the program, and their windows in segments: Linux's for the loopback interface.
const LOCAL_MSS: u32 = 65_483;
const INITIAL_WINDOW: u32 = 10;
/// `TCP_INFINITE_SSTHRESH`: there has been no loss.
const NO_THRESHOLD: u32 = 0x7fff_ffff;

/// `TCPI_OPT_SACK` and `TCPI_OPT_WSCALE`.
const HAS_SACK: u8 = 2;
const HAS_SCALES: u8 = 4;
/// States of congestion control: `TCP_CA_Open` and so on.
const OPEN: u8 = 0;
const RECOVERY: u8 = 3;
const LOSS: u8 = 4;
/// States of a connection: `TCP_ESTABLISHED` and so on.
const ESTABLISHED: u8 = 1;
const SYN_SENT: u8 = 2;
const SYN_RECEIVED: u8 = 3;
const FIN_WAIT_1: u8 = 4;
const FIN_WAIT_2: u8 = 5;
const TIME_WAIT: u8 = 6;
const CLOSE: u8 = 7;
const CLOSE_WAIT: u8 = 8;
const LAST_ACK: u8 = 9;
const LISTEN: u8 = 10;
const CLOSING: u8 = 11;

/// Bytes of a `struct tcp_info`.
struct Info([u8; INFO]);

/// Sets fields of an [`Info`].
macro_rules! put {
    ($info:ident, $($field:ident: $value:expr),* $(,)?) => {
        { $($info.put(offset_of!(net::tcp_info, $field), &$value.to_ne_bytes());)* }
    };
}
impl Net {
    /// getsockopt(2) of an option that is longer than a number; `None` if it is none.
    pub fn long_option(&self, key: SocketKey, level: u32, number: u32) -> Option<Vec<u8>> {
        let socket = &self.sockets[key];
        let is_tcp = socket.protocol == Protocol::Tcp;
        match (level, number) {
            (net::SOL_TCP, net::TCP_INFO) if is_tcp => {
                let to = socket.remote.map_or(socket.family.any(), |remote| remote.ip());
                Some(socket.info(self.mtu(to) as u32))
            }
            (net::SOL_TCP, net::TCP_CONGESTION) if is_tcp => Some(CONGESTION_CONTROL.to_vec()),
            (net::SOL_SOCKET, net::SO_BINDTODEVICE) => Some(match interface::name(socket.options.interface) {
                Some(name) => [name, b"\0"].concat(),
                None => Vec::new(),
            }),
            _ => None,
        }
    }

    /// Sets an option that is a name.
    pub(super) fn set_name(&mut self, key: SocketKey, number: u32, name: [u8; 16]) -> Result<(), Errno> {
        let name = name.split(|byte| *byte == 0).next().unwrap_or_default();
        match number {
            net::TCP_CONGESTION if CONGESTION_CONTROL.starts_with(name) && name.len() == 5 => Ok(()),
            net::TCP_CONGESTION => Err(Errno::ENOENT),
            _ => {
                let number = if name.is_empty() { Some(0) } else { interface::number(name) };
                self.sockets[key].options.interface = number.ok_or(Errno::ENODEV)?;
                Ok(())
            }
        }
    }

    /// Longest packet to an address, in bytes.
    pub(super) fn mtu(&self, to: IpAddr) -> u64 {
        match &self.device {
            Some(device) if !self.is_local(to) => device.stack.limits.longest.saturating_sub(FRAME_HEADER) as u64,
            _ if to.is_ipv4() => LOOPBACK_MTU,
            _ => LOOPBACK_MTU_V6,
        }
    }
}

impl Socket {
    /// Number of the TCP state.
    pub(super) fn tcp_state(&self) -> u8 {
        match &self.state {
            State::Listening(_) => LISTEN,
            State::Connecting(_) => SYN_SENT,
            State::Closed => CLOSE,
            State::Connected { .. } => match (self.write_shut, self.finished) {
                (false, false) => ESTABLISHED,
                (true, false) => FIN_WAIT_2,
                (false, true) => CLOSE_WAIT,
                (true, true) => CLOSE,
            },
            State::Remote { connection, .. } => match connection.tcp_ref().state() {
                tcp::State::SynSent => SYN_SENT,
                tcp::State::SynReceived => SYN_RECEIVED,
                tcp::State::Established => ESTABLISHED,
                tcp::State::FinWait1 => FIN_WAIT_1,
                tcp::State::FinWait2 => FIN_WAIT_2,
                tcp::State::CloseWait => CLOSE_WAIT,
                tcp::State::Closing => CLOSING,
                tcp::State::LastAck => LAST_ACK,
                tcp::State::TimeWait => TIME_WAIT,
                tcp::State::Closed | tcp::State::Listen => CLOSE,
            },
        }
    }

    /// Bytes of the longest segment to the peer, if there is one.
    pub(super) fn segment_length(&self) -> Option<i32> {
        match &self.state {
            State::Remote { connection, .. } => Some(connection.tcp_ref().metrics().mss as i32),
            State::Connected { .. } => Some(LOCAL_MSS as i32),
            _ => None,
        }
    }

    /// `struct tcp_info`.
    fn info(&self, mtu: u32) -> Vec<u8> {
        let mut info = Info([0; INFO]);
        info.0[0] = self.tcp_state();
        match &self.state {
            State::Remote { connection, .. } => {
                info.of_connection(connection, mtu);
            }
            State::Connected { .. } => put!(
                info,
                tcpi_rto: 200_000u32,
                tcpi_snd_mss: LOCAL_MSS,
                tcpi_rcv_mss: LOCAL_MSS,
                tcpi_advmss: LOCAL_MSS,
                tcpi_pmtu: mtu,
                tcpi_snd_cwnd: INITIAL_WINDOW,
                tcpi_snd_ssthresh: NO_THRESHOLD,
                tcpi_reordering: 3u32,
            ),
            _ => put!(info, tcpi_snd_cwnd: INITIAL_WINDOW, tcpi_snd_ssthresh: NO_THRESHOLD, tcpi_reordering: 3u32),
        }
        info.0.to_vec()
    }
}

impl Info {
    fn put(&mut self, at: usize, bytes: &[u8]) {
        self.0.iter_mut().skip(at).zip(bytes).for_each(|(to, from)| *to = *from);
    }

    /// Sets what is known of a connection through the device, with packets of at most `mtu` bytes.
    fn of_connection(&mut self, connection: &Connection, mtu: u32) {
        let known: Metrics = connection.tcp_ref().metrics();
        let us = |time: Duration| time.total_micros().min(u32::MAX.into()) as u32;
        let segments = |bytes: usize| bytes.div_ceil(known.mss.max(1)) as u32;
        let (rtt, variation) = known.round_trip.map_or((0, 0), |(rtt, variation)| (us(rtt), us(variation)));
        let mss = mtu - report::headers(connection.ends().1.ip()) as u32;
        let (sent, received) = known.scales.unwrap_or_default();
        self.0[1] = match (known.recovers, known.by_timeout) {
            (true, true) => LOSS,
            (true, false) => RECOVERY,
            _ => OPEN,
        };
        self.0[5] = (u8::from(known.has_sack) * HAS_SACK) | (u8::from(known.scales.is_some()) * HAS_SCALES);
        self.0[6] = (sent & 0xf) | (received << 4);
        let counted = known.counters;
        put!(
            self,
            tcpi_rto: us(known.retransmission_timeout),
            tcpi_snd_mss: known.mss as u32,
            tcpi_rcv_mss: mss,
            tcpi_advmss: mss,
            tcpi_pmtu: mtu,
            tcpi_unacked: segments(known.flight),
            tcpi_sacked: segments(known.flight.saturating_sub(known.pipe)),
            tcpi_rtt: rtt,
            tcpi_rttvar: variation,
            tcpi_snd_ssthresh: known.threshold.map_or(NO_THRESHOLD, segments),
            tcpi_snd_cwnd: segments(known.window),
            tcpi_reordering: known.reordering as u32,
            tcpi_total_retrans: counted.retransmissions,
            tcpi_bytes_acked: counted.acknowledged,
            tcpi_bytes_received: counted.received,
            tcpi_segs_out: counted.segments_out,
            tcpi_segs_in: counted.segments_in,
            tcpi_notsent_bytes: known.unsent as u32,
            tcpi_data_segs_in: counted.data_segments_in,
            tcpi_data_segs_out: counted.data_segments_out,
            tcpi_bytes_sent: counted.sent,
            tcpi_bytes_retrans: counted.sent_again,
            tcpi_snd_wnd: known.remote_window as u32,
        );
    }
}

#[cfg(test)]
mod tests {
    use super::*;

    #[test]
    fn fields_are_where_linux_has_them() {
        let mut info = Info([0; INFO]);
        put!(info, tcpi_rtt: 7u32, tcpi_bytes_acked: 9u64);
        assert_eq!((info.0[68], info.0[120], offset_of!(net::tcp_info, tcpi_snd_wnd)), (7, 9, 228));
    }
}

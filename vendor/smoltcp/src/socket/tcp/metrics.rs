use crate::time::{Duration, Instant};

use super::{Recovery, Socket};

/// The shortest segments that a path can ask for; Linux's, for a path of 552 octets.
const PATH_MSS_MIN: usize = 512;

/// Facts about a connection, for those who watch it.
#[derive(Debug, Clone, Copy, PartialEq, Eq)]
#[cfg_attr(feature = "defmt", derive(defmt::Format))]
pub struct Metrics {
    /// Smoothed round trip time and its variation, once it was measured; in steps of a millisecond.
    pub round_trip: Option<(Duration, Duration)>,
    /// Time after which unacknowledged data is sent again.
    pub retransmission_timeout: Duration,
    /// Most octets in a segment to the remote.
    pub mss: usize,
    /// Congestion window, and the slow start threshold if there has been a loss, in octets.
    pub window: usize,
    pub threshold: Option<usize>,
    /// Octets transmitted and not acknowledged, and those of them that are assumed to be under way.
    pub flight: usize,
    pub pipe: usize,
    /// Octets that wait to be transmitted.
    pub unsent: usize,
    /// Segments that a loss must be reordered by not to be one.
    pub reordering: usize,
    /// Window of the remote, in octets.
    pub remote_window: usize,
    /// Shifts of both windows (remote, local), if the remote has window scaling.
    pub scales: Option<(u8, u8)>,
    /// Whether the remote sends selective acknowledgements.
    pub has_sack: bool,
    /// Whether lost data is being recovered, and whether a time-out has begun that.
    pub recovers: bool,
    pub by_timeout: bool,
    /// What was counted so far.
    pub counters: Counters,
}

/// Counts of what a connection has sent and received.
#[derive(Debug, Clone, Copy, Default, PartialEq, Eq)]
#[cfg_attr(feature = "defmt", derive(defmt::Format))]
pub struct Counters {
    /// Octets of data that the remote has acknowledged.
    pub acknowledged: u64,
    /// Octets of data received in order.
    pub received: u64,
    /// Octets of data sent, with those sent again; and the latter alone.
    pub sent: u64,
    pub sent_again: u64,
    /// Segments received and sent, and those of them with data.
    pub segments_in: u32,
    pub segments_out: u32,
    pub data_segments_in: u32,
    pub data_segments_out: u32,
    /// Segments that were sent again.
    pub retransmissions: u32,
}

impl Counters {
    /// Count what a packet carries that is sent as segments of at most `mss` octets.
    pub(super) fn on_send(&mut self, octets: usize, mss: usize, again: bool) {
        let segments = octets.div_ceil(mss.max(1)) as u32;
        self.segments_out = self.segments_out.wrapping_add(segments.max(1));
        self.data_segments_out = self.data_segments_out.wrapping_add(segments);
        self.sent += octets as u64;
        if again {
            self.sent_again += octets as u64;
            self.retransmissions = self.retransmissions.wrapping_add(segments.max(1));
        }
    }

    /// Count a segment that has arrived, with so much data.
    pub(super) fn on_receive(&mut self, octets: usize) {
        self.segments_in = self.segments_in.wrapping_add(1);
        self.data_segments_in = self.data_segments_in.wrapping_add(u32::from(octets > 0));
    }
}

impl Socket<'_> {
    /// Return what is known of the connection.
    pub fn metrics(&self) -> Metrics {
        let controller = self.congestion_controller.inner();
        let millis = |ms: u32| Duration::from_millis(ms.into());
        let rtte = &self.rtte;
        let threshold = controller.threshold();
        let by_timeout = matches!(
            self.recovery,
            Some(Recovery {
                by_timeout: true,
                ..
            })
        );
        let flight = self.flight_size();
        let options = if self.timestamp_enabled() { 12 } else { 0 };
        Metrics {
            round_trip: rtte
                .have_measurement
                .then(|| (millis(rtte.srtt), millis(rtte.rttvar))),
            retransmission_timeout: millis(rtte.rto),
            mss: self.remote_mss.saturating_sub(options),
            window: controller.window(),
            threshold: (threshold != usize::MAX).then_some(threshold),
            flight,
            pipe: if flight > 0 { self.pipe() } else { 0 },
            unsent: self.tx_buffer.len().saturating_sub(flight),
            reordering: self.reordering,
            remote_window: self.remote_win_len,
            scales: self
                .remote_win_scale
                .map(|scale| (scale, self.remote_win_shift)),
            has_sack: self.remote_has_sack,
            recovers: self.recovery.is_some(),
            by_timeout,
            counters: self.counters,
        }
    }

    /// Return whether a sequence number is one that was transmitted and is not acknowledged, as
    /// that in a message about a segment of this connection has to be (RFC 5927, 4.1).
    pub fn is_in_flight(&self, seq: u32) -> bool {
        let offset = seq.wrapping_sub(self.local_seq_no.0 as u32);
        self.tuple.is_some() && (offset as usize) < self.flight_size().max(1)
    }

    /// Send segments of at most so many octets from now on, because longer ones do not reach the
    /// remote (RFC 1191): those under way are sent again once their time is over.
    ///
    /// The length is at least 512 octets, so that nobody can make segments tiny.
    pub fn limit_segments(&mut self, octets: usize) {
        self.remote_mss = self.remote_mss.min(octets.max(PATH_MSS_MIN));
        self.congestion_controller
            .inner_mut()
            .set_mss(self.remote_mss);
    }

    /// Count the time to the next keep-alive packet from `now`.
    ///
    /// See also the [set_keep_alive](#method.set_keep_alive) method.
    pub fn restart_keep_alive(&mut self, now: Instant) {
        self.timer.rewind_keep_alive(now, self.keep_alive);
    }
}

//! Every bound the server holds, in one place. What is not here is not bounded by the server.

use std::time::Duration;

/// Bounds on connections, requests and times. [`Limits::default`] is what production uses; tests shorten the times.
#[derive(Clone, Copy, Debug, PartialEq, Eq)]
pub struct Limits {
    /// Connections of one server at once. At the bound no more are accepted, and idle ones are closed sooner.
    pub connections_max: usize,
    /// Calls of one server at once, those included whose client has left. Beyond it: `ServiceUnavailable`.
    pub calls_max: usize,
    /// Bytes of a request's body. AWS's documented maximum for KMS is far below.
    pub body_bytes_max: usize,
    /// Bytes of bodies held at once by all calls of one server, counting bodies that come in more than one piece.
    pub bodies_bytes_max: usize,
    /// Bytes of an oversized body that are read and thrown away, so that the client gets to see the refusal.
    pub discarded_bytes_max: usize,
    /// Bytes of a request's head in HTTP/1 (at least 8192), and of a header list in HTTP/2.
    pub head_bytes_max: usize,
    /// Header fields of a request in HTTP/1. In HTTP/2 only the bytes are bounded, 32 of them counted per field.
    pub headers_max: usize,
    /// HTTP/2 streams of one connection at once.
    pub streams_max: u32,
    /// HTTP/2 flow control window of one stream, in bytes.
    pub stream_window_bytes: u32,
    /// HTTP/2 flow control window of one connection, in bytes.
    pub connection_window_bytes: u32,
    /// From accepting to the end of the TLS handshake.
    pub handshake_time: Duration,
    /// From the first byte of a head to its last. Enforced within one and a half times this.
    pub head_time: Duration,
    /// From the end of the head to the end of the body.
    pub body_time: Duration,
    /// How long an oversized body is read and thrown away.
    pub discard_time: Duration,
    /// From the end of the body to the answer. The call is not undone, only its client waits no longer.
    pub call_time: Duration,
    /// A connection without a request in progress; a client that does not read its answer counts as idle too.
    pub idle_time: Duration,
    /// The same while the server has no room for more connections.
    pub crowded_idle_time: Duration,
    /// How long a connection that ran out of time may take to close in good order.
    pub close_time: Duration,
    /// From the signal to stop until calls in progress are abandoned.
    pub drain_time: Duration,
    /// Pause after the operating system could not give a connection (no descriptors left).
    pub accept_pause: Duration,
}

impl Default for Limits {
    fn default() -> Self {
        Self {
            connections_max: 4096,
            calls_max: 4096,
            body_bytes_max: claviger_wire::limit::BODY_BYTES_MAX,
            bodies_bytes_max: 256 * 1024 * 1024,
            discarded_bytes_max: 16 * 1024 * 1024,
            head_bytes_max: 64 * 1024,
            headers_max: 100,
            streams_max: 128,
            stream_window_bytes: 128 * 1024,
            connection_window_bytes: 512 * 1024,
            handshake_time: Duration::from_secs(10),
            head_time: Duration::from_secs(10),
            body_time: Duration::from_secs(20),
            discard_time: Duration::from_secs(5),
            call_time: Duration::from_secs(60),
            idle_time: Duration::from_secs(120),
            crowded_idle_time: Duration::from_secs(2),
            close_time: Duration::from_secs(1),
            drain_time: Duration::from_secs(25),
            accept_pause: Duration::from_millis(100),
        }
    }
}

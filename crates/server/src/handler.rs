//! What answers requests. The AWS face, the observer face and the benchmark's limit server are handlers.

use std::future::Future;
use std::net::IpAddr;

use bytes::Bytes;
use claviger_engine::TlsFacts;
use http::Response;
use http::request::Parts;

use crate::body::{BodyFault, ReadBody};

/// Why a call gave no answer.
#[derive(Clone, Copy, Debug, PartialEq, Eq)]
pub enum CallFault {
    /// It panicked.
    Panicked,
    /// It takes longer than [`Limits::call_time`](crate::Limits::call_time). It still runs to its end.
    TimedOut,
}

/// What is known of the connection that a request came by.
#[derive(Clone, Copy, Debug)]
pub struct Connection<'c> {
    /// The peer's address; an IPv4 address also when it reached an IPv6 socket.
    pub peer: IpAddr,
    /// What TLS negotiated (`host` is empty); `None` in plain HTTP.
    pub tls: Option<&'c TlsFacts>,
}

/// Answers requests whose head and body have been read within the limits.
pub trait Handler: Send + Sync + 'static {
    /// Answers one request. Runs to its end even if the client goes away. In HTTP/2 the head has a `Host` too.
    fn answer(
        &self,
        head: Parts,
        body: ReadBody,
        connection: Connection<'_>,
    ) -> impl Future<Output = Response<Bytes>> + Send;

    /// Answers a request whose body could not be read.
    fn refuse(&self, head: &Parts, fault: BodyFault) -> Response<Bytes>;

    /// Answers a request to which [`Handler::answer`] gave no answer.
    fn failed(&self, fault: CallFault) -> Response<Bytes>;
}

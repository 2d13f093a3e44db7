//! One connection, from the first byte to the last.

use std::convert::Infallible;
use std::future::Future;
use std::net::IpAddr;
use std::pin::{Pin, pin};
use std::sync::Arc;
use std::time::Duration;

use bytes::Bytes;
use claviger_engine::TlsFacts;
use http::request::Parts;
use http::{HeaderValue, Request, Response, Version, header};
use http_body_util::Full;
use hyper::body::Incoming;
use hyper::service::service_fn;
use hyper_util::rt::{TokioExecutor, TokioIo, TokioTimer};
use hyper_util::server::conn::auto::Builder;
use tokio::io::{AsyncRead, AsyncWrite};
use tokio::time::Instant;

use crate::body::{self, BodyFault, ReadBody};
use crate::finish::{Finish, Panicked};
use crate::handler::{CallFault, Connection, Handler};
use crate::limits::Limits;
use crate::pulse::{Pulse, Verdict, Watched};
use crate::server::{InCall, Phase, Shared};
use crate::timer::within;

/// The protocol side of a server, set up once.
pub(crate) type Protocol = Builder<TokioExecutor>;

/// HTTP/1.1 and HTTP/2 within the limits.
pub(crate) fn protocol(limits: &Limits) -> Protocol {
    let mut builder = Builder::new(TokioExecutor::new());
    builder
        .http1()
        // Each answer gets the date of our clock; hyper's would never go back.
        .auto_date_header(false)
        // The pulse bounds the time of a head; hyper's own time-out would set a timer for every request.
        .header_read_timeout(None)
        .max_headers(limits.headers_max)
        // hyper refuses less with a panic.
        .max_buf_size(limits.head_bytes_max.max(8192));
    builder
        .http2()
        .auto_date_header(false)
        .timer(TokioTimer::new())
        .max_concurrent_streams(limits.streams_max)
        .initial_stream_window_size(limits.stream_window_bytes)
        .initial_connection_window_size(limits.connection_window_bytes)
        .max_header_list_size(u32::try_from(limits.head_bytes_max).unwrap_or(u32::MAX));
    builder
}

/// What all requests of one connection share.
struct State<H> {
    handler: Arc<H>,
    shared: Arc<Shared>,
    pulse: Arc<Pulse>,
    peer: IpAddr,
    tls: Option<TlsFacts>,
}

/// Serves a connection until it ends, runs out of time or the server stops.
pub(crate) async fn serve<H: Handler, S>(
    stream: S,
    peer: IpAddr,
    tls: Option<TlsFacts>,
    handler: Arc<H>,
    shared: Arc<Shared>,
) where
    S: AsyncRead + AsyncWrite + Unpin + Send + 'static,
{
    let pulse = Arc::new(Pulse::new());
    let stream = TokioIo::new(Watched::new(stream, Arc::clone(&pulse)));
    let state = Arc::new(State { handler, shared: Arc::clone(&shared), pulse: Arc::clone(&pulse), peer, tls });
    let service = service_fn(move |request| {
        let state = Arc::clone(&state);
        async move { Ok::<_, Infallible>(answer(state, request).await) }
    });
    let connection = pin!(shared.protocol.serve_connection(stream, service));
    drive(connection, &pulse, &shared).await;
}

/// A connection that can be asked to end after what is in progress.
trait Graceful: Future {
    fn finish(self: Pin<&mut Self>);
}

impl<S, I, B> Graceful for hyper_util::server::conn::auto::Connection<'_, I, S, TokioExecutor>
where
    S: hyper::service::Service<Request<Incoming>, Response = Response<B>, Error = Infallible>,
    S::Future: Send + 'static,
    B: hyper::body::Body + Send + 'static,
    B::Data: Send,
    B::Error: Into<Box<dyn std::error::Error + Send + Sync>>,
    I: hyper::rt::Read + hyper::rt::Write + Unpin + Send + 'static,
{
    fn finish(self: Pin<&mut Self>) {
        self.graceful_shutdown();
    }
}

/// Polls the connection first, and only when it waits looks at the clock and at the server's phase.
async fn drive<C: Graceful>(mut connection: Pin<&mut C>, pulse: &Pulse, shared: &Shared) {
    let mut phases = shared.phases();
    let mut phase = *phases.borrow_and_update();
    let mut asked_to_finish = false;
    let mut sleep = pin!(tokio::time::sleep(Duration::ZERO));
    loop {
        if phase == Phase::Stopped {
            return;
        }
        if phase == Phase::Draining && !asked_to_finish {
            asked_to_finish = true;
            connection.as_mut().finish();
        }
        match pulse.verdict(&shared.limits, phase == Phase::Crowded) {
            Verdict::Wait(time) => sleep.as_mut().reset(Instant::now() + time),
            Verdict::Expired => return close(connection, &shared.limits).await,
        }
        tokio::select! {
            biased;
            // Its errors are the client's (a broken frame, a closed socket): there is nobody left to tell.
            _ = connection.as_mut() => return,
            () = sleep.as_mut() => {}
            changed = phases.changed() => {
                phase = if changed.is_ok() { *phases.borrow_and_update() } else { Phase::Stopped };
            }
        }
    }
}

/// Ends a connection that ran out of time: in good order if it can be had quickly.
async fn close<C: Graceful>(mut connection: Pin<&mut C>, limits: &Limits) {
    connection.as_mut().finish();
    let _ = tokio::time::timeout(limits.close_time, connection).await;
}

/// One request: its body, then its answer.
async fn answer<H: Handler>(state: Arc<State<H>>, request: Request<Incoming>) -> Response<Full<Bytes>> {
    let (mut head, body) = request.into_parts();
    let multiplexed = head.version == Version::HTTP_2;
    let _in_progress = state.pulse.begin(multiplexed);
    if multiplexed {
        name_host(&mut head);
    }
    let call = state.shared.begin_call();
    let read = match call {
        Some(_) => body::read(&head.headers, body, &state.shared.limits, &state.shared.bodies).await,
        None => Err(BodyFault::Crowded),
    };
    let mut response = match read {
        Ok(body) => finish(&state, head, body, call).await,
        Err(fault) => {
            state.shared.metrics.body_refused(fault);
            let mut response = state.handler.refuse(&head, fault);
            // The rest of the body is not going to be read, so nothing can follow it.
            if !multiplexed {
                response.headers_mut().insert(header::CONNECTION, HeaderValue::from_static("close"));
            }
            response
        }
    };
    state.shared.dates.mark(response.headers_mut());
    response.map(Full::new)
}

/// Hands a complete request to the handler. From here on it is finished even if the client goes away.
async fn finish<H: Handler>(
    state: &Arc<State<H>>,
    head: Parts,
    body: ReadBody,
    call: Option<InCall>,
) -> Response<Bytes> {
    let owned = Arc::clone(state);
    let outcome = Finish::new(async move {
        let connection = Connection { peer: owned.peer, tls: owned.tls.as_ref() };
        let response = owned.handler.answer(head, body, connection).await;
        drop(call);
        response
    });
    let fault = match within(state.shared.limits.call_time, outcome).await {
        Some(Ok(response)) => return response,
        Some(Err(Panicked)) => CallFault::Panicked,
        None => CallFault::TimedOut,
    };
    state.shared.metrics.call_failed(fault);
    state.handler.failed(fault)
}

/// HTTP/2 names the host in `:authority`; what reads the head expects it where HTTP/1 has it.
fn name_host(head: &mut Parts) {
    if head.headers.contains_key(header::HOST) {
        return;
    }
    let authority = head.uri.authority().map(|authority| authority.as_str());
    if let Some(value) = authority.and_then(|authority| HeaderValue::from_str(authority).ok()) {
        head.headers.insert(header::HOST, value);
    }
}

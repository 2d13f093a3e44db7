//! Listeners and the life of a server: bind, accept, drain.

use std::convert::Infallible;
use std::future::Future;
use std::io;
use std::net::SocketAddr;
use std::sync::Arc;

use claviger_engine::Clock;
use claviger_secret::{LogText, event};
use tokio::net::{TcpListener, TcpStream};
use tokio::sync::{OwnedSemaphorePermit, Semaphore, mpsc, watch};
use tokio::time::timeout;

use crate::body::{Budget, Reservation};
use crate::clock::SystemClock;
use crate::connection::{self, Protocol};
use crate::date::Dates;
use crate::handler::Handler;
use crate::limits::Limits;
use crate::metrics::Metrics;
use crate::tls::{self, Tls};

/// What a server is doing; its connections watch it.
#[derive(Clone, Copy, Debug, PartialEq, Eq)]
pub(crate) enum Phase {
    /// Connections and calls are taken.
    Serving,
    /// The same, but connections are short.
    Crowded,
    /// What is in progress ends, nothing else begins.
    Draining,
    /// The time to drain is over.
    Stopped,
}

/// What all connections of a server share.
pub(crate) struct Shared {
    pub(crate) limits: Limits,
    pub(crate) protocol: Protocol,
    pub(crate) metrics: Arc<Metrics>,
    pub(crate) dates: Dates,
    pub(crate) bodies: Arc<Budget>,
    calls: Arc<Budget>,
    connections: Arc<Semaphore>,
    phase: watch::Sender<Phase>,
}

/// Held from a request's head until its call is done, also when its client has left.
pub(crate) struct InCall {
    _place: Reservation,
}

impl Shared {
    pub(crate) fn phases(&self) -> watch::Receiver<Phase> {
        self.phase.subscribe()
    }

    /// A place among the calls; `None` when all are taken.
    pub(crate) fn begin_call(&self) -> Option<InCall> {
        self.calls.reserve(1).map(|place| InCall { _place: place })
    }

    /// A place among the connections. Waits while all are taken; meanwhile idle connections end sooner.
    async fn connection(&self) -> Option<OwnedSemaphorePermit> {
        if let Ok(permit) = Arc::clone(&self.connections).try_acquire_owned() {
            return Some(permit);
        }
        if self.move_phase(Phase::Serving, Phase::Crowded) {
            event!(warn, "no room for more connections", connections = self.limits.connections_max);
        }
        let permit = Arc::clone(&self.connections).acquire_owned().await.ok()?;
        Some(permit)
    }

    fn move_phase(&self, from: Phase, to: Phase) -> bool {
        self.phase.send_if_modified(|phase| {
            let moved = *phase == from;
            if moved {
                *phase = to;
            }
            moved
        })
    }

    /// Back to long idle times once an eighth of the places is free: not at the first, or it would flicker.
    fn uncrowd(&self) {
        if *self.phase.borrow() == Phase::Crowded
            && self.connections.available_permits() > self.limits.connections_max / 8
        {
            self.move_phase(Phase::Crowded, Phase::Serving);
        }
    }
}

/// A taken address.
#[derive(Debug)]
pub struct Bound {
    listener: TcpListener,
    address: SocketAddr,
}

/// An address cannot be listened on.
#[derive(Debug, thiserror::Error)]
#[error("cannot listen on {address}: {cause}")]
pub struct BindError {
    /// The address asked for.
    pub address: SocketAddr,
    /// The operating system's reason.
    #[source]
    pub cause: io::Error,
}

/// Takes the address. Connections queue from now on and are served once a [`Server`] listens.
///
/// # Errors
/// [`BindError`], for instance when the port is taken.
pub async fn bind(address: SocketAddr) -> Result<Bound, BindError> {
    let at = |cause| BindError { address, cause };
    let listener = TcpListener::bind(address).await.map_err(at)?;
    let address = listener.local_addr().map_err(at)?;
    Ok(Bound { listener, address })
}

impl Bound {
    /// The address in use; with the port the operating system chose, when port 0 was asked for.
    #[must_use]
    pub const fn address(&self) -> SocketAddr {
        self.address
    }
}

/// How a server ended.
#[derive(Clone, Copy, Debug, PartialEq, Eq)]
pub struct Drained {
    /// Calls that were still in progress when [`Limits::drain_time`] was over; zero in a clean end.
    pub abandoned_calls: usize,
}

/// Serves any number of listeners under one set of limits. Give the observer face a server of its own, so that it
/// answers while this one drains. Dropping a server without [`Server::drain`] cuts its connections.
#[must_use = "dropping a server cuts its connections"]
pub struct Server {
    shared: Arc<Shared>,
    alive: mpsc::Sender<Infallible>,
    ended: mpsc::Receiver<Infallible>,
}

impl Server {
    /// A server without listeners. The system's clock dates its responses.
    pub fn new(limits: Limits, metrics: Arc<Metrics>) -> Self {
        Self::with_clock(limits, metrics, Arc::new(SystemClock::new()))
    }

    /// A server without listeners, whose responses are dated by this clock's [`Clock::wall`].
    pub fn with_clock(limits: Limits, metrics: Arc<Metrics>, clock: Arc<dyn Clock>) -> Self {
        let (alive, ended) = mpsc::channel(1);
        let shared = Shared {
            protocol: connection::protocol(&limits),
            bodies: Arc::new(Budget::new(limits.bodies_bytes_max)),
            calls: Arc::new(Budget::new(limits.calls_max)),
            connections: Arc::new(Semaphore::new(limits.connections_max.clamp(1, Semaphore::MAX_PERMITS))),
            phase: watch::Sender::new(Phase::Serving),
            dates: Dates::new(clock),
            metrics,
            limits,
        };
        Self { shared: Arc::new(shared), alive, ended }
    }

    /// Starts to serve a taken address. Must be called within the tokio runtime.
    pub fn listen<H: Handler>(&self, bound: Bound, tls: Option<Tls>, handler: Arc<H>) {
        event!(info, "listening", address = LogText::of(&bound.address), tls = tls.is_some());
        self.open(TcpDoor { listener: bound.listener, tls, handler });
    }

    /// Lets connections in by this door from now on.
    pub(crate) fn open<D: Door>(&self, door: D) {
        drop(tokio::spawn(accept(door, Arc::clone(&self.shared), self.alive.clone())));
    }

    /// Stops accepting, lets what is in progress end, and cuts what is left after [`Limits::drain_time`].
    pub async fn drain(self) -> Drained {
        let Self { shared, alive, mut ended } = self;
        event!(info, "draining", calls = shared.calls.used());
        shared.phase.send_replace(Phase::Draining);
        drop(alive);
        let in_time = timeout(shared.limits.drain_time, async {
            ended.recv().await;
            // Calls whose client has left belong to no connection.
            while shared.calls.used() > 0 {
                tokio::time::sleep(CALLS_LOOK).await;
            }
        });
        let _ = in_time.await;
        shared.phase.send_replace(Phase::Stopped);
        let abandoned_calls = shared.calls.used();
        event!(info, "drained", abandoned_calls = abandoned_calls);
        Drained { abandoned_calls }
    }
}

/// How often a draining server looks whether the calls without a connection are done.
const CALLS_LOOK: std::time::Duration = std::time::Duration::from_millis(5);

/// Where connections come from.
pub(crate) trait Door: Send + Sync + 'static {
    /// A connection with what serves it; without the listener, which must close while connections go on.
    type Guest: Guest;

    /// Waits for the next.
    fn accept(&self) -> impl Future<Output = io::Result<Self::Guest>> + Send;
}

/// A connection that was let in.
pub(crate) trait Guest: Send + 'static {
    /// Serves it until it ends.
    fn serve(self, shared: Arc<Shared>) -> impl Future<Output = ()> + Send;
}

async fn accept<D: Door>(door: D, shared: Arc<Shared>, alive: mpsc::Sender<Infallible>) {
    let mut phases = shared.phases();
    let stopping = phases.wait_for(|phase| matches!(phase, Phase::Draining | Phase::Stopped));
    let mut stopping = std::pin::pin!(stopping);
    loop {
        let next = async {
            let permit = shared.connection().await;
            (permit, door.accept().await)
        };
        let (permit, accepted) = tokio::select! {
            biased;
            _ = stopping.as_mut() => return,
            next = next => next,
        };
        let Some(permit) = permit else { return };
        match accepted {
            Ok(guest) => {
                let shared = Arc::clone(&shared);
                let place = Place { shared: Arc::clone(&shared), permit: Some(permit), _alive: alive.clone() };
                shared.metrics.connection_began();
                drop(tokio::spawn(async move {
                    let _place = place;
                    guest.serve(shared).await;
                }));
            }
            Err(error) if is_the_clients(&error) => {}
            Err(error) => {
                event!(warn, "cannot accept a connection", cause = LogText::of(&error));
                tokio::time::sleep(shared.limits.accept_pause).await;
            }
        }
    }
}

/// The client left before it was accepted; nothing is wrong here.
fn is_the_clients(error: &io::Error) -> bool {
    matches!(error.kind(), io::ErrorKind::ConnectionAborted | io::ErrorKind::ConnectionReset)
}

/// A connection's place; gives everything back when the connection ends, by a panic too.
struct Place {
    shared: Arc<Shared>,
    permit: Option<OwnedSemaphorePermit>,
    _alive: mpsc::Sender<Infallible>,
}

impl Drop for Place {
    fn drop(&mut self) {
        drop(self.permit.take());
        self.shared.uncrowd();
        self.shared.metrics.connection_ended();
    }
}

/// A TCP port, with TLS or without.
struct TcpDoor<H> {
    listener: TcpListener,
    tls: Option<Tls>,
    handler: Arc<H>,
}

struct TcpGuest<H> {
    stream: TcpStream,
    peer: SocketAddr,
    tls: Option<Tls>,
    handler: Arc<H>,
}

impl<H: Handler> Door for TcpDoor<H> {
    type Guest = TcpGuest<H>;

    async fn accept(&self) -> io::Result<TcpGuest<H>> {
        let (stream, peer) = self.listener.accept().await?;
        Ok(TcpGuest { stream, peer, tls: self.tls.clone(), handler: Arc::clone(&self.handler) })
    }
}

impl<H: Handler> Guest for TcpGuest<H> {
    async fn serve(self, shared: Arc<Shared>) {
        let Self { stream, peer, tls, handler } = self;
        // Answers are written whole; waiting to fill a packet would only delay them. Without it they still arrive.
        let _ = stream.set_nodelay(true);
        let peer = peer.ip().to_canonical();
        let Some(tls) = tls else {
            return connection::serve(stream, peer, None, handler, shared).await;
        };
        let mut phases = shared.phases();
        let handshake = timeout(shared.limits.handshake_time, tls.acceptor().accept(stream));
        let stopping = phases.wait_for(|phase| matches!(phase, Phase::Draining | Phase::Stopped));
        let shaken = tokio::select! {
            shaken = handshake => shaken,
            _ = stopping => return,
        };
        match shaken {
            Ok(Ok(stream)) => {
                let facts = tls::facts(stream.get_ref().1);
                connection::serve(stream, peer, Some(facts), handler, shared).await;
            }
            _ => shared.metrics.handshake_failed(),
        }
    }
}

//! What `dev` and `server` share: logging, the listeners, the timers, the end.

use std::sync::Arc;
use std::time::Duration;

use claviger_secret::event;
use claviger_server::{Timer, every};

use crate::Failure;
use crate::world::Face;

/// How often the audit log goes to disk (DESIGN.md section 9).
const AUDIT_SYNC: Duration = Duration::from_millis(50);
/// How often due work is looked for.
const DUE: Duration = Duration::from_secs(1);
/// How often every row is read again.
const SCRUB: Duration = Duration::from_secs(3600);

/// Structured logs on standard error.
pub(crate) fn log(json: bool) {
    let filter = tracing_subscriber::EnvFilter::try_from_env("CLAVIGER_LOG")
        .unwrap_or_else(|_| tracing_subscriber::EnvFilter::new("warn,claviger=info"));
    let builder = tracing_subscriber::fmt().with_env_filter(filter).with_writer(std::io::stderr).with_target(false);
    // A second call in one process keeps the first logger.
    let _ = if json { builder.json().try_init() } else { builder.try_init() };
}

/// The repeating work; it stops when this is dropped.
pub(crate) struct Timers {
    _timers: Vec<Timer>,
}

pub(crate) fn timers(face: &Arc<Face>) -> Timers {
    let audit = Arc::clone(face);
    let due = Arc::clone(face);
    let scrub = Arc::clone(face);
    let timers = vec![
        every(AUDIT_SYNC, move || {
            let world = audit.world();
            async move { world.sync_audit().await }
        }),
        every(DUE, move || {
            let world = due.world();
            async move { world.run_due().await }
        }),
        every(SCRUB, move || {
            let world = scrub.world();
            async move { world.scrub().await }
        }),
    ];
    Timers { _timers: timers }
}

/// The signals that end the program, received from now on.
pub(crate) fn stop_signal() -> Result<claviger_server::StopSignal, Failure> {
    claviger_server::StopSignal::receive().map_err(|error| format!("signals cannot be received: {error}"))
}

/// Serves until a signal asks to stop, then ends in good order.
pub(crate) async fn until_stopped(
    server: claviger_server::Server,
    operators: Option<claviger_server::Server>,
    face: &Arc<Face>,
    timers: Timers,
    stop: claviger_server::StopSignal,
    stopping: impl FnOnce(),
) -> Result<(), Failure> {
    stop.wait().await;
    stopping();
    event!(info, "stopping: calls in progress end, no others begin");
    let of_operators = async {
        match operators {
            Some(operators) => operators.drain().await.abandoned_calls,
            None => 0,
        }
    };
    let (drained, abandoned_commands) = tokio::join!(server.drain(), of_operators);
    let abandoned = drained.abandoned_calls.saturating_add(abandoned_commands);
    drop(timers);
    let world = face.world();
    if let Err(fault) = world.engine.store_time().await {
        event!(error, "the newest time seen could not be stored", fault = fault);
    }
    world.sync_audit().await;
    if abandoned > 0 {
        return Err(format!("{abandoned} calls were still in progress"));
    }
    Ok(())
}

//! Sockets, TLS, HTTP, limits, deadlines, the clock, metrics, timers.
//!
//! [`bind`] takes an address, [`Server::listen`] serves it with a [`Handler`], [`Server::drain`] ends it in good
//! order. [`Gateway`] is the handler of the AWS face and carries a request through the hops of DESIGN.md section 4;
//! [`Observer`] is the one of the observer face. [`OperatorFace`] is the operator's, on a Unix socket
//! ([`bind_operator`], [`Server::listen_operator`]), and [`give_command`] its client. [`Limits`] names every bound.
//!
//! Architecture invariants: nothing else reads the system's clock ([`SystemClock`]) or repeats work by itself
//! ([`every`]); a handler sees a request only when head and body are complete and within the limits; a handler's
//! future is finished even if the client goes away; a panic in it is one failed request.

mod body;
mod clock;
mod connection;
mod date;
mod dev;
mod egress;
mod finish;
mod gateway;
mod handler;
mod identifier;
mod key_impact;
mod limits;
mod metrics;
mod observer;
mod operator;
mod operator_client;
mod operator_organization;
mod operator_socket;
mod pulse;
mod server;
mod signal;
mod timer;
mod tls;

pub use body::{BodyFault, ReadBody};
pub use clock::SystemClock;
pub use dev::{Dev, DevClock, DevControls, DevError, DevFault, HostRule};
pub use egress::{EgressRules, HostAndPort, Outside};
pub use gateway::{Api, Gateway, Reply};
pub use handler::{CallFault, Connection, Handler};
pub use key_impact::{CallerShown, GrantShown, KeyImpact, KeyImpactShown, KeyShown, LogRead};
pub use limits::Limits;
pub use metrics::Metrics;
pub use observer::Observer;
pub use operator::{
    AccountCreate, AccountList, AccountNamed, AccountRootCredentials, AccountShown, AccountsShown, ClockShown,
    ClockStandingShown, Credentials, Explain, ExplainRequest, Explained, OperatorAnswer, OperatorFace, OperatorReply,
    OperatorRequest, Operators, Status, UnsealKind, Uptime,
};
pub use operator_client::{OperatorError, give_command};
pub use operator_organization::{
    AccountMove, LevelShown, LevelsShown, OrganizationAnswer, OrganizationRequest, PoliciesShown, PolicyAttachment,
    PolicyNamed, PolicyShown, PolicyTarget, PolicyWritten, UnitCreate, UnitNamed, UnitShown, UnitsShown,
};
pub use operator_socket::{OperatorSocket, OperatorSocketError, bind_operator};
pub use server::{BindError, Bound, Drained, Server, bind};
pub use signal::StopSignal;
pub use timer::{Timer, every};
pub use tls::{PemFault, Tls, TlsError};

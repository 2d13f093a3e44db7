//! The observer face: `/health`, `/ready`, `/metrics`.

use std::sync::Arc;

use bytes::Bytes;
use http::request::Parts;
use http::{HeaderValue, Method, Response, StatusCode, header};

use crate::body::{BodyFault, ReadBody};
use crate::handler::{CallFault, Connection, Handler};
use crate::metrics::Metrics;

/// The [`Handler`] of the observer face.
#[derive(Clone)]
pub struct Observer {
    metrics: Arc<Metrics>,
    ready: Arc<dyn Fn() -> bool + Send + Sync>,
}

impl Observer {
    /// `ready` is asked at each `/ready`; it must be quick, and false once the program is told to stop.
    #[must_use]
    pub fn new(metrics: Arc<Metrics>, ready: Arc<dyn Fn() -> bool + Send + Sync>) -> Self {
        Self { metrics, ready }
    }

    /// The answer, if the path is one of the observer face.
    pub(crate) fn respond(&self, head: &Parts) -> Option<Response<Bytes>> {
        let page: fn(&Self) -> Response<Bytes> = match head.uri.path() {
            "/health" => |_| plain(StatusCode::OK, "ok\n"),
            "/ready" => Self::ready,
            "/metrics" => Self::metrics,
            _ => return None,
        };
        if head.method != Method::GET && head.method != Method::HEAD {
            let mut response = plain(StatusCode::METHOD_NOT_ALLOWED, "only GET\n");
            response.headers_mut().insert(header::ALLOW, HeaderValue::from_static("GET, HEAD"));
            return Some(response);
        }
        Some(page(self))
    }

    fn ready(&self) -> Response<Bytes> {
        if (self.ready)() {
            plain(StatusCode::OK, "ready\n")
        } else {
            plain(StatusCode::SERVICE_UNAVAILABLE, "not ready\n")
        }
    }

    fn metrics(&self) -> Response<Bytes> {
        let mut response = Response::new(Bytes::from(self.metrics.render()));
        let form = HeaderValue::from_static("application/openmetrics-text; version=1.0.0; charset=utf-8");
        response.headers_mut().insert(header::CONTENT_TYPE, form);
        response
    }
}

impl Handler for Observer {
    async fn answer(&self, head: Parts, _body: ReadBody, _connection: Connection<'_>) -> Response<Bytes> {
        self.respond(&head).unwrap_or_else(|| plain(StatusCode::NOT_FOUND, "not found\n"))
    }

    fn refuse(&self, _head: &Parts, fault: BodyFault) -> Response<Bytes> {
        match fault {
            BodyFault::TooLarge => plain(StatusCode::PAYLOAD_TOO_LARGE, "too large\n"),
            BodyFault::TimedOut | BodyFault::Broken => plain(StatusCode::REQUEST_TIMEOUT, "the body did not come\n"),
            BodyFault::Crowded => plain(StatusCode::SERVICE_UNAVAILABLE, "too many requests at once\n"),
        }
    }

    fn failed(&self, _fault: CallFault) -> Response<Bytes> {
        plain(StatusCode::INTERNAL_SERVER_ERROR, "internal error\n")
    }
}

pub(crate) fn plain(status: StatusCode, text: &'static str) -> Response<Bytes> {
    let mut response = Response::new(Bytes::from_static(text.as_bytes()));
    *response.status_mut() = status;
    response.headers_mut().insert(header::CONTENT_TYPE, HeaderValue::from_static("text/plain; charset=utf-8"));
    response
}

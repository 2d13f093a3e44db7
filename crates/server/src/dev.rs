//! What only `claviger dev` has: the guard against web pages, and `POST /_claviger/clock|reset|faults`.

use std::net::IpAddr;
use std::sync::Arc;

use bytes::Bytes;
use claviger_api::Timestamp;
use claviger_engine::BoxFuture;
use http::request::Parts;
use http::{HeaderMap, HeaderValue, Method, Response, StatusCode, header};
use serde::de::{DeserializeOwned, Error as _};
use serde::{Deserialize, Deserializer, Serialize};

use crate::gateway::text;
use crate::observer::{Observer, plain};

/// Where the dev endpoints live.
const PREFIX: &str = "/_claviger/";

/// What the dev endpoints act on; the binary implements it.
pub trait DevControls: Send + Sync + 'static {
    /// Moves the clock forward by so many milliseconds (0: only looks) and answers once the work that fell due is
    /// done.
    fn advance(&self, millis: i64) -> BoxFuture<'_, Result<DevClock, DevError>>;

    /// Forgets everything, as at the start: data, clock, faults.
    fn reset(&self) -> BoxFuture<'_, Result<(), DevError>>;

    /// Replaces the faults in force; an empty list ends them.
    fn faults(&self, faults: Vec<DevFault>) -> BoxFuture<'_, Result<(), DevError>>;
}

/// The movable clock after it was moved.
#[derive(Clone, Copy, Debug, PartialEq, Eq)]
pub struct DevClock {
    /// What it shows.
    pub now: Timestamp,
    /// How far it is ahead of the wall clock, in milliseconds.
    pub offset_millis: i64,
}

/// One fault to inject.
#[derive(Clone, Debug, PartialEq, Deserialize)]
#[serde(deny_unknown_fields, rename_all = "snake_case")]
pub struct DevFault {
    /// The operation's name; `*` (also when absent) for every one.
    #[serde(default = "every_operation")]
    pub operation: String,
    /// The name of the error to answer, for instance `ThrottlingException`.
    pub error: Option<String>,
    /// How long to wait before the call goes on (or fails, when there is an error too), in milliseconds.
    pub delay_milliseconds: Option<u64>,
    /// The share of calls that are struck, above 0 and up to 1; all, when absent.
    pub probability: Option<f64>,
    /// How many calls are struck; all until the next change, when absent.
    pub count: Option<u32>,
}

fn every_operation() -> String {
    "*".to_owned()
}

/// Why a dev endpoint did not do what it was asked to.
#[derive(Clone, Debug, PartialEq, Eq)]
pub enum DevError {
    /// The request makes no sense; the text says why.
    Refused(String),
    /// It failed here; the text says how.
    Failed(String),
}

/// Which `Host` a request may name.
#[derive(Clone, Copy, Debug, PartialEq, Eq)]
pub enum HostRule {
    /// `localhost`, a name below it, or a loopback address. This is what keeps a web page from reaching the port
    /// under a name of its own (DNS rebinding).
    Loopback,
    /// Any, for `--danger-listen-anywhere`.
    DangerAny,
}

/// The dev part of the AWS face.
pub struct Dev {
    host: HostRule,
    allow_origins: Vec<String>,
    controls: Arc<dyn DevControls>,
    observer: Observer,
}

/// A request refused by the guard.
#[derive(Clone, Copy, Debug, PartialEq, Eq)]
pub(crate) struct Foreign;

/// A request that passed the guard, with the origin to answer to if a web page sent it.
#[derive(Debug)]
pub(crate) struct Passed(Option<HeaderValue>);

impl Passed {
    /// Lets the page that was allowed see the answer.
    pub(crate) fn mark(self, headers: &mut HeaderMap) {
        if let Some(origin) = self.0 {
            headers.insert(header::ACCESS_CONTROL_ALLOW_ORIGIN, origin);
            headers.insert(header::ACCESS_CONTROL_EXPOSE_HEADERS, HeaderValue::from_static("x-amzn-requestid"));
            headers.insert(header::VARY, HeaderValue::from_static("origin"));
        }
    }
}

impl Dev {
    /// `allow_origins`: the origins of web pages that may call, such as `http://localhost:3000`.
    #[must_use]
    pub fn new(host: HostRule, allow_origins: Vec<String>, controls: Arc<dyn DevControls>, observer: Observer) -> Self {
        Self { host, allow_origins, controls, observer }
    }

    /// Any web page can make a browser send requests to a port of this machine. Browsers mark them: with the page's
    /// origin, with `Sec-Fetch-...`, or with the name the page knows the machine by.
    pub(crate) fn guard(&self, head: &Parts) -> Result<Passed, Foreign> {
        if self.host == HostRule::Loopback && !is_loopback(text(&head.headers, &header::HOST)) {
            return Err(Foreign);
        }
        let mut origins = head.headers.get_all(header::ORIGIN).iter();
        match (origins.next(), origins.next()) {
            (None, _) if head.headers.keys().any(|name| name.as_str().starts_with("sec-fetch-")) => Err(Foreign),
            (None, _) => Ok(Passed(None)),
            (Some(origin), None)
                if self.allow_origins.iter().any(|allowed| allowed.as_bytes() == origin.as_bytes()) =>
            {
                Ok(Passed(Some(origin.clone())))
            }
            _ => Err(Foreign),
        }
    }

    /// The answer, if the request is for the dev endpoints or the observer face.
    pub(crate) async fn answer(&self, head: &Parts, body: &[u8]) -> Option<Response<Bytes>> {
        if head.method == Method::OPTIONS && head.headers.contains_key(header::ORIGIN) {
            return Some(preflight(head));
        }
        let Some(endpoint) = head.uri.path().strip_prefix(PREFIX) else { return self.observer.respond(head) };
        if head.method != Method::POST {
            return Some(plain(StatusCode::METHOD_NOT_ALLOWED, "only POST\n"));
        }
        let result = match endpoint {
            "clock" => self.clock(body).await,
            "reset" => self.controls.reset().await.map(|()| "{}".to_owned()),
            "faults" => self.faults(body).await,
            _ => return Some(plain(StatusCode::NOT_FOUND, "not found\n")),
        };
        Some(match result {
            Ok(body) => json(StatusCode::OK, body),
            Err(DevError::Refused(message)) => json(StatusCode::BAD_REQUEST, told(message)),
            Err(DevError::Failed(message)) => json(StatusCode::INTERNAL_SERVER_ERROR, told(message)),
        })
    }

    async fn clock(&self, body: &[u8]) -> Result<String, DevError> {
        let ClockRequest { advance } = parse(body)?;
        let clock = self.controls.advance(advance.map_or(0, |span| span.0)).await?;
        #[derive(Serialize)]
        struct Shown {
            now: String,
            offset_milliseconds: i64,
        }
        Ok(write(&Shown { now: clock.now.to_iso8601(), offset_milliseconds: clock.offset_millis }))
    }

    async fn faults(&self, body: &[u8]) -> Result<String, DevError> {
        let FaultsRequest { faults } = parse(body)?;
        for fault in &faults {
            sensible(fault)?;
        }
        self.controls.faults(faults).await.map(|()| "{}".to_owned())
    }
}

#[derive(Deserialize)]
#[serde(deny_unknown_fields)]
struct ClockRequest {
    advance: Option<Span>,
}

#[derive(Deserialize)]
#[serde(deny_unknown_fields)]
struct FaultsRequest {
    faults: Vec<DevFault>,
}

fn sensible(fault: &DevFault) -> Result<(), DevError> {
    if fault.error.is_none() && fault.delay_milliseconds.is_none() {
        return Err(DevError::Refused("a fault needs an error or a delay_milliseconds".to_owned()));
    }
    if fault.probability.is_some_and(|share| !(share > 0.0 && share <= 1.0)) {
        return Err(DevError::Refused("a probability is above 0 and at most 1".to_owned()));
    }
    Ok(())
}

/// A length of time in milliseconds: `400d`, `1h30m`, `90s`, `250ms`.
#[derive(Clone, Copy, Debug, PartialEq, Eq)]
struct Span(i64);

impl Span {
    fn parse(text: &str) -> Option<Self> {
        let mut rest = text;
        let mut total = 0_i64;
        while !rest.is_empty() {
            let digits = rest.find(|character: char| !character.is_ascii_digit())?;
            let (number, unit) = rest.split_at(digits);
            let end = unit.find(|character: char| character.is_ascii_digit()).unwrap_or(unit.len());
            let (unit, next) = unit.split_at(end);
            let millis = match unit {
                "ms" => 1,
                "s" => 1000,
                "m" => 60_000,
                "h" => 3_600_000,
                "d" => 86_400_000,
                _ => return None,
            };
            total = total.checked_add(number.parse::<i64>().ok()?.checked_mul(millis)?)?;
            rest = next;
        }
        (!text.is_empty()).then_some(Self(total))
    }
}

impl<'de> Deserialize<'de> for Span {
    fn deserialize<D: Deserializer<'de>>(deserializer: D) -> Result<Self, D::Error> {
        let text = String::deserialize(deserializer)?;
        Self::parse(&text).ok_or_else(|| D::Error::custom("a time is written like 400d, 1h30m, 90s or 250ms"))
    }
}

fn parse<T: DeserializeOwned>(body: &[u8]) -> Result<T, DevError> {
    let body = if body.is_empty() { b"{}" } else { body };
    serde_json::from_slice(body).map_err(|error| DevError::Refused(error.to_string()))
}

fn write(value: &impl Serialize) -> String {
    serde_json::to_string(value).unwrap_or_else(|_| "{}".to_owned())
}

fn told(message: String) -> String {
    #[derive(Serialize)]
    struct Told {
        message: String,
    }
    write(&Told { message })
}

fn json(status: StatusCode, body: String) -> Response<Bytes> {
    let mut response = Response::new(Bytes::from(body));
    *response.status_mut() = status;
    response.headers_mut().insert(header::CONTENT_TYPE, HeaderValue::from_static("application/json"));
    response
}

/// What a browser asks before it lets an allowed page send headers like `Authorization`.
fn preflight(head: &Parts) -> Response<Bytes> {
    let mut response = Response::new(Bytes::new());
    *response.status_mut() = StatusCode::NO_CONTENT;
    let headers = response.headers_mut();
    headers.insert(header::ACCESS_CONTROL_ALLOW_METHODS, HeaderValue::from_static("GET, POST"));
    if let Some(asked) = head.headers.get(header::ACCESS_CONTROL_REQUEST_HEADERS) {
        headers.insert(header::ACCESS_CONTROL_ALLOW_HEADERS, asked.clone());
    }
    response
}

fn is_loopback(host: &str) -> bool {
    let name = match host.strip_prefix('[') {
        Some(bracketed) => bracketed.split(']').next().unwrap_or(""),
        None => host.split(':').next().unwrap_or(""),
    };
    let name = name.trim_end_matches('.').to_ascii_lowercase();
    name == "localhost"
        || name.ends_with(".localhost")
        || name.parse::<IpAddr>().is_ok_and(|address| address.to_canonical().is_loopback())
}

#[cfg(test)]
mod tests {
    #![expect(clippy::unwrap_used, reason = "tests")]

    use super::*;
    use crate::metrics::Metrics;

    struct Nothing;

    impl DevControls for Nothing {
        fn advance(&self, millis: i64) -> BoxFuture<'_, Result<DevClock, DevError>> {
            Box::pin(async move { Ok(DevClock { now: Timestamp::from_millis(0), offset_millis: millis }) })
        }
        fn reset(&self) -> BoxFuture<'_, Result<(), DevError>> {
            Box::pin(async { Err(DevError::Failed("no \"store\"".to_owned())) })
        }
        fn faults(&self, _faults: Vec<DevFault>) -> BoxFuture<'_, Result<(), DevError>> {
            Box::pin(async { Ok(()) })
        }
    }

    fn dev(host: HostRule) -> Dev {
        let observer = Observer::new(Arc::new(Metrics::default()), Arc::new(|| true));
        Dev::new(host, vec!["http://localhost:3000".to_owned()], Arc::new(Nothing), observer)
    }

    fn head(path: &str, headers: &[(&str, &str)]) -> Parts {
        let mut request = http::Request::post(path);
        for (name, value) in headers {
            request = request.header(*name, *value);
        }
        request.body(()).unwrap().into_parts().0
    }

    #[test]
    fn hosts() {
        for host in
            ["localhost", "LOCALHOST:8080", "kms.localhost", "127.0.0.1:1", "127.9.9.9", "[::1]:8080", "localhost."]
        {
            assert!(is_loopback(host), "{host}");
        }
        for host in [
            "",
            "example.com",
            "localhost.example.com",
            "127.0.0.1.example.com",
            "0.0.0.0",
            "10.0.0.1",
            "notlocalhost",
            "[::2]",
        ] {
            assert!(!is_loopback(host), "{host}");
        }
    }

    #[track_caller]
    fn check_guard(host: HostRule, headers: &[(&str, &str)], expected: bool) {
        assert_eq!(dev(host).guard(&head("/", headers)).is_ok(), expected, "{headers:?}");
    }

    #[test]
    fn web_pages_are_refused() {
        let local = ("host", "localhost:8080");
        check_guard(HostRule::Loopback, &[local], true);
        check_guard(HostRule::Loopback, &[], false);
        check_guard(HostRule::Loopback, &[("host", "evil.example")], false);
        check_guard(HostRule::DangerAny, &[("host", "kms.test")], true);
        check_guard(HostRule::Loopback, &[local, ("origin", "https://evil.example")], false);
        check_guard(HostRule::DangerAny, &[local, ("origin", "null")], false);
        check_guard(HostRule::Loopback, &[local, ("sec-fetch-mode", "no-cors")], false);
        check_guard(
            HostRule::Loopback,
            &[local, ("origin", "http://localhost:3000"), ("sec-fetch-mode", "cors")],
            true,
        );
        let two = [local, ("origin", "http://localhost:3000"), ("origin", "https://evil.example")];
        check_guard(HostRule::Loopback, &two, false);
    }

    #[test]
    fn spans() {
        assert_eq!(Span::parse("400d"), Some(Span(400 * 86_400_000)));
        assert_eq!(Span::parse("1h30m"), Some(Span(5_400_000)));
        assert_eq!(Span::parse("250ms"), Some(Span(250)));
        for text in ["", "5", "d", "-1d", "1.5h", "1d 2h", "99999999999999999999d", "999999999999999d", "1w"] {
            assert_eq!(Span::parse(text), None, "{text}");
        }
    }

    #[track_caller]
    fn check(path: &str, body: &str, status: u16, expected: &str) {
        let runtime = tokio::runtime::Builder::new_current_thread().build().unwrap();
        let response = runtime.block_on(dev(HostRule::Loopback).answer(&head(path, &[]), body.as_bytes())).unwrap();
        assert_eq!(std::str::from_utf8(response.body()).unwrap(), expected);
        assert_eq!(response.status().as_u16(), status);
    }

    #[test]
    fn endpoints() {
        check(
            "/_claviger/clock",
            r#"{"advance":"2s"}"#,
            200,
            r#"{"now":"1970-01-01T00:00:00Z","offset_milliseconds":2000}"#,
        );
        check("/_claviger/reset", "", 500, r#"{"message":"no \"store\""}"#);
        check("/_claviger/faults", r#"{"faults":[{"error":"ThrottlingException","count":1}]}"#, 200, "{}");
        check(
            "/_claviger/faults",
            r#"{"faults":[{}]}"#,
            400,
            r#"{"message":"a fault needs an error or a delay_milliseconds"}"#,
        );
        check("/_claviger/other", "", 404, "not found\n");
    }
}

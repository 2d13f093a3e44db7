//! The AWS face over a socket: signed requests through every hop, with a stand-in for the services.
#![expect(clippy::unwrap_used, clippy::panic, reason = "tests")]

use std::net::SocketAddr;
use std::sync::Arc;
use std::sync::atomic::{AtomicU64, Ordering};

use bytes::Bytes;
use claviger_api::{
    Operation, Refusal, Request as ApiRequest, Response as ApiResponse, SignatureClaim, Violations, kms,
};
use claviger_audit::{Event, EventType, Log, Time, Value};
use claviger_engine::{BoxFuture, CallMeta, Caller, Chance, Clock as _, Fault};
use claviger_secret::SecretBytes;
use claviger_server::{
    Api, Dev, DevClock, DevControls, DevError, DevFault, Gateway, HostRule, Limits, Metrics, Observer, Reply, Server,
    SystemClock, bind,
};
use claviger_wire::sigv4::{Credentials, Scope, sign};
use http::{HeaderMap, Request, StatusCode};
use http_body_util::{BodyExt as _, Full};
use hyper_util::rt::TokioIo;
use tokio::net::TcpStream;

/// Knows one access key, answers `GenerateRandom` with the source address and notes each call in a log.
struct StandIn(Log);

impl StandIn {
    fn record<T>(&self, value: T) -> claviger_audit::Recorded<T> {
        let call = claviger_audit::Call {
            event_type: EventType::ApiCall,
            time: Time::from_millis(0),
            source: "kms.amazonaws.com".into(),
            name: "GenerateRandom".into(),
            region: "eu-central-1".into(),
            identity: Value::Null,
            source_address: "127.0.0.1".into(),
            user_agent: None,
            request_id: None,
            event_id: "event".into(),
            recipient_account: "000000000000".into(),
            tls_details: None,
        };
        let pending = self.0.open_call(call);
        self.0.append(pending, &Event::new(true), value).unwrap()
    }
}

impl Api for StandIn {
    fn authenticate<'a>(&'a self, claim: SignatureClaim, meta: &'a CallMeta) -> BoxFuture<'a, Result<Caller, Refusal>> {
        assert_eq!(meta.user_agent.as_str(), "test/1");
        Box::pin(async move {
            let known = claim.access_key_id == "AKIAIOSFODNN7EXAMPLE";
            if known { Ok(Caller::system(&claim.region)) } else { Err(Refusal::UnrecognizedClient) }
        })
    }

    fn call(&self, caller: Caller, meta: CallMeta, request: ApiRequest) -> BoxFuture<'_, Result<Reply, Refusal>> {
        assert_eq!(caller.region(), "eu-central-1");
        Box::pin(async move {
            match request {
                ApiRequest::Kms(kms::Request::GenerateRandom(_)) => {
                    let plaintext = Some(SecretBytes::from_slice(meta.source_address.to_string().as_bytes()));
                    let response = kms::GenerateRandomResponse { plaintext, ciphertext_for_recipient: None };
                    let response = ApiResponse::Kms(kms::Response::GenerateRandom(response));
                    Ok(self.record(Ok(response)))
                }
                ApiRequest::Kms(kms::Request::ListKeys(_)) => panic!("as intended by the test"),
                _ => Err(Refusal::InternalFailure),
            }
        })
    }

    fn call_unsigned(&self, _: CallMeta, _: claviger_api::Request) -> BoxFuture<'_, Result<Reply, Refusal>> {
        Box::pin(async { Err(Refusal::MissingAuthenticationToken) })
    }

    fn invalid(
        &self,
        _caller: Option<Caller>,
        _meta: CallMeta,
        operation: Operation,
        violations: Violations,
    ) -> BoxFuture<'_, Result<Reply, Refusal>> {
        let error = claviger_wire::validation_error(operation, violations);
        Box::pin(async move { Ok(self.record(Err(error))) })
    }
}

struct Counting(AtomicU64);

impl Chance for Counting {
    fn fill(&self, buffer: &mut [u8]) -> Result<(), Fault> {
        let count = self.0.fetch_add(1, Ordering::Relaxed).to_be_bytes();
        buffer.iter_mut().zip(count.iter().cycle()).for_each(|(to, from)| *to = *from);
        Ok(())
    }
}

struct Controls(SystemClock);

impl DevControls for Controls {
    fn advance(&self, millis: i64) -> BoxFuture<'_, Result<DevClock, DevError>> {
        Box::pin(async move {
            let offset_millis = self.0.advance(millis);
            Ok(DevClock { now: self.0.now(), offset_millis })
        })
    }
    fn reset(&self) -> BoxFuture<'_, Result<(), DevError>> {
        Box::pin(async { Ok(()) })
    }
    fn faults(&self, faults: Vec<DevFault>) -> BoxFuture<'_, Result<(), DevError>> {
        Box::pin(async move { Err(DevError::Refused(format!("{} faults", faults.len()))) })
    }
}

struct Running {
    _server: Server,
    address: SocketAddr,
    metrics: Arc<Metrics>,
}

async fn start(dev: bool) -> Running {
    let metrics = Arc::new(Metrics::default());
    let server = Server::new(Limits::default(), Arc::clone(&metrics));
    let api = Arc::new(StandIn(Log::in_memory(100)));
    let mut gateway = Gateway::new(api, Arc::new(Counting(AtomicU64::new(0))), Arc::clone(&metrics));
    if dev {
        let observer = Observer::new(Arc::clone(&metrics), Arc::new(|| true));
        let origins = vec!["http://localhost:3000".to_owned()];
        gateway =
            gateway.with_dev(Dev::new(HostRule::Loopback, origins, Arc::new(Controls(SystemClock::new())), observer));
    }
    let bound = bind(SocketAddr::from(([127, 0, 0, 1], 0))).await.unwrap();
    let address = bound.address();
    server.listen(bound, None, Arc::new(gateway));
    Running { _server: server, address, metrics }
}

struct Answer {
    status: StatusCode,
    headers: HeaderMap,
    body: String,
}

async fn send(running: &Running, request: Request<Vec<u8>>) -> Answer {
    let stream = TcpStream::connect(running.address).await.unwrap();
    let (mut sender, connection) = hyper::client::conn::http1::handshake(TokioIo::new(stream)).await.unwrap();
    tokio::spawn(connection);
    let response = sender.send_request(request.map(|body| Full::new(Bytes::from(body)))).await.unwrap();
    let (head, body) = response.into_parts();
    assert_eq!(head.headers.get_all("date").iter().count(), 1, "every face dates its answers once");
    let body = body.collect().await.unwrap().to_bytes();
    Answer { status: head.status, headers: head.headers, body: String::from_utf8(body.to_vec()).unwrap() }
}

fn kms_request(operation: &str, body: &str) -> Request<Vec<u8>> {
    Request::post("/")
        .header("host", "localhost:8080")
        .header("user-agent", "test/1")
        .header("content-type", "application/x-amz-json-1.1")
        .header("x-amz-target", format!("TrentService.{operation}"))
        .body(body.as_bytes().to_vec())
        .unwrap()
}

fn signed(access_key_id: &str, request: Request<Vec<u8>>) -> Request<Vec<u8>> {
    let (mut head, body) = request.into_parts();
    let credentials = Credentials {
        access_key_id: access_key_id.to_owned(),
        secret_access_key: SecretBytes::from_slice(b"wJalrXUtnFEMI/K7MDENG/bPxRfiCYEXAMPLEKEY"),
        session_token: None,
    };
    let scope = Scope { region: "eu-central-1", service: "kms" };
    sign(&mut head, &body, &credentials, scope, SystemClock::new().wall()).unwrap();
    Request::from_parts(head, body)
}

const KNOWN: &str = "AKIAIOSFODNN7EXAMPLE";

#[tokio::test]
async fn a_signed_request_goes_through_every_hop() {
    let running = start(false).await;
    let answer = send(&running, signed(KNOWN, kms_request("GenerateRandom", r#"{"NumberOfBytes":9}"#))).await;
    assert_eq!((answer.status, answer.body.as_str()), (StatusCode::OK, r#"{"Plaintext":"MTI3LjAuMC4x"}"#));
    assert_eq!(answer.headers.get("x-amzn-requestid").unwrap(), "00000000-0000-4000-8000-000000000000");
    let metrics = running.metrics.render();
    let line = r#"claviger_calls_total{service="kms",operation="GenerateRandom",outcome="success"} 1"#;
    assert!(metrics.contains(line), "{metrics}");
}

#[track_caller]
fn is_error(answer: &Answer, code: &str) {
    assert_eq!(answer.status, StatusCode::BAD_REQUEST, "{}", answer.body);
    assert!(answer.body.contains(code), "{}", answer.body);
    assert!(answer.headers.contains_key("x-amzn-requestid"));
}

#[tokio::test]
async fn refusals_come_in_the_envelope_of_the_protocol() {
    let running = start(false).await;
    is_error(&send(&running, kms_request("GenerateRandom", "{}")).await, "MissingAuthenticationTokenException");
    let foreign = signed("AKIAFOREIGN000000000", kms_request("GenerateRandom", "{}"));
    is_error(&send(&running, foreign).await, "UnrecognizedClientException");
    is_error(&send(&running, signed(KNOWN, kms_request("NoSuch", "{}"))).await, "UnknownOperationException");
    for body in ["{", "\u{0}", r#"{"NumberOfBytes":"a"}"#, r#"{"NumberOfBytes":1,"NumberOfBytes":2}"#] {
        is_error(&send(&running, signed(KNOWN, kms_request("GenerateRandom", body))).await, "SerializationException");
    }
    let outside = signed(KNOWN, kms_request("GenerateRandom", r#"{"NumberOfBytes":5000}"#));
    is_error(&send(&running, outside).await, "ValidationException");
    let metrics = running.metrics.render();
    assert!(metrics.contains(r#"claviger_refusals_total{reason="serialization"} 4"#), "{metrics}");
    assert!(metrics.contains(r#"operation="GenerateRandom",outcome="sender_fault"} 1"#), "{metrics}");
}

#[tokio::test]
async fn a_body_over_the_limit_is_refused_in_the_envelope() {
    let running = start(false).await;
    let huge = "a".repeat(10_000_000);
    let answer = send(&running, kms_request("GenerateRandom", &huge)).await;
    assert!(answer.status.is_client_error() && !answer.body.is_empty(), "{} {}", answer.status, answer.body);
    assert!(answer.headers.contains_key("x-amzn-requestid"));
}

#[tokio::test]
async fn a_panic_is_an_internal_failure() {
    let running = start(false).await;
    let answer = send(&running, signed(KNOWN, kms_request("ListKeys", "{}"))).await;
    assert_eq!(answer.status, StatusCode::INTERNAL_SERVER_ERROR);
    assert!(answer.headers.contains_key("x-amzn-requestid"));
}

fn get(path: &str) -> Request<Vec<u8>> {
    Request::get(path).header("host", "localhost").header("user-agent", "test/1").body(Vec::new()).unwrap()
}

#[tokio::test]
async fn production_has_no_dev_endpoints_and_no_observer_on_the_main_port() {
    let running = start(false).await;
    for path in ["/health", "/metrics", "/_claviger/clock"] {
        assert!(!send(&running, get(path)).await.status.is_success(), "{path}");
    }
    let reset = Request::post("/_claviger/reset").header("host", "localhost").body(Vec::new()).unwrap();
    assert!(!send(&running, reset).await.status.is_success());
    let foreign = kms_request("GenerateRandom", r#"{"NumberOfBytes":9}"#);
    let (mut head, body) = foreign.into_parts();
    head.headers.insert("host", "kms.example.com".parse().unwrap());
    let answer = send(&running, signed(KNOWN, Request::from_parts(head, body))).await;
    assert_eq!(answer.status, StatusCode::OK, "{}", answer.body);
}

#[tokio::test]
async fn dev_answers_all_three_faces_on_one_port() {
    let running = start(true).await;
    assert_eq!(send(&running, get("/health")).await.body, "ok\n");
    assert_eq!(send(&running, get("/ready")).await.body, "ready\n");
    assert!(send(&running, get("/metrics")).await.body.ends_with("# EOF\n"));
    let clock = |body: &str| {
        Request::post("/_claviger/clock").header("host", "127.0.0.1:8080").body(body.as_bytes().to_vec()).unwrap()
    };
    let answer = send(&running, clock(r#"{"advance":"400d"}"#)).await;
    assert!(answer.body.ends_with(r#""offset_milliseconds":34560000000}"#), "{}", answer.body);
    assert_eq!(send(&running, clock(r#"{"advance":"soon"}"#)).await.status, StatusCode::BAD_REQUEST);
    let aws = send(&running, signed(KNOWN, kms_request("GenerateRandom", r#"{"NumberOfBytes":9}"#))).await;
    assert_eq!(aws.status, StatusCode::OK, "{}", aws.body);
}

#[tokio::test]
async fn dev_refuses_web_pages_unless_allowed() {
    let running = start(true).await;
    let from = |origin: &str| {
        Request::post("/_claviger/reset").header("host", "localhost").header("origin", origin).body(Vec::new()).unwrap()
    };
    let refused = send(&running, from("https://evil.example")).await;
    assert_eq!(refused.status, StatusCode::FORBIDDEN, "{}", refused.body);
    assert!(!refused.headers.contains_key("access-control-allow-origin"));
    let allowed = send(&running, from("http://localhost:3000")).await;
    assert_eq!((allowed.status, allowed.body.as_str()), (StatusCode::OK, "{}"));
    assert_eq!(allowed.headers.get("access-control-allow-origin").unwrap(), "http://localhost:3000");
    let rebound = Request::post("/_claviger/reset").header("host", "evil.example").body(Vec::new()).unwrap();
    assert_eq!(send(&running, rebound).await.status, StatusCode::FORBIDDEN);
}

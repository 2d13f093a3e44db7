//! The server over real loopback sockets, with clients that behave and clients that do not.
#![expect(clippy::unwrap_used, clippy::indexing_slicing, clippy::panic, reason = "tests")]

use std::net::SocketAddr;
use std::sync::Arc;
use std::sync::atomic::{AtomicI64, AtomicUsize, Ordering};
use std::time::{Duration, Instant};

use bytes::Bytes;
use claviger_api::Timestamp;
use claviger_engine::Clock;
use claviger_server::{
    BodyFault, CallFault, Connection, Drained, Handler, Limits, Metrics, ReadBody, Server, SystemClock, Tls, TlsError,
    bind,
};
use http::request::Parts;
use http::{Request, Response, StatusCode};
use http_body_util::{BodyExt as _, Full};
use hyper_util::rt::{TokioExecutor, TokioIo};
use rustls::pki_types::ServerName;
use tokio::io::{AsyncReadExt as _, AsyncWriteExt as _};
use tokio::net::TcpStream;
use tokio::sync::Semaphore;
use tokio::task::JoinSet;

/// Echoes; waits at `/wait` until let go; panics at `/panic`; tells what it knows at `/facts`.
struct Echo {
    let_go: Semaphore,
    begun: AtomicUsize,
    finished: AtomicUsize,
}

impl Handler for Echo {
    async fn answer(&self, head: Parts, body: ReadBody, connection: Connection<'_>) -> Response<Bytes> {
        self.begun.fetch_add(1, Ordering::SeqCst);
        let answer = match head.uri.path() {
            "/wait" => {
                self.let_go.acquire().await.unwrap().forget();
                Bytes::from_static(b"waited")
            }
            "/panic" => panic!("as intended by the test"),
            "/facts" => {
                let host = head.headers.get("host").map(|host| host.to_str().unwrap().to_owned());
                let tls = connection.tls.map(|tls| (tls.version, tls.cipher_suite.clone(), tls.key_exchange.clone()));
                Bytes::from(format!("{} {:?} {host:?} {tls:?}", connection.peer, head.version))
            }
            _ => Bytes::copy_from_slice(body.bytes()),
        };
        self.finished.fetch_add(1, Ordering::SeqCst);
        Response::new(answer)
    }

    fn refuse(&self, _head: &Parts, fault: BodyFault) -> Response<Bytes> {
        status(match fault {
            BodyFault::TooLarge => StatusCode::PAYLOAD_TOO_LARGE,
            BodyFault::TimedOut | BodyFault::Broken => StatusCode::REQUEST_TIMEOUT,
            BodyFault::Crowded => StatusCode::SERVICE_UNAVAILABLE,
        })
    }

    fn failed(&self, fault: CallFault) -> Response<Bytes> {
        status(match fault {
            CallFault::Panicked => StatusCode::INTERNAL_SERVER_ERROR,
            CallFault::TimedOut => StatusCode::GATEWAY_TIMEOUT,
        })
    }
}

fn status(status: StatusCode) -> Response<Bytes> {
    let mut response = Response::new(Bytes::new());
    *response.status_mut() = status;
    response
}

struct Running {
    server: Server,
    address: SocketAddr,
    echo: Arc<Echo>,
    metrics: Arc<Metrics>,
}

/// Times long enough for a busy machine, unless the test shortens the one it is about.
fn limits() -> Limits {
    Limits { close_time: Duration::from_millis(50), ..Limits::default() }
}

async fn start(limits: Limits, tls: Option<Tls>) -> Running {
    start_at(limits, tls, Arc::new(SystemClock::new())).await
}

async fn start_at(limits: Limits, tls: Option<Tls>, clock: Arc<dyn Clock>) -> Running {
    let metrics = Arc::new(Metrics::default());
    let server = Server::with_clock(limits, Arc::clone(&metrics), clock);
    let bound = bind(SocketAddr::from(([127, 0, 0, 1], 0))).await.unwrap();
    let address = bound.address();
    let echo = Arc::new(Echo { let_go: Semaphore::new(0), begun: AtomicUsize::new(0), finished: AtomicUsize::new(0) });
    server.listen(bound, tls, Arc::clone(&echo));
    Running { server, address, echo, metrics }
}

impl Running {
    async fn connect(&self) -> TcpStream {
        TcpStream::connect(self.address).await.unwrap()
    }

    /// A whole request on a connection of its own, as the proof that the server still works.
    async fn works(&self) {
        let mut stream = self.connect().await;
        let answer = exchange(&mut stream, &post("/", b"still here")).await;
        assert!(answer.starts_with("HTTP/1.1 200 OK"), "{answer}");
        assert!(answer.ends_with("still here"), "{answer}");
    }

    async fn begun(&self, count: usize) {
        until(|| self.echo.begun.load(Ordering::SeqCst) >= count).await;
    }
}

async fn until(condition: impl Fn() -> bool) {
    let began = Instant::now();
    while !condition() {
        assert!(began.elapsed() < Duration::from_secs(10), "it did not happen");
        tokio::time::sleep(Duration::from_millis(2)).await;
    }
}

fn post(path: &str, body: &[u8]) -> Vec<u8> {
    let mut request =
        format!("POST {path} HTTP/1.1\r\nhost: localhost\r\ncontent-length: {}\r\n\r\n", body.len()).into_bytes();
    request.extend_from_slice(body);
    request
}

/// Sends bytes and reads one answer with a Content-Length.
async fn exchange(stream: &mut TcpStream, request: &[u8]) -> String {
    stream.write_all(request).await.unwrap();
    answer(stream).await
}

async fn answer(stream: &mut TcpStream) -> String {
    let mut text = String::new();
    let mut piece = [0; 4096];
    loop {
        let count = tokio::time::timeout(Duration::from_secs(10), stream.read(&mut piece)).await.unwrap().unwrap();
        text.push_str(std::str::from_utf8(&piece[..count]).unwrap());
        let whole = text.split_once("\r\n\r\n").is_some_and(|(head, body)| {
            let length = head.lines().find_map(|line| line.strip_prefix("content-length: ")).unwrap_or("0");
            body.len() >= length.parse().unwrap()
        });
        if whole || count == 0 {
            return text;
        }
    }
}

/// How long until the server closes; what it sends before is thrown away.
async fn closed_after(stream: &mut TcpStream) -> Duration {
    let began = Instant::now();
    let mut rest = Vec::new();
    let _ = tokio::time::timeout(Duration::from_secs(10), stream.read_to_end(&mut rest)).await.unwrap();
    began.elapsed()
}

#[tokio::test]
async fn one_connection_carries_many_requests() {
    let running = start(limits(), None).await;
    let mut stream = running.connect().await;
    for number in 0..20 {
        let body = format!("number {number}");
        assert!(exchange(&mut stream, &post("/", body.as_bytes())).await.ends_with(&body));
    }
    let two = [post("/", b"first"), post("/", b"second")].concat();
    let mut both = exchange(&mut stream, &two).await;
    if !both.contains("second") {
        both.push_str(&answer(&mut stream).await);
    }
    assert!(both.find("first") < both.find("second"), "{both}");
    assert_eq!(running.echo.finished.load(Ordering::SeqCst), 22);
}

#[tokio::test]
async fn half_a_head_is_closed_in_time_even_when_bytes_trickle() {
    let head_time = Duration::from_millis(200);
    let running = start(Limits { head_time, ..limits() }, None).await;
    let mut silent = running.connect().await;
    silent.write_all(b"POST / HTTP/1.1\r\nhost: loc").await.unwrap();
    let mut trickling = running.connect().await;
    let trickle = async {
        for _ in 0..500 {
            if trickling.write_all(b"a").await.is_err() {
                return;
            }
            tokio::time::sleep(Duration::from_millis(10)).await;
        }
        panic!("five seconds of trickling were taken");
    };
    let (silent, ()) = tokio::join!(closed_after(&mut silent), trickle);
    assert!(silent >= Duration::from_millis(150), "{silent:?}");
    assert_eq!(running.echo.begun.load(Ordering::SeqCst), 0);
    running.works().await;
}

#[tokio::test]
async fn half_a_head_after_a_whole_request_is_closed_too() {
    let running = start(Limits { head_time: Duration::from_millis(100), ..limits() }, None).await;
    let mut stream = running.connect().await;
    exchange(&mut stream, &post("/", b"whole")).await;
    stream.write_all(b"POST /").await.unwrap();
    assert!(closed_after(&mut stream).await < Duration::from_secs(5));
}

#[tokio::test]
async fn half_a_request_and_a_close_leave_nothing() {
    let running = start(limits(), None).await;
    for bytes in [
        &b"POST / HT"[..],
        b"POST / HTTP/1.1\r\nhost: x\r\ncontent-length: 10\r\n\r\nhalf",
        b"PRI * HTTP/2.0\r\n\r\nSM",
        b"",
    ] {
        let mut stream = running.connect().await;
        stream.write_all(bytes).await.unwrap();
    }
    until(|| running.metrics.render().contains("claviger_connections 0\n")).await;
    assert_eq!(running.echo.begun.load(Ordering::SeqCst), 0);
    running.works().await;
}

#[tokio::test]
async fn a_body_over_the_limit_is_refused_and_the_client_sees_it() {
    let running = start(limits(), None).await;
    let mut stream = running.connect().await;
    let refusal = exchange(&mut stream, &post("/", &vec![b'a'; 10_000_000])).await;
    assert!(refusal.starts_with("HTTP/1.1 413"), "{refusal}");
    assert!(refusal.contains("connection: close"), "{refusal}");

    let mut stream = running.connect().await;
    let mut chunked = b"POST / HTTP/1.1\r\nhost: localhost\r\ntransfer-encoding: chunked\r\n\r\n".to_vec();
    for _ in 0..100 {
        chunked.extend_from_slice(b"186a0\r\n");
        chunked.extend_from_slice(&[b'b'; 100_000]);
        chunked.extend_from_slice(b"\r\n");
    }
    chunked.extend_from_slice(b"0\r\n\r\n");
    let refusal = exchange(&mut stream, &chunked).await;
    assert!(refusal.starts_with("HTTP/1.1 413"), "{refusal}");

    let mut stream = running.connect().await;
    let asking = b"POST / HTTP/1.1\r\nhost: localhost\r\ncontent-length: 9999999999999\r\nexpect: 100-continue\r\n\r\n";
    let refusal = exchange(&mut stream, asking).await;
    assert!(refusal.starts_with("HTTP/1.1 413"), "{refusal}");
    assert_eq!(running.echo.begun.load(Ordering::SeqCst), 0);
    running.works().await;
}

#[tokio::test]
async fn a_body_of_exactly_the_limit_passes_whole() {
    let running = start(limits(), None).await;
    let body: Vec<u8> = (0..1024 * 1024).map(|number: u32| b'a' + u8::try_from(number % 26).unwrap()).collect();
    let mut stream = running.connect().await;
    let answer = exchange(&mut stream, &post("/", &body)).await;
    assert_eq!(answer.split_once("\r\n\r\n").unwrap().1.as_bytes(), body);
    body_over_by_one(&running, body).await;
}

async fn body_over_by_one(running: &Running, mut body: Vec<u8>) {
    body.push(b'a');
    let answer = exchange(&mut running.connect().await, &post("/", &body)).await;
    assert!(answer.starts_with("HTTP/1.1 413"), "{answer}");
}

#[tokio::test]
async fn a_slow_body_is_refused_in_time() {
    let running = start(Limits { body_time: Duration::from_millis(150), ..limits() }, None).await;
    let mut stream = running.connect().await;
    let began = Instant::now();
    let refusal = exchange(&mut stream, b"POST / HTTP/1.1\r\nhost: x\r\ncontent-length: 10\r\n\r\nslow").await;
    assert!(refusal.starts_with("HTTP/1.1 408"), "{refusal}");
    assert!(began.elapsed() >= Duration::from_millis(150));
    closed_after(&mut stream).await;
    running.works().await;
}

#[tokio::test]
async fn bodies_at_once_are_bounded() {
    let running = start(Limits { bodies_bytes_max: 100_000, ..limits() }, None).await;
    let mut first = running.connect().await;
    first.write_all(&post("/", &[b'a'; 90_000])[..80_000]).await.unwrap();
    tokio::time::sleep(Duration::from_millis(100)).await;
    let refusal = exchange(&mut running.connect().await, &post("/", &[b'b'; 90_000])).await;
    assert!(refusal.starts_with("HTTP/1.1 503"), "{refusal}");
    running.works().await;
    drop(first);
    tokio::time::sleep(Duration::from_millis(100)).await;
    let answer = exchange(&mut running.connect().await, &post("/", &[b'b'; 90_000])).await;
    assert!(answer.starts_with("HTTP/1.1 200"), "{}", &answer[..100]);
}

#[tokio::test]
async fn calls_at_once_are_bounded() {
    let running = start(Limits { calls_max: 2, ..limits() }, None).await;
    let mut waiting = [running.connect().await, running.connect().await];
    for stream in &mut waiting {
        stream.write_all(&post("/wait", b"")).await.unwrap();
    }
    running.begun(2).await;
    let refusal = exchange(&mut running.connect().await, &post("/", b"one too many")).await;
    assert!(refusal.starts_with("HTTP/1.1 503"), "{refusal}");
    running.echo.let_go.add_permits(2);
    for stream in &mut waiting {
        assert!(answer(stream).await.ends_with("waited"));
    }
    running.works().await;
}

#[tokio::test]
async fn an_idle_connection_is_closed_in_time_and_not_before() {
    let idle_time = Duration::from_millis(300);
    let running = start(Limits { idle_time, ..limits() }, None).await;
    let (mut silent, mut used) = (running.connect().await, running.connect().await);
    exchange(&mut used, &post("/", b"used")).await;
    let (silent, used) = tokio::join!(closed_after(&mut silent), closed_after(&mut used));
    assert!(silent >= Duration::from_millis(250) && used >= Duration::from_millis(250), "{silent:?} {used:?}");
}

#[tokio::test]
async fn a_call_longer_than_the_idle_time_is_not_idle() {
    let times = Duration::from_millis(50);
    let running = start(Limits { idle_time: times, head_time: times, ..limits() }, None).await;
    let mut stream = running.connect().await;
    stream.write_all(&post("/wait", b"")).await.unwrap();
    tokio::time::sleep(Duration::from_millis(300)).await;
    running.echo.let_go.add_permits(1);
    assert!(answer(&mut stream).await.ends_with("waited"));
}

#[tokio::test(flavor = "multi_thread")]
async fn a_thousand_idle_connections_cost_nobody_else() {
    // Each connection is two descriptors in this process; a machine that gives fewer than 2048 is not this server's.
    let running = start(limits(), None).await;
    let mut idle = Vec::new();
    for number in 0..1000 {
        match TcpStream::connect(running.address).await {
            Ok(mut stream) => {
                if number % 2 == 0 {
                    stream.write_all(b"POST / HT").await.unwrap();
                }
                idle.push(stream);
            }
            Err(error) => panic!("{number} connections: {error}"),
        }
    }
    let began = Instant::now();
    for _ in 0..10 {
        running.works().await;
    }
    assert!(began.elapsed() < Duration::from_secs(5), "{:?}", began.elapsed());
    assert!(running.metrics.render().contains("claviger_connections 10"), "{}", running.metrics.render());
    drop(idle);
    until(|| running.metrics.render().contains("claviger_connections 0\n")).await;
}

#[tokio::test]
async fn when_connections_run_out_idle_ones_make_room() {
    let few = Limits { connections_max: 3, crowded_idle_time: Duration::from_millis(100), ..limits() };
    let running = start(few, None).await;
    let idle = [running.connect().await, running.connect().await, running.connect().await];
    let began = Instant::now();
    running.works().await;
    assert!(began.elapsed() < Duration::from_secs(5));
    drop(idle);
    running.works().await;
}

#[tokio::test]
async fn what_is_not_http_is_answered_or_closed() {
    let running = start(limits(), None).await;
    let junk: [&[u8]; 7] = [
        b"\x16\x03\x01\x02\x00\x01\x00\x01\xfc\x03\x03",
        b"\x00\x00\x00\x00\r\n\r\n",
        b"GET / HTTP/9.9\r\n\r\n",
        b"POST / HTTP/1.1\r\nhost: x\r\ncontent-length: -1\r\n\r\n",
        b"POST / HTTP/1.1\r\nhost: x\r\ncontent-length: 1\r\ncontent-length: 2\r\n\r\nab",
        b"POST / HTTP/1.1\r\nhost: x\r\nbad header\r\n\r\n",
        b"POST / HTTP/1.1\r\nhost: x\r\ntransfer-encoding: chunked\r\n\r\nzz\r\n",
    ];
    for bytes in junk {
        let mut stream = running.connect().await;
        stream.write_all(bytes).await.unwrap();
        stream.shutdown().await.unwrap();
        closed_after(&mut stream).await;
    }
    assert_eq!(running.echo.begun.load(Ordering::SeqCst), 0);
    running.works().await;
}

#[tokio::test]
async fn heads_are_bounded_in_bytes_and_in_fields() {
    let running = start(limits(), None).await;
    let long = format!("POST / HTTP/1.1\r\nhost: x\r\nlong: {}\r\n\r\n", "a".repeat(70_000));
    let many = format!("POST / HTTP/1.1\r\nhost: x\r\n{}\r\n", "a: b\r\n".repeat(200));
    for head in [long, many] {
        let mut stream = running.connect().await;
        let refusal = exchange(&mut stream, head.as_bytes()).await;
        assert!(refusal.starts_with("HTTP/1.1 431"), "{refusal}");
    }
    running.works().await;
}

#[tokio::test]
async fn a_call_is_finished_though_its_client_leaves() {
    let running = start(limits(), None).await;
    let mut stream = running.connect().await;
    stream.write_all(&post("/wait", b"")).await.unwrap();
    running.begun(1).await;
    drop(stream);
    until(|| running.metrics.render().contains("claviger_connections 0\n")).await;
    assert_eq!(running.echo.finished.load(Ordering::SeqCst), 0);
    running.echo.let_go.add_permits(1);
    until(|| running.echo.finished.load(Ordering::SeqCst) == 1).await;
}

#[tokio::test]
async fn a_call_that_takes_too_long_is_answered_and_still_finished() {
    let running = start(Limits { call_time: Duration::from_millis(100), ..limits() }, None).await;
    let mut stream = running.connect().await;
    assert!(exchange(&mut stream, &post("/wait", b"")).await.starts_with("HTTP/1.1 504"));
    assert!(exchange(&mut stream, &post("/", b"same connection")).await.ends_with("same connection"));
    assert!(running.metrics.render().contains("claviger_calls_overdue_total 1"));
    running.echo.let_go.add_permits(1);
    until(|| running.echo.finished.load(Ordering::SeqCst) == 2).await;
}

#[tokio::test]
async fn a_panic_is_one_failed_request() {
    let running = start(limits(), None).await;
    let mut stream = running.connect().await;
    assert!(exchange(&mut stream, &post("/panic", b"")).await.starts_with("HTTP/1.1 500"));
    assert!(exchange(&mut stream, &post("/", b"same connection")).await.ends_with("same connection"));
    assert!(running.metrics.render().contains("claviger_panics_total 1"));
}

#[tokio::test]
async fn a_drain_waits_for_calls_and_takes_no_more() {
    let running = start(limits(), None).await;
    let mut idle = running.connect().await;
    exchange(&mut idle, &post("/", b"used")).await;
    let mut half = running.connect().await;
    half.write_all(b"POST").await.unwrap();
    let (mut waiting, mut left) = (running.connect().await, running.connect().await);
    waiting.write_all(&post("/wait", b"")).await.unwrap();
    left.write_all(&post("/wait", b"")).await.unwrap();
    running.begun(3).await;
    drop(left);

    let Running { server, address, echo, .. } = running;
    let drain = tokio::spawn(server.drain());
    closed_after(&mut idle).await;
    until_refused(address).await;
    assert!(!drain.is_finished());
    drop(half);
    echo.let_go.add_permits(2);
    let answer = answer(&mut waiting).await;
    assert!(answer.ends_with("waited") && answer.contains("connection: close"), "{answer}");
    assert_eq!(drain.await.unwrap(), Drained { abandoned_calls: 0 });
    assert_eq!(echo.finished.load(Ordering::SeqCst), 3);
}

async fn until_refused(address: SocketAddr) {
    let began = Instant::now();
    while TcpStream::connect(address).await.is_ok() {
        assert!(began.elapsed() < Duration::from_secs(5));
        tokio::time::sleep(Duration::from_millis(5)).await;
    }
}

#[tokio::test]
async fn a_drain_does_not_wait_for_ever() {
    let running = start(Limits { drain_time: Duration::from_millis(100), ..limits() }, None).await;
    let mut waiting = running.connect().await;
    waiting.write_all(&post("/wait", b"")).await.unwrap();
    running.begun(1).await;
    let began = Instant::now();
    assert_eq!(running.server.drain().await, Drained { abandoned_calls: 1 });
    assert!(began.elapsed() < Duration::from_secs(5));
    closed_after(&mut waiting).await;
}

#[tokio::test]
async fn a_taken_port_is_one_clear_line() {
    let running = start(limits(), None).await;
    let error = bind(running.address).await.unwrap_err();
    assert_eq!(error.to_string(), format!("cannot listen on {}: {}", running.address, error.cause));
}

type Sender = hyper::client::conn::http2::SendRequest<Full<Bytes>>;

async fn http2<S>(stream: S) -> Sender
where
    S: tokio::io::AsyncRead + tokio::io::AsyncWrite + Unpin + Send + 'static,
{
    let (sender, connection) =
        hyper::client::conn::http2::handshake(TokioExecutor::new(), TokioIo::new(stream)).await.unwrap();
    tokio::spawn(connection);
    sender
}

async fn ask(sender: &mut Sender, path: &str, body: impl Into<Bytes>) -> (StatusCode, Bytes) {
    let request = Request::post(format!("http://kms.test{path}")).body(Full::new(body.into())).unwrap();
    let response = sender.send_request(request).await.unwrap();
    (response.status(), response.into_body().collect().await.unwrap().to_bytes())
}

#[tokio::test]
async fn http2_streams_run_side_by_side() {
    let running = start(limits(), None).await;
    let sender = http2(running.connect().await).await;
    let mut requests = JoinSet::new();
    for number in 0..300_u32 {
        let mut sender = sender.clone();
        let body = number.to_string().repeat(100);
        requests
            .spawn(async move { assert_eq!(ask(&mut sender, "/", body.clone()).await, (StatusCode::OK, body.into())) });
    }
    while let Some(request) = requests.join_next().await {
        request.unwrap();
    }
    let mut sender = sender;
    let (_, facts) = ask(&mut sender, "/facts", "").await;
    assert_eq!(facts, r#"127.0.0.1 HTTP/2.0 Some("kms.test") None"#);
    assert_eq!(ask(&mut sender, "/panic", "").await.0, StatusCode::INTERNAL_SERVER_ERROR);
    assert_eq!(ask(&mut sender, "/", vec![0; 2_000_000]).await.0, StatusCode::PAYLOAD_TOO_LARGE);
    assert_eq!(ask(&mut sender, "/", vec![7; 1_000_000]).await, (StatusCode::OK, vec![7; 1_000_000].into()));
}

#[tokio::test]
async fn an_http2_stream_that_is_reset_is_finished() {
    let running = start(limits(), None).await;
    let mut sender = http2(running.connect().await).await;
    {
        let waiting = ask(&mut sender, "/wait", "");
        assert!(tokio::time::timeout(Duration::from_millis(100), waiting).await.is_err());
    }
    running.echo.let_go.add_permits(1);
    until(|| running.echo.finished.load(Ordering::SeqCst) == 1).await;
    assert_eq!(ask(&mut sender, "/", "same connection").await.1, "same connection");
}

#[tokio::test]
async fn an_idle_http2_connection_is_told_goodbye() {
    let running = start(Limits { idle_time: Duration::from_millis(200), ..limits() }, None).await;
    let mut sender = http2(running.connect().await).await;
    ask(&mut sender, "/", "used").await;
    until(|| sender.is_closed()).await;
}

#[tokio::test]
async fn a_drain_ends_http2_connections_too() {
    let running = start(limits(), None).await;
    let sender = http2(running.connect().await).await;
    let mut waiting = sender.clone();
    let waiting = tokio::spawn(async move { ask(&mut waiting, "/wait", "").await });
    running.begun(1).await;
    let drain = tokio::spawn(running.server.drain());
    tokio::time::sleep(Duration::from_millis(50)).await;
    running.echo.let_go.add_permits(1);
    assert_eq!(waiting.await.unwrap().1, "waited");
    assert_eq!(drain.await.unwrap(), Drained { abandoned_calls: 0 });
}

/// A self-signed certificate in PEM files, and a client that trusts it.
struct Certified {
    directory: tempfile::TempDir,
    certificate: rustls::pki_types::CertificateDer<'static>,
}

impl Certified {
    fn new() -> Self {
        let made = rcgen::generate_simple_self_signed(vec!["localhost".to_owned()]).unwrap();
        let directory = tempfile::tempdir().unwrap();
        std::fs::write(directory.path().join("certificate.pem"), made.cert.pem()).unwrap();
        std::fs::write(directory.path().join("key.pem"), made.signing_key.serialize_pem()).unwrap();
        Self { directory, certificate: made.cert.der().clone() }
    }

    fn tls(&self) -> Result<Tls, TlsError> {
        Tls::from_pem_files(&self.directory.path().join("certificate.pem"), &self.directory.path().join("key.pem"))
    }

    async fn connect(
        &self,
        running: &Running,
        version: &'static rustls::SupportedProtocolVersion,
        alpn: &[u8],
    ) -> tokio_rustls::client::TlsStream<TcpStream> {
        let mut roots = rustls::RootCertStore::empty();
        roots.add(self.certificate.clone()).unwrap();
        let provider = Arc::new(rustls::crypto::aws_lc_rs::default_provider());
        let mut config = rustls::ClientConfig::builder_with_provider(provider)
            .with_protocol_versions(&[version])
            .unwrap()
            .with_root_certificates(roots)
            .with_no_client_auth();
        config.alpn_protocols = vec![alpn.to_vec()];
        let name = ServerName::try_from("localhost").unwrap();
        let connector = tokio_rustls::TlsConnector::from(Arc::new(config));
        connector.connect(name, running.connect().await).await.unwrap()
    }
}

#[tokio::test]
async fn tls_1_3_with_the_hybrid_key_exchange() {
    let certified = Certified::new();
    let running = start(limits(), Some(certified.tls().unwrap())).await;
    let stream = certified.connect(&running, &rustls::version::TLS13, b"h2").await;
    assert_eq!(stream.get_ref().1.alpn_protocol(), Some(&b"h2"[..]));
    let (_, facts) = ask(&mut http2(stream).await, "/facts", "").await;
    let facts = std::str::from_utf8(&facts).unwrap();
    assert!(facts.contains(r#""TLSv1.3", LogText("TLS_AES_"#), "{facts}");
    assert!(facts.contains("X25519MLKEM768"), "{facts}");
}

#[tokio::test]
async fn tls_1_2_with_http_1_1() {
    let certified = Certified::new();
    let running = start(limits(), Some(certified.tls().unwrap())).await;
    let mut stream = certified.connect(&running, &rustls::version::TLS12, b"http/1.1").await;
    stream.write_all(b"GET /facts HTTP/1.1\r\nhost: localhost\r\nconnection: close\r\n\r\n").await.unwrap();
    let mut answer = String::new();
    // The server says goodbye in TLS before it closes; without that, reading to the end would be an error.
    stream.read_to_string(&mut answer).await.unwrap();
    assert!(answer.contains(r#""TLSv1.2", LogText("TLS_ECDHE_ECDSA_WITH_"#), "{answer}");
}

#[tokio::test]
async fn a_handshake_that_does_not_come_is_closed() {
    let certified = Certified::new();
    let brief = Limits { handshake_time: Duration::from_millis(100), ..limits() };
    let running = start(brief, Some(certified.tls().unwrap())).await;
    closed_after(&mut running.connect().await).await;
    let mut plain = running.connect().await;
    plain.write_all(&post("/", b"plain text on a TLS port")).await.unwrap();
    closed_after(&mut plain).await;
    until(|| running.metrics.render().contains("claviger_tls_handshakes_failed_total 2")).await;
    certified.connect(&running, &rustls::version::TLS13, b"h2").await;
}

#[tokio::test]
async fn tls_files_are_judged_with_their_names() {
    let (one, other) = (Certified::new(), Certified::new());
    let (certificate, key) = (one.directory.path().join("certificate.pem"), one.directory.path().join("key.pem"));
    let missing = one.directory.path().join("missing.pem");
    assert!(matches!(Tls::from_pem_files(&missing, &key), Err(TlsError::Certificate { file, .. }) if file == missing));
    assert!(matches!(Tls::from_pem_files(&key, &key), Err(TlsError::Certificate { .. })));
    assert!(matches!(Tls::from_pem_files(&certificate, &certificate), Err(TlsError::Key { .. })));
    let foreign = other.directory.path().join("key.pem");
    assert!(matches!(Tls::from_pem_files(&certificate, &foreign), Err(TlsError::Mismatch { .. })));
    let error = Tls::from_pem_files(&missing, &key).err().unwrap().to_string();
    assert_eq!(error, format!("cannot read a certificate from {}: entity not found", missing.display()));
}

/// A wall clock that stands where the test puts it, in seconds since the epoch.
struct Set(AtomicI64);

impl Clock for Set {
    fn wall(&self) -> Timestamp {
        Timestamp::from_seconds(self.0.load(Ordering::SeqCst))
    }

    fn now(&self) -> Timestamp {
        Timestamp::EPOCH
    }
}

/// A clock that leaps years ahead and comes back, with the dates it stands for.
const LEAP: [(i64, &str); 3] = [
    (1_767_323_045, "Fri, 02 Jan 2026 03:04:05 GMT"),
    (4_102_444_800, "Fri, 01 Jan 2100 00:00:00 GMT"),
    (1_767_323_046, "Fri, 02 Jan 2026 03:04:06 GMT"),
];

/// Short enough for a call that does not return and a body that does not come.
fn impatient() -> Limits {
    let short = Duration::from_millis(100);
    Limits { call_time: short, body_time: short, discard_time: short, ..limits() }
}

#[tokio::test]
async fn every_http1_answer_has_one_date_and_it_goes_back_with_the_clock() {
    let clock = Arc::new(Set(AtomicI64::new(0)));
    let running = start_at(impatient(), None, Arc::clone(&clock) as _).await;
    let half = b"POST / HTTP/1.1\r\nhost: localhost\r\ncontent-length: 10\r\n\r\nhalf".to_vec();
    let large = b"POST / HTTP/1.1\r\nhost: localhost\r\ncontent-length: 9999999999\r\n\r\n".to_vec();
    for (second, date) in LEAP {
        clock.0.store(second, Ordering::SeqCst);
        for (status, request) in [
            (200, post("/", b"answered")),
            (500, post("/panic", b"")),
            (504, post("/wait", b"")),
            (408, half.clone()),
            (413, large.clone()),
        ] {
            let mut stream = running.connect().await;
            let answer = exchange(&mut stream, &request).await;
            assert!(answer.starts_with(&format!("HTTP/1.1 {status} ")), "{answer}");
            let dates: Vec<_> = answer.lines().filter_map(|line| line.strip_prefix("date: ")).collect();
            assert_eq!(dates, [date], "{answer}");
        }
    }
}

#[tokio::test]
async fn every_http2_answer_has_one_date_and_it_goes_back_with_the_clock() {
    let clock = Arc::new(Set(AtomicI64::new(0)));
    let running = start_at(impatient(), None, Arc::clone(&clock) as _).await;
    let mut sender = http2(running.connect().await).await;
    for (second, date) in LEAP {
        clock.0.store(second, Ordering::SeqCst);
        for (status, path, length) in [(200, "/", 9), (500, "/panic", 0), (504, "/wait", 0), (413, "/", 2_000_000)] {
            let request = Request::post(format!("http://kms.test{path}")).body(Full::new(vec![0; length].into()));
            let response = sender.send_request(request.unwrap()).await.unwrap();
            assert_eq!(response.status(), status);
            let dates: Vec<_> = response.headers().get_all("date").iter().collect();
            assert_eq!(dates, [date], "{status}");
        }
    }
}

/// What hyper answers by itself reaches no handler; no date is better than one that does not go back.
#[tokio::test]
async fn an_answer_to_a_broken_head_carries_no_date_of_another_clock() {
    let running = start(Limits { headers_max: 2, ..limits() }, None).await;
    let many = "GET / HTTP/1.1\r\nhost: localhost\r\na: 1\r\nb: 2\r\n\r\n";
    for (status, request) in [(400, "not HTTP at all\r\n\r\n"), (431, many)] {
        let mut stream = running.connect().await;
        let answer = exchange(&mut stream, request.as_bytes()).await;
        assert!(answer.starts_with(&format!("HTTP/1.1 {status} ")), "{answer}");
        assert!(!answer.contains("\r\ndate:"), "{answer}");
    }
}

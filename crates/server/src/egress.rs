//! The one way out: documents of identity providers, over HTTPS, from hosts that may be asked.
//!
//! The URLs come from outside (a provider names its own), so what may be reached is what anybody on the Internet could
//! reach as well: addresses that are public, on port 443. The operator can name hosts of a private network.

use std::net::{IpAddr, Ipv4Addr, Ipv6Addr, SocketAddr};
use std::path::PathBuf;
use std::pin::pin;
use std::sync::{Arc, OnceLock};
use std::time::Duration;

use bytes::Bytes;
use claviger_engine::{BoxFuture, Egress, EgressError, Fetched};
use http::{HeaderMap, Request, Response, StatusCode, Uri, header};
use http_body_util::{BodyExt as _, Empty};
use hyper::body::Incoming;
use hyper_util::rt::TokioIo;
use rustls::{ClientConfig, RootCertStore};
use rustls_pki_types::pem::PemObject as _;
use rustls_pki_types::{CertificateDer, ServerName};
use tokio::io::{AsyncRead, AsyncWrite};
use tokio::net::TcpStream;
use tokio_rustls::TlsConnector;

use crate::tls;

/// From the first look-up of the host's name to the last byte of its answer.
const TIME: Duration = Duration::from_secs(5);
/// Bytes of a document at most.
const BODY_BYTES_MAX: usize = 256 * 1024;
/// Bytes of a URL at most.
const URL_BYTES_MAX: usize = 2_048;
/// Addresses of one host that are tried.
const ADDRESSES_MAX: usize = 3;
/// Where operating systems keep the certificates of the authorities that they trust.
const SYSTEM_ROOTS: [&str; 3] =
    ["/etc/ssl/certs/ca-certificates.crt", "/etc/pki/tls/certs/ca-bundle.crt", "/etc/ssl/cert.pem"];

/// A host and a port.
#[derive(Clone, Debug, PartialEq, Eq)]
pub struct HostAndPort {
    /// A name, or an address.
    pub host: String,
    /// The port.
    pub port: u16,
}

impl HostAndPort {
    /// Parses `HOST:PORT`; an IPv6 address stands in brackets.
    #[must_use]
    pub fn parse(text: &str) -> Option<Self> {
        let (host, port) = text.rsplit_once(':')?;
        let host = unbracketed(host);
        let sound = !host.is_empty() && !host.contains(['/', '@', '[', ']', ' ']);
        let port = port.parse().ok().filter(|port| *port != 0)?;
        sound.then(|| Self { host: host.to_ascii_lowercase(), port })
    }
}

/// What may be reached beyond public hosts.
#[derive(Clone, Debug, Default, PartialEq, Eq)]
pub struct EgressRules {
    /// Hosts that may be asked wherever they are, over HTTPS.
    pub allowed: Vec<HostAndPort>,
    /// Hosts that are asked over plain HTTP, at this port whatever the URL says, if they are on loopback. Only for
    /// `claviger dev`.
    pub danger_plain: Vec<HostAndPort>,
    /// PEM files with the certificates of authorities, instead of the operating system's.
    pub roots: Vec<PathBuf>,
}

/// The [`Egress`] of a running server.
pub struct Outside {
    rules: EgressRules,
    /// Made when first used: a server without identity providers needs none.
    tls: OnceLock<Option<TlsConnector>>,
}

/// Where a URL leads.
struct Target {
    uri: Uri,
    host: String,
    port: u16,
    way: Way,
}

#[derive(Clone, Copy, PartialEq, Eq)]
enum Way {
    /// TLS to a public address.
    Public,
    /// TLS to any address.
    Allowed,
    /// Plain HTTP to loopback.
    Plain,
}

impl Outside {
    /// A way out under these rules.
    #[must_use]
    pub const fn new(rules: EgressRules) -> Self {
        Self { rules, tls: OnceLock::new() }
    }

    fn target(&self, url: &str) -> Option<Target> {
        let uri: Uri = Some(url).filter(|url| url.len() <= URL_BYTES_MAX)?.parse().ok()?;
        let authority = uri.authority()?;
        if uri.scheme_str() != Some("https") || authority.as_str().contains('@') {
            return None;
        }
        let host = unbracketed(authority.host()).to_ascii_lowercase();
        let port = uri.port_u16().unwrap_or(443);
        let is_here = |one: &&HostAndPort| one.host == host;
        if let Some(plain) = self.rules.danger_plain.iter().find(is_here) {
            return Some(Target { port: plain.port, uri, host, way: Way::Plain });
        }
        let allowed = self.rules.allowed.iter().any(|one| one.host == host && one.port == port);
        let way = if allowed { Way::Allowed } else { Way::Public };
        // Another port of a public host is not where a provider's documents are.
        (allowed || port == 443).then_some(Target { uri, host, port, way })
    }

    async fn fetch(&self, url: &str) -> Result<Fetched, EgressError> {
        let target = self.target(url).ok_or(EgressError::Refused)?;
        let stream = connect(&target).await?;
        if target.way == Way::Plain {
            return exchange(stream, &target.uri).await;
        }
        let tls = self.tls.get_or_init(|| connector(&self.rules.roots)).as_ref().ok_or(EgressError::Certificate)?;
        let name = ServerName::try_from(target.host.clone()).map_err(|_| EgressError::Refused)?;
        let stream = tls.connect(name, stream).await.map_err(|_| EgressError::Certificate)?;
        exchange(stream, &target.uri).await
    }
}

impl Egress for Outside {
    fn get<'a>(&'a self, url: &'a str) -> BoxFuture<'a, Result<Fetched, EgressError>> {
        Box::pin(async move {
            match tokio::time::timeout(TIME, self.fetch(url)).await {
                Ok(fetched) => fetched,
                Err(_) => Err(EgressError::TimedOut),
            }
        })
    }
}

fn unbracketed(host: &str) -> &str {
    host.strip_prefix('[').and_then(|host| host.strip_suffix(']')).unwrap_or(host)
}

/// A connection to an address that was checked itself: a name that resolves otherwise the next time changes nothing.
async fn connect(target: &Target) -> Result<TcpStream, EgressError> {
    let found = tokio::net::lookup_host((target.host.as_str(), target.port)).await;
    let addresses: Vec<SocketAddr> = found.map_err(|_| EgressError::Unreachable)?.collect();
    let may_ask = |address: &SocketAddr| match target.way {
        Way::Public => is_public(address.ip()),
        Way::Allowed => true,
        Way::Plain => address.ip().to_canonical().is_loopback(),
    };
    // One address that may not be asked makes the name suspect.
    if !addresses.iter().all(may_ask) {
        return Err(EgressError::Refused);
    }
    for address in addresses.into_iter().take(ADDRESSES_MAX) {
        if let Ok(stream) = TcpStream::connect(address).await {
            return Ok(stream);
        }
    }
    Err(EgressError::Unreachable)
}

/// Whether anybody on the Internet can reach the address.
fn is_public(address: IpAddr) -> bool {
    match address.to_canonical() {
        IpAddr::V4(address) => is_public_v4(address),
        IpAddr::V6(address) => is_public_v6(address),
    }
}

/// The IANA registry of special addresses, and multicast. Metadata services are link-local.
fn is_public_v4(address: Ipv4Addr) -> bool {
    let special = match address.octets() {
        [0 | 10 | 127 | 224..=255, ..] => true,
        [100, second, ..] => (64..128).contains(&second),
        [169, 254, ..] | [192, 168, ..] | [192, 0, 0 | 2, _] | [192, 88, 99, _] => true,
        [172, second, ..] => (16..32).contains(&second),
        [198, second, third, _] => second == 18 || second == 19 || (second == 51 && third == 100),
        [203, 0, 113, _] => true,
        _ => false,
    };
    !special
}

/// Global unicast only, without what embeds an IPv4 address or is for documentation.
fn is_public_v6(address: Ipv6Addr) -> bool {
    let [first, second, ..] = address.segments();
    let global = first & 0xe000 == 0x2000;
    let special = match (first, second) {
        (0x2001, second) => second < 0x0200 || second == 0x0db8,
        (0x2002 | 0x3fff, _) => true,
        _ => false,
    };
    global && !special
}

/// TLS with the authorities of these files; nothing if none can be read.
fn connector(files: &[PathBuf]) -> Option<TlsConnector> {
    let system = SYSTEM_ROOTS.map(PathBuf::from);
    let mut roots = RootCertStore::empty();
    for file in if files.is_empty() { &system[..] } else { files } {
        let certificates = CertificateDer::pem_file_iter(file).into_iter().flatten().filter_map(Result::ok);
        roots.add_parsable_certificates(certificates);
        // Operating systems have one of these files, or the same one under several names.
        if files.is_empty() && !roots.is_empty() {
            break;
        }
    }
    if roots.is_empty() {
        return None;
    }
    let mut config = ClientConfig::builder_with_provider(tls::provider())
        .with_protocol_versions(&[&rustls::version::TLS13, &rustls::version::TLS12])
        .ok()?
        .with_root_certificates(roots)
        .with_no_client_auth();
    config.alpn_protocols = vec![b"http/1.1".to_vec()];
    Some(TlsConnector::from(Arc::new(config)))
}

/// One GET, without following anything.
async fn exchange<S>(stream: S, uri: &Uri) -> Result<Fetched, EgressError>
where
    S: AsyncRead + AsyncWrite + Unpin + Send + 'static,
{
    let (mut sender, connection) =
        hyper::client::conn::http1::handshake(TokioIo::new(stream)).await.map_err(|_| EgressError::Unreachable)?;
    let host = uri.authority().map_or("", http::uri::Authority::as_str);
    let path = uri.path_and_query().map_or("/", http::uri::PathAndQuery::as_str);
    let request = Request::get(path)
        .header(header::HOST, host)
        .header(header::ACCEPT, "application/json")
        .header(header::USER_AGENT, "claviger")
        .header(header::CONNECTION, "close")
        .body(Empty::<Bytes>::new())
        .map_err(|_| EgressError::Refused)?;
    let answer = async {
        let response = sender.send_request(request).await.map_err(|_| EgressError::Unreachable)?;
        read(response).await
    };
    let (mut answer, connection) = (pin!(answer), pin!(connection));
    tokio::select! {
        answer = &mut answer => answer,
        // The host has closed the connection; what it sent before may still be read.
        _ = connection => answer.await,
    }
}

async fn read(response: Response<Incoming>) -> Result<Fetched, EgressError> {
    if response.status() != StatusCode::OK {
        return Err(EgressError::Unusable);
    }
    let fresh_seconds = fresh_seconds(response.headers());
    let mut incoming = response.into_body();
    let mut body = Vec::new();
    while let Some(frame) = incoming.frame().await {
        let frame = frame.map_err(|_| EgressError::Unreachable)?;
        let Ok(data) = frame.into_data() else { continue };
        if body.len().saturating_add(data.len()) > BODY_BYTES_MAX {
            return Err(EgressError::Unusable);
        }
        body.extend_from_slice(&data);
    }
    Ok(Fetched { body, fresh_seconds })
}

/// For how long `Cache-Control` lets the document be kept (RFC 9111, section 5.2.2).
fn fresh_seconds(headers: &HeaderMap) -> Option<u64> {
    let value = headers.get(header::CACHE_CONTROL)?.to_str().ok()?.to_ascii_lowercase();
    let mut directives = value.split(',').map(str::trim);
    if directives.clone().any(|directive| directive == "no-store" || directive == "no-cache") {
        return Some(0);
    }
    directives.find_map(|directive| directive.strip_prefix("max-age=")?.trim_matches('"').parse().ok())
}

#[cfg(test)]
mod tests {
    #![expect(clippy::unwrap_used, reason = "tests")]

    use tokio::io::{AsyncReadExt as _, AsyncWriteExt as _};
    use tokio::net::TcpListener;

    use super::*;

    #[test]
    fn only_addresses_of_the_internet_are_public() {
        for address in
            ["8.8.8.8", "1.1.1.1", "172.15.0.1", "172.32.0.1", "100.128.0.1", "2606:4700::1111", "::ffff:8.8.8.8"]
        {
            assert!(is_public(address.parse().unwrap()), "{address}");
        }
        for address in [
            "0.0.0.0",
            "10.1.2.3",
            "100.64.0.1",
            "127.0.0.1",
            "169.254.169.254",
            "172.16.0.1",
            "172.31.255.255",
            "192.0.0.8",
            "192.0.2.1",
            "192.168.0.1",
            "198.18.0.1",
            "198.51.100.1",
            "203.0.113.1",
            "224.0.0.1",
            "240.0.0.1",
            "255.255.255.255",
            "::",
            "::1",
            "::ffff:127.0.0.1",
            "::ffff:169.254.169.254",
            "64:ff9b::a9fe:a9fe",
            "2001:db8::1",
            "2001::1",
            "2002:7f00:1::",
            "fc00::1",
            "fd00:ec2::254",
            "fe80::1",
            "fec0::1",
            "ff02::1",
        ] {
            assert!(!is_public(address.parse().unwrap()), "{address}");
        }
    }

    #[test]
    fn hosts_with_ports() {
        let parsed = |text| HostAndPort::parse(text).map(|one| (one.host, one.port));
        assert_eq!(parsed("A.example:8443"), Some(("a.example".to_owned(), 8443)));
        assert_eq!(parsed("[::1]:80"), Some(("::1".to_owned(), 80)));
        for text in ["a.example", "a.example:", ":80", "a.example:0", "a.example:99999", "https://a.example:1", "a@b:1"]
        {
            assert_eq!(parsed(text), None, "{text}");
        }
    }

    fn outside(rules: EgressRules) -> Outside {
        Outside::new(rules)
    }

    #[tokio::test]
    async fn what_may_not_be_asked_is_refused() {
        let outside = outside(EgressRules::default());
        for url in [
            "http://example.com/",
            "ftp://example.com/",
            "https://127.0.0.1/",
            "https://localhost/",
            "https://[::1]/",
            "https://169.254.169.254/latest/meta-data",
            "https://10.0.0.1/",
            "https://2130706433/",
            "https://user@8.8.8.8/",
            "https://8.8.8.8:8443/",
            "https://",
            "/x",
            "",
            &format!("https://8.8.8.8/{}", "a".repeat(URL_BYTES_MAX)),
        ] {
            let refused = outside.get(url).await;
            assert!(matches!(refused, Err(EgressError::Refused | EgressError::Unreachable)), "{url}: {refused:?}");
        }
        assert_eq!(outside.get("https://127.0.0.1/").await, Err(EgressError::Refused));
    }

    /// Answers one request with these bytes, and gives back what was asked.
    async fn host(answer: Vec<u8>) -> (u16, tokio::task::JoinHandle<String>) {
        let listener = TcpListener::bind("127.0.0.1:0").await.unwrap();
        let port = listener.local_addr().unwrap().port();
        let task = tokio::spawn(async move {
            let (mut stream, _) = listener.accept().await.unwrap();
            let mut asked = Vec::new();
            while !asked.ends_with(b"\r\n\r\n") {
                asked.push(stream.read_u8().await.unwrap());
            }
            // The reader may have had enough before the end.
            let _ = stream.write_all(&answer).await;
            String::from_utf8(asked).unwrap()
        });
        (port, task)
    }

    fn plain(port: u16) -> Outside {
        let host = HostAndPort { host: "localhost".to_owned(), port };
        outside(EgressRules { danger_plain: vec![host], ..EgressRules::default() })
    }

    async fn answered(answer: &[u8]) -> Result<Fetched, EgressError> {
        let (port, task) = host(answer.to_vec()).await;
        let fetched = plain(port).get("https://localhost/a?b").await;
        let asked = task.await.unwrap();
        assert!(asked.starts_with("GET /a?b HTTP/1.1\r\n") && asked.contains("host: localhost\r\n"), "{asked}");
        fetched
    }

    #[tokio::test]
    async fn documents_within_bounds_are_fetched() {
        let fetched = answered(b"HTTP/1.1 200 OK\r\ncache-control: public, max-age=60\r\n\r\n{}").await;
        assert_eq!(fetched, Ok(Fetched { body: b"{}".to_vec(), fresh_seconds: Some(60) }));
        let fetched = answered(b"HTTP/1.1 200 OK\r\ncontent-length: 2\r\n\r\n{}").await;
        assert_eq!(fetched, Ok(Fetched { body: b"{}".to_vec(), fresh_seconds: None }));
        let fetched =
            answered(b"HTTP/1.1 200 OK\r\ncache-control: no-store, max-age=9\r\ncontent-length: 0\r\n\r\n").await;
        assert_eq!(fetched, Ok(Fetched { body: Vec::new(), fresh_seconds: Some(0) }));
    }

    #[tokio::test]
    async fn anything_else_is_not() {
        let moved = b"HTTP/1.1 302 Found\r\nlocation: https://localhost/b\r\ncontent-length: 0\r\n\r\n";
        assert_eq!(answered(moved).await, Err(EgressError::Unusable));
        assert_eq!(answered(b"HTTP/1.1 404 Not Found\r\ncontent-length: 0\r\n\r\n").await, Err(EgressError::Unusable));
        assert_eq!(answered(b"SSH-2.0-x\r\n\r\n").await, Err(EgressError::Unreachable));
        assert_eq!(
            answered(b"HTTP/1.1 200 OK\r\ncontent-length: 9\r\n\r\n{}").await,
            Err(EgressError::Unreachable),
            "cut short"
        );
        let large = [&b"HTTP/1.1 200 OK\r\n\r\n"[..], &vec![b' '; BODY_BYTES_MAX + 1]].concat();
        assert_eq!(answered(&large).await, Err(EgressError::Unusable));
    }

    #[tokio::test]
    async fn plain_http_goes_to_loopback_only() {
        let rules = EgressRules {
            danger_plain: vec![HostAndPort { host: "8.8.8.8".to_owned(), port: 80 }],
            ..EgressRules::default()
        };
        assert_eq!(outside(rules).get("https://8.8.8.8/").await, Err(EgressError::Refused));
    }

    /// TLS with a certificate for `localhost`, by an authority of its own.
    #[tokio::test]
    async fn certificates_must_chain_to_a_trusted_authority_and_name_the_host() {
        let directory = tempfile::tempdir().unwrap();
        let certified = rcgen::generate_simple_self_signed(vec!["localhost".to_owned()]).unwrap();
        let file = directory.path().join("roots.pem");
        std::fs::write(&file, certified.cert.pem()).unwrap();
        let key = rustls_pki_types::PrivateKeyDer::try_from(certified.signing_key.serialize_der()).unwrap();
        let config = rustls::ServerConfig::builder_with_provider(tls::provider())
            .with_safe_default_protocol_versions()
            .unwrap()
            .with_no_client_auth()
            .with_single_cert(vec![certified.cert.der().clone()], key)
            .unwrap();
        let acceptor = tokio_rustls::TlsAcceptor::from(Arc::new(config));
        let listener = TcpListener::bind("127.0.0.1:0").await.unwrap();
        let port = listener.local_addr().unwrap().port();
        tokio::spawn(async move {
            loop {
                let (stream, _) = listener.accept().await.unwrap();
                if let Ok(mut stream) = acceptor.accept(stream).await {
                    let _ = stream.write_all(b"HTTP/1.1 200 OK\r\ncontent-length: 2\r\n\r\n{}").await;
                    let _ = stream.shutdown().await;
                }
            }
        });
        let at = |host: &str, roots: Vec<PathBuf>| {
            let allowed = vec![HostAndPort { host: host.to_owned(), port }];
            outside(EgressRules { allowed, roots, ..EgressRules::default() })
        };
        let (name, address) = (format!("https://localhost:{port}/"), format!("https://127.0.0.1:{port}/"));
        assert_eq!(at("localhost", vec![file.clone()]).get(&name).await.map(|one| one.body), Ok(b"{}".to_vec()));
        assert_eq!(at("localhost", Vec::new()).get(&name).await, Err(EgressError::Certificate));
        assert_eq!(at("127.0.0.1", vec![file.clone()]).get(&address).await, Err(EgressError::Certificate));
        assert_eq!(
            at("localhost", vec![directory.path().join("none")]).get(&name).await,
            Err(EgressError::Certificate)
        );
        assert_eq!(at("elsewhere", vec![file]).get(&name).await, Err(EgressError::Refused));
    }
}

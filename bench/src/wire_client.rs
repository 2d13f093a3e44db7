//! As little HTTP/1.1 as a load driver needs: kept-alive, one request at a time, `Content-Length` only.

use http::{HeaderMap, Method, Uri, Version};
use tokio::io::{AsyncReadExt, AsyncWriteExt};
use tokio::net::TcpStream;

use crate::BenchError;

/// A reply that is longer than this is not one of ours.
const REPLY_BYTES_MAX: usize = 1 << 20;

/// One connection that stays open.
pub(crate) struct Connection {
    stream: TcpStream,
    received: Vec<u8>,
}

/// A reply: its status and its body.
#[derive(Clone, Copy)]
pub(crate) struct Reply<'a> {
    pub(crate) status: u16,
    pub(crate) body: &'a [u8],
}

impl Connection {
    /// Connects to the authority of `http://host:port`.
    pub(crate) async fn open(server: &Uri) -> Result<Self, BenchError> {
        let authority = server.authority().ok_or("the URL names no host")?.as_str();
        let stream = TcpStream::connect(authority).await?;
        stream.set_nodelay(true)?;
        Ok(Self { stream, received: Vec::with_capacity(16 * 1024) })
    }

    /// Sends one request, as given, and reads its reply.
    pub(crate) async fn exchange(&mut self, request: &[u8]) -> Result<Reply<'_>, BenchError> {
        self.received.clear();
        self.stream.write_all(request).await?;
        let (status, body_start, end) = loop {
            if let Some((status, body_start, length)) = head(&self.received)? {
                let end = body_start.checked_add(length).ok_or("the reply is too long")?;
                if self.received.len() >= end {
                    break (status, body_start, end);
                }
            }
            if self.received.len() > REPLY_BYTES_MAX {
                return Err("the reply is too long".into());
            }
            if self.stream.read_buf(&mut self.received).await? == 0 {
                return Err("the server closed the connection".into());
            }
        };
        let body = self.received.get(body_start..end).ok_or("the reply is too short")?;
        Ok(Reply { status, body })
    }
}

/// Status, start of the body and its length, once the head is there.
fn head(received: &[u8]) -> Result<Option<(u16, usize, usize)>, BenchError> {
    let Some(end) = received.windows(4).position(|window| window == b"\r\n\r\n") else { return Ok(None) };
    let text = std::str::from_utf8(received.get(..end).unwrap_or_default())?;
    let mut lines = text.split("\r\n");
    let status = lines.next().and_then(|line| line.split(' ').nth(1)).ok_or("no status line")?.parse()?;
    let length = lines
        .filter_map(|line| line.split_once(':'))
        .find(|(name, _)| name.eq_ignore_ascii_case("content-length"))
        .ok_or("the reply has no Content-Length")?
        .1
        .trim()
        .parse()?;
    Ok(Some((status, end.saturating_add(4), length)))
}

/// The bytes of a request on the wire.
pub(crate) fn serialize(method: &Method, path: &str, headers: &HeaderMap, body: &[u8]) -> Vec<u8> {
    let mut bytes = format!("{method} {path} {:?}\r\n", Version::HTTP_11).into_bytes();
    for (name, value) in headers {
        bytes.extend_from_slice(name.as_str().as_bytes());
        bytes.extend_from_slice(b": ");
        bytes.extend_from_slice(value.as_bytes());
        bytes.extend_from_slice(b"\r\n");
    }
    bytes.extend_from_slice(format!("content-length: {}\r\n\r\n", body.len()).as_bytes());
    bytes.extend_from_slice(body);
    bytes
}

#[cfg(test)]
mod tests {
    #![expect(clippy::unwrap_used, reason = "tests")]

    use super::*;

    #[test]
    fn heads() {
        assert_eq!(head(b"HTTP/1.1 200 OK\r\nContent-Le").unwrap(), None);
        assert_eq!(head(b"HTTP/1.1 200 OK\r\nCONTENT-LENGTH: 12\r\nx: y\r\n\r\nbody").unwrap(), Some((200, 45, 12)));
        assert!(head(b"HTTP/1.1 200 OK\r\n\r\n").is_err());
        assert!(head(b"nonsense\r\n\r\n").is_err());
    }

    #[test]
    fn requests() {
        let mut headers = HeaderMap::new();
        headers.insert("host", "h".parse().unwrap());
        assert_eq!(
            serialize(&Method::POST, "/", &headers, b"{}"),
            b"POST / HTTP/1.1\r\nhost: h\r\ncontent-length: 2\r\n\r\n{}"
        );
    }
}

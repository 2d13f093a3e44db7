//! The canonical request and the string to sign.
//!
//! The canonical form must agree with what the decoders read: two requests that decode differently never share one.
//! Hence `+` in a query is a space here, as it is for the form decoder, and a malformed escape is literal text.

use http::HeaderMap;
use http::header::HOST;

use super::{ALGORITHM, TERMINATOR};

/// How a service's signature reads the path.
#[derive(Clone, Copy, Debug, PartialEq, Eq)]
pub(super) struct PathRule {
    /// Dot segments are resolved and repeated slashes merged.
    pub(super) normalize: bool,
    /// The path, escaped already, is escaped once more.
    pub(super) encode_twice: bool,
}

impl PathRule {
    /// All services but S3 normalize and encode twice.
    pub(super) fn of(service: &str) -> Self {
        let plain = service == "s3";
        Self { normalize: !plain, encode_twice: !plain }
    }
}

/// The parts of a request that a signature covers.
pub(super) struct Covered<'a> {
    pub(super) method: &'a str,
    pub(super) path: &'a str,
    pub(super) query: &'a str,
    pub(super) headers: &'a HeaderMap,
    /// Stands in for a missing `Host` header, as in HTTP/2.
    pub(super) authority: Option<&'a str>,
    pub(super) body_hash: [u8; 32],
}

impl<'a> Covered<'a> {
    pub(super) fn of(head: &'a http::request::Parts, body_hash: [u8; 32]) -> Self {
        Self {
            method: head.method.as_str(),
            path: head.uri.path(),
            query: head.uri.query().unwrap_or(""),
            headers: &head.headers,
            authority: head.uri.authority().map(http::uri::Authority::as_str),
            body_hash,
        }
    }

    /// The canonical request over the headers named in `signed` (`a;b;c`, in canonical order), or `None` if one of
    /// them was not sent.
    pub(super) fn canonical(&self, signed: &str, rule: PathRule) -> Option<Vec<u8>> {
        let mut text = Vec::with_capacity(1024_usize.saturating_add(self.query.len()));
        text.extend_from_slice(self.method.as_bytes());
        text.push(b'\n');
        push_path(&mut text, self.path, rule);
        text.push(b'\n');
        push_query(&mut text, self.query);
        text.push(b'\n');
        for name in signed.split(';') {
            self.push_header(&mut text, name)?;
        }
        text.push(b'\n');
        text.extend_from_slice(signed.as_bytes());
        text.push(b'\n');
        push_hex(&mut text, &self.body_hash);
        Some(text)
    }

    fn push_header(&self, text: &mut Vec<u8>, name: &str) -> Option<()> {
        text.extend_from_slice(name.as_bytes());
        text.push(b':');
        let mut values = self.headers.get_all(name).iter();
        match (values.next(), self.authority) {
            (Some(first), _) => push_value(text, first.as_bytes()),
            (None, Some(authority)) if name == HOST.as_str() => text.extend_from_slice(authority.as_bytes()),
            (None, _) => return None,
        }
        for value in values {
            text.push(b',');
            push_value(text, value.as_bytes());
        }
        text.push(b'\n');
        Some(())
    }
}

/// `AWS4-HMAC-SHA256`, the moment, the scope, and the hash of the canonical request, a line each.
pub(super) fn string_to_sign(amz_date: &str, scope: &[&str; 3], canonical_hash: &[u8; 32]) -> Vec<u8> {
    let mut text = Vec::with_capacity(192);
    text.extend_from_slice(ALGORITHM.as_bytes());
    text.push(b'\n');
    text.extend_from_slice(amz_date.as_bytes());
    text.push(b'\n');
    for part in scope {
        text.extend_from_slice(part.as_bytes());
        text.push(b'/');
    }
    text.extend_from_slice(TERMINATOR.as_bytes());
    text.push(b'\n');
    push_hex(&mut text, canonical_hash);
    text
}

/// Lower-case hexadecimal digits.
pub(super) fn push_hex(text: &mut Vec<u8>, bytes: &[u8]) {
    // A hash at once: a check of the room for each digit would cost more than the digits.
    for part in bytes.chunks(32) {
        let mut digits = [0; 64];
        for (pair, byte) in digits.chunks_exact_mut(2).zip(part) {
            pair.copy_from_slice(&[hex_digit(byte >> 4, b'a'), hex_digit(byte & 15, b'a')]);
        }
        text.extend_from_slice(digits.get(..part.len().saturating_mul(2)).unwrap_or_default());
    }
}

const fn hex_digit(nibble: u8, ten: u8) -> u8 {
    if nibble < 10 { b'0'.wrapping_add(nibble) } else { ten.wrapping_add(nibble.wrapping_sub(10)) }
}

/// Spaces around the value go, runs of them become one.
fn push_value(text: &mut Vec<u8>, value: &[u8]) {
    if !value.contains(&b' ') {
        text.extend_from_slice(value);
        return;
    }
    let mut first = true;
    for word in value.split(|byte| *byte == b' ').filter(|word| !word.is_empty()) {
        if !first {
            text.push(b' ');
        }
        first = false;
        text.extend_from_slice(word);
    }
}

fn push_path(text: &mut Vec<u8>, path: &str, rule: PathRule) {
    if path.is_empty() || path == "/" {
        text.push(b'/');
    } else if rule.normalize {
        push_segments(text, &normalized(path), path.ends_with('/'), rule);
    } else {
        push_path_bytes(text, path.as_bytes(), rule);
    }
}

/// The segments left when empty and dot segments are resolved.
fn normalized(path: &str) -> Vec<&str> {
    let mut segments = Vec::new();
    for segment in path.split('/') {
        match segment {
            "" | "." => {}
            ".." => {
                segments.pop();
            }
            kept => segments.push(kept),
        }
    }
    segments
}

fn push_segments(text: &mut Vec<u8>, segments: &[&str], slash_at_end: bool, rule: PathRule) {
    if segments.is_empty() {
        text.push(b'/');
        return;
    }
    for segment in segments {
        text.push(b'/');
        push_path_bytes(text, segment.as_bytes(), rule);
    }
    if slash_at_end {
        text.push(b'/');
    }
}

fn push_path_bytes(text: &mut Vec<u8>, path: &[u8], rule: PathRule) {
    let mut rest = path;
    while let Some((&byte, after)) = rest.split_first() {
        let kept = byte == b'/' || (!rule.encode_twice && escape(rest).is_some());
        if kept {
            text.push(byte);
        } else {
            push_encoded(text, byte);
        }
        rest = after;
    }
}

/// The pairs, each part escaped in the one canonical way, in order of name and then value, without the signature.
fn push_query(text: &mut Vec<u8>, query: &str) {
    let mut pairs: Vec<(Vec<u8>, Vec<u8>)> = Vec::new();
    for pair in query.split('&').filter(|pair| !pair.is_empty()) {
        let (name, value) = pair.split_once('=').unwrap_or((pair, ""));
        pairs.push((encoded_again(name), encoded_again(value)));
    }
    pairs.retain(|(name, _)| name != b"X-Amz-Signature");
    pairs.sort_unstable();
    for (position, (name, value)) in pairs.iter().enumerate() {
        if position > 0 {
            text.push(b'&');
        }
        text.extend_from_slice(name);
        text.push(b'=');
        text.extend_from_slice(value);
    }
}

fn encoded_again(part: &str) -> Vec<u8> {
    let mut text = Vec::with_capacity(part.len());
    let mut rest = part.as_bytes();
    while let Some((&byte, after)) = rest.split_first() {
        if let Some((decoded, after)) = escape(rest) {
            push_encoded(&mut text, decoded);
            rest = after;
        } else {
            push_encoded(&mut text, if byte == b'+' { b' ' } else { byte });
            rest = after;
        }
    }
    text
}

/// The byte that an escape (`%7E`) at the start of `text` stands for, and what follows it.
fn escape(text: &[u8]) -> Option<(u8, &[u8])> {
    let (&[percent, high, low], rest) = text.split_first_chunk::<3>()?;
    if percent != b'%' {
        return None;
    }
    let nibble = |digit: u8| char::from(digit).to_digit(16).and_then(|value| u8::try_from(value).ok());
    Some(((nibble(high)? << 4) | nibble(low)?, rest))
}

/// The byte itself if unreserved by RFC 3986, else its escape in upper case.
pub(super) fn push_encoded(text: &mut Vec<u8>, byte: u8) {
    if byte.is_ascii_alphanumeric() || matches!(byte, b'-' | b'.' | b'_' | b'~') {
        text.push(byte);
    } else {
        text.extend_from_slice(&[b'%', hex_digit(byte >> 4, b'A'), hex_digit(byte & 15, b'A')]);
    }
}

#[cfg(test)]
mod tests {
    use super::*;

    fn query(text: &str) -> String {
        let mut out = Vec::new();
        push_query(&mut out, text);
        String::from_utf8_lossy(&out).into_owned()
    }

    fn path(text: &str, rule: PathRule) -> String {
        let mut out = Vec::new();
        push_path(&mut out, text, rule);
        String::from_utf8_lossy(&out).into_owned()
    }

    #[test]
    fn queries() {
        for (sent, canonical) in [
            ("", ""),
            ("&&", ""),
            ("a", "a="),
            ("b=2&a=1", "a=1&b=2"),
            ("a=2&a=1&a", "a=&a=1&a=2"),
            ("a-=1&a=2", "a=2&a-=1"),
            ("a=x+y&b=x%20y&c=x%2By", "a=x%20y&b=x%20y&c=x%2By"),
            ("a=%7e%2f/", "a=~%2F%2F"),
            ("a=%zz&b=%&c=%4", "a=%25zz&b=%25&c=%254"),
            ("a=b=c", "a=b%3Dc"),
            ("X-Amz-Signature=ab&X-Amz-Date=1&x-amz-signature=cd", "X-Amz-Date=1&x-amz-signature=cd"),
            ("X%2DAmz-Signature=ab&z=1", "z=1"),
        ] {
            assert_eq!(query(sent), canonical, "{sent}");
        }
    }

    #[test]
    fn paths() {
        let kms = PathRule::of("kms");
        let s3 = PathRule::of("s3");
        for (sent, for_kms, for_s3) in [
            ("", "/", "/"),
            ("/", "/", "/"),
            ("//", "/", "//"),
            ("/a/../..", "/", "/a/../.."),
            ("/a/b/..", "/a", "/a/b/.."),
            ("/a//b/", "/a/b/", "/a//b/"),
            ("/a%20b", "/a%2520b", "/a%20b"),
            ("/a%zz", "/a%25zz", "/a%25zz"),
            ("/*", "/%2A", "/%2A"),
        ] {
            assert_eq!(path(sent, kms), for_kms, "{sent}");
            assert_eq!(path(sent, s3), for_s3, "{sent}");
        }
    }

    #[test]
    fn values() {
        for (sent, canonical) in [("", ""), ("  ", ""), (" a  b ", "a b"), ("a\tb", "a\tb"), ("\"a   b\"", "\"a b\"")] {
            let mut out = Vec::new();
            push_value(&mut out, sent.as_bytes());
            assert_eq!(out, canonical.as_bytes(), "{sent}");
        }
    }
}

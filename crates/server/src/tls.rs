//! TLS: versions 1.3 and 1.2, the hybrid post-quantum key exchange first, one certificate chain.

use std::fmt;
use std::path::{Path, PathBuf};
use std::sync::Arc;

use claviger_engine::TlsFacts;
use claviger_secret::LogText;
use rustls::ServerConfig;
use rustls::crypto::{CryptoProvider, aws_lc_rs};
use rustls_pki_types::pem::PemObject as _;
use rustls_pki_types::{CertificateDer, PrivateKeyDer};
use tokio_rustls::TlsAcceptor;

/// A certificate chain and its key, ready to accept connections.
#[derive(Clone)]
pub struct Tls(TlsAcceptor);

/// Why TLS cannot be set up. The texts name the file and never show what is in it.
#[derive(Debug, thiserror::Error)]
pub enum TlsError {
    /// The file with the certificate chain cannot be read as PEM.
    #[error("cannot read a certificate from {}: {cause}", file.display())]
    Certificate {
        /// The file.
        file: PathBuf,
        /// What is wrong.
        cause: PemFault,
    },
    /// The file with the private key cannot be read as PEM.
    #[error("cannot read a private key from {}: {cause}", file.display())]
    Key {
        /// The file.
        file: PathBuf,
        /// What is wrong.
        cause: PemFault,
    },
    /// The key does not belong to the certificate, or its kind is not supported.
    #[error("the private key in {} does not fit the certificate in {}, or its kind is not supported", key.display(), certificate.display())]
    Mismatch {
        /// The file with the certificate chain.
        certificate: PathBuf,
        /// The file with the private key.
        key: PathBuf,
    },
    /// The TLS library offers none of the versions asked for.
    #[error("the TLS library does not offer the versions asked for")]
    Unsupported,
}

/// What is wrong with a PEM file.
#[derive(Clone, Copy, Debug, PartialEq, Eq)]
pub enum PemFault {
    /// The operating system does not let it be read.
    Unreadable(std::io::ErrorKind),
    /// It holds no item of the kind wanted.
    Missing,
    /// It is not well-formed PEM.
    Malformed,
}

impl fmt::Display for PemFault {
    fn fmt(&self, formatter: &mut fmt::Formatter<'_>) -> fmt::Result {
        match self {
            Self::Unreadable(kind) => kind.fmt(formatter),
            Self::Missing => formatter.write_str("the file holds none"),
            Self::Malformed => formatter.write_str("the file is not well-formed PEM"),
        }
    }
}

// The causes are reduced to what is known to hold nothing of the file.
impl From<rustls_pki_types::pem::Error> for PemFault {
    fn from(error: rustls_pki_types::pem::Error) -> Self {
        match error {
            rustls_pki_types::pem::Error::Io(error) => Self::Unreadable(error.kind()),
            rustls_pki_types::pem::Error::NoItemsFound => Self::Missing,
            _ => Self::Malformed,
        }
    }
}

impl Tls {
    /// Reads a certificate chain (leaf first) and its private key (PKCS#8, PKCS#1 or SEC1) from PEM files.
    ///
    /// # Errors
    /// [`TlsError`], when a file cannot be read or the two do not fit.
    pub fn from_pem_files(certificate: &Path, key: &Path) -> Result<Self, TlsError> {
        let at_certificate = |cause| TlsError::Certificate { file: certificate.to_owned(), cause };
        let chain = CertificateDer::pem_file_iter(certificate)
            .and_then(Iterator::collect::<Result<Vec<_>, _>>)
            .map_err(|error| at_certificate(error.into()))?;
        if chain.is_empty() {
            return Err(at_certificate(PemFault::Missing));
        }
        let private = PrivateKeyDer::from_pem_file(key)
            .map_err(|error| TlsError::Key { file: key.to_owned(), cause: error.into() })?;
        let mut config = ServerConfig::builder_with_provider(provider())
            .with_protocol_versions(&[&rustls::version::TLS13, &rustls::version::TLS12])
            .map_err(|_| TlsError::Unsupported)?
            .with_no_client_auth()
            .with_single_cert(chain, private)
            .map_err(|_| TlsError::Mismatch { certificate: certificate.to_owned(), key: key.to_owned() })?;
        config.alpn_protocols = vec![b"h2".to_vec(), b"http/1.1".to_vec()];
        Ok(Self(TlsAcceptor::from(Arc::new(config))))
    }

    pub(crate) const fn acceptor(&self) -> &TlsAcceptor {
        &self.0
    }
}

/// The library's algorithms, for either end of a connection.
pub(crate) fn provider() -> Arc<CryptoProvider> {
    Arc::new(aws_lc_rs::default_provider())
}

/// What the handshake settled.
pub(crate) fn facts(connection: &rustls::ServerConnection) -> TlsFacts {
    let version = match connection.protocol_version() {
        Some(rustls::ProtocolVersion::TLSv1_3) => "TLSv1.3",
        Some(rustls::ProtocolVersion::TLSv1_2) => "TLSv1.2",
        _ => "unknown",
    };
    let suite = connection.negotiated_cipher_suite().map(|suite| suite.suite());
    let group = connection.negotiated_key_exchange_group().map(|group| group.name());
    TlsFacts {
        version,
        // IANA and CloudTrail write TLS_AES_..., the library TLS13_AES_....
        cipher_suite: LogText::new(&name(suite.and_then(|suite| suite.as_str())).replace("TLS13_", "TLS_")),
        key_exchange: LogText::new(name(group.and_then(group_name))),
        host: LogText::new(""),
    }
}

fn name(name: Option<&'static str>) -> &'static str {
    name.unwrap_or("unknown")
}

/// IANA's spelling; the library's own for groups it would not choose.
fn group_name(group: rustls::NamedGroup) -> Option<&'static str> {
    match group {
        rustls::NamedGroup::X25519 => Some("x25519"),
        rustls::NamedGroup::secp256r1 => Some("secp256r1"),
        rustls::NamedGroup::secp384r1 => Some("secp384r1"),
        rustls::NamedGroup::X25519MLKEM768 => Some("X25519MLKEM768"),
        rustls::NamedGroup::secp256r1MLKEM768 => Some("SecP256r1MLKEM768"),
        other => other.as_str(),
    }
}

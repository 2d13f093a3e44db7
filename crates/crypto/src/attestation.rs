//! Attestation documents of AWS Nitro Enclaves and NitroTPM, which the `Recipient` parameter of AWS KMS carries.
//!
//! Sources: "Nitro Enclaves Attestation Process" (in the repository aws-nitro-enclaves-nsm-api) and "Validate a
//! NitroTPM Attestation Document" of the Amazon EC2 user guide. Both platforms have the same envelope (`COSE_Sign1`,
//! RFC 9052), the same limits and the same root certificate; a NitroTPM document has its registers in `nitrotpm_pcrs`.
//! Where those texts are loose, the stricter reading is taken: fields that they do not list are refused, the
//! certificate bundle must be exactly the path from the root to the issuer of the signing certificate, and documents
//! age (see [`DOCUMENT_AGE_MILLISECONDS_MAX`]).

mod certificate;
mod chain;
mod document;
#[cfg(test)]
pub(crate) mod forge;
#[cfg(test)]
mod tests;

use claviger_secret::LogSafe;

pub use crate::cms::RecipientKey;
use crate::sha256;
use document::Document;

/// How old a document may be, and how far its time may lie ahead of ours: five minutes.
///
/// AWS's own texts state no age. Two public libraries that call AWS KMS say that it refuses documents older than five
/// minutes, and they renew theirs for that reason; this is the stricter reading, so it is ours.
pub(crate) const DOCUMENT_AGE_MILLISECONDS_MAX: u64 = 5 * 60 * 1000;

/// SHA-256 of `AWS_NitroEnclaves_Root-G1`, as AWS publishes it for Nitro Enclaves and for NitroTPM.
const AWS_NITRO_G1: [u8; 32] = [
    0x64, 0x1a, 0x03, 0x21, 0xa3, 0xe2, 0x44, 0xef, 0xe4, 0x56, 0x46, 0x31, 0x95, 0xd6, 0x06, 0x31, 0x7e, 0xd7, 0xcd,
    0xcc, 0x3c, 0x17, 0x56, 0xe0, 0x98, 0x93, 0xf3, 0xc6, 0x8f, 0x79, 0xbb, 0x5b,
];

/// The root certificates under which documents are accepted, by their fingerprints. A document brings the certificate
/// itself.
#[derive(Clone, Debug, PartialEq, Eq)]
pub struct AttestationRoots(Vec<[u8; 32]>);

impl AttestationRoots {
    /// The root of the commercial AWS partition, `CN=aws.nitro-enclaves`, generation 1 (valid until 2049).
    #[must_use]
    pub fn aws_nitro() -> Self {
        Self(vec![AWS_NITRO_G1])
    }

    /// Roots by the SHA-256 of their DER certificates. None at all: every document is refused.
    #[must_use]
    pub fn from_fingerprints(fingerprints: impl IntoIterator<Item = [u8; 32]>) -> Self {
        Self(fingerprints.into_iter().collect())
    }

    /// Roots by their DER certificates, for configuration by file.
    ///
    /// # Errors
    /// [`BadAttestation::CertificateMalformed`], or [`BadAttestation::CertificatePurpose`] for one that may not sign
    /// certificates.
    pub fn from_certificates<'c>(certificates: impl IntoIterator<Item = &'c [u8]>) -> Result<Self, BadAttestation> {
        let fingerprint = |der| chain::check_root(der).map(|()| sha256(der));
        certificates.into_iter().map(fingerprint).collect::<Result<_, _>>().map(Self)
    }

    fn contains(&self, certificate: &[u8]) -> bool {
        self.0.contains(&sha256(certificate))
    }
}

/// What a document attests.
#[derive(Clone, Copy, Debug, PartialEq, Eq)]
pub enum Platform {
    /// A Nitro enclave: registers are the `kms:RecipientAttestation:PCR<n>` condition keys, register 0 also
    /// `kms:RecipientAttestation:ImageSha384`.
    NitroEnclave,
    /// An EC2 instance with a NitroTPM: registers are `kms:RecipientAttestation:NitroTPMPCR<n>`.
    NitroTpm,
}

/// A document that was verified, and what it says. Only [`Attestation::verify`] makes one.
#[derive(Debug)]
pub struct Attestation {
    module_id: String,
    platform: Platform,
    registers: Vec<(u8, Vec<u8>)>,
    recipient: RecipientKey,
}

impl Attestation {
    /// Verifies a document at `now`, in seconds since the Unix epoch: its form, its root, its chain of certificates
    /// and their purposes, its signature, its age, and that it has an RSA key to seal replies to.
    ///
    /// # Errors
    /// The first reason for which the document is refused. Clients should not be told which.
    pub fn verify(document: &[u8], roots: &AttestationRoots, now: u64) -> Result<Self, BadAttestation> {
        let document = authenticate(document, roots, now)?;
        let public_key = document.public_key.ok_or(BadAttestation::NoPublicKey)?;
        Ok(Self {
            module_id: document.module_id.to_owned(),
            platform: document.platform,
            registers: document.registers.into_iter().map(|(index, value)| (index, value.to_vec())).collect(),
            recipient: RecipientKey::from_spki(public_key).ok_or(BadAttestation::UnusablePublicKey)?,
        })
    }

    /// The issuing module, such as `i-1234567890abcdef0-enc9876543210abcde`: 1 to 256 bytes of text.
    #[must_use]
    pub fn module_id(&self) -> &str {
        &self.module_id
    }

    /// What the document attests.
    #[must_use]
    pub const fn platform(&self) -> Platform {
        self.platform
    }

    /// The platform configuration registers by ascending index (0 to 31), each of 32, 48 or 64 bytes. Only those that
    /// the document holds: an enclave reports locked registers only.
    pub fn pcrs(&self) -> impl Iterator<Item = (u8, &[u8])> {
        self.registers.iter().map(|(index, value)| (*index, value.as_slice()))
    }

    /// The key to which replies are sealed.
    #[must_use]
    pub const fn recipient(&self) -> &RecipientKey {
        &self.recipient
    }
}

/// Everything but the public key, which documents for other services may lack.
fn authenticate<'d>(input: &'d [u8], roots: &AttestationRoots, now: u64) -> Result<Document<'d>, BadAttestation> {
    let document = Document::decode(input)?;
    chain::verify(&document, roots, now)?;
    let now = now.saturating_mul(1000);
    if now.saturating_sub(document.timestamp) > DOCUMENT_AGE_MILLISECONDS_MAX {
        return Err(BadAttestation::Stale);
    }
    if document.timestamp.saturating_sub(now) > DOCUMENT_AGE_MILLISECONDS_MAX {
        return Err(BadAttestation::FromTheFuture);
    }
    Ok(document)
}

/// Why a document is refused, for the operator's log. Never holds input.
#[derive(Clone, Copy, Debug, PartialEq, Eq, thiserror::Error)]
pub enum BadAttestation {
    /// The bytes are not a `COSE_Sign1` structure with a map in it, or something follows it.
    #[error("the attestation document is malformed")]
    Malformed,
    /// The protected header is not exactly ES384, or there are unprotected headers.
    #[error("the attestation document has other headers than ES384")]
    OtherAlgorithm,
    /// The document holds a field that AWS does not list.
    #[error("the attestation document has a field that is not known")]
    UnknownField,
    /// A field or a register occurs twice.
    #[error("the attestation document repeats {0}")]
    Repeated(&'static str),
    /// A required field is absent.
    #[error("the attestation document lacks {0}")]
    Missing(&'static str),
    /// A field is empty, too long, of another length, or out of its range.
    #[error("the attestation document has {0} out of bounds")]
    OutOfBounds(&'static str),
    /// The first certificate of the bundle is not one of the configured roots.
    #[error("the attestation document comes from another root certificate")]
    UnknownRoot,
    /// A certificate cannot be read.
    #[error("a certificate of the attestation document is malformed")]
    CertificateMalformed,
    /// A certificate, the root included, is not valid any more.
    #[error("a certificate of the attestation document has expired")]
    CertificateExpired,
    /// A certificate, the root included, is not valid yet.
    #[error("a certificate of the attestation document is not valid yet")]
    CertificateNotYetValid,
    /// A certificate was not made for what it does here: an authority that signs the document, a leaf that signs
    /// certificates, a missing key usage, a chain longer than an authority allows.
    #[error("a certificate of the attestation document has another purpose")]
    CertificatePurpose,
    /// The certificates are not one path from the root to the signing certificate, signed with ECDSA P-384 and
    /// SHA-384.
    #[error("the certificates of the attestation document are not a chain")]
    NotAChain,
    /// The document was altered, or another key signed it.
    #[error("the signature of the attestation document is wrong")]
    BadSignature,
    /// The document is older than five minutes.
    #[error("the attestation document is too old")]
    Stale,
    /// The document's time is more than five minutes ahead.
    #[error("the attestation document is from the future")]
    FromTheFuture,
    /// The document has no public key, so no reply can be sealed to it.
    #[error("the attestation document has no public key")]
    NoPublicKey,
    /// The public key is not an RSA key of 2048 to 4096 bits in DER.
    #[error("the public key of the attestation document is not RSA of 2048 to 4096 bits")]
    UnusablePublicKey,
}

impl LogSafe for BadAttestation {}

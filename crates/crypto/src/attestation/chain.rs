//! Who signed a document: the path from a pinned root to the signing certificate, and the signature.

use std::time::Duration;

use aws_lc_rs::signature::{ECDSA_P384_SHA384_FIXED, UnparsedPublicKey};
use rustls_pki_types::{
    AlgorithmIdentifier, CertificateDer, InvalidSignature, SignatureVerificationAlgorithm, UnixTime, alg_id,
};
use webpki::aws_lc_rs::ECDSA_P384_SHA384;
use webpki::{EndEntityCert, Error, KeyUsage, anchor_from_trusted_cert};

use super::certificate::Certificate;
use super::document::Document;
use super::{AttestationRoots, BadAttestation};

pub(super) fn verify(document: &Document<'_>, roots: &AttestationRoots, now: u64) -> Result<(), BadAttestation> {
    let (root, intermediates) = document.bundle.split_first().ok_or(BadAttestation::UnknownRoot)?;
    if !roots.contains(root) {
        return Err(BadAttestation::UnknownRoot);
    }
    let root = CertificateDer::from(*root);
    let anchors = [anchor_from_trusted_cert(&root).map_err(refused)?];
    let intermediates: Vec<CertificateDer<'_>> = intermediates.iter().map(|der| CertificateDer::from(*der)).collect();
    let leaf = CertificateDer::from(document.certificate);
    let signer = EndEntityCert::try_from(&leaf).map_err(refused)?;
    let path = signer
        .verify_for_usage(
            &[ECDSA_P384_SHA384],
            &anchors,
            &intermediates,
            UnixTime::since_unix_epoch(Duration::from_secs(now)),
            // Nitro certificates have no extended key usage; one that has must allow clients to authenticate.
            KeyUsage::client_auth(),
            None,
            None,
        )
        .map_err(refused)?;
    if !path.intermediate_certificates().map(|found| found.der()).eq(intermediates.iter().rev().cloned()) {
        return Err(BadAttestation::NotAChain);
    }
    check_purposes(&root, &intermediates, &leaf, now)?;
    signer.verify_signature(&Es384, &document.signed()?, document.signature).map_err(|_| BadAttestation::BadSignature)
}

/// Whether a certificate can be a root at all; its validity is a matter of each document.
pub(super) fn check_root(der: &[u8]) -> Result<(), BadAttestation> {
    anchor_from_trusted_cert(&CertificateDer::from(der)).map_err(refused)?;
    Certificate::parse(der)?.check_authority(0)
}

/// What webpki leaves open: it takes the root as it is, and ignores key usages.
fn check_purposes(
    root: &[u8],
    intermediates: &[CertificateDer<'_>],
    leaf: &[u8],
    now: u64,
) -> Result<(), BadAttestation> {
    let root = Certificate::parse(root)?;
    root.check_validity(now)?;
    root.check_authority(intermediates.len())?;
    for (authority, below) in intermediates.iter().zip((0..intermediates.len()).rev()) {
        Certificate::parse(authority)?.check_authority(below)?;
    }
    Certificate::parse(leaf)?.check_signer()
}

fn refused(error: Error) -> BadAttestation {
    match error {
        Error::CertExpired { .. } => BadAttestation::CertificateExpired,
        Error::CertNotValidYet { .. } => BadAttestation::CertificateNotYetValid,
        Error::CaUsedAsEndEntity
        | Error::EndEntityUsedAsCa
        | Error::EmptyEkuExtension
        | Error::RequiredEkuNotFoundContext(_)
        | Error::PathLenConstraintViolated => BadAttestation::CertificatePurpose,
        Error::BadDer
        | Error::BadDerTime
        | Error::ExtensionValueInvalid
        | Error::InvalidCertValidity
        | Error::InvalidSerialNumber
        | Error::MalformedExtensions
        | Error::TrailingData(_)
        | Error::UnsupportedCertVersion
        | Error::UnsupportedCriticalExtension => BadAttestation::CertificateMalformed,
        // The library may add errors; whatever they are, there is no chain.
        _ => BadAttestation::NotAChain,
    }
}

/// ES384 of COSE (RFC 9053, section 2.1): ECDSA P-384 with SHA-384, the signature as `r | s`, which certificates
/// never have.
#[derive(Debug)]
struct Es384;

impl SignatureVerificationAlgorithm for Es384 {
    fn verify_signature(&self, public_key: &[u8], message: &[u8], signature: &[u8]) -> Result<(), InvalidSignature> {
        UnparsedPublicKey::new(&ECDSA_P384_SHA384_FIXED, public_key)
            .verify(message, signature)
            .map_err(|_| InvalidSignature)
    }

    fn public_key_alg_id(&self) -> AlgorithmIdentifier {
        alg_id::ECDSA_P384
    }

    fn signature_alg_id(&self) -> AlgorithmIdentifier {
        alg_id::ECDSA_SHA384
    }
}

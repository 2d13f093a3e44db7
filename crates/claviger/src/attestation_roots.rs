//! Which roots vouch for attestation documents: AWS's own, or those of the configured certificates.

use std::path::PathBuf;

use claviger_crypto::AttestationRoots;
use rustls_pki_types::CertificateDer;
use rustls_pki_types::pem::PemObject as _;

use crate::Failure;

/// The roots in these PEM files instead of AWS's; AWS's when there are none.
///
/// # Errors
/// A file that cannot be read or holds no certificate.
pub(crate) fn read(files: &[PathBuf]) -> Result<AttestationRoots, Failure> {
    if files.is_empty() {
        return Ok(AttestationRoots::aws_nitro());
    }
    let mut all = Vec::new();
    for file in files {
        let failed = |what: &str| format!("the attestation root {}: {what}", file.display());
        let certificates = CertificateDer::pem_file_iter(file).and_then(Iterator::collect::<Result<Vec<_>, _>>);
        let certificates = certificates.map_err(|error| failed(&error.to_string()))?;
        if certificates.is_empty() {
            return Err(failed("there is no certificate in it"));
        }
        // Each file by itself first, so that the refusal names the right one.
        let usable = AttestationRoots::from_certificates(certificates.iter().map(AsRef::as_ref));
        usable.map_err(|error| failed(&error.to_string()))?;
        all.extend(certificates);
    }
    AttestationRoots::from_certificates(all.iter().map(AsRef::as_ref)).map_err(|error| error.to_string())
}

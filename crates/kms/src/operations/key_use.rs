//! What the operations that use a key pair or a MAC key share.

use std::sync::Arc;

use claviger_api::kms::KeyUsageType;
use claviger_crypto::{KeyUseError, MaterialSpec, PairMaterial, PairSpec};
use claviger_engine::{Call, Fault, Row};

use crate::KmsError;
use crate::algorithms::{Algorithm, AlgorithmRow, demand_algorithm, demand_usage};
use crate::find::{NamedKey, material};
use crate::records::{Key, Material};

/// The table's row for what the operation is to do with the key.
///
/// # Errors
/// InvalidKeyUsageException when the key was made for something else or cannot do the algorithm.
pub(crate) fn demand(key: &Key, algorithm: Algorithm, operation: &str) -> Result<&'static AlgorithmRow, KmsError> {
    let usage = match algorithm {
        Algorithm::Encryption(_) => KeyUsageType::EncryptDecrypt,
        Algorithm::Signing(_) => KeyUsageType::SignVerify,
        Algorithm::Mac(_) => KeyUsageType::GenerateVerifyMac,
        Algorithm::Agreement(_) => KeyUsageType::KeyAgreement,
        Algorithm::Encapsulation(_) => KeyUsageType::EncapsulateDecapsulate,
    };
    demand_usage(key, usage, operation)?;
    demand_algorithm(key, algorithm)
}

/// The key's current material.
pub(crate) async fn current(call: &mut Call<'_>, key: &NamedKey) -> Result<Row<Material>, KmsError> {
    material(call, key.key(), key.key().current()?).await
}

/// P-256 and Ed25519 take less time than handing the work to another thread.
const fn is_light(spec: PairSpec) -> bool {
    matches!(spec, PairSpec::P256 | PairSpec::Ed25519)
}

/// Whether making material of this kind belongs into the pool for heavy work.
pub(crate) const fn is_heavy_to_make(spec: MaterialSpec) -> bool {
    match spec {
        MaterialSpec::Symmetric | MaterialSpec::Mac(_) => false,
        MaterialSpec::Pair(pair) => !is_light(pair),
    }
}

/// Does the work with the key pair: at once when it is quick, else in the pool for heavy work, where the caller's
/// account has its share.
pub(crate) async fn with_pair<T: Send + 'static>(
    call: &mut Call<'_>,
    material: &Row<Material>,
    work: impl FnOnce(&PairMaterial) -> Result<T, KeyUseError> + Send + 'static,
) -> Result<T, KmsError> {
    let record = Arc::clone(&material.record);
    let light = record.material.pair().is_some_and(|pair| is_light(pair.spec()));
    let run = move || record.material.pair().ok_or(KeyUseError::NotThisKey).and_then(work);
    let done = if light { run() } else { call.heavy(run).await? };
    done.map_err(refused)
}

/// What is the client's doing has its own error; the table was asked before, so that a key which does not fit the
/// algorithm is ours.
fn refused(error: KeyUseError) -> KmsError {
    match error {
        KeyUseError::InvalidCiphertext => KmsError::InvalidCiphertext,
        // AWS sends no text (reference/errors.md).
        KeyUseError::InvalidPublicKey => KmsError::validation(""),
        KeyUseError::NotThisKey
        | KeyUseError::DigestLength
        | KeyUseError::MessageTooLong
        | KeyUseError::InvalidPrivateKey
        | KeyUseError::Library => Fault::Cryptography.into(),
    }
}

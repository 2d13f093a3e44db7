//! What the operations that encrypt and decrypt share: the algorithm, the context, the key behind a ciphertext.

use std::collections::BTreeMap;

use claviger_api::kms::{DryRunModifierType, EncryptionAlgorithmSpec, KeySpec};
use claviger_crypto::{BadBlob, EncryptionContext, Header, KeyMaterial, MaterialId, OaepHash};
use claviger_engine::Value;
use claviger_engine::{Audited, Call, CommonError, Facts, Fault};
use claviger_policy::{Subject, absent_resource_message};
use claviger_secret::SecretBytes;

use super::key_use::{current, demand, with_pair};
use crate::KmsError;
use crate::algorithms::{Algorithm, oaep_hash};
use crate::find::{Forms, NamedKey, find, material};
use crate::records::{Key, facts_key};
use crate::state::pending_import;

/// An encryption context as the request carries it.
pub(crate) type Pairs = BTreeMap<String, String>;

/// Bytes of all names and values of an encryption context at most (reference/lifecycle.md: about 8 KB).
const CONTEXT_BYTES_MAX: usize = 8_192;

/// Refuses an encryption context that is too long, before any policy or grant is asked about it: what that costs grows
/// with its length.
pub(crate) fn demand_context(pairs: Option<&Pairs>) -> Result<(), KmsError> {
    let bytes: usize = pairs.into_iter().flatten().map(|(name, value)| name.len() + value.len()).sum();
    if bytes <= CONTEXT_BYTES_MAX {
        return Ok(());
    }
    Err(KmsError::validation(format!("EncryptionContext has {bytes} bytes; it can have at most {CONTEXT_BYTES_MAX}.")))
}

fn context(pairs: Option<&Pairs>) -> EncryptionContext {
    EncryptionContext::canonical(pairs.into_iter().flatten().map(|(name, value)| (name.as_str(), value.as_str())))
}

/// `requestParameters` of Encrypt and Decrypt.
pub(crate) fn cipher_parameters(
    key_id: Option<&str>,
    algorithm: Option<EncryptionAlgorithmSpec>,
    pairs: Option<&Pairs>,
) -> Value {
    let algorithm = algorithm.unwrap_or(EncryptionAlgorithmSpec::SymmetricDefault);
    let mut value = Value::object([("encryptionAlgorithm", Value::public_text(algorithm.as_str()))]);
    if let Some(key_id) = key_id {
        value = value.with("keyId", Value::public_text(key_id));
    }
    with_context(value, "encryptionContext", pairs)
}

/// The encryption context is logged in clear, as AWS does (reference/events.md section 1).
pub(crate) fn with_context(value: Value, name: &'static str, pairs: Option<&Pairs>) -> Value {
    match pairs {
        None => value,
        Some(pairs) => {
            value.with(name, Value::public_map(pairs.iter().map(|(name, value)| (name.as_str(), value.as_str()))))
        }
    }
}

/// A key, an algorithm that it can do, and the context: how something is to be encrypted, or was.
#[derive(Clone, Copy)]
pub(crate) struct Method<'a> {
    /// The operation's name, for refusals.
    pub(crate) operation: &'static str,
    /// The algorithm that the request names; the symmetric one when it names none.
    pub(crate) algorithm: Option<EncryptionAlgorithmSpec>,
    /// The encryption context.
    pub(crate) pairs: Option<&'a Pairs>,
}

impl<'a> Method<'a> {
    /// Under a symmetric key.
    pub(crate) const fn symmetric(operation: &'static str, pairs: Option<&'a Pairs>) -> Self {
        Self { operation, algorithm: None, pairs }
    }

    /// The algorithm that the method stands for.
    pub(crate) fn algorithm(&self) -> EncryptionAlgorithmSpec {
        self.algorithm.unwrap_or(EncryptionAlgorithmSpec::SymmetricDefault)
    }

    /// What conditions may ask about it.
    pub(crate) fn facts(&self, facts: Facts) -> Facts {
        let pairs = || self.pairs.into_iter().flatten();
        facts
            .with("kms:EncryptionAlgorithm", self.algorithm().as_str())
            .with_all("kms:EncryptionContextKeys", pairs().map(|(name, _)| name))
            .with_family("kms:EncryptionContext:", pairs())
    }

    /// Whether the key can do this: `None` for the symmetric algorithm, else the padding and the longest plaintext.
    fn demand(&self, key: &Key) -> Result<Option<(OaepHash, usize)>, KmsError> {
        let row = demand(key, Algorithm::Encryption(self.algorithm()), self.operation)?;
        let Some(hash) = oaep_hash(self.algorithm()) else { return Ok(None) };
        if self.pairs.is_some_and(|pairs| !pairs.is_empty()) {
            return Err(KmsError::validation(format!(
                "EncryptionContext is not supported for algorithm {}.",
                self.algorithm().as_str()
            )));
        }
        Ok(Some((hash, row.input_bytes_max)))
    }

    /// Encrypts under the key. The material is named when it is symmetric.
    pub(crate) async fn encrypt(
        &self,
        call: &mut Call<'_>,
        key: &NamedKey,
        plaintext: &SecretBytes,
    ) -> Result<(Vec<u8>, Option<MaterialId>), KmsError> {
        let oaep = self.demand(key.key())?;
        let current = current(call, key).await?;
        let Some((hash, plaintext_bytes_max)) = oaep else {
            let ciphertext = seal(&current.record.material, self.pairs, plaintext.expose())?;
            return Ok((ciphertext, Some(current.record.id)));
        };
        if plaintext.len() > plaintext_bytes_max {
            let (algorithm, spec) = (self.algorithm().as_str(), key.key().spec.as_str());
            return Err(KmsError::validation(format!(
                "Algorithm {algorithm} and key spec {spec} cannot encrypt data larger than {plaintext_bytes_max} bytes."
            )));
        }
        let plaintext = SecretBytes::from_slice(plaintext.expose());
        let ciphertext = with_pair(call, &current, move |pair| pair.encrypt(hash, plaintext.expose())).await?;
        Ok((ciphertext, None))
    }

    /// Decrypts with the key that the source names. Whatever fails behind the checks of usage and algorithm fails
    /// alike.
    pub(crate) async fn decrypt(
        &self,
        call: &mut Call<'_>,
        source: &Source,
        ciphertext: &[u8],
    ) -> Result<(SecretBytes, Option<MaterialId>), KmsError> {
        let key = source.key.key();
        match self.demand(key)? {
            None => {
                let header = Header::parse(ciphertext).map_err(|_| KmsError::InvalidCiphertext)?;
                if header.key_id.to_string() != key.id {
                    return Err(KmsError::IncorrectKey);
                }
                if !key.is_usable(&header.material_id, call.now()) {
                    // Material whose time has come, although the job has not, may come back with the next import.
                    let expired = key.material(&header.material_id).is_some_and(|facts| !facts.is_pending());
                    return Err(if expired { pending_import(key) } else { KmsError::InvalidCiphertext });
                }
                let row = material(call, key, &header.material_id).await?;
                let symmetric = row.record.material.symmetric().ok_or(Fault::Cryptography)?;
                let opened = symmetric.open(ciphertext, &context(self.pairs));
                Ok((opened.map_err(unopened)?, Some(header.material_id)))
            }
            Some((hash, _)) => {
                let current = current(call, &source.key).await?;
                let ciphertext = ciphertext.to_vec();
                Ok((with_pair(call, &current, move |pair| pair.decrypt(hash, &ciphertext)).await?, None))
            }
        }
    }

    /// What a dry run without a ciphertext checks of the key.
    pub(crate) fn demand_key(&self, key: &Key) -> Result<(), KmsError> {
        self.demand(key).map(drop)
    }
}

/// The blob of this plaintext under this material of a symmetric key.
pub(crate) fn seal(material: &KeyMaterial, pairs: Option<&Pairs>, plaintext: &[u8]) -> Result<Vec<u8>, KmsError> {
    let symmetric = material.symmetric().ok_or(Fault::Cryptography)?;
    symmetric.seal(&context(pairs), plaintext).map_err(|error| Fault::from(error).into())
}

/// A ciphertext that does not open is the client's doing, a library that fails is ours.
fn unopened(error: BadBlob) -> KmsError {
    match error {
        BadBlob::LibraryFailed => Fault::Cryptography.into(),
        BadBlob::Malformed | BadBlob::UnknownVersion(_) | BadBlob::OtherMaterial | BadBlob::NotAuthentic => {
            KmsError::InvalidCiphertext
        }
    }
}

/// The key that a ciphertext is to be opened with.
pub(crate) struct Source {
    pub(crate) key: NamedKey,
    /// Whether the request itself named the key; otherwise the ciphertext did.
    pub(crate) named: bool,
}

/// Finds the key that a request or, without one, the ciphertext names. Whether they agree is judged once the caller
/// is known to be allowed.
pub(crate) async fn source(
    call: &mut Call<'_>,
    ciphertext: Option<&[u8]>,
    key_id: Option<&str>,
    action: &'static str,
) -> Result<Source, KmsError> {
    if let Some(key_id) = key_id {
        return Ok(Source { key: find(call, key_id, Forms::KeyOrAlias, action).await?, named: true });
    }
    let ciphertext = ciphertext.ok_or_else(|| KmsError::validation("KeyId is required without a ciphertext."))?;
    let header = Header::parse(ciphertext).map_err(|_| KmsError::InvalidCiphertext)?;
    let region = call.caller().region().to_owned();
    match call.row::<Key>(&facts_key(&region, &header.key_id.to_string())).await? {
        Some(row) => Ok(Source { key: NamedKey::new(call, row).await?, named: false }),
        None => {
            // The same sentence as for a key that is there and not the caller's to see.
            let text = absent_resource_message(call.caller().principal(), action, Subject::Ciphertext);
            Err(KmsError::Common(CommonError::AccessDenied(text)))
        }
    }
}

/// Whether the ciphertext counts: a dry run may ask to leave it out of account, and only a dry run may.
pub(crate) fn ignores_ciphertext(
    dry_run: Option<bool>,
    modifiers: Option<&Vec<DryRunModifierType>>,
) -> Result<bool, KmsError> {
    let ignores = modifiers.is_some_and(|modifiers| modifiers.contains(&DryRunModifierType::IgnoreCiphertext));
    if ignores && dry_run != Some(true) {
        return Err(KmsError::validation("DryRunModifiers can only be specified when DryRun is true."));
    }
    Ok(ignores)
}

/// The ciphertext of a request that must have one.
pub(crate) fn demand_ciphertext(ciphertext: Option<&Vec<u8>>) -> Result<&[u8], KmsError> {
    ciphertext.map(Vec::as_slice).ok_or_else(|| {
        KmsError::validation(
            "1 validation error detected: Value null at 'ciphertextBlob' failed to satisfy constraint: Member must not be null",
        )
    })
}

/// Refuses an asymmetric algorithm without a key: only symmetric ciphertexts name theirs.
pub(crate) fn demand_key_id(algorithm: Option<EncryptionAlgorithmSpec>, key_id: Option<&str>) -> Result<(), KmsError> {
    match algorithm {
        Some(algorithm) if key_id.is_none() && oaep_hash(algorithm).is_some() => {
            Err(KmsError::validation(format!("KeyId is required for algorithm {}.", algorithm.as_str())))
        }
        _ => Ok(()),
    }
}

/// `additionalEventData`: the material that was used.
pub(crate) fn show_material(id: Option<&str>, audited: &mut Audited) {
    if let Some(id) = id {
        audited.additional = Value::object([("keyMaterialId", Value::public_text(id))]);
    }
}

/// Whether the key is symmetric: only such keys make data keys.
pub(crate) fn is_symmetric(key: &Key) -> bool {
    key.spec == KeySpec::SymmetricDefault
}

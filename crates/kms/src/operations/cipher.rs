//! What the symmetric operations share: the algorithm, the context, the blob's key.

use std::collections::BTreeMap;

use claviger_api::kms::EncryptionAlgorithmSpec;
use claviger_crypto::{EncryptionContext, Header, MaterialId};
use claviger_engine::Value;
use claviger_engine::{Audited, Call, CommonError};
use claviger_policy::{Subject, absent_resource_message};
use claviger_secret::SecretBytes;

use crate::KmsError;
use crate::find::{Forms, NamedKey, find, material};
use crate::records::{Key, facts_key};

/// An encryption context as the request carries it.
pub(crate) type Pairs = BTreeMap<String, String>;

pub(crate) fn context(pairs: Option<&Pairs>) -> EncryptionContext {
    EncryptionContext::canonical(pairs.into_iter().flatten().map(|(name, value)| (name.as_str(), value.as_str())))
}

/// Only the symmetric algorithm fits the keys that can be made yet.
pub(crate) fn algorithm(asked: Option<EncryptionAlgorithmSpec>) -> Result<(), KmsError> {
    match asked {
        None | Some(EncryptionAlgorithmSpec::SymmetricDefault) => Ok(()),
        Some(other) => Err(KmsError::InvalidKeyUsage(format!(
            "Algorithm {} is incompatible with key spec SYMMETRIC_DEFAULT.",
            other.as_str()
        ))),
    }
}

/// `requestParameters` of Encrypt and Decrypt.
pub(crate) fn cipher_parameters(key_id: Option<&str>, pairs: Option<&Pairs>) -> Value {
    let mut value = Value::object([("encryptionAlgorithm", Value::public_text("SYMMETRIC_DEFAULT"))]);
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

/// The key that made a blob.
pub(crate) struct BlobKey {
    pub(crate) key: NamedKey,
    pub(crate) material: MaterialId,
    /// Whether the request itself named the key.
    pub(crate) named: bool,
}

/// Finds the key that made the blob. A key that the request names must be that key.
pub(crate) async fn blob_key(
    call: &mut Call<'_>,
    bytes: &[u8],
    key_id: Option<&str>,
    action: &'static str,
) -> Result<BlobKey, KmsError> {
    let header = Header::parse(bytes);
    if let Some(key_id) = key_id {
        let key = find(call, key_id, Forms::KeyOrAlias, action).await?;
        let header = header.map_err(|_| KmsError::InvalidCiphertext)?;
        if header.key_id.to_string() != key.key().id {
            return Err(KmsError::IncorrectKey);
        }
        return Ok(BlobKey { key, material: header.material_id, named: true });
    }
    let header = header.map_err(|_| KmsError::InvalidCiphertext)?;
    let region = call.caller().region().to_owned();
    match call.row::<Key>(&facts_key(&region, &header.key_id.to_string())).await? {
        Some(row) => Ok(BlobKey { key: NamedKey::new(row), material: header.material_id, named: false }),
        None => {
            // The same sentence as for a key that is there and not the caller's to see.
            let text = absent_resource_message(call.caller().principal(), action, Subject::Ciphertext);
            Err(KmsError::Common(CommonError::AccessDenied(text)))
        }
    }
}

/// Opens a blob with the material that it names. Every failure is the same.
pub(crate) async fn open(
    call: &mut Call<'_>,
    of: &BlobKey,
    bytes: &[u8],
    context: &EncryptionContext,
) -> Result<SecretBytes, KmsError> {
    if !of.key.key().materials.contains(&of.material) {
        return Err(KmsError::InvalidCiphertext);
    }
    let row = material(call, of.key.key(), &of.material).await?;
    row.record.material.open(bytes, context).map_err(|_| KmsError::InvalidCiphertext)
}

/// `additionalEventData`: the material that was used.
pub(crate) fn show_material(id: Option<&str>, audited: &mut Audited) {
    if let Some(id) = id {
        audited.additional = Value::object([("keyMaterialId", Value::public_text(id))]);
    }
}

/// The ciphertext that only a dry run may leave out, and dry runs without one are not offered yet.
pub(crate) fn no_ciphertext() -> KmsError {
    KmsError::validation(
        "1 validation error detected: Value null at 'ciphertextBlob' failed to satisfy constraint: Member must not be null",
    )
}

/// Refuses what would change the meaning of a dry run.
pub(crate) fn demand_no_modifiers<T>(modifiers: Option<&Vec<T>>) -> Result<(), KmsError> {
    match modifiers {
        Some(modifiers) if !modifiers.is_empty() => {
            Err(KmsError::Unsupported(Some("DryRunModifiers is not supported by this server yet.".to_owned())))
        }
        _ => Ok(()),
    }
}

//! Dev seed files: keys with fixed ids and material.

use std::path::Path;

use base64::Engine as _;
use base64::engine::general_purpose::STANDARD;
use claviger_api::Timestamp;
use claviger_api::kms::{KeySpec, KeyUsageType};
use claviger_crypto::KeyId;
use claviger_kms::SeedKey;
use claviger_secret::SecretBytes;
use serde::Deserialize;

use crate::Failure;
use crate::world::World;

#[derive(Deserialize)]
#[serde(deny_unknown_fields)]
struct SeedFile {
    keys: Vec<SeedFileKey>,
}

#[derive(Deserialize)]
#[serde(deny_unknown_fields, rename_all = "camelCase")]
struct SeedFileKey {
    key_id: String,
    account: Option<String>,
    /// The one that a request without a Region is for, when it is missing.
    region: Option<String>,
    /// AWS's KeySpec; symmetric when it is missing.
    key_spec: Option<String>,
    /// AWS's KeyUsage; needed for every other spec.
    key_usage: Option<String>,
    /// In base64: the bytes of a symmetric or HMAC key, the PKCS#8 private key of a key pair.
    material: String,
    #[serde(default)]
    aliases: Vec<String>,
}

/// What kind of key is asked for.
fn kind(key: &SeedFileKey) -> Option<(KeySpec, KeyUsageType)> {
    let spec = key.key_spec.as_deref().map_or(Some(KeySpec::SymmetricDefault), KeySpec::parse)?;
    let usage = match key.key_usage.as_deref() {
        None => (spec == KeySpec::SymmetricDefault).then_some(KeyUsageType::EncryptDecrypt),
        Some(usage) => KeyUsageType::parse(usage),
    };
    Some((spec, usage?))
}

/// Makes the keys of the file that are not there yet.
pub(crate) async fn apply(world: &World, file: &Path, account: &str, now: Timestamp) -> Result<(), Failure> {
    let bad = |what: String| format!("the seed file {}: {what}", file.display());
    let text = std::fs::read(file).map_err(|error| bad(error.to_string()))?;
    let parsed: SeedFile = serde_json::from_slice(&text).map_err(|error| bad(error.to_string()))?;
    drop(SecretBytes::new(text));
    for mut key in parsed.keys {
        let bytes = SecretBytes::new(
            STANDARD.decode(&key.material).map_err(|_| bad(format!("{}: material is not base64", key.key_id)))?,
        );
        drop(SecretBytes::new(std::mem::take(&mut key.material).into_bytes()));
        let (spec, usage) = kind(&key).ok_or_else(|| bad(format!("{}: no such keySpec or keyUsage", key.key_id)))?;
        let id = KeyId::parse(&key.key_id).map_err(|_| bad(format!("{} is no key id", key.key_id)))?;
        let material = claviger_kms::seed_material(id, spec, &bytes)
            .ok_or_else(|| bad(format!("{}: the material is not that of a {} key", key.key_id, spec.as_str())))?;
        let regions = world.engine.regions();
        let region = key.region.unwrap_or_else(|| regions.default_region().to_owned());
        if !regions.serve(&region) {
            return Err(bad(format!("{}: Region {region:?} is not served", key.key_id)));
        }
        let seeded = SeedKey {
            id: key.key_id.clone(),
            account: key.account.unwrap_or_else(|| account.to_owned()),
            region,
            spec,
            usage,
            material,
            aliases: key.aliases,
        };
        let done = claviger_kms::seed(&world.engine, seeded, now).await;
        done.map_err(|error| bad(format!("{}: {error}", key.key_id)))?;
    }
    Ok(())
}

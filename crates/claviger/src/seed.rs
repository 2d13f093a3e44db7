//! Dev seed files: keys with fixed ids and material.

use std::path::Path;

use base64::Engine as _;
use base64::engine::general_purpose::STANDARD;
use claviger_api::Timestamp;
use claviger_crypto::{KeyId, KeyMaterial, MATERIAL_BYTES};
use claviger_kms::SeedKey;
use claviger_secret::{SecretArray, SecretBytes};
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
    #[serde(default = "default_region")]
    region: String,
    material: String,
    #[serde(default)]
    aliases: Vec<String>,
}

fn default_region() -> String {
    "us-east-1".to_owned()
}

/// Makes the keys of the file that are not there yet.
pub(crate) async fn apply(world: &World, file: &Path, account: &str, now: Timestamp) -> Result<(), Failure> {
    let bad = |what: String| format!("the seed file {}: {what}", file.display());
    let text = std::fs::read(file).map_err(|error| bad(error.to_string()))?;
    let parsed: SeedFile = serde_json::from_slice(&text).map_err(|error| bad(error.to_string()))?;
    drop(SecretBytes::new(text));
    for key in parsed.keys {
        let bytes = SecretBytes::new(
            STANDARD.decode(&key.material).map_err(|_| bad(format!("{}: material is not base64", key.key_id)))?,
        );
        let secret = SecretArray::<MATERIAL_BYTES>::from_slice(bytes.expose())
            .ok_or_else(|| bad(format!("{}: material is not of {MATERIAL_BYTES} bytes", key.key_id)))?;
        let id = KeyId::parse(&key.key_id).map_err(|_| bad(format!("{} is no key id", key.key_id)))?;
        let material = KeyMaterial::from_bytes(id, secret).map_err(|error| bad(error.to_string()))?;
        let seeded = SeedKey {
            id: key.key_id.clone(),
            account: key.account.unwrap_or_else(|| account.to_owned()),
            region: key.region,
            material,
            aliases: key.aliases,
        };
        let done = claviger_kms::seed(&world.engine, seeded, now).await;
        done.map_err(|error| bad(format!("{}: {error}", key.key_id)))?;
    }
    Ok(())
}

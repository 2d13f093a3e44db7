//! Stored formats as files, and the keys that they were sealed under.

#![expect(clippy::unwrap_used, reason = "tests")]

use claviger_crypto::{DomainKeys, UnsealSecret};
use claviger_engine::Deployment;
use claviger_secret::SecretBytes;
use claviger_store::Store as _;

fn path(name: &str) -> String {
    format!("{}/testdata/golden/{name}.hex", env!("CARGO_MANIFEST_DIR"))
}

pub(crate) fn file(name: &str) -> Vec<u8> {
    hex::decode(std::fs::read_to_string(path(name)).unwrap().trim()).unwrap()
}

/// Makes the file of a format that is new.
pub(crate) fn keep(name: &str, bytes: Vec<u8>) {
    if !std::path::Path::new(&path(name)).exists() {
        std::fs::write(path(name), hex::encode(bytes) + "\n").unwrap();
    }
}

/// The domain keys of the golden deployment.
pub(crate) async fn keys() -> std::sync::Arc<DomainKeys> {
    let store = claviger_store::Memory::new();
    let mut batch = claviger_store::Batch::new();
    batch.put("deployment/keys", file("../../../engine/testdata/golden/deployment"));
    store.commit(batch).await.unwrap();
    let secret = SecretBytes::from_slice(b"golden unseal secret, 32 bytes..");
    Deployment::unseal(&store, &UnsealSecret::file(secret).unwrap()).await.unwrap().keys
}

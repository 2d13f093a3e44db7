//! Golden vectors: a whole chain, from the unseal secret to the plaintext, that must open for ever.
//!
//! `testdata/golden/v1.json` was made by `make_v1.py` beside it, a second implementation of `docs/FORMATS.md` that
//! shares no code with this crate. A format changes by a new version and a new file, never by changing this one.

#![expect(clippy::unwrap_used, clippy::indexing_slicing, reason = "tests")]

use claviger_secret::{SecretArray, SecretBytes};
use serde_json::Value;

use crate::{
    BadBlob, DomainKeys, EncryptionContext, Header, KeyId, KeyMaterial, RootKey, SigningKey, UnsealSecret, sha256,
    unwrap_root,
};

const VECTORS: &str = include_str!("../testdata/golden/v1.json");

fn vectors() -> Value {
    serde_json::from_str(VECTORS).unwrap()
}

fn text(value: &Value) -> &str {
    value.as_str().unwrap()
}

fn bytes(value: &Value) -> Vec<u8> {
    hex::decode(text(value)).unwrap()
}

fn list(value: &Value) -> &[Value] {
    value.as_array().unwrap()
}

fn root(vectors: &Value) -> RootKey {
    let unseal = UnsealSecret::file(SecretBytes::new(bytes(&vectors["unseal_file"]))).unwrap();
    unwrap_root(&bytes(&vectors["root_by_file"]), &unseal).unwrap()
}

fn domain_keys(vectors: &Value) -> DomainKeys {
    let wrapped: Vec<_> = list(&vectors["domain_keys"]).iter().map(bytes).collect();
    DomainKeys::unwrap(&root(vectors), wrapped.iter().map(Vec::as_slice)).unwrap()
}

fn context(value: &Value) -> EncryptionContext {
    let pairs = value.as_object().unwrap();
    EncryptionContext::canonical(pairs.iter().map(|(key, value)| (key.as_str(), text(value))))
}

#[test]
fn the_file_is_the_one_that_was_checked_in() {
    let expected = "1ee7b7d399aacc03b043226a67c618d582222695e7b36a890347eafcff2f7afa";
    assert_eq!(hex::encode(sha256(VECTORS.as_bytes())), expected, "golden vectors do not change: add a new file");
}

#[test]
fn both_wrappings_hold_the_same_root_key() {
    let vectors = vectors();
    let passphrase = SecretBytes::from_slice(text(&vectors["passphrase"]).as_bytes());
    let unseal = UnsealSecret::passphrase(passphrase).unwrap();
    let by_passphrase = unwrap_root(&bytes(&vectors["root_by_passphrase"]), &unseal).unwrap();
    assert_eq!(by_passphrase.secret(), root(&vectors).secret());
}

#[test]
fn records_of_every_domain_key_version_open() {
    let vectors = vectors();
    let keys = domain_keys(&vectors);
    assert_eq!(keys.current(), 2);
    for record in list(&vectors["records"]) {
        assert_eq!(text(&record["purpose"]), "golden v1");
        let opened = keys.open("golden v1", &bytes(&record["associated"]), &bytes(&record["sealed"])).unwrap();
        assert_eq!(opened.expose(), bytes(&record["plaintext"]));
    }
}

#[test]
fn derived_and_wrapped_keys_are_the_same() {
    let vectors = vectors();
    let keys = domain_keys(&vectors);
    let mac = &vectors["mac"];
    assert_eq!(text(&mac["purpose"]), "golden mac v1");
    assert!(keys.mac_key("golden mac v1").unwrap().verify(&bytes(&mac["data"]), &bytes(&mac["tag"])));
    let signing = &vectors["signing_key"];
    let unwrapped = SigningKey::unwrap(&keys, &bytes(&signing["associated"]), &bytes(&signing["wrapped"])).unwrap();
    let expected = SigningKey::from_seed(SecretArray::from_slice(&bytes(&signing["seed"])).unwrap()).unwrap();
    assert_eq!(unwrapped.public(), expected.public());
}

#[test]
fn blobs_open_through_their_header_and_no_altered_one_does() {
    let vectors = vectors();
    let keys = domain_keys(&vectors);
    for key in list(&vectors["keys"]) {
        let key_id = KeyId::parse(text(&key["key_id"])).unwrap();
        let (associated, wrapped) = (bytes(&key["associated"]), bytes(&key["wrapped"]));
        let material = KeyMaterial::unwrap(&keys, key_id, &associated, &wrapped).unwrap();
        assert_eq!(material.material_id().to_string(), text(&key["material_id"]));
        for case in list(&key["blobs"]) {
            let (blob, context) = (bytes(&case["blob"]), context(&case["context"]));
            let header = Header::parse(&blob).unwrap();
            assert_eq!((header.key_id, header.material_id), (key_id, material.material_id()));
            assert_eq!(material.open(&blob, &context).unwrap().expose(), bytes(&case["plaintext"]));
            for at in 0..blob.len() {
                let mut altered = blob.clone();
                altered[at] ^= 0x80;
                assert!(material.open(&altered, &context).is_err(), "byte {at}");
            }
            let other = EncryptionContext::canonical([("purpose", "Golden"), ("a", "bc")]);
            assert_eq!(material.open(&blob, &other).err(), Some(BadBlob::NotAuthentic));
        }
    }
}

//! Golden vectors: a whole chain, from the unseal secret to the plaintext, that must open for ever.
//!
//! `testdata/golden/v1.json` was made by `make_v1.py` beside it, a second implementation of `docs/FORMATS.md` that
//! shares no code with this crate. A format changes by a new version and a new file, never by changing this one.
//! `testdata/golden/v2.json`, by `make_v2.py`, adds wrapped key material of every kind with what its keys made.

#![expect(clippy::unwrap_used, clippy::indexing_slicing, reason = "tests")]

use claviger_secret::{SecretArray, SecretBytes};
use serde_json::Value;

use crate::{
    BadBlob, DomainKeys, EncryptionContext, Header, KeyId, KeyMaterial, KeyUseError, MacSpec, MaterialSpec, Message,
    OaepHash, PairMaterial, PairSpec, RootKey, ShaLength, SignatureScheme, SigningKey, UnsealSecret, sha256,
    unwrap_root,
};

const VECTORS: &str = include_str!("../testdata/golden/v1.json");
const MATERIALS: &str = include_str!("../testdata/golden/v2.json");

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
fn the_files_are_those_that_were_checked_in() {
    for (file, expected) in [
        (VECTORS, "1ee7b7d399aacc03b043226a67c618d582222695e7b36a890347eafcff2f7afa"),
        (MATERIALS, "35c3447ea33cb03c8e762eeea3bba037bb1687280ae0d709aa08faa3b6a041d6"),
    ] {
        assert_eq!(hex::encode(sha256(file.as_bytes())), expected, "golden vectors do not change: add a new file");
    }
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
        let material = material.symmetric().unwrap();
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

fn spec(name: &str) -> MaterialSpec {
    let mac = MacSpec::ALL.iter().find(|spec| spec.as_str() == name);
    let pair = PairSpec::ALL.iter().find(|spec| spec.as_str() == name);
    match (mac, pair) {
        (Some(mac), None) => MaterialSpec::Mac(*mac),
        (None, Some(pair)) => MaterialSpec::Pair(*pair),
        _ => {
            assert_eq!(name, "SYMMETRIC_DEFAULT");
            MaterialSpec::Symmetric
        }
    }
}

fn scheme(name: &str) -> SignatureScheme {
    let hash = match name.rsplit_once('_').map(|(_, digits)| digits) {
        Some("256") => ShaLength::Sha256,
        Some("384") => ShaLength::Sha384,
        _ => ShaLength::Sha512,
    };
    match name {
        "ED25519_SHA_512" => SignatureScheme::Ed25519,
        "ED25519_PH_SHA_512" => SignatureScheme::Ed25519ph,
        "ML_DSA_SHAKE_256" => SignatureScheme::MlDsa,
        _ if name.starts_with("RSASSA_PSS_SHA_") => SignatureScheme::RsaPss(hash),
        _ if name.starts_with("RSASSA_PKCS1_V1_5_SHA_") => SignatureScheme::RsaPkcs1(hash),
        _ => {
            assert!(name.starts_with("ECDSA_SHA_"));
            SignatureScheme::Ecdsa(hash)
        }
    }
}

fn no_items(value: &Value) -> &[Value] {
    if value.is_null() { &[] } else { list(value) }
}

#[test]
fn material_of_every_kind_unwraps_and_works() {
    let vectors: Value = serde_json::from_str(MATERIALS).unwrap();
    let keys = domain_keys(&vectors);
    let mut specs = Vec::new();
    let mut uses = 0;
    for entry in list(&vectors["materials"]) {
        let key_id = KeyId::parse(text(&entry["key_id"])).unwrap();
        let (associated, wrapped) = (bytes(&entry["associated"]), bytes(&entry["wrapped"]));
        let material = KeyMaterial::unwrap(&keys, key_id, &associated, &wrapped).unwrap();
        assert_eq!(material.material_id().to_string(), text(&entry["material_id"]));
        assert_eq!(material.spec(), spec(text(&entry["spec"])));
        specs.push(material.spec());
        for case in no_items(&entry["blobs"]) {
            let opened = material.symmetric().unwrap().open(&bytes(&case["blob"]), &EncryptionContext::canonical([]));
            assert_eq!(opened.unwrap().expose(), bytes(&case["plaintext"]));
            uses += 1;
        }
        for case in no_items(&entry["macs"]) {
            let (mac, message) = (material.mac().unwrap(), bytes(&case["message"]));
            assert_eq!(mac.mac(&message), bytes(&case["mac"]));
            assert!(mac.verify(&message, &bytes(&case["mac"])));
            uses += 1;
        }
        if let Some(pair) = material.pair() {
            uses += pair_works(pair, entry);
        }
    }
    let all = PairSpec::ALL.iter().copied().map(MaterialSpec::Pair);
    let all = MacSpec::ALL.iter().copied().map(MaterialSpec::Mac).chain(all);
    assert_eq!(specs, std::iter::once(MaterialSpec::Symmetric).chain(all).collect::<Vec<_>>());
    // A blob, 8 MACs; of pairs 18 + 4 + 2 + 12 signatures, 18 ciphertexts, 3 agreements, 3 encapsulations.
    assert_eq!(uses, 1 + 8 + 36 + 18 + 3 + 3);
}

/// Checks everything that the vectors hold of a pair; how many there were.
fn pair_works(pair: &PairMaterial, entry: &Value) -> usize {
    let name = text(&entry["spec"]);
    assert_eq!(pair.public_key(), bytes(&entry["public_key"]), "{name}");
    let imported = PairMaterial::from_private_key(pair.key_id(), pair.spec(), &bytes(&entry["pkcs8"])).unwrap();
    assert_eq!(imported.material_id(), pair.material_id(), "{name}");
    let mut uses = 0;
    for case in no_items(&entry["signatures"]) {
        let (scheme, input) = (scheme(text(&case["scheme"])), bytes(&case["message"]));
        let message = match text(&case["form"]) {
            "RAW" => Message::Raw(&input),
            "DIGEST" => Message::Digest(&input),
            form => {
                assert_eq!(form, "EXTERNAL_MU");
                Message::ExternalMu(&input)
            }
        };
        let mut signature = bytes(&case["signature"]);
        assert_eq!(pair.verify(scheme, message, &signature), Ok(true), "{name} {scheme:?}");
        if matches!(scheme, SignatureScheme::Ed25519 | SignatureScheme::Ed25519ph | SignatureScheme::RsaPkcs1(_)) {
            // These are deterministic.
            assert_eq!(pair.sign(scheme, message).unwrap(), signature, "{name} {scheme:?}");
        }
        *signature.last_mut().unwrap() ^= 1;
        assert_eq!(pair.verify(scheme, message, &signature), Ok(false), "{name} {scheme:?}");
        uses += 1;
    }
    for case in no_items(&entry["ciphertexts"]) {
        let hash = match text(&case["algorithm"]) {
            "RSAES_OAEP_SHA_1" => OaepHash::Sha1,
            algorithm => {
                assert_eq!(algorithm, "RSAES_OAEP_SHA_256");
                OaepHash::Sha256
            }
        };
        let mut ciphertext = bytes(&case["ciphertext"]);
        assert_eq!(pair.decrypt(hash, &ciphertext).unwrap().expose(), bytes(&case["plaintext"]), "{name}");
        *ciphertext.last_mut().unwrap() ^= 1;
        assert_eq!(pair.decrypt(hash, &ciphertext).err(), Some(KeyUseError::InvalidCiphertext));
        uses += 1;
    }
    for case in no_items(&entry["agreements"]) {
        assert_eq!(pair.agree(&bytes(&case["peer"])).unwrap().expose(), bytes(&case["secret"]), "{name}");
        uses += 1;
    }
    for case in no_items(&entry["encapsulations"]) {
        let secret = pair.decapsulate(&bytes(&case["ciphertext"])).unwrap();
        assert_eq!(secret.expose(), bytes(&case["secret"]), "{name}");
        uses += 1;
    }
    uses
}

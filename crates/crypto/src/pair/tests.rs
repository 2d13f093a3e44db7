#![expect(clippy::unwrap_used, clippy::indexing_slicing, reason = "tests")]

use aws_lc_rs::digest;
use claviger_crypto_ffi::ed25519ph;
use proptest::prelude::*;
use static_assertions::assert_impl_all;

use super::{KeyUseError, Message, OaepHash, PairMaterial, PublicKey, ShaLength, SignatureScheme, der};
use crate::{CryptoError, DataKeyPair, DomainKeys, KeyId, KeyMaterial, MaterialSpec, PairSpec};

assert_impl_all!(PairMaterial: Send, Sync);
assert_impl_all!(PublicKey: Send, Sync);

const SCHEMES: [SignatureScheme; 12] = [
    SignatureScheme::RsaPss(ShaLength::Sha256),
    SignatureScheme::RsaPss(ShaLength::Sha384),
    SignatureScheme::RsaPss(ShaLength::Sha512),
    SignatureScheme::RsaPkcs1(ShaLength::Sha256),
    SignatureScheme::RsaPkcs1(ShaLength::Sha384),
    SignatureScheme::RsaPkcs1(ShaLength::Sha512),
    SignatureScheme::Ecdsa(ShaLength::Sha256),
    SignatureScheme::Ecdsa(ShaLength::Sha384),
    SignatureScheme::Ecdsa(ShaLength::Sha512),
    SignatureScheme::Ed25519,
    SignatureScheme::Ed25519ph,
    SignatureScheme::MlDsa,
];

fn key_id() -> KeyId {
    KeyId::from_random([7; 16], false)
}

macro_rules! stored {
    ($name:literal) => {
        include_bytes!(concat!("../../testdata/keys/", $name, ".der")).as_slice()
    };
}

/// The PKCS#8 of a fixed key of every kind.
fn pkcs8(spec: PairSpec) -> Vec<u8> {
    match spec {
        PairSpec::Rsa2048 => stored!("rsa_2048").to_vec(),
        PairSpec::Rsa3072 => stored!("rsa_3072").to_vec(),
        PairSpec::Rsa4096 => stored!("rsa_4096").to_vec(),
        PairSpec::P256 => stored!("p256").to_vec(),
        PairSpec::P384 => stored!("p384").to_vec(),
        PairSpec::P521 => stored!("p521").to_vec(),
        PairSpec::Secp256k1 => stored!("secp256k1").to_vec(),
        PairSpec::Ed25519 => stored!("ed25519").to_vec(),
        PairSpec::MlDsa44 | PairSpec::MlDsa65 | PairSpec::MlDsa87 => {
            der::seed(spec).unwrap().encode_secret(&[5; 32]).expose().to_vec()
        }
        PairSpec::MlKem512 | PairSpec::MlKem768 | PairSpec::MlKem1024 => {
            der::seed(spec).unwrap().encode_secret(&[5; 64]).expose().to_vec()
        }
    }
}

fn fixed(spec: PairSpec) -> PairMaterial {
    PairMaterial::from_private_key(key_id(), spec, &pkcs8(spec)).unwrap()
}

fn all() -> Vec<PairMaterial> {
    PairSpec::ALL.iter().map(|spec| fixed(*spec)).collect()
}

/// The length of the digest that a scheme of the spec takes; nothing for the schemes of other specs.
fn digest_bytes(spec: PairSpec, scheme: SignatureScheme) -> Option<usize> {
    let bytes = |hash| match hash {
        ShaLength::Sha256 => 32,
        ShaLength::Sha384 => 48,
        ShaLength::Sha512 => 64,
    };
    match (spec, scheme) {
        (
            PairSpec::Rsa2048 | PairSpec::Rsa3072 | PairSpec::Rsa4096,
            SignatureScheme::RsaPss(hash) | SignatureScheme::RsaPkcs1(hash),
        ) => Some(bytes(hash)),
        (PairSpec::P256 | PairSpec::Secp256k1, SignatureScheme::Ecdsa(ShaLength::Sha256)) => Some(32),
        (PairSpec::P384, SignatureScheme::Ecdsa(ShaLength::Sha384)) => Some(48),
        (PairSpec::P521, SignatureScheme::Ecdsa(ShaLength::Sha512)) => Some(64),
        (PairSpec::Ed25519, SignatureScheme::Ed25519 | SignatureScheme::Ed25519ph) => Some(64),
        (PairSpec::MlDsa44 | PairSpec::MlDsa65 | PairSpec::MlDsa87, SignatureScheme::MlDsa) => Some(64),
        _ => None,
    }
}

#[derive(Clone, Copy, Debug, PartialEq)]
enum Form {
    Raw,
    Digest,
    ExternalMu,
}

const FORMS: [Form; 3] = [Form::Raw, Form::Digest, Form::ExternalMu];

fn message(form: Form, bytes: &[u8]) -> Message<'_> {
    match form {
        Form::Raw => Message::Raw(bytes),
        Form::Digest => Message::Digest(bytes),
        Form::ExternalMu => Message::ExternalMu(bytes),
    }
}

fn takes(scheme: SignatureScheme, form: Form) -> bool {
    match scheme {
        SignatureScheme::RsaPss(_) | SignatureScheme::RsaPkcs1(_) | SignatureScheme::Ecdsa(_) => {
            form != Form::ExternalMu
        }
        SignatureScheme::Ed25519 => form == Form::Raw,
        SignatureScheme::Ed25519ph => form == Form::Digest,
        SignatureScheme::MlDsa => form != Form::Digest,
    }
}

#[test]
fn every_spec_signs_by_its_schemes_and_forms_and_no_others() {
    let mut signed = 0;
    for key in all() {
        for scheme in SCHEMES {
            for form in FORMS {
                let bytes = vec![3; digest_bytes(key.spec(), scheme).unwrap_or(32)];
                let what = format!("{} {scheme:?} {form:?}", key.spec());
                let refused = digest_bytes(key.spec(), scheme).is_none() || !takes(scheme, form);
                if refused {
                    assert_eq!(key.sign(scheme, message(form, &bytes)), Err(KeyUseError::NotThisKey), "{what}");
                    let verified = key.verify(scheme, message(form, &bytes), &[]);
                    assert_eq!(verified, Err(KeyUseError::NotThisKey), "{what}");
                    continue;
                }
                let signature = key.sign(scheme, message(form, &bytes)).unwrap();
                assert_eq!(key.verify(scheme, message(form, &bytes), &signature), Ok(true), "{what}");
                let mut other = bytes.clone();
                other[0] ^= 1;
                assert_eq!(key.verify(scheme, message(form, &other), &signature), Ok(false), "{what}");
                lengths(&key, scheme, form, &bytes);
                signed += 1;
            }
        }
    }
    // RSA 3 x 6 x 2, curves 4 x 2, Ed25519 2, ML-DSA 3 x 2.
    assert_eq!(signed, 36 + 8 + 2 + 6);
}

/// A raw message may have any length, the others one.
fn lengths(key: &PairMaterial, scheme: SignatureScheme, form: Form, bytes: &[u8]) {
    for length in [0, 20, 31, 32, 33, 48, 63, 64, 65, 128] {
        let input = vec![9; length];
        let signature = key.sign(scheme, message(form, &input));
        if form == Form::Raw || length == bytes.len() {
            assert_eq!(key.verify(scheme, message(form, &input), &signature.unwrap()), Ok(true));
        } else {
            let verified = key.verify(scheme, message(form, &input), &[]);
            assert_eq!(signature, Err(KeyUseError::DigestLength), "{scheme:?} {form:?} {length}");
            assert_eq!(verified, Err(KeyUseError::DigestLength), "{scheme:?} {form:?} {length}");
        }
    }
}

#[test]
fn a_message_and_its_digest_have_the_same_signatures() {
    let data = b"the message";
    for key in all() {
        for scheme in SCHEMES {
            let (SignatureScheme::RsaPss(hash) | SignatureScheme::RsaPkcs1(hash) | SignatureScheme::Ecdsa(hash)) =
                scheme
            else {
                continue;
            };
            if digest_bytes(key.spec(), scheme).is_none() {
                continue;
            }
            let digest = digest::digest(
                match hash {
                    ShaLength::Sha256 => &digest::SHA256,
                    ShaLength::Sha384 => &digest::SHA384,
                    ShaLength::Sha512 => &digest::SHA512,
                },
                data,
            );
            let (raw, digest) = (Message::Raw(data), Message::Digest(digest.as_ref()));
            assert_eq!(key.verify(scheme, raw, &key.sign(scheme, digest).unwrap()), Ok(true));
            assert_eq!(key.verify(scheme, digest, &key.sign(scheme, raw).unwrap()), Ok(true));
        }
    }
}

#[test]
fn a_signature_is_of_one_key_and_one_scheme() {
    for key in all() {
        for scheme in SCHEMES {
            let Some(length) = digest_bytes(key.spec(), scheme) else { continue };
            let form = if takes(scheme, Form::Raw) { Form::Raw } else { Form::Digest };
            let bytes = vec![1; length];
            let signature = key.sign(scheme, message(form, &bytes)).unwrap();
            // Large RSA keys take too long to make.
            if !matches!(key.spec(), PairSpec::Rsa3072 | PairSpec::Rsa4096) {
                let another = PairMaterial::generate(key_id(), key.spec()).unwrap();
                assert_eq!(another.verify(scheme, message(form, &bytes), &signature), Ok(false));
            }
            for other in SCHEMES {
                if other != scheme && digest_bytes(key.spec(), other).is_some() && takes(other, form) {
                    assert!(!key.verify(other, message(form, &bytes), &signature).unwrap());
                }
            }
            for bad in [&signature[1..], &signature[..signature.len() - 1], &[&signature[..], &[0]].concat(), &[]] {
                assert_eq!(key.verify(scheme, message(form, &bytes), bad), Ok(false), "{scheme:?}");
            }
            for at in (0..signature.len()).step_by(1 + signature.len() / 40) {
                let mut altered = signature.clone();
                altered[at] ^= 0x10;
                assert_eq!(key.verify(scheme, message(form, &bytes), &altered), Ok(false), "{scheme:?} byte {at}");
            }
        }
    }
}

#[test]
fn ed25519ph_hashes_the_digest_once_more() {
    let key = fixed(PairSpec::Ed25519);
    let digest = [8; 64];
    let signature = key.sign(SignatureScheme::Ed25519ph, Message::Digest(&digest)).unwrap();
    let raw: [u8; 32] = key.public_key()[12..].try_into().unwrap();
    assert!(ed25519ph::verify(&raw, &digest, &signature));
    let seed = pkcs8(PairSpec::Ed25519)[16..].try_into().unwrap();
    assert_eq!(signature, ed25519ph::sign(&seed, &digest).unwrap());
    assert_eq!(key.verify(SignatureScheme::Ed25519, Message::Raw(&digest), &signature), Ok(false));
}

#[test]
fn rsa_decrypts_what_it_encrypted_and_every_failure_is_the_same() {
    for (spec, bytes) in [(PairSpec::Rsa2048, 256), (PairSpec::Rsa3072, 384), (PairSpec::Rsa4096, 512)] {
        let key = fixed(spec);
        for (hash, most) in [(OaepHash::Sha1, bytes - 42), (OaepHash::Sha256, bytes - 66)] {
            for plaintext in [vec![], vec![0], vec![7; most]] {
                let ciphertext = key.encrypt(hash, &plaintext).unwrap();
                assert_eq!(ciphertext.len(), bytes);
                assert_ne!(key.encrypt(hash, &plaintext).unwrap(), ciphertext);
                assert_eq!(key.decrypt(hash, &ciphertext).unwrap().expose(), plaintext);
            }
            assert_eq!(key.encrypt(hash, &vec![7; most + 1]).err(), Some(KeyUseError::MessageTooLong));
            let ciphertext = key.encrypt(hash, b"plaintext").unwrap();
            let other_hash = if hash == OaepHash::Sha1 { OaepHash::Sha256 } else { OaepHash::Sha1 };
            assert_eq!(key.decrypt(other_hash, &ciphertext).err(), Some(KeyUseError::InvalidCiphertext));
            let mut altered = ciphertext.clone();
            altered[bytes / 2] ^= 1;
            let longer = [&[0], &ciphertext[..]].concat();
            for bad in [&altered[..], &ciphertext[1..], &longer, &vec![0; bytes], &vec![0xff; bytes], &[]] {
                assert_eq!(key.decrypt(hash, bad).err(), Some(KeyUseError::InvalidCiphertext));
            }
        }
    }
}

/// A ciphertext is a number, but one whose leading zeroes were left out or added is not taken.
#[test]
fn rsa_ciphertexts_are_as_long_as_the_modulus() {
    let key = fixed(PairSpec::Rsa2048);
    let ciphertexts = std::iter::repeat_with(|| key.encrypt(OaepHash::Sha256, b"plaintext").unwrap());
    let ciphertext = ciphertexts.take(1 << 14).find(|ciphertext| ciphertext[0] == 0).unwrap();
    assert_eq!(key.decrypt(OaepHash::Sha256, &ciphertext).unwrap().expose(), b"plaintext");
    for bad in [&ciphertext[1..], &[&[0], &ciphertext[..]].concat()] {
        assert_eq!(key.decrypt(OaepHash::Sha256, bad).err(), Some(KeyUseError::InvalidCiphertext));
    }
}

#[test]
fn an_rsa_public_key_has_one_encoding() {
    let key = fixed(PairSpec::Rsa2048);
    let good = key.public_key();
    // SEQUENCE { SEQUENCE { OID, NULL }, BIT STRING }: 4 bytes of head, 15 of algorithm.
    let without_null = [&[0x30, 0x82, 1, 0x20, 0x30, 0x0b], &good[6..17], &good[19..]].concat();
    let long_length = [&[0x30, 0x83, 0, 1, 0x22], &good[4..]].concat();
    let bare = &good[24..];
    let negative = [&good[..32], &[good[32] | 0x80], &good[33..]].concat();
    for (at, bad) in [&without_null, &long_length, bare, &negative].into_iter().enumerate() {
        assert_eq!(PublicKey::from_spki(PairSpec::Rsa2048, bad).err(), Some(KeyUseError::InvalidPublicKey), "{at}");
    }
}

#[test]
fn threads_that_use_a_key_first_all_succeed() {
    let key = fixed(PairSpec::Rsa2048);
    let ciphertext = key.encrypt(OaepHash::Sha256, b"plaintext").unwrap();
    let scheme = SignatureScheme::RsaPss(ShaLength::Sha384);
    let signature = key.sign(scheme, Message::Raw(b"message")).unwrap();
    let key = fixed(PairSpec::Rsa2048);
    std::thread::scope(|scope| {
        for _ in 0..4 {
            scope.spawn(|| {
                assert_eq!(key.decrypt(OaepHash::Sha256, &ciphertext).unwrap().expose(), b"plaintext");
                assert_eq!(key.verify(scheme, Message::Raw(b"message"), &signature), Ok(true));
            });
        }
    });
}

#[test]
fn both_sides_agree() {
    for (spec, bytes) in [(PairSpec::P256, 32), (PairSpec::P384, 48), (PairSpec::P521, 66)] {
        let (one, two) = (fixed(spec), PairMaterial::generate(key_id(), spec).unwrap());
        let secret = one.agree(two.public_key()).unwrap();
        assert_eq!(secret.len(), bytes);
        assert_eq!(secret.expose(), two.agree(one.public_key()).unwrap().expose());
        assert_ne!(secret.expose(), one.agree(one.public_key()).unwrap().expose());
        // The same key signs as well; which of the two it may is for the KMS key to say.
        let scheme = SCHEMES.into_iter().find(|scheme| digest_bytes(spec, *scheme).is_some()).unwrap();
        one.sign(scheme, Message::Raw(b"message")).unwrap();
    }
}

#[test]
fn a_public_key_has_one_encoding() {
    let others = |spec| match spec {
        PairSpec::P256 => [stored!("p256_explicit.pub"), stored!("p256_compressed.pub")],
        PairSpec::P384 => [stored!("p384_explicit.pub"), stored!("p384_compressed.pub")],
        PairSpec::P521 => [stored!("p521_explicit.pub"), stored!("p521_compressed.pub")],
        _ => [stored!("secp256k1_explicit.pub"), stored!("secp256k1_compressed.pub")],
    };
    for spec in [PairSpec::P256, PairSpec::P384, PairSpec::P521, PairSpec::Secp256k1] {
        let key = fixed(spec);
        let good = key.public_key();
        let head = good.len()
            - if spec == PairSpec::P384 {
                97
            } else if spec == PairSpec::P521 {
                133
            } else {
                65
            };
        let mut off_curve = good.to_vec();
        *off_curve.last_mut().unwrap() ^= 1;
        let mut hybrid = good.to_vec();
        hybrid[head] = 6 | (good[good.len() - 1] & 1);
        let infinity = [&good[..head], &vec![0; good.len() - head][..]].concat();
        let bare = &good[head..];
        let too_large = [&good[..=head], &vec![0xff; good.len() - head - 1][..]].concat();
        let elsewhere = fixed(if spec == PairSpec::P256 { PairSpec::Secp256k1 } else { PairSpec::P256 });
        let longer = [good, &[0]].concat();
        let [explicit, compressed] = others(spec);
        let bad: [&[u8]; 12] = [
            explicit,
            compressed,
            &off_curve,
            &hybrid,
            &infinity,
            bare,
            &too_large,
            elsewhere.public_key(),
            &longer,
            &good[..good.len() - 1],
            &pkcs8(spec),
            &[],
        ];
        for (at, bad) in bad.into_iter().enumerate() {
            assert_eq!(PublicKey::from_spki(spec, bad).err(), Some(KeyUseError::InvalidPublicKey), "{spec} {at}");
            let expected =
                if spec == PairSpec::Secp256k1 { KeyUseError::NotThisKey } else { KeyUseError::InvalidPublicKey };
            assert_eq!(key.agree(bad).err(), Some(expected), "{spec} {at}");
        }
    }
}

#[test]
fn a_public_key_is_read_as_what_it_is_only() {
    let keys = all();
    for key in &keys {
        for spec in PairSpec::ALL {
            let read = PublicKey::from_spki(*spec, key.public_key());
            assert_eq!(read.is_ok(), *spec == key.spec(), "{} as {spec}", key.spec());
            let bytes = key.public_key();
            for bad in [&bytes[1..], &bytes[..bytes.len() - 1], &[bytes, &[0]].concat(), &[]] {
                assert_eq!(PublicKey::from_spki(*spec, bad).err(), Some(KeyUseError::InvalidPublicKey));
            }
        }
        let read = PublicKey::from_spki(key.spec(), key.public_key()).unwrap();
        assert_eq!((read.spec(), read.as_spki()), (key.spec(), key.public_key()));
    }
}

#[test]
fn ml_kem_decapsulates_and_rejects_implicitly() {
    for (spec, bytes) in [(PairSpec::MlKem512, 768), (PairSpec::MlKem768, 1088), (PairSpec::MlKem1024, 1568)] {
        let key = fixed(spec);
        let (ciphertext, secret) = key.encapsulate().unwrap();
        assert_eq!((ciphertext.len(), secret.len()), (bytes, 32));
        assert_eq!(key.decapsulate(&ciphertext).unwrap().expose(), secret.expose());
        assert_ne!(key.encapsulate().unwrap().1.expose(), secret.expose());
        for at in (0..bytes).step_by(37) {
            let mut altered = ciphertext.clone();
            altered[at] ^= 4;
            assert_ne!(key.decapsulate(&altered).unwrap().expose(), secret.expose(), "byte {at}");
        }
        let another = PairMaterial::generate(key_id(), spec).unwrap();
        assert_ne!(another.decapsulate(&ciphertext).unwrap().expose(), secret.expose());
        for bad in [&ciphertext[1..], &[&ciphertext[..], &[0]].concat(), &[]] {
            assert_eq!(key.decapsulate(bad).err(), Some(KeyUseError::InvalidCiphertext));
        }
        // The first coefficient is 4095, which is not below the modulus 3329.
        let mut unreduced = key.public_key().to_vec();
        unreduced[22] = 0xff;
        unreduced[23] |= 0x0f;
        assert_eq!(PublicKey::from_spki(spec, &unreduced).err(), Some(KeyUseError::InvalidPublicKey));
    }
}

#[test]
fn keys_refuse_what_their_kind_cannot_do() {
    for key in all() {
        let (rsa, nist, kem) = match key.spec() {
            PairSpec::Rsa2048 | PairSpec::Rsa3072 | PairSpec::Rsa4096 => (true, false, false),
            PairSpec::P256 | PairSpec::P384 | PairSpec::P521 => (false, true, false),
            PairSpec::MlKem512 | PairSpec::MlKem768 | PairSpec::MlKem1024 => (false, false, true),
            _ => (false, false, false),
        };
        let no = Some(KeyUseError::NotThisKey);
        assert_eq!(key.encrypt(OaepHash::Sha256, b"").err() != no, rsa);
        assert_eq!(key.decrypt(OaepHash::Sha256, b"").err() != no, rsa);
        assert_eq!(key.agree(key.public_key()).err() != no, nist);
        assert_eq!(key.encapsulate().err() != no, kem);
        assert_eq!(key.decapsulate(b"").err() != no, kem);
    }
}

#[test]
fn a_private_key_counts_the_same_however_it_was_encoded() {
    let ids = |spec, encodings: &[&[u8]]| -> Vec<_> {
        let load = |pkcs8: &&[u8]| PairMaterial::from_private_key(key_id(), spec, pkcs8).unwrap();
        encodings.iter().map(load).map(|key| (key.material_id(), key.secret().to_vec())).collect()
    };
    for (spec, others) in [
        (PairSpec::P256, [stored!("p256_no_public"), stored!("p256_compressed"), stored!("p256_explicit")]),
        (PairSpec::P384, [stored!("p384_no_public"), stored!("p384_compressed"), stored!("p384_explicit")]),
        (PairSpec::P521, [stored!("p521_no_public"), stored!("p521_compressed"), stored!("p521_explicit")]),
        (
            PairSpec::Secp256k1,
            [stored!("secp256k1_no_public"), stored!("secp256k1_compressed"), stored!("secp256k1_explicit")],
        ),
    ] {
        let ids = ids(spec, &[&pkcs8(spec), others[0], others[1], others[2]]);
        assert_eq!(ids[0].1, pkcs8(spec));
        assert!(ids.iter().all(|id| *id == ids[0]), "{spec}");
    }
    let (one, public) = (pkcs8(PairSpec::Ed25519), fixed(PairSpec::Ed25519).public_key()[12..].to_vec());
    let ids = ids(PairSpec::Ed25519, &[&one, &ed25519_version_2(&one, &public)]);
    assert_eq!(ids[0], ids[1]);
    assert_eq!(ids[0].1, one[16..]);
}

/// RFC 5958: version 2 holds the public key too.
fn ed25519_version_2(version_1: &[u8], public: &[u8]) -> Vec<u8> {
    [b"\x30\x51\x02\x01\x01", &version_1[5..], b"\x81\x21\0", public].concat()
}

#[test]
fn private_keys_that_contradict_themselves_are_refused() {
    let refused = |spec, pkcs8: &[u8]| {
        let key = PairMaterial::from_private_key(key_id(), spec, pkcs8);
        assert_eq!(key.err(), Some(KeyUseError::InvalidPrivateKey), "{spec}");
    };
    for spec in PairSpec::ALL {
        let good = pkcs8(*spec);
        for other in PairSpec::ALL.iter().filter(|other| *other != spec) {
            refused(*other, &good);
        }
        refused(*spec, &[&good[..], &[0]].concat());
        refused(*spec, &good[..good.len() - 1]);
        refused(*spec, &good[1..]);
        refused(*spec, &[]);
        refused(*spec, fixed(*spec).public_key());
    }
    // The public key inside is the last thing in the encodings of these curves.
    for spec in [PairSpec::P256, PairSpec::P384, PairSpec::P521, PairSpec::Secp256k1] {
        let (mut altered, another) = (pkcs8(spec), PairMaterial::generate(key_id(), spec).unwrap());
        let at = altered.len() - 64;
        altered[at..].copy_from_slice(&another.public_key()[another.public_key().len() - 64..]);
        refused(spec, &altered);
    }
    let one = pkcs8(PairSpec::Ed25519);
    refused(PairSpec::Ed25519, &ed25519_version_2(&one, &[9; 32]));
    refused(PairSpec::Rsa2048, stored!("rsa_2048_pkcs1"));
    for at in [100, 300, 600, 800, 1000, 1200] {
        let mut altered = pkcs8(PairSpec::Rsa2048);
        altered[at] ^= 1;
        refused(PairSpec::Rsa2048, &altered);
    }
}

#[test]
fn every_kind_survives_wrapping_and_every_byte_is_guarded() {
    let keys = DomainKeys::generate().unwrap();
    for material in all() {
        let (id, public, spec) = (material.material_id(), material.public_key().to_vec(), material.spec());
        let secret_bytes = material.secret().len();
        let wrapped = KeyMaterial::from(material).wrap(&keys, b"row").unwrap();
        assert_eq!(wrapped.len(), 5 + 76 + 2 + secret_bytes);
        let again = KeyMaterial::unwrap(&keys, key_id(), b"row", &wrapped).unwrap();
        assert_eq!((again.material_id(), again.spec(), again.key_id()), (id, MaterialSpec::Pair(spec), key_id()));
        assert!(again.symmetric().is_none() && again.mac().is_none());
        assert_eq!(again.pair().unwrap().public_key(), public);
        for at in 0..wrapped.len() {
            let mut altered = wrapped.clone();
            altered[at] ^= 1;
            assert!(KeyMaterial::unwrap(&keys, key_id(), b"row", &altered).is_err(), "byte {at}");
        }
        assert!(KeyMaterial::unwrap(&keys, key_id(), b"other row", &wrapped).is_err());
    }
}

#[test]
fn a_secret_under_another_kind_is_malformed() {
    for material in all() {
        for spec in PairSpec::ALL {
            let read = PairMaterial::from_secret(key_id(), *spec, super::SecretBytes::from_slice(material.secret()));
            let same = material.spec();
            // A seed says nothing of its parameter set; the number before it does.
            let seeds = der::seed(*spec).is_some() && der::seed(same).is_some();
            match read {
                Ok(read) => {
                    assert!(*spec == same || seeds, "{same} as {spec}");
                    assert_eq!(read.public_key() == material.public_key(), *spec == same);
                }
                Err(error) => {
                    assert_eq!(error, CryptoError::Malformed);
                    assert_ne!(*spec, same);
                }
            }
        }
    }
}

#[test]
fn generated_pairs_work_and_differ() {
    for spec in PairSpec::ALL {
        if matches!(spec, PairSpec::Rsa3072 | PairSpec::Rsa4096) {
            continue;
        }
        let one = PairMaterial::generate(key_id(), *spec).unwrap();
        assert_eq!(one.spec(), *spec);
        assert_ne!(one.public_key(), PairMaterial::generate(key_id(), *spec).unwrap().public_key());
        assert_eq!(one.public_key().len(), fixed(*spec).public_key().len());
    }
}

#[test]
fn a_data_key_pair_is_one_pair_in_the_forms_of_aws() {
    for spec in PairSpec::ALL {
        if matches!(spec, PairSpec::Rsa4096) {
            continue;
        }
        let pair = DataKeyPair::generate(*spec).unwrap();
        let read = PairMaterial::from_private_key(key_id(), *spec, pair.private_key.expose()).unwrap();
        assert_eq!(read.public_key(), pair.public_key, "{spec}");
        let length = match spec {
            PairSpec::Rsa2048 => 1190..1230,
            PairSpec::Rsa3072 => 1770..1810,
            PairSpec::Rsa4096 => 2350..2390,
            PairSpec::P256 => 138..139,
            PairSpec::P384 => 185..186,
            PairSpec::P521 => 241..242,
            PairSpec::Secp256k1 => 135..136,
            PairSpec::Ed25519 => 48..49,
            PairSpec::MlDsa44 | PairSpec::MlDsa65 | PairSpec::MlDsa87 => 54..55,
            PairSpec::MlKem512 | PairSpec::MlKem768 | PairSpec::MlKem1024 => 86..87,
        };
        assert!(length.contains(&pair.private_key.len()), "{spec} {}", pair.private_key.len());
    }
}

proptest! {
    #![proptest_config(ProptestConfig::with_cases(64))]

    #[test]
    fn any_bytes_are_read_without_harm(
        index in 0..PairSpec::ALL.len(),
        bytes in proptest::collection::vec(any::<u8>(), 0..200),
        at in any::<prop::sample::Index>(),
        bit in 0..8_u8,
    ) {
        let spec = PairSpec::ALL[index];
        prop_assert!(PublicKey::from_spki(spec, &bytes).is_err());
        prop_assert!(PairMaterial::from_private_key(key_id(), spec, &bytes).is_err());
        let mut altered = pkcs8(spec);
        altered[at.index(bytes.len() + 1).min(20)] ^= 1 << bit;
        // Seeds have no redundancy, but the first bytes are the structure around them.
        let _ = PairMaterial::from_private_key(key_id(), spec, &altered);
    }

    #[test]
    fn plaintexts_of_any_length_decrypt(data in proptest::collection::vec(any::<u8>(), 0..191)) {
        let key = fixed(PairSpec::Rsa2048);
        for hash in [OaepHash::Sha1, OaepHash::Sha256] {
            let decrypted = key.decrypt(hash, &key.encrypt(hash, &data).unwrap()).unwrap();
            prop_assert_eq!(decrypted.expose(), &data);
        }
    }

    #[test]
    fn signatures_of_any_message_verify(
        index in 0..PairSpec::ALL.len(),
        data in proptest::collection::vec(any::<u8>(), 0..4097),
    ) {
        let key = fixed(PairSpec::ALL[index]);
        for scheme in SCHEMES {
            if digest_bytes(key.spec(), scheme).is_some() && takes(scheme, Form::Raw) {
                let signature = key.sign(scheme, Message::Raw(&data)).unwrap();
                prop_assert_eq!(key.verify(scheme, Message::Raw(&data), &signature), Ok(true));
            }
        }
    }
}

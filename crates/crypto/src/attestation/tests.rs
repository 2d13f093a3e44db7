//! Right documents, and one wrong document for every reason to refuse one.
#![expect(clippy::unwrap_used, clippy::indexing_slicing, reason = "tests")]

use proptest::prelude::{any, prop, prop_assert, proptest};
use rcgen::{
    BasicConstraints, CustomExtension, ExtendedKeyUsagePurpose, IsCa, KeyUsagePurpose, PKCS_ECDSA_P256_SHA256,
    date_time_ymd,
};
use static_assertions::assert_impl_all;

use super::forge::{
    Chain, ES384, MODULE_ID, NOW, NULL, Payload, Shape, array, authority, bytes, envelope, map, number, recipient_spki,
    text,
};
use super::{Attestation, AttestationRoots, BadAttestation, Platform, authenticate};
use crate::sha256;

assert_impl_all!(Attestation: Send, Sync);

/// Of the public test data of crate aws-nitro-enclaves-attestation 0.1.0: an enclave in debug mode, no public key.
const ENCLAVE: &[u8] = include_bytes!("../../testdata/attestation/enclave.cose");
/// 5 March 2021, 17:01:49 UTC.
const ENCLAVE_TIME: u64 = 1_614_963_709;
/// Of the public test data of lockboot/vaportpm: an instance with a NitroTPM, the public key an elliptic curve point.
const NITROTPM: &[u8] = include_bytes!("../../testdata/attestation/nitrotpm.cose");
/// 2 February 2026, 07:28:28 UTC.
const NITROTPM_TIME: u64 = 1_770_017_308;

/// Made by `tests/support/attestation.py` for [`NOW`] (see README.md beside it).
const PYTHON: &[u8] = include_bytes!("../../testdata/attestation/python.cose");
const PYTHON_ROOT: &str = "a87fee0e634d9deedfa731ba733163e73f2eb72aa5c4c48a9b0852e3b5c38a1d";
const PYTHON_KEY: &str = "2b244b1ae7b35784f1a098b4638936aba66ce1feae919e329e088b0e0f1cd30c";

fn verify(chain: &Chain, document: &[u8]) -> Result<Attestation, BadAttestation> {
    Attestation::verify(document, &chain.roots(), NOW)
}

fn refusal(chain: &Chain, document: &[u8]) -> BadAttestation {
    verify(chain, document).unwrap_err()
}

/// Why a document of a chain of this shape is refused.
fn refusal_of_shape(alter: impl FnOnce(&mut Shape)) -> BadAttestation {
    let mut shape = Shape::default();
    alter(&mut shape);
    let chain = Chain::new(shape);
    refusal(&chain, &chain.sign(&Payload::new(&chain, Platform::NitroEnclave)))
}

#[test]
fn a_real_enclave_document_is_authentic_at_its_time() {
    let document = authenticate(ENCLAVE, &AttestationRoots::aws_nitro(), ENCLAVE_TIME).ok().unwrap();
    assert_eq!(document.module_id, "i-026ae32a18c80f866-enc01780356441553dc");
    assert_eq!(document.platform, Platform::NitroEnclave);
    assert_eq!(document.registers.len(), 16);
    assert_eq!(hex::encode(document.registers[&4]).get(..16), Some("6e32db11ec7af592"));
    let refused = Attestation::verify(ENCLAVE, &AttestationRoots::aws_nitro(), ENCLAVE_TIME).unwrap_err();
    assert_eq!(refused, BadAttestation::NoPublicKey);
}

#[test]
fn a_real_nitrotpm_document_is_authentic_at_its_time() {
    let document = authenticate(NITROTPM, &AttestationRoots::aws_nitro(), NITROTPM_TIME).ok().unwrap();
    assert_eq!(document.module_id, "i-0082f89b039c97a0f-tpm0000000000000000");
    assert_eq!(document.platform, Platform::NitroTpm);
    assert_eq!(document.registers.len(), 24);
    let refused = Attestation::verify(NITROTPM, &AttestationRoots::aws_nitro(), NITROTPM_TIME).unwrap_err();
    assert_eq!(refused, BadAttestation::UnusablePublicKey);
}

#[test]
fn real_documents_expire() {
    let at = |document, time| authenticate(document, &AttestationRoots::aws_nitro(), time).err();
    assert_eq!(at(ENCLAVE, ENCLAVE_TIME + 302), Some(BadAttestation::Stale));
    assert_eq!(at(ENCLAVE, ENCLAVE_TIME + 4 * 3600), Some(BadAttestation::CertificateExpired));
    assert_eq!(at(ENCLAVE, ENCLAVE_TIME - 3600), Some(BadAttestation::CertificateNotYetValid));
    assert_eq!(at(NITROTPM, NITROTPM_TIME + 302), Some(BadAttestation::Stale));
}

#[test]
fn a_document_of_the_second_implementation() {
    let root = hex::decode(PYTHON_ROOT).unwrap().try_into().unwrap();
    let attestation = Attestation::verify(PYTHON, &AttestationRoots::from_fingerprints([root]), NOW).unwrap();
    assert_eq!(attestation.module_id(), MODULE_ID);
    assert_eq!(attestation.platform(), Platform::NitroEnclave);
    let first: Vec<u8> = (0..48).collect();
    assert_eq!(attestation.pcrs().collect::<Vec<_>>(), [(0, &first[..]), (3, &[3; 48]), (8, &[8; 48])]);
    assert_eq!(hex::encode(attestation.recipient().subject_key_identifier()), PYTHON_KEY);
}

#[test]
fn a_document_says_what_it_was_made_with() {
    let chain = Chain::new(Shape::default());
    for (platform, indefinite, tag) in [
        (Platform::NitroEnclave, false, &b""[..]),
        (Platform::NitroEnclave, true, b"\xd2"),
        (Platform::NitroTpm, true, b""),
        (Platform::NitroTpm, false, b"\xd2"),
    ] {
        let mut payload = Payload::new(&chain, platform);
        payload.indefinite = indefinite;
        let attestation = verify(&chain, &[tag, &chain.sign(&payload)].concat()).unwrap();
        assert_eq!(attestation.module_id(), MODULE_ID);
        assert_eq!(attestation.platform(), platform);
        assert_eq!(attestation.pcrs().collect::<Vec<_>>(), [(0, &[1; 48][..]), (4, &[4; 48])]);
        assert_eq!(*attestation.recipient().subject_key_identifier(), sha256(&recipient_spki()));
    }
}

#[test]
fn optional_fields_may_be_absent_or_full() {
    let chain = Chain::new(Shape::default());
    let payload = Payload::new(&chain, Platform::NitroEnclave);
    for payload in [
        payload.clone().without("user_data").without("nonce"),
        payload.clone().with("user_data", bytes(&[7; 1024])).with("nonce", bytes(&[7; 1024])),
        payload.with("user_data", bytes(b"")).with("nonce", bytes(b"")),
    ] {
        assert!(verify(&chain, &chain.sign(&payload)).is_ok());
    }
}

#[test]
fn only_a_configured_root_in_the_first_place_counts() {
    let (chain, other) = (Chain::new(Shape::default()), Chain::new(Shape::default()));
    let document = chain.sign(&Payload::new(&chain, Platform::NitroEnclave));
    let both = AttestationRoots::from_fingerprints([sha256(&other.root), sha256(&chain.root)]);
    assert!(Attestation::verify(&document, &both, NOW).is_ok());
    for roots in [other.roots(), AttestationRoots::aws_nitro(), AttestationRoots::from_fingerprints([])] {
        assert_eq!(Attestation::verify(&document, &roots, NOW).unwrap_err(), BadAttestation::UnknownRoot);
    }
    let payload = Payload::new(&chain, Platform::NitroEnclave);
    let reversed = payload.clone().with("cabundle", array(&[&chain.intermediate, &chain.root]));
    assert_eq!(refusal(&chain, &chain.sign(&reversed)), BadAttestation::UnknownRoot);
    // A root that was pinned, over a chain that is not its own.
    let borrowed = payload.with("cabundle", array(&[&other.root, &chain.intermediate]));
    assert_eq!(
        Attestation::verify(&chain.sign(&borrowed), &other.roots(), NOW).unwrap_err(),
        BadAttestation::NotAChain
    );
}

#[test]
fn roots_are_configured_by_certificate_too() {
    let chain = Chain::new(Shape::default());
    assert_eq!(AttestationRoots::from_certificates([&chain.root[..]]), Ok(chain.roots()));
    let aws = authenticate(ENCLAVE, &AttestationRoots::aws_nitro(), ENCLAVE_TIME).ok().unwrap().bundle[0];
    assert_eq!(AttestationRoots::from_certificates([aws]), Ok(AttestationRoots::aws_nitro()));
    let refusal = |der: &[u8]| AttestationRoots::from_certificates([&chain.root, der]).unwrap_err();
    assert_eq!(refusal(&chain.leaf), BadAttestation::CertificatePurpose);
    for malformed in [b"", &b"\0\0\0"[..], b"\x30\x00", &chain.root[..chain.root.len() - 1]] {
        assert_eq!(refusal(malformed), BadAttestation::CertificateMalformed);
    }
}

#[test]
fn the_bundle_is_the_path_and_nothing_else() {
    let (chain, other) = (Chain::new(Shape::default()), Chain::new(Shape::default()));
    let payload = Payload::new(&chain, Platform::NitroEnclave);
    for (bundle, expected) in [
        (vec![&chain.root[..]], BadAttestation::NotAChain),
        (vec![&chain.root, &other.intermediate], BadAttestation::NotAChain),
        (vec![&chain.root, &chain.intermediate, &other.intermediate], BadAttestation::NotAChain),
        (vec![&chain.root, &chain.intermediate, &chain.intermediate], BadAttestation::NotAChain),
        (vec![&chain.root, &chain.root, &chain.intermediate], BadAttestation::NotAChain),
        (vec![&chain.root, b"x", &chain.intermediate], BadAttestation::NotAChain),
        (vec![&chain.root; 9], BadAttestation::OutOfBounds("cabundle")),
        (vec![], BadAttestation::OutOfBounds("cabundle")),
    ] {
        let document = chain.sign(&payload.clone().with("cabundle", array(&bundle)));
        assert_eq!(refusal(&chain, &document), expected, "{} certificates", bundle.len());
    }
    let foreign = payload.clone().with("certificate", bytes(&other.leaf));
    assert_eq!(refusal(&chain, &chain.sign(&foreign)), BadAttestation::NotAChain);
    let garbage = payload.with("certificate", bytes(&chain.leaf[..chain.leaf.len() - 1]));
    assert_eq!(refusal(&chain, &chain.sign(&garbage)), BadAttestation::CertificateMalformed);
}

#[test]
fn certificates_are_valid_at_the_time_of_the_call() {
    let past = date_time_ymd(2026, 6, 15);
    let future = date_time_ymd(2026, 6, 16);
    let expired = BadAttestation::CertificateExpired;
    assert_eq!(refusal_of_shape(|shape| shape.leaf.not_after = past), expired);
    assert_eq!(refusal_of_shape(|shape| shape.intermediate.not_after = past), expired);
    assert_eq!(refusal_of_shape(|shape| shape.root.not_after = past), expired);
    let early = BadAttestation::CertificateNotYetValid;
    assert_eq!(refusal_of_shape(|shape| shape.leaf.not_before = future), early);
    assert_eq!(refusal_of_shape(|shape| shape.intermediate.not_before = future), early);
    assert_eq!(refusal_of_shape(|shape| shape.root.not_before = future), early);
}

#[test]
fn certificates_do_only_what_they_were_made_for() {
    let purpose = BadAttestation::CertificatePurpose;
    let signs = [KeyUsagePurpose::DigitalSignature];
    let leaf_is_authority = |shape: &mut Shape| {
        shape.intermediate.is_ca = IsCa::Ca(BasicConstraints::Unconstrained);
        shape.leaf = authority("leaf", BasicConstraints::Unconstrained, &signs);
    };
    assert_eq!(refusal_of_shape(leaf_is_authority), purpose);
    assert_eq!(refusal_of_shape(|shape| shape.leaf.key_usages.clear()), purpose);
    assert_eq!(refusal_of_shape(|shape| shape.leaf.key_usages = vec![KeyUsagePurpose::KeyAgreement]), purpose);
    let constrained = |shape: &mut Shape| {
        let path_length_0 = CustomExtension::from_oid_content(&[2, 5, 29, 19], b"\x30\x03\x02\x01\x00".to_vec());
        shape.leaf.is_ca = IsCa::NoCa;
        shape.leaf.custom_extensions = vec![path_length_0];
    };
    assert_eq!(refusal_of_shape(constrained), purpose);
    let server = vec![ExtendedKeyUsagePurpose::ServerAuth];
    assert_eq!(refusal_of_shape(|shape| shape.leaf.extended_key_usages = server), purpose);
    assert_eq!(refusal_of_shape(|shape| shape.intermediate.is_ca = IsCa::ExplicitNoCa), purpose);
    assert_eq!(refusal_of_shape(|shape| shape.intermediate.is_ca = IsCa::NoCa), purpose);
    assert_eq!(refusal_of_shape(|shape| shape.intermediate.key_usages = signs.to_vec()), purpose);
    assert_eq!(refusal_of_shape(|shape| shape.root.key_usages = signs.to_vec()), purpose);
    assert_eq!(refusal_of_shape(|shape| shape.root.is_ca = IsCa::ExplicitNoCa), purpose);
    let too_short = IsCa::Ca(BasicConstraints::Constrained(0));
    assert_eq!(refusal_of_shape(|shape| shape.root.is_ca = too_short), purpose);
}

#[test]
fn certificates_are_signed_with_p384_only() {
    assert_eq!(
        refusal_of_shape(|shape| shape.intermediate_algorithm = &PKCS_ECDSA_P256_SHA256),
        BadAttestation::NotAChain
    );
}

#[test]
fn the_signature_covers_the_payload_and_the_headers() {
    let chain = Chain::new(Shape::default());
    let payload = Payload::new(&chain, Platform::NitroEnclave);
    let document = chain.sign(&payload);
    let signature = &document[document.len() - 96..];
    let altered = payload.clone().with("nonce", bytes(b"another")).encode();
    let tampered = envelope(ES384, b"\xa0", &altered, signature);
    assert_eq!(refusal(&chain, &tampered), BadAttestation::BadSignature);
    for signature in [&[0; 96][..], &[0xff; 96], &signature.iter().rev().copied().collect::<Vec<u8>>()] {
        let forged = envelope(ES384, b"\xa0", &payload.encode(), signature);
        assert_eq!(refusal(&chain, &forged), BadAttestation::BadSignature);
    }
    for length in [0, 95, 97] {
        let forged = envelope(ES384, b"\xa0", &payload.encode(), &vec![1; length]);
        assert_eq!(refusal(&chain, &forged), BadAttestation::OutOfBounds("signature"));
    }
    // Rightly signed, but under other headers: ES256, ES512, and ES384 with a longer encoding or beside a key id.
    for protected in
        [&b"\xa1\x01\x26"[..], b"\xa1\x01\x38\x23", b"\xa1\x01\x39\x00\x22", b"\xa2\x01\x38\x22\x04\x41\x00", b""]
    {
        let document = chain.sign_under(protected, &payload.encode());
        assert_eq!(refusal(&chain, &document), BadAttestation::OtherAlgorithm);
    }
    let unprotected = envelope(ES384, b"\xa1\x04\x41\x00", &payload.encode(), signature);
    assert_eq!(refusal(&chain, &unprotected), BadAttestation::OtherAlgorithm);
}

#[test]
fn documents_are_fresh() {
    let chain = Chain::new(Shape::default());
    let at = |milliseconds: u64| {
        let payload = Payload::new(&chain, Platform::NitroEnclave).with("timestamp", number(milliseconds));
        verify(&chain, &chain.sign(&payload)).err()
    };
    assert_eq!(at(NOW * 1000 - 300_000), None);
    assert_eq!(at(NOW * 1000 - 300_001), Some(BadAttestation::Stale));
    assert_eq!(at(1), Some(BadAttestation::Stale));
    assert_eq!(at(NOW * 1000 + 300_000), None);
    assert_eq!(at(NOW * 1000 + 300_001), Some(BadAttestation::FromTheFuture));
    assert_eq!(at(u64::MAX), Some(BadAttestation::FromTheFuture));
    assert_eq!(at(0), Some(BadAttestation::OutOfBounds("timestamp")));
}

#[test]
fn replies_can_be_sealed_only_to_rsa_keys_of_2048_to_4096_bits() {
    let chain = Chain::new(Shape::default());
    let payload = Payload::new(&chain, Platform::NitroEnclave);
    for absent in [payload.clone().without("public_key"), payload.clone().with("public_key", NULL.to_vec())] {
        assert_eq!(refusal(&chain, &chain.sign(&absent)), BadAttestation::NoPublicKey);
    }
    let with_key = |key: &[u8]| verify(&chain, &chain.sign(&payload.clone().with("public_key", bytes(key)))).err();
    let good = recipient_spki();
    assert_eq!(with_key(&good), None);
    assert_eq!(with_key(include_bytes!("../../testdata/attestation/rsa-3072.spki")), None);
    assert_eq!(with_key(include_bytes!("../../testdata/attestation/rsa-4096.spki")), None);
    for unusable in [
        include_bytes!("../../testdata/attestation/rsa-1024.spki").as_slice(),
        include_bytes!("../../testdata/attestation/ec-p384.spki"),
        &good[24..], // RSAPublicKey, without the SubjectPublicKeyInfo around it
        &good[..good.len() - 1],
        &[good.as_slice(), b"\x00"].concat(),
        b"x",
    ] {
        assert_eq!(with_key(unusable), Some(BadAttestation::UnusablePublicKey));
    }
    let large = include_bytes!("../../testdata/attestation/rsa-4608.spki");
    assert_eq!(with_key(large), Some(BadAttestation::UnusablePublicKey));
    assert_eq!(with_key(b""), Some(BadAttestation::OutOfBounds("public_key")));
    assert_eq!(with_key(&[0; 1025]), Some(BadAttestation::OutOfBounds("public_key")));
}

#[test]
fn registers_are_bounded() {
    let chain = Chain::new(Shape::default());
    let with_registers = |registers: &[(u64, Vec<u8>)]| {
        let payload = Payload::new(&chain, Platform::NitroEnclave).with("pcrs", map(registers));
        verify(&chain, &chain.sign(&payload)).err()
    };
    let all: Vec<_> = (0..32).map(|index| (index, vec![0; 48])).collect();
    assert_eq!(with_registers(&all), None);
    assert_eq!(with_registers(&[(0, vec![0; 32]), (1, vec![0; 64])]), None);
    let out = Some(BadAttestation::OutOfBounds("pcrs"));
    assert_eq!(with_registers(&(0..33).map(|index| (index, vec![0; 48])).collect::<Vec<_>>()), out);
    assert_eq!(with_registers(&[(256, vec![0; 48])]), out);
    assert_eq!(with_registers(&[]), out);
    for length in [0, 31, 47, 49, 65, 96] {
        assert_eq!(with_registers(&[(0, vec![0; length])]), out, "{length} bytes");
    }
    assert_eq!(with_registers(&[(0, vec![0; 48]), (0, vec![1; 48])]), Some(BadAttestation::Repeated("pcrs")));
    let both = Payload::new(&chain, Platform::NitroEnclave).with("nitrotpm_pcrs", map(&[(4, vec![0; 48])]));
    assert_eq!(refusal(&chain, &chain.sign(&both)), BadAttestation::Repeated("pcrs"));
}

#[test]
fn every_field_is_there_once_and_is_known() {
    let chain = Chain::new(Shape::default());
    let payload = Payload::new(&chain, Platform::NitroEnclave);
    for name in ["module_id", "digest", "timestamp", "pcrs", "certificate", "cabundle"] {
        let document = chain.sign(&payload.clone().without(name));
        assert_eq!(refusal(&chain, &document), BadAttestation::Missing(name));
        let document = chain.sign(&payload.clone().with(name, NULL.to_vec()));
        assert_eq!(refusal(&chain, &document), BadAttestation::Malformed, "{name}");
    }
    for name in
        ["module_id", "digest", "timestamp", "pcrs", "certificate", "cabundle", "public_key", "user_data", "nonce"]
    {
        let document = chain.sign(&payload.clone().twice(name));
        assert_eq!(refusal(&chain, &document), BadAttestation::Repeated(name));
        let document = chain.sign(&payload.clone().with(name, b"\x80".to_vec()));
        assert_ne!(verify(&chain, &document).err(), None, "an empty array as {name}");
    }
    let unknown = payload.with("policy", bytes(b"any"));
    assert_eq!(refusal(&chain, &chain.sign(&unknown)), BadAttestation::UnknownField);
}

#[test]
fn values_are_bounded() {
    let chain = Chain::new(Shape::default());
    for (name, value) in [
        ("module_id", text("")),
        ("module_id", text(&"m".repeat(257))),
        ("digest", text("SHA256")),
        ("digest", text("sha384")),
        ("certificate", bytes(b"")),
        ("certificate", bytes(&[0; 1025])),
        ("cabundle", array(&[&chain.root, b""])),
        ("cabundle", array(&[&chain.root, &[0; 1025]])),
        ("user_data", bytes(&[0; 1025])),
        ("nonce", bytes(&[0; 1025])),
    ] {
        let payload = Payload::new(&chain, Platform::NitroEnclave).with(name, value);
        assert_eq!(refusal(&chain, &chain.sign(&payload)), BadAttestation::OutOfBounds(name));
    }
    let long = chain.sign_under(ES384, &vec![0xa0; 16 * 1024 + 1]);
    assert_eq!(refusal(&chain, &long), BadAttestation::OutOfBounds("payload"));
    assert_eq!(refusal(&chain, &chain.sign_under(ES384, b"")), BadAttestation::OutOfBounds("payload"));
}

#[test]
fn nothing_may_follow_or_lead() {
    let chain = Chain::new(Shape::default());
    let payload = Payload::new(&chain, Platform::NitroEnclave);
    let document = chain.sign(&payload);
    let longer = chain.sign_under(ES384, &[payload.encode(), b"\xf6".to_vec()].concat());
    let mut open = payload;
    open.indefinite = true;
    let unclosed = open.encode();
    let unclosed = chain.sign_under(ES384, &unclosed[..unclosed.len() - 1]);
    for document in [
        [document.as_slice(), b"\x00"].concat(),
        [b"\xd1".as_slice(), &document].concat(), // COSE_Mac0
        [b"\xd2\xd2".as_slice(), &document].concat(),
        [b"\x83".as_slice(), &document[1..]].concat(),
        [b"\x85".as_slice(), &document[1..], b"\x00"].concat(),
        [b"\x9f".as_slice(), &document[1..], b"\xff"].concat(),
        longer,
        unclosed,
    ] {
        assert_eq!(refusal(&chain, &document), BadAttestation::Malformed);
    }
}

#[test]
fn a_count_larger_than_the_input_ends_at_its_end() {
    let chain = Chain::new(Shape::default());
    for payload in
        [&b"\xbb\xff\xff\xff\xff\xff\xff\xff\xff"[..], b"\xa1\x68cabundle\x9b\xff\xff\xff\xff\xff\xff\xff\xff"]
    {
        assert_eq!(refusal(&chain, &chain.sign_under(ES384, payload)), BadAttestation::Malformed);
    }
}

#[test]
fn no_part_of_a_document_and_no_altered_document_is_accepted() {
    let chain = Chain::new(Shape::default());
    let document = chain.sign(&Payload::new(&chain, Platform::NitroEnclave));
    for length in 0..document.len() {
        assert!(verify(&chain, &document[..length]).is_err(), "{length} bytes");
    }
    for position in 0..document.len() {
        let mut altered = document.clone();
        altered[position] ^= 1 << (position % 8);
        assert!(verify(&chain, &altered).is_err(), "byte {position}");
    }
}

proptest! {
    #[test]
    fn random_bytes_are_refused(input in prop::collection::vec(any::<u8>(), 0..600)) {
        prop_assert!(Attestation::verify(&input, &AttestationRoots::aws_nitro(), NOW).is_err());
    }

    #[test]
    fn random_payloads_are_refused(payload in prop::collection::vec(any::<u8>(), 0..600)) {
        let document = envelope(ES384, b"\xa0", &payload, &[1; 96]);
        prop_assert!(Attestation::verify(&document, &AttestationRoots::aws_nitro(), NOW).is_err());
    }
}

//! Documents under a root of our own, right ones and wrong ones.
#![expect(clippy::unwrap_used, reason = "tests")]

use std::sync::LazyLock;

use aws_lc_rs::encoding::AsDer;
use aws_lc_rs::rand::SystemRandom;
use aws_lc_rs::rsa::{KeySize, PrivateDecryptingKey};
use aws_lc_rs::signature::{ECDSA_P384_SHA384_FIXED_SIGNING, EcdsaKeyPair};
use minicbor::encode::Encoder;
use rcgen::{
    BasicConstraints, CertificateParams, DnType, IsCa, Issuer, KeyPair, KeyUsagePurpose, PKCS_ECDSA_P384_SHA384,
    SignatureAlgorithm, date_time_ymd,
};

use super::{AttestationRoots, Platform};
use crate::sha256;

/// 15 June 2026, 12:00 UTC, in seconds since the Unix epoch.
pub(super) const NOW: u64 = 1_781_524_800;
pub(super) const ES384: &[u8] = b"\xa1\x01\x38\x22";
pub(super) const MODULE_ID: &str = "i-1234567890abcdef0-enc9876543210abcde";

static RECIPIENT: LazyLock<PrivateDecryptingKey> =
    LazyLock::new(|| PrivateDecryptingKey::generate(KeySize::Rsa2048).unwrap());

/// The private key of [`Payload::new`]'s public key; one for all tests, since making one takes long.
pub(crate) fn recipient() -> &'static PrivateDecryptingKey {
    &RECIPIENT
}

pub(crate) fn recipient_spki() -> Vec<u8> {
    recipient().public_key().as_der().unwrap().as_ref().to_vec()
}

/// How each certificate of a chain is made.
pub(super) struct Shape {
    pub(super) root: CertificateParams,
    pub(super) intermediate: CertificateParams,
    pub(super) leaf: CertificateParams,
    pub(super) intermediate_algorithm: &'static SignatureAlgorithm,
}

impl Default for Shape {
    fn default() -> Self {
        Self {
            root: authority("root", BasicConstraints::Unconstrained, &[KeyUsagePurpose::KeyCertSign]),
            intermediate: authority("zone", BasicConstraints::Constrained(0), &[KeyUsagePurpose::KeyCertSign]),
            leaf: certificate("leaf", IsCa::ExplicitNoCa, &[KeyUsagePurpose::DigitalSignature]),
            intermediate_algorithm: &PKCS_ECDSA_P384_SHA384,
        }
    }
}

pub(super) fn authority(name: &str, constraints: BasicConstraints, usages: &[KeyUsagePurpose]) -> CertificateParams {
    certificate(name, IsCa::Ca(constraints), usages)
}

fn certificate(name: &str, is_ca: IsCa, usages: &[KeyUsagePurpose]) -> CertificateParams {
    let mut params = CertificateParams::default();
    params.distinguished_name.push(DnType::CommonName, name);
    params.not_before = date_time_ymd(2026, 6, 1);
    params.not_after = date_time_ymd(2026, 7, 1);
    params.is_ca = is_ca;
    params.key_usages = usages.to_vec();
    params
}

/// Certificates and the key that signs documents.
pub(super) struct Chain {
    pub(super) root: Vec<u8>,
    pub(super) intermediate: Vec<u8>,
    pub(super) leaf: Vec<u8>,
    key: EcdsaKeyPair,
}

impl Chain {
    pub(super) fn new(shape: Shape) -> Self {
        let key = |algorithm| KeyPair::generate_for(algorithm).unwrap();
        let (root_key, intermediate_key) = (key(&PKCS_ECDSA_P384_SHA384), key(shape.intermediate_algorithm));
        let leaf_key = key(&PKCS_ECDSA_P384_SHA384);
        let root = shape.root.self_signed(&root_key).unwrap();
        let issuer = Issuer::new(shape.root, root_key);
        let intermediate = shape.intermediate.signed_by(&intermediate_key, &issuer).unwrap();
        let issuer = Issuer::new(shape.intermediate, intermediate_key);
        let leaf = shape.leaf.signed_by(&leaf_key, &issuer).unwrap();
        Self {
            root: root.der().to_vec(),
            intermediate: intermediate.der().to_vec(),
            leaf: leaf.der().to_vec(),
            key: EcdsaKeyPair::from_pkcs8(&ECDSA_P384_SHA384_FIXED_SIGNING, leaf_key.serialized_der()).unwrap(),
        }
    }

    pub(super) fn roots(&self) -> AttestationRoots {
        AttestationRoots::from_fingerprints([sha256(&self.root)])
    }

    /// The document of a payload, signed under `protected`.
    pub(super) fn sign_under(&self, protected: &[u8], payload: &[u8]) -> Vec<u8> {
        let mut signed = Encoder::new(Vec::new());
        signed.array(4).unwrap().str("Signature1").unwrap().bytes(protected).unwrap();
        signed.bytes(b"").unwrap().bytes(payload).unwrap();
        let signature = self.key.sign(&SystemRandom::new(), &signed.into_writer()).unwrap();
        envelope(protected, b"\xa0", payload, signature.as_ref())
    }

    pub(super) fn sign(&self, payload: &Payload) -> Vec<u8> {
        self.sign_under(ES384, &payload.encode())
    }
}

/// `COSE_Sign1`; `unprotected` is encoded already.
pub(super) fn envelope(protected: &[u8], unprotected: &[u8], payload: &[u8], signature: &[u8]) -> Vec<u8> {
    [b"\x84".as_slice(), &bytes(protected), unprotected, &bytes(payload), &bytes(signature)].concat()
}

/// The map of a document: names and encoded values.
#[derive(Clone)]
pub(super) struct Payload {
    fields: Vec<(&'static str, Vec<u8>)>,
    pub(super) indefinite: bool,
}

impl Payload {
    pub(super) fn new(chain: &Chain, platform: Platform) -> Self {
        let registers = match platform {
            Platform::NitroEnclave => "pcrs",
            Platform::NitroTpm => "nitrotpm_pcrs",
        };
        let fields = vec![
            ("module_id", text(MODULE_ID)),
            ("digest", text("SHA384")),
            ("timestamp", number(NOW * 1000)),
            (registers, map(&[(4, vec![4; 48]), (0, vec![1; 48])])),
            ("certificate", bytes(&chain.leaf)),
            ("cabundle", array(&[&chain.root, &chain.intermediate])),
            ("public_key", bytes(&recipient_spki())),
            ("user_data", NULL.to_vec()),
            ("nonce", NULL.to_vec()),
        ];
        Self { fields, indefinite: false }
    }

    /// With another value for one field, which is added if it is not there.
    pub(super) fn with(mut self, name: &'static str, value: Vec<u8>) -> Self {
        match self.fields.iter_mut().find(|(found, _)| *found == name) {
            Some(field) => field.1 = value,
            None => self.fields.push((name, value)),
        }
        self
    }

    pub(super) fn without(mut self, name: &str) -> Self {
        self.fields.retain(|(found, _)| *found != name);
        self
    }

    /// With a field once more.
    pub(super) fn twice(mut self, name: &'static str) -> Self {
        let field = self.fields.iter().find(|(found, _)| *found == name).unwrap().clone();
        self.fields.push(field);
        self
    }

    pub(super) fn encode(&self) -> Vec<u8> {
        let mut encoder = Encoder::new(Vec::new());
        if self.indefinite {
            encoder.begin_map().unwrap();
        } else {
            encoder.map(self.fields.len() as u64).unwrap();
        }
        let mut encoded = encoder.into_writer();
        for (name, value) in &self.fields {
            encoded.extend(text(name));
            encoded.extend(value);
        }
        if self.indefinite {
            encoded.push(0xff);
        }
        encoded
    }
}

pub(super) const NULL: &[u8] = b"\xf6";

pub(super) fn bytes(value: &[u8]) -> Vec<u8> {
    encoded(|encoder| encoder.bytes(value).map(drop))
}

pub(super) fn text(value: &str) -> Vec<u8> {
    encoded(|encoder| encoder.str(value).map(drop))
}

pub(super) fn number(value: u64) -> Vec<u8> {
    encoded(|encoder| encoder.u64(value).map(drop))
}

pub(super) fn array(values: &[&[u8]]) -> Vec<u8> {
    let header = encoded(|encoder| encoder.array(values.len() as u64).map(drop));
    values.iter().fold(header, |encoded, value| [encoded, bytes(value)].concat())
}

pub(super) fn map(values: &[(u64, Vec<u8>)]) -> Vec<u8> {
    let header = encoded(|encoder| encoder.map(values.len() as u64).map(drop));
    values.iter().fold(header, |encoded, (index, value)| [encoded, number(*index), bytes(value)].concat())
}

type Failure = minicbor::encode::Error<std::convert::Infallible>;

fn encoded(encode: impl FnOnce(&mut Encoder<Vec<u8>>) -> Result<(), Failure>) -> Vec<u8> {
    let mut encoder = Encoder::new(Vec::new());
    encode(&mut encoder).unwrap();
    encoder.into_writer()
}

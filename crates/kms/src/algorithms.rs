//! The one table of what a key can do: key spec, key usage, algorithm, message types and sizes.
//!
//! CreateKey's validation, DescribeKey's lists, the checks of every cryptographic operation and docs/ALGORITHMS.md
//! come from [`ALGORITHMS`] (source: reference/lifecycle.md section 9). SM2 has no row: AWS offers it in its China
//! Regions only.

use claviger_api::kms::{
    DataKeyPairSpec, EncapsulationAlgorithmSpec, EncryptionAlgorithmSpec, KeyAgreementAlgorithmSpec, KeySpec,
    KeyUsageType, MacAlgorithmSpec, MessageType, SigningAlgorithmSpec,
};
use claviger_crypto::{MacSpec, MaterialSpec, OaepHash, PairSpec, ShaLength, SignatureScheme};

use crate::KmsError;
use crate::records::Key;

/// An algorithm of any of the interface's five kinds.
#[derive(Clone, Copy, PartialEq, Eq, Debug)]
pub(crate) enum Algorithm {
    /// For Encrypt and Decrypt.
    Encryption(EncryptionAlgorithmSpec),
    /// For Sign and Verify.
    Signing(SigningAlgorithmSpec),
    /// For GenerateMac and VerifyMac.
    Mac(MacAlgorithmSpec),
    /// For DeriveSharedSecret.
    Agreement(KeyAgreementAlgorithmSpec),
    /// For Encapsulate and Decapsulate.
    Encapsulation(EncapsulationAlgorithmSpec),
}

impl Algorithm {
    /// AWS's name of it.
    pub(crate) const fn name(self) -> &'static str {
        match self {
            Self::Encryption(algorithm) => algorithm.as_str(),
            Self::Signing(algorithm) => algorithm.as_str(),
            Self::Mac(algorithm) => algorithm.as_str(),
            Self::Agreement(algorithm) => algorithm.as_str(),
            Self::Encapsulation(algorithm) => algorithm.as_str(),
        }
    }
}

/// One thing that keys of one spec and usage can do.
#[derive(Clone, Copy, PartialEq, Eq, Debug)]
pub(crate) struct AlgorithmRow {
    /// The kind of key.
    pub(crate) spec: KeySpec,
    /// What the key was made for.
    pub(crate) usage: KeyUsageType,
    /// The algorithm.
    pub(crate) algorithm: Algorithm,
    /// For signatures: in which forms the message may come.
    pub(crate) messages: &'static [MessageType],
    /// The longest plaintext, message or ciphertext that the caller may send, in bytes; what exceeds the model's own
    /// limit is refused before the table is asked.
    pub(crate) input_bytes_max: usize,
    /// For messages of type DIGEST and EXTERNAL_MU: their exact length in bytes; 0 where neither is taken.
    pub(crate) digest_bytes: usize,
}

/// The longest plaintext under a symmetric key, and the longest raw message, in bytes.
const PLAINTEXT_BYTES_MAX: usize = 4096;

const fn plain(spec: KeySpec, usage: KeyUsageType, algorithm: Algorithm, input_bytes_max: usize) -> AlgorithmRow {
    AlgorithmRow { spec, usage, algorithm, messages: &[], input_bytes_max, digest_bytes: 0 }
}

/// RSAES-OAEP: the modulus less two digests and two bytes (RFC 8017 section 7.1.1).
const fn oaep(spec: KeySpec, algorithm: EncryptionAlgorithmSpec, input_bytes_max: usize) -> AlgorithmRow {
    plain(spec, KeyUsageType::EncryptDecrypt, Algorithm::Encryption(algorithm), input_bytes_max)
}

const fn signs(
    spec: KeySpec,
    algorithm: SigningAlgorithmSpec,
    messages: &'static [MessageType],
    digest_bytes: usize,
) -> AlgorithmRow {
    let (usage, algorithm) = (KeyUsageType::SignVerify, Algorithm::Signing(algorithm));
    AlgorithmRow { spec, usage, algorithm, messages, input_bytes_max: PLAINTEXT_BYTES_MAX, digest_bytes }
}

const fn mac(spec: KeySpec, algorithm: MacAlgorithmSpec) -> AlgorithmRow {
    plain(spec, KeyUsageType::GenerateVerifyMac, Algorithm::Mac(algorithm), PLAINTEXT_BYTES_MAX)
}

/// The peer's public key, in DER.
const PEER_BYTES_MAX: usize = 8192;

const fn ecdh(spec: KeySpec) -> AlgorithmRow {
    let algorithm = Algorithm::Agreement(KeyAgreementAlgorithmSpec::Ecdh);
    plain(spec, KeyUsageType::KeyAgreement, algorithm, PEER_BYTES_MAX)
}

/// The limit is the length of the ciphertext that Decapsulate takes.
const fn ml_kem(spec: KeySpec, ciphertext_bytes: usize) -> AlgorithmRow {
    let algorithm = Algorithm::Encapsulation(EncapsulationAlgorithmSpec::MlKem);
    plain(spec, KeyUsageType::EncapsulateDecapsulate, algorithm, ciphertext_bytes)
}

const HASHED: &[MessageType] = &[MessageType::Raw, MessageType::Digest];
const ML_DSA: &[MessageType] = &[MessageType::Raw, MessageType::ExternalMu];

/// The table. Within a spec, algorithms stand in the order in which DescribeKey lists them.
pub(crate) const ALGORITHMS: &[AlgorithmRow] = {
    use EncryptionAlgorithmSpec::{RsaesOaepSha1, RsaesOaepSha256, SymmetricDefault};
    use SigningAlgorithmSpec as Signature;
    &[
        plain(
            KeySpec::SymmetricDefault,
            KeyUsageType::EncryptDecrypt,
            Algorithm::Encryption(SymmetricDefault),
            PLAINTEXT_BYTES_MAX,
        ),
        oaep(KeySpec::Rsa2048, RsaesOaepSha1, 214),
        oaep(KeySpec::Rsa2048, RsaesOaepSha256, 190),
        oaep(KeySpec::Rsa3072, RsaesOaepSha1, 342),
        oaep(KeySpec::Rsa3072, RsaesOaepSha256, 318),
        oaep(KeySpec::Rsa4096, RsaesOaepSha1, 470),
        oaep(KeySpec::Rsa4096, RsaesOaepSha256, 446),
        signs(KeySpec::Rsa2048, Signature::RsassaPkcs1V15Sha256, HASHED, 32),
        signs(KeySpec::Rsa2048, Signature::RsassaPkcs1V15Sha384, HASHED, 48),
        signs(KeySpec::Rsa2048, Signature::RsassaPkcs1V15Sha512, HASHED, 64),
        signs(KeySpec::Rsa2048, Signature::RsassaPssSha256, HASHED, 32),
        signs(KeySpec::Rsa2048, Signature::RsassaPssSha384, HASHED, 48),
        signs(KeySpec::Rsa2048, Signature::RsassaPssSha512, HASHED, 64),
        signs(KeySpec::Rsa3072, Signature::RsassaPkcs1V15Sha256, HASHED, 32),
        signs(KeySpec::Rsa3072, Signature::RsassaPkcs1V15Sha384, HASHED, 48),
        signs(KeySpec::Rsa3072, Signature::RsassaPkcs1V15Sha512, HASHED, 64),
        signs(KeySpec::Rsa3072, Signature::RsassaPssSha256, HASHED, 32),
        signs(KeySpec::Rsa3072, Signature::RsassaPssSha384, HASHED, 48),
        signs(KeySpec::Rsa3072, Signature::RsassaPssSha512, HASHED, 64),
        signs(KeySpec::Rsa4096, Signature::RsassaPkcs1V15Sha256, HASHED, 32),
        signs(KeySpec::Rsa4096, Signature::RsassaPkcs1V15Sha384, HASHED, 48),
        signs(KeySpec::Rsa4096, Signature::RsassaPkcs1V15Sha512, HASHED, 64),
        signs(KeySpec::Rsa4096, Signature::RsassaPssSha256, HASHED, 32),
        signs(KeySpec::Rsa4096, Signature::RsassaPssSha384, HASHED, 48),
        signs(KeySpec::Rsa4096, Signature::RsassaPssSha512, HASHED, 64),
        signs(KeySpec::EccNistP256, Signature::EcdsaSha256, HASHED, 32),
        signs(KeySpec::EccNistP384, Signature::EcdsaSha384, HASHED, 48),
        signs(KeySpec::EccNistP521, Signature::EcdsaSha512, HASHED, 64),
        ecdh(KeySpec::EccNistP256),
        ecdh(KeySpec::EccNistP384),
        ecdh(KeySpec::EccNistP521),
        signs(KeySpec::EccSecgP256k1, Signature::EcdsaSha256, HASHED, 32),
        signs(KeySpec::EccNistEdwards25519, Signature::Ed25519Sha512, &[MessageType::Raw], 0),
        signs(KeySpec::EccNistEdwards25519, Signature::Ed25519PhSha512, &[MessageType::Digest], 64),
        signs(KeySpec::MlDsa44, Signature::MlDsaShake256, ML_DSA, 64),
        signs(KeySpec::MlDsa65, Signature::MlDsaShake256, ML_DSA, 64),
        signs(KeySpec::MlDsa87, Signature::MlDsaShake256, ML_DSA, 64),
        mac(KeySpec::Hmac224, MacAlgorithmSpec::HmacSha224),
        mac(KeySpec::Hmac256, MacAlgorithmSpec::HmacSha256),
        mac(KeySpec::Hmac384, MacAlgorithmSpec::HmacSha384),
        mac(KeySpec::Hmac512, MacAlgorithmSpec::HmacSha512),
        ml_kem(KeySpec::MlKem512, 768),
        ml_kem(KeySpec::MlKem768, 1088),
        ml_kem(KeySpec::MlKem1024, 1568),
    ]
};

/// What keys of this spec and usage can do; nothing when the two do not fit.
pub(crate) fn rows(spec: KeySpec, usage: KeyUsageType) -> impl Iterator<Item = &'static AlgorithmRow> {
    ALGORITHMS.iter().filter(move |row| row.spec == spec && row.usage == usage)
}

/// Refuses a key that was made for something else.
pub(crate) fn demand_usage(key: &Key, usage: KeyUsageType, operation: &str) -> Result<(), KmsError> {
    if key.usage == usage {
        return Ok(());
    }
    let (arn, is) = (key.arn(), key.usage.as_str());
    Err(KmsError::InvalidKeyUsage(format!("{arn} key usage is {is} which is not valid for {operation}.")))
}

/// The row of the algorithm, when the key can do it. The usage was checked before.
pub(crate) fn demand_algorithm(key: &Key, algorithm: Algorithm) -> Result<&'static AlgorithmRow, KmsError> {
    rows(key.spec, key.usage).find(|row| row.algorithm == algorithm).ok_or_else(|| {
        let (name, spec) = (algorithm.name(), key.spec.as_str());
        KmsError::InvalidKeyUsage(format!("Algorithm {name} is incompatible with key spec {spec}."))
    })
}

/// Which material keys of the spec have; `None` for a spec that is not offered.
pub(crate) const fn material_spec(spec: KeySpec) -> Option<MaterialSpec> {
    let pair = match spec {
        KeySpec::SymmetricDefault => return Some(MaterialSpec::Symmetric),
        KeySpec::Hmac224 => return Some(MaterialSpec::Mac(MacSpec::Hmac224)),
        KeySpec::Hmac256 => return Some(MaterialSpec::Mac(MacSpec::Hmac256)),
        KeySpec::Hmac384 => return Some(MaterialSpec::Mac(MacSpec::Hmac384)),
        KeySpec::Hmac512 => return Some(MaterialSpec::Mac(MacSpec::Hmac512)),
        KeySpec::Sm2 => return None,
        KeySpec::Rsa2048 => PairSpec::Rsa2048,
        KeySpec::Rsa3072 => PairSpec::Rsa3072,
        KeySpec::Rsa4096 => PairSpec::Rsa4096,
        KeySpec::EccNistP256 => PairSpec::P256,
        KeySpec::EccNistP384 => PairSpec::P384,
        KeySpec::EccNistP521 => PairSpec::P521,
        KeySpec::EccSecgP256k1 => PairSpec::Secp256k1,
        KeySpec::EccNistEdwards25519 => PairSpec::Ed25519,
        KeySpec::MlDsa44 => PairSpec::MlDsa44,
        KeySpec::MlDsa65 => PairSpec::MlDsa65,
        KeySpec::MlDsa87 => PairSpec::MlDsa87,
        KeySpec::MlKem512 => PairSpec::MlKem512,
        KeySpec::MlKem768 => PairSpec::MlKem768,
        KeySpec::MlKem1024 => PairSpec::MlKem1024,
    };
    Some(MaterialSpec::Pair(pair))
}

/// Which pair a data key pair is; `None` for a spec that is not offered.
pub(crate) const fn data_key_pair(spec: DataKeyPairSpec) -> Option<PairSpec> {
    Some(match spec {
        DataKeyPairSpec::Sm2 => return None,
        DataKeyPairSpec::Rsa2048 => PairSpec::Rsa2048,
        DataKeyPairSpec::Rsa3072 => PairSpec::Rsa3072,
        DataKeyPairSpec::Rsa4096 => PairSpec::Rsa4096,
        DataKeyPairSpec::EccNistP256 => PairSpec::P256,
        DataKeyPairSpec::EccNistP384 => PairSpec::P384,
        DataKeyPairSpec::EccNistP521 => PairSpec::P521,
        DataKeyPairSpec::EccSecgP256k1 => PairSpec::Secp256k1,
        DataKeyPairSpec::EccNistEdwards25519 => PairSpec::Ed25519,
        DataKeyPairSpec::MlKem512 => PairSpec::MlKem512,
        DataKeyPairSpec::MlKem768 => PairSpec::MlKem768,
        DataKeyPairSpec::MlKem1024 => PairSpec::MlKem1024,
    })
}

/// The scheme behind a signing algorithm; `None` for one that no key has.
pub(crate) const fn signature_scheme(algorithm: SigningAlgorithmSpec) -> Option<SignatureScheme> {
    Some(match algorithm {
        SigningAlgorithmSpec::RsassaPssSha256 => SignatureScheme::RsaPss(ShaLength::Sha256),
        SigningAlgorithmSpec::RsassaPssSha384 => SignatureScheme::RsaPss(ShaLength::Sha384),
        SigningAlgorithmSpec::RsassaPssSha512 => SignatureScheme::RsaPss(ShaLength::Sha512),
        SigningAlgorithmSpec::RsassaPkcs1V15Sha256 => SignatureScheme::RsaPkcs1(ShaLength::Sha256),
        SigningAlgorithmSpec::RsassaPkcs1V15Sha384 => SignatureScheme::RsaPkcs1(ShaLength::Sha384),
        SigningAlgorithmSpec::RsassaPkcs1V15Sha512 => SignatureScheme::RsaPkcs1(ShaLength::Sha512),
        SigningAlgorithmSpec::EcdsaSha256 => SignatureScheme::Ecdsa(ShaLength::Sha256),
        SigningAlgorithmSpec::EcdsaSha384 => SignatureScheme::Ecdsa(ShaLength::Sha384),
        SigningAlgorithmSpec::EcdsaSha512 => SignatureScheme::Ecdsa(ShaLength::Sha512),
        SigningAlgorithmSpec::Ed25519Sha512 => SignatureScheme::Ed25519,
        SigningAlgorithmSpec::Ed25519PhSha512 => SignatureScheme::Ed25519ph,
        SigningAlgorithmSpec::MlDsaShake256 => SignatureScheme::MlDsa,
        SigningAlgorithmSpec::Sm2dsa => return None,
    })
}

/// The padding behind an encryption algorithm; `None` for one that is not RSA's.
pub(crate) const fn oaep_hash(algorithm: EncryptionAlgorithmSpec) -> Option<OaepHash> {
    match algorithm {
        EncryptionAlgorithmSpec::RsaesOaepSha1 => Some(OaepHash::Sha1),
        EncryptionAlgorithmSpec::RsaesOaepSha256 => Some(OaepHash::Sha256),
        EncryptionAlgorithmSpec::SymmetricDefault | EncryptionAlgorithmSpec::Sm2pke => None,
    }
}

#[cfg(test)]
mod tests {
    #![expect(clippy::unwrap_used, reason = "tests")]

    use std::collections::BTreeSet;
    use std::fmt::Write as _;

    use super::*;

    /// docs/ALGORITHMS.md, as the table says it.
    fn document() -> String {
        let mut text = String::from(
            "# Key specs, usages and algorithms\n\n\
             Made from the table that the server itself is driven by (`crates/kms/src/algorithms.rs`); a test compares \
             the two. After a change of the table, `CLAVIGER_WRITE_DOCS=1 cargo test -p claviger-kms algorithms` writes \
             this file anew. What each operation answers to each of these is in [MATRIX.md](MATRIX.md).\n\n\
             Sizes are in bytes. SM2 is not offered, as in AWS outside its China Regions.\n\n\
             | KeySpec | KeyUsage | Algorithm | MessageType | Longest input | Digest or mu |\n\
             |---|---|---|---|---|---|\n",
        );
        for row in ALGORITHMS {
            let messages: Vec<_> = row.messages.iter().map(|message| message.as_str()).collect();
            let digest = if row.digest_bytes == 0 { String::new() } else { row.digest_bytes.to_string() };
            writeln!(
                text,
                "| {} | {} | {} | {} | {} | {digest} |",
                row.spec.as_str(),
                row.usage.as_str(),
                row.algorithm.name(),
                messages.join(", "),
                row.input_bytes_max,
            )
            .unwrap();
        }
        text
    }

    #[test]
    fn the_document_says_what_the_table_says() {
        let path = concat!(env!("CARGO_MANIFEST_DIR"), "/../../docs/ALGORITHMS.md");
        if std::env::var_os("CLAVIGER_WRITE_DOCS").is_some() {
            std::fs::write(path, document()).unwrap();
        }
        assert_eq!(std::fs::read_to_string(path).unwrap(), document());
    }

    #[test]
    fn every_spec_is_offered_but_sm2() {
        for spec in KeySpec::ALL {
            let offered = ALGORITHMS.iter().any(|row| row.spec == *spec);
            assert_eq!(offered, *spec != KeySpec::Sm2, "{}", spec.as_str());
            assert_eq!(material_spec(*spec).is_some(), offered, "{}", spec.as_str());
        }
        for spec in DataKeyPairSpec::ALL {
            assert_eq!(data_key_pair(*spec).is_some(), *spec != DataKeyPairSpec::Sm2, "{}", spec.as_str());
        }
    }

    #[test]
    fn every_algorithm_of_the_interface_has_a_key_but_those_of_sm2() {
        let table: BTreeSet<_> = ALGORITHMS.iter().map(|row| row.algorithm.name()).collect();
        let mut interface: BTreeSet<_> = EncryptionAlgorithmSpec::ALL.iter().map(|one| one.as_str()).collect();
        interface.extend(SigningAlgorithmSpec::ALL.iter().map(|one| one.as_str()));
        interface.extend(MacAlgorithmSpec::ALL.iter().map(|one| one.as_str()));
        interface.extend(KeyAgreementAlgorithmSpec::ALL.iter().map(|one| one.as_str()));
        interface.extend(EncapsulationAlgorithmSpec::ALL.iter().map(|one| one.as_str()));
        let missing: Vec<_> = interface.difference(&table).copied().collect();
        assert_eq!(missing, ["SM2DSA", "SM2PKE"]);
    }

    #[test]
    fn no_row_stands_twice_and_every_algorithm_has_its_scheme() {
        for (at, row) in ALGORITHMS.iter().enumerate() {
            let same = |other: &&AlgorithmRow| {
                (other.spec, other.usage, other.algorithm) == (row.spec, row.usage, row.algorithm)
            };
            assert_eq!(ALGORITHMS.iter().position(|other| same(&other)), Some(at));
            match row.algorithm {
                Algorithm::Signing(algorithm) => assert!(signature_scheme(algorithm).is_some()),
                Algorithm::Encryption(algorithm) => {
                    assert_eq!(oaep_hash(algorithm).is_none(), row.spec == KeySpec::SymmetricDefault);
                }
                Algorithm::Mac(_) | Algorithm::Agreement(_) | Algorithm::Encapsulation(_) => {}
            }
        }
    }
}

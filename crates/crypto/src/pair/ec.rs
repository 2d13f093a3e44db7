//! The curves P-256, P-384, P-521 and secp256k1: ECDSA, and ECDH on all but the last.

use std::sync::OnceLock;

use aws_lc_rs::agreement::{self, ECDH_P256, ECDH_P384, ECDH_P521};
use aws_lc_rs::encoding::{AsBigEndian, AsDer, EcPrivateKeyBin, PublicKeyX509Der};
use aws_lc_rs::rand::SystemRandom;
use aws_lc_rs::signature::{
    ECDSA_P256_SHA256_ASN1, ECDSA_P256_SHA256_ASN1_SIGNING, ECDSA_P256K1_SHA256_ASN1, ECDSA_P256K1_SHA256_ASN1_SIGNING,
    ECDSA_P384_SHA384_ASN1, ECDSA_P384_SHA384_ASN1_SIGNING, ECDSA_P521_SHA512_ASN1, ECDSA_P521_SHA512_ASN1_SIGNING,
    EcdsaKeyPair, EcdsaSigningAlgorithm, EcdsaVerificationAlgorithm, KeyPair as _, ParsedPublicKey,
};
use claviger_secret::SecretBytes;

use super::{Hashed, KeyUseError, ShaLength, der, keep};
use crate::error::library_failed;
use crate::{CryptoError, PairSpec};

#[derive(Clone, Copy, PartialEq, Eq)]
pub(super) enum Curve {
    P256,
    P384,
    P521,
    Secp256k1,
}

impl Curve {
    /// The one hash function that AWS offers with the curve.
    pub(super) const fn hash(self) -> ShaLength {
        match self {
            Self::P256 | Self::Secp256k1 => ShaLength::Sha256,
            Self::P384 => ShaLength::Sha384,
            Self::P521 => ShaLength::Sha512,
        }
    }

    const fn signing(self) -> &'static EcdsaSigningAlgorithm {
        match self {
            Self::P256 => &ECDSA_P256_SHA256_ASN1_SIGNING,
            Self::P384 => &ECDSA_P384_SHA384_ASN1_SIGNING,
            Self::P521 => &ECDSA_P521_SHA512_ASN1_SIGNING,
            Self::Secp256k1 => &ECDSA_P256K1_SHA256_ASN1_SIGNING,
        }
    }

    const fn verifying(self) -> &'static EcdsaVerificationAlgorithm {
        match self {
            Self::P256 => &ECDSA_P256_SHA256_ASN1,
            Self::P384 => &ECDSA_P384_SHA384_ASN1,
            Self::P521 => &ECDSA_P521_SHA512_ASN1,
            Self::Secp256k1 => &ECDSA_P256K1_SHA256_ASN1,
        }
    }

    const fn agreeing(self) -> Option<&'static agreement::Algorithm> {
        match self {
            Self::P256 => Some(&ECDH_P256),
            Self::P384 => Some(&ECDH_P384),
            Self::P521 => Some(&ECDH_P521),
            Self::Secp256k1 => None,
        }
    }

    const fn spec(self) -> PairSpec {
        match self {
            Self::P256 => PairSpec::P256,
            Self::P384 => PairSpec::P384,
            Self::P521 => PairSpec::P521,
            Self::Secp256k1 => PairSpec::Secp256k1,
        }
    }

    /// Refuses everything but the canonical SubjectPublicKeyInfo of a named curve; whether the point is on the curve
    /// is for the library.
    fn check(self, spki: &[u8]) -> Result<(), KeyUseError> {
        let point = der::public_key(self.spec()).and_then(|shape| shape.strip(spki));
        point.map(|_| ()).ok_or(KeyUseError::InvalidPublicKey)
    }
}

pub(super) fn generate(curve: Curve) -> Result<SecretBytes, CryptoError> {
    let pair = EcdsaKeyPair::generate(curve.signing()).map_err(library_failed)?;
    encoded(&pair).map_err(|_| CryptoError::LibraryFailed)
}

/// PKCS#8 as the library writes it for a key that it made: a named curve, and the public key inside, uncompressed. The
/// library remembers how a key that it read was encoded, so the key is put together anew from its two numbers.
pub(super) fn canonical(curve: Curve, pkcs8: &[u8]) -> Result<SecretBytes, KeyUseError> {
    if !der::is_one_sequence(pkcs8) {
        return Err(KeyUseError::InvalidPrivateKey);
    }
    let read = parsed(curve, pkcs8)?;
    let private: EcPrivateKeyBin<'_> = read.private_key().as_be_bytes().map_err(|_| KeyUseError::Library)?;
    let public = read.public_key().as_ref();
    let made = EcdsaKeyPair::from_private_key_and_public_key(curve.signing(), private.as_ref(), public);
    encoded(&made.map_err(|_| KeyUseError::InvalidPrivateKey)?)
}

fn parsed(curve: Curve, pkcs8: &[u8]) -> Result<EcdsaKeyPair, KeyUseError> {
    EcdsaKeyPair::from_pkcs8(curve.signing(), pkcs8).map_err(|_| KeyUseError::InvalidPrivateKey)
}

fn encoded(pair: &EcdsaKeyPair) -> Result<SecretBytes, KeyUseError> {
    let pkcs8 = pair.to_pkcs8v1().map_err(|_| KeyUseError::Library)?;
    Ok(SecretBytes::from_slice(pkcs8.as_ref()))
}

pub(super) struct Private {
    curve: Curve,
    signing: EcdsaKeyPair,
    /// The library has a type of its own for it.
    agreeing: OnceLock<agreement::PrivateKey>,
}

impl Private {
    /// The key and its SubjectPublicKeyInfo.
    pub(super) fn load(curve: Curve, pkcs8: &[u8]) -> Result<(Self, Vec<u8>), KeyUseError> {
        let signing = parsed(curve, pkcs8)?;
        let spki: PublicKeyX509Der<'_> = signing.public_key().as_der().map_err(|_| KeyUseError::Library)?;
        let spki = spki.as_ref().to_vec();
        Ok((Self { curve, signing, agreeing: OnceLock::new() }, spki))
    }

    pub(super) fn sign(&self, message: &Hashed<'_>) -> Result<Vec<u8>, KeyUseError> {
        let signature = match message {
            Hashed::Message(message) => self.signing.sign(&SystemRandom::new(), message),
            Hashed::Digest(digest) => self.signing.sign_digest(digest),
        };
        signature.map(|signature| signature.as_ref().to_vec()).map_err(|_| KeyUseError::Library)
    }

    pub(super) fn agree(&self, pkcs8: &[u8], peer_spki: &[u8]) -> Result<SecretBytes, KeyUseError> {
        let algorithm = self.curve.agreeing().ok_or(KeyUseError::NotThisKey)?;
        self.curve.check(peer_spki)?;
        let peer = agreement::UnparsedPublicKey::new(algorithm, peer_spki);
        let peer = agreement::ParsedPublicKey::try_from(peer).map_err(|_| KeyUseError::InvalidPublicKey)?;
        let key = keep(&self.agreeing, || {
            agreement::PrivateKey::from_private_key_der(algorithm, pkcs8).map_err(|_| KeyUseError::Library)
        })?;
        agreement::agree(key, peer, KeyUseError::Library, |secret| Ok(SecretBytes::from_slice(secret)))
    }
}

pub(super) struct Public(ParsedPublicKey);

impl Public {
    pub(super) fn parse(curve: Curve, spki: &[u8]) -> Result<Self, KeyUseError> {
        curve.check(spki)?;
        ParsedPublicKey::new(curve.verifying(), spki).map(Self).map_err(|_| KeyUseError::InvalidPublicKey)
    }

    pub(super) fn verify(&self, message: &Hashed<'_>, signature: &[u8]) -> bool {
        message.verify(&self.0, signature)
    }
}

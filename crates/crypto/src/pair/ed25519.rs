//! Ed25519 and Ed25519ph.

use aws_lc_rs::encoding::{AsDer, Pkcs8V1Der};
use aws_lc_rs::signature::{ED25519, Ed25519KeyPair, KeyPair as _, ParsedPublicKey};
use claviger_crypto_ffi::ed25519ph;
use claviger_secret::SecretBytes;

use super::{KeyUseError, Message, SignatureScheme, der};
use crate::PairSpec;

/// What Ed25519ph is given: SHA-512's output.
const DIGEST_BYTES: usize = 64;

/// The seed of a PKCS#8, version 1 or 2.
pub(super) fn canonical(pkcs8: &[u8]) -> Result<SecretBytes, KeyUseError> {
    if !der::is_one_sequence(pkcs8) {
        return Err(KeyUseError::InvalidPrivateKey);
    }
    let pair = Ed25519KeyPair::from_pkcs8(pkcs8).map_err(|_| KeyUseError::InvalidPrivateKey)?;
    // By way of the encoding, as the library wipes that and not its copy of the seed.
    let version_1: Pkcs8V1Der<'_> = pair.as_der().map_err(|_| KeyUseError::Library)?;
    let seed = der::seed(PairSpec::Ed25519).and_then(|shape| shape.strip(version_1.as_ref()));
    seed.map(SecretBytes::from_slice).ok_or(KeyUseError::Library)
}

pub(super) struct Private(Ed25519KeyPair);

impl Private {
    /// The key and its SubjectPublicKeyInfo.
    pub(super) fn load(seed: &[u8]) -> Result<(Self, Vec<u8>), KeyUseError> {
        let pair = Ed25519KeyPair::from_seed_unchecked(seed).map_err(|_| KeyUseError::InvalidPrivateKey)?;
        let shape = der::public_key(PairSpec::Ed25519).ok_or(KeyUseError::Library)?;
        let spki = shape.encode(pair.public_key().as_ref());
        Ok((Self(pair), spki))
    }

    pub(super) fn sign(
        &self,
        seed: &[u8],
        scheme: SignatureScheme,
        message: Message<'_>,
    ) -> Result<Vec<u8>, KeyUseError> {
        match input(scheme, message)? {
            Input::Pure(message) => {
                let signature = self.0.try_sign(message).map_err(|_| KeyUseError::Library)?;
                Ok(signature.as_ref().to_vec())
            }
            Input::Prehash(digest) => {
                let seed = seed.try_into().map_err(|_| KeyUseError::Library)?;
                ed25519ph::sign(seed, digest).map(|signature| signature.to_vec()).map_err(|_| KeyUseError::Library)
            }
        }
    }
}

pub(super) struct Public {
    key: ParsedPublicKey,
    raw: [u8; 32],
}

impl Public {
    pub(super) fn parse(spki: &[u8]) -> Result<Self, KeyUseError> {
        let raw = der::public_key(PairSpec::Ed25519).and_then(|shape| shape.strip(spki));
        let raw = raw.and_then(|raw| raw.try_into().ok()).ok_or(KeyUseError::InvalidPublicKey)?;
        let key = ParsedPublicKey::new(&ED25519, spki).map_err(|_| KeyUseError::InvalidPublicKey)?;
        Ok(Self { key, raw })
    }

    pub(super) fn verify(
        &self,
        scheme: SignatureScheme,
        message: Message<'_>,
        signature: &[u8],
    ) -> Result<bool, KeyUseError> {
        Ok(match input(scheme, message)? {
            Input::Pure(message) => self.key.verify_sig(message, signature).is_ok(),
            Input::Prehash(digest) => ed25519ph::verify(&self.raw, digest, signature),
        })
    }
}

enum Input<'message> {
    Pure(&'message [u8]),
    /// A digest, which Ed25519ph hashes once more.
    Prehash(&'message [u8]),
}

fn input(scheme: SignatureScheme, message: Message<'_>) -> Result<Input<'_>, KeyUseError> {
    match (scheme, message) {
        (SignatureScheme::Ed25519, Message::Raw(message)) => Ok(Input::Pure(message)),
        (SignatureScheme::Ed25519ph, Message::Digest(digest)) if digest.len() == DIGEST_BYTES => {
            Ok(Input::Prehash(digest))
        }
        (SignatureScheme::Ed25519ph, Message::Digest(_)) => Err(KeyUseError::DigestLength),
        _ => Err(KeyUseError::NotThisKey),
    }
}

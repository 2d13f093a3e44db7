//! ML-DSA.

use std::sync::OnceLock;

use aws_lc_rs::signature::{
    KeyPair as _, ML_DSA_44, ML_DSA_44_SIGNING, ML_DSA_65, ML_DSA_65_SIGNING, ML_DSA_87, ML_DSA_87_SIGNING,
    ParsedPublicKey, PqdsaKeyPair, PqdsaSigningAlgorithm, PqdsaVerificationAlgorithm,
};
use claviger_crypto_ffi::ml_dsa::{self, ParameterSet};

use super::{KeyUseError, Message, SignatureScheme, der, keep};
use crate::PairSpec;

pub(super) struct Private {
    set: ParameterSet,
    pair: PqdsaKeyPair,
    /// For EXTERNAL_MU, which few keys see.
    mu: OnceLock<ml_dsa::PrivateKey>,
}

impl Private {
    /// The key and its SubjectPublicKeyInfo.
    pub(super) fn load(set: ParameterSet, seed: &[u8]) -> Result<(Self, Vec<u8>), KeyUseError> {
        let pair = PqdsaKeyPair::from_seed(signing(set), seed).map_err(|_| KeyUseError::InvalidPrivateKey)?;
        let shape = der::public_key(spec(set)).ok_or(KeyUseError::Library)?;
        let spki = shape.encode(pair.public_key().as_ref());
        Ok((Self { set, pair, mu: OnceLock::new() }, spki))
    }

    pub(super) fn sign(
        &self,
        seed: &[u8],
        scheme: SignatureScheme,
        message: Message<'_>,
    ) -> Result<Vec<u8>, KeyUseError> {
        match input(scheme, message)? {
            Input::Message(message) => {
                let mut signature = vec![0; self.pair.algorithm().signature_len()];
                self.pair.sign(message, &mut signature).map_err(|_| KeyUseError::Library)?;
                Ok(signature)
            }
            Input::Mu(mu) => {
                let key = keep(&self.mu, || {
                    let seed = seed.try_into().map_err(|_| KeyUseError::Library)?;
                    ml_dsa::PrivateKey::from_seed(self.set, seed).map_err(|_| KeyUseError::Library)
                })?;
                key.sign_mu(mu).map_err(|_| KeyUseError::Library)
            }
        }
    }
}

pub(super) struct Public {
    set: ParameterSet,
    key: ParsedPublicKey,
    mu: OnceLock<ml_dsa::PublicKey>,
}

impl Public {
    pub(super) fn parse(set: ParameterSet, spki: &[u8]) -> Result<Self, KeyUseError> {
        raw(set, spki)?;
        let key = ParsedPublicKey::new(verifying(set), spki).map_err(|_| KeyUseError::InvalidPublicKey)?;
        Ok(Self { set, key, mu: OnceLock::new() })
    }

    pub(super) fn verify(
        &self,
        spki: &[u8],
        scheme: SignatureScheme,
        message: Message<'_>,
        signature: &[u8],
    ) -> Result<bool, KeyUseError> {
        match input(scheme, message)? {
            Input::Message(message) => Ok(self.key.verify_sig(message, signature).is_ok()),
            Input::Mu(mu) => {
                let key = keep(&self.mu, || {
                    ml_dsa::PublicKey::from_raw(self.set, raw(self.set, spki)?).map_err(|_| KeyUseError::Library)
                })?;
                Ok(key.verify_mu(mu, signature))
            }
        }
    }
}

enum Input<'message> {
    Message(&'message [u8]),
    Mu(&'message [u8; 64]),
}

fn input(scheme: SignatureScheme, message: Message<'_>) -> Result<Input<'_>, KeyUseError> {
    match (scheme, message) {
        (SignatureScheme::MlDsa, Message::Raw(message)) => Ok(Input::Message(message)),
        (SignatureScheme::MlDsa, Message::ExternalMu(mu)) => {
            mu.try_into().map(Input::Mu).map_err(|_| KeyUseError::DigestLength)
        }
        _ => Err(KeyUseError::NotThisKey),
    }
}

fn raw(set: ParameterSet, spki: &[u8]) -> Result<&[u8], KeyUseError> {
    der::public_key(spec(set)).and_then(|shape| shape.strip(spki)).ok_or(KeyUseError::InvalidPublicKey)
}

const fn spec(set: ParameterSet) -> PairSpec {
    match set {
        ParameterSet::MlDsa44 => PairSpec::MlDsa44,
        ParameterSet::MlDsa65 => PairSpec::MlDsa65,
        ParameterSet::MlDsa87 => PairSpec::MlDsa87,
    }
}

const fn signing(set: ParameterSet) -> &'static PqdsaSigningAlgorithm {
    match set {
        ParameterSet::MlDsa44 => &ML_DSA_44_SIGNING,
        ParameterSet::MlDsa65 => &ML_DSA_65_SIGNING,
        ParameterSet::MlDsa87 => &ML_DSA_87_SIGNING,
    }
}

const fn verifying(set: ParameterSet) -> &'static PqdsaVerificationAlgorithm {
    match set {
        ParameterSet::MlDsa44 => &ML_DSA_44,
        ParameterSet::MlDsa65 => &ML_DSA_65,
        ParameterSet::MlDsa87 => &ML_DSA_87,
    }
}

//! The bare library: each work as the shortest way through aws-lc-rs, with keys parsed ahead.

use aws_lc_rs::encoding::{AsDer, Pkcs8V1Der, PublicKeyX509Der};
use aws_lc_rs::hmac;
use aws_lc_rs::rand::{SystemRandom, fill};
use aws_lc_rs::rsa::{self, OAEP_SHA256_MGF1SHA256, OaepPrivateDecryptingKey, OaepPublicEncryptingKey};
use aws_lc_rs::signature::{self, EcdsaKeyPair, Ed25519KeyPair, KeyPair, ParsedPublicKey, PqdsaKeyPair, RsaKeyPair};

use crate::BenchError;
use crate::operation::{Action, Key, Work};

/// What is signed, authenticated or encrypted.
pub(crate) const MESSAGE: [u8; 32] = *b"as many bytes as a data key has.";

/// Does the work once; answers whether it succeeded.
pub(crate) type Call = Box<dyn Fn() -> bool + Send + Sync>;

/// The private half of a fresh key.
pub(crate) enum Secret {
    /// DER PKCS#8 version 1 of a pair.
    Pair(Vec<u8>),
    /// The bytes of an HMAC key.
    Mac([u8; 32]),
}

/// A fresh key, and one result for those works that take one: a signature, a ciphertext or a MAC over [`MESSAGE`].
pub(crate) struct Prepared {
    pub(crate) secret: Secret,
    pub(crate) result: Vec<u8>,
}

/// The work by the bare library, with a key of its own.
pub(crate) fn prepare(work: Work) -> Result<(Prepared, Call), BenchError> {
    match work.key {
        Key::Rsa2048 => rsa(work.action, rsa::KeySize::Rsa2048),
        Key::Rsa4096 => rsa(work.action, rsa::KeySize::Rsa4096),
        Key::P256 => p256(work.action),
        Key::Ed25519 => ed25519(work.action),
        Key::MlDsa65 => ml_dsa_65(work.action),
        Key::Hmac256 => hmac_256(work.action),
    }
}

fn rsa(action: Action, size: rsa::KeySize) -> Result<(Prepared, Call), BenchError> {
    let pair = rsa::KeyPair::generate(size)?;
    let pkcs8: Pkcs8V1Der<'static> = pair.as_der()?;
    let pkcs8 = pkcs8.as_ref().to_vec();
    if action == Action::Decrypt {
        return rsa_decrypt(pkcs8);
    }
    let sign = move |pair: &RsaKeyPair| {
        let mut bytes = vec![0; pair.public_modulus_len()];
        let done = pair.sign(&signature::RSA_PSS_SHA256, &SystemRandom::new(), &MESSAGE, &mut bytes);
        done.map(|()| bytes)
    };
    let spki: PublicKeyX509Der<'static> = pair.public_key().as_der()?;
    signing(action, pkcs8, pair, sign, &signature::RSA_PSS_2048_8192_SHA256, spki.as_ref())
}

fn rsa_decrypt(pkcs8: Vec<u8>) -> Result<(Prepared, Call), BenchError> {
    let private = rsa::PrivateDecryptingKey::from_pkcs8(&pkcs8)?;
    let public = OaepPublicEncryptingKey::new(private.public_key())?;
    let mut ciphertext = vec![0; public.ciphertext_size()];
    let length = public.encrypt(&OAEP_SHA256_MGF1SHA256, &MESSAGE, &mut ciphertext, None)?.len();
    ciphertext.truncate(length);
    let prepared = Prepared { secret: Secret::Pair(pkcs8), result: ciphertext.clone() };
    let private = OaepPrivateDecryptingKey::new(private)?;
    let call = move || {
        let mut plaintext = vec![0; private.min_output_size()];
        private.decrypt(&OAEP_SHA256_MGF1SHA256, &ciphertext, &mut plaintext, None).is_ok()
    };
    Ok((prepared, Box::new(call)))
}

fn p256(action: Action) -> Result<(Prepared, Call), BenchError> {
    let pair = EcdsaKeyPair::generate(&signature::ECDSA_P256_SHA256_ASN1_SIGNING)?;
    let pkcs8 = pair.to_pkcs8v1()?.as_ref().to_vec();
    let sign = |pair: &EcdsaKeyPair| Ok(pair.sign(&SystemRandom::new(), &MESSAGE)?.as_ref().to_vec());
    let spki: PublicKeyX509Der<'static> = pair.public_key().as_der()?;
    signing(action, pkcs8, pair, sign, &signature::ECDSA_P256_SHA256_ASN1, spki.as_ref())
}

fn ed25519(action: Action) -> Result<(Prepared, Call), BenchError> {
    let pair = Ed25519KeyPair::generate()?;
    let pkcs8 = pair.to_pkcs8v1()?.as_ref().to_vec();
    let sign = |pair: &Ed25519KeyPair| Ok(pair.sign(&MESSAGE).as_ref().to_vec());
    let spki: PublicKeyX509Der<'static> = pair.public_key().as_der()?;
    signing(action, pkcs8, pair, sign, &signature::ED25519, spki.as_ref())
}

fn ml_dsa_65(action: Action) -> Result<(Prepared, Call), BenchError> {
    let pair = PqdsaKeyPair::generate(&signature::ML_DSA_65_SIGNING)?;
    let pkcs8 = pair.to_pkcs8v1()?.as_ref().to_vec();
    let sign = |pair: &PqdsaKeyPair| {
        let mut bytes = vec![0; pair.algorithm().signature_len()];
        pair.sign(&MESSAGE, &mut bytes).map(|_| bytes)
    };
    let spki: PublicKeyX509Der<'static> = pair.public_key().as_der()?;
    signing(action, pkcs8, pair, sign, &signature::ML_DSA_65, spki.as_ref())
}

/// What all pairs that sign have in common: one signature made ahead, then either the one call or the other.
fn signing<P: Send + Sync + 'static>(
    action: Action,
    pkcs8: Vec<u8>,
    pair: P,
    sign: impl Fn(&P) -> Result<Vec<u8>, aws_lc_rs::error::Unspecified> + Send + Sync + 'static,
    algorithm: &'static dyn signature::VerificationAlgorithm,
    spki: &[u8],
) -> Result<(Prepared, Call), BenchError> {
    let signed = sign(&pair)?;
    let prepared = Prepared { secret: Secret::Pair(pkcs8), result: signed.clone() };
    let call: Call = match action {
        Action::Verify => {
            let public = ParsedPublicKey::new(algorithm, spki)?;
            Box::new(move || public.verify_sig(&MESSAGE, &signed).is_ok())
        }
        _ => Box::new(move || sign(&pair).is_ok()),
    };
    Ok((prepared, call))
}

fn hmac_256(action: Action) -> Result<(Prepared, Call), BenchError> {
    let mut secret = [0; 32];
    fill(&mut secret)?;
    let key = hmac::Key::new(hmac::HMAC_SHA256, &secret);
    let mac = hmac::sign(&key, &MESSAGE).as_ref().to_vec();
    let prepared = Prepared { secret: Secret::Mac(secret), result: mac.clone() };
    let call: Call = match action {
        Action::VerifyMac => Box::new(move || hmac::verify(&key, &MESSAGE, &mac).is_ok()),
        _ => Box::new(move || hmac::sign(&key, &MESSAGE).as_ref().to_vec().len() == mac.len()),
    };
    Ok((prepared, call))
}

#[cfg(test)]
mod tests {
    #![expect(clippy::unwrap_used, reason = "tests")]

    use super::{Work, prepare};

    #[test]
    fn every_work_succeeds() {
        for work in Work::all() {
            let (_, call) = prepare(work).unwrap();
            assert!(call() && call(), "{work}");
        }
    }
}

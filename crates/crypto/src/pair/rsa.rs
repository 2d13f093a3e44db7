//! RSA: signatures and OAEP.

use std::sync::OnceLock;

use aws_lc_rs::encoding::{AsDer, Pkcs8V1Der, PublicKeyX509Der};
use aws_lc_rs::rand::SystemRandom;
use aws_lc_rs::rsa::{
    KeyPair, KeySize, OAEP_SHA1_MGF1SHA1, OAEP_SHA256_MGF1SHA256, OaepAlgorithm, OaepPrivateDecryptingKey,
    OaepPublicEncryptingKey, PrivateDecryptingKey, PublicEncryptingKey,
};
use aws_lc_rs::signature::{
    KeyPair as _, ParsedPublicKey, RSA_PKCS1_2048_8192_SHA256, RSA_PKCS1_2048_8192_SHA384, RSA_PKCS1_2048_8192_SHA512,
    RSA_PKCS1_SHA256, RSA_PKCS1_SHA384, RSA_PKCS1_SHA512, RSA_PSS_2048_8192_SHA256, RSA_PSS_2048_8192_SHA384,
    RSA_PSS_2048_8192_SHA512, RSA_PSS_SHA256, RSA_PSS_SHA384, RSA_PSS_SHA512, RsaEncoding, RsaParameters,
};
use claviger_secret::SecretBytes;

use super::{Hashed, KeyUseError, OaepHash, ShaLength, SignatureScheme, der, keep};
use crate::CryptoError;
use crate::error::library_failed;

/// How long the modulus is.
#[derive(Clone, Copy, PartialEq, Eq)]
pub(super) enum Size {
    Bits2048,
    Bits3072,
    Bits4096,
}

impl Size {
    const fn bits(self) -> usize {
        match self {
            Self::Bits2048 => 2048,
            Self::Bits3072 => 3072,
            Self::Bits4096 => 4096,
        }
    }
}

pub(super) fn generate(size: Size) -> Result<SecretBytes, CryptoError> {
    let size = match size {
        Size::Bits2048 => KeySize::Rsa2048,
        Size::Bits3072 => KeySize::Rsa3072,
        Size::Bits4096 => KeySize::Rsa4096,
    };
    encoded(&KeyPair::generate(size).map_err(library_failed)?).map_err(|_| CryptoError::LibraryFailed)
}

/// PKCS#8 as the library writes it. The order of the primes is the input's: a key with its primes exchanged counts
/// as another key.
pub(super) fn canonical(pkcs8: &[u8]) -> Result<SecretBytes, KeyUseError> {
    if !der::is_one_sequence(pkcs8) {
        return Err(KeyUseError::InvalidPrivateKey);
    }
    encoded(&KeyPair::from_pkcs8(pkcs8).map_err(|_| KeyUseError::InvalidPrivateKey)?)
}

fn encoded(pair: &KeyPair) -> Result<SecretBytes, KeyUseError> {
    let pkcs8: Pkcs8V1Der<'_> = pair.as_der().map_err(|_| KeyUseError::Library)?;
    Ok(SecretBytes::from_slice(pkcs8.as_ref()))
}

pub(super) struct Private {
    signing: KeyPair,
    /// The library has a type of its own for it; parsing costs as much as a decryption, so only keys that decrypt do.
    decrypting: OnceLock<OaepPrivateDecryptingKey>,
}

impl Private {
    /// The key and its SubjectPublicKeyInfo.
    pub(super) fn load(pkcs8: &[u8]) -> Result<(Self, Vec<u8>), KeyUseError> {
        let signing = KeyPair::from_pkcs8(pkcs8).map_err(|_| KeyUseError::InvalidPrivateKey)?;
        let spki: PublicKeyX509Der<'_> = signing.public_key().as_der().map_err(|_| KeyUseError::Library)?;
        let spki = spki.as_ref().to_vec();
        Ok((Self { signing, decrypting: OnceLock::new() }, spki))
    }

    pub(super) fn sign(&self, scheme: SignatureScheme, message: &Hashed<'_>) -> Result<Vec<u8>, KeyUseError> {
        let (encoding, _, _) = algorithms(scheme)?;
        let mut signature = vec![0; self.signing.public_modulus_len()];
        let signed = match message {
            Hashed::Message(message) => self.signing.sign(encoding, &SystemRandom::new(), message, &mut signature),
            Hashed::Digest(digest) => self.signing.sign_digest(encoding, digest, &mut signature),
        };
        signed.map(|()| signature).map_err(|_| KeyUseError::Library)
    }

    /// Every failure is the same, and the library takes the same time for each kind of bad padding.
    pub(super) fn decrypt(&self, pkcs8: &[u8], hash: OaepHash, ciphertext: &[u8]) -> Result<SecretBytes, KeyUseError> {
        let key = keep(&self.decrypting, || {
            let key = PrivateDecryptingKey::from_pkcs8(pkcs8).map_err(|_| KeyUseError::Library)?;
            OaepPrivateDecryptingKey::new(key).map_err(|_| KeyUseError::Library)
        })?;
        // RFC 8017, section 7.1.2. The library holds to it as well; so it stays if that ever changes.
        if ciphertext.len() != key.key_size_bytes() {
            return Err(KeyUseError::InvalidCiphertext);
        }
        let mut buffer = SecretBytes::zeroed(key.min_output_size());
        let plaintext = key.decrypt(oaep(hash), ciphertext, buffer.expose_mut(), None);
        plaintext.map(|plaintext| SecretBytes::from_slice(plaintext)).map_err(|_| KeyUseError::InvalidCiphertext)
    }
}

pub(super) struct Public {
    encrypting: OaepPublicEncryptingKey,
    /// One for each signature scheme, as the library binds a parsed key to its algorithm.
    verifying: [OnceLock<ParsedPublicKey>; 6],
}

impl Public {
    pub(super) fn parse(size: Size, spki: &[u8]) -> Result<Self, KeyUseError> {
        let key = PublicEncryptingKey::from_der(spki).map_err(|_| KeyUseError::InvalidPublicKey)?;
        let canonical: PublicKeyX509Der<'_> = key.as_der().map_err(|_| KeyUseError::InvalidPublicKey)?;
        if key.key_size_bits() != size.bits() || canonical.as_ref() != spki {
            return Err(KeyUseError::InvalidPublicKey);
        }
        let encrypting = OaepPublicEncryptingKey::new(key).map_err(|_| KeyUseError::Library)?;
        Ok(Self { encrypting, verifying: [const { OnceLock::new() }; 6] })
    }

    pub(super) fn verify(
        &self,
        spki: &[u8],
        scheme: SignatureScheme,
        message: &Hashed<'_>,
        signature: &[u8],
    ) -> Result<bool, KeyUseError> {
        let (_, algorithm, index) = algorithms(scheme)?;
        let cell = self.verifying.get(index).ok_or(KeyUseError::Library)?;
        let key = keep(cell, || ParsedPublicKey::new(algorithm, spki).map_err(|_| KeyUseError::Library))?;
        Ok(message.verify(key, signature))
    }

    pub(super) fn encrypt(&self, hash: OaepHash, plaintext: &[u8]) -> Result<Vec<u8>, KeyUseError> {
        let algorithm = oaep(hash);
        if plaintext.len() > self.encrypting.max_plaintext_size(algorithm) {
            return Err(KeyUseError::MessageTooLong);
        }
        let mut ciphertext = vec![0; self.encrypting.ciphertext_size()];
        let encrypted = self.encrypting.encrypt(algorithm, plaintext, &mut ciphertext, None);
        encrypted.map(|ciphertext| ciphertext.to_vec()).map_err(|_| KeyUseError::Library)
    }
}

/// What signs, what verifies, and the place of the parsed key. A PSS salt is as long as the digest in all of them.
fn algorithms(
    scheme: SignatureScheme,
) -> Result<(&'static dyn RsaEncoding, &'static RsaParameters, usize), KeyUseError> {
    Ok(match scheme {
        SignatureScheme::RsaPss(ShaLength::Sha256) => (&RSA_PSS_SHA256, &RSA_PSS_2048_8192_SHA256, 0),
        SignatureScheme::RsaPss(ShaLength::Sha384) => (&RSA_PSS_SHA384, &RSA_PSS_2048_8192_SHA384, 1),
        SignatureScheme::RsaPss(ShaLength::Sha512) => (&RSA_PSS_SHA512, &RSA_PSS_2048_8192_SHA512, 2),
        SignatureScheme::RsaPkcs1(ShaLength::Sha256) => (&RSA_PKCS1_SHA256, &RSA_PKCS1_2048_8192_SHA256, 3),
        SignatureScheme::RsaPkcs1(ShaLength::Sha384) => (&RSA_PKCS1_SHA384, &RSA_PKCS1_2048_8192_SHA384, 4),
        SignatureScheme::RsaPkcs1(ShaLength::Sha512) => (&RSA_PKCS1_SHA512, &RSA_PKCS1_2048_8192_SHA512, 5),
        SignatureScheme::Ecdsa(_) | SignatureScheme::Ed25519 | SignatureScheme::Ed25519ph | SignatureScheme::MlDsa => {
            return Err(KeyUseError::NotThisKey);
        }
    })
}

const fn oaep(hash: OaepHash) -> &'static OaepAlgorithm {
    match hash {
        OaepHash::Sha1 => &OAEP_SHA1_MGF1SHA1,
        OaepHash::Sha256 => &OAEP_SHA256_MGF1SHA256,
    }
}

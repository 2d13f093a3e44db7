//! Key pairs: RSA, ECDSA and ECDH, Ed25519, ML-DSA, ML-KEM.
//!
//! Loading a key costs more than using it, so what the library parsed is kept beside the bytes: at once where every
//! use needs it, otherwise at the first use that does.

mod der;
mod ec;
mod ed25519;
mod ml_dsa;
mod ml_kem;
mod rsa;
#[cfg(test)]
mod tests;

use std::sync::OnceLock;

use aws_lc_rs::digest::{self, Digest};
use aws_lc_rs::signature::ParsedPublicKey;
use claviger_crypto_ffi::{ml_dsa as ml_dsa_ffi, ml_kem as ml_kem_ffi};
use claviger_secret::{LogSafe, SecretBytes};

use crate::material::material_id;
use crate::{CryptoError, KeyId, MaterialId, PairSpec, random};

/// How to sign: AWS's `SigningAlgorithmSpec`, the curve and the parameter set being those of the key.
#[derive(Clone, Copy, Debug, PartialEq, Eq, Hash)]
pub enum SignatureScheme {
    /// `RSASSA_PSS_*` (RFC 8017): MGF1 with the same hash, a salt as long as the hash.
    RsaPss(ShaLength),
    /// `RSASSA_PKCS1_V1_5_*` (RFC 8017).
    RsaPkcs1(ShaLength),
    /// `ECDSA_*` (FIPS 186-5). The hash must be the one of the curve: SHA-256 for P-256 and secp256k1, SHA-384 for
    /// P-384, SHA-512 for P-521. Signatures are DER `Ecdsa-Sig-Value` (RFC 3279).
    Ecdsa(ShaLength),
    /// `ED25519_SHA_512`: Ed25519 of RFC 8032 over the raw message.
    Ed25519,
    /// `ED25519_PH_SHA_512`: Ed25519ph of RFC 8032 with an empty context, over a digest of 64 bytes. AWS KMS hashes
    /// the digest once more, as Ed25519ph hashes its message, and so does this.
    Ed25519ph,
    /// `ML_DSA_SHAKE_256`: ML-DSA of FIPS 204, hedged, with an empty context.
    MlDsa,
}

/// Which SHA-2 hash function (FIPS 180-4).
#[derive(Clone, Copy, Debug, PartialEq, Eq, Hash)]
pub enum ShaLength {
    /// SHA-256.
    Sha256,
    /// SHA-384.
    Sha384,
    /// SHA-512.
    Sha512,
}

/// The hash function of RSAES-OAEP and of its MGF1 (RFC 8017); the label is empty.
#[derive(Clone, Copy, Debug, PartialEq, Eq, Hash)]
pub enum OaepHash {
    /// `RSAES_OAEP_SHA_1`.
    Sha1,
    /// `RSAES_OAEP_SHA_256`.
    Sha256,
}

/// What is signed: AWS's `MessageType`.
#[derive(Clone, Copy, Debug)]
pub enum Message<'message> {
    /// The message itself.
    Raw(&'message [u8]),
    /// Its digest, by the hash function of the scheme.
    Digest(&'message [u8]),
    /// ML-DSA's representative of the message, 64 bytes (mu in FIPS 204, algorithm 7).
    ExternalMu(&'message [u8]),
}

/// Why a key was not used, or not successfully. Never holds input.
#[derive(Clone, Copy, Debug, PartialEq, Eq, thiserror::Error)]
pub enum KeyUseError {
    /// The scheme or the form of the message does not fit the key.
    #[error("the key cannot be used so")]
    NotThisKey,
    /// The digest, or mu, has another length than the scheme's.
    #[error("the digest has the wrong length")]
    DigestLength,
    /// The plaintext is longer than OAEP takes with this key.
    #[error("the plaintext is too long for the key")]
    MessageTooLong,
    /// The ciphertext does not decrypt. One answer for every cause, as telling them apart would help an attacker.
    #[error("the ciphertext does not decrypt")]
    InvalidCiphertext,
    /// Not the canonical DER SubjectPublicKeyInfo of a public key of this kind.
    #[error("not a valid public key of this kind")]
    InvalidPublicKey,
    /// Not the PKCS#8 of a private key of this kind, or its parts contradict each other.
    #[error("not a valid private key of this kind")]
    InvalidPrivateKey,
    /// The library refused an operation that cannot fail on these inputs.
    #[error("the cryptographic library failed")]
    Library,
}

impl LogSafe for KeyUseError {}

/// Which implementation a kind of pair has, with its parameter.
#[derive(Clone, Copy)]
enum Family {
    Rsa(rsa::Size),
    Ec(ec::Curve),
    Ed25519,
    MlDsa(ml_dsa_ffi::ParameterSet),
    MlKem(ml_kem_ffi::ParameterSet),
}

impl Family {
    const fn of(spec: PairSpec) -> Self {
        match spec {
            PairSpec::Rsa2048 => Self::Rsa(rsa::Size::Bits2048),
            PairSpec::Rsa3072 => Self::Rsa(rsa::Size::Bits3072),
            PairSpec::Rsa4096 => Self::Rsa(rsa::Size::Bits4096),
            PairSpec::P256 => Self::Ec(ec::Curve::P256),
            PairSpec::P384 => Self::Ec(ec::Curve::P384),
            PairSpec::P521 => Self::Ec(ec::Curve::P521),
            PairSpec::Secp256k1 => Self::Ec(ec::Curve::Secp256k1),
            PairSpec::Ed25519 => Self::Ed25519,
            PairSpec::MlDsa44 => Self::MlDsa(ml_dsa_ffi::ParameterSet::MlDsa44),
            PairSpec::MlDsa65 => Self::MlDsa(ml_dsa_ffi::ParameterSet::MlDsa65),
            PairSpec::MlDsa87 => Self::MlDsa(ml_dsa_ffi::ParameterSet::MlDsa87),
            PairSpec::MlKem512 => Self::MlKem(ml_kem_ffi::ParameterSet::MlKem512),
            PairSpec::MlKem768 => Self::MlKem(ml_kem_ffi::ParameterSet::MlKem768),
            PairSpec::MlKem1024 => Self::MlKem(ml_kem_ffi::ParameterSet::MlKem1024),
        }
    }
}

/// A public key of a known kind.
pub struct PublicKey {
    spec: PairSpec,
    spki: Vec<u8>,
    key: Public,
}

enum Public {
    // Boxed, as it is far larger than the others.
    Rsa(Box<rsa::Public>),
    Ec(ec::Curve, ec::Public),
    Ed25519(ed25519::Public),
    MlDsa(ml_dsa::Public),
    MlKem(ml_kem::Public),
}

impl PublicKey {
    /// Reads a DER SubjectPublicKeyInfo (RFC 5280) in its one canonical form: a named curve, an uncompressed point.
    ///
    /// # Errors
    /// [`KeyUseError::InvalidPublicKey`] for every other form, another kind of key, a point that is not on the curve.
    pub fn from_spki(spec: PairSpec, spki: &[u8]) -> Result<Self, KeyUseError> {
        let key = match Family::of(spec) {
            Family::Rsa(size) => Public::Rsa(Box::new(rsa::Public::parse(size, spki)?)),
            Family::Ec(curve) => Public::Ec(curve, ec::Public::parse(curve, spki)?),
            Family::Ed25519 => Public::Ed25519(ed25519::Public::parse(spki)?),
            Family::MlDsa(set) => Public::MlDsa(ml_dsa::Public::parse(set, spki)?),
            Family::MlKem(set) => Public::MlKem(ml_kem::Public::parse(set, spki)?),
        };
        Ok(Self { spec, spki: spki.to_vec(), key })
    }

    /// What it is.
    #[must_use]
    pub const fn spec(&self) -> PairSpec {
        self.spec
    }

    /// DER SubjectPublicKeyInfo.
    #[must_use]
    pub fn as_spki(&self) -> &[u8] {
        &self.spki
    }

    /// Whether `signature` is one of the message by the owner of this key. False for any bytes that are not.
    ///
    /// # Errors
    /// [`KeyUseError::NotThisKey`], [`KeyUseError::DigestLength`], [`KeyUseError::Library`].
    pub fn verify(&self, scheme: SignatureScheme, message: Message<'_>, signature: &[u8]) -> Result<bool, KeyUseError> {
        match &self.key {
            Public::Rsa(key) => key.verify(&self.spki, scheme, &Hashed::rsa(scheme, message)?, signature),
            Public::Ec(curve, key) => Ok(key.verify(&Hashed::ecdsa(*curve, scheme, message)?, signature)),
            Public::Ed25519(key) => key.verify(scheme, message, signature),
            Public::MlDsa(key) => key.verify(&self.spki, scheme, message, signature),
            Public::MlKem(_) => Err(KeyUseError::NotThisKey),
        }
    }

    /// Encrypts by RSAES-OAEP; the ciphertext is as long as the modulus.
    ///
    /// # Errors
    /// [`KeyUseError::NotThisKey`] unless it is an RSA key; [`KeyUseError::MessageTooLong`]; [`KeyUseError::Library`].
    pub fn encrypt(&self, hash: OaepHash, plaintext: &[u8]) -> Result<Vec<u8>, KeyUseError> {
        match &self.key {
            Public::Rsa(key) => key.encrypt(hash, plaintext),
            Public::Ec(..) | Public::Ed25519(_) | Public::MlDsa(_) | Public::MlKem(_) => Err(KeyUseError::NotThisKey),
        }
    }

    /// A new shared secret of 32 bytes and its ciphertext for this key, by ML-KEM (FIPS 203).
    ///
    /// # Errors
    /// [`KeyUseError::NotThisKey`] unless it is an ML-KEM key; [`KeyUseError::Library`].
    pub fn encapsulate(&self) -> Result<(Vec<u8>, SecretBytes), KeyUseError> {
        match &self.key {
            Public::MlKem(key) => key.encapsulate(),
            Public::Rsa(_) | Public::Ec(..) | Public::Ed25519(_) | Public::MlDsa(_) => Err(KeyUseError::NotThisKey),
        }
    }
}

/// One key pair as the material of one KMS key. The private key acts and does not show itself: its bytes leave only
/// wrapped by the domain keys ([`crate::KeyMaterial::wrap`]).
pub struct PairMaterial {
    key_id: KeyId,
    material_id: MaterialId,
    /// RSA and curves but Ed25519: PKCS#8 version 1 as the library writes it. Ed25519, ML-DSA, ML-KEM: the seed.
    secret: SecretBytes,
    private: Private,
    public: PublicKey,
}

enum Private {
    Rsa(rsa::Private),
    Ec(ec::Private),
    Ed25519(ed25519::Private),
    MlDsa(ml_dsa::Private),
    MlKem(ml_kem::Private),
}

impl Private {
    /// The key of its secret bytes, and its SubjectPublicKeyInfo.
    fn load(spec: PairSpec, secret: &[u8]) -> Result<(Self, Vec<u8>), KeyUseError> {
        Ok(match Family::of(spec) {
            Family::Rsa(_) => {
                let (key, spki) = rsa::Private::load(secret)?;
                (Self::Rsa(key), spki)
            }
            Family::Ec(curve) => {
                let (key, spki) = ec::Private::load(curve, secret)?;
                (Self::Ec(key), spki)
            }
            Family::Ed25519 => {
                let (key, spki) = ed25519::Private::load(secret)?;
                (Self::Ed25519(key), spki)
            }
            Family::MlDsa(set) => {
                let (key, spki) = ml_dsa::Private::load(set, secret)?;
                (Self::MlDsa(key), spki)
            }
            Family::MlKem(set) => {
                let (key, spki) = ml_kem::Private::load(set, secret)?;
                (Self::MlKem(key), spki)
            }
        })
    }
}

impl PairMaterial {
    /// A new random pair for a key. RSA takes 30 to 1200 milliseconds, everything else less than one.
    ///
    /// # Errors
    /// [`CryptoError::RandomFailed`] or [`CryptoError::LibraryFailed`].
    pub fn generate(key_id: KeyId, spec: PairSpec) -> Result<Self, CryptoError> {
        Self::load(key_id, spec, generate(spec)?).map_err(|_| CryptoError::LibraryFailed)
    }

    /// A pair from outside: a seed file, or imported. The same key under the same KMS key has the same id, however it
    /// was encoded.
    ///
    /// `pkcs8` is DER PKCS#8, version 1 or 2 (RFC 5208, RFC 5958); ML-DSA and ML-KEM in the form that holds the seed
    /// alone (RFC 9881, RFC 9935).
    ///
    /// # Errors
    /// [`KeyUseError::InvalidPrivateKey`] for another kind of key, for parts that contradict each other and for
    /// bytes after the end; [`KeyUseError::Library`].
    pub fn from_private_key(key_id: KeyId, spec: PairSpec, pkcs8: &[u8]) -> Result<Self, KeyUseError> {
        let secret = match Family::of(spec) {
            Family::Rsa(_) => rsa::canonical(pkcs8)?,
            Family::Ec(curve) => ec::canonical(curve, pkcs8)?,
            Family::Ed25519 => ed25519::canonical(pkcs8)?,
            Family::MlDsa(_) | Family::MlKem(_) => {
                let seed = der::seed(spec).and_then(|shape| shape.strip(pkcs8));
                SecretBytes::from_slice(seed.ok_or(KeyUseError::InvalidPrivateKey)?)
            }
        };
        Self::load(key_id, spec, secret)
    }

    /// A pair as it was wrapped.
    pub(crate) fn from_secret(key_id: KeyId, spec: PairSpec, secret: SecretBytes) -> Result<Self, CryptoError> {
        Self::load(key_id, spec, secret).map_err(|_| CryptoError::Malformed)
    }

    fn load(key_id: KeyId, spec: PairSpec, secret: SecretBytes) -> Result<Self, KeyUseError> {
        let bytes = secret.expose();
        let (private, spki) = Private::load(spec, bytes)?;
        let material_id = material_id(key_id, bytes).map_err(|_| KeyUseError::Library)?;
        // The public half refuses what is of another size than the private one was asked for.
        let public = PublicKey::from_spki(spec, &spki).map_err(|_| KeyUseError::InvalidPrivateKey)?;
        Ok(Self { key_id, material_id, secret, private, public })
    }

    /// The key that it belongs to.
    #[must_use]
    pub const fn key_id(&self) -> KeyId {
        self.key_id
    }

    /// `SP800-108(secret bytes, "claviger material id v1", key id)`: says nothing about the private key.
    #[must_use]
    pub const fn material_id(&self) -> MaterialId {
        self.material_id
    }

    /// What it is.
    #[must_use]
    pub const fn spec(&self) -> PairSpec {
        self.public.spec()
    }

    /// The public key: DER SubjectPublicKeyInfo (RFC 5280).
    #[must_use]
    pub fn public_key(&self) -> &[u8] {
        self.public.as_spki()
    }

    /// Signs a message.
    ///
    /// # Errors
    /// [`KeyUseError::NotThisKey`], [`KeyUseError::DigestLength`], [`KeyUseError::Library`].
    pub fn sign(&self, scheme: SignatureScheme, message: Message<'_>) -> Result<Vec<u8>, KeyUseError> {
        match (&self.private, Family::of(self.spec())) {
            (Private::Rsa(key), _) => key.sign(scheme, &Hashed::rsa(scheme, message)?),
            (Private::Ec(key), Family::Ec(curve)) => key.sign(&Hashed::ecdsa(curve, scheme, message)?),
            (Private::Ed25519(key), _) => key.sign(self.secret(), scheme, message),
            (Private::MlDsa(key), _) => key.sign(self.secret(), scheme, message),
            (Private::MlKem(_) | Private::Ec(_), _) => Err(KeyUseError::NotThisKey),
        }
    }

    /// Whether `signature` is one of the message by this key. False for any bytes that are not.
    ///
    /// # Errors
    /// As [`PublicKey::verify`].
    pub fn verify(&self, scheme: SignatureScheme, message: Message<'_>, signature: &[u8]) -> Result<bool, KeyUseError> {
        self.public.verify(scheme, message, signature)
    }

    /// Encrypts by RSAES-OAEP; the ciphertext is as long as the modulus.
    ///
    /// # Errors
    /// As [`PublicKey::encrypt`].
    pub fn encrypt(&self, hash: OaepHash, plaintext: &[u8]) -> Result<Vec<u8>, KeyUseError> {
        self.public.encrypt(hash, plaintext)
    }

    /// Decrypts what [`PairMaterial::encrypt`] encrypted.
    ///
    /// # Errors
    /// [`KeyUseError::NotThisKey`] unless it is an RSA key; [`KeyUseError::InvalidCiphertext`] for every failure else.
    pub fn decrypt(&self, hash: OaepHash, ciphertext: &[u8]) -> Result<SecretBytes, KeyUseError> {
        match &self.private {
            Private::Rsa(key) => key.decrypt(self.secret(), hash, ciphertext),
            Private::Ec(_) | Private::Ed25519(_) | Private::MlDsa(_) | Private::MlKem(_) => {
                Err(KeyUseError::NotThisKey)
            }
        }
    }

    /// The shared secret with another's public key by ECDH (SP 800-56A, cofactor 1): the x coordinate, as long as the
    /// curve's field: 32, 48 or 66 bytes.
    ///
    /// # Errors
    /// [`KeyUseError::NotThisKey`] unless the key is on a NIST curve; [`KeyUseError::InvalidPublicKey`] unless
    /// `peer_spki` is the canonical SubjectPublicKeyInfo of a point on that curve; [`KeyUseError::Library`].
    pub fn agree(&self, peer_spki: &[u8]) -> Result<SecretBytes, KeyUseError> {
        match &self.private {
            Private::Ec(key) => key.agree(self.secret(), peer_spki),
            Private::Rsa(_) | Private::Ed25519(_) | Private::MlDsa(_) | Private::MlKem(_) => {
                Err(KeyUseError::NotThisKey)
            }
        }
    }

    /// A new shared secret of 32 bytes and its ciphertext for this key, by ML-KEM (FIPS 203).
    ///
    /// # Errors
    /// As [`PublicKey::encapsulate`].
    pub fn encapsulate(&self) -> Result<(Vec<u8>, SecretBytes), KeyUseError> {
        self.public.encapsulate()
    }

    /// The shared secret of a ciphertext. One that this key's [`PairMaterial::encapsulate`] did not make gives
    /// another secret and no error (FIPS 203's implicit rejection).
    ///
    /// # Errors
    /// [`KeyUseError::NotThisKey`] unless it is an ML-KEM key; [`KeyUseError::InvalidCiphertext`] for another length.
    pub fn decapsulate(&self, ciphertext: &[u8]) -> Result<SecretBytes, KeyUseError> {
        match &self.private {
            Private::MlKem(key) => key.decapsulate(ciphertext),
            Private::Rsa(_) | Private::Ec(_) | Private::Ed25519(_) | Private::MlDsa(_) => Err(KeyUseError::NotThisKey),
        }
    }

    pub(crate) fn secret(&self) -> &[u8] {
        self.secret.expose()
    }
}

/// A new private key as the bytes that are wrapped.
fn generate(spec: PairSpec) -> Result<SecretBytes, CryptoError> {
    let length = match Family::of(spec) {
        Family::Rsa(size) => return rsa::generate(size),
        Family::Ec(curve) => return ec::generate(curve),
        Family::Ed25519 | Family::MlDsa(_) => 32,
        Family::MlKem(_) => 64,
    };
    let mut seed = SecretBytes::zeroed(length);
    random::fill(seed.expose_mut())?;
    Ok(seed)
}

/// A new pair that belongs to no KMS key: the public key as SubjectPublicKeyInfo, the private one as PKCS#8.
pub(crate) fn generate_for_caller(spec: PairSpec) -> Result<(Vec<u8>, SecretBytes), CryptoError> {
    let secret = generate(spec)?;
    let bytes = secret.expose();
    let (_, public) = Private::load(spec, bytes).map_err(|_| CryptoError::LibraryFailed)?;
    match der::seed(spec) {
        Some(shape) => Ok((public, shape.encode_secret(bytes))),
        None => Ok((public, secret)),
    }
}

/// A message for a scheme that hashes it, or its digest of the right length.
enum Hashed<'message> {
    Message(&'message [u8]),
    Digest(Digest),
}

impl<'message> Hashed<'message> {
    fn rsa(scheme: SignatureScheme, message: Message<'message>) -> Result<Self, KeyUseError> {
        match scheme {
            SignatureScheme::RsaPss(hash) | SignatureScheme::RsaPkcs1(hash) => Self::new(hash, message),
            SignatureScheme::Ecdsa(_)
            | SignatureScheme::Ed25519
            | SignatureScheme::Ed25519ph
            | SignatureScheme::MlDsa => Err(KeyUseError::NotThisKey),
        }
    }

    fn ecdsa(curve: ec::Curve, scheme: SignatureScheme, message: Message<'message>) -> Result<Self, KeyUseError> {
        match scheme {
            SignatureScheme::Ecdsa(hash) if hash == curve.hash() => Self::new(hash, message),
            _ => Err(KeyUseError::NotThisKey),
        }
    }

    fn new(hash: ShaLength, message: Message<'message>) -> Result<Self, KeyUseError> {
        let algorithm = match hash {
            ShaLength::Sha256 => &digest::SHA256,
            ShaLength::Sha384 => &digest::SHA384,
            ShaLength::Sha512 => &digest::SHA512,
        };
        match message {
            Message::Raw(message) => Ok(Self::Message(message)),
            Message::Digest(bytes) => {
                // It refuses another length, and nothing else.
                Digest::import_less_safe(bytes, algorithm).map(Self::Digest).map_err(|_| KeyUseError::DigestLength)
            }
            Message::ExternalMu(_) => Err(KeyUseError::NotThisKey),
        }
    }

    fn verify(&self, key: &ParsedPublicKey, signature: &[u8]) -> bool {
        match self {
            Self::Message(message) => key.verify_sig(message, signature).is_ok(),
            Self::Digest(digest) => key.verify_digest_sig(digest, signature).is_ok(),
        }
    }
}

/// What the cell holds, made now if it is empty. Two threads may make it at once; one of the two is kept.
fn keep<T>(cell: &OnceLock<T>, make: impl FnOnce() -> Result<T, KeyUseError>) -> Result<&T, KeyUseError> {
    match cell.get() {
        Some(value) => Ok(value),
        None => {
            let value = make()?;
            Ok(cell.get_or_init(|| value))
        }
    }
}

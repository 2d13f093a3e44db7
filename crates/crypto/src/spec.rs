//! What kinds of key material there are.

use claviger_secret::LogSafe;
use std::fmt;

/// What key material is: AWS's `KeySpec` without the usage. RSA and NIST curve keys serve more than one usage; which
/// one a KMS key has is decided above this crate.
#[derive(Clone, Copy, Debug, PartialEq, Eq, Hash)]
pub enum MaterialSpec {
    /// `SYMMETRIC_DEFAULT`: 256 bits for AES-256-GCM.
    Symmetric,
    /// `HMAC_*`.
    Mac(MacSpec),
    /// `RSA_*`, `ECC_*`, `ML_DSA_*`, `ML_KEM_*`: a private key and its public key.
    Pair(PairSpec),
}

macro_rules! specs {
    ($(#[$of:meta])* $name:ident { $($(#[$doc:meta])* $variant:ident = $code:literal, $text:literal;)+ }) => {
        $(#[$of])*
        #[derive(Clone, Copy, Debug, PartialEq, Eq, Hash)]
        pub enum $name { $($(#[$doc])* $variant),+ }

        impl $name {
            /// Every one, in the order of their numbers in wrapped key material.
            pub const ALL: &[Self] = &[$(Self::$variant),+];

            /// The number in wrapped key material; it never changes (`docs/FORMATS.md`).
            pub(crate) const fn code(self) -> u8 {
                match self { $(Self::$variant => $code),+ }
            }

            pub(crate) const fn from_code(code: u8) -> Option<Self> {
                match code { $($code => Some(Self::$variant),)+ _ => None }
            }

            /// The name in AWS's `KeySpec`.
            #[must_use]
            pub const fn as_str(self) -> &'static str {
                match self { $(Self::$variant => $text),+ }
            }
        }

        impl fmt::Display for $name {
            fn fmt(&self, formatter: &mut fmt::Formatter<'_>) -> fmt::Result {
                formatter.write_str(self.as_str())
            }
        }

        impl LogSafe for $name {}
    };
}

specs! {
    /// HMAC keys (FIPS 198-1), named by their hash function.
    MacSpec {
        /// HMAC-SHA-224.
        Hmac224 = 1, "HMAC_224";
        /// HMAC-SHA-256.
        Hmac256 = 2, "HMAC_256";
        /// HMAC-SHA-384.
        Hmac384 = 3, "HMAC_384";
        /// HMAC-SHA-512.
        Hmac512 = 4, "HMAC_512";
    }
}

impl MacSpec {
    /// The length of the key and of the MAC in bytes, the same here: that of the hash.
    #[must_use]
    pub const fn bytes(self) -> usize {
        match self {
            Self::Hmac224 => 28,
            Self::Hmac256 => 32,
            Self::Hmac384 => 48,
            Self::Hmac512 => 64,
        }
    }
}

specs! {
    /// Key pairs, named by algorithm and size.
    PairSpec {
        /// RSA with a modulus of 2048 bits: signs, or decrypts.
        Rsa2048 = 1, "RSA_2048";
        /// RSA with a modulus of 3072 bits.
        Rsa3072 = 2, "RSA_3072";
        /// RSA with a modulus of 4096 bits.
        Rsa4096 = 3, "RSA_4096";
        /// The curve P-256 (secp256r1): signs by ECDSA, or agrees by ECDH.
        P256 = 4, "ECC_NIST_P256";
        /// The curve P-384 (secp384r1).
        P384 = 5, "ECC_NIST_P384";
        /// The curve P-521 (secp521r1).
        P521 = 6, "ECC_NIST_P521";
        /// The curve secp256k1, for ECDSA only.
        Secp256k1 = 7, "ECC_SECG_P256K1";
        /// Ed25519 (RFC 8032): signs, prehashed or not.
        Ed25519 = 8, "ECC_NIST_EDWARDS25519";
        /// ML-DSA-44 (FIPS 204).
        MlDsa44 = 9, "ML_DSA_44";
        /// ML-DSA-65.
        MlDsa65 = 10, "ML_DSA_65";
        /// ML-DSA-87.
        MlDsa87 = 11, "ML_DSA_87";
        /// ML-KEM-512 (FIPS 203): encapsulates.
        MlKem512 = 12, "ML_KEM_512";
        /// ML-KEM-768.
        MlKem768 = 13, "ML_KEM_768";
        /// ML-KEM-1024.
        MlKem1024 = 14, "ML_KEM_1024";
    }
}

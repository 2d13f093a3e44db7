#![expect(clippy::unwrap_used, reason = "tests")]

use std::ptr::null;

use zeroize::Zeroizing;

use super::{Failed, Key, ML_DSA_44, ML_KEM_512, ML_KEM_768, aws_lc, done, ed25519ph_verify, exactly};

impl Key {
    /// Encapsulation with given randomness (m of FIPS 203 algorithm 17), for known answers.
    pub(crate) fn encapsulate_from(
        &self,
        expected: usize,
        randomness: &[u8; 32],
    ) -> Result<(Vec<u8>, Zeroizing<[u8; 32]>), Failed> {
        let context = self.context()?;
        let mut ciphertext = vec![0; expected];
        let mut secret = Zeroizing::new([0; 32]);
        let (mut ciphertext_length, mut secret_length) = (ciphertext.len(), secret.len());
        let mut randomness_length = randomness.len();
        // SAFETY: the context is alive and so is its key; the function writes only if the first two lengths, which are
        // those of the two buffers, are enough, and reads the randomness only if its length is the algorithm's.
        done(unsafe {
            aws_lc::EVP_PKEY_encapsulate_deterministic(
                context.as_ptr(),
                ciphertext.as_mut_ptr(),
                &raw mut ciphertext_length,
                secret.as_mut_ptr(),
                &raw mut secret_length,
                randomness.as_ptr(),
                &raw mut randomness_length,
            )
        })?;
        exactly(ciphertext_length, expected)?;
        Ok((ciphertext, secret))
    }
}

/// The tests that are run with the feature `fips` speak of the FIPS module, and the others do not.
#[test]
fn the_feature_chooses_the_module() {
    // SAFETY: takes nothing and answers from a constant.
    let mode = unsafe { aws_lc::FIPS_mode() };
    assert_eq!(mode, i32::from(cfg!(feature = "fips")));
}

/// What the module's own service indicator says of each use of a key. docs/FIPS.md has the result in words; keys are
/// made from given seeds, which is no service that the module counts.
#[cfg(feature = "fips")]
#[test]
fn the_module_approves_every_use_of_a_key() {
    use super::ed25519ph_sign;
    let services = |service: &dyn Fn() -> bool| {
        // SAFETY: takes nothing and reads a counter of the calling thread.
        let before = unsafe { aws_lc::FIPS_service_indicator_before_call() };
        assert!(service());
        // SAFETY: as before.
        let after = unsafe { aws_lc::FIPS_service_indicator_after_call() };
        after - before
    };
    let signer = Key::ml_dsa_from_seed(ML_DSA_44, &[7; 32]).unwrap();
    let public = Key::ml_dsa_public(ML_DSA_44, &signer.public_bytes(1312).unwrap()).unwrap();
    let signature = signer.sign(&[1; 64], 2420).unwrap();
    assert_eq!(services(&|| signer.sign(&[1; 64], 2420).is_ok()), 1);
    assert_eq!(services(&|| public.verify(&[1; 64], &signature)), 1);
    assert_eq!(services(&|| !public.verify(&[2; 64], &signature)), 0);
    let receiver = Key::ml_kem_from_seed(ML_KEM_768, &[7; 64]).unwrap();
    let (ciphertext, _) = receiver.encapsulate(1088).unwrap();
    assert_eq!(services(&|| receiver.encapsulate(1088).is_ok()), 1);
    assert_eq!(services(&|| receiver.decapsulate(&ciphertext).is_ok()), 1);
    // One is the SHA-512 of the seed.
    assert_eq!(services(&|| ed25519ph_sign(&[7; 32], b"abc").is_ok()), 2);
}

/// The oldest error of this thread's queue, or zero.
fn queued() -> u32 {
    // SAFETY: reads the calling thread's own queue.
    unsafe { aws_lc::ERR_peek_error() }
}

/// Puts an error into this thread's queue, as some other caller of the library may have done.
fn fail_elsewhere() {
    // SAFETY: the function checks for null before it reads.
    let key = unsafe { aws_lc::EVP_PKEY_kem_new_raw_public_key(ML_KEM_768, null(), 0) };
    assert!(key.is_null() && queued() != 0);
}

#[test]
fn failures_leave_no_error_behind() {
    let signer = Key::ml_dsa_from_seed(ML_DSA_44, &[7; 32]).unwrap();
    let receiver = Key::ml_kem_from_seed(ML_KEM_768, &[7; 64]).unwrap();
    let failures: [(&str, &dyn Fn() -> bool); 12] = [
        ("no such ML-DSA", &|| Key::ml_dsa_from_seed(ML_KEM_768, &[0; 32]).is_err()),
        ("length of an ML-DSA key", &|| Key::ml_dsa_public(ML_DSA_44, &[0; 10]).is_err()),
        ("no such ML-KEM", &|| Key::ml_kem_from_seed(ML_DSA_44, &[0; 64]).is_err()),
        ("length of an ML-KEM key", &|| Key::ml_kem_public(ML_KEM_512, &[]).is_err()),
        ("room for a public key", &|| signer.public_bytes(1311).is_err()),
        ("room for a signature", &|| signer.sign(&[0; 64], 2419).is_err()),
        ("signature", &|| !signer.verify(&[0; 64], &[0; 2420])),
        ("a signing key does not decapsulate", &|| signer.decapsulate(&[0; 768]).is_err()),
        ("a decapsulation key does not sign", &|| receiver.sign(&[0; 64], 2420).is_err()),
        ("room for a ciphertext", &|| receiver.encapsulate(1087).is_err()),
        ("length of a ciphertext", &|| receiver.decapsulate(&[0; 1087]).is_err()),
        ("Ed25519ph", &|| !ed25519ph_verify(&[0xff; 32], b"", &[0; 64])),
    ];
    for (what, fails) in failures {
        fail_elsewhere();
        assert!(fails(), "{what}");
        assert_eq!(queued(), 0, "{what}");
    }
}

#[test]
fn output_shorter_than_expected_is_a_failure() {
    let signer = Key::ml_dsa_from_seed(ML_DSA_44, &[7; 32]).unwrap();
    assert_eq!(signer.sign(&[0; 64], 2420).unwrap().len(), 2420);
    assert_eq!(signer.sign(&[0; 64], 2421).unwrap_err(), Failed);
    assert_eq!(signer.public_bytes(1312).unwrap().len(), 1312);
    assert_eq!(signer.public_bytes(1313).unwrap_err(), Failed);
    let receiver = Key::ml_kem_from_seed(ML_KEM_768, &[7; 64]).unwrap();
    assert_eq!(receiver.encapsulate(1088).unwrap().0.len(), 1088);
    assert_eq!(receiver.encapsulate(1089).unwrap_err(), Failed);
}

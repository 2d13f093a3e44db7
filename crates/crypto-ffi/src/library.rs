//! The calls into AWS-LC: all `unsafe` code of the project.
//!
//! Every function here is safe for every argument. What the library allocates is owned by a type whose drop frees it,
//! and it frees memory by wiping it first.
#![expect(unsafe_code, reason = "the foreign functions of AWS-LC; nothing outside of this module is unsafe")]

use std::ffi::c_int;
use std::ptr::{NonNull, null_mut};

#[cfg(feature = "fips")]
use aws_lc_fips_sys as aws_lc;
#[cfg(not(feature = "fips"))]
use aws_lc_sys as aws_lc;

use zeroize::Zeroizing;

/// The library refused the input or could not do its work. What it says beyond that is dropped, for the difference
/// must not reach whoever sent the input.
#[derive(Clone, Copy, Debug, PartialEq, Eq, thiserror::Error)]
#[error("AWS-LC refused the call")]
pub struct Failed;

/// How AWS-LC names an algorithm.
pub(crate) type AlgorithmNumber = c_int;

pub(crate) const ML_DSA_44: AlgorithmNumber = aws_lc::NID_MLDSA44;
pub(crate) const ML_DSA_65: AlgorithmNumber = aws_lc::NID_MLDSA65;
pub(crate) const ML_DSA_87: AlgorithmNumber = aws_lc::NID_MLDSA87;
pub(crate) const ML_KEM_512: AlgorithmNumber = aws_lc::NID_MLKEM512;
pub(crate) const ML_KEM_768: AlgorithmNumber = aws_lc::NID_MLKEM768;
pub(crate) const ML_KEM_1024: AlgorithmNumber = aws_lc::NID_MLKEM1024;

/// The error queue of the library belongs to the thread and keeps what nobody takes. A caller that reads it later must
/// not find our errors there.
fn forget_errors() {
    // SAFETY: takes nothing, and touches only the calling thread's own queue.
    unsafe { aws_lc::ERR_clear_error() }
}

/// The library's functions return one if and only if they did their work.
fn done(result: c_int) -> Result<(), Failed> {
    if result == 1 {
        return Ok(());
    }
    forget_errors();
    Err(Failed)
}

fn not_null<T>(pointer: *mut T) -> Result<NonNull<T>, Failed> {
    NonNull::new(pointer).ok_or_else(|| {
        forget_errors();
        Failed
    })
}

pub(crate) fn ed25519ph_sign(seed: &[u8; 32], message: &[u8]) -> Result<[u8; 64], Failed> {
    let mut public = [0; 32];
    let mut private = Zeroizing::new([0; 64]);
    // SAFETY: the function writes 32 and 64 bytes and reads 32, which is what the three arrays have.
    unsafe { aws_lc::ED25519_keypair_from_seed(public.as_mut_ptr(), private.as_mut_ptr(), seed.as_ptr()) };
    let mut signature = [0; 64];
    let context: [u8; 0] = [];
    let (bytes, length) = (message.as_ptr(), message.len());
    // SAFETY: `signature` takes the 64 bytes written, `private` has the 64 bytes read; the message and the context are
    // slices with their lengths, and an empty one is not read.
    done(unsafe {
        aws_lc::ED25519ph_sign(signature.as_mut_ptr(), bytes, length, private.as_ptr(), context.as_ptr(), context.len())
    })?;
    Ok(signature)
}

pub(crate) fn ed25519ph_verify(public: &[u8; 32], message: &[u8], signature: &[u8; 64]) -> bool {
    let context: [u8; 0] = [];
    let (bytes, length) = (message.as_ptr(), message.len());
    // SAFETY: reads 64 bytes of the signature and 32 of the public key, which they have; the message and the context
    // are slices with their lengths, and an empty one is not read.
    let result = unsafe {
        aws_lc::ED25519ph_verify(bytes, length, signature.as_ptr(), public.as_ptr(), context.as_ptr(), context.len())
    };
    done(result).is_ok()
}

/// A key of the library, public or private.
pub(crate) struct Key(NonNull<aws_lc::EVP_PKEY>);

// SAFETY: an EVP_PKEY belongs to no thread: it is plain memory and a reference count that is changed atomically.
unsafe impl Send for Key {}

// SAFETY: evp.h allows several threads to use an EVP_PKEY at once as long as none changes it. Only the functions that
// make a `Key` change it, before anybody else has it; the others read it and count references atomically.
unsafe impl Sync for Key {}

impl Drop for Key {
    fn drop(&mut self) {
        // SAFETY: this is our one reference, obtained from the function that made the key, and it ends here.
        unsafe { aws_lc::EVP_PKEY_free(self.0.as_ptr()) }
    }
}

/// One use of a key, or the making of one. Never leaves the function that made it.
struct Context(NonNull<aws_lc::EVP_PKEY_CTX>);

impl Drop for Context {
    fn drop(&mut self) {
        // SAFETY: we made the context, nobody else has the pointer, and it ends here.
        unsafe { aws_lc::EVP_PKEY_CTX_free(self.0.as_ptr()) }
    }
}

impl Context {
    fn as_ptr(&self) -> *mut aws_lc::EVP_PKEY_CTX {
        self.0.as_ptr()
    }
}

impl Key {
    pub(crate) fn ml_dsa_from_seed(number: AlgorithmNumber, seed: &[u8; 32]) -> Result<Self, Failed> {
        // SAFETY: the function checks that the length is one that the algorithm knows and copies that many bytes.
        let key = unsafe { aws_lc::EVP_PKEY_pqdsa_new_raw_private_key(number, seed.as_ptr(), seed.len()) };
        not_null(key).map(Self)
    }

    pub(crate) fn ml_dsa_public(number: AlgorithmNumber, bytes: &[u8]) -> Result<Self, Failed> {
        // SAFETY: the function checks the length against the algorithm's and copies that many bytes.
        let key = unsafe { aws_lc::EVP_PKEY_pqdsa_new_raw_public_key(number, bytes.as_ptr(), bytes.len()) };
        not_null(key).map(Self)
    }

    pub(crate) fn ml_kem_public(number: AlgorithmNumber, bytes: &[u8]) -> Result<Self, Failed> {
        // SAFETY: the function checks the length against the algorithm's and copies that many bytes.
        let key = unsafe { aws_lc::EVP_PKEY_kem_new_raw_public_key(number, bytes.as_ptr(), bytes.len()) };
        not_null(key).map(Self)
    }

    pub(crate) fn ml_kem_from_seed(number: AlgorithmNumber, seed: &[u8; 64]) -> Result<Self, Failed> {
        // SAFETY: the second argument may be null, and the first is a number that the function looks up.
        let context = unsafe { aws_lc::EVP_PKEY_CTX_new_id(aws_lc::EVP_PKEY_KEM, null_mut()) };
        let context = not_null(context).map(Context)?;
        // SAFETY: the context is alive.
        done(unsafe { aws_lc::EVP_PKEY_keygen_init(context.as_ptr()) })?;
        // SAFETY: the context is alive and for KEM keys, and the number is looked up.
        done(unsafe { aws_lc::EVP_PKEY_CTX_kem_set_params(context.as_ptr(), number) })?;
        let mut length = seed.len();
        let mut key = null_mut();
        // SAFETY: the context is alive; `key` is null, so that a new key is written there; the seed is read only if
        // `length`, which is its own, is what the algorithm wants.
        let result = unsafe {
            aws_lc::EVP_PKEY_keygen_deterministic(context.as_ptr(), &raw mut key, seed.as_ptr(), &raw mut length)
        };
        // The key is owned first, whatever the result.
        let key = not_null(key).map(Self);
        done(result).and(key)
    }

    fn context(&self) -> Result<Context, Failed> {
        // SAFETY: the key is alive, and the context takes a reference of its own. The engine may be null.
        not_null(unsafe { aws_lc::EVP_PKEY_CTX_new(self.0.as_ptr(), null_mut()) }).map(Context)
    }

    /// The encoded public key, which must have exactly `expected` bytes.
    pub(crate) fn public_bytes(&self, expected: usize) -> Result<Vec<u8>, Failed> {
        let mut public = vec![0; expected];
        let mut length = public.len();
        // SAFETY: the key is alive; the function writes only if `length`, the size of `public`, is enough.
        let result =
            unsafe { aws_lc::EVP_PKEY_get_raw_public_key(self.0.as_ptr(), public.as_mut_ptr(), &raw mut length) };
        done(result)?;
        exactly(length, expected)?;
        Ok(public)
    }

    /// Signs mu with an ML-DSA key; the signature must have exactly `expected` bytes.
    ///
    /// The type of `mu` is what makes this safe: the FIPS module copies as many bytes as it is told into an array of
    /// 64, without a look at the length.
    pub(crate) fn sign(&self, mu: &[u8; 64], expected: usize) -> Result<Vec<u8>, Failed> {
        let context = self.context()?;
        // SAFETY: the context is alive.
        done(unsafe { aws_lc::EVP_PKEY_sign_init(context.as_ptr()) })?;
        let mut signature = vec![0; expected];
        let mut length = signature.len();
        let (out, mu_length) = (signature.as_mut_ptr(), mu.len());
        // SAFETY: the context is alive and so is its key; the function writes only if `length`, the size of
        // `signature`, is enough; mu has the 64 bytes that it copies.
        done(unsafe { aws_lc::EVP_PKEY_sign(context.as_ptr(), out, &raw mut length, mu.as_ptr(), mu_length) })?;
        exactly(length, expected)?;
        Ok(signature)
    }

    /// Whether `signature` is one of mu by an ML-DSA key. As for [`Self::sign`], the type of `mu` makes this safe.
    pub(crate) fn verify(&self, mu: &[u8; 64], signature: &[u8]) -> bool {
        let Ok(context) = self.context() else { return false };
        // SAFETY: the context is alive.
        if done(unsafe { aws_lc::EVP_PKEY_verify_init(context.as_ptr()) }).is_err() {
            return false;
        }
        let (signature_length, mu_length) = (signature.len(), mu.len());
        // SAFETY: the context is alive and so is its key; the signature is read only if its length is the algorithm's,
        // and mu has the 64 bytes that are copied.
        let result = unsafe {
            aws_lc::EVP_PKEY_verify(context.as_ptr(), signature.as_ptr(), signature_length, mu.as_ptr(), mu_length)
        };
        done(result).is_ok()
    }

    /// A ciphertext, which must have exactly `expected` bytes, and the secret in it.
    pub(crate) fn encapsulate(&self, expected: usize) -> Result<(Vec<u8>, Zeroizing<[u8; 32]>), Failed> {
        let context = self.context()?;
        let mut ciphertext = vec![0; expected];
        let mut secret = Zeroizing::new([0; 32]);
        let (mut ciphertext_length, mut secret_length) = (ciphertext.len(), secret.len());
        // SAFETY: the context is alive and so is its key; the function writes only if both lengths, which are those of
        // the two buffers, are enough.
        done(unsafe {
            aws_lc::EVP_PKEY_encapsulate(
                context.as_ptr(),
                ciphertext.as_mut_ptr(),
                &raw mut ciphertext_length,
                secret.as_mut_ptr(),
                &raw mut secret_length,
            )
        })?;
        exactly(ciphertext_length, expected)?;
        exactly(secret_length, secret.len())?;
        Ok((ciphertext, secret))
    }

    /// The secret in a ciphertext.
    pub(crate) fn decapsulate(&self, ciphertext: &[u8]) -> Result<Zeroizing<[u8; 32]>, Failed> {
        let context = self.context()?;
        let mut secret = Zeroizing::new([0; 32]);
        let mut length = secret.len();
        let (out, input_length) = (secret.as_mut_ptr(), ciphertext.len());
        // SAFETY: the context is alive and so is its key; the function writes only if `length`, the size of `secret`,
        // is enough, and reads the ciphertext only if its length is the algorithm's.
        done(unsafe {
            aws_lc::EVP_PKEY_decapsulate(context.as_ptr(), out, &raw mut length, ciphertext.as_ptr(), input_length)
        })?;
        exactly(length, secret.len())?;
        Ok(secret)
    }
}

/// What the library wrote must be all that was expected: otherwise zeros of ours would pass for output.
fn exactly(written: usize, expected: usize) -> Result<(), Failed> {
    if written == expected { Ok(()) } else { Err(Failed) }
}

#[cfg(test)]
mod tests;

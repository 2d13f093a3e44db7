//! Bytes that are wiped when dropped and that nothing prints, clones or compares.

use zeroize::{Zeroize, ZeroizeOnDrop};

/// Secret bytes of any length, wiped when dropped.
///
/// The box has exactly the size of the content: it never grows, so no reallocation leaves a copy behind. There is no
/// `Debug`, `Clone`, `PartialEq` or codec; compare with `claviger_crypto::constant_time_eq`.
#[derive(Zeroize, ZeroizeOnDrop)]
pub struct SecretBytes(Box<[u8]>);

impl SecretBytes {
    /// Takes over the bytes. The vector's own buffer, its unused capacity included, is wiped.
    #[must_use]
    pub fn new(mut bytes: Vec<u8>) -> Self {
        // `into_boxed_slice` would reallocate a vector with spare capacity and free the old buffer unwiped.
        let secret = Self(Box::from(bytes.as_slice()));
        bytes.zeroize();
        secret
    }

    /// Copies the bytes. The caller's copy stays the caller's to wipe.
    #[must_use]
    pub fn from_slice(bytes: &[u8]) -> Self {
        Self(Box::from(bytes))
    }

    /// `length` zero bytes, to be filled in place through [`SecretBytes::expose_mut`].
    #[must_use]
    pub fn zeroed(length: usize) -> Self {
        Self(vec![0; length].into_boxed_slice())
    }

    /// The bytes themselves. Every caller of this is a place where the secret can leave: keep them few.
    #[must_use]
    pub fn expose(&self) -> &[u8] {
        &self.0
    }

    /// The bytes themselves, to be filled or changed in place.
    #[must_use]
    pub fn expose_mut(&mut self) -> &mut [u8] {
        &mut self.0
    }

    /// How many bytes. The length is not treated as secret.
    #[must_use]
    pub const fn len(&self) -> usize {
        self.0.len()
    }

    /// True when there are no bytes.
    #[must_use]
    pub const fn is_empty(&self) -> bool {
        self.0.is_empty()
    }
}

/// `N` secret bytes, wiped when dropped.
///
/// They live in a box, so that moving the value moves a pointer and leaves no copies on the stack.
#[derive(Zeroize, ZeroizeOnDrop)]
pub struct SecretArray<const N: usize>(Box<[u8; N]>);

impl<const N: usize> SecretArray<N> {
    /// Takes over the bytes and wipes the argument. A copy that the caller kept stays the caller's to wipe: prefer
    /// [`SecretArray::zeroed`] and filling in place.
    #[must_use]
    pub fn new(mut bytes: [u8; N]) -> Self {
        let secret = Self(Box::new(bytes));
        bytes.zeroize();
        secret
    }

    /// Copies the bytes; `None` if there are not exactly `N`.
    #[must_use]
    pub fn from_slice(bytes: &[u8]) -> Option<Self> {
        if bytes.len() != N {
            return None;
        }
        let mut secret = Self::zeroed();
        secret.0.copy_from_slice(bytes);
        Some(secret)
    }

    /// `N` zero bytes, to be filled in place through [`SecretArray::expose_mut`].
    #[must_use]
    pub fn zeroed() -> Self {
        Self(Box::new([0; N]))
    }

    /// The bytes themselves. Every caller of this is a place where the secret can leave: keep them few.
    #[must_use]
    pub fn expose(&self) -> &[u8; N] {
        &self.0
    }

    /// The bytes themselves, to be filled or changed in place.
    #[must_use]
    pub fn expose_mut(&mut self) -> &mut [u8; N] {
        &mut self.0
    }

    /// How many bytes: `N`.
    #[must_use]
    pub const fn len(&self) -> usize {
        N
    }

    /// True when `N` is zero.
    #[must_use]
    pub const fn is_empty(&self) -> bool {
        N == 0
    }
}

#[cfg(test)]
mod tests {
    #![expect(clippy::unwrap_used, reason = "tests")]

    use std::borrow::Borrow;
    use std::fmt::{Debug, Display};
    use std::hash::Hash;

    use static_assertions::{assert_impl_all, assert_not_impl_any};
    use zeroize::{Zeroize as _, ZeroizeOnDrop};

    use super::{SecretArray, SecretBytes};
    use crate::LogSafe;

    assert_impl_all!(SecretBytes: Send, Sync, ZeroizeOnDrop);
    assert_impl_all!(SecretArray<32>: Send, Sync, ZeroizeOnDrop);
    assert_not_impl_any!(SecretBytes: Debug, Display, Clone, Copy, PartialEq, PartialOrd, Hash, Default, LogSafe);
    assert_not_impl_any!(SecretBytes: AsRef<[u8]>, Borrow<[u8]>, std::ops::Deref, Into<Vec<u8>>);
    assert_not_impl_any!(SecretArray<32>: Debug, Display, Clone, Copy, PartialEq, PartialOrd, Hash, Default, LogSafe);
    assert_not_impl_any!(SecretArray<32>: AsRef<[u8]>, Borrow<[u8]>, std::ops::Deref, Into<[u8; 32]>);

    #[test]
    fn content_is_kept_whatever_the_capacity() {
        let mut bytes = Vec::with_capacity(100);
        bytes.extend_from_slice(b"three");
        let secret = SecretBytes::new(bytes);
        assert_eq!(secret.expose(), b"three");
        assert_eq!(secret.len(), 5);
        assert!(!secret.is_empty());
        assert!(SecretBytes::new(Vec::new()).is_empty());
    }

    #[test]
    fn wiping_clears_the_bytes_in_place() {
        let mut array = SecretArray::new([7; 4]);
        array.zeroize();
        assert_eq!(array.expose(), &[0; 4]);
        let mut bytes = SecretBytes::from_slice(b"abc");
        let before = bytes.expose().as_ptr();
        bytes.expose_mut().zeroize();
        assert_eq!(bytes.expose(), &[0; 3]);
        assert_eq!(before, bytes.expose().as_ptr());
    }

    #[test]
    fn an_array_takes_only_its_own_length() {
        assert!(SecretArray::<4>::from_slice(b"abc").is_none());
        assert!(SecretArray::<4>::from_slice(b"abcde").is_none());
        let mut array = SecretArray::<4>::from_slice(b"abcd").unwrap();
        assert_eq!(array.expose(), b"abcd");
        array.expose_mut().fill(1);
        assert_eq!(array.expose(), &[1; 4]);
        assert_eq!(array.len(), 4);
        assert!(SecretArray::<0>::zeroed().is_empty());
        assert_eq!(SecretBytes::zeroed(3).expose(), &[0; 3]);
    }
}

//! Signature Version 4, both ways: reading what a request claims, and signing one.
//!
//! [`claim`] never decides whether a signature is right. It reads the claim, rebuilds the one text that the
//! signature must cover, and refuses what cannot be right whatever the secret is: a header that matters but is not
//! covered, a header sent twice, a date that contradicts the scope. The engine holds the secret and compares.
//! [`check_scope`] holds the claim against the operation asked for.
//!
//! [`sign`] and [`presign`] are the client's half, for the subcommands, the load driver and tests. They share the
//! canonical form with [`claim`]; what keeps both honest is the public test suite in `testdata/sigv4`.

mod authorization;
mod canonical;
mod claim;
mod date;
#[cfg(test)]
mod hostile;
mod presigned;
mod sign;
#[cfg(test)]
mod suite;

pub use claim::{check_scope, claim};
pub use sign::{Credentials, Scope, SignError, derive_signing_key, presign, sign};

/// The one algorithm accepted.
const ALGORITHM: &str = "AWS4-HMAC-SHA256";

/// The last part of every credential scope.
const TERMINATOR: &str = "aws4_request";

/// Bounds of what a claim may hold.
pub mod limit {
    /// Characters of an access key id; the model's maximum.
    pub const ACCESS_KEY_ID_MAX: usize = 128;
    /// Characters of a Region name and of a service name in a scope.
    pub const SCOPE_PART_MAX: usize = 64;
    /// Seconds a presigned request may live: seven days.
    pub const EXPIRES_SECONDS_MAX: u32 = 604_800;
}

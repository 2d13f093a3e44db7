//! Fuzz targets: one function for every decoder that reads what somebody else wrote.
//!
//! A target takes any bytes. Besides not panicking, it asserts what must hold of everything accepted: nothing altered
//! opens, nothing is left unread, reading twice gives the same. `corpus/<target>/` holds inputs worth keeping, finds of
//! the fuzzer among them; `tests/replay.rs` replays all of them, `tests/targets.rs` mutates them at random, and
//! `cargo bolero test -p claviger-fuzz <test>` searches guided by coverage.

mod attestation;
mod audit;
mod operator;
mod request;
mod stored;
mod token;

pub use attestation::attestation;
pub use audit::audit;
pub use operator::operator;
pub use request::{json, query, sigv4};
pub use stored::{blob, policy};
pub use token::token;

use std::fs;
use std::io;
use std::path::PathBuf;

/// A decoder under test.
#[derive(Clone, Copy, Debug)]
pub struct Target {
    /// The folder of its corpus.
    pub name: &'static str,
    /// The target itself; panics on a find.
    pub run: fn(&[u8]),
}

/// Every target.
pub const TARGETS: [Target; 9] = [
    Target { name: "attestation", run: attestation },
    Target { name: "audit", run: audit },
    Target { name: "blob", run: blob },
    Target { name: "json", run: json },
    Target { name: "operator", run: operator },
    Target { name: "policy", run: policy },
    Target { name: "query", run: query },
    Target { name: "sigv4", run: sigv4 },
    Target { name: "token", run: token },
];

/// Inputs that are made, not found: name of the file in the corpus, and content.
pub type Seeds = Vec<(&'static str, Vec<u8>)>;

impl Target {
    /// The stored inputs, in order of their names.
    ///
    /// # Errors
    /// When the folder cannot be read.
    pub fn corpus(&self) -> io::Result<Vec<(String, Vec<u8>)>> {
        let mut inputs = Vec::new();
        for entry in fs::read_dir(self.folder())? {
            let path = entry?.path();
            let name = path.file_name().unwrap_or_default().to_string_lossy().into_owned();
            inputs.push((name, fs::read(path)?));
        }
        inputs.sort();
        Ok(inputs)
    }

    /// Where the stored inputs are.
    #[must_use]
    pub fn folder(&self) -> PathBuf {
        PathBuf::from(env!("CARGO_MANIFEST_DIR")).join("corpus").join(self.name)
    }

    /// Inputs that the code can make by itself, for [`Target::corpus`] to start from.
    #[must_use]
    pub fn seeds(&self) -> Seeds {
        match self.name {
            "attestation" => attestation::attestation_seeds(),
            "audit" => audit::seeds(),
            "blob" => stored::blob_seeds(),
            "operator" => operator::operator_seeds(),
            "policy" => stored::policy_seeds(),
            "sigv4" => request::sigv4_seeds(),
            "json" => request::json_seeds(),
            "query" => request::query_seeds(),
            _ => Vec::new(),
        }
    }
}

//! Which crate may know which.

use std::collections::BTreeSet;

use cargo_metadata::DependencyKind;

use crate::none;
use crate::repository::{crates, relative, short, text};

/// DESIGN: rooms and the direction of knowledge. Nothing else is allowed in `[dependencies]`.
const EDGES: &[(&str, &[&str])] = &[
    ("api", &["secret"]),
    ("audit", &["crypto", "secret"]),
    (
        "claviger",
        &["api", "audit", "crypto", "custody", "engine", "iam", "kms", "policy", "secret", "server", "store", "wire"],
    ),
    ("crypto", &["crypto-ffi", "secret"]),
    ("crypto-ffi", &[]),
    ("custody", &["crypto", "engine", "secret"]),
    ("engine", &["api", "audit", "crypto", "policy", "secret", "store"]),
    ("iam", &["api", "crypto", "engine", "policy", "secret"]),
    ("kms", &["api", "crypto", "custody", "engine", "policy", "secret"]),
    ("policy", &["secret"]),
    ("secret", &[]),
    ("server", &["api", "audit", "engine", "secret", "store", "wire"]),
    ("store", &[]),
    ("wire", &["api", "audit", "crypto", "secret"]),
    // Beside the server: they speak to it or take its decoders apart, and nothing depends on them.
    ("bench", &["api", "crypto", "secret", "wire"]),
    ("fuzz", &["api", "audit", "crypto", "iam", "policy", "secret", "server", "wire"]),
    ("xtask", &[]),
];

/// What the tests of a crate may know beyond [`EDGES`]: a service is tested behind an engine, which needs a store and a
/// log.
/// IAM's condition keys are held against those that KMS has.
const TEST_EDGES: &[(&str, &[&str])] = &[("iam", &["audit", "kms", "store"]), ("kms", &["audit", "store"])];

#[test]
fn crates_know_only_what_they_may() {
    let mut offences = Vec::new();
    for package in crates() {
        let from = short(&package.name);
        let Some((_, allowed)) = EDGES.iter().find(|(name, _)| *name == from) else {
            offences.push(format!("{from}: has no row in EDGES"));
            continue;
        };
        let in_tests = TEST_EDGES.iter().find(|(name, _)| *name == from).map_or(&[][..], |(_, also)| also);
        for dependency in package.dependencies.iter().filter(|dependency| dependency.path.is_some()) {
            let to = short(&dependency.name);
            let development = dependency.kind == DependencyKind::Development;
            let permitted = allowed.contains(&to) || (development && in_tests.contains(&to));
            if !permitted {
                offences.push(format!("{from} -> {to} ({})", dependency.kind));
            }
        }
    }
    none("An edge between crates that ARCHITECTURE.md does not have:", &offences);
}

#[test]
fn a_crate_is_named_after_its_folder() {
    let mut offences = Vec::new();
    for package in crates() {
        let manifest = relative(package.manifest_path.as_std_path());
        let folder = manifest.trim_start_matches("crates/").trim_end_matches("/Cargo.toml").to_owned();
        if folder != short(&package.name) {
            offences.push(format!("{manifest}: {}", package.name));
        }
    }
    none("A crate's name is its folder's, with the prefix:", &offences);
}

/// The crate that has lints of its own, because what the workspace forbids (`unsafe`) cannot be lifted.
const OWN_LINTS: &str = "crypto-ffi";

#[test]
fn every_crate_is_under_the_lints_of_the_workspace() {
    let mut offences = Vec::new();
    for package in crates() {
        let manifest = relative(package.manifest_path.as_std_path());
        let settings = text(&manifest).unwrap();
        if short(&package.name) == OWN_LINTS {
            offences.extend(missing_lints(&settings, UNSAFE_LINTS).map(|lint| format!("{manifest}: {lint}")));
            let promised = LINTS.iter().filter(|lint| !lint.starts_with("unsafe_code"));
            offences.extend(missing_lints(&settings, promised).map(|lint| format!("{manifest}: {lint}")));
            continue;
        }
        if !settings.contains("\n[lints]\nworkspace = true\n") {
            offences.push(manifest.clone());
        }
        if settings.matches("[lints").count() != 1 {
            offences.push(format!("{manifest}: lints of its own"));
        }
        if package.license.as_deref() != Some("Apache-2.0") || package.publish.as_deref() != Some(&[]) {
            offences.push(format!("{manifest}: licence or publish is not the workspace's"));
        }
    }
    none("`[lints] workspace = true` is missing, or something stands beside it:", &offences);
}

/// Held by rustc and clippy for every crate; tests lift the ones about panics with a reason.
const LINTS: &[&str] = &[
    "unsafe_code = \"forbid\"",
    "missing_docs = \"deny\"",
    "unreachable_pub = \"deny\"",
    "unwrap_used = \"deny\"",
    "expect_used = \"deny\"",
    "indexing_slicing = \"deny\"",
    "panic = \"deny\"",
    "todo = \"deny\"",
    "unimplemented = \"deny\"",
    "dbg_macro = \"deny\"",
    "print_stdout = \"deny\"",
    "print_stderr = \"deny\"",
    "allow_attributes = \"deny\"",
    "allow_attributes_without_reason = \"deny\"",
];

/// What the crate with `unsafe` has in place of the workspace's prohibition.
const UNSAFE_LINTS: &[&str] = &[
    "unsafe_code = \"deny\"",
    "unsafe_op_in_unsafe_fn = \"deny\"",
    "undocumented_unsafe_blocks = \"deny\"",
    "multiple_unsafe_ops_per_block = \"deny\"",
];

/// Those of `lints` that are not a line of a manifest.
fn missing_lints<'a>(
    manifest: &str,
    lints: impl IntoIterator<Item = &'a &'static str>,
) -> impl Iterator<Item = String> {
    let lines: BTreeSet<_> = manifest.lines().collect();
    let missing: Vec<_> = lints.into_iter().filter(|lint| !lines.contains(*lint)).map(ToString::to_string).collect();
    missing.into_iter()
}

#[test]
fn the_workspace_denies_what_it_promises() {
    let missing: Vec<_> = missing_lints(&text("Cargo.toml").unwrap(), LINTS).collect();
    none("Cargo.toml lacks a lint:", &missing);
}

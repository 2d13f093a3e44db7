//! The files of the repository and what cargo says about its crates.

use std::fs;
use std::path::{Path, PathBuf};
use std::process::Command;
use std::sync::LazyLock;

use cargo_metadata::{Metadata, MetadataCommand, Package};

/// The repository's root.
pub(crate) fn root() -> PathBuf {
    Path::new(env!("CARGO_MANIFEST_DIR")).join("../..").canonicalize().unwrap()
}

/// Every file that is tracked or would be by `git add`, relative to the root, in order.
pub(crate) static FILES: LazyLock<Vec<String>> = LazyLock::new(|| {
    let listed = Command::new("git")
        .args(["ls-files", "-z", "--cached", "--others", "--exclude-standard"])
        .current_dir(root())
        .output()
        .unwrap();
    assert!(listed.status.success(), "the house rules need a git checkout");
    let listed = String::from_utf8(listed.stdout).unwrap();
    let mut files: Vec<_> = listed.split_terminator('\0').filter(|path| root().join(path).is_file()).collect();
    files.sort_unstable();
    files.dedup();
    files.into_iter().map(ToOwned::to_owned).collect()
});

/// The content of a file of [`FILES`]; none if it is not text.
pub(crate) fn text(path: &str) -> Option<String> {
    String::from_utf8(fs::read(root().join(path)).unwrap()).ok()
}

/// `cargo metadata` for this machine's platform, as `Cargo.lock` has it, with whatever a feature of ours brings in.
pub(crate) static METADATA: LazyLock<Metadata> = LazyLock::new(|| {
    let version = Command::new("rustc").arg("-vV").output().unwrap();
    let version = String::from_utf8(version.stdout).unwrap();
    let host = version.lines().find_map(|line| line.strip_prefix("host: ")).unwrap();
    MetadataCommand::new()
        .manifest_path(root().join("Cargo.toml"))
        .other_options(["--locked", "--all-features", "--filter-platform", host].map(ToOwned::to_owned))
        .exec()
        .unwrap()
});

/// Our own crates.
pub(crate) fn crates() -> Vec<&'static Package> {
    METADATA.workspace_packages()
}

/// A crate's folder name, which is its name without the prefix.
pub(crate) fn short(name: &str) -> &str {
    name.strip_prefix("claviger-").unwrap_or(name)
}

/// A path of cargo's, relative to the root.
pub(crate) fn relative(path: &Path) -> String {
    path.strip_prefix(root()).unwrap().to_str().unwrap().to_owned()
}

//! Which third-party crates we name, who names them and why; and under what licences the whole tree stands.

use std::collections::{BTreeMap, BTreeSet};

use cargo_metadata::{Dependency, DependencyKind, Package};

use crate::none;
use crate::repository::{METADATA, crates, relative, short, text};
use crate::source::SOURCES;

const TABLE: &str = "crates/xtask/dependencies.txt";

/// A row: the crate, the crates of ours that name it (`tests` for those that only their tests name), the reason.
struct Row {
    name: String,
    users: String,
    reason: String,
}

fn table() -> Vec<Row> {
    let text = text(TABLE).unwrap();
    let lines = text.lines().filter(|line| !line.is_empty() && !line.starts_with('#'));
    lines
        .map(|line| {
            let cells: Vec<_> = line.split('|').map(|cell| cell.trim().to_owned()).collect();
            let [name, users, reason] = <[String; 3]>::try_from(cells).unwrap();
            Row { name, users, reason }
        })
        .collect()
}

fn third_party(package: &'static Package) -> impl Iterator<Item = &'static Dependency> {
    package.dependencies.iter().filter(|dependency| dependency.path.is_none())
}

#[test]
fn every_third_party_crate_has_a_reason() {
    let mut used: BTreeMap<&str, BTreeSet<&str>> = BTreeMap::new();
    for package in crates() {
        for dependency in third_party(package) {
            let development = dependency.kind == DependencyKind::Development;
            let user = if development { "tests" } else { short(&package.name) };
            used.entry(&dependency.name).or_default().insert(user);
        }
    }
    let used = used.into_iter().map(|(name, users)| (name.to_owned(), users.into_iter().collect::<Vec<_>>().join(" ")));
    let used: BTreeSet<_> = used.collect();
    let rows = table();
    let listed: BTreeSet<_> = rows.iter().map(|row| (row.name.clone(), row.users.clone())).collect();
    let mut offences = Vec::new();
    offences.extend(used.difference(&listed).map(|(name, users)| format!("not listed so: {name} | {users}")));
    offences.extend(listed.difference(&used).map(|(name, users)| format!("not so any more: {name} | {users}")));
    offences.extend(rows.iter().filter(|row| row.reason.len() < 10).map(|row| format!("no reason: {}", row.name)));
    if !rows.is_sorted_by(|left, right| left.name < right.name) {
        offences.push("rows are not in order".to_owned());
    }
    none(&format!("{TABLE} and the manifests disagree:"), &offences);
}

/// The one feature, and the crates that have it: it builds on the FIPS module of AWS-LC (docs/FIPS.md). It adds no
/// dependency but that one.
const FEATURE: &str = "fips";
const FEATURED: &[&str] = &["claviger", "crypto", "crypto-ffi", "server"];

#[test]
fn versions_and_features_are_chosen_in_one_place() {
    let mut offences = Vec::new();
    for package in crates() {
        let manifest = relative(package.manifest_path.as_std_path());
        let settings = text(&manifest).unwrap();
        for dependency in &package.dependencies {
            let line = match dependency.optional {
                true => format!("\n{} = {{ workspace = true, optional = true }}\n", dependency.name),
                false => format!("\n{}.workspace = true\n", dependency.name),
            };
            if !settings.contains(&line) || (dependency.optional && dependency.name != "aws-lc-fips-sys") {
                offences.push(format!("{manifest}: {}", dependency.name));
            }
        }
        let expected: &[&str] = if FEATURED.contains(&short(&package.name)) { &[FEATURE] } else { &[] };
        if !package.features.keys().eq(expected.iter()) {
            offences.push(format!("{manifest}: features {:?}", package.features.keys()));
        }
    }
    none(&format!("A dependency is `name.workspace = true`, and the only feature is {FEATURE}:"), &offences);
}

/// What code calls a dependency: the name of its library, which need not be the package's.
fn identifier(dependency: &Dependency) -> String {
    let package = METADATA.packages.iter().find(|package| *package.name == dependency.name);
    let library = package.and_then(|package| package.targets.iter().find(|target| target.is_lib()));
    library.map_or(&dependency.name, |library| &library.name).replace('-', "_")
}

#[test]
fn a_crate_names_only_what_it_uses() {
    let mut offences = Vec::new();
    for package in crates() {
        let folder = relative(package.manifest_path.parent().unwrap().as_std_path());
        let folder = format!("{folder}/");
        for dependency in package.dependencies.iter().filter(|one| one.kind != DependencyKind::Development) {
            let identifier = identifier(dependency);
            let used = SOURCES.iter().filter(|file| file.path.starts_with(&folder)).any(|file| {
                file.production().any(|at| {
                    file.tokens[at].text == identifier && (file.is(at + 1, "::") || file.is(at.wrapping_sub(1), "use"))
                })
            });
            if !used {
                offences.push(format!("{folder}Cargo.toml: {}", dependency.name));
            }
        }
    }
    none("Named in `[dependencies]` but not used outside tests:", &offences);
}

/// Licences that ask for no more than to be reproduced. `AND` needs all of a licence's parts here, `OR` one.
const LICENCES: &[&str] = &[
    "Apache-2.0",
    "Apache-2.0 WITH LLVM-exception",
    "BSD-2-Clause",
    "BSD-3-Clause",
    "BlueOak-1.0.0",
    "ISC",
    "MIT",
    "MIT-0",
    "Unicode-3.0",
    "Zlib",
];

/// Crates that a build holds only if asked for by a feature, with the licence that they alone may have beyond
/// [`LICENCES`]: docs/FIPS.md says what it asks for.
const ONLY_THERE: &[(&str, &str)] = &[("aws-lc-fips-sys", "OpenSSL")];

/// Whether an SPDX expression can be met. `OR` binds weaker than `AND`; a slash is the old form of `OR`.
fn allowed(expression: &str) -> bool {
    let expression = expression.replace('/', " OR ");
    let words = expression.replace('(', " ( ").replace(')', " ) ").replace(" WITH ", "+WITH+");
    let words: Vec<_> = words.split_whitespace().collect();
    let (met, rest) = either(&words);
    met && rest.is_empty()
}

fn either<'a>(words: &'a [&'a str]) -> (bool, &'a [&'a str]) {
    let (mut met, mut rest) = both(words);
    while let ["OR", after @ ..] = rest {
        let (next, after) = both(after);
        (met, rest) = (met || next, after);
    }
    (met, rest)
}

fn both<'a>(words: &'a [&'a str]) -> (bool, &'a [&'a str]) {
    let (mut met, mut rest) = single(words);
    while let ["AND", after @ ..] = rest {
        let (next, after) = single(after);
        (met, rest) = (met && next, after);
    }
    (met, rest)
}

fn single<'a>(words: &'a [&'a str]) -> (bool, &'a [&'a str]) {
    match words {
        ["(", inner @ ..] => match either(inner) {
            (met, [")", rest @ ..]) => (met, rest),
            (_, rest) => (false, rest),
        },
        [name, rest @ ..] => (LICENCES.contains(&name.replace("+WITH+", " WITH ").as_str()), rest),
        [] => (false, words),
    }
}

#[test]
fn licences_of_the_whole_tree_are_permissive() {
    let mut offences = Vec::new();
    for package in &METADATA.packages {
        let licence = package.license.as_deref().unwrap_or("none");
        let also = ONLY_THERE.iter().find(|(name, _)| *name == package.name.as_str());
        let common = also.and_then(|(_, also)| licence.strip_suffix(&format!(" AND {also}")));
        if !allowed(common.unwrap_or(licence)) || also.is_some() != common.is_some() {
            offences.push(format!("{} {}: {licence}", package.name, package.version));
        }
        if package.source.as_ref().is_some_and(|source| !source.is_crates_io()) {
            offences.push(format!("{}: not from crates.io", package.name));
        }
    }
    none("A licence that is not on the list, or a source that is not crates.io:", &offences);
}

#[test]
fn licence_expressions_are_read_right() {
    for met in ["MIT", "GPL-3.0 OR MIT", "MIT/GPL-3.0", "(MIT OR GPL-3.0) AND ISC", "MIT OR GPL-3.0 AND GPL-2.0"] {
        assert!(allowed(met), "{met}");
    }
    assert!(allowed("Apache-2.0 WITH LLVM-exception"));
    for unmet in ["", "none", "GPL-3.0", "MIT AND GPL-3.0", "(MIT OR ISC) AND GPL-3.0", "MIT WITH x", "(MIT", "MIT)"] {
        assert!(!allowed(unmet), "{unmet}");
    }
}

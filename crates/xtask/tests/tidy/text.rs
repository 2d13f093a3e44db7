//! Rules about every file's text.

use std::collections::BTreeSet;
use std::path::Path;

use crate::none;
use crate::repository::{FILES, text};

/// This file names what it refuses.
const OWN: &str = "crates/xtask/tests/tidy/text.rs";

/// Material taken over as it is.
const FOREIGN: &[&str] = &["/testdata/", "/corpus/", "Cargo.lock", "LICENSE"];

/// A path of somebody's machine.
const MACHINE_PATHS: &[&str] = &["/root/", "/work/", "/home/"];

/// Unfinished business and a developer's leftovers. Whole words.
const LEFTOVERS: &[&str] = &["TODO", "FIXME", "XXX", "HACK", "dbg!", "todo!", "unimplemented!"];

/// A package index other than the standard one is the machine's business, not the repository's.
const INDEXES: &[&str] =
    &["index-url", "index_url", "PIP_INDEX", "UV_INDEX", "CARGO_REGISTR", "replace-with", "trusted-host", "[source."];

/// Hosts (and what is below them) that an address in the repository may have.
const HOSTS: &[&str] = &[
    "amazon.com",
    "amazonaws.com",
    "apache.org",
    "crates.io",
    "docs.rs",
    "example",
    "example.com",
    "github.com",
    "ietf.org",
    "nist.gov",
    "rfc-editor.org",
    "test",
    "wikipedia.org",
];

fn ours() -> impl Iterator<Item = (&'static str, String)> {
    let ours = FILES.iter().filter(|path| path.as_str() != OWN && !FOREIGN.iter().any(|part| path.contains(part)));
    ours.filter_map(|path| Some((path.as_str(), text(path)?)))
}

fn is_of_tests(path: &str) -> bool {
    path.starts_with("tests/") || path.contains("/tests/") || path.ends_with("tests.rs")
}

fn is_word(character: char) -> bool {
    character.is_alphanumeric() || character == '_'
}

fn has_word(line: &str, word: &str) -> bool {
    line.match_indices(word).any(|(at, _)| {
        let before = line[..at].chars().next_back();
        let after = line[at + word.len()..].chars().next();
        !before.is_some_and(is_word) && (word.ends_with('!') || !after.is_some_and(is_word))
    })
}

#[test]
fn nothing_names_a_machine_or_an_index_or_is_left_over() {
    let mut offences = Vec::new();
    for (path, text) in ours() {
        for (number, line) in (1_usize..).zip(text.lines()) {
            let mut found: Vec<&str> = Vec::new();
            found.extend(MACHINE_PATHS.iter().filter(|part| line.contains(**part)));
            found.extend(INDEXES.iter().filter(|part| line.contains(**part)));
            found.extend(LEFTOVERS.iter().filter(|word| has_word(line, word)));
            if line.contains("/tmp/") && !is_of_tests(path) {
                found.push("/tmp/");
            }
            offences.extend(found.iter().map(|what| format!("{path}:{number}: {what}")));
        }
    }
    none("Does not belong into the repository:", &offences);
}

/// The hosts of a line's addresses. Without a dot it is a name in a test or a placeholder, and numbers are addresses.
fn hosts(line: &str) -> impl Iterator<Item = &str> {
    let after = ["http://", "https://"].into_iter().flat_map(|scheme| line.split(scheme).skip(1));
    after.filter_map(|rest| {
        let end = rest.find(|next: char| !next.is_ascii_alphanumeric() && next != '.' && next != '-');
        let host = rest[..end.unwrap_or(rest.len())].trim_end_matches('.');
        let public = host.contains('.') && !host.chars().all(|next| next.is_ascii_digit() || next == '.');
        public.then_some(host)
    })
}

#[test]
fn addresses_lead_only_to_known_hosts() {
    let mut offences = Vec::new();
    for (path, text) in ours() {
        for (number, line) in (1_usize..).zip(text.lines()) {
            let unknown = hosts(line)
                .filter(|host| !HOSTS.iter().any(|known| host == known || host.ends_with(&format!(".{known}"))));
            offences.extend(unknown.map(|host| format!("{path}:{number}: {host}")));
        }
    }
    none("An address with a host that is not on the list:", &offences);
}

#[test]
fn hosts_are_found() {
    let line =
        "see https://a.example/x, http://[::1]:1/, http://127.0.0.1:80, http://localhost, {x}://{y} fileb://b.bin.";
    assert_eq!(hosts(line).collect::<Vec<_>>(), ["a.example"]);
}

/// The links of a document outside of code: the text between `](` and `)`, with the line.
fn links(document: &str) -> Vec<(usize, String)> {
    let mut links = Vec::new();
    let mut fenced = false;
    for (number, line) in (1_usize..).zip(document.lines()) {
        fenced ^= line.trim_start().starts_with("```");
        // Every second piece between backticks is code.
        let prose: String = line.split('`').step_by(2).collect::<Vec<_>>().join("`");
        if !fenced {
            let targets = prose.split("](").skip(1).filter_map(|rest| rest.split(')').next());
            links.extend(targets.map(|target| (number, target.to_owned())));
        }
    }
    links
}

/// A heading as the fragment that leads to it.
fn fragment(heading: &str) -> String {
    let letters = heading.to_lowercase().replace(' ', "-");
    letters.chars().filter(|letter| is_word(*letter) || *letter == '-').collect()
}

/// `target` seen from `document`, without `.` and `..`; none if it leaves the repository.
fn resolve(document: &str, target: &str) -> Option<String> {
    let mut parts: Vec<&str> = document.split('/').collect();
    parts.pop();
    for part in target.split('/').filter(|part| !part.is_empty() && *part != ".") {
        if part == ".." {
            parts.pop()?;
        } else {
            parts.push(part);
        }
    }
    Some(parts.join("/"))
}

fn leads_somewhere(document: &str, target: &str) -> bool {
    let (path, section) = target.split_once('#').unwrap_or((target, ""));
    let Some(path) = (if path.is_empty() { Some(document.to_owned()) } else { resolve(document, path) }) else {
        return false;
    };
    let is_folder = path.is_empty() || FILES.iter().any(|file| file.starts_with(&format!("{path}/")));
    if !FILES.contains(&path) {
        return is_folder && section.is_empty();
    }
    let text = text(&path).unwrap_or_default();
    section.is_empty()
        || text.lines().filter_map(|line| line.strip_prefix('#')).any(|heading| {
            let heading = heading.trim_start_matches('#').trim();
            fragment(heading) == section
        })
}

#[test]
fn links_lead_to_files_of_the_repository() {
    let mut offences = Vec::new();
    for path in FILES.iter().filter(|path| Path::new(path).extension().is_some_and(|extension| extension == "md")) {
        let links = links(&text(path).unwrap());
        let inner = links.iter().filter(|(_, target)| !target.contains("://") && !target.starts_with("mailto:"));
        let broken = inner.filter(|(_, target)| !leads_somewhere(path, target));
        offences.extend(broken.map(|(number, target)| format!("{path}:{number}: {target}")));
    }
    none("A link that leads nowhere:", &offences);
}

#[test]
fn links_are_found_and_resolved() {
    let document = "[a](b.md) `[x](y)` [c](../d#e)\n```\n[f](g)\n```\n![h](i.png)";
    let found: Vec<_> = links(document).into_iter().map(|(number, target)| format!("{number} {target}")).collect();
    assert_eq!(found, ["1 b.md", "1 ../d#e", "5 i.png"]);
    assert_eq!(resolve("a/b/c.md", "../d.md").unwrap(), "a/d.md");
    assert_eq!(resolve("c.md", "../d.md"), None);
    assert_eq!(fragment("Keys, and `blobs`: v1"), "keys-and-blobs-v1");
    assert!(leads_somewhere("docs/x.md", "../Cargo.toml") && leads_somewhere("docs/x.md", "../crates/api"));
    assert!(!leads_somewhere("docs/x.md", "../no.md") && !leads_somewhere("docs/x.md", "FORMATS.md#no-such-heading"));
}

/// Documents that comments name although a reader of the repository does not have them.
const ELSEWHERE: &[&str] = &[
    "DESIGN.md",
    "authorization.md",
    "condition-keys.md",
    "cryptography.md",
    "errors.md",
    "events.md",
    "iam-sts.md",
    "key-states.md",
    "lifecycle.md",
    "operations.md",
];

/// The documents that a line names, as `name.md` or `folder/name.md`.
fn documents(line: &str) -> impl Iterator<Item = &str> {
    line.match_indices(".md").filter_map(|(at, _)| {
        let after = line[at + 3..].chars().next();
        let start =
            line[..at].rfind(|before: char| !is_word(before) && before != '-' && before != '/' && before != '.');
        let name = &line[start.map_or(0, |start| start + 1)..at + 3];
        (!after.is_some_and(is_word) && name.len() > 3).then_some(name)
    })
}

#[test]
fn documents_that_are_named_are_here() {
    let mut offences = Vec::new();
    let mut elsewhere = BTreeSet::from_iter(ELSEWHERE.iter().copied());
    for (path, text) in ours().filter(|(path, _)| !path.starts_with("crates/xtask/tests/")) {
        for (number, line) in (1_usize..).zip(text.lines()) {
            for name in documents(line).filter(|name| !name.contains("..")) {
                let here = FILES.iter().any(|file| file == name || file.ends_with(&format!("/{name}")));
                let last = name.rsplit('/').next().unwrap();
                if ELSEWHERE.contains(&last) {
                    elsewhere.remove(last);
                } else if !here {
                    offences.push(format!("{path}:{number}: {name}"));
                }
            }
        }
    }
    offences.dedup();
    offences.extend(elsewhere.iter().map(|name| format!("{name}: nothing names it any more")));
    none("A document is named that the repository does not have:", &offences);
}

//! Rules about Rust code.

use std::collections::BTreeSet;

use crate::none;
use crate::source::SOURCES;

/// From the line of `fn` to the line of the closing brace.
const FUNCTION_LINES_MAX: usize = 70;

/// Longer functions, as `path name`. One line for each operation of the service model, and nothing else.
const LONG_FUNCTIONS: &[&str] = &["crates/kms/src/lib.rs dispatch"];

#[test]
fn functions_fit_on_a_page() {
    let mut offences = Vec::new();
    let mut exempt = BTreeSet::from_iter(LONG_FUNCTIONS.iter().map(ToString::to_string));
    for source in SOURCES.iter().filter(|source| !source.generated) {
        let kept: BTreeSet<_> = source.production().collect();
        for (start, end) in source.functions().filter(|(start, _)| kept.contains(start)) {
            let lines = source.tokens[end].line - source.tokens[start].line + 1;
            let name = &source.tokens[start + 1].text;
            if lines > FUNCTION_LINES_MAX && !exempt.remove(&format!("{} {name}", source.path)) {
                offences.push(format!("{} {name}: {lines} lines", source.place(start)));
            }
        }
    }
    offences.extend(exempt.iter().map(|name| format!("{name}: no longer needs to be exempt")));
    none(&format!("A function of more than {FUNCTION_LINES_MAX} lines:"), &offences);
}

/// The only places of `unsafe`: the foreign calls, and what their tests call beside them.
const UNSAFE: &[&str] = &["crates/crypto-ffi/src/library.rs", "crates/crypto-ffi/src/library/tests.rs"];

#[test]
fn only_the_foreign_calls_are_unsafe() {
    let mut offences = Vec::new();
    let mut unused = BTreeSet::from_iter(UNSAFE.iter().copied());
    for source in SOURCES.iter() {
        let found = || (0..source.tokens.len()).filter(|at| source.is(*at, "unsafe"));
        let lifted = (0..source.tokens.len()).filter(|at| source.is(*at, "unsafe_code"));
        if !UNSAFE.contains(&source.path.as_str()) {
            offences.extend(found().chain(lifted).map(|at| source.place(at)));
        } else if found().next().is_some() {
            unused.remove(source.path.as_str());
        }
    }
    offences.extend(unused.iter().map(|path| format!("{path}: nothing is unsafe any more")));
    none("`unsafe`, or its lint lifted:", &offences);
}

/// Lints that nothing but tests may lift, whatever the reason.
const NEVER_LIFTED: &[&str] = &[
    "unwrap_used",
    "expect_used",
    "indexing_slicing",
    "panic",
    "todo",
    "unimplemented",
    "dbg_macro",
    "missing_docs",
    "unreachable_pub",
    "dead_code",
    "all",
    "pedantic",
];

#[test]
fn lints_are_lifted_by_expect_and_those_about_panics_only_in_tests() {
    let mut offences = Vec::new();
    for source in SOURCES.iter() {
        let kept: BTreeSet<_> = source.production().collect();
        for attribute in source.attributes() {
            for at in attribute.clone().filter(|at| source.is(at + 1, "(")) {
                if source.is(at, "allow") || source.is(at, "warn") {
                    offences.push(format!("{}: allow or warn", source.place(at)));
                }
                let lifted = attribute.clone().filter(|at| NEVER_LIFTED.iter().any(|lint| source.is(*at, lint)));
                if source.is(at, "expect") && kept.contains(&at) {
                    offences.extend(lifted.map(|at| format!("{}: {}", source.place(at), source.tokens[at].text)));
                }
            }
        }
    }
    none("A lint lifted where it may not be:", &offences);
}

/// What only some places may name outside tests.
struct Reserved {
    what: &'static str,
    /// Each a sequence of tokens.
    words: &'static [&'static [&'static str]],
    /// Beginnings of paths.
    places: &'static [&'static str],
}

const RESERVED: &[Reserved] = &[
    Reserved {
        what: "a clock",
        words: &[&["SystemTime"], &["Instant"], &["UNIX_EPOCH"], &["::", "now"]],
        places: &["bench/src/", "crates/server/src/"],
    },
    Reserved {
        what: "a timer",
        words: &[&["tokio", "::", "time"], &["thread", "::", "sleep"]],
        // The engine: the delay of an injected fault, in `dev`.
        places: &["crates/engine/src/engine.rs", "crates/server/src/"],
    },
    Reserved {
        what: "a thread",
        words: &[&["thread", "::", "spawn"], &["thread", "::", "Builder"], &["thread", "::", "scope"]],
        // The engine: the pool for heavy cryptography. The store: its one writer.
        places: &["crates/engine/src/heavy.rs", "crates/store/src/embedded/mod.rs"],
    },
    Reserved {
        what: "a task",
        words: &[&["tokio", "::", "spawn"], &["spawn_blocking"], &["spawn_local"], &["JoinSet"]],
        // The engine: the audit log goes to disk beside the calls. The binary: an operator's search of that log.
        places: &[
            "bench/src/",
            "crates/claviger/src/explain_request.rs",
            "crates/claviger/src/key_impact.rs",
            "crates/claviger/src/uses.rs",
            "crates/engine/src/outbox.rs",
            "crates/server/src/",
        ],
    },
    Reserved {
        what: "a socket",
        words: &[&["TcpListener"], &["TcpStream"], &["UdpSocket"], &["UnixListener"], &["UnixStream"], &["TcpSocket"]],
        places: &["bench/src/", "crates/server/src/"],
    },
    Reserved {
        what: "a cryptographic library",
        words: &[&["aws_lc_rs"], &["aws_lc_sys"], &["aws_lc_fips_sys"], &["ring"]],
        // Bench: the bare library, to compare with. The server: rustls's choice of provider.
        places: &[
            "bench/src/library.rs",
            "crates/crypto/src/",
            "crates/crypto-ffi/src/library.rs",
            "crates/server/src/tls.rs",
        ],
    },
    Reserved { what: "SQL", words: &[&["rusqlite"]], places: &["crates/store/src/embedded/"] },
];

#[test]
fn clocks_threads_and_sockets_stay_in_their_places() {
    let mut offences = Vec::new();
    for Reserved { what, words, places } in RESERVED {
        let mut unused = BTreeSet::from_iter(*places);
        for source in SOURCES.iter() {
            let mut found = source.production().filter(|at| words.iter().any(|word| source.are(*at, word)));
            match places.iter().find(|place| source.path.starts_with(**place)) {
                Some(place) if found.next().is_some() => drop(unused.remove(place)),
                Some(_) => {}
                None => offences.extend(found.map(|at| format!("{}: {what}", source.place(at)))),
            }
        }
        offences.extend(unused.iter().map(|place| format!("{place}: has no use for {what} any more")));
    }
    none("Used outside its place:", &offences);
}

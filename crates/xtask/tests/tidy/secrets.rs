//! Where secrets are laid open.

use std::collections::BTreeMap;

use crate::none;
use crate::repository::text;
use crate::source::SOURCES;

const TABLE: &str = "crates/xtask/exposures.txt";

/// Each call of `expose` or `expose_mut` outside tests, counted by file: the list an auditor reads. It may shrink; a
/// file or a number more is a decision to be reviewed.
#[test]
fn secrets_are_exposed_only_where_the_list_says() {
    let mut found = BTreeMap::new();
    for source in SOURCES.iter() {
        let named = |at: usize| source.is(at, "expose") || source.is(at, "expose_mut");
        let called = |at: &usize| named(*at) && (source.is(at - 1, ".") || source.is(at - 1, "::"));
        let count = source.production().filter(called).count();
        if count > 0 {
            found.insert(source.path.clone(), count);
        }
    }
    let table = text(TABLE).unwrap();
    let mut listed: BTreeMap<String, usize> = BTreeMap::new();
    let mut offences = Vec::new();
    for line in table.lines().filter(|line| !line.is_empty() && !line.starts_with('#')) {
        let cells: Vec<_> = line.split('|').map(str::trim).collect();
        let [path, count, reason] = cells[..] else { panic!("{TABLE}: {line}") };
        if reason.len() < 10 {
            offences.push(format!("{path}: no reason"));
        }
        listed.insert(path.to_owned(), count.parse().unwrap());
    }
    for (path, count) in &found {
        match listed.get(path) {
            Some(known) if known == count => {}
            Some(known) if known < count => offences.push(format!("{path}: {count} calls, {known} are listed")),
            Some(known) => offences.push(format!("{path}: {count} calls are left of {known}; lower the number")),
            None => offences.push(format!("{path}: {count} calls, none is listed")),
        }
    }
    let gone = listed.keys().filter(|path| !found.contains_key(*path));
    offences.extend(gone.map(|path| format!("{path}: no call is left; take the line out")));
    none(&format!("Secrets are exposed otherwise than {TABLE} says:"), &offences);
}

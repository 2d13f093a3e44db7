//! The report of who would miss a key, in lines for people.

use std::collections::{BTreeMap, BTreeSet};

use claviger_server::{CallerShown, KeyImpactShown, KeyShown, LogRead};

/// The report, line by line.
pub(crate) fn lines(report: &KeyImpactShown) -> Vec<String> {
    let mut lines = vec![format!("key       {}", report.arn)];
    match &report.key {
        Some(key) => lines.extend(of_key(key)),
        None => lines.push("state     it is there no more; what follows is from the audit log".to_owned()),
    }
    lines.push(String::new());
    lines.extend(of_log(&report.log));
    if report.callers.is_empty() {
        lines.push("Nobody used the key or tried to, as far as this log goes back.".to_owned());
    }
    for caller in &report.callers {
        lines.push(String::new());
        lines.extend(of_caller(caller));
    }
    if report.callers_left_out > 0 {
        lines.push(String::new());
        lines.push(format!("and {} calls or callers more than a report holds", report.callers_left_out));
    }
    lines
}

fn line(label: &str, text: &str) -> String {
    format!("{label:<10}{text}")
}

fn of_key(key: &KeyShown) -> Vec<String> {
    let state = match &key.deletion_date {
        Some(date) => format!("{}, to be destroyed {date}", key.state),
        None => key.state.clone(),
    };
    let kind = format!("{} {} {}", key.spec, key.usage, key.origin);
    let mut lines = vec![line("state", &state), line("kind", &kind), line("created", &key.created)];
    if key.materials > 1 {
        lines.push(line("materials", &key.materials.to_string()));
    }
    if let Some(multi_region) = &key.multi_region {
        let regions = key.related_regions.join(", ");
        lines.push(line("regions", &format!("{multi_region}; also in: {regions}")));
    }
    lines.push(line("aliases", &or_none(&key.aliases.join(", "))));
    lines.push(line("grants", &or_none(if key.grants.is_empty() { "" } else { "these:" })));
    for grant in &key.grants {
        let name = grant.name.as_ref().map(|name| format!(" {name:?}")).unwrap_or_default();
        lines.push(format!("    {}{name} to {}: {}", grant.id, grant.grantee, grant.operations.join(", ")));
    }
    if key.more_grants {
        lines.push("    and more than a report holds: ListGrants shows them".to_owned());
    }
    lines.extend(key.lost.iter().map(|lost| line("lost", lost)));
    lines
}

fn or_none(text: &str) -> String {
    if text.is_empty() { "none".to_owned() } else { text.to_owned() }
}

fn of_log(log: &LogRead) -> Vec<String> {
    let oldest = log.oldest.as_deref().unwrap_or("the beginning");
    let since = log.since.as_ref().map(|since| format!("; counted since {since}")).unwrap_or_default();
    let mut lines = vec![line("log", &format!("{} records, back to {oldest}{since}", log.records))];
    lines.push(match &log.first_fault {
        None => {
            line("verified", "all of them, with the key in the log's directory; `claviger audit verify` takes another")
        }
        Some(fault) => line("verified", &format!("NOT: {fault}; {} records before that are sound", log.sound)),
    });
    if log.unreadable > 0 {
        lines.push(line("unread", &format!("{} lines could not be read and are not counted", log.unreadable)));
    }
    lines
}

fn of_caller(caller: &CallerShown) -> Vec<String> {
    let CallerShown { arn, id, uses, other_calls, denied, failed, last_seen, .. } = caller;
    let mut lines = vec![line("caller", &if id.is_empty() { arn.clone() } else { format!("{arn} ({id})") })];
    let span =
        caller.first_use.iter().zip(&caller.last_use).map(|(first, last)| format!(", first {first}, last {last}"));
    lines.push(format!("    uses      {uses}{}", span.collect::<String>()));
    lines.push(format!(
        "    besides   {other_calls} other calls, {denied} denied, {failed} failed; last seen {last_seen}"
    ));
    let counted = |map: &BTreeMap<String, u64>| {
        let each: Vec<_> = map.iter().map(|(name, count)| format!("{name} {count}")).collect();
        each.join(", ")
    };
    let listed = |set: &BTreeSet<String>| set.iter().cloned().collect::<Vec<_>>().join(", ");
    for (label, text) in [
        ("by", counted(&caller.operations)),
        ("alias", counted(&caller.aliases)),
        ("grant", counted(&caller.grants)),
        ("context", listed(&caller.context_keys)),
        ("from", listed(&caller.addresses)),
        ("sessions", listed(&caller.sessions)),
    ] {
        if !text.is_empty() {
            lines.push(format!("    {label:<10}{text}"));
        }
    }
    if caller.cut {
        lines.push("    and more of these than a report holds".to_owned());
    }
    lines
}

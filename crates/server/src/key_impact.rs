//! The report of who would miss a key, as the operator face carries it.

use std::collections::{BTreeMap, BTreeSet};

use serde::{Deserialize, Serialize};

/// Which key a report is wanted about.
#[derive(Clone, Debug, Default, PartialEq, Eq, Serialize, Deserialize)]
#[serde(deny_unknown_fields, rename_all = "camelCase")]
pub struct KeyImpact {
    /// Its id or ARN, or the name or ARN of an alias.
    pub key: String,
    /// Its Region, where its name does not say it; absent for us-east-1, or the first that is served.
    #[serde(default)]
    pub region: Option<String>,
    /// Its account, which the name of an alias needs.
    #[serde(default)]
    pub account: Option<String>,
    /// Nothing before this counts: a day or an instant, as ISO 8601 has them.
    #[serde(default)]
    pub since: Option<String>,
}

/// Who would miss a key.
#[derive(Clone, Debug, Default, PartialEq, Eq, Serialize, Deserialize)]
#[serde(rename_all = "camelCase")]
pub struct KeyImpactShown {
    /// The ARN of the key.
    pub arn: String,
    /// The key as it is now; none when it is there no more.
    pub key: Option<KeyShown>,
    /// What was read of the audit log.
    pub log: LogRead,
    /// Each caller, who used it last first.
    pub callers: Vec<CallerShown>,
    /// Callers beyond those that are shown; there were more than a report holds.
    pub callers_left_out: u64,
}

/// A key as it is now.
#[derive(Clone, Debug, Default, PartialEq, Eq, Serialize, Deserialize)]
#[serde(rename_all = "camelCase")]
pub struct KeyShown {
    /// `Enabled` and the like, as AWS names it.
    pub state: String,
    /// When it will be destroyed, in ISO 8601.
    pub deletion_date: Option<String>,
    /// Its spec, as AWS names it.
    pub spec: String,
    /// Its usage, as AWS names it.
    pub usage: String,
    /// Where its material comes from, as AWS names it.
    pub origin: String,
    /// When it was made, in ISO 8601.
    pub created: String,
    /// How many materials it has, those of earlier rotations among them.
    pub materials: usize,
    /// `PRIMARY` or `REPLICA`, of a multi-Region key.
    pub multi_region: Option<String>,
    /// The other Regions of a multi-Region key.
    pub related_regions: Vec<String>,
    /// The names of its aliases.
    pub aliases: Vec<String>,
    /// Its grants, as many as a report holds.
    pub grants: Vec<GrantShown>,
    /// Whether it has more grants than these.
    pub more_grants: bool,
    /// What goes with the key, sentence by sentence.
    pub lost: Vec<String>,
}

/// A grant.
#[derive(Clone, Debug, Default, PartialEq, Eq, Serialize, Deserialize)]
#[serde(rename_all = "camelCase")]
pub struct GrantShown {
    /// Its id.
    pub id: String,
    /// What its maker calls it.
    pub name: Option<String>,
    /// Who may use the key by it.
    pub grantee: String,
    /// What it allows.
    pub operations: Vec<String>,
}

/// What was read of the audit log.
#[derive(Clone, Debug, Default, PartialEq, Eq, Serialize, Deserialize)]
#[serde(rename_all = "camelCase")]
pub struct LogRead {
    /// Records of calls, all of them.
    pub records: u64,
    /// Those that were checked and are as they were written.
    pub sound: u64,
    /// Lines that could not be read.
    pub unreadable: u64,
    /// The first thing that is wrong with the log; what comes after it was not checked.
    pub first_fault: Option<String>,
    /// The time of the oldest record of a call, in ISO 8601.
    pub oldest: Option<String>,
    /// Nothing before this was counted.
    pub since: Option<String>,
}

/// One caller's use of a key. Whatever there may be many of is cut off at a bound.
#[derive(Clone, Debug, Default, PartialEq, Eq, Serialize, Deserialize)]
#[serde(rename_all = "camelCase")]
pub struct CallerShown {
    /// The ARN of the user, root or federated session, of a session of a role that of the role.
    pub arn: String,
    /// The unique id, which a namesake does not share.
    pub id: String,
    /// Cryptographic operations that succeeded.
    pub uses: u64,
    /// The first of them, in ISO 8601.
    pub first_use: Option<String>,
    /// The last of them.
    pub last_use: Option<String>,
    /// Other calls about the key that succeeded.
    pub other_calls: u64,
    /// Calls that were not allowed.
    pub denied: u64,
    /// Calls that failed otherwise.
    pub failed: u64,
    /// The last call of any kind.
    pub last_seen: String,
    /// How often each operation succeeded.
    pub operations: BTreeMap<String, u64>,
    /// By which aliases the key was named, and how often.
    pub aliases: BTreeMap<String, u64>,
    /// Which grants allowed a call, and how often.
    pub grants: BTreeMap<String, u64>,
    /// The names in encryption contexts, without the values.
    pub context_keys: BTreeSet<String>,
    /// Where calls came from.
    pub addresses: BTreeSet<String>,
    /// The names of a role's sessions.
    pub sessions: BTreeSet<String>,
    /// Whether there was more of something than is shown.
    pub cut: bool,
}

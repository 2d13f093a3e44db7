//! The evaluator against its second opinion, on generated policies, callers and sources.
#![expect(clippy::unwrap_used, clippy::indexing_slicing, reason = "tests")]

mod spec;

use std::borrow::Cow;
use std::cell::Cell;

use claviger_policy::{
    AccountId, ConditionKey, Context, Decision, Document, Effect, Explanation, GrantReference, KeyKind, Limits,
    Principal, PrincipalKind, PrincipalName, Question, Reason, ResourcePolicy, Source, Sources, StatementReference,
    UniqueId, decide, explain,
};
use proptest::prelude::*;
use serde_json::{Value, json};

const HOME: &str = "111122223333";
const AWAY: &str = "444455556666";
const NAMES: &[&str] = &[
    "*",
    HOME,
    AWAY,
    "arn:aws:iam::111122223333:root",
    "arn:aws:iam::444455556666:root",
    "arn:aws:iam::111122223333:user/team/alice",
    "arn:aws:iam::444455556666:user/alice",
    "arn:aws:iam::111122223333:role/service/worker",
    "arn:aws:iam::111122223333:role/worker",
    "arn:aws:sts::111122223333:assumed-role/worker/one",
    "arn:aws:sts::111122223333:assumed-role/worker/two",
    "arn:aws:sts::111122223333:federated-user/guest",
    "arn:aws:iam::111122223333:user/bob",
];
const PROVIDERS: &[&str] = &[
    "arn:aws:iam::111122223333:oidc-provider/issuer.example/a",
    "arn:aws:iam::111122223333:oidc-provider/issuer.example",
];
const TRUST_PATTERNS: &[&str] = &[
    "sts:AssumeRole*",
    "sts:AssumeRole",
    "STS:assumeRoleWithWeb*",
    "sts:TagSession",
    "sts:SetSourceIdentity",
    "sts:AssumeRoleWith?ebIdentity",
];
/// What stands for each of [`ACTIONS`] when the resource is a role.
const TRUST_ACTIONS: &[&str] =
    &["sts:AssumeRole", "sts:AssumeRoleWithWebIdentity", "sts:TagSession", "sts:SetSourceIdentity"];
const ACTION_PATTERNS: &[&str] = &[
    "*",
    "kms:*",
    "kms:Encrypt",
    "KMS:encrypt",
    "kms:*crypt",
    "kms:Dec*",
    "kms:?ncrypt",
    "KMS:?NCRYPT",
    "kms:Sign",
    "s3:*",
];
const ACTIONS: &[&str] = &["kms:Encrypt", "kms:Decrypt", "kms:Sign", "kms:ReEncryptFrom"];
const RESOURCE_PATTERNS: &[&str] = &[
    "*",
    "arn:aws:kms:*:*:*",
    "arn:aws:kms:eu-west-1:111122223333:key/*",
    "arn:aws:kms:*:111122223333:key/a?c",
    "arn:aws:kms:eu-*:*:key/abc",
    "arn:aws:kms:*:key/abc:x",
    "arn:aws:kms:us-east-1:444455556666:KEY/abc",
    "arn:aws:s3:::*",
    "arn:aws:kms:*:*:key/${aws:username}",
    "arn:aws:kms:*:*:key/${aws:username, 'abc'}*",
    "arn:aws:kms:*:*:${*}/abc",
];
const RESOURCES: &[&str] = &[
    "*",
    "arn:aws:kms:eu-west-1:111122223333:key/abc",
    "arn:aws:kms:eu-west-1:111122223333:key/a/c:d",
    "arn:aws:kms:us-east-1:444455556666:key/abc",
];

/// One key of each kind, and a family.
const LIMITS: Limits = Limits {
    condition_keys: &[
        &[
            ConditionKey::new("aws:username", KeyKind::String),
            ConditionKey::new("aws:PrincipalArn", KeyKind::Arn),
            ConditionKey::new("aws:SourceIp", KeyKind::IpAddress),
            ConditionKey::new("aws:SecureTransport", KeyKind::Bool),
            ConditionKey::new("aws:CurrentTime", KeyKind::Date),
            ConditionKey::new("aws:EpochTime", KeyKind::NumericOrDate),
        ],
        &[
            ConditionKey::new("kms:CallerAccount", KeyKind::String),
            ConditionKey::family("kms:EncryptionContext:", KeyKind::String),
            ConditionKey::new("kms:EncryptionContextKeys", KeyKind::ArrayOfString),
            ConditionKey::new("kms:PendingWindow", KeyKind::Numeric),
        ],
    ],
    for_all_values_refused: &["kms:EncryptionContext:"],
    ..Limits::KEY_POLICY
};
const CONTEXT_PAIR: &str = "kms:EncryptionContext:app";
/// The keys that policies ask for and requests have.
const KEYS: &[&str] = &[
    "aws:username",
    "aws:PrincipalArn",
    "aws:SourceIp",
    "aws:SecureTransport",
    "aws:CurrentTime",
    "aws:EpochTime",
    "kms:CallerAccount",
    CONTEXT_PAIR,
    "kms:EncryptionContextKeys",
    "kms:PendingWindow",
];
/// Those that every operator may judge.
const TEXT_KEYS: &[&str] = &["aws:username", "kms:CallerAccount", CONTEXT_PAIR, "kms:EncryptionContextKeys"];
const FACTS: &[&str] = &[
    "alice",
    "Alice",
    "abc",
    "a*",
    "secret*x",
    "",
    "5",
    "7.0",
    "true",
    "False",
    "QUJD",
    "qujd",
    "10.1.2.3",
    "10.9.2.3",
    "2026-01-01T00:00:00Z",
    "2026-06-01T00:00:00Z",
    "arn:aws:s3:::bucket",
    "arn:aws:s3:::bucket/a:b",
    "arn:aws:s3:::alice",
];
/// The operators, the values that each may be given, and the keys that it judges besides the text ones.
const OPERATORS: &[(&[&str], &[&str], &[&str])] = &[
    (
        &[
            "StringEquals",
            "StringNotEquals",
            "StringEqualsIgnoreCase",
            "StringNotEqualsIgnoreCase",
            "StringLike",
            "StringNotLike",
        ],
        &[
            "alice",
            "ALICE",
            "a*",
            "secret*",
            "?lice",
            "*",
            "",
            "${aws:username}",
            "${AWS:UserName, 'alice'}",
            "${*}",
            "a${*}",
            "a${?}",
            "x${$}{",
            "${kms:CallerAccount}*",
            "*${kms:EncryptionContext:app}",
        ],
        KEYS,
    ),
    (
        &[
            "NumericEquals",
            "NumericNotEquals",
            "NumericLessThan",
            "NumericLessThanEquals",
            "NumericGreaterThan",
            "NumericGreaterThanEquals",
        ],
        &["5", "7", "5.0", "-1"],
        &["kms:PendingWindow", "aws:EpochTime"],
    ),
    (
        &[
            "DateEquals",
            "DateNotEquals",
            "DateLessThan",
            "DateLessThanEquals",
            "DateGreaterThan",
            "DateGreaterThanEquals",
        ],
        &["2026-01-01T00:00:00Z", "2026-06-01T00:00:00Z", "1767225600", "7"],
        &["aws:CurrentTime", "aws:EpochTime"],
    ),
    (&["Bool"], &["true", "FALSE"], &["aws:SecureTransport"]),
    (&["BinaryEquals"], &["QUJD", "qujd", "QUI=", ""], TEXT_KEYS),
    (&["IpAddress", "NotIpAddress"], &["10.0.0.0/8", "10.1.2.3", "10.1.2.0/24", "0.0.0.0/0"], &["aws:SourceIp"]),
    (
        &["ArnEquals", "ArnLike", "ArnNotEquals", "ArnNotLike"],
        &["arn:aws:s3:::*", "arn:aws:*:::bucket/*", "arn:aws:s3:::${aws:username}", "arn:*:s3:*:*:b?cket"],
        &["aws:PrincipalArn"],
    ),
];

fn condition() -> impl Strategy<Value = Value> {
    let one = prop::sample::select(OPERATORS).prop_flat_map(|(names, values, own_keys)| {
        let prefix = prop::sample::select(&["", "", "ForAnyValue:", "ForAllValues:"][..]);
        let suffix = prop::sample::select(&["", "", "IfExists"][..]);
        let key = prop_oneof![prop::sample::select(TEXT_KEYS), prop::sample::select(own_keys)];
        (prefix, prop::sample::select(names), suffix, key, some_of(values)).prop_map(
            |(prefix, name, suffix, key, values)| {
                // This one is refused at parse.
                let prefix = if key == CONTEXT_PAIR && prefix == "ForAllValues:" { "" } else { prefix };
                (format!("{prefix}{name}{suffix}"), key, values)
            },
        )
    });
    let null = (prop::sample::select(KEYS), some_of(&["true", "false"]))
        .prop_map(|(key, values)| ("Null".to_owned(), key, values));
    let any = prop_oneof![8 => one, 1 => null];
    prop::collection::vec(any, 1..3).prop_map(|all| {
        let mut condition = json!({});
        for (operator, key, values) in all {
            condition[&operator][key] = values;
        }
        condition
    })
}

/// Conditions that most requests meet.
const LIKELY: &[(&str, &str, &str)] = &[
    ("StringLike", "aws:username", "*"),
    ("StringNotEquals", "aws:username", "bob"),
    ("StringLikeIfExists", CONTEXT_PAIR, "*"),
    ("StringNotLike", CONTEXT_PAIR, "x${aws:username}"),
    ("ArnLike", "aws:PrincipalArn", "arn:aws:s3:::*"),
    ("IpAddress", "aws:SourceIp", "10.0.0.0/8"),
    ("Null", "aws:SecureTransport", "false"),
    ("DateGreaterThanEquals", "aws:CurrentTime", "2026-01-01T00:00:00Z"),
    ("NumericLessThanEquals", "aws:EpochTime", "9999999999"),
    ("NumericLessThanEquals", "kms:PendingWindow", "7"),
    ("ForAllValues:StringLike", "kms:EncryptionContextKeys", "*"),
    ("StringNotEquals", "kms:EncryptionContextKeys", "${aws:username}"),
];

fn likely_condition() -> impl Strategy<Value = Value> {
    prop::sample::select(LIKELY).prop_map(|(operator, key, value)| {
        let mut condition = json!({});
        condition[operator][key] = json!(value);
        condition
    })
}

type Facts = Vec<(&'static str, Vec<&'static str>)>;

fn facts() -> impl Strategy<Value = Facts> {
    let values = |key: &'static str| {
        let fit: &[&str] = match key {
            "aws:username" | CONTEXT_PAIR => &["alice", "Alice", "a*", "secret*x", "5"],
            "aws:PrincipalArn" => &["arn:aws:s3:::bucket", "arn:aws:s3:::bucket/a:b", "arn:aws:s3:::alice"],
            "aws:SourceIp" => &["10.1.2.3", "10.9.2.3"],
            "aws:SecureTransport" => &["true", "False"],
            "aws:CurrentTime" => &["2026-01-01T00:00:00Z", "2026-06-01T00:00:00Z"],
            "aws:EpochTime" => &["1767225600", "7", "5"],
            "kms:PendingWindow" => &["5", "7.0"],
            _ => FACTS,
        };
        prop_oneof![
            1 => Just(Vec::new()),
            5 => prop::collection::vec(prop::sample::select(fit), 1..2),
            2 => prop::collection::vec(prop::sample::select(FACTS), 1..2),
            1 => prop::collection::vec(prop::sample::select(FACTS), 2..4),
        ]
    };
    let all: Vec<_> = KEYS.iter().map(|key| values(key)).collect();
    all.prop_map(|all| KEYS.iter().copied().zip(all).collect())
}

struct Known<'a>(&'a spec::Facts);

impl Context for Known<'_> {
    fn values(&self, key: &str) -> Option<Vec<Cow<'_, str>>> {
        let (_, values) = self.0.iter().find(|(name, _)| name.to_lowercase() == key)?;
        Some(values.iter().map(|value| Cow::Borrowed(*value)).collect())
    }
}

fn callers() -> Vec<Principal> {
    let (home, away) = (AccountId::parse(HOME).unwrap(), AccountId::parse(AWAY).unwrap());
    vec![
        Principal::root(home),
        Principal::root(away),
        Principal::user(home, "/team/", "alice"),
        Principal::user(away, "/", "alice"),
        Principal::role_session(home, "/service/", "worker", "one"),
        Principal::role_session(home, "/", "worker", "one"),
        Principal::federated_user(home, NAMES[5], "guest"),
        Principal::web_identity(home, PROVIDERS[0]),
    ]
}

/// The same caller after its user, or the user behind it, has been given another name: one that is not in the policies,
/// or one that is there for somebody else.
fn renamed(caller: &Principal) -> Principal {
    match caller.kind() {
        PrincipalKind::User if caller.account().as_str() == HOME => Principal::user(caller.account(), "/", "bob"),
        PrincipalKind::User => Principal::user(caller.account(), "/", "alicia"),
        PrincipalKind::FederatedUser if caller.provider_arn().is_none() => {
            Principal::federated_user(caller.account(), "arn:aws:iam::111122223333:user/new/alice", "guest")
        }
        _ => caller.clone(),
    }
}

fn some_of(choices: &'static [&'static str]) -> impl Strategy<Value = Value> {
    prop_oneof![
        prop::sample::select(choices).prop_map(|one| json!(one)),
        prop::collection::vec(prop::sample::select(choices), 1..4).prop_map(|many| json!(many)),
    ]
}

/// What a policy is on.
#[derive(Clone, Copy, Debug, PartialEq, Eq)]
enum On {
    Key,
    Role,
    Identity,
}

fn principals(on: On) -> BoxedStrategy<Value> {
    let named = some_of(NAMES).prop_map(|names| json!({"AWS": names}));
    let federated = some_of(PROVIDERS).prop_map(|names| json!({"Federated": names}));
    let both = (some_of(NAMES), some_of(PROVIDERS)).prop_map(|(names, all)| json!({"AWS": names, "Federated": all}));
    let services = if on == On::Role { 1 } else { 0 };
    prop_oneof![5 => Just(json!("*")), 6 => named, services => federated, services => both].boxed()
}

/// Half of the statements are wide, so that enough requests come to the end of a decision.
fn statement(on: On) -> impl Strategy<Value = Value> {
    let rare = prop::bool::weighted(0.15);
    let narrow = (some_of(ACTION_PATTERNS), some_of(RESOURCE_PATTERNS), rare, rare, prop::bool::weighted(0.15));
    let wide = (some_of(&["*", "kms:*"]), some_of(&["*", "arn:aws:kms:*:*:*"]), Just(false), Just(false), Just(false));
    let parts = prop_oneof![1 => narrow, 4 => wide];
    let condition = prop_oneof![
        5 => Just(None),
        1 => condition().prop_map(Some),
        3 => likely_condition().prop_map(Some),
    ];
    let trust = prop_oneof![2 => Just(json!(TRUST_PATTERNS)), 1 => some_of(TRUST_PATTERNS)];
    (principals(on), parts, trust, condition, rare).prop_map(
        move |(principal, (actions, resources, not_action, not_resource, denies), trust, condition, but)| {
            let mut statement = json!({"Effect": if denies { "Deny" } else { "Allow" }});
            if on == On::Role {
                statement["Action"] = trust;
            } else {
                statement[if not_action { "NotAction" } else { "Action" }] = actions;
                statement[if not_resource { "NotResource" } else { "Resource" }] = resources;
            }
            // What a key policy's statement may lack, it has no effect without.
            if but && not_resource && on == On::Key && !denies {
                statement.as_object_mut().unwrap().retain(|name, _| name != "Resource" && name != "NotAction");
            }
            // NotPrincipal is for a Deny, and not for everyone.
            let but = but && denies && on == On::Key && !principal.to_string().contains("\"*\"");
            if on != On::Identity {
                statement[if but { "NotPrincipal" } else { "Principal" }] = principal;
            }
            if let Some(condition) = condition {
                statement["Condition"] = condition;
            }
            statement
        },
    )
}

fn policy(on: On) -> impl Strategy<Value = Value> {
    let version = prop_oneof![6 => Just("2012-10-17"), 1 => Just("2008-10-17")];
    (version, prop::collection::vec(statement(on), 1..4))
        .prop_map(|(version, statements)| json!({"Version": version, "Statement": statements}))
}

/// Every user and role that policies name: its account, its kind and path and name, that of its sessions, and its ids:
/// the present one and that of a namesake before it.
const ENTITIES: [(&str, &str, &str, [&str; 2]); 5] = [
    (HOME, "user/team/alice", "", ["AIDAPRESENT222222222", "AIDAFORMER2222222222"]),
    (HOME, "user/bob", "", ["AIDAPRESENT444444444", "AIDAFORMER4444444444"]),
    (AWAY, "user/alice", "", ["AIDAPRESENT333333333", "AIDAFORMER3333333333"]),
    (HOME, "role/service/worker", "", ["AROAPRESENT222222222", "AROAFORMER2222222222"]),
    (HOME, "role/worker", "assumed-role/worker/", ["AROAPRESENT333333333", "AROAFORMER3333333333"]),
];

fn id_of(name: &str, which: usize) -> Option<&'static str> {
    let of = |(account, entity, sessions, _): &&(&str, &str, &str, _)| {
        let rest = name.split_once(&format!("::{account}:")).map(|(_, rest)| rest);
        rest.is_some_and(|rest| rest == *entity || !sessions.is_empty() && rest.starts_with(sessions))
    };
    ENTITIES.iter().find(of).and_then(|(.., ids)| ids.get(which).copied())
}

/// Every policy and grant that there is.
#[derive(Clone, Debug)]
struct Texts {
    /// `key`, `role`, `either`, `none`, or `grants` for what only grants open.
    resource: &'static str,
    resource_policy: Value,
    /// To which of its ids each of [`NAMES`] is bound; 2 for none.
    bindings: Vec<usize>,
    identity: Vec<Value>,
    boundary: Option<Value>,
    session: Option<Vec<Value>>,
    service_control: Vec<Vec<Value>>,
    /// Grantee, action, and the grantee's id.
    grants: Vec<(String, String, Option<&'static str>)>,
    /// Whether callers have unique ids.
    callers_have_ids: bool,
}

/// One request.
#[derive(Clone, Debug)]
struct Asked {
    caller: Principal,
    /// Which of its ids the caller has, where callers have any; 2 for none.
    id: usize,
    /// Whether its user has another name than when the policy was saved. Roles keep theirs.
    renamed: bool,
    action: &'static str,
    resource: &'static str,
    owner: &'static str,
    cross_account_capable: bool,
    facts: Facts,
}

fn texts() -> impl Strategy<Value = Texts> {
    let few = || prop::collection::vec(policy(On::Identity), 0..3);
    let maybe = |strategy| prop::option::weighted(0.15, strategy);
    let grant = (prop::sample::select(NAMES), prop::sample::select(ACTIONS), which_id());
    let resource = prop_oneof![
        7 => policy(On::Key).prop_map(|policy| ("key", policy)),
        3 => policy(On::Role).prop_map(|policy| ("role", policy)),
        1 => policy(On::Key).prop_map(|policy| ("either", policy)),
        1 => Just(("none", json!({}))),
        1 => Just(("grants", json!({}))),
    ];
    // Most deployments have no ids or have them everywhere.
    let bindings = || prop::collection::vec(which_id(), NAMES.len());
    let ids = prop_oneof![
        6 => Just((vec![2; NAMES.len()], false)),
        3 => bindings().prop_map(|bindings| (bindings, true)),
        1 => (bindings(), any::<bool>()),
    ];
    let sources = (
        resource,
        ids,
        prop::collection::vec(policy(On::Identity), 0..5),
        maybe(policy(On::Identity)),
        prop::option::weighted(0.15, few()),
        prop_oneof![
            3 => Just(Vec::new()),
            1 => prop::collection::vec(prop::collection::vec(policy(On::Identity), 1..3), 1..3),
        ],
        prop::collection::vec(grant, 0..3),
    );
    sources.prop_map(
        |((resource, resource_policy), (bindings, callers_have_ids), identity, boundary, session, levels, grants)| {
            let mut texts = Texts {
                resource,
                resource_policy,
                bindings,
                identity,
                boundary,
                session,
                service_control: levels,
                grants: Vec::new(),
                callers_have_ids,
            };
            for (name, action, which) in grants {
                let id = callers_have_ids.then(|| id_of(name, which)).flatten();
                texts.grants.push((name.to_owned(), action.to_owned(), id));
            }
            if resource == "role" {
                let lists = texts.session.iter_mut().flatten().chain(texts.service_control.iter_mut().flatten());
                texts.identity.iter_mut().chain(&mut texts.boundary).chain(lists).for_each(about_roles);
            }
            texts
        },
    )
}

fn which_id() -> impl Strategy<Value = usize> {
    prop_oneof![8 => Just(0_usize), 1 => Just(1), 1 => Just(2)]
}

/// The same policy about another service.
fn about_roles(policy: &mut Value) {
    for statement in policy["Statement"].as_array_mut().unwrap() {
        for (element, from, to) in [
            ("Action", "kms:Encrypt", "sts:AssumeRole"),
            ("Action", "KMS:encrypt", "STS:assumeRole"),
            ("Action", "kms:Dec", "sts:Assume"),
            ("Action", "kms:Sign", "sts:TagSession"),
            ("Action", "kms:", "sts:"),
            ("Resource", ":kms:", ":iam:"),
        ] {
            if let Some(value) = statement.get_mut(element) {
                *value = serde_json::from_str(&value.to_string().replace(from, to)).unwrap();
            }
        }
    }
}

fn asked() -> impl Strategy<Value = Asked> {
    let question = (
        prop::sample::select(callers()),
        (which_id(), prop::bool::weighted(0.2)),
        prop::sample::select(ACTIONS),
        prop::sample::select(RESOURCES),
        prop_oneof![5 => Just(HOME), 1 => Just(AWAY)],
        prop::bool::weighted(0.9),
        facts(),
    );
    question.prop_map(|(caller, (id, renamed), action, resource, owner, cross_account_capable, facts)| Asked {
        caller,
        id,
        renamed,
        action,
        resource,
        owner,
        cross_account_capable,
        facts,
    })
}

impl Asked {
    /// The caller with the id that it has. One that was renamed since the policy was saved has the id all the same.
    fn caller(&self, texts: &Texts) -> (Principal, Option<&'static str>) {
        let arn = self.caller.parent_arn().unwrap_or(self.caller.arn());
        let id = if texts.callers_have_ids { id_of(arn, self.id) } else { None };
        let caller = if self.renamed { renamed(&self.caller) } else { self.caller.clone() };
        (id.map_or(caller.clone(), |id| caller.with_unique_id(UniqueId::parse(id).unwrap())), id)
    }

    fn action(&self, texts: &Texts) -> &'static str {
        let index = ACTIONS.iter().position(|action| *action == self.action).unwrap();
        if texts.resource == "role" { TRUST_ACTIONS[index] } else { self.action }
    }
}

fn identity(value: &Value) -> Document {
    Document::parse_identity_policy(&value.to_string(), &LIMITS).unwrap()
}

/// The same, compiled.
struct Compiled {
    resource_policy: Option<Document>,
    identity: Vec<Document>,
    boundary: Option<Document>,
    session: Option<Vec<Document>>,
    service_control: Vec<Vec<Document>>,
    grantees: Vec<(PrincipalName, Option<UniqueId>)>,
}

impl Compiled {
    fn new(texts: &Texts) -> Self {
        let all = |list: &[Value]| list.iter().map(identity).collect::<Vec<_>>();
        let text = texts.resource_policy.to_string();
        let resource_policy = match texts.resource {
            "key" | "either" => Some(Document::parse_key_policy(&text, &LIMITS).unwrap()),
            "role" => Some(Document::parse_trust_policy(&text, &LIMITS).unwrap()),
            _ => None,
        };
        let bind = |name: &PrincipalName| {
            let text = name.to_string();
            let which = NAMES.iter().position(|known| *known == text).map(|index| texts.bindings[index])?;
            UniqueId::parse(id_of(&text, which)?)
        };
        // Through the store and back.
        let bound = |document: Document| {
            let stored = document.bind(bind).bindings().to_vec();
            document.with_bindings(stored)
        };
        let grantee = |name: &str, id: &Option<&str>| {
            (PrincipalName::parse(name).unwrap(), id.map(|id| UniqueId::parse(id).unwrap()))
        };
        Self {
            resource_policy: resource_policy.map(bound),
            identity: all(&texts.identity),
            boundary: texts.boundary.as_ref().map(identity),
            session: texts.session.as_deref().map(all),
            service_control: texts.service_control.iter().map(|level| all(level)).collect(),
            grantees: texts.grants.iter().map(|(name, _, id)| grantee(name, id)).collect(),
        }
    }
}

fn fast(texts: &Texts, compiled: &Compiled, asked: &Asked) -> Decision {
    with_sources(texts, compiled, asked, decide)
}

fn with_sources<T>(
    texts: &Texts,
    compiled: &Compiled,
    asked: &Asked,
    ask: impl Fn(&Question<'_>, &Sources<'_>) -> T,
) -> T {
    let actions: Vec<[&str; 1]> = texts.grants.iter().map(|(_, action, _)| [action.as_str()]).collect();
    let grantees = compiled.grantees.iter().zip(&actions);
    let grants: Vec<GrantReference<'_>> = grantees
        .map(|((grantee, id), actions)| GrantReference { id: "g", grantee, bound_to: id.as_ref(), actions })
        .collect();
    let session: Option<Vec<&Document>> = compiled.session.as_ref().map(|list| list.iter().collect());
    let levels: Vec<Vec<&Document>> = compiled.service_control.iter().map(|level| level.iter().collect()).collect();
    let resource_policy = match (&compiled.resource_policy, texts.resource) {
        (Some(document), "role") => ResourcePolicy::Trust(document),
        (Some(document), "either") => ResourcePolicy::EitherSide(document),
        (Some(document), _) => ResourcePolicy::MustAgree(document),
        (None, "grants") => ResourcePolicy::GrantsOnly,
        (None, _) => ResourcePolicy::None,
    };
    let sources = Sources {
        resource_policy,
        identity_policies: &compiled.identity.iter().collect::<Vec<_>>(),
        boundary: compiled.boundary.as_ref(),
        session_policies: session.as_deref(),
        service_control_policies: &levels.iter().map(Vec::as_slice).collect::<Vec<_>>(),
        grants: &grants,
    };
    let question = Question {
        principal: &asked.caller(texts).0,
        action: asked.action(texts),
        resource_arn: asked.resource,
        resource_account: AccountId::parse(asked.owner).unwrap(),
        cross_account_capable: asked.cross_account_capable,
        context: &Known(&asked.facts),
    };
    ask(&question, &sources)
}

fn slow(texts: &Texts, asked: &Asked) -> bool {
    let account = asked.caller.account();
    let (caller, id) = asked.caller(texts);
    let bindings = NAMES.iter().zip(&texts.bindings).filter_map(|(name, which)| Some((*name, id_of(name, *which)?)));
    let asked = spec::Asked {
        kind: match caller.kind() {
            _ if caller.provider_arn().is_some() => "token",
            PrincipalKind::Root => "root",
            PrincipalKind::User => "user",
            PrincipalKind::RoleSession => "session",
            PrincipalKind::FederatedUser => "federated",
        },
        account: account.as_str(),
        arn: caller.arn(),
        parent: caller.parent_arn(),
        id,
        action: asked.action(texts),
        resource: asked.resource,
        owner: asked.owner,
        cross_account_capable: asked.cross_account_capable,
        context: &asked.facts,
    };
    let texts = spec::Texts {
        resource: texts.resource,
        resource_policy: &texts.resource_policy,
        bindings: &bindings.collect::<Vec<_>>(),
        identity: &texts.identity,
        boundary: texts.boundary.as_ref(),
        session: texts.session.as_deref(),
        service_control: &texts.service_control,
        grants: &texts.grants,
    };
    spec::allowed(&asked, &texts)
}

/// Requests that each set of policies is asked about.
const REQUESTS: usize = 20;

/// Pairs of a set of policies and a request: `CLAVIGER_POLICY_PAIRS`, or what a run in debug does in seconds.
fn pairs_wanted() -> usize {
    std::env::var("CLAVIGER_POLICY_PAIRS").map_or(100_000, |text| text.parse().unwrap())
}

#[test]
fn agrees() {
    let cases = u32::try_from(pairs_wanted().div_ceil(REQUESTS)).unwrap();
    let config = ProptestConfig { cases, failure_persistence: None, ..ProptestConfig::default() };
    let mut runner = proptest::test_runner::TestRunner::new(config);
    let (pairs, allowed, conditional) = (Cell::new(0_usize), Cell::new(0_usize), Cell::new(0_usize));
    let requests = prop::collection::vec(asked(), REQUESTS);
    let result = runner.run(&(texts(), requests), |(texts, requests)| {
        let compiled = Compiled::new(&texts);
        for asked in &requests {
            let decision = fast(&texts, &compiled, asked);
            prop_assert_eq!(decision.is_allowed(), slow(&texts, asked), "{:?} {:?}", decision, asked);
            prop_assert_eq!(decision.is_allowed(), allows(decision.reason));
            pairs.set(pairs.get() + 1);
            allowed.set(allowed.get() + usize::from(decision.is_allowed()));
            let settled = decision.statements().any(|statement| has_condition(&texts, statement));
            conditional.set(conditional.get() + usize::from(settled));
        }
        Ok(())
    });
    result.unwrap();
    let (pairs, allowed, conditional) = (pairs.get(), allowed.get(), conditional.get());
    assert!(pairs >= pairs_wanted(), "only {pairs} pairs");
    assert!(allowed * 3 >= pairs, "only {allowed} of {pairs} allowed");
    assert!(conditional * 10 >= pairs, "only {conditional} of {pairs} settled by a statement with a condition");
}

const fn allows(reason: Reason) -> bool {
    match reason {
        Reason::ResourcePolicyAllows | Reason::AccountDelegated | Reason::Grant(_) | Reason::IdentityAllows => true,
        Reason::ExplicitDeny(_) | Reason::NotCrossAccount | Reason::NoAllow(_) | Reason::RootAssumesNoRole => false,
    }
}

/// The text of the policy with a statement.
fn policy_of(texts: &Texts, at: StatementReference) -> &Value {
    let policy = match at.source {
        Source::ResourcePolicy => Some(&texts.resource_policy),
        Source::IdentityPolicy => texts.identity.get(at.policy),
        Source::Boundary => texts.boundary.as_ref(),
        Source::SessionPolicy => texts.session.as_ref().and_then(|list| list.get(at.policy)),
        Source::ServiceControlPolicy => texts.service_control.iter().flatten().nth(at.policy),
    };
    policy.unwrap()
}

/// Whether a statement that settled a decision has a condition.
fn has_condition(texts: &Texts, at: StatementReference) -> bool {
    policy_of(texts, at)["Statement"][at.statement].get("Condition").is_some()
}

/// Only this key policy.
fn only(resource_policy: Value) -> Texts {
    Texts {
        resource: "key",
        resource_policy,
        bindings: vec![2; NAMES.len()],
        identity: Vec::new(),
        boundary: None,
        session: None,
        service_control: Vec::new(),
        grants: Vec::new(),
        callers_have_ids: false,
    }
}

/// The policy that [`Texts`] has at one of its places, if it has one there.
fn policy_at(texts: &mut Texts, place: usize) -> Option<(&mut Value, On)> {
    let on = if texts.resource == "role" { On::Role } else { On::Key };
    let has_policy = matches!(texts.resource, "key" | "role" | "either");
    match place {
        0 if has_policy => Some((&mut texts.resource_policy, on)),
        1 => texts.identity.first_mut().map(|policy| (policy, On::Identity)),
        2 => texts.boundary.as_mut().map(|policy| (policy, On::Identity)),
        3 => texts.session.as_mut().and_then(|list| list.first_mut()).map(|policy| (policy, On::Identity)),
        4 => texts.service_control.iter_mut().flatten().next().map(|policy| (policy, On::Identity)),
        _ => None,
    }
}

/// A statement for each sort of policy, of this effect.
fn statements(effect: &'static str) -> impl Strategy<Value = [Value; 3]> {
    (statement(On::Key), statement(On::Role), statement(On::Identity)).prop_map(move |(key, role, identity)| {
        [key, role, identity].map(|mut statement| {
            // NotPrincipal is for a Deny only.
            if let Some(but) = statement.as_object_mut().unwrap().remove("NotPrincipal") {
                statement["Principal"] = but;
            }
            statement["Effect"] = json!(effect);
            statement
        })
    })
}

/// The same policies with one statement more at one place, if there is a policy.
fn with_statement(texts: &Texts, place: usize, statements: &[Value; 3]) -> Option<Texts> {
    let mut more = texts.clone();
    let of_role = texts.resource == "role";
    let (policy, on) = policy_at(&mut more, place)?;
    let mut extra = json!({"Statement": [statements[on as usize]]});
    if of_role && on == On::Identity {
        about_roles(&mut extra);
    }
    policy["Statement"].as_array_mut().unwrap().push(extra["Statement"][0].clone());
    Some(more)
}

fn answer(texts: &Texts, asked: &Asked) -> bool {
    fast(texts, &Compiled::new(texts), asked).is_allowed()
}

proptest! {
    #![proptest_config(ProptestConfig { cases: 2_000, failure_persistence: None, ..ProptestConfig::default() })]

    /// A single statement for everyone, so that nothing but its conditions decides.
    #[test]
    fn conditions_agree(
        condition in condition(),
        requests in prop::collection::vec(facts(), 12),
        effect in prop::sample::select(&["Allow", "Deny"][..]),
        version in prop::sample::select(&["2008-10-17", "2012-10-17"][..]),
    ) {
        let statement = |effect: &str| json!({"Effect": effect, "Principal": "*", "Action": "*", "Resource": "*"});
        let mut decisive = statement(effect);
        decisive["Condition"] = condition;
        let mut statements = vec![decisive];
        if effect == "Deny" {
            statements.push(statement("Allow"));
        }
        let texts = only(json!({"Version": version, "Statement": statements}));
        let compiled = Compiled::new(&texts);
        for facts in requests {
            let asked = Asked {
                caller: callers().remove(0),
                id: 2,
                renamed: false,
                action: ACTIONS[0],
                resource: RESOURCES[1],
                owner: HOME,
                cross_account_capable: true,
                facts,
            };
            let decision = fast(&texts, &compiled, &asked);
            prop_assert_eq!(decision.is_allowed(), slow(&texts, &asked), "{:?} {:?}", decision, asked);
        }
    }

    /// A single statement for everyone, so that nothing but its actions and resources decides.
    #[test]
    fn elements_agree(
        (actions, resources) in (some_of(ACTION_PATTERNS), some_of(RESOURCE_PATTERNS)),
        (not_action, not_resource) in (any::<bool>(), any::<bool>()),
        (has_action, has_resource) in (prop::bool::weighted(0.9), prop::bool::weighted(0.9)),
        effect in prop::sample::select(&["Allow", "Deny"][..]),
        version in prop::sample::select(&["2008-10-17", "2012-10-17", "2012-10-17"][..]),
        requests in prop::collection::vec(asked(), 12),
    ) {
        let open = json!({"Effect": "Allow", "Principal": "*", "Action": "*", "Resource": "*"});
        let mut decisive = json!({"Effect": effect, "Principal": "*"});
        if has_action {
            decisive[if not_action { "NotAction" } else { "Action" }] = actions;
        }
        if has_resource {
            decisive[if not_resource { "NotResource" } else { "Resource" }] = resources;
        }
        let statements = if effect == "Deny" { vec![decisive, open] } else { vec![decisive] };
        let texts = only(json!({"Version": version, "Statement": statements}));
        let compiled = Compiled::new(&texts);
        for asked in requests {
            let asked = Asked { caller: callers().remove(0), owner: HOME, ..asked };
            let decision = fast(&texts, &compiled, &asked);
            prop_assert_eq!(decision.is_allowed(), slow(&texts, &asked), "{:?} {:?}", decision, asked);
        }
    }

    /// A single statement about everything, so that nothing but its names decides, and what the caller has besides.
    #[test]
    fn names_agree(
        (on, names) in prop_oneof![Just(On::Key), Just(On::Role)].prop_flat_map(|on| (Just(on), principals(on))),
        (effect, but) in prop_oneof![Just(("Allow", false)), Just(("Deny", false)), Just(("Deny", true))],
        bindings in prop::collection::vec(0_usize..3, NAMES.len()),
        grantee in prop::sample::select(NAMES),
        own in prop::option::of(Just(json!({"Statement": [{"Effect": "Allow", "Action": "*", "Resource": "*"}]}))),
        requests in prop::collection::vec(
            (prop::sample::select(callers()), 0_usize..3, any::<bool>(), any::<bool>()),
            12,
        ),
    ) {
        let everything = |effect: &str| match on {
            On::Role => json!({"Effect": effect, "Principal": "*", "Action": TRUST_PATTERNS}),
            On::Key | On::Identity => json!({"Effect": effect, "Principal": "*", "Action": "*", "Resource": "*"}),
        };
        let mut decisive = everything(effect);
        let but = but && on == On::Key && !names.to_string().contains("\"*\"");
        if but {
            decisive.as_object_mut().unwrap().remove("Principal");
        }
        decisive[if but { "NotPrincipal" } else { "Principal" }] = names;
        let mut open = everything("Allow");
        open["Principal"] = json!({"AWS": ["*"]});
        if on == On::Role {
            open["Principal"]["Federated"] = json!(PROVIDERS);
        }
        let statements = if effect == "Deny" { vec![decisive, open] } else { vec![decisive] };
        let resource = if on == On::Role { "role" } else { "key" };
        let grants = bindings.iter().map(|which| {
            (grantee.to_owned(), ACTIONS[0].to_owned(), id_of(grantee, *which))
        });
        let texts = Texts {
            resource,
            grants: grants.take(1).collect(),
            bindings,
            identity: own.into_iter().collect(),
            callers_have_ids: true,
            ..only(json!({"Statement": statements}))
        };
        let compiled = Compiled::new(&texts);
        for (caller, id, renamed, at_home) in requests {
            let owner = if at_home { HOME } else { AWAY };
            let asked = Asked {
                caller,
                id,
                renamed,
                action: ACTIONS[usize::from(!at_home)],
                resource: RESOURCES[1],
                owner,
                cross_account_capable: true,
                facts: Vec::new(),
            };
            let decision = fast(&texts, &compiled, &asked);
            prop_assert_eq!(decision.is_allowed(), slow(&texts, &asked), "{:?} {:?}", decision, asked);
        }
    }

    /// Explaining decides the same, and its parts add up to it.
    #[test]
    fn explaining_decides_the_same(texts in texts(), asked in asked()) {
        let compiled = Compiled::new(&texts);
        let decision = fast(&texts, &compiled, &asked);
        let explanation = with_sources(&texts, &compiled, &asked, explain);
        prop_assert_eq!(explanation.decision, decision);
        let summary = with_sources(&texts, &compiled, &asked, |_, sources| decision.explain(sources));
        prop_assert_eq!(&explanation.summary, &summary);
        prop_assert!(explanation.to_string().starts_with(&summary));
        adds_up(&texts, &asked, &explanation)?;
    }

    /// Any text at all gets an answer; a policy with some of its text overwritten too, and what is taken is answered.
    #[test]
    fn parsing_never_panics(
        policy in prop_oneof![policy(On::Key), policy(On::Role)],
        noise in r#"[ -~\u{0}\u{7f}-\u{101}\\"{}\[\]:$*]{0,12}"#,
        at in any::<prop::sample::Index>(),
        length in 0_usize..12,
    ) {
        let mut text: Vec<char> = policy.to_string().chars().collect();
        let start = at.index(text.len());
        let end = text.len().min(start + length);
        text.splice(start..end, noise.chars());
        let text: String = text.into_iter().collect();
        let parsers = [Document::parse_key_policy, Document::parse_identity_policy, Document::parse_trust_policy];
        for (text, parse) in [&noise, &text].into_iter().flat_map(|text| parsers.map(|parse| (text, parse))) {
            let Ok(document) = parse(text, &LIMITS) else { continue };
            let document = document.bind(|name| UniqueId::parse(id_of(&name.to_string(), 0)?));
            let caller = callers().remove(0);
            let question = Question {
                principal: &caller,
                action: ACTIONS[0],
                resource_arn: RESOURCES[1],
                resource_account: caller.account(),
                cross_account_capable: true,
                context: &Known(&[]),
            };
            let sources = Sources::key_policy(&document);
            prop_assert!(!explain(&question, &sources).to_string().is_empty());
            prop_assert_eq!(document.spans().len(), document.statement_count());
            prop_assert_eq!(document.text_with(|_, _| true), document.text());
            let _ = document.text_with(|_, _| false);
        }
    }

    /// Whatever allows: a Deny that speaks about the request has the last word.
    #[test]
    fn an_explicit_deny_wins(texts in texts(), asked in asked(), place in 0_usize..5) {
        let everyone = json!({"Effect": "Deny", "Principal": "*", "Action": "*", "Resource": "*"});
        let role = json!({"Effect": "Deny", "Principal": "*", "Action": TRUST_PATTERNS});
        let attached = json!({"Effect": "Deny", "Action": "*", "Resource": "*"});
        if let Some(texts) = with_statement(&texts, place, &[everyone, role, attached]) {
            prop_assert!(!answer(&texts, &asked));
        }
    }

    /// One more Deny statement, in any policy, never opens what was shut.
    #[test]
    fn a_deny_never_allows(texts in texts(), asked in asked(), place in 0_usize..5, deny in statements("Deny")) {
        if let Some(more) = with_statement(&texts, place, &deny) {
            prop_assert!(answer(&texts, &asked) || !answer(&more, &asked));
        }
    }

    /// One more Allow statement, in any policy, never shuts what was open.
    #[test]
    fn an_allow_never_denies(texts in texts(), asked in asked(), place in 0_usize..5, allow in statements("Allow")) {
        if let Some(more) = with_statement(&texts, place, &allow) {
            prop_assert!(answer(&more, &asked) || !answer(&texts, &asked));
        }
    }

    /// Without a word about the caller, its account or everyone, a key policy and identity policies open nothing.
    #[test]
    fn unnamed_means_denied(texts in texts(), asked in asked()) {
        let resource_policy = json!({"Statement": {"Effect": "Allow", "Action": "*", "Resource": "*",
            "Principal": {"AWS": "999999999999"}}});
        let texts = Texts { identity: texts.identity, session: texts.session, ..only(resource_policy) };
        prop_assert!(!answer(&texts, &asked));
    }

    /// Once every entity is another than when the policy was saved, only accounts, everyone and sessions of no entity
    /// are named.
    #[test]
    fn namesakes_get_nothing(texts in texts(), asked in asked()) {
        let mut texts = Texts { bindings: vec![1; NAMES.len()], callers_have_ids: true, ..texts };
        texts.grants.clear();
        let asked = Asked { id: 0, ..asked };
        let named = |text: &str| [":user/", ":role/", ":assumed-role/"].iter().any(|kind| text.contains(kind));
        if matches!(texts.resource, "key" | "role" | "either") && answer(&texts, &asked) {
            // What is left must open it without those names too.
            for statement in texts.resource_policy["Statement"].as_array_mut().unwrap() {
                let principal = statement.get_mut("Principal");
                let Some(names) = principal.and_then(|names| names.get_mut("AWS")) else { continue };
                let all = names.as_array().cloned().unwrap_or_else(|| vec![names.clone()]);
                let kept: Vec<Value> = all.into_iter().filter(|name| !named(name.as_str().unwrap())).collect();
                *names = if kept.is_empty() { json!("999999999999") } else { json!(kept) };
            }
            prop_assert!(answer(&texts, &asked));
        }
    }
}

/// Each statement of an explanation says of itself what the whole says.
fn adds_up(texts: &Texts, asked: &Asked, explanation: &Explanation) -> Result<(), TestCaseError> {
    let denied = matches!(explanation.decision.reason, Reason::ExplicitDeny(_));
    // Another account's resource that is not open to the caller is refused before its own side is read.
    let stopped = matches!(
        explanation.decision.reason,
        Reason::NotCrossAccount | Reason::RootAssumesNoRole | Reason::NoAllow(Source::ResourcePolicy)
    );
    let denies = explanation.statements.iter().any(|it| it.applies && it.effect == Effect::Deny);
    prop_assert!(denied == denies || stopped);
    for statement in &explanation.statements {
        prop_assert!(statement.applies || !statement.settles, "{statement:?}");
        let written = &policy_of(texts, statement.place)["Statement"][statement.place.statement];
        let conditions = written
            .get("Condition")
            .map_or(0, |all| all.as_object().unwrap().values().map(|keys| keys.as_object().unwrap().len()).sum());
        prop_assert_eq!(statement.conditions.len(), conditions);
        prop_assert!(statement.span.is_some());
        for condition in &statement.conditions {
            let values = asked.facts.iter().find(|(key, _)| *key == condition.key).map(|(_, values)| values);
            prop_assert_eq!(values.unwrap(), &condition.request_values);
            prop_assert_eq!(explanation.missing_keys.contains(&condition.key), condition.request_values.is_empty());
        }
    }
    let settling = explanation.statements.iter().filter(|statement| statement.settles).count();
    prop_assert_eq!(settling, explanation.decision.statements().count());
    let granted = explanation.grants.iter().any(|grant| grant.allows);
    prop_assert!(granted || !matches!(explanation.decision.reason, Reason::Grant(_)));
    Ok(())
}

/// The generator must not be so poor that everything is denied for the first reason.
#[test]
fn the_generator_reaches_every_reason() {
    use proptest::strategy::ValueTree;
    let mut runner = proptest::test_runner::TestRunner::deterministic();
    let mut seen = std::collections::BTreeSet::new();
    let requests = prop::collection::vec(asked(), REQUESTS);
    for _ in 0..1_500 {
        let (texts, requests) = (texts(), &requests).new_tree(&mut runner).unwrap().current();
        let compiled = Compiled::new(&texts);
        for asked in requests {
            let reason = match fast(&texts, &compiled, &asked).reason {
                Reason::Grant(_) => "Grant".to_owned(),
                other => format!("{other:?}"),
            };
            seen.insert(format!("{} {reason}", texts.resource));
        }
    }
    // Among the fewer sets of the others, those that deny in a rare place are too rare to be counted on.
    let rare = ["ExplicitDeny(Boundary)", "ExplicitDeny(ServiceControlPolicy)", "ExplicitDeny(SessionPolicy)"];
    seen.retain(|it| it.starts_with("key") || !rare.iter().any(|reason| it.ends_with(reason)));
    let common =
        ["ExplicitDeny(IdentityPolicy)", "NoAllow(ResourcePolicy)", "NoAllow(ServiceControlPolicy)", "NotCrossAccount"];
    let ceilings = ["NoAllow(Boundary)", "NoAllow(IdentityPolicy)", "NoAllow(SessionPolicy)"];
    let policy = ["AccountDelegated", "ExplicitDeny(ResourcePolicy)", "ResourcePolicyAllows"];
    let all: [(&str, &[&[&str]]); 5] = [
        ("key", &[&common, &rare, &ceilings, &policy, &["Grant"]]),
        ("role", &[&common, &ceilings, &policy, &["RootAssumesNoRole"]]),
        ("either", &[&common, &ceilings, &policy, &["IdentityAllows"]]),
        ("none", &[&common, &ceilings, &["IdentityAllows"]]),
        ("grants", &[&common, &["Grant"]]),
    ];
    let all: std::collections::BTreeSet<String> = all
        .iter()
        .flat_map(|(resource, lists)| lists.iter().copied().flatten().map(move |reason| format!("{resource} {reason}")))
        .collect();
    assert_eq!(seen, all);
}

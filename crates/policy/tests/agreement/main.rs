//! The evaluator against its second opinion, on generated policies, callers and sources.
#![expect(clippy::unwrap_used, clippy::indexing_slicing, reason = "tests")]

mod spec;

use std::borrow::Cow;

use claviger_policy::{
    AccountId, Context, Decision, Document, GrantReference, Limits, Principal, PrincipalKind, PrincipalName, Question,
    Reason, ResourcePolicy, Sources, decide,
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
];
const ACTION_PATTERNS: &[&str] =
    &["*", "kms:*", "kms:Encrypt", "KMS:encrypt", "kms:*crypt", "kms:Dec*", "kms:?ncrypt", "kms:Sign", "s3:*"];
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

const KEYS: &[&str] = &[
    "aws:username",
    "kms:CallerAccount",
    "kms:EncryptionContext:app",
    "kms:EncryptionContextKeys",
    "aws:SourceIp",
    "aws:CurrentTime",
];
const LIMITS: Limits = Limits {
    condition_keys: &[
        "aws:username",
        "kms:CallerAccount",
        "kms:EncryptionContext:",
        "kms:EncryptionContextKeys",
        "aws:SourceIp",
        "aws:CurrentTime",
    ],
    ..Limits::KEY_POLICY
};
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
    "10.1.2.3",
    "10.9.2.3",
    "2026-01-01T00:00:00Z",
    "2026-06-01T00:00:00Z",
    "arn:aws:s3:::bucket",
    "arn:aws:s3:::bucket/a:b",
    "arn:aws:s3:::alice",
];
/// The operators and the values that each may be given.
const OPERATORS: &[(&[&str], &[&str])] = &[
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
    ),
    (&["Bool"], &["true", "FALSE"]),
    (&["IpAddress", "NotIpAddress"], &["10.0.0.0/8", "10.1.2.3", "10.1.2.0/24", "0.0.0.0/0"]),
    (
        &["ArnEquals", "ArnLike", "ArnNotEquals", "ArnNotLike"],
        &["arn:aws:s3:::*", "arn:aws:*:::bucket/*", "arn:aws:s3:::${aws:username}", "arn:*:s3:*:*:b?cket"],
    ),
];

fn condition() -> impl Strategy<Value = Value> {
    let one = prop::sample::select(OPERATORS).prop_flat_map(|(names, values)| {
        let prefix = prop::sample::select(&["", "", "ForAnyValue:", "ForAllValues:"][..]);
        let suffix = prop::sample::select(&["", "", "IfExists"][..]);
        (prefix, prop::sample::select(names), suffix, prop::sample::select(KEYS), some_of(values)).prop_map(
            |(prefix, name, suffix, key, values)| {
                // This one is refused at parse.
                let prefix = if key == KEYS[2] && prefix == "ForAllValues:" { "" } else { prefix };
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

fn facts() -> impl Strategy<Value = Vec<(&'static str, Vec<&'static str>)>> {
    let values = || {
        prop_oneof![
            1 => Just(Vec::new()),
            4 => prop::collection::vec(prop::sample::select(FACTS), 1..2),
            1 => prop::collection::vec(prop::sample::select(FACTS), 2..4),
        ]
    };
    prop::collection::vec(values(), KEYS.len()).prop_map(|all| KEYS.iter().copied().zip(all).collect())
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
    ]
}

fn some_of(choices: &'static [&'static str]) -> impl Strategy<Value = Value> {
    prop_oneof![
        prop::sample::select(choices).prop_map(|one| json!(one)),
        prop::collection::vec(prop::sample::select(choices), 1..4).prop_map(|many| json!(many)),
    ]
}

fn statement(with_principal: bool) -> impl Strategy<Value = Value> {
    let principal = prop_oneof![1 => Just(json!("*")), 6 => some_of(NAMES).prop_map(|names| json!({"AWS": names}))];
    let rare = prop::bool::weighted(0.2);
    let parts = (some_of(ACTION_PATTERNS), some_of(RESOURCE_PATTERNS));
    let condition = prop::option::weighted(0.4, condition());
    (prop::bool::weighted(0.2), principal, parts, rare, rare, condition).prop_map(
        move |(denies, principal, (actions, resources), not_action, not_resource, condition)| {
            // A variable in NotResource is refused at parse.
            let not_resource = not_resource && !resources.to_string().contains("${");
            let mut statement = json!({"Effect": if denies { "Deny" } else { "Allow" }});
            statement[if not_action { "NotAction" } else { "Action" }] = actions;
            statement[if not_resource { "NotResource" } else { "Resource" }] = resources;
            if with_principal {
                statement["Principal"] = principal;
            }
            if let Some(condition) = condition {
                statement["Condition"] = condition;
            }
            statement
        },
    )
}

fn policy(with_principal: bool) -> impl Strategy<Value = Value> {
    let version = prop_oneof![6 => Just("2012-10-17"), 1 => Just("2008-10-17")];
    (version, prop::collection::vec(statement(with_principal), 1..4))
        .prop_map(|(version, statements)| json!({"Version": version, "Statement": statements}))
}

#[derive(Debug)]
struct Case {
    key_policy: Option<Value>,
    identity: Vec<Value>,
    boundary: Option<Value>,
    session: Option<Vec<Value>>,
    service_control: Vec<Vec<Value>>,
    grants: Vec<(String, String)>,
    caller: Principal,
    action: &'static str,
    resource: &'static str,
    owner: &'static str,
    cross_account_capable: bool,
    facts: Vec<(&'static str, Vec<&'static str>)>,
}

fn case() -> impl Strategy<Value = Case> {
    let few = || prop::collection::vec(policy(false), 0..3);
    let maybe = |strategy| prop::option::weighted(0.3, strategy);
    let grant = (prop::sample::select(NAMES), prop::sample::select(ACTIONS))
        .prop_map(|(grantee, action)| (grantee.to_owned(), action.to_owned()));
    let sources = (
        prop::option::weighted(0.8, policy(true)),
        few(),
        maybe(policy(false)),
        prop::option::weighted(0.3, few()),
        prop::collection::vec(prop::collection::vec(policy(false), 1..3), 0..2),
        prop::collection::vec(grant, 0..2),
    );
    let question = (
        prop::sample::select(callers()),
        prop::sample::select(ACTIONS),
        prop::sample::select(RESOURCES),
        prop::sample::select(&[HOME, AWAY][..]),
        prop::bool::weighted(0.8),
        facts(),
    );
    (sources, question).prop_map(|(sources, question)| {
        let (key_policy, identity, boundary, session, service_control, grants) = sources;
        let (caller, action, resource, owner, cross_account_capable, facts) = question;
        Case {
            key_policy,
            identity,
            boundary,
            session,
            service_control,
            grants,
            caller,
            action,
            resource,
            owner,
            cross_account_capable,
            facts,
        }
    })
}

fn identity(value: &Value) -> Document {
    Document::parse_identity_policy(&value.to_string(), &LIMITS).unwrap()
}

fn fast(case: &Case) -> Decision {
    let key_policy = case.key_policy.as_ref().map(|it| Document::parse_key_policy(&it.to_string(), &LIMITS).unwrap());
    let all = |list: &[Value]| list.iter().map(identity).collect::<Vec<_>>();
    let (identities, boundary) = (all(&case.identity), case.boundary.as_ref().map(identity));
    let session = case.session.as_deref().map(all);
    let levels: Vec<Vec<Document>> = case.service_control.iter().map(|level| all(level)).collect();
    let grantees: Vec<_> = case.grants.iter().map(|(name, _)| PrincipalName::parse(name).unwrap()).collect();
    let actions: Vec<[&str; 1]> = case.grants.iter().map(|(_, action)| [action.as_str()]).collect();
    let grants: Vec<GrantReference<'_>> =
        grantees.iter().zip(&actions).map(|(grantee, actions)| GrantReference { id: "g", grantee, actions }).collect();
    let session: Option<Vec<&Document>> = session.as_ref().map(|list| list.iter().collect());
    let levels: Vec<Vec<&Document>> = levels.iter().map(|level| level.iter().collect()).collect();
    let sources = Sources {
        resource_policy: key_policy.as_ref().map_or(ResourcePolicy::None, ResourcePolicy::MustAgree),
        identity_policies: &identities.iter().collect::<Vec<_>>(),
        boundary: boundary.as_ref(),
        session_policies: session.as_deref(),
        service_control_policies: &levels.iter().map(Vec::as_slice).collect::<Vec<_>>(),
        grants: &grants,
    };
    let decision = decide(
        &Question {
            principal: &case.caller,
            action: case.action,
            resource_arn: case.resource,
            resource_account: AccountId::parse(case.owner).unwrap(),
            cross_account_capable: case.cross_account_capable,
            context: &Known(&case.facts),
        },
        &sources,
    );
    assert!(!decision.explain(&sources).is_empty());
    decision
}

fn slow(case: &Case) -> bool {
    let account = case.caller.account();
    let asked = spec::Asked {
        kind: match case.caller.kind() {
            PrincipalKind::Root => "root",
            PrincipalKind::User => "user",
            PrincipalKind::RoleSession => "session",
            PrincipalKind::FederatedUser => "federated",
        },
        account: account.as_str(),
        arn: case.caller.arn(),
        parent: case.caller.parent_arn(),
        action: case.action,
        resource: case.resource,
        owner: case.owner,
        cross_account_capable: case.cross_account_capable,
        context: &case.facts,
    };
    let texts = spec::Texts {
        key_policy: case.key_policy.as_ref(),
        identity: &case.identity,
        boundary: case.boundary.as_ref(),
        session: case.session.as_deref(),
        service_control: &case.service_control,
        grants: &case.grants,
    };
    spec::allowed(&asked, &texts)
}

proptest! {
    #![proptest_config(ProptestConfig { cases: 6_000, failure_persistence: None, ..ProptestConfig::default() })]

    #[test]
    fn agrees(case in case()) {
        let decision = fast(&case);
        prop_assert_eq!(decision.is_allowed(), slow(&case), "{:?}", decision);
        let allows = !matches!(
            decision.reason,
            Reason::ExplicitDeny(_) | Reason::NotCrossAccount | Reason::NoAllow(_)
        );
        prop_assert_eq!(decision.is_allowed(), allows);
    }

    /// A single statement for everyone, so that nothing but its conditions decides.
    #[test]
    fn conditions_agree(
        condition in condition(),
        facts in facts(),
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
        let case = Case {
            key_policy: Some(json!({"Version": version, "Statement": statements})),
            identity: Vec::new(),
            boundary: None,
            session: None,
            service_control: Vec::new(),
            grants: Vec::new(),
            caller: callers().remove(0),
            action: ACTIONS[0],
            resource: RESOURCES[1],
            owner: HOME,
            cross_account_capable: true,
            facts,
        };
        let decision = fast(&case);
        prop_assert_eq!(decision.is_allowed(), slow(&case), "{:?}", decision);
    }

    /// Any text at all gets an answer; a policy with some of its text overwritten too, and what is taken is answered.
    #[test]
    fn parsing_never_panics(
        policy in policy(true),
        noise in r#"[ -~\u{0}\u{7f}-\u{101}\\"{}\[\]:$*]{0,12}"#,
        at in any::<prop::sample::Index>(),
        length in 0_usize..12,
    ) {
        let mut text: Vec<char> = policy.to_string().chars().collect();
        let start = at.index(text.len());
        let end = text.len().min(start + length);
        text.splice(start..end, noise.chars());
        let text: String = text.into_iter().collect();
        for text in [&noise, &text] {
            for document in [Document::parse_key_policy(text, &LIMITS), Document::parse_identity_policy(text, &LIMITS)] {
                let Ok(document) = document else { continue };
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
                prop_assert!(!decide(&question, &sources).explain(&sources).is_empty());
            }
        }
    }

    /// One more Deny statement never opens what was shut.
    #[test]
    fn a_deny_never_allows(case in case(), deny in statement(true)) {
        let before = fast(&case).is_allowed();
        let mut case = case;
        if let Some(policy) = &mut case.key_policy {
            let mut deny = deny;
            deny["Effect"] = json!("Deny");
            policy["Statement"].as_array_mut().unwrap().push(deny);
            prop_assert!(before || !fast(&case).is_allowed());
        }
    }

    /// Without a word about the caller, its account or everyone, a key policy and identity policies open nothing.
    #[test]
    fn unnamed_means_denied(case in case()) {
        let mut case = case;
        case.grants.clear();
        case.key_policy = Some(json!({"Statement": {"Effect": "Allow", "Action": "*", "Resource": "*",
            "Principal": {"AWS": "999999999999"}}}));
        prop_assert!(!fast(&case).is_allowed());
    }
}

/// The generator must not be so poor that everything is denied for the first reason.
#[test]
fn the_generator_reaches_every_reason() {
    use proptest::strategy::ValueTree;
    let mut runner = proptest::test_runner::TestRunner::deterministic();
    let mut seen = std::collections::BTreeSet::new();
    for _ in 0..6_000 {
        let reason = fast(&case().new_tree(&mut runner).unwrap().current()).reason;
        seen.insert(match reason {
            Reason::Grant(_) => "Grant".to_owned(),
            other => format!("{other:?}"),
        });
    }
    let all = [
        "AccountDelegated",
        "ExplicitDeny(Boundary)",
        "ExplicitDeny(IdentityPolicy)",
        "ExplicitDeny(ResourcePolicy)",
        "ExplicitDeny(ServiceControlPolicy)",
        "ExplicitDeny(SessionPolicy)",
        "Grant",
        "IdentityAllows",
        "NoAllow(Boundary)",
        "NoAllow(IdentityPolicy)",
        "NoAllow(ResourcePolicy)",
        "NoAllow(ServiceControlPolicy)",
        "NoAllow(SessionPolicy)",
        "NotCrossAccount",
        "ResourcePolicyAllows",
    ];
    assert_eq!(seen.into_iter().collect::<Vec<_>>(), all);
}

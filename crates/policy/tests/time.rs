//! Measurements, run by hand: `cargo test --release -p claviger-policy --test time -- --ignored --test-threads 1`. Each
//! fails above its goal, and prints what it measured.
#![expect(clippy::unwrap_used, clippy::print_stdout, reason = "tests")]

use std::borrow::Cow;
use std::hint::black_box;
use std::time::Instant;

use claviger_policy::{
    AccountId, ConditionKey, Context, Document, GrantReference, KeyKind, Limits, Principal, PrincipalName, Question,
    Sources, UniqueId, decide, default_key_policy, is_same_key,
};

const LIMITS: Limits = Limits {
    condition_keys: &[&[
        ConditionKey::new("aws:PrincipalArn", KeyKind::Arn),
        ConditionKey::new("aws:SourceIp", KeyKind::IpAddress),
        ConditionKey::new("kms:ViaService", KeyKind::String),
        ConditionKey::family("kms:EncryptionContext:", KeyKind::String),
    ]],
    ..Limits::KEY_POLICY
};

struct Facts;

impl Context for Facts {
    fn values(&self, key: &str) -> Option<Vec<Cow<'_, str>>> {
        match key {
            "aws:principalarn" => Some(vec!["arn:aws:iam::111122223333:user/alice".into()]),
            "aws:sourceip" => Some(vec!["10.1.2.3".into()]),
            "kms:encryptioncontext:app" => Some(vec!["payroll".into()]),
            _ => None,
        }
    }
}

fn home() -> AccountId {
    AccountId::parse("111122223333").unwrap()
}

/// Prints and checks the mean time of a decision.
#[track_caller]
fn measure(what: &str, goal_nanoseconds: u128, principal: &Principal, sources: &Sources<'_>, allowed: bool) {
    let question = Question {
        principal,
        action: "kms:Decrypt",
        resource_arn: "arn:aws:kms:eu-west-1:111122223333:key/1234abcd-12ab-34cd-56ef-1234567890ab",
        resource_account: home(),
        cross_account_capable: true,
        context: &Facts,
    };
    let rounds = 500_000_u32;
    let start = Instant::now();
    for _ in 0..rounds {
        assert_eq!(decide(black_box(&question), black_box(sources)).is_allowed(), allowed);
    }
    let nanoseconds = start.elapsed().as_nanos() / u128::from(rounds);
    println!("{what}: {nanoseconds} ns, goal {goal_nanoseconds} ns");
    assert!(nanoseconds < goal_nanoseconds, "{what}: {nanoseconds} ns");
}

#[test]
#[ignore = "a measurement, not a check"]
fn the_default_policy() {
    let document = Document::parse_key_policy(&default_key_policy(home()), &LIMITS).unwrap();
    let sources = Sources::key_policy(&document);
    measure("default key policy, root user", 1_000, &Principal::root(home()), &sources, true);
    let text = r#"{"Version":"2012-10-17","Statement":{"Effect":"Allow","Action":["kms:Encrypt","kms:Decrypt"],
        "Resource":"arn:aws:kms:*:111122223333:key/*"}}"#;
    let identity = Document::parse_identity_policy(text, &LIMITS).unwrap();
    let sources = Sources { identity_policies: &[&identity], ..sources };
    let alice = Principal::user(home(), "/", "alice").with_unique_id(UniqueId::parse("AIDAALICE222222222222").unwrap());
    measure("default key policy and an identity policy, user", 1_000, &alice, &sources, true);
}

#[test]
#[ignore = "a measurement, not a check"]
fn fifty_statements_with_conditions() {
    let conditions = [
        r#"{"StringEquals":{"kms:EncryptionContext:app":"billing"}}"#,
        r#"{"IpAddress":{"aws:SourceIp":["192.0.2.0/24","198.51.100.0/24"]}}"#,
        r#"{"ArnLike":{"aws:PrincipalArn":"arn:aws:iam::*:role/*"}}"#,
        r#"{"StringLike":{"kms:ViaService":"s3.*.amazonaws.com"}}"#,
        r#"{"StringNotEquals":{"kms:EncryptionContext:app":["payroll","archive"]}}"#,
    ];
    let mut statements: Vec<String> = (0..49)
        .zip(conditions.iter().cycle())
        .map(|(number, condition)| {
            let effect = if number % 7 == 0 { "Deny" } else { "Allow" };
            format!(
                r#"{{"Effect":"{effect}","Principal":"*","Action":"kms:*","Resource":"*","Condition":{condition}}}"#
            )
        })
        .collect();
    let last = r#"{"Effect":"Allow","Principal":"*","Action":"kms:De*","Resource":"*",
        "Condition":{"StringEquals":{"kms:EncryptionContext:app":"payroll"}}}"#;
    statements.push(last.to_owned());
    let text = format!(r#"{{"Version":"2012-10-17","Statement":[{}]}}"#, statements.join(","));
    let document = Document::parse_key_policy(&text, &LIMITS).unwrap();
    measure("50 statements with conditions", 5_000, &Principal::root(home()), &Sources::key_policy(&document), true);
}

/// What is left to the policy when the engine has looked up, among 50,000, the caller's own grants whose constraints
/// hold: here five, of which the last one allows.
#[test]
#[ignore = "a measurement, not a check"]
fn a_grant() {
    let document = Document::parse_key_policy(&default_key_policy(home()), &LIMITS).unwrap();
    let id = UniqueId::parse("AROAWORKER22222222222").unwrap();
    let worker = Principal::role_session(home(), "/", "worker", "one").with_unique_id(id.clone());
    let grantee = PrincipalName::parse("arn:aws:iam::111122223333:role/worker").unwrap();
    let grant = |actions| GrantReference { id: "g", grantee: &grantee, bound_to: Some(&id), actions };
    let other: &[&str] = &["kms:Encrypt", "kms:GenerateDataKey"];
    let grants = [grant(other), grant(other), grant(other), grant(other), grant(&["kms:Encrypt", "kms:Decrypt"])];
    let sources = Sources { grants: &grants, ..Sources::key_policy(&document) };
    measure("a grant among five of the caller's", 1_000, &worker, &sources, true);
}

/// The policies of 32 KB that cost the most against values of 8 KB: what one caller can make the others wait.
#[test]
#[ignore = "a measurement, not a check"]
fn the_worst_policies() {
    struct Worst {
        long: String,
        names: Vec<String>,
        /// As the engine searches them.
        keys: Vec<String>,
    }
    impl Context for Worst {
        fn values(&self, key: &str) -> Option<Vec<Cow<'_, str>>> {
            match key {
                "kms:encryptioncontext:a" => Some(vec![Cow::Borrowed(&self.long)]),
                "kms:encryptioncontextkeys" => Some(self.names.iter().map(|name| Cow::Borrowed(&**name)).collect()),
                _ => {
                    let found: Vec<_> = self.keys.iter().filter(|name| is_same_key(name, key)).collect();
                    (!found.is_empty()).then(|| vec![Cow::Borrowed("x")])
                }
            }
        }
    }
    const LIMITS: Limits = Limits {
        condition_keys: &[&[
            ConditionKey::new("kms:EncryptionContextKeys", KeyKind::ArrayOfString),
            ConditionKey::family("kms:EncryptionContext:", KeyKind::String),
        ]],
        ..Limits::KEY_POLICY
    };
    let worst = Worst {
        long: "a".repeat(8_192),
        names: (0..2_700).map(|number| format!("{number:03}")).collect(),
        keys: (0..2_700).map(|number| format!("kms:EncryptionContext:{number:03}")).collect(),
    };
    let list = |value: &str| vec![format!("\"{value}\""); 32_300 / (value.len() + 3)].join(",");
    let (a, names) = ("kms:EncryptionContext:a", "kms:EncryptionContextKeys");
    let principal = Principal::root(home());
    let question = Question {
        principal: &principal,
        action: "kms:Decrypt",
        resource_arn: "arn:aws:kms:eu-west-1:111122223333:key/1234abcd-12ab-34cd-56ef-1234567890ab",
        resource_account: home(),
        cross_account_capable: true,
        context: &worst,
    };
    for (operator, key, values) in [
        ("StringLike", a, format!("\"*{}b\"", "a".repeat(32_000))),
        ("StringLike", a, format!("\"*{}b*\"", "a".repeat(4_000))),
        ("StringLike", a, format!("\"{}b\"", "*a".repeat(16_000))),
        ("StringLike", a, list(&format!("*{}b*", "a".repeat(4_000)))),
        ("StringLike", a, format!("\"*{}?b*\"", "a".repeat(4_000))),
        ("StringLike", a, list("*b*")),
        ("StringLike", a, list("*ab*")),
        ("StringLike", a, list("*aaaaaaaab*")),
        ("StringEqualsIgnoreCase", a, format!("\"{}b\"", "a".repeat(8_191))),
        ("StringNotLike", a, list("${kms:EncryptionContext:a}b")),
        ("ForAnyValue:StringEquals", names, list("abc")),
        ("ForAnyValue:StringEqualsIgnoreCase", names, list("0ab")),
        ("ForAnyValue:StringLike", names, list("*b")),
        ("ForAnyValue:StringLike", names, list("${kms:EncryptionContext:a}")),
        ("ForAnyValue:StringLike", names, list("${kms:EncryptionContext:abc}")),
        ("StringLike", a, list("${kms:EncryptionContext:abc}")),
        ("ForAnyValue:ArnLike", names, list("*:*:*:*:*:*")),
        ("ForAnyValue:NumericLessThan", names, list("0")),
    ] {
        let text = format!(
            r#"{{"Version":"2012-10-17","Statement":[
            {{"Effect":"Deny","Principal":"*","Action":"*","Resource":"*",
            "Condition":{{"{operator}":{{"{key}":[{values}]}}}}}},
            {{"Effect":"Allow","Principal":"*","Action":"*","Resource":"*"}}]}}"#
        );
        let document = Document::parse_key_policy(&text, &LIMITS).unwrap();
        let sources = Sources::key_policy(&document);
        let rounds = 5_u32;
        let start = Instant::now();
        let mut allowed = false;
        for _ in 0..rounds {
            allowed = decide(black_box(&question), black_box(&sources)).is_allowed();
        }
        let microseconds = start.elapsed().as_micros() / u128::from(rounds);
        let shown: String = values.chars().take(24).collect();
        println!("{operator} {shown}: {microseconds} us, {}", if allowed { "told" } else { "matches or untold" });
        assert!(microseconds < 50_000, "{operator} {shown}: {microseconds} us");
    }
}

//! No policy and no request makes a decision take long: what is left when its steps are spent cannot be told, and
//! counts against the request.
#![expect(clippy::unwrap_used, reason = "tests")]

use std::borrow::Cow;

use claviger_policy::{
    AccountId, ConditionKey, Context, Document, Effect, KeyKind, Limits, Outcome, Principal, Question, Reason, Source,
    Sources, decide, explain,
};

const LIMITS: Limits = Limits {
    condition_keys: &[&[
        ConditionKey::new("aws:username", KeyKind::String),
        ConditionKey::new("aws:SourceArn", KeyKind::Arn),
        ConditionKey::new("aws:SourceIp", KeyKind::IpAddress),
        ConditionKey::new("kms:EncryptionContextKeys", KeyKind::ArrayOfString),
        ConditionKey::family("kms:EncryptionContext:", KeyKind::String),
    ]],
    ..Limits::KEY_POLICY
};

/// A request with as many and as long values as there can be.
struct Facts {
    user: String,
    names: Vec<String>,
}

impl Context for Facts {
    fn values(&self, key: &str) -> Option<Vec<Cow<'_, str>>> {
        match key {
            "aws:username" => Some(vec![Cow::Borrowed(&self.user)]),
            "aws:sourcearn" => Some(vec![Cow::Owned(format!("arn:aws:s3:::{}", self.user))]),
            "kms:encryptioncontextkeys" => Some(self.names.iter().map(|name| Cow::Borrowed(&**name)).collect()),
            _ => None,
        }
    }
}

fn facts() -> Facts {
    Facts { user: "a".repeat(8_000), names: (0..4_000).map(|number| format!("{number:04}")).collect() }
}

fn ask<T>(text: &str, facts: &Facts, answer: impl Fn(&Question<'_>, &Sources<'_>) -> T) -> T {
    let document = Document::parse_key_policy(text, &LIMITS).unwrap();
    let home = AccountId::parse("111122223333").unwrap();
    let question = Question {
        principal: &Principal::root(home),
        action: "kms:Decrypt",
        resource_arn: "arn:aws:kms:eu-west-1:111122223333:key/alice",
        resource_account: home,
        cross_account_capable: true,
        context: facts,
    };
    answer(&question, &Sources::key_policy(&document))
}

fn reason(text: &str, facts: &Facts) -> Reason {
    ask(text, facts, |question, sources| decide(question, sources).reason)
}

const OPEN: &str = r#"{"Effect":"Allow","Principal":"*","Action":"*","Resource":"*"}"#;
const DENIED: Reason = Reason::ExplicitDeny(Source::ResourcePolicy);
const NOTHING: Reason = Reason::NoAllow(Source::ResourcePolicy);

/// The condition with as many of the values as a policy of 32 KB has room for.
fn full(operator: &str, key: &str, value: impl Fn(usize) -> String) -> String {
    let mut values = String::new();
    for number in 0.. {
        let next = format!("\"{}\"", value(number));
        if values.len() + next.len() > 32_000 {
            break;
        }
        values.push_str(if values.is_empty() { "" } else { "," });
        values.push_str(&next);
    }
    format!(r#"{{"{operator}":{{"{key}":[{values}]}}}}"#)
}

fn policy(effect: &str, condition: &str, open: bool) -> String {
    let statement =
        format!(r#"{{"Effect":"{effect}","Principal":"*","Action":"*","Resource":"*","Condition":{condition}}}"#);
    let statement = if open { format!("{OPEN},{statement}") } else { statement };
    format!(r#"{{"Version":"2012-10-17","Statement":[{statement}]}}"#)
}

/// Conditions, no value of which matches, that take more steps than there are.
fn endless() -> Vec<String> {
    let names = "kms:EncryptionContextKeys";
    vec![
        full("ForAnyValue:StringEquals", names, |number| format!("x{number:03}")),
        full("ForAnyValue:StringLike", names, |number| format!("*x{number}")),
        full("ForAnyValue:StringEqualsIgnoreCase", names, |number| format!("x{number:03}")),
        full("ForAnyValue:ArnLike", names, |number| format!("a:b:c:d:e:{number}")),
        full("ForAnyValue:NumericGreaterThan", names, |number| format!("1{number:07}")),
        full("ForAnyValue:StringLike", names, |_| "${aws:username}x".to_owned()),
        full("StringLike", "aws:username", |number| format!("*{number}?*")),
        full("StringLike", "aws:username", |_| format!("*{}?b*", "a".repeat(3_900))),
        full("StringLike", "aws:username", |_| "*ab*".to_owned()),
        full("ArnLike", "aws:SourceArn", |_| format!("arn:aws:s3:::*{}?b*", "a".repeat(3_900))),
    ]
}

#[test]
fn what_is_not_decided_in_time_counts_against_the_request() {
    let facts = facts();
    for condition in endless() {
        let what = condition.get(..60).unwrap_or_default();
        // None of the values matches, so a Deny that is read to its end would let the request pass.
        assert_eq!(reason(&policy("Deny", &condition, true), &facts), DENIED, "{what}");
        // And a negation that is read to its end would allow it.
        let negated = condition.replacen("ForAnyValue:", "ForAllValues:", 1);
        let negated = negated
            .replacen("StringLike", "StringNotLike", 1)
            .replacen("StringEquals", "StringNotEquals", 1)
            .replacen("ArnLike", "ArnNotLike", 1)
            .replacen("NumericGreaterThan", "NumericLessThan", 1);
        assert_eq!(reason(&policy("Allow", &negated, false), &facts), NOTHING, "{what}");
        assert_eq!(reason(&policy("Allow", &condition, false), &facts), NOTHING, "{what}");
    }
    // With few values all of it can be told.
    let small = Facts { user: "alice".to_owned(), names: vec!["app".to_owned()] };
    for condition in endless() {
        let what = condition.get(..60).unwrap_or_default();
        let wrong_type = condition.contains("Numeric");
        let expected = if wrong_type { DENIED } else { Reason::ResourcePolicyAllows };
        assert_eq!(reason(&policy("Deny", &condition, true), &small), expected, "{what}");
    }
}

/// Whatever stands before the spent steps is decided, whatever comes after is not told.
#[test]
fn a_deny_behind_the_last_step_denies() {
    let costly = full("ForAnyValue:StringLike", "kms:EncryptionContextKeys", |number| format!("*x{number}"));
    let statement = |effect: &str, action: &str, condition: &str| {
        format!(r#"{{"Effect":"{effect}","Principal":"*","Action":"{action}","Resource":"*","Condition":{condition}}}"#)
    };
    let text = |statements: &[String]| format!(r#"{{"Statement":[{}]}}"#, statements.join(","));
    let first = text(&[OPEN.to_owned(), statement("Deny", "kms:Encrypt", &costly)]);
    // Not asked about.
    assert_eq!(reason(&first, &facts()), Reason::ResourcePolicyAllows);
    // An Allow that costs too much before one that costs nothing: the second is not reached in time.
    let second = text(&[statement("Allow", "kms:Decrypt", &costly), OPEN.to_owned()]);
    assert_eq!(reason(&second, &facts()), NOTHING);
}

/// The most that honest policies come to is far from the end.
#[test]
fn long_policies_are_decided() {
    let facts = Facts { user: "u".repeat(64), names: (0..20).map(|number| format!("name-{number:02}")).collect() };
    let names = full("ForAllValues:StringLike", "kms:EncryptionContextKeys", |number| format!("no-{number}-*"));
    let names = names.replace("]}}", r#","name-*"]}}"#);
    assert_eq!(reason(&policy("Allow", &names, false), &facts), Reason::ResourcePolicyAllows);
    let statements: Vec<String> = (0..210)
        .map(|number| {
            format!(
                r#"{{"Effect":"Allow","Principal":"*","Action":"*","Resource":"arn:aws:kms:*:*:key/a{number:03}*",
                "Condition":{{"StringLike":{{"aws:username":"*{number}*"}}}}}}"#
            )
            .split_whitespace()
            .collect()
        })
        .collect();
    let text = format!(r#"{{"Statement":[{},{OPEN}]}}"#, statements.join(","));
    assert!(text.len() > 27_000, "{}", text.len());
    assert_eq!(reason(&text, &facts), Reason::ResourcePolicyAllows);
}

/// Resources and actions, which have no conditions to ask.
#[test]
fn resources_and_actions_are_bounded_too() {
    let (resource, action) = (format!("arn:aws:kms:r:111122223333:{}", "a".repeat(3_000)), "a".repeat(3_000));
    let question = |question: &Question<'_>, text: &str| {
        let identity = Document::parse_identity_policy(text, &LIMITS).unwrap();
        let action = format!("kms:{action}");
        let question = Question { resource_arn: &resource, action: &action, ..*question };
        decide(&question, &Sources { identity_policies: &[&identity], ..Sources::default() }).reason
    };
    let costly = format!("*{}?b*", "a".repeat(1_500));
    let alice = Principal::user(AccountId::parse("111122223333").unwrap(), "/", "alice");
    let decided = |first: &str| {
        let open = r#"{"Effect":"Allow","Action":"*","Resource":"*"}"#;
        let text = format!(r#"{{"Statement":[{{{first}}},{open}]}}"#);
        ask(&format!(r#"{{"Statement":{OPEN}}}"#), &facts(), |asked, _| {
            question(&Question { principal: &alice, ..*asked }, &text)
        })
    };
    let denied = Reason::ExplicitDeny(Source::IdentityPolicy);
    let nothing = Reason::NoAllow(Source::IdentityPolicy);
    for (element, other) in [("Resource", r#""Action":"*""#), ("Action", r#""Resource":"*""#)] {
        let prefix = if element == "Action" { "kms:" } else { "arn:aws:kms:*:*:" };
        // None of them matches, so that without an end to the steps all of them would be read.
        for count in [1, 4] {
            let all = vec![format!("\"{prefix}{costly}\""); count].join(",");
            assert_eq!(decided(&format!(r#""Effect":"Deny",{other},"{element}":[{all}]"#)), denied, "{element}");
            assert_eq!(decided(&format!(r#""Effect":"Allow",{other},"{element}":[{all}]"#)), nothing, "{element}");
            assert_eq!(decided(&format!(r#""Effect":"Allow",{other},"Not{element}":[{all}]"#)), nothing, "{element}");
        }
        let few = format!("\"{prefix}*ab*\"");
        let few = format!(r#""Effect":"Deny",{other},"{element}":[{few}]"#);
        assert_eq!(decided(&few), Reason::IdentityAllows, "{element}");
    }
}

/// Where there are many statements instead of many values.
#[test]
fn thousands_of_statements_are_bounded_too() {
    let limits = Limits { condition_keys: LIMITS.condition_keys, ..Limits::IDENTITY_POLICY };
    let one = r#"{"Effect":"Deny","Action":"*","Resource":"*","Condition":{"StringLike":{"aws:username":"*b*"}}}"#;
    let all = vec![one; 2_500].join(",");
    let text = format!(r#"{{"Statement":[{all}]}}"#);
    let identity = Document::parse_identity_policy(&text, &limits).unwrap();
    let facts = facts();
    let decision = ask(&format!(r#"{{"Statement":{OPEN}}}"#), &facts, |question, sources| {
        decide(question, &Sources { identity_policies: &[&identity], ..*sources })
    });
    assert_eq!(decision.reason, Reason::ExplicitDeny(Source::IdentityPolicy));
    // The statement that was being read when the steps ended; all before it do not match.
    assert!((100..2_400).contains(&decision.statements().next().unwrap().statement), "{decision:?}");
}

#[test]
fn an_explanation_says_so() {
    let facts = facts();
    for condition in endless() {
        let explanation = ask(&policy("Deny", &condition, true), &facts, explain);
        assert_eq!((explanation.decision.reason, explanation.unfinished), (DENIED, true));
        let denying = explanation.matched().next().unwrap();
        assert!(denying.applies && denying.settles && denying.effect == Effect::Deny);
        assert!(explanation.to_string().contains("more work than one decision may take"));
    }
    let costly = endless().remove(0);
    let outcome = ask(&policy("Deny", &costly, true), &facts, |question, sources| {
        explain(question, sources)
            .statements
            .iter()
            .flat_map(|it| it.conditions.clone())
            .map(|it| it.outcome)
            .collect::<Vec<_>>()
    });
    assert!(matches!(*outcome, [Outcome::Unknown | Outcome::No]));
    let small = Facts { user: "alice".to_owned(), names: vec!["app".to_owned()] };
    assert!(!ask(&policy("Deny", &costly, true), &small, explain).unfinished);
}

//! What public evaluators of IAM policies got wrong, each hole a test: the table of reference/cryptography.md section
//! 17, row by row.
#![expect(clippy::unwrap_used, reason = "tests")]

use std::borrow::Cow;

use claviger_policy::{
    AccountId, ConditionKey, Context, Document, KeyKind, Limits, Principal, PrincipalName, Question, Reason,
    ResourcePolicy, Source, Sources, decide,
};

const LIMITS: Limits = Limits {
    condition_keys: &[&[
        ConditionKey::new("aws:username", KeyKind::String),
        ConditionKey::new("aws:SourceArn", KeyKind::Arn),
        ConditionKey::new("kms:EncryptionContextKeys", KeyKind::ArrayOfString),
        ConditionKey::family("kms:EncryptionContext:", KeyKind::String),
    ]],
    ..Limits::KEY_POLICY
};

struct Facts<'a>(&'a [(&'a str, &'a [&'a str])]);

impl Context for Facts<'_> {
    fn values(&self, key: &str) -> Option<Vec<Cow<'_, str>>> {
        let (_, values) = self.0.iter().find(|(name, _)| *name == key)?;
        Some(values.iter().map(|value| Cow::Borrowed(*value)).collect())
    }
}

fn home() -> AccountId {
    AccountId::parse("111122223333").unwrap()
}

/// The reason for what the statements (without their brackets) make of a root user's Decrypt on `key/alice`.
fn reason(statements: &str, facts: &[(&str, &[&str])]) -> Reason {
    let text = format!(r#"{{"Version":"2012-10-17","Statement":[{statements}]}}"#);
    let document = Document::parse_key_policy(&text, &LIMITS).unwrap();
    let question = Question {
        principal: &Principal::root(home()),
        action: "kms:Decrypt",
        resource_arn: "arn:aws:kms:eu-west-1:111122223333:key/alice",
        resource_account: home(),
        cross_account_capable: true,
        context: &Facts(facts),
    };
    decide(&question, &Sources::key_policy(&document)).reason
}

fn statement(effect: &str, resource: &str, condition: &str) -> String {
    format!(
        r#"{{"Effect":"{effect}","Principal":"*","Action":"kms:*","Resource":"{resource}","Condition":{condition}}}"#
    )
}

const OPEN: &str = r#"{"Effect":"Allow","Principal":"*","Action":"*","Resource":"*"}"#;
const DENIED: Reason = Reason::ExplicitDeny(Source::ResourcePolicy);
const ALLOWED: Reason = Reason::ResourcePolicyAllows;
const NOTHING: Reason = Reason::NoAllow(Source::ResourcePolicy);

fn deny(condition: &str, facts: &[(&str, &[&str])]) -> Reason {
    reason(&format!("{OPEN},{}", statement("Deny", "*", condition)), facts)
}

fn allow(condition: &str, facts: &[(&str, &[&str])]) -> Reason {
    reason(&statement("Allow", "*", condition), facts)
}

fn on_resource(resource: &str, facts: &[(&str, &[&str])]) -> Reason {
    reason(&statement("Allow", resource, "{}"), facts)
}

const USER: &str = "aws:username";
const APP: &str = "kms:encryptioncontext:app";

#[test]
fn explicit_deny_after_an_allow_in_one_policy() {
    assert_eq!(deny("{}", &[]), DENIED);
    assert_eq!(reason(&format!("{},{OPEN}", statement("Deny", "*", "{}")), &[]), DENIED);
}

#[test]
fn deny_by_string_not_equals_on_an_absent_key() {
    let condition = r#"{"StringNotEquals":{"aws:username":"alice"}}"#;
    assert_eq!(deny(condition, &[]), DENIED);
    assert_eq!(deny(condition, &[(USER, &["alice"])]), ALLOWED);
}

#[test]
fn allow_by_string_not_equals_is_neither_nor() {
    let condition = r#"{"StringNotEquals":{"aws:username":["a","b"]}}"#;
    assert_eq!(allow(condition, &[(USER, &["a"])]), NOTHING);
    assert_eq!(allow(condition, &[(USER, &["b"])]), NOTHING);
    assert_eq!(allow(condition, &[(USER, &["c"])]), ALLOWED);
}

#[test]
fn set_operators_are_supported() {
    let key = "kms:encryptioncontextkeys";
    let any = r#"{"ForAnyValue:StringEquals":{"kms:EncryptionContextKeys":"a"}}"#;
    let all = r#"{"ForAllValues:StringEquals":{"kms:EncryptionContextKeys":"a"}}"#;
    assert_eq!((allow(any, &[(key, &["a", "b"])]), allow(all, &[(key, &["a", "b"])])), (ALLOWED, NOTHING));
    assert_eq!((allow(any, &[]), allow(all, &[])), (NOTHING, ALLOWED));
}

#[test]
fn resource_variable_without_a_value() {
    let pattern = "arn:aws:kms:*:*:key/${aws:username}*";
    assert_eq!(on_resource(pattern, &[]), NOTHING);
    assert_eq!(on_resource(pattern, &[(USER, &["ali"])]), ALLOWED);
    // In NotResource it would speak about everything.
    let all_but = |effect: &str| {
        format!(
            r#"{{"Effect":"{effect}","Principal":"*","Action":"*",
            "NotResource":"arn:aws:kms:*:*:key/${{aws:username}}"}}"#
        )
    };
    assert_eq!(reason(&all_but("Allow"), &[]), NOTHING);
    assert_eq!(reason(&format!("{OPEN},{}", all_but("Deny")), &[]), DENIED);
    assert_eq!(reason(&all_but("Allow"), &[(USER, &["bob"])]), ALLOWED);
    assert_eq!(reason(&all_but("Allow"), &[(USER, &["alice"])]), NOTHING);
}

/// A default is for a key that is not there. Of two values nobody can tell which counts.
#[test]
fn a_variable_with_two_values_has_no_default() {
    let open = |statement: String| format!("{OPEN},{statement}");
    let two: (&str, &[&str]) = (APP, &["alice", "bob"]);
    for variable in ["${kms:EncryptionContext:app, 'carol'}", "${kms:EncryptionContext:app}"] {
        let condition = |operator: &str| format!(r#"{{"{operator}":{{"aws:username":"{variable}"}}}}"#);
        for operator in ["StringEquals", "StringEqualsIgnoreCase", "StringLike", "StringNotEquals", "StringNotLike"] {
            let facts = [(USER, &["alice"][..]), two];
            assert_eq!(reason(&open(statement("Deny", "*", &condition(operator))), &facts), DENIED, "{operator}");
            assert_eq!(reason(&statement("Allow", "*", &condition(operator)), &facts), NOTHING, "{operator}");
        }
        let arn = format!(r#"{{"ArnLike":{{"aws:SourceArn":"arn:aws:s3:::{variable}"}}}}"#);
        let facts = [("aws:sourcearn", &["arn:aws:s3:::alice"][..]), two];
        assert_eq!(reason(&open(statement("Deny", "*", &arn)), &facts), DENIED);
        assert_eq!(reason(&statement("Allow", "*", &arn), &facts), NOTHING);
        let resource = format!("arn:aws:kms:*:*:key/{variable}");
        assert_eq!(reason(&open(statement("Deny", &resource, "{}")), &[two]), DENIED);
        assert_eq!(reason(&statement("Allow", &resource, "{}"), &[two]), NOTHING);
    }
    let absent = r#"{"StringEquals":{"aws:username":"${kms:EncryptionContext:app, 'carol'}"}}"#;
    assert_eq!(reason(&open(statement("Deny", "*", absent)), &[(USER, &["carol"])]), DENIED);
    assert_eq!(reason(&open(statement("Deny", "*", absent)), &[(USER, &["alice"])]), ALLOWED);
}

#[test]
fn resource_variable_whose_value_is_a_wildcard() {
    let pattern = "arn:aws:kms:*:*:key/${aws:username}";
    assert_eq!(on_resource(pattern, &[(USER, &["*"])]), NOTHING);
    assert_eq!(on_resource(pattern, &[(USER, &["a?ice"])]), NOTHING);
    assert_eq!(on_resource(pattern, &[(USER, &["alice"])]), ALLOWED);
}

#[test]
fn variable_in_a_condition_value() {
    let condition = r#"{"StringEquals":{"kms:EncryptionContext:app":"${aws:username}"}}"#;
    assert_eq!(allow(condition, &[(APP, &["alice"]), (USER, &["alice"])]), ALLOWED);
    assert_eq!(allow(condition, &[(APP, &["${aws:username}"]), (USER, &["alice"])]), NOTHING);
}

#[test]
fn deny_by_string_like_of_a_value_with_an_asterisk() {
    assert_eq!(deny(r#"{"StringLike":{"aws:username":"secret*"}}"#, &[(USER, &["secret*x"])]), DENIED);
}

#[test]
fn deny_by_string_like_of_a_value_with_a_new_line() {
    assert_eq!(deny(r#"{"StringLike":{"aws:username":"secret*"}}"#, &[(USER, &["secret\nx"])]), DENIED);
    assert_eq!(deny(r#"{"StringLike":{"aws:username":"secret?x"}}"#, &[(USER, &["secret\nx"])]), DENIED);
}

const SOURCE: &str = "aws:sourcearn";

#[test]
fn arn_equals_with_a_wildcard() {
    let condition = r#"{"ArnEquals":{"aws:SourceArn":"arn:aws:s3:::bucket/*"}}"#;
    assert_eq!(allow(condition, &[(SOURCE, &["arn:aws:s3:::bucket/a"])]), ALLOWED);
}

#[test]
fn arn_like_does_not_reach_over_a_colon() {
    let condition = r#"{"ArnLike":{"aws:SourceArn":"arn:aws:sns:*:topic:a:b"}}"#;
    assert_eq!(allow(condition, &[(SOURCE, &["arn:aws:sns:eu-west-1:111122223333:topic:a:b"])]), NOTHING);
    let condition = r#"{"ArnLike":{"aws:SourceArn":"arn:aws:sns:*:*:topic"}}"#;
    assert_eq!(allow(condition, &[(SOURCE, &["arn:aws:sns:eu-west-1:111122223333:topic"])]), ALLOWED);
}

#[test]
fn binary_equals_counts_letter_case() {
    let condition = r#"{"BinaryEquals":{"aws:username":"QUJD"}}"#;
    assert_eq!(allow(condition, &[(USER, &["QUJD"])]), ALLOWED);
    assert_eq!(allow(condition, &[(USER, &["qujd"])]), NOTHING);
    // What is no base64 cannot be told.
    assert_eq!((allow(condition, &[(USER, &["QUJ"])]), deny(condition, &[(USER, &["QUJ"])])), (NOTHING, DENIED));
    assert_eq!(deny(condition, &[(USER, &["qujd"])]), ALLOWED);
}

#[test]
fn federated_principal_is_the_whole_name() {
    let arn = |host: &str| format!("arn:aws:iam::111122223333:oidc-provider/{host}");
    let text = format!(
        r#"{{"Statement":{{"Effect":"Allow","Principal":{{"Federated":"{}"}},
        "Action":"sts:AssumeRoleWithWebIdentity"}}}}"#,
        arn("accounts.google.com")
    );
    let document = Document::parse_trust_policy(&text, &LIMITS).unwrap();
    let sources = Sources { resource_policy: ResourcePolicy::Trust(&document), ..Sources::default() };
    let trusted = |host: &str| {
        let question = Question {
            principal: &Principal::web_identity(home(), &arn(host)),
            action: "sts:AssumeRoleWithWebIdentity",
            resource_arn: "arn:aws:iam::111122223333:role/worker",
            resource_account: home(),
            cross_account_capable: true,
            context: &Facts(&[]),
        };
        decide(&question, &sources).is_allowed()
    };
    assert!(trusted("accounts.google.com"));
    assert!(!trusted("accounts.google.com.evil.example") && !trusted("accounts.google.co"));
    assert_eq!(PrincipalName::parse_federated("accounts.google.com"), None);
}

#[test]
fn the_account_of_a_key_policy_delegates() {
    let text = r#"{"Statement":{"Effect":"Allow","Principal":{"AWS":"arn:aws:iam::111122223333:root"},
        "Action":"kms:*","Resource":"*"}}"#;
    let document = Document::parse_key_policy(text, &LIMITS).unwrap();
    let allow = r#"{"Statement":{"Effect":"Allow","Action":"kms:Decrypt","Resource":"*"}}"#;
    let allow = Document::parse_identity_policy(allow, &LIMITS).unwrap();
    let alice = Principal::user(home(), "/", "alice");
    let question = Question {
        principal: &alice,
        action: "kms:Decrypt",
        resource_arn: "arn:aws:kms:eu-west-1:111122223333:key/alice",
        resource_account: home(),
        cross_account_capable: true,
        context: &Facts(&[]),
    };
    let sources = Sources::key_policy(&document);
    assert_eq!(decide(&question, &sources).reason, Reason::NoAllow(Source::IdentityPolicy));
    let sources = Sources { identity_policies: &[&allow], ..sources };
    assert_eq!(decide(&question, &sources).reason, Reason::AccountDelegated);
}

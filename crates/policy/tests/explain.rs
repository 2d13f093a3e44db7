//! What is shown to who asks why.
#![expect(clippy::unwrap_used, reason = "tests")]

use std::borrow::Cow;

use claviger_policy::{
    AccountId, ConditionKey, Context, Document, GrantReference, KeyKind, Limits, Position, Principal, PrincipalName,
    Question, Sources, Span, UniqueId, explain,
};

const LIMITS: Limits = Limits {
    condition_keys: &[&[
        ConditionKey::new("aws:username", KeyKind::String),
        ConditionKey::new("aws:MultiFactorAuthPresent", KeyKind::Bool),
        ConditionKey::new("aws:MultiFactorAuthAge", KeyKind::Numeric),
        ConditionKey::new("kms:KeyUsage", KeyKind::String),
        ConditionKey::new("kms:EncryptionContextKeys", KeyKind::ArrayOfString),
        ConditionKey::family("kms:EncryptionContext:", KeyKind::String),
    ]],
    ..Limits::KEY_POLICY
};

struct Facts;

impl Context for Facts {
    fn values(&self, key: &str) -> Option<Vec<Cow<'_, str>>> {
        match key {
            "kms:encryptioncontext:app" => Some(vec!["pay\"roll".into()]),
            "kms:encryptioncontextkeys" => Some(vec!["app".into(), "more".into()]),
            "aws:multifactorauthage" => Some(vec!["soon".into()]),
            _ => None,
        }
    }
}

const KEY_POLICY: &str = r#"{"Version":"2012-10-17","Statement":[
  {"Sid":"Delegate all","Effect":"Allow","Principal":{"AWS":"111122223333"},"Action":"kms:*","Resource":"*"},
  {"Sid":"Former","Effect":"Allow","Principal":{"AWS":"arn:aws:iam::111122223333:user/alice"},
   "Action":"kms:Decrypt","Resource":"arn:aws:kms:*:*:key/${aws:username}"},
  {"Effect":"Deny","Principal":"*","Action":"kms:Encrypt","Resource":"arn:aws:s3:::*"}
]}"#;

const IDENTITY_POLICY: &str = r#"{"Version":"2012-10-17","Statement":{"Sid":"Use","Effect":"Allow",
  "Action":["kms:Decrypt","kms:DescribeKey"],"Resource":"*","Condition":{
  "StringEquals":{"kms:EncryptionContext:App":["payroll","billing"]},
  "ForAllValues:StringLike":{"kms:EncryptionContextKeys":"a*"},
  "NumericLessThan":{"aws:MultiFactorAuthAge":300},
  "Bool":{"aws:MultiFactorAuthPresent":true}}}}"#;

#[test]
fn every_statement_and_every_condition() {
    let home = AccountId::parse("111122223333").unwrap();
    let alice = PrincipalName::parse("arn:aws:iam::111122223333:user/alice").unwrap();
    let former = UniqueId::parse("AIDAFORMER22222222222").unwrap();
    let key_policy = Document::parse_key_policy(KEY_POLICY, &LIMITS).unwrap().with_bindings([(alice.clone(), former)]);
    let identity = Document::parse_identity_policy(IDENTITY_POLICY, &LIMITS).unwrap();
    let id = UniqueId::parse("AIDAALICE222222222222").unwrap();
    let grants = [
        GrantReference { id: "one", grantee: &alice, bound_to: None, actions: &["kms:Decrypt"] },
        GrantReference { id: "two", grantee: &alice, bound_to: Some(&id), actions: &["kms:Encrypt"] },
    ];
    let principal = Principal::user(home, "/", "alice").with_unique_id(id.clone());
    let question = Question {
        principal: &principal,
        action: "kms:Decrypt",
        resource_arn: "arn:aws:kms:eu-west-1:111122223333:key/1",
        resource_account: home,
        cross_account_capable: true,
        context: &Facts,
    };
    let sources = Sources { identity_policies: &[&identity], grants: &grants, ..Sources::key_policy(&key_policy) };
    let explanation = explain(&question, &sources);
    let expected = r#"deny: no identity policy allows
resource policy, statement 1 "Delegate all": Allow, applies
    the caller's account is named
resource policy, statement 2 "Former": Allow, does not apply
    another resource
    the caller's name is named, but for another unique id
resource policy, statement 3: Deny, does not apply
    another action
    another resource
    the caller is named
identity policy 1, statement 1 "Use": Allow, does not apply
    StringEquals kms:EncryptionContext:App ["payroll", "billing"] does not hold: the request has ["pay\"roll"]
    ForAllValues:StringLike kms:EncryptionContextKeys ["a*"] does not hold: the request has ["app", "more"]
    NumericLessThan aws:MultiFactorAuthAge ["300"] cannot be told: the request has ["soon"]
    Bool aws:MultiFactorAuthPresent ["true"] does not hold: the request does not have it
grant one to arn:aws:iam::111122223333:user/alice: is not the caller's to use
grant two to arn:aws:iam::111122223333:user/alice: is for other operations
not in the request: aws:MultiFactorAuthPresent, aws:username
"#;
    assert_eq!(explanation.to_string(), expected);
    let matched: Vec<_> = explanation.matched().map(|statement| statement.sid.as_deref()).collect();
    assert_eq!(matched, [Some("Delegate all")]);
    let span = explanation.statements.first().unwrap().span;
    let (start, end) = (Position { line: 2, column: 3 }, Position { line: 2, column: 109 });
    assert_eq!(span, Some(Span { start, end }));
    assert_eq!(
        identity.context_keys(),
        [
            "aws:MultiFactorAuthAge",
            "aws:MultiFactorAuthPresent",
            "kms:EncryptionContext:App",
            "kms:EncryptionContextKeys",
        ]
    );
    assert_eq!(key_policy.context_keys(), ["aws:username"]);
}

#[test]
fn of_a_deny_only_the_denies_matter() {
    let home = AccountId::parse("111122223333").unwrap();
    let text = r#"{"Statement":[{"Sid":"a","Effect":"Allow","Principal":"*","Action":"*","Resource":"*"},
        {"Sid":"b","Effect":"Deny","Principal":"*","Action":"*","Resource":"*"},
        {"Sid":"c","Effect":"Deny","Principal":"*","Action":"kms:E*","Resource":"*"},
        {"Sid":"d","Effect":"Deny","Principal":"*","Action":"kms:D*","Resource":"*"}]}"#;
    let document = Document::parse_key_policy(text, &LIMITS).unwrap();
    let root = Principal::root(home);
    let question = Question {
        principal: &root,
        action: "kms:Encrypt",
        resource_arn: "arn:aws:kms:eu-west-1:111122223333:key/1",
        resource_account: home,
        cross_account_capable: true,
        context: &Facts,
    };
    let explanation = explain(&question, &Sources::key_policy(&document));
    let matched: Vec<_> =
        explanation.matched().map(|statement| (statement.sid.as_deref(), statement.settles)).collect();
    assert_eq!(matched, [(Some("b"), true), (Some("c"), false)]);
    assert_eq!(explanation.summary, "deny: resource policy, statement 2 \"b\"");
}

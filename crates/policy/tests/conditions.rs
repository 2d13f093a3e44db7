//! Conditions and variables by hand: the holes that other evaluators had, and what parsing refuses.
#![expect(clippy::unwrap_used, reason = "tests")]

use std::borrow::Cow;

use claviger_policy::{
    AccountId, ConditionKey, Context, Document, KeyKind, Limits, Malformed, MalformedKind, Principal, Question,
    Sources, decide,
};

const LIMITS: Limits = Limits {
    // In two tables, as the engine and a service give them.
    condition_keys: &[
        &[
            ConditionKey::new("aws:username", KeyKind::String),
            ConditionKey::new("aws:SourceIp", KeyKind::IpAddress),
            ConditionKey::new("aws:SourceArn", KeyKind::Arn),
            ConditionKey::new("aws:CurrentTime", KeyKind::Date),
            ConditionKey::new("aws:EpochTime", KeyKind::NumericOrDate),
            ConditionKey::new("aws:MultiFactorAuthPresent", KeyKind::Bool),
            ConditionKey::family("aws:PrincipalTag/", KeyKind::String),
        ],
        &[
            ConditionKey::family("kms:EncryptionContext:", KeyKind::String),
            ConditionKey::new("kms:EncryptionContextKeys", KeyKind::ArrayOfString),
            ConditionKey::new("kms:PendingWindow", KeyKind::Numeric),
        ],
    ],
    for_all_values_refused: &["kms:EncryptionContext:"],
    ..Limits::KEY_POLICY
};

struct Facts<'a>(&'a [(&'a str, &'a [&'a str])]);

impl Context for Facts<'_> {
    fn values(&self, key: &str) -> Option<Vec<Cow<'_, str>>> {
        let (_, values) = self.0.iter().find(|(name, _)| *name == key)?;
        Some(values.iter().map(|value| Cow::Borrowed(*value)).collect())
    }
}

fn parse(effect: &str, resource: &str, condition: &str) -> Result<Document, Malformed> {
    let open = if effect == "Deny" { r#",{"Effect":"Allow","Principal":"*","Action":"*","Resource":"*"}"# } else { "" };
    let text = format!(
        r#"{{"Version":"2012-10-17","Statement":[{{"Effect":"{effect}","Principal":"*","Action":"kms:*",
        "Resource":"{resource}","Condition":{condition}}}{open}]}}"#
    );
    Document::parse_key_policy(&text, &LIMITS)
}

fn answer(document: &Document, facts: &[(&str, &[&str])]) -> bool {
    let account = AccountId::parse("111122223333").unwrap();
    let question = Question {
        principal: &Principal::root(account),
        action: "kms:Decrypt",
        resource_arn: "arn:aws:kms:eu-west-1:111122223333:key/alice",
        resource_account: account,
        cross_account_capable: true,
        context: &Facts(facts),
    };
    decide(&question, &Sources::key_policy(document)).is_allowed()
}

/// Whether an Allow with the condition allows.
fn allows(condition: &str, facts: &[(&str, &[&str])]) -> bool {
    answer(&parse("Allow", "*", condition).unwrap(), facts)
}

/// Whether a Deny with the condition denies what is otherwise open.
fn denies(condition: &str, facts: &[(&str, &[&str])]) -> bool {
    !answer(&parse("Deny", "*", condition).unwrap(), facts)
}

fn on_resource(resource: &str, facts: &[(&str, &[&str])]) -> bool {
    answer(&parse("Allow", resource, "{}").unwrap(), facts)
}

const APP: &str = "kms:encryptioncontext:app";
const KEYS: &str = "kms:encryptioncontextkeys";

#[test]
fn absent_keys() {
    let nothing: &[(&str, &[&str])] = &[];
    let not_equal = r#"{"StringNotEquals":{"aws:username":["a","b"]}}"#;
    assert!(denies(not_equal, nothing) && allows(not_equal, nothing));
    assert!(!allows(r#"{"StringEquals":{"aws:username":"a"}}"#, nothing));
    assert!(allows(r#"{"StringEqualsIfExists":{"aws:username":"a"}}"#, nothing));
    assert!(allows(r#"{"ForAllValues:StringEquals":{"kms:EncryptionContextKeys":"a"}}"#, nothing));
    assert!(!allows(r#"{"ForAnyValue:StringNotEquals":{"kms:EncryptionContextKeys":"a"}}"#, nothing));
    assert!(allows(r#"{"Null":{"aws:username":"true"}}"#, nothing));
    assert!(!allows(r#"{"Null":{"aws:username":false}}"#, nothing));
    // A multi-valued key without values is absent.
    assert!(allows(r#"{"Null":{"kms:EncryptionContextKeys":true}}"#, &[(KEYS, &[])]));
    // The idiom for long-term keys.
    let idiom = r#"{"BoolIfExists":{"aws:MultiFactorAuthPresent":"false"}}"#;
    assert!(denies(idiom, nothing) && !denies(idiom, &[("aws:multifactorauthpresent", &["true"])]));
}

#[test]
fn negations_are_nor() {
    let condition = r#"{"StringNotEquals":{"aws:username":["a","b"]}}"#;
    for (user, expected) in [("a", false), ("b", false), ("c", true)] {
        assert_eq!(allows(condition, &[("aws:username", &[user])]), expected, "{user}");
    }
}

#[test]
fn operators_and_keys_all_hold_values_any() {
    let condition = r#"{"StringEquals":{"aws:username":["a","b"],"kms:EncryptionContext:App":"x"},
        "Bool":{"aws:MultiFactorAuthPresent":true}}"#;
    let facts = |user, app, factor| {
        allows(condition, &[("aws:username", &[user]), (APP, &[app]), ("aws:multifactorauthpresent", &[factor])])
    };
    assert!(facts("b", "x", "true") && facts("a", "x", "TRUE"));
    assert!(!facts("c", "x", "true") && !facts("a", "X", "true") && !facts("a", "x", "false"));
}

#[test]
fn values_are_never_patterns() {
    let like = r#"{"StringLike":{"kms:EncryptionContext:app":"secret*"}}"#;
    assert!(denies(like, &[(APP, &["secret*x"])]) && denies(like, &[(APP, &["secret\nx"])]));
    assert!(!denies(like, &[(APP, &["*"])]));
    // A variable whose value is a wildcard stands for that character.
    let resource = "arn:aws:kms:*:*:key/${aws:username}";
    assert!(on_resource(resource, &[("aws:username", &["alice"])]));
    assert!(!on_resource(resource, &[("aws:username", &["*"])]));
    assert!(!on_resource(resource, &[("aws:username", &["${aws:username}"])]));
    assert!(!on_resource(resource, &[]) && !on_resource("arn:aws:kms:*:*:key/${aws:username}*", &[]));
    assert!(!on_resource("arn:aws:kms:*:*:key/${*}", &[]));
    assert!(on_resource("arn:aws:kms:*:*:key/${aws:username, 'alice'}", &[]));
    assert!(!on_resource("arn:aws:kms:*:*:key/${aws:username, '*'}", &[]));
    // Literal where the operator has no wildcards.
    let equals = r#"{"StringEquals":{"aws:username":"a*"}}"#;
    assert!(allows(equals, &[("aws:username", &["a*"])]) && !allows(equals, &[("aws:username", &["ab"])]));
}

#[test]
fn variables_in_values() {
    let condition = r#"{"StringEquals":{"kms:EncryptionContext:app":"team-${AWS:UserName}"}}"#;
    assert!(allows(condition, &[(APP, &["team-alice"]), ("aws:username", &["alice"])]));
    assert!(!allows(condition, &[(APP, &["team-alice"]), ("aws:username", &["bob"])]));
    assert!(!allows(condition, &[(APP, &["team-"])]));
    assert!(!allows(condition, &[(APP, &["team-${AWS:UserName}"])]));
    let negated = r#"{"StringNotEquals":{"kms:EncryptionContext:app":"${aws:username}"}}"#;
    assert!(denies(negated, &[(APP, &["x"])]) && denies(negated, &[(APP, &["x"]), ("aws:username", &["y"])]));
    assert!(!denies(negated, &[(APP, &["x"]), ("aws:username", &["x"])]));
    // More than one value is no value.
    assert!(!allows(condition, &[(APP, &["team-alice"]), ("aws:username", &["alice", "bob"])]));
}

#[test]
fn arns() {
    let facts: &[(&str, &[&str])] = &[("aws:sourcearn", &["arn:aws:s3:::bucket/a:b"])];
    for operator in ["ArnEquals", "ArnLike"] {
        let check = |pattern: &str| allows(&format!(r#"{{"{operator}":{{"aws:SourceArn":"{pattern}"}}}}"#), facts);
        assert!(check("arn:aws:s3:::bucket/*") && check("arn:aws:s3:*:*:*") && check("arn:aws:s3:::bucket/a:b"));
        assert!(!check("arn:aws:*:bucket/a:b::") && !check("arn:aws:s3:::BUCKET/*") && !check("arn:aws:s3::*:bucket"));
    }
    let not = r#"{"ArnNotLike":{"aws:SourceArn":"arn:aws:s3:::bucket/*"}}"#;
    assert!(!denies(not, facts) && denies(not, &[("aws:sourcearn", &["garbage"])]));
    // The value of a variable adds no parts.
    let variable = r#"{"ArnLike":{"aws:SourceArn":"arn:aws:s3::${aws:username}:bucket"}}"#;
    assert!(!allows(variable, &[("aws:sourcearn", &["arn:aws:s3::1:2:bucket"]), ("aws:username", &["1:2"])]));
    assert!(allows(variable, &[("aws:sourcearn", &["arn:aws:s3::1:bucket"]), ("aws:username", &["1"])]));
}

#[test]
fn a_value_of_the_wrong_type_denies_and_does_not_allow() {
    for condition in [
        r#"{"NumericLessThan":{"kms:PendingWindow":7}}"#,
        r#"{"NumericNotEquals":{"kms:PendingWindow":7}}"#,
        r#"{"DateLessThan":{"aws:CurrentTime":"2026-01-01T00:00:00Z"}}"#,
        r#"{"Bool":{"kms:EncryptionContext:app":"true"}}"#,
        r#"{"NotIpAddress":{"kms:EncryptionContext:app":"10.0.0.0/8"}}"#,
    ] {
        let facts: &[(&str, &[&str])] =
            &[("kms:pendingwindow", &["many"]), ("aws:currenttime", &["soon"]), (APP, &["many"])];
        assert!(denies(condition, facts) && !allows(condition, facts), "{condition}");
    }
}

#[test]
fn numbers_dates_and_addresses() {
    let numeric = |operator: &str, found: &str| {
        allows(&format!(r#"{{"Numeric{operator}":{{"kms:PendingWindow":"7"}}}}"#), &[("kms:pendingwindow", &[found])])
    };
    assert!(numeric("Equals", "7.0") && !numeric("Equals", "70") && numeric("NotEquals", "8"));
    assert!(numeric("LessThan", "6.9") && !numeric("LessThan", "7") && numeric("LessThanEquals", "7"));
    assert!(numeric("GreaterThan", "10") && !numeric("GreaterThan", "7") && numeric("GreaterThanEquals", "7"));
    let date = r#"{"DateGreaterThan":{"aws:CurrentTime":"2026-01-01T00:00:00+01:00"}}"#;
    assert!(allows(date, &[("aws:currenttime", &["2025-12-31T23:00:01Z"])]));
    assert!(!allows(date, &[("aws:currenttime", &["2025-12-31T23:00:00Z"])]));
    let address = r#"{"IpAddress":{"aws:SourceIp":["10.0.0.0/8","2001:db8::/32"]}}"#;
    assert!(
        allows(address, &[("aws:sourceip", &["10.2.3.4"])]) && allows(address, &[("aws:sourceip", &["2001:db8::1"])])
    );
    assert!(!allows(address, &[("aws:sourceip", &["11.2.3.4"])]));
}

#[test]
fn exactly_these_pairs() {
    let condition = r#"{"StringEquals":{"kms:EncryptionContext:app":"x"},
        "ForAllValues:StringEquals":{"kms:EncryptionContextKeys":["app"]}}"#;
    assert!(allows(condition, &[(APP, &["x"]), (KEYS, &["app"])]));
    assert!(!allows(condition, &[(APP, &["x"]), (KEYS, &["app", "more"])]));
    assert!(!allows(condition, &[]));
    let any = r#"{"ForAnyValue:StringEquals":{"kms:EncryptionContextKeys":["app"]}}"#;
    assert!(allows(any, &[(KEYS, &["app", "more"])]) && !allows(any, &[(KEYS, &["App"])]));
    let none = r#"{"ForAllValues:StringNotEquals":{"kms:EncryptionContextKeys":["app"]}}"#;
    assert!(!allows(none, &[(KEYS, &["app", "more"])]) && allows(none, &[(KEYS, &["more"])]));
    let some_other = r#"{"ForAnyValue:StringNotEquals":{"kms:EncryptionContextKeys":["app"]}}"#;
    assert!(allows(some_other, &[(KEYS, &["app", "more"])]) && !allows(some_other, &[(KEYS, &["app"])]));
}

#[test]
fn a_single_valued_key_with_two_values_cannot_be_told() {
    // Two pairs of an encryption context whose names differ in letter case only.
    let facts: &[(&str, &[&str])] = &[(APP, &["x", "y"])];
    for condition in [
        r#"{"StringEquals":{"kms:EncryptionContext:app":"x"}}"#,
        r#"{"StringEquals":{"kms:EncryptionContext:app":["x","y"]}}"#,
        r#"{"StringEqualsIfExists":{"kms:EncryptionContext:app":"x"}}"#,
        r#"{"StringNotEquals":{"kms:EncryptionContext:app":"z"}}"#,
        r#"{"ForAnyValue:StringEquals":{"kms:EncryptionContext:app":"x"}}"#,
    ] {
        assert!(denies(condition, facts) && !allows(condition, facts), "{condition}");
    }
    // That it is there is known.
    assert!(allows(r#"{"Null":{"kms:EncryptionContext:app":false}}"#, facts));
}

#[test]
fn operators_are_refused_where_they_could_never_judge() {
    // One value that each family of operators takes.
    let operators = [
        ("StringLike", "a"),
        ("ArnLike", "arn:aws:s3:::b"),
        ("NumericLessThan", "7"),
        ("DateLessThan", "2026-01-01"),
        ("Bool", "true"),
        ("IpAddress", "10.0.0.0/8"),
        ("Null", "true"),
    ];
    for (key, taken) in [
        ("aws:username", "StringLike ArnLike NumericLessThan DateLessThan Bool IpAddress Null"),
        ("kms:EncryptionContextKeys", "StringLike ArnLike NumericLessThan DateLessThan Bool IpAddress Null"),
        ("AWS:principaltag/team", "StringLike ArnLike NumericLessThan DateLessThan Bool IpAddress Null"),
        ("aws:SourceArn", "StringLike ArnLike Null"),
        ("kms:PendingWindow", "StringLike NumericLessThan Null"),
        ("aws:CurrentTime", "StringLike DateLessThan Null"),
        ("aws:EpochTime", "StringLike NumericLessThan DateLessThan Null"),
        ("aws:MultiFactorAuthPresent", "StringLike Bool Null"),
        ("aws:SourceIp", "StringLike IpAddress Null"),
    ] {
        for (operator, value) in operators {
            let parsed = parse("Allow", "*", &format!(r#"{{"{operator}":{{"{key}":"{value}"}}}}"#));
            let refused = parsed.err().map(|malformed| malformed.message().to_owned());
            let expected = (!taken.split(' ').any(|name| name == operator)).then(|| {
                format!(
                    "Policy contains a statement with an element that is not supported: {operator} with the condition \
                     key {key}."
                )
            });
            assert_eq!(refused, expected, "{operator} {key}");
        }
    }
}

#[test]
fn all_values_of_a_family_are_refused_where_the_service_says_so() {
    let text = |key: &str| format!(r#"{{"ForAllValues:StringLike":{{"{key}":"a"}}}}"#);
    assert!(parse("Allow", "*", &text("kms:EncryptionContext:app")).is_err());
    assert!(parse("Allow", "*", &text("aws:PrincipalTag/team")).is_ok());
    assert!(parse("Allow", "*", &text("kms:EncryptionContextKeys")).is_ok());
}

#[test]
fn refusals() {
    let refuse = |condition: &str| {
        let malformed = parse("Allow", "*", condition).unwrap_err();
        (malformed.kind(), malformed.message().to_owned())
    };
    for condition in [
        "[]",
        "null",
        r#""x""#,
        r#"{"StringEquals":[]}"#,
        r#"{"StringEquals":{"aws:username":[]}}"#,
        r#"{"StringEquals":{"aws:username":null}}"#,
        r#"{"StringEquals":{"aws:username":[["a"]]}}"#,
        r#"{"StringEquals":{"aws:username":"a"},"StringEquals":{"aws:username":"b"}}"#,
        r#"{"stringequals":{"aws:username":"a"}}"#,
        r#"{"StringEqualsIfExistsIfExists":{"aws:username":"a"}}"#,
        r#"{"ForAnyValue:ForAllValues:StringEquals":{"aws:username":"a"}}"#,
        r#"{"IfExists":{"aws:username":"a"}}"#,
        r#"{"NullIfExists":{"aws:username":"true"}}"#,
        r#"{"ForAnyValue:Null":{"aws:username":"true"}}"#,
        r#"{"Null":{"aws:username":"maybe"}}"#,
        r#"{"Bool":{"aws:username":"${aws:username}"}}"#,
        r#"{"Bool":{"aws:MultiFactorAuthPresent":"${aws:username}"}}"#,
        r#"{"NumericEquals":{"aws:username":"seven"}}"#,
        r#"{"NumericEquals":{"aws:username":1e3000}}"#,
        r#"{"DateEquals":{"aws:username":"soon"}}"#,
        r#"{"IpAddress":{"aws:username":"10.0.0.0/33"}}"#,
        r#"{"ArnLike":{"aws:username":"arn:aws:s3"}}"#,
        r#"{"BinaryEquals":{"aws:username":"QUJ"}}"#,
        r#"{"BinaryNotEquals":{"aws:username":"QUJD"}}"#,
        r#"{"StringEquals":{"aws:username":"${aws:username"}}"#,
        r#"{"StringEquals":{"aws:username":"${}"}}"#,
        r#"{"StringEquals":{"aws:username":"${aws:username, bob}"}}"#,
        r#"{"StringEquals":{"aws:username":"${${aws:username}}"}}"#,
    ] {
        assert_eq!(refuse(condition).0, MalformedKind::Syntax, "{condition}");
    }
    let unsupported = |what: &str| {
        let message = format!("Policy contains a statement with an element that is not supported: {what}.");
        (MalformedKind::Unsupported, message)
    };
    for (condition, what) in [
        (r#"{"StringEquals":{"aws:Unknown":"a"}}"#, "the condition key aws:Unknown"),
        (r#"{"StringEquals":{"kms:EncryptionContext:":"a"}}"#, "the condition key kms:EncryptionContext:"),
        (r#"{"StringEquals":{"aws:username":"${aws:unknown}"}}"#, "the condition key aws:unknown"),
        (r#"{"ArnLike":{"aws:SourceArn":"arn:aws:s3:::${aws:unknown}"}}"#, "the condition key aws:unknown"),
        (
            r#"{"StringEquals":{"aws:username":"${kms:EncryptionContextKeys}"}}"#,
            "a variable of the condition key kms:encryptioncontextkeys",
        ),
    ] {
        assert_eq!(refuse(condition), unsupported(what), "{condition}");
    }
    let all = refuse(r#"{"ForAllValues:StringLike":{"KMS:encryptionContext:app":"a"}}"#).1;
    assert!(all.starts_with("OverlyPermissiveCondition: Using the ForAllValues set operator"), "{all}");
    for resource in ["arn:aws:kms:*:${aws:username}:key/a", "arn:aws:kms:*:*:key/${aws:username"] {
        assert!(parse("Allow", resource, "{}").is_err(), "{resource}");
    }
}

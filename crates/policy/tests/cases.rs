//! Cases by hand: what each rule of the reference says, what parsing refuses, and AWS's words.
#![expect(clippy::unwrap_used, reason = "tests")]

use claviger_policy::{
    AccountId, ConditionKey, Document, KeyKind, Limits, Malformed, MalformedKind, NoContext, Principal, PrincipalName,
    Question, ResourcePolicy, Sources, Subject, absent_resource_message, decide, default_key_policy, explain,
    keeps_policy_writable,
};

const KEY: &str = "arn:aws:kms:eu-west-1:111122223333:key/1234abcd-12ab-34cd-56ef-1234567890ab";

fn home() -> AccountId {
    AccountId::parse("111122223333").unwrap()
}

fn away() -> AccountId {
    AccountId::parse("444455556666").unwrap()
}

fn alice() -> Principal {
    Principal::user(home(), "/", "alice")
}

fn parse(text: &str) -> Result<Document, Malformed> {
    Document::parse_key_policy(text, &Limits::KEY_POLICY)
}

/// One statement, `{"Effect":"Allow","Action":"kms:*","Resource":"*"}` with these members instead or besides.
fn statement(members: &str) -> String {
    let mut text = String::new();
    for (name, value) in [("Effect", "\"Allow\""), ("Action", "\"kms:*\""), ("Resource", "\"*\"")] {
        if !members.contains(&format!("{name}\":")) {
            text.push_str(&format!("\"{name}\":{value},"));
        }
    }
    format!("{{{text}{members}}}")
}

fn policy(statements: &[String]) -> String {
    format!(r#"{{"Version":"2012-10-17","Statement":[{}]}}"#, statements.join(","))
}

fn question<'a>(principal: &'a Principal, action: &'a str) -> Question<'a> {
    Question {
        principal,
        action,
        resource_arn: KEY,
        resource_account: home(),
        cross_account_capable: true,
        context: &NoContext,
    }
}

#[track_caller]
fn check(key_policy: &str, principal: &Principal, action: &str, expected: &str) {
    let document = parse(key_policy).unwrap();
    let sources = Sources::key_policy(&document);
    assert_eq!(decide(&question(principal, action), &sources).explain(&sources), expected);
}

#[track_caller]
fn refused(text: &str, kind: MalformedKind, message: &str) {
    let malformed = parse(text).unwrap_err();
    assert_eq!((malformed.kind(), malformed.message()), (kind, message), "{text}");
}

#[test]
fn the_default_policy() {
    let text = default_key_policy(home());
    let root = r#"allow: resource policy, statement 1 "Enable IAM User Permissions""#;
    check(&text, &Principal::root(home()), "kms:Encrypt", root);
    check(&text, &Principal::root(away()), "kms:Encrypt", "deny: no resource policy allows");
    check(&text, &Principal::root(home()), "s3:GetObject", "deny: no resource policy allows");
    // It opens nothing by itself for a user of the account: identity policies must.
    check(&text, &alice(), "kms:Encrypt", "deny: no identity policy allows");
    let document = parse(&text).unwrap();
    assert_eq!(document.text(), text);
    assert_eq!(document.principals(), [PrincipalName::Account(home())]);
    let identity =
        Document::parse_identity_policy(&policy(&[statement(r#""Sid":"Use""#)]), &Limits::KEY_POLICY).unwrap();
    let sources = Sources { identity_policies: &[&identity], ..Sources::key_policy(&document) };
    let decision = decide(&question(&alice(), "kms:Encrypt"), &sources);
    assert_eq!(
        decision.explain(&sources),
        "allow, left to the account: resource policy, statement 1 \"Enable IAM User Permissions\"; \
         identity policy 1, statement 1 \"Use\""
    );
}

#[test]
fn root_has_no_power_that_the_key_policy_does_not_give() {
    let text = policy(&[statement(r#""Principal":{"AWS":"arn:aws:iam::111122223333:user/alice"}"#)]);
    check(&text, &Principal::root(home()), "kms:Encrypt", "deny: no resource policy allows");
    check(&text, &alice(), "kms:Encrypt", "allow: resource policy, statement 1");
    check(&text, &Principal::user(home(), "/", "Alice"), "kms:Encrypt", "deny: no resource policy allows");
}

#[test]
fn a_deny_after_an_allow_wins() {
    let allow = statement(r#""Principal":"*""#);
    let deny = statement(r#""Effect":"Deny","Action":"kms:decrypt","Principal":{"AWS":"111122223333"}"#);
    let text = policy(&[allow, deny]);
    check(&text, &Principal::root(home()), "kms:Decrypt", "deny: resource policy, statement 2");
    check(&text, &alice(), "kms:Decrypt", "deny: resource policy, statement 2");
    check(&text, &Principal::root(home()), "kms:Encrypt", "allow: resource policy, statement 1");
}

#[test]
fn a_foreign_root_needs_the_key_policy_and_an_operation_that_crosses_accounts() {
    let text = policy(&[statement(r#""Principal":{"AWS":"arn:aws:iam::444455556666:root"}"#)]);
    let root = Principal::root(away());
    check(&text, &root, "kms:Encrypt", "allow: resource policy, statement 1");
    check(&text, &Principal::user(away(), "/", "bob"), "kms:Encrypt", "deny: no identity policy allows");
    let document = parse(&text).unwrap();
    let sources = Sources::key_policy(&document);
    let narrow = Question { cross_account_capable: false, ..question(&root, "kms:EnableKey") };
    let decision = decide(&narrow, &sources);
    assert_eq!(decision.explain(&sources), "deny: the operation does not reach into another account");
    assert_eq!(
        decision.denial_message(&narrow, Subject::Named),
        absent_resource_message(&root, "kms:EnableKey", Subject::Named)
    );
}

#[test]
fn actions_without_a_resource_are_the_root_users() {
    let sources = Sources::default();
    let root = Principal::root(home());
    let create = Question { resource_arn: "*", ..question(&root, "kms:CreateKey") };
    let decision = decide(&create, &sources);
    assert!(decision.is_allowed());
    assert_eq!(decision.explain(&sources), "allow: root user of the account");
    let user = alice();
    let create = Question { resource_arn: "*", ..question(&user, "kms:CreateKey") };
    assert_eq!(
        decide(&create, &sources).denial_message(&create, Subject::Named),
        "User: arn:aws:iam::111122223333:user/alice is not authorized to perform: kms:CreateKey on resource: * because \
         no identity-based policy allows the kms:CreateKey action"
    );
}

#[test]
fn words_of_aws() {
    let allow = policy(&[statement(r#""Principal":{"AWS":"999999999999"}"#)]);
    let deny = policy(&[statement(r#""Effect":"Deny","Principal":"*""#)]);
    let (allow, deny) = (parse(&allow).unwrap(), parse(&deny).unwrap());
    let say = |document: &Document, principal: &Principal, subject| {
        let question = question(principal, "kms:Decrypt");
        decide(&question, &Sources::key_policy(document)).denial_message(&question, subject)
    };
    let head = "User: arn:aws:iam::111122223333:root is not authorized to perform: kms:Decrypt on";
    let root = Principal::root(home());
    let why = "because no resource-based policy allows the kms:Decrypt action";
    assert_eq!(say(&allow, &root, Subject::Named), format!("{head} resource: {KEY} {why}"));
    assert_eq!(
        say(&allow, &root, Subject::Ciphertext),
        format!("{head} the resource associated with this ciphertext {why}")
    );
    assert_eq!(
        say(&deny, &root, Subject::Named),
        format!("{head} resource: {KEY} with an explicit deny in a resource-based policy")
    );
    // A foreign caller learns nothing: absent, not shared and denied read alike.
    let foreign = Principal::root(away());
    for subject in [Subject::Named, Subject::Ciphertext] {
        assert_eq!(say(&allow, &foreign, subject), absent_resource_message(&foreign, "kms:Decrypt", subject));
        assert_eq!(say(&deny, &foreign, subject), absent_resource_message(&foreign, "kms:Decrypt", subject));
    }
    assert_eq!(
        absent_resource_message(&foreign, "kms:Decrypt", Subject::Named),
        "User: arn:aws:iam::444455556666:root is not authorized to perform: kms:Decrypt on this resource because the \
         resource does not exist in this Region, no resource-based policies allow access, or a resource-based policy \
         explicitly denies access"
    );
}

#[test]
fn resources_match_part_by_part() {
    let root = Principal::root(home());
    for (resource, matches) in [
        (KEY, true),
        ("arn:aws:kms:*:111122223333:key/*", true),
        ("arn:aws:kms:eu-west-?:*:*", true),
        ("arn:*:kms:*:*:*", true),
        // A wildcard does not reach over a colon, nor is case or an alias forgiven.
        ("arn:aws:kms:*:key/1234abcd-12ab-34cd-56ef-1234567890ab:*", false),
        ("arn:aws:kms:eu-west-1:111122223333:KEY/*", false),
        ("arn:aws:kms:eu-west-1:111122223333:alias/*", false),
        ("arn:aws:kms:eu-west-1:444455556666:key/*", false),
        ("arn:aws:s3:::*", false),
    ] {
        let text = policy(&[statement(&format!(r#""Principal":"*","Resource":"{resource}""#))]);
        let expected = if matches { "allow: resource policy, statement 1" } else { "deny: no resource policy allows" };
        check(&text, &root, "kms:Encrypt", expected);
    }
}

#[test]
fn a_resource_of_fewer_parts_matches_no_pattern_of_six() {
    let document = parse(&policy(&[statement(r#""Principal":"*","Resource":"arn:aws:kms:*:*:*""#)])).unwrap();
    let root = Principal::root(home());
    for (resource, matches) in
        [("arn:aws:kms", false), ("arn:aws:kms::", false), ("arn:aws:kms:::", true), ("*", false)]
    {
        let asked = Question { resource_arn: resource, ..question(&root, "kms:Encrypt") };
        assert_eq!(decide(&asked, &Sources::key_policy(&document)).is_allowed(), matches, "{resource}");
    }
}

#[test]
fn a_statement_without_action_or_resource_has_no_effect() {
    for members in [r#""Action":"kms:*""#, r#""Resource":"*""#] {
        let inert = format!(r#"{{"Effect":"Allow","Principal":"*",{members}}}"#);
        check(&policy(&[inert]), &Principal::root(home()), "kms:Encrypt", "deny: no resource policy allows");
    }
}

#[test]
fn negated_elements() {
    let root = Principal::root(home());
    let text = policy(&[r#"{"Effect":"Allow","Principal":"*","NotAction":["kms:Put*","KMS:disablekey"],
        "NotResource":"arn:aws:kms:*:*:key/other"}"#
        .to_owned()]);
    check(&text, &root, "kms:Encrypt", "allow: resource policy, statement 1");
    check(&text, &root, "kms:PutKeyPolicy", "deny: no resource policy allows");
    check(&text, &root, "kms:DisableKey", "deny: no resource policy allows");
}

#[test]
fn what_is_not_evaluated_is_refused() {
    let star = r#""Principal":"*""#;
    let unsupported =
        |what: &str| format!("Policy contains a statement with an element that is not supported: {what}.");
    for (members, what) in [
        (r#""Principal":"*","Condition":{}"#, "Condition"),
        (r#""NotPrincipal":{"AWS":"111122223333"}"#, "NotPrincipal"),
        (r#""Principal":{"AWS":"*","Federated":"accounts.google.com"}"#, "Federated principal"),
        (r#""Principal":"*","Resource":"arn:aws:kms:*:*:key/${aws:username}""#, "a policy variable"),
    ] {
        refused(&policy(&[statement(members)]), MalformedKind::Unsupported, &unsupported(what));
    }
    // The version may stand last, and still say what a variable is.
    let late = format!(
        r#"{{"Statement":{},"Version":"2012-10-17"}}"#,
        statement(&format!(r#"{star},"Resource":"arn:aws:kms:*:*:key/${{aws:username}}""#))
    );
    refused(&late, MalformedKind::Unsupported, &unsupported("a policy variable"));
    // Under the older version it is literal text.
    assert!(parse(&late.replace("2012", "2008")).is_ok());
}

#[test]
fn services_may_be_named_and_are_nobody_here() {
    let service = r#"{"Service":["s3.amazonaws.com","logs.eu-west-1.amazonaws.com"]}"#;
    let text = policy(&[statement(&format!(r#""Principal":{service}"#))]);
    for caller in [Principal::root(home()), alice(), Principal::role_session(home(), "/", "s3.amazonaws.com", "one")] {
        check(&text, &caller, "kms:Encrypt", "deny: no resource policy allows");
    }
    let named: Vec<String> = parse(&text).unwrap().principals().iter().map(ToString::to_string).collect();
    assert_eq!(named, ["logs.eu-west-1.amazonaws.com", "s3.amazonaws.com"]);
    // Beside others it takes nothing from them, and denies nobody.
    let both = policy(&[
        statement(r#""Principal":{"AWS":"111122223333","Service":"s3.amazonaws.com"}"#),
        statement(r#""Effect":"Deny","Principal":{"Service":"s3.amazonaws.com"}"#),
    ]);
    check(&both, &Principal::root(home()), "kms:Encrypt", "allow: resource policy, statement 1");
    let long = format!("{}.amazonaws.com", "a".repeat(115));
    for name in [
        "",
        "*",
        "s3",
        "amazonaws.com",
        ".amazonaws.com",
        "s3.amazonaws.com.example",
        "*.amazonaws.com",
        "S3.amazonaws.com",
        "a..amazonaws.com",
        "s3.example.com",
        "111122223333",
        long.as_str(),
    ] {
        let text = policy(&[statement(&format!(r#""Principal":{{"Service":"{name}"}}"#))]);
        assert_eq!(parse(&text).unwrap_err().kind(), MalformedKind::InvalidPrincipal, "{name}");
    }
    assert!(PrincipalName::parse_service(&long[1..]).is_some());
    // Not among the principals of accounts.
    assert_eq!(PrincipalName::parse("s3.amazonaws.com"), None);
}

#[test]
fn grammar() {
    let good = statement(r#""Principal":"*""#);
    let syntax = "Syntax errors in policy.";
    for text in [
        String::new(),
        "null".to_owned(),
        "[]".to_owned(),
        "{}".to_owned(),
        r#"{"Version":"2012-10-17"}"#.to_owned(),
        policy(&[]),
        policy(&["1".to_owned()]),
        format!("{} x", policy(std::slice::from_ref(&good))),
        format!(r#"{{"Statement":{good},"Statement":{good}}}"#),
        format!(r#"{{"Statement":{good},"Extra":1}}"#),
        format!(r#"{{"statement":{good}}}"#),
        format!(r#"{{"Id":1,"Statement":{good}}}"#),
        policy(&[statement(r#""Principal":"*","Action":"kms:*","Action":"s3:*""#)]),
        policy(&[statement(r#""Principal":"*","Action":"kms:*","NotAction":"s3:*""#)]),
        policy(&[statement(r#""Principal":"*","Resource":"*","NotResource":"*""#)]),
        policy(&[statement(r#""Principal":"*","Action":[]"#)]),
        policy(&[statement(r#""Principal":"*","Action":["kms:*",1]"#)]),
        policy(&[statement(r#""Principal":"*","Sid":1"#)]),
        policy(&[statement(r#""Principal":"*","Sid":"\u0000""#)]),
        policy(&[statement(r#""Principal":"*","Sid":"\u0100""#)]),
        policy(&[statement(r#""Principal":{"AWS":"*","AWS":"*"}"#)]),
        policy(&[statement(r#""Principal":"*","Unknown":1"#)]),
        "[".repeat(30_000),
    ] {
        refused(&text, MalformedKind::Syntax, syntax);
    }
    let refuse = |members: &str, message: &str| refused(&policy(&[statement(members)]), MalformedKind::Syntax, message);
    refuse(r#""Principal":"*","Effect":"allow""#, "Invalid effect.");
    refuse(r#""Sid":"x""#, "Policy contains a statement with no principal.");
    for action in ["", "kms", "*:*", "k*:Encrypt", ":Encrypt", "kms:", "kms:En crypt", "kms:a:b", "**"] {
        let members = format!(r#""Principal":"*","Action":"{action}""#);
        refuse(&members, "Actions/Conditions must be prefaced by a vendor, e.g., iam, sdb, ec2, etc.");
    }
    for resource in ["", "arn:aws:kms:*", "key/1", "arn:aws:*:*:*:*", "arn:aws:::: ", "**", "arn:aws:kms:r:a:"] {
        let members = format!(r#""Principal":"*","Resource":"{resource}""#);
        refuse(&members, &format!("Resource {resource} must be in ARN format or \"*\"."));
    }
    let versioned = |version: &str| format!(r#"{{"Version":{version},"Statement":{good}}}"#);
    for version in ["\"2012-10-18\"", "\"\"", "null", "20121017"] {
        refused(&versioned(version), MalformedKind::Syntax, "The policy must have a valid version string.");
    }
    assert!(parse(&versioned("\"2008-10-17\"")).is_ok());
    assert!(parse(&format!(r#"{{"Statement":{good}}}"#)).is_ok());
}

#[test]
fn principals_that_cannot_be() {
    for principal in [
        "\"111122223333\"",
        "\"arn:aws:iam::111122223333:root\"",
        "{}",
        "[]",
        "null",
        r#"{"AWS":[]}"#,
        r#"{"AWS":""}"#,
        r#"{"AWS":111122223333}"#,
        r#"{"AWS":"1111222233334"}"#,
        r#"{"AWS":"arn:aws:iam::111122223333:*"}"#,
        r#"{"AWS":"arn:aws:iam::111122223333:user/*"}"#,
        r#"{"AWS":"arn:aws:iam::111122223333:role/"}"#,
        r#"{"AWS":"arn:aws:iam::111122223333:role//a"}"#,
        r#"{"AWS":"arn:aws:iam::*:root"}"#,
        r#"{"AWS":"arn:aws:iam::111122223333:group/admins"}"#,
        r#"{"AWS":"arn:aws:iam:eu-west-1:111122223333:root"}"#,
        r#"{"AWS":"arn:aws-cn:iam::111122223333:root"}"#,
        r#"{"AWS":"arn:aws:sts::111122223333:root"}"#,
        r#"{"AWS":"arn:aws:sts::111122223333:assumed-role/worker"}"#,
        r#"{"AWS":"arn:aws:sts::111122223333:assumed-role/worker/*"}"#,
        r#"{"AWS":"arn:aws:sts::111122223333:federated-user/a/b"}"#,
        r#"{"AWS":"arn:aws:iam::111122223333:assumed-role/worker/one"}"#,
        r#"{"AWS":"Arn:aws:iam::111122223333:root"}"#,
        r#"{"CanonicalUser":"79a59df900b949e55d96a1e698fbaced"}"#,
        r#"{"aws":"*"}"#,
    ] {
        let text = policy(&[statement(&format!(r#""Principal":{principal}"#))]);
        refused(
            &text,
            MalformedKind::InvalidPrincipal,
            "Policy contains a statement with one or more invalid principals.",
        );
    }
}

#[test]
fn size() {
    let short = policy(&[statement(r#""Principal":"*","Sid":"""#)]);
    let fill = |length: usize| short.replace("\"Sid\":\"", &format!("\"Sid\":\"{}", "a".repeat(length)));
    let room = 32_768 - short.len();
    assert!(parse(&fill(room)).is_ok());
    refused(&fill(room + 1), MalformedKind::TooLong, "The policy is longer than 32768 bytes.");
}

#[test]
fn policies_of_identities_have_no_principal() {
    let parse = |text: &str| Document::parse_identity_policy(text, &Limits::KEY_POLICY).map(|_| ());
    let say = |text: &str| parse(text).unwrap_err().message().to_owned();
    assert_eq!(parse(&policy(&[statement(r#""Sid":"a""#)])), Ok(()));
    assert_eq!(say(&policy(&[statement(r#""Principal":"*""#)])), "Policy document should not specify a principal.");
    assert_eq!(
        say(&policy(&[r#"{"Effect":"Allow","Resource":"*"}"#.to_owned()])),
        "Policy statement must contain actions."
    );
    assert_eq!(
        say(&policy(&[r#"{"Effect":"Allow","Action":"kms:*"}"#.to_owned()])),
        "Policy statement must contain resources."
    );
}

/// Limits as a server has them that is these three services.
const IDENTITY: Limits = Limits {
    condition_keys: &[&[
        ConditionKey::new("aws:username", KeyKind::String),
        ConditionKey::new("aws:SourceIp", KeyKind::IpAddress),
        ConditionKey::new("aws:TagKeys", KeyKind::ArrayOfString),
    ]],
    own_services: &["iam", "kms", "sts"],
    ..Limits::IDENTITY_POLICY
};

#[test]
fn statements_about_other_services_may_ask_for_any_key() {
    let parse = |action: &str, condition: &str| {
        let text = policy(&[statement(&format!(r#"{action},"Condition":{condition}"#))]);
        Document::parse_identity_policy(&text, &IDENTITY).map(|_| ()).map_err(|refused| refused.message().to_owned())
    };
    let prefix = r#"{"StringLike":{"s3:prefix":"home/${aws:username}/*"}}"#;
    let unsupported =
        |what: &str| Err(format!("Policy contains a statement with an element that is not supported: {what}."));
    for action in [r#""Action":"s3:*""#, r#""Action":["s3:ListBucket","EC2:Run*","kmsx:*"]"#] {
        assert_eq!(parse(action, prefix), Ok(()), "{action}");
    }
    for action in [
        r#""Action":"*""#,
        r#""Action":"kms:Decrypt""#,
        r#""Action":["s3:*","KMS:Dec*"]"#,
        r#""Action":["s3:*","*"]"#,
        r#""Action":"iam:?etUser""#,
        r#""NotAction":"kms:*""#,
        r#""NotAction":"s3:*""#,
    ] {
        assert_eq!(parse(action, prefix), unsupported("the condition key s3:prefix"), "{action}");
        // It may stand before the actions too.
        let text = policy(&[statement(&format!(r#""Condition":{prefix},{action}"#))]);
        assert!(Document::parse_identity_policy(&text, &IDENTITY).is_err(), "{action}");
        assert_eq!(parse(action, r#"{"StringLike":{"aws:username":"a*"}}"#), Ok(()), "{action}");
    }
    let other = r#""Action":"s3:*""#;
    // Any operator, any kind, set operators, and variables.
    assert_eq!(parse(other, r#"{"NumericLessThan":{"s3:max-keys":"10"}}"#), Ok(()));
    assert_eq!(parse(other, r#"{"ForAnyValue:StringEquals":{"dynamodb:Attributes":["a"]}}"#), Ok(()));
    assert_eq!(parse(other, r#"{"Bool":{"aws:SourceIp":"true"}}"#), Ok(()));
    assert_eq!(parse(other, r#"{"StringEquals":{"s3:prefix":"${s3:delimiter}"}}"#), Ok(()));
    let variable = r#""Action":"s3:*","Resource":"arn:aws:s3:::bucket/${s3:prefix}""#;
    assert_eq!(parse(variable, "{}"), Ok(()));
    assert_eq!(parse(&variable.replace("\"s3:*", "\"kms:*"), "{}"), unsupported("a policy variable"));
    // But what is no condition at all stays refused.
    for condition in [
        r#"{"StringEquals":{"prefix":"a"}}"#,
        r#"{"StringEquals":{":prefix":"a"}}"#,
        r#"{"StringEquals":{"s3:":"a"}}"#,
        r#"{"StringEquals":{"s 3:prefix":"a"}}"#,
        r#"{"StringEqual":{"s3:prefix":"a"}}"#,
        r#"{"NumericLessThan":{"s3:max-keys":"ten"}}"#,
        r#"{"StringEquals":{"s3:prefix":"${s3:delimiter"}}"#,
    ] {
        assert!(parse(other, condition).is_err(), "{condition}");
    }
    // A key policy is held to the tables whatever its actions.
    let text = policy(&[statement(&format!(r#""Principal":"*",{other},"Condition":{prefix}"#))]);
    assert!(Document::parse_key_policy(&text, &IDENTITY).is_err());
    // And so is a statement where nobody says which services are here.
    let limits = Limits { own_services: &[], ..IDENTITY };
    let text = policy(&[statement(&format!(r#"{other},"Condition":{prefix}"#))]);
    assert!(Document::parse_identity_policy(&text, &limits).is_err());
}

#[test]
fn names_of_statements_of_identities() {
    let parse = |first: &str, second: &str| {
        let text = policy(&[statement(&format!(r#""Sid":"{first}""#)), statement(&format!(r#""Sid":"{second}""#))]);
        Document::parse_identity_policy(&text, &Limits::IDENTITY_POLICY).map(|_| ())
    };
    let say = |first: &str, second: &str| parse(first, second).unwrap_err().message().to_owned();
    assert_eq!((parse("a", "A"), parse("", "")), (Ok(()), Ok(())));
    assert_eq!(say("a", "a"), "Statement IDs (SID) in a single policy must be unique.");
    assert!(say("a", "b c").starts_with("Statement IDs (SID) must be alpha-numeric."));
}

#[test]
fn refusals_about_resources_by_another_name() {
    let user = alice();
    let asked = Question { resource_arn: "arn:aws:iam::111122223333:user/bob", ..question(&user, "iam:GetUser") };
    let decision = decide(&asked, &Sources::default());
    let head = "User: arn:aws:iam::111122223333:user/alice is not authorized to perform: iam:GetUser";
    let why = "because no identity-based policy allows the iam:GetUser action";
    assert_eq!(decision.denial_message_about(&asked, Some("user bob")), format!("{head} on resource: user bob {why}"));
    assert_eq!(decision.denial_message_about(&asked, None), format!("{head} {why}"));
}

#[test]
fn federated_sessions_have_what_their_policy_passes_on() {
    let guest = Principal::federated_user(home(), "arn:aws:iam::111122223333:user/alice", "guest");
    let by = |name: &str| parse(&policy(&[statement(&format!(r#""Principal":{{"AWS":"{name}"}}"#))])).unwrap();
    let open = Document::parse_identity_policy(&policy(&[statement(r#""Sid":"a""#)]), &Limits::KEY_POLICY).unwrap();
    let allowed = |name: &str, session: Option<&[&Document]>| {
        let document = by(name);
        let sources =
            Sources { session_policies: session, identity_policies: &[&open], ..Sources::key_policy(&document) };
        decide(&question(&guest, "kms:Encrypt"), &sources).is_allowed()
    };
    // Named itself it needs nothing; by its user or its account, a policy that passes the permission on.
    assert!(allowed("arn:aws:sts::111122223333:federated-user/guest", None));
    for name in ["arn:aws:iam::111122223333:user/alice", "111122223333"] {
        assert!(!allowed(name, None) && !allowed(name, Some(&[])) && allowed(name, Some(&[&open])), "{name}");
    }
    let document = by("arn:aws:iam::111122223333:user/alice");
    let none = Document::parse_identity_policy(&policy(&[statement(r#""Action":"s3:*""#)]), &Limits::KEY_POLICY);
    let none = none.unwrap();
    let sources = Sources { session_policies: Some(&[&open]), boundary: Some(&none), ..Sources::key_policy(&document) };
    assert!(!decide(&question(&guest, "kms:Encrypt"), &sources).is_allowed());
}

#[test]
fn a_stored_text_that_cannot_be_read_denies() {
    let text = r#"{"Version":"2032-01-01"}"#;
    let (lost, open) = (Document::unreadable(text), parse(&policy(&[statement(r#""Principal":"*""#)])).unwrap());
    assert_eq!((lost.text(), lost.spans().len()), (text, 0));
    for principal in [Principal::root(home()), alice(), Principal::user(away(), "/", "bob")] {
        let asked = question(&principal, "kms:Encrypt");
        assert!(!decide(&asked, &Sources::key_policy(&lost)).is_allowed());
        let attached = Sources { identity_policies: &[&lost], ..Sources::key_policy(&open) };
        assert!(!decide(&asked, &attached).is_allowed());
        assert!(explain(&asked, &attached).to_string().starts_with("deny: identity policy 1, statement 1\n"));
    }
}

/// Far more than any document may hold, so that what may be held is answered at once.
#[test]
fn a_great_many_statements_and_wildcards() {
    let limits = Limits { bytes_max: usize::MAX, ..Limits::KEY_POLICY };
    let narrow = statement(r#""Principal":{"AWS":"arn:aws:iam::111122223333:user/bob"},"Action":"kms:?*?*?*x""#);
    let last = statement(r#""Principal":"*","Sid":"last""#);
    let text = policy(&[vec![narrow; 10_000], vec![last]].concat());
    let document = Document::parse_key_policy(&text, &limits).unwrap();
    let user = alice();
    let asked = question(&user, "kms:Encrypt");
    let sources = Sources::key_policy(&document);
    assert_eq!(decide(&asked, &sources).explain(&sources), "allow: resource policy, statement 10001 \"last\"");
    assert_eq!(explain(&asked, &sources).statements.len(), 10_001);
    let pattern = format!("arn:aws:kms:*:*:{}x", "*a".repeat(15_000));
    let text = policy(&[statement(&format!(r#""Principal":"*","Resource":"{pattern}""#))]);
    let document = parse(&text).unwrap();
    let resource = format!("arn:aws:kms:eu-west-1:111122223333:key/{}", "a".repeat(2_000));
    let asked = Question { resource_arn: &resource, ..asked };
    assert!(!decide(&asked, &Sources::key_policy(&document)).is_allowed());
}

#[test]
fn lockout() {
    let root = Principal::root(home());
    let user = alice();
    let keeps = |principal: &Principal, text: &str| {
        keeps_policy_writable(&question(principal, "kms:PutKeyPolicy"), &parse(text).unwrap())
    };
    let default = default_key_policy(home());
    assert!(keeps(&root, &default));
    // The account statement is enough, whatever the user's own policies say.
    assert!(keeps(&user, &default));
    assert!(!keeps(&Principal::root(away()), &default));
    let only_alice = policy(&[statement(r#""Principal":{"AWS":"arn:aws:iam::111122223333:user/alice"}"#)]);
    assert!(keeps(&user, &only_alice) && !keeps(&root, &only_alice));
    let encrypt = policy(&[statement(r#""Principal":"*","Action":"kms:Encrypt""#)]);
    assert!(!keeps(&root, &encrypt));
    let deny = statement(r#""Effect":"Deny","Principal":"*","Action":"kms:PutKeyPolicy""#);
    assert!(!keeps(&root, &policy(&[statement(r#""Principal":"*""#), deny])));
    // A policy open to the world does not let a foreign account manage the key.
    assert!(!keeps(&Principal::root(away()), &policy(&[statement(r#""Principal":"*""#)])));
}

#[test]
fn a_resource_with_a_policy_that_must_agree_is_not_one_without() {
    let document = parse(&policy(&[statement(r#""Principal":{"AWS":"999999999999"}"#)])).unwrap();
    let root = Principal::root(home());
    let with = Sources { resource_policy: ResourcePolicy::MustAgree(&document), ..Sources::default() };
    assert!(!decide(&question(&root, "kms:Encrypt"), &with).is_allowed());
    assert!(decide(&question(&root, "kms:Encrypt"), &Sources::default()).is_allowed());
}

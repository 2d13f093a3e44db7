//! Trust policies, and names bound to unique ids, by hand.
#![expect(clippy::unwrap_used, reason = "tests")]

use claviger_policy::{
    AccountId, ConditionKey, Document, GrantReference, KeyKind, Limits, Malformed, MalformedKind, NoContext, Principal,
    PrincipalName, Question, Reason, ResourcePolicy, SharedIssuer, Source, Sources, Subject, UniqueId, decide,
};

const ROLE: &str = "arn:aws:iam::111122223333:role/service/worker";
const ALICE: &str = "arn:aws:iam::111122223333:user/alice";
const PROVIDER: &str = "arn:aws:iam::111122223333:oidc-provider/issuer.example/id/1";

const LIMITS: Limits =
    Limits { condition_keys: &[&[ConditionKey::new("sts:ExternalId", KeyKind::String)]], ..Limits::TRUST_POLICY };

fn home() -> AccountId {
    AccountId::parse("111122223333").unwrap()
}

fn away() -> AccountId {
    AccountId::parse("444455556666").unwrap()
}

fn id(text: &str) -> UniqueId {
    UniqueId::parse(text).unwrap()
}

fn alice() -> Principal {
    Principal::user(home(), "/", "alice")
}

fn trust(members: &str) -> Result<Document, Malformed> {
    let action = if members.contains("Action\"") { "" } else { r#""Action":"sts:AssumeRole","# };
    let text = format!(r#"{{"Version":"2012-10-17","Statement":[{{"Effect":"Allow",{action}{members}}}]}}"#);
    Document::parse_trust_policy(&text, &LIMITS)
}

fn names(arn: &str) -> Document {
    trust(&format!(r#""Principal":{{"AWS":"{arn}"}}"#)).unwrap()
}

fn identity(text: &str) -> Document {
    Document::parse_identity_policy(text, &LIMITS).unwrap()
}

fn open() -> Document {
    identity(r#"{"Statement":{"Effect":"Allow","Action":"sts:*","Resource":"*"}}"#)
}

fn question<'a>(principal: &'a Principal, action: &'a str) -> Question<'a> {
    Question {
        principal,
        action,
        resource_arn: ROLE,
        resource_account: home(),
        cross_account_capable: true,
        context: &NoContext,
    }
}

fn reason(document: &Document, principal: &Principal, sources: Sources<'_>) -> Reason {
    let sources = Sources { resource_policy: ResourcePolicy::Trust(document), ..sources };
    decide(&question(principal, "sts:AssumeRole"), &sources).reason
}

/// What the caller needs besides the trust policy: nothing, its identity policies, or it has no chance.
#[track_caller]
fn check(document: &Document, principal: &Principal, alone: Reason, with_identity: Reason) {
    let open = open();
    assert_eq!(reason(document, principal, Sources::default()), alone);
    let sources = Sources { identity_policies: &[&open], ..Sources::default() };
    assert_eq!(reason(document, principal, sources), with_identity);
}

const NO_IDENTITY: Reason = Reason::NoAllow(Source::IdentityPolicy);
const NO_TRUST: Reason = Reason::NoAllow(Source::ResourcePolicy);
const ALONE: Reason = Reason::ResourcePolicyAllows;
const BOTH: Reason = Reason::AccountDelegated;

#[test]
fn who_may_assume() {
    let session = Principal::role_session(home(), "/", "other", "one");
    let foreign = Principal::user(away(), "/", "bob");
    // In the account, a name is enough, role to role too.
    check(&names(ALICE), &alice(), ALONE, ALONE);
    check(&names("arn:aws:iam::111122223333:role/other"), &session, ALONE, ALONE);
    check(&names("arn:aws:sts::111122223333:assumed-role/other/one"), &session, ALONE, ALONE);
    check(&names("*"), &alice(), ALONE, ALONE);
    // The account leaves it to identity policies.
    check(&names("111122223333"), &alice(), NO_IDENTITY, BOTH);
    check(&names("arn:aws:iam::111122223333:root"), &session, NO_IDENTITY, BOTH);
    // From elsewhere always both.
    for arn in ["*", "444455556666", "arn:aws:iam::444455556666:user/bob"] {
        check(&names(arn), &foreign, NO_IDENTITY, BOTH);
    }
    check(&names("444455556666"), &alice(), NO_TRUST, NO_TRUST);
    // A role does not trust itself unless it says so.
    let own = Principal::role_session(home(), "/service/", "worker", "one");
    check(&names(ALICE), &own, NO_TRUST, NO_TRUST);
    check(&names(ROLE), &own, ALONE, ALONE);
}

#[test]
fn a_root_user_assumes_nothing() {
    for (root, arn) in [(Principal::root(home()), "*"), (Principal::root(away()), "444455556666")] {
        check(&names(arn), &root, Reason::RootAssumesNoRole, Reason::RootAssumesNoRole);
        let document = names(arn);
        let sources = Sources { resource_policy: ResourcePolicy::Trust(&document), ..Sources::default() };
        let asked = question(&root, "sts:AssumeRole");
        let decision = decide(&asked, &sources);
        assert_eq!(decision.denial_message(&asked, Subject::Role), "Roles may not be assumed by root accounts.");
        assert_eq!(decision.explain(&sources), "deny: a root user takes no role");
    }
}

#[test]
fn ceilings_and_denies_of_the_caller_hold() {
    let (open, none) = (open(), identity(r#"{"Statement":{"Effect":"Allow","Action":"kms:*","Resource":"*"}}"#));
    let deny = identity(r#"{"Statement":{"Effect":"Deny","Action":"sts:AssumeRole","Resource":"*"}}"#);
    let session = Principal::role_session(home(), "/", "other", "one");
    let by_role = names("arn:aws:iam::111122223333:role/other");
    let with = |document: &Document, sources: Sources<'_>| reason(document, &session, sources);
    let boundary = Sources { boundary: Some(&none), ..Sources::default() };
    let passed = Sources { session_policies: Some(&[&none]), ..Sources::default() };
    assert_eq!(with(&by_role, boundary), Reason::NoAllow(Source::Boundary));
    assert_eq!(with(&by_role, passed), Reason::NoAllow(Source::SessionPolicy));
    assert_eq!(with(&by_role, Sources { boundary: Some(&open), ..Sources::default() }), ALONE);
    // The session itself is named: only a deny counts.
    let by_session = names("arn:aws:sts::111122223333:assumed-role/other/one");
    assert_eq!(with(&by_session, boundary), ALONE);
    let denied = Sources { identity_policies: &[&open, &deny], ..Sources::default() };
    assert_eq!(with(&by_session, denied), Reason::ExplicitDeny(Source::IdentityPolicy));
    let levels = Sources { service_control_policies: &[&[&none]], ..Sources::default() };
    assert_eq!(with(&by_session, levels), Reason::NoAllow(Source::ServiceControlPolicy));
}

#[test]
fn each_action_is_a_decision_of_its_own() {
    let document = trust(r#""Principal":"*","Action":["sts:AssumeRole","sts:TagSession"]"#).unwrap();
    let sources = Sources { resource_policy: ResourcePolicy::Trust(&document), ..Sources::default() };
    for (action, allowed) in [
        ("sts:AssumeRole", true),
        ("sts:TagSession", true),
        ("sts:SetSourceIdentity", false),
        ("sts:AssumeRoleWithWebIdentity", false),
    ] {
        assert_eq!(decide(&question(&alice(), action), &sources).is_allowed(), allowed, "{action}");
    }
}

#[test]
fn refusals_of_assume_role_say_no_reason() {
    for (document, caller) in
        [(names(ALICE), Principal::user(home(), "/", "bob")), (names("*"), Principal::user(away(), "/", "bob"))]
    {
        let sources = Sources { resource_policy: ResourcePolicy::Trust(&document), ..Sources::default() };
        let asked = question(&caller, "sts:AssumeRole");
        assert_eq!(
            decide(&asked, &sources).denial_message(&asked, Subject::Role),
            format!("User: {caller} is not authorized to perform: sts:AssumeRole on resource: {ROLE}")
        );
    }
}

#[test]
fn bearers_of_tokens() {
    let bearer = Principal::web_identity(home(), PROVIDER);
    let action = "sts:AssumeRoleWithWebIdentity";
    let ask = |document: &Document, bearer: &Principal, sources: Sources<'_>| {
        let sources = Sources { resource_policy: ResourcePolicy::Trust(document), ..sources };
        let asked = question(bearer, action);
        let decision = decide(&asked, &sources);
        (decision.is_allowed(), decision.denial_message(&asked, Subject::Role))
    };
    let members = |principal: &str| format!(r#""Principal":{principal},"Action":"sts:AssumeRoleWithWebIdentity""#);
    let trusts = |principal: &str| ask(&trust(&members(principal)).unwrap(), &bearer, Sources::default()).0;
    assert!(trusts(&format!(r#"{{"Federated":"{PROVIDER}"}}"#)));
    // Nothing but the provider's whole name: not the beginning of it, nor more, nor everyone, nor its account.
    for name in ["issuer.example/id", "issuer.example/id/1.evil.example", "issuer.example/id/12", "issuer.example/ID/1"]
    {
        assert!(!trusts(&format!(r#"{{"Federated":"arn:aws:iam::111122223333:oidc-provider/{name}"}}"#)), "{name}");
    }
    for principal in [r#""*""#, r#"{"AWS":"*"}"#, r#"{"AWS":"111122223333"}"#] {
        assert!(!trusts(principal), "{principal}");
    }
    // Nor has it an account whose policies could let it into another.
    let trusting = trust(&members(&format!(r#"{{"Federated":"{PROVIDER}"}}"#))).unwrap();
    let open = open();
    let stranger = Principal::web_identity(away(), PROVIDER);
    let sources = Sources { identity_policies: &[&open], ..Sources::default() };
    assert!(!ask(&trusting, &stranger, sources).0);
    let refusal = ask(&names(ALICE), &bearer, Sources::default()).1;
    assert_eq!(refusal, "Not authorized to perform sts:AssumeRoleWithWebIdentity");
    // A deny for everyone is one for it too.
    let text = format!(
        r#"{{"Statement":[{{"Effect":"Allow",{}}},{{"Effect":"Deny","Principal":"*","Action":"sts:AssumeRole*"}}]}}"#,
        members(&format!(r#"{{"Federated":"{PROVIDER}"}}"#))
    );
    assert!(!ask(&Document::parse_trust_policy(&text, &LIMITS).unwrap(), &bearer, Sources::default()).0);
    // A key policy that is open to everyone who signs is not open to it.
    let key = r#"{"Statement":{"Effect":"Allow","Principal":"*","Action":"*","Resource":"*"}}"#;
    let key = Document::parse_key_policy(key, &Limits::KEY_POLICY).unwrap();
    assert!(!decide(&question(&bearer, "kms:Decrypt"), &Sources::key_policy(&key)).is_allowed());
}

#[test]
fn conditions_on_claims() {
    struct Claims;
    impl claviger_policy::Context for Claims {
        fn values(&self, key: &str) -> Option<Vec<std::borrow::Cow<'_, str>>> {
            match key {
                "issuer.example/id/1:aud" => Some(vec!["sts.amazonaws.com".into()]),
                "issuer.example/id/1:sub" => Some(vec!["system:serviceaccount:prod:api".into()]),
                _ => None,
            }
        }
    }
    let bearer = Principal::web_identity(home(), PROVIDER);
    let allows = |condition: &str| {
        let document = trust(&format!(
            r#""Principal":{{"Federated":"{PROVIDER}"}},"Action":"sts:AssumeRoleWithWebIdentity",
            "Condition":{condition}"#
        ));
        let document = document.unwrap();
        let sources = Sources { resource_policy: ResourcePolicy::Trust(&document), ..Sources::default() };
        let asked = Question { context: &Claims, ..question(&bearer, "sts:AssumeRoleWithWebIdentity") };
        decide(&asked, &sources).is_allowed()
    };
    let aud = r#""issuer.example/id/1:aud":"sts.amazonaws.com""#;
    let sub = |text: &str| format!(r#"{{"StringEquals":{{{aud},"issuer.example/id/1:sub":"{text}"}}}}"#);
    assert!(allows(&sub("system:serviceaccount:prod:api")));
    assert!(!allows(&sub("system:serviceaccount:prod:*")) && !allows(&sub("system:serviceaccount:dev:api")));
    assert!(allows(r#"{"StringLike":{"ISSUER.example/id/1:SUB":"system:serviceaccount:prod:*"}}"#));
    // The claims of another issuer are not there.
    assert!(!allows(r#"{"StringEquals":{"issuer.example:sub":"system:serviceaccount:prod:api"}}"#));
}

#[test]
fn an_issuer_that_many_share_needs_a_claim_that_says_whose() {
    const SHARED: Limits = Limits {
        shared_issuers: &[SharedIssuer { issuer: "token.example", claims: &["sub", "repository_id"] }],
        ..LIMITS
    };
    let parse = |host: &str, effect: &str, action: &str, condition: &str| {
        let text = format!(
            r#"{{"Statement":{{"Effect":"{effect}","Action":"{action}","Condition":{condition},
            "Principal":{{"Federated":"arn:aws:iam::111122223333:oidc-provider/{host}"}}}}}}"#
        );
        Document::parse_trust_policy(&text, &SHARED).map(|_| ())
    };
    let trusts = |condition: &str| parse("token.example", "Allow", "sts:AssumeRole*", condition);
    let message = "The provider token.example is shared by many. The policy must evaluate one of the condition keys: \
                   token.example:sub, token.example:repository_id.";
    for condition in [
        "{}",
        r#"{"StringEquals":{"token.example:aud":"sts.amazonaws.com"}}"#,
        r#"{"StringEquals":{"other.example:sub":"repo:us/it"}}"#,
        r#"{"StringLike":{"token.example:sub":"*"}}"#,
        r#"{"StringLike":{"token.example:sub":["repo:us/it","?*"]}}"#,
        r#"{"StringNotEquals":{"token.example:sub":"repo:them/it"}}"#,
        r#"{"StringEqualsIfExists":{"token.example:sub":"repo:us/it"}}"#,
        r#"{"ForAllValues:StringEquals":{"token.example:sub":"repo:us/it"}}"#,
        r#"{"Null":{"token.example:sub":"false"}}"#,
    ] {
        assert_eq!(trusts(condition).unwrap_err().message(), message, "{condition}");
        assert_eq!(parse("issuer.example", "Allow", "sts:AssumeRole*", condition), Ok(()), "{condition}");
        assert_eq!(parse("token.example", "Deny", "sts:AssumeRole*", condition), Ok(()), "{condition}");
        assert_eq!(parse("token.example", "Allow", "sts:TagSession", condition), Ok(()), "{condition}");
    }
    for condition in [
        r#"{"StringLike":{"token.example:sub":"repo:us/*"}}"#,
        r#"{"StringEquals":{"TOKEN.example:Repository_ID":["1","2"]},"StringLike":{"token.example:sub":"*"}}"#,
    ] {
        assert_eq!(trusts(condition), Ok(()), "{condition}");
    }
}

#[test]
fn refusals_of_trust_policies() {
    let parse = |text: &str| Document::parse_trust_policy(text, &LIMITS).unwrap_err();
    assert_eq!(parse("{").message(), "This policy contains invalid Json");
    assert_eq!(parse("[]").message(), "This policy contains invalid Json");
    assert_eq!(parse("{}").message(), "Syntax errors in policy.");
    let refuse = |members: &str, message: &str| {
        assert_eq!(trust(members).unwrap_err().message(), message, "{members}");
    };
    refuse(r#""Principal":"*","Resource":"*""#, "Has prohibited field Resource");
    refuse(r#""Principal":"*","NotResource":"*""#, "Has prohibited field NotResource");
    let bare = r#"{"Statement":{"Principal":"*","Action":"sts:AssumeRole"}}"#;
    assert_eq!(parse(bare).message(), "Missing required field Effect");
    refuse(r#""NotPrincipal":{"AWS":"111122223333"}"#, "Has prohibited field NotPrincipal");
    refuse(r#""Sid":"a""#, "Missing required field Principal");
    let bare = r#"{"Statement":{"Effect":"Allow","Principal":"*"}}"#;
    assert_eq!(parse(bare).message(), "Missing required field Action");
    for action in ["*", "kms:Decrypt", "sts:*", "sts:Assume*", "sts:GetCallerIdentity", "sts:TagSession*"] {
        let refusal = "AssumeRole policy may only specify STS AssumeRole actions.";
        refuse(&format!(r#""Principal":"*","Action":["sts:AssumeRole","{action}"]"#), refusal);
    }
    refuse(
        r#""Principal":"*","NotAction":"sts:AssumeRole""#,
        "AssumeRole policy may only specify STS AssumeRole actions.",
    );
    for (kind, shown, name) in [
        ("AWS", "AWS", "arn:aws:iam::111122223333:user/*"),
        ("AWS", "AWS", "AROAEXAMPLE2222222222"),
        ("AWS", "AWS", "arn:aws:iam::111122223333:group/admins"),
        ("Service", "SERVICE", "ec2"),
        ("Federated", "FEDERATED", "accounts.google.com"),
        ("Federated", "FEDERATED", "arn:aws:iam::111122223333:oidc-provider/*"),
        ("Federated", "FEDERATED", "arn:aws:iam::111122223333:saml-provider/corporate"),
        ("Federated", "FEDERATED", "arn:aws:iam::1:oidc-provider/issuer.example"),
        ("Federated", "FEDERATED", "*"),
    ] {
        let refusal = trust(&format!(r#""Principal":{{"{kind}":"{name}"}}"#)).unwrap_err();
        let message = format!("Invalid principal in policy: \"{shown}\":\"{name}\"");
        assert_eq!((refusal.kind(), refusal.message()), (MalformedKind::InvalidPrincipal, message.as_str()));
    }
    let missing = PrincipalName::parse(ALICE).unwrap();
    let message = format!("Invalid principal in policy: \"AWS\":\"{ALICE}\"");
    assert_eq!(Malformed::invalid_trust_principal(&missing).message(), message);
    // Services are nobody here, but may be named; names are given for those who check that they exist.
    let both = format!(r#""Principal":{{"Service":"ec2.amazonaws.com","Federated":["{PROVIDER}"]}}"#);
    let named: Vec<String> = trust(&both).unwrap().principals().iter().map(ToString::to_string).collect();
    assert_eq!(named, ["ec2.amazonaws.com", PROVIDER]);
}

const ALICE_ID: &str = "AIDAALICE222222222222";
const WORKER_ID: &str = "AROAWORKER22222222222";

/// A key policy for alice, the worker role, one of its sessions, and a federated session of alice.
fn key_policy(effect: &str) -> Document {
    let text = format!(
        r#"{{"Statement":[{{"Effect":"{effect}","Principal":{{"AWS":["{ALICE}","{ROLE}",
        "arn:aws:sts::111122223333:assumed-role/reader/one","arn:aws:sts::111122223333:federated-user/guest"]}},
        "Action":"kms:*","Resource":"*"}},
        {{"Effect":"Allow","Principal":{{"AWS":"444455556666"}},"Action":"kms:*","Resource":"*"}}]}}"#
    );
    Document::parse_key_policy(&text, &Limits::KEY_POLICY).unwrap()
}

fn present(name: &PrincipalName) -> Option<UniqueId> {
    match name {
        PrincipalName::User(_, arn) if **arn == *ALICE => Some(id(ALICE_ID)),
        PrincipalName::Role(_, arn) if **arn == *ROLE => Some(id(WORKER_ID)),
        PrincipalName::RoleSession(..) => Some(id("AROAREADER22222222222")),
        _ => None,
    }
}

#[test]
fn a_name_that_is_bound_is_the_entity_and_not_its_namesake() {
    let bound = key_policy("Allow").bind(present);
    let allows = |document: &Document, principal: Principal| {
        decide(&question(&principal, "kms:Decrypt"), &Sources::key_policy(document)).is_allowed()
    };
    let worker = || Principal::role_session(home(), "/service/", "worker", "one");
    let reader = || Principal::role_session(home(), "/", "reader", "one");
    let guest = || Principal::federated_user(home(), ALICE, "guest");
    let former = "AIDAFORMER22222222222";
    assert!(allows(&bound, alice().with_unique_id(id(ALICE_ID))));
    assert!(!allows(&bound, alice().with_unique_id(id(former))) && !allows(&bound, alice()));
    assert!(allows(&bound, worker().with_unique_id(id(WORKER_ID))));
    assert!(!allows(&bound, worker().with_unique_id(id("AROAFORMER22222222222"))) && !allows(&bound, worker()));
    assert!(allows(&bound, reader().with_unique_id(id("AROAREADER22222222222"))));
    assert!(!allows(&bound, reader().with_unique_id(id("AROAFORMER22222222222"))));
    // A federated session has a name only.
    assert!(allows(&bound, guest().with_unique_id(id(former))));
    // A name that is bound to nothing is nobody who has an id.
    let unbound = key_policy("Allow");
    assert!(allows(&unbound, alice()) && allows(&unbound, worker()) && allows(&unbound, reader()));
    assert!(!allows(&unbound, alice().with_unique_id(id(ALICE_ID))));
    assert!(!allows(&unbound, worker().with_unique_id(id(WORKER_ID))));
}

/// Everything is named by what the entity was called when the policy was saved.
#[test]
fn a_renamed_user_stays_who_it_was() {
    let renamed = || Principal::user(home(), "/new/", "alicia").with_unique_id(id(ALICE_ID));
    let allowed = |document: &Document, principal: &Principal, sources: Sources<'_>| {
        let sources = Sources { resource_policy: ResourcePolicy::MustAgree(document), ..sources };
        decide(&question(principal, "kms:Decrypt"), &sources).is_allowed()
    };
    let free = Sources::default();
    // An Allow is kept, and a Deny is not shed.
    assert!(allowed(&key_policy("Allow").bind(present), &renamed(), free));
    let deny = key_policy("Deny").text().replace("444455556666", "*");
    let deny = Document::parse_key_policy(&deny, &Limits::KEY_POLICY).unwrap().bind(present);
    assert!(!allowed(&deny, &renamed(), free));
    // Nor by a session that the renamed user makes for a guest of another name.
    let passing = identity(r#"{"Statement":{"Effect":"Allow","Action":"*","Resource":"*"}}"#);
    let passing = [&passing];
    let passed = Sources { session_policies: Some(&passing), ..free };
    let guest = |user: &str, of: &str| {
        Principal::federated_user(home(), &format!("arn:aws:iam::111122223333:user/{user}"), "other")
            .with_unique_id(id(of))
    };
    assert!(allowed(&key_policy("Allow").bind(present), &guest("new/alicia", ALICE_ID), passed));
    assert!(!allowed(&key_policy("Allow").bind(present), &guest("new/alicia", ALICE_ID), free));
    assert!(!allowed(&deny, &guest("new/alicia", ALICE_ID), passed));
    // Whoever took the name since is neither let in nor kept out.
    let namesake = alice().with_unique_id(id("AIDANAMESAKE222222222"));
    assert!(!allowed(&key_policy("Allow").bind(present), &namesake, free));
    assert!(allowed(&deny, &namesake, free));
    assert!(!allowed(&key_policy("Allow").bind(present), &guest("alice", "AIDANAMESAKE222222222"), passed));
    // Trust policies are read alike.
    let trusting = names(ALICE).bind(present);
    assert_eq!(reason(&trusting, &renamed(), free), ALONE);
    assert_eq!(reason(&trusting, &namesake, free), NO_TRUST);
    let text = format!(
        r#"{{"Statement":[{{"Effect":"Allow","Principal":"*","Action":"sts:AssumeRole"}},
        {{"Effect":"Deny","Principal":{{"AWS":"{ALICE}"}},"Action":"sts:AssumeRole"}}]}}"#
    );
    let denying = Document::parse_trust_policy(&text, &LIMITS).unwrap().bind(present);
    assert_eq!(reason(&denying, &renamed(), free), Reason::ExplicitDeny(Source::ResourcePolicy));
    assert_eq!(reason(&denying, &namesake, free), ALONE);
}

/// A session is its role's id and its own name.
#[test]
fn the_session_of_a_bound_role_is_named_by_its_name() {
    let reader = |session: &str| {
        Principal::role_session(home(), "/", "reader", session).with_unique_id(id("AROAREADER22222222222"))
    };
    let allowed = |document: &Document, principal: &Principal| {
        decide(&question(principal, "kms:Decrypt"), &Sources::key_policy(document)).is_allowed()
    };
    let bound = key_policy("Allow").bind(present);
    assert!(allowed(&bound, &reader("one")) && !allowed(&bound, &reader("two")) && !allowed(&bound, &reader("on")));
    let deny = key_policy("Deny").text().replace("444455556666", "*");
    let deny = Document::parse_key_policy(&deny, &Limits::KEY_POLICY).unwrap().bind(present);
    assert!(!allowed(&deny, &reader("one")) && allowed(&deny, &reader("two")));
    // A statement that names the role is not one that names a session of it, and the other way round.
    let both = r#"{"Statement":[
        {"Effect":"Deny","Principal":{"AWS":"arn:aws:sts::111122223333:assumed-role/reader/one"},
        "Action":"*","Resource":"*"},
        {"Effect":"Allow","Principal":{"AWS":"arn:aws:iam::111122223333:role/reader"},"Action":"*","Resource":"*"}]}"#;
    let everyone = |_: &PrincipalName| Some(id("AROAREADER22222222222"));
    let both = Document::parse_key_policy(both, &Limits::KEY_POLICY).unwrap().bind(everyone);
    assert!(!allowed(&both, &reader("one")) && allowed(&both, &reader("two")));
}

#[test]
fn a_deny_that_cannot_be_told_denies() {
    let text = key_policy("Deny").text().replace("444455556666", "*");
    let unbound = Document::parse_key_policy(&text, &Limits::KEY_POLICY).unwrap();
    let bound = unbound.bind(present);
    let denies = |document: &Document, principal: Principal| {
        !decide(&question(&principal, "kms:Decrypt"), &Sources::key_policy(document)).is_allowed()
    };
    assert!(denies(&bound, alice()) && denies(&bound, alice().with_unique_id(id(ALICE_ID))));
    assert!(denies(&unbound, alice()) && denies(&unbound, alice().with_unique_id(id(ALICE_ID))));
    // Of a namesake it can be told.
    assert!(!denies(&bound, alice().with_unique_id(id("AIDAFORMER22222222222"))));
}

#[test]
fn bindings_survive_the_store() {
    let bound = key_policy("Allow").bind(present);
    let stored = bound.bindings().to_vec();
    let ids: Vec<&str> = stored.iter().map(|(_, id)| id.as_str()).collect();
    assert_eq!(ids, [WORKER_ID, ALICE_ID, "AROAREADER22222222222"]);
    let loaded = Document::parse_key_policy(bound.text(), &Limits::KEY_POLICY).unwrap().with_bindings(stored.clone());
    assert_eq!(loaded.bindings(), stored);
    // A binding that cannot be is none.
    let name = PrincipalName::parse(ALICE).unwrap();
    assert!(loaded.clone().with_bindings([(name, id(WORKER_ID))]).bindings().is_empty());
    assert!(key_policy("Allow").bindings().is_empty());
    for text in ["", "AIDA", "AIDAalice222222222222", "AKIAALICE22222222222", "AROAWORKER22222222222:one"] {
        assert_eq!(UniqueId::parse(text), None, "{text}");
    }
}

#[test]
fn the_text_of_a_deleted_principal_is_its_id() {
    let bound = key_policy("Allow").bind(present);
    assert_eq!(bound.text_with(|_, _| true), bound.text());
    let shown = bound.text_with(|name, id| name.to_string() != ALICE || id.as_str() != ALICE_ID);
    assert_eq!(shown, bound.text().replace(ALICE, ALICE_ID));
    let all = bound.text_with(|_, _| false);
    let session = "arn:aws:sts::111122223333:assumed-role/reader/one";
    let expected = bound.text().replace(ALICE, ALICE_ID).replace(ROLE, WORKER_ID);
    assert_eq!(all, expected.replace(session, "AROAREADER22222222222:one"));
    // What is not a principal keeps its text, and who saves the shown text again is told that it names nobody.
    let text = format!(
        r#"{{"Id":"{ALICE}","Statement":{{"Sid":"{ALICE}","Effect":"Allow","Principal":{{"AWS":"{}"}},
        "Action":"kms:*","Resource":"arn:aws:iam:::{ALICE}"}}}}"#,
        ALICE.replace('u', "\\u0075")
    );
    let bound = Document::parse_key_policy(&text, &Limits::KEY_POLICY).unwrap().bind(present);
    let shown = bound.text_with(|_, _| false);
    assert_eq!(shown.matches(ALICE_ID).count(), 1);
    assert_eq!(shown.matches(ALICE).count(), 3);
    let again = Document::parse_key_policy(&shown, &Limits::KEY_POLICY).unwrap_err();
    assert_eq!(again.kind(), MalformedKind::InvalidPrincipal);
}

#[test]
fn not_principal() {
    let text = |names: &str| {
        format!(
            r#"{{"Statement":[{{"Effect":"Allow","Principal":"*","Action":"*","Resource":"*"}},
            {{"Effect":"Deny","NotPrincipal":{{"AWS":{names}}},"Action":"*","Resource":"*"}}]}}"#
        )
    };
    let spares = |names: &str, principal: &Principal| {
        let document = Document::parse_key_policy(&text(names), &Limits::KEY_POLICY).unwrap();
        decide(&question(principal, "kms:Decrypt"), &Sources::key_policy(&document)).is_allowed()
    };
    let session = Principal::role_session(home(), "/service/", "worker", "one");
    let session_arn = "arn:aws:sts::111122223333:assumed-role/worker/one";
    assert!(spares(&format!(r#"["111122223333","{ALICE}"]"#), &alice()));
    assert!(!spares(&format!(r#"["{ALICE}"]"#), &alice()) && !spares(r#"["111122223333"]"#, &alice()));
    assert!(spares(&format!(r#"["111122223333","{ROLE}","{session_arn}"]"#), &session));
    assert!(!spares(&format!(r#"["111122223333","{ROLE}"]"#), &session));
    assert!(!spares(&format!(r#"["111122223333","{session_arn}"]"#), &session));
    assert!(
        spares(r#""111122223333""#, &Principal::root(home())) && !spares(r#""444455556666""#, &Principal::root(home()))
    );
    // A namesake is not spared.
    let document = Document::parse_key_policy(&text(&format!(r#"["111122223333","{ALICE}"]"#)), &Limits::KEY_POLICY);
    let bound = document.unwrap().bind(present);
    let allowed =
        |caller: Principal| decide(&question(&caller, "kms:Decrypt"), &Sources::key_policy(&bound)).is_allowed();
    assert!(allowed(alice().with_unique_id(id(ALICE_ID))));
    assert!(!allowed(alice().with_unique_id(id("AIDAFORMER22222222222"))) && !allowed(alice()));
    // Whoever is spared stays so under another name.
    assert!(allowed(Principal::user(home(), "/new/", "alicia").with_unique_id(id(ALICE_ID))));
    // A deny for nobody is a mistake.
    let refused = Document::parse_key_policy(&text(r#""*""#), &Limits::KEY_POLICY).unwrap_err();
    assert_eq!(refused.kind(), MalformedKind::InvalidPrincipal);
}

#[test]
fn grants_by_kind_of_grantee() {
    let nobody = r#"{"Statement":{"Effect":"Allow","Principal":{"AWS":"999999999999"},"Action":"*","Resource":"*"}}"#;
    let document = Document::parse_key_policy(nobody, &Limits::KEY_POLICY).unwrap();
    let (open, none) = (
        identity(r#"{"Statement":{"Effect":"Allow","Action":"*","Resource":"*"}}"#),
        identity(r#"{"Statement":{"Effect":"Allow","Action":"s3:*","Resource":"*"}}"#),
    );
    let allowed = |grantee: &str, bound: Option<&UniqueId>, caller: &Principal, sources: Sources<'_>| {
        let grantee = PrincipalName::parse(grantee).unwrap();
        let grants = [GrantReference { id: "g", grantee: &grantee, bound_to: bound, actions: &["kms:Decrypt"] }];
        let sources = Sources { grants: &grants, resource_policy: ResourcePolicy::MustAgree(&document), ..sources };
        assert!(!decide(&question(caller, "kms:Encrypt"), &sources).is_allowed());
        decide(&question(caller, "kms:Decrypt"), &sources).is_allowed()
    };
    let limited = Sources { boundary: Some(&none), session_policies: Some(&[&none]), ..Sources::default() };
    let lifted = Sources { identity_policies: &[&open], ..Sources::default() };
    let session = Principal::role_session(home(), "/service/", "worker", "one");
    let session_arn = "arn:aws:sts::111122223333:assumed-role/worker/one";
    let free = Sources::default();
    // A user and a session have what they were granted; a role only within the limits of its session.
    assert!(allowed(ALICE, None, &alice(), limited) && allowed(session_arn, None, &session, limited));
    assert!(allowed(ROLE, None, &session, free) && !allowed(ROLE, None, &session, limited));
    // The session of a federated user has what its own policy passes on.
    let guest = Principal::federated_user(home(), ALICE, "guest");
    let passing = Sources { session_policies: Some(&[&open]), ..Sources::default() };
    assert!(!allowed(ALICE, None, &guest, free) && allowed(ALICE, None, &guest, passing));
    assert!(allowed("arn:aws:sts::111122223333:federated-user/guest", None, &guest, free));
    // An account leaves it to its policies, its root user excepted.
    assert!(!allowed("111122223333", None, &alice(), free) && allowed("111122223333", None, &alice(), lifted));
    assert!(allowed("111122223333", None, &Principal::root(home()), free));
    // The same from another account, for which a grant is enough.
    let foreign = Principal::user(away(), "/", "bob");
    assert!(allowed("arn:aws:iam::444455556666:user/bob", None, &foreign, free));
    assert!(!allowed("444455556666", None, &foreign, free) && allowed("444455556666", None, &foreign, lifted));
    assert!(allowed("444455556666", None, &Principal::root(away()), free));
    assert!(!allowed("111122223333", None, &foreign, lifted) && !allowed("*", None, &foreign, lifted));
    // Nor is a namesake the grantee.
    let known = alice().with_unique_id(id(ALICE_ID));
    assert!(allowed(ALICE, Some(&id(ALICE_ID)), &known, free) && !allowed(ALICE, None, &known, free));
    assert!(!allowed(ALICE, Some(&id("AIDAFORMER22222222222")), &known, free));
    assert!(!allowed(ALICE, Some(&id(ALICE_ID)), &alice(), free));
    let renamed = Principal::user(home(), "/new/", "alicia").with_unique_id(id(ALICE_ID));
    assert!(allowed(ALICE, Some(&id(ALICE_ID)), &renamed, free) && !allowed(ALICE, None, &renamed, free));
    let worker =
        |session: &str| Principal::role_session(home(), "/service/", "worker", session).with_unique_id(id(WORKER_ID));
    assert!(allowed(session_arn, Some(&id(WORKER_ID)), &worker("one"), limited));
    assert!(!allowed(session_arn, Some(&id(WORKER_ID)), &worker("two"), free));
    // And a deny or a service control policy beats every grant.
    let deny = identity(r#"{"Statement":{"Effect":"Deny","Action":"kms:Decrypt","Resource":"*"}}"#);
    assert!(!allowed(ALICE, None, &alice(), Sources { identity_policies: &[&deny], ..free }));
    assert!(!allowed(ALICE, None, &alice(), Sources { service_control_policies: &[&[&none]], ..free }));
}

#[test]
fn what_only_grants_open() {
    let grantee = PrincipalName::parse(ALICE).unwrap();
    let open = identity(r#"{"Statement":{"Effect":"Allow","Action":"*","Resource":"*"}}"#);
    let grants = [GrantReference { id: "g", grantee: &grantee, bound_to: None, actions: &["kms:RetireGrant"] }];
    let sources =
        Sources { resource_policy: ResourcePolicy::GrantsOnly, identity_policies: &[&open], ..Sources::default() };
    let ask = |caller: &Principal, sources: &Sources<'_>| decide(&question(caller, "kms:RetireGrant"), sources).reason;
    assert_eq!(ask(&alice(), &sources), NO_TRUST);
    assert_eq!(ask(&Principal::root(home()), &sources), NO_TRUST);
    assert_eq!(ask(&alice(), &Sources { grants: &grants, ..sources }), Reason::Grant(0));
    let deny = identity(r#"{"Statement":{"Effect":"Deny","Action":"kms:RetireGrant","Resource":"*"}}"#);
    let denied = Sources { grants: &grants, identity_policies: &[&deny], ..sources };
    assert_eq!(ask(&alice(), &denied), Reason::ExplicitDeny(Source::IdentityPolicy));
}

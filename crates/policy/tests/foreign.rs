//! What a caller may learn about another account's resource that is not open to it: nothing.

#![expect(clippy::unwrap_used, reason = "tests")]

use std::borrow::Cow;
use std::cell::Cell;

use claviger_policy::{
    AccountId, ConditionKey, Context, Document, KeyKind, Limits, Principal, Question, Reason, ResourcePolicy, Source,
    Sources, Subject, decide,
};

const KEYS: &[ConditionKey] = &[ConditionKey::family("aws:ResourceTag/", KeyKind::String)];
const LIMITS: Limits = Limits { condition_keys: &[KEYS], ..Limits::IDENTITY_POLICY };

/// Counts how often anything about the key is asked.
struct Tags<'a>(&'a str, &'a Cell<usize>);

impl Context for Tags<'_> {
    fn values(&self, _: &str) -> Option<Vec<Cow<'_, str>>> {
        self.1.set(self.1.get() + 1);
        Some(vec![Cow::Borrowed(self.0)])
    }
}

#[test]
fn a_deny_of_ones_own_tells_nothing_about_a_foreign_key() {
    let (own, foreign) = (AccountId::parse("111111111111").unwrap(), AccountId::parse("222222222222").unwrap());
    let deny = r#"{"Version":"2012-10-17","Statement":[
        {"Effect":"Allow","Action":"kms:*","Resource":"*"},
        {"Effect":"Deny","Action":"kms:*","Resource":"*","Condition":{"StringLike":{"aws:ResourceTag/secret":"a*"}}}]}"#;
    let deny = Document::parse_identity_policy(deny, &LIMITS).unwrap();
    let closed = r#"{"Version":"2012-10-17","Statement":[{"Effect":"Allow","Principal":{"AWS":"222222222222"},"Action":"kms:*","Resource":"*"}]}"#;
    let closed = Document::parse_key_policy(closed, &LIMITS).unwrap();
    let asked = Cell::new(0);
    let answer = |tag: &str, resource_policy: ResourcePolicy<'_>| {
        let question = Question {
            principal: &Principal::user(own, "/", "probe"),
            action: "kms:Decrypt",
            resource_arn: "arn:aws:kms:eu-central-1:222222222222:key/1234abcd-12ab-34cd-56ef-1234567890ab",
            resource_account: foreign,
            cross_account_capable: true,
            context: &Tags(tag, &asked),
        };
        let sources = Sources { resource_policy, identity_policies: &[&deny], ..Sources::default() };
        let decision = decide(&question, &sources);
        (decision.reason, decision.denial_message(&question, Subject::Named))
    };
    for policy in [ResourcePolicy::MustAgree(&closed), ResourcePolicy::GrantsOnly, ResourcePolicy::None] {
        let (matching, other) = (answer("abc", policy), answer("xyz", policy));
        assert_eq!(matching, other);
        assert_eq!(matching.0, Reason::NoAllow(Source::ResourcePolicy));
        assert!(matching.1.contains("does not exist in this Region"), "{}", matching.1);
    }
    assert_eq!(asked.get(), 0, "nothing about the key was looked at");
    let open = closed.text().replace("222222222222", "111111111111");
    let open = Document::parse_key_policy(&open, &LIMITS).unwrap();
    assert_eq!(answer("abc", ResourcePolicy::MustAgree(&open)).0, Reason::ExplicitDeny(Source::IdentityPolicy));
}

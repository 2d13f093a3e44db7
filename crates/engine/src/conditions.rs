//! What conditions of a policy may ask about a request: the global keys, which the engine knows, and the service's own.
//! Nothing is worked out before a condition asks for it.

use std::borrow::Cow;
use std::cell::OnceCell;

use claviger_api::Timestamp;
use claviger_policy::{AccountId, ConditionKey, Context, KeyKind, PrincipalKind, is_same_key};

use crate::call::Call;
use crate::{CallMeta, Caller, Clock, Session};

/// The global condition keys (reference/condition-keys.md). Those about organizations, virtual private clouds, and
/// services that call of their own accord are never there, which is the truth about every call here.
pub const CONDITION_KEYS: &[ConditionKey] = {
    use KeyKind::{Arn, ArrayOfString, Bool, Date, IpAddress, Numeric, NumericOrDate, String};
    &[
        ConditionKey::new("aws:CalledVia", ArrayOfString),
        ConditionKey::new("aws:CalledViaFirst", String),
        ConditionKey::new("aws:CalledViaLast", String),
        ConditionKey::new("aws:CurrentTime", Date),
        ConditionKey::new("aws:Ec2InstanceSourcePrivateIPv4", IpAddress),
        ConditionKey::new("aws:Ec2InstanceSourceVpc", String),
        ConditionKey::new("aws:EpochTime", NumericOrDate),
        ConditionKey::new("aws:FederatedProvider", String),
        ConditionKey::new("aws:MultiFactorAuthAge", Numeric),
        ConditionKey::new("aws:MultiFactorAuthPresent", Bool),
        ConditionKey::new("aws:PrincipalAccount", String),
        ConditionKey::new("aws:PrincipalArn", Arn),
        ConditionKey::new("aws:PrincipalIsAWSService", Bool),
        ConditionKey::new("aws:PrincipalOrgID", String),
        ConditionKey::new("aws:PrincipalOrgPaths", ArrayOfString),
        ConditionKey::new("aws:PrincipalServiceName", String),
        ConditionKey::new("aws:PrincipalServiceNamesList", ArrayOfString),
        ConditionKey::family("aws:PrincipalTag/", String),
        ConditionKey::new("aws:PrincipalType", String),
        ConditionKey::new("aws:Referer", String),
        ConditionKey::new("aws:RequestedRegion", String),
        ConditionKey::family("aws:RequestTag/", String),
        ConditionKey::new("aws:ResourceAccount", String),
        ConditionKey::new("aws:ResourceOrgID", String),
        ConditionKey::new("aws:ResourceOrgPaths", ArrayOfString),
        ConditionKey::family("aws:ResourceTag/", String),
        ConditionKey::new("aws:SecureTransport", Bool),
        ConditionKey::new("aws:SourceAccount", String),
        ConditionKey::new("aws:SourceArn", Arn),
        ConditionKey::new("aws:SourceIdentity", String),
        ConditionKey::new("aws:SourceIp", IpAddress),
        ConditionKey::new("aws:SourceOrgID", String),
        ConditionKey::new("aws:SourceOrgPaths", ArrayOfString),
        ConditionKey::new("aws:SourceVpc", String),
        ConditionKey::new("aws:SourceVpce", String),
        ConditionKey::new("aws:TagKeys", ArrayOfString),
        ConditionKey::new("aws:TokenIssueTime", Date),
        ConditionKey::new("aws:UserAgent", String),
        ConditionKey::new("aws:userid", String),
        ConditionKey::new("aws:username", String),
        ConditionKey::new("aws:ViaAWSService", Bool),
        ConditionKey::new("aws:VpcSourceIp", IpAddress),
    ]
};

/// The global keys that only a service knows: what a request tags, and the tags of what it is about.
const OF_SERVICES: [&str; 3] = ["aws:tagkeys", "aws:requesttag/", "aws:resourcetag/"];

/// What a service knows of a request: values by condition key.
#[derive(Clone, Debug, Default, PartialEq, Eq)]
pub struct Facts {
    values: Vec<(Cow<'static, str>, Vec<String>)>,
    second_factor: bool,
    region: Option<String>,
}

impl Facts {
    /// The request itself carries a second factor that was checked: `aws:MultiFactorAuthPresent` and
    /// `aws:MultiFactorAuthAge` say so for this call.
    #[must_use]
    pub fn with_second_factor(self, shown: bool) -> Self {
        Self { second_factor: shown, ..self }
    }

    /// The question is about another Region than the request's own, as when a key is replicated: `aws:RequestedRegion`
    /// says this one.
    #[must_use]
    pub fn in_region(self, region: impl Into<String>) -> Self {
        Self { region: Some(region.into()), ..self }
    }

    /// Adds a key with one value, for example `kms:KeySpec`; the name's letter case is of no account.
    ///
    /// Two values under names that are the same condition key (an encryption context may have `App` and `app`) leave
    /// open which counts: a Deny that asks for the key then matches, an Allow does not.
    #[must_use]
    pub fn with(self, key: impl Into<Cow<'static, str>>, value: impl Into<String>) -> Self {
        self.with_all(key, [value])
    }

    /// Adds a key with one value, or without it none.
    #[must_use]
    pub fn with_some(self, key: impl Into<Cow<'static, str>>, value: Option<impl Into<String>>) -> Self {
        match value {
            Some(value) => self.with(key, value),
            None => self,
        }
    }

    /// Adds a multi-valued key. Without any value it is absent.
    #[must_use]
    pub fn with_all<V: Into<String>>(
        mut self,
        key: impl Into<Cow<'static, str>>,
        values: impl IntoIterator<Item = V>,
    ) -> Self {
        self.values.push((key.into(), values.into_iter().map(Into::into).collect()));
        self
    }

    /// Adds one key of a family for each pair, for example `kms:EncryptionContext:` and the pairs of a context.
    #[must_use]
    pub fn with_family<N: AsRef<str>, V: Into<String>>(
        mut self,
        family: &str,
        pairs: impl IntoIterator<Item = (N, V)>,
    ) -> Self {
        for (name, value) in pairs {
            self.values.push((Cow::Owned(format!("{family}{}", name.as_ref())), vec![value.into()]));
        }
        self
    }

    pub(crate) fn values(&self, key: &str) -> Option<Vec<Cow<'_, str>>> {
        let same = self.values.iter().filter(|(name, _)| is_same_key(name, key));
        let values: Vec<_> = same.flat_map(|(_, values)| values).map(|value| Cow::Borrowed(value.as_str())).collect();
        (!values.is_empty()).then_some(values)
    }
}

/// A request as conditions see it.
pub struct Conditions<'a> {
    caller: &'a Caller,
    meta: &'a CallMeta,
    now: Timestamp,
    clock: &'a dyn Clock,
    /// The owner of what the request is about, if it is about anything.
    resource_account: Option<AccountId>,
    make_facts: &'a dyn Fn() -> Facts,
    facts: OnceCell<Facts>,
}

impl<'a> Conditions<'a> {
    /// The conditions of a question about this resource (an ARN, or `*` for none). `facts` gives what the service knows;
    /// it is called at most once, and not at all unless a condition asks for a key that the service has a say in.
    #[must_use]
    pub fn new(call: &'a Call<'a>, resource: &str, resource_account: AccountId, facts: &'a dyn Fn() -> Facts) -> Self {
        let resource_account = (resource != "*").then_some(resource_account);
        Self {
            caller: call.caller(),
            meta: call.meta(),
            now: call.now(),
            clock: call.clock(),
            resource_account,
            make_facts: facts,
            facts: OnceCell::new(),
        }
    }

    /// What the engine knows; the service cannot say otherwise, but for a second factor and another Region.
    fn global(&self, key: &str) -> Option<Cow<'_, str>> {
        let (caller, meta) = (self.caller, self.meta);
        let principal = caller.principal();
        let header = |text: &'a str| (!text.is_empty()).then_some(Cow::Borrowed(text));
        match key {
            "aws:currenttime" => Some(self.now.to_iso8601().into()),
            "aws:epochtime" => Some(self.now.seconds().to_string().into()),
            // The bearer of a token signs nothing.
            "aws:principalaccount" if principal.provider_arn().is_some() => Some("anonymous".into()),
            "aws:principaltype" if principal.provider_arn().is_some() => Some("Anonymous".into()),
            "aws:principalarn" | "aws:principalisawsservice" | "aws:userid" if principal.provider_arn().is_some() => {
                None
            }
            "aws:principalaccount" => Some(caller.account().into()),
            "aws:principalarn" => Some(self.principal_arn().into()),
            "aws:principaltype" => Some(principal_type(principal.kind()).into()),
            "aws:principalisawsservice" => Some("false".into()),
            "aws:viaawsservice" => Some((!caller.chain().is_empty()).to_string().into()),
            "aws:calledviafirst" => caller.chain().first().map(|service| Cow::from(&**service)),
            "aws:calledvialast" => caller.calling_service().map(Cow::from),
            "aws:requestedregion" => Some(caller.region().into()),
            "aws:resourceaccount" => self.resource_account.map(|account| account.as_str().to_owned().into()),
            "aws:securetransport" => Some(meta.secure().to_string().into()),
            // A service has no address of its own here, and the caller's must not open what the caller may not ask itself.
            "aws:sourceip" if !caller.chain().is_empty() => None,
            "aws:sourceip" => Some(meta.source_address.to_canonical().to_string().into()),
            "aws:useragent" => header(meta.user_agent.as_str()),
            "aws:referer" => header(meta.referer.as_str()),
            "aws:userid" => self.user_id().map(Cow::Borrowed),
            // A user's path ends before its name.
            "aws:username" if principal.kind() == PrincipalKind::User => {
                principal.arn().rsplit('/').next().map(Cow::from)
            }
            _ => caller.traits().session.as_ref().and_then(|session| self.of_session(session, key)),
        }
    }

    /// The role, not its session; everybody else by their own ARN.
    fn principal_arn(&self) -> &str {
        let principal = self.caller.principal();
        match principal.kind() {
            PrincipalKind::RoleSession => principal.parent_arn().unwrap_or(principal.arn()),
            PrincipalKind::Root | PrincipalKind::User | PrincipalKind::FederatedUser => principal.arn(),
        }
    }

    fn user_id(&self) -> Option<&str> {
        let caller = self.caller;
        match caller.principal().kind() {
            PrincipalKind::Root => Some(caller.account()),
            _ => caller.traits().unique_id.as_deref(),
        }
    }

    /// What only temporary credentials have.
    fn of_session<'s>(&self, session: &'s Session, key: &str) -> Option<Cow<'s, str>> {
        match key {
            "aws:tokenissuetime" => Some(session.issued_at.to_iso8601().into()),
            "aws:multifactorauthpresent" => Some(session.second_factor_at.is_some().to_string().into()),
            "aws:multifactorauthage" => {
                let since = self.clock.wall().seconds().saturating_sub(session.second_factor_at?.seconds());
                Some(since.to_string().into())
            }
            "aws:sourceidentity" => session.source_identity.as_deref().map(Cow::from),
            "aws:federatedprovider" => session.federated_provider.as_deref().map(Cow::from),
            _ => None,
        }
    }

    /// What remains of the claims of the token that the session began with.
    fn claim(&self, key: &str) -> Option<Vec<Cow<'_, str>>> {
        let claims = &self.caller.traits().session.as_ref()?.claims;
        let (_, values) = claims.iter().find(|(name, _)| is_same_key(name, key))?;
        Some(values.iter().map(|value| Cow::from(value.as_str())).collect())
    }

    fn principal_tag(&self, name: &str) -> Option<Vec<Cow<'_, str>>> {
        let tags = self.caller.traits().tags.iter();
        let values: Vec<_> =
            tags.filter(|(tag, _)| is_same_key(tag, name)).map(|(_, value)| Cow::from(value.as_str())).collect();
        (!values.is_empty()).then_some(values)
    }
}

impl Context for Conditions<'_> {
    fn values(&self, key: &str) -> Option<Vec<Cow<'_, str>>> {
        if let Some(name) = key.strip_prefix("aws:principaltag/") {
            return self.principal_tag(name);
        }
        let facts = || self.facts.get_or_init(self.make_facts);
        let said = match key {
            "aws:multifactorauthpresent" if facts().second_factor => Some("true"),
            "aws:multifactorauthage" if facts().second_factor => Some("0"),
            "aws:requestedregion" => facts().region.as_deref(),
            _ => None,
        };
        if let Some(said) = said {
            return Some(vec![said.into()]);
        }
        let of_engine = key.starts_with("aws:") && !OF_SERVICES.iter().any(|head| key.starts_with(head));
        if key == "aws:calledvia" {
            let chain: Vec<_> = self.caller.chain().iter().map(|service| Cow::from(&**service)).collect();
            return (!chain.is_empty()).then_some(chain);
        }
        if of_engine {
            return self.global(key).map(|value| vec![value]);
        }
        self.claim(key).or_else(|| facts().values(key))
    }
}

const fn principal_type(kind: PrincipalKind) -> &'static str {
    match kind {
        PrincipalKind::Root => "Account",
        PrincipalKind::User => "User",
        PrincipalKind::RoleSession => "AssumedRole",
        PrincipalKind::FederatedUser => "FederatedUser",
    }
}

#[cfg(test)]
mod tests {
    #![expect(clippy::unwrap_used, reason = "tests")]

    use std::sync::Arc;

    use super::*;
    use crate::PrincipalTraits;
    use crate::service::Via;
    use claviger_policy::Principal;

    /// 2026-09-21T14:13:20Z.
    const START: i64 = 1_790_000_000;

    struct Still;

    impl Clock for Still {
        fn wall(&self) -> Timestamp {
            Timestamp::from_seconds(START + 100)
        }

        fn now(&self) -> Timestamp {
            Timestamp::from_seconds(START)
        }
    }

    fn caller(principal: Principal, traits: PrincipalTraits) -> Caller {
        let account = principal.account().as_str().to_owned();
        Caller { principal, account, traits, ..Caller::system("eu-central-1") }
    }

    #[track_caller]
    fn check(caller: &Caller, expected: &[(&str, Option<&str>)]) {
        let (meta, clock) = (CallMeta::system(), Still);
        let conditions = Conditions {
            caller,
            meta: &meta,
            now: clock.now(),
            clock: &clock,
            resource_account: None,
            make_facts: &Facts::default,
            facts: OnceCell::new(),
        };
        for (key, value) in expected {
            let found = conditions.values(&key.to_lowercase());
            assert_eq!(found, value.map(|value| vec![Cow::from(value)]), "{key}");
        }
    }

    fn home() -> AccountId {
        AccountId::parse("111122223333").unwrap()
    }

    #[test]
    fn a_user() {
        let traits = PrincipalTraits {
            unique_id: Some("AIDAEXAMPLE".to_owned()),
            tags: vec![("Team".to_owned(), "blue".to_owned())],
            ..PrincipalTraits::default()
        };
        check(
            &caller(Principal::user(home(), "/team/a/", "alice"), traits),
            &[
                ("aws:username", Some("alice")),
                ("aws:userid", Some("AIDAEXAMPLE")),
                ("aws:PrincipalArn", Some("arn:aws:iam::111122223333:user/team/a/alice")),
                ("aws:PrincipalType", Some("User")),
                ("aws:PrincipalTag/TEAM", Some("blue")),
                ("aws:PrincipalTag/Tea", None),
                ("aws:MultiFactorAuthPresent", None),
                ("aws:TokenIssueTime", None),
                ("aws:ResourceAccount", None),
                ("aws:CurrentTime", Some("2026-09-21T14:13:20Z")),
                ("aws:EpochTime", Some("1790000000")),
            ],
        );
    }

    #[test]
    fn a_session_of_a_role() {
        let session = Session {
            source_identity: Some("alice".to_owned()),
            federated_provider: Some("accounts.example.com".to_owned()),
            ..Session::issued_at(Timestamp::from_seconds(START - 60))
        };
        let traits = PrincipalTraits {
            unique_id: Some("AROAEXAMPLE:one".to_owned()),
            session: Some(session.clone()),
            ..PrincipalTraits::default()
        };
        let principal = Principal::role_session(home(), "/service/", "worker", "one");
        check(
            &caller(principal, traits),
            &[
                ("aws:PrincipalArn", Some("arn:aws:iam::111122223333:role/service/worker")),
                ("aws:PrincipalType", Some("AssumedRole")),
                ("aws:userid", Some("AROAEXAMPLE:one")),
                ("aws:username", None),
                ("aws:TokenIssueTime", Some("2026-09-21T14:12:20Z")),
                ("aws:MultiFactorAuthPresent", Some("false")),
                ("aws:MultiFactorAuthAge", None),
                ("aws:SourceIdentity", Some("alice")),
                ("aws:FederatedProvider", Some("accounts.example.com")),
            ],
        );
        let session = Session { second_factor_at: Some(Timestamp::from_seconds(START)), ..session };
        let traits = PrincipalTraits { session: Some(session), ..PrincipalTraits::default() };
        check(
            &caller(Principal::user(home(), "/", "alice"), traits),
            &[("aws:MultiFactorAuthPresent", Some("true")), ("aws:MultiFactorAuthAge", Some("100"))],
        );
    }

    #[test]
    fn a_federated_user() {
        let user = "arn:aws:iam::111122223333:user/alice";
        check(
            &caller(Principal::federated_user(home(), user, "guest"), PrincipalTraits::default()),
            &[
                ("aws:PrincipalArn", Some("arn:aws:sts::111122223333:federated-user/guest")),
                ("aws:PrincipalType", Some("FederatedUser")),
                ("aws:username", None),
                ("aws:userid", None),
            ],
        );
    }

    #[test]
    fn a_second_factor_of_the_request_itself() {
        let (meta, clock) = (CallMeta::system(), Still);
        let caller = caller(Principal::user(home(), "/", "alice"), PrincipalTraits::default());
        for (shown, present, age) in [(true, Some("true"), Some("0")), (false, None, None)] {
            let conditions = Conditions {
                caller: &caller,
                meta: &meta,
                now: clock.now(),
                clock: &clock,
                resource_account: None,
                make_facts: &|| Facts::default().with_second_factor(shown),
                facts: OnceCell::new(),
            };
            let value = |text: Option<&'static str>| text.map(|text| vec![Cow::from(text)]);
            assert_eq!(conditions.values("aws:multifactorauthpresent"), value(present));
            assert_eq!(conditions.values("aws:multifactorauthage"), value(age));
        }
    }

    #[test]
    fn what_remains_of_a_web_identity() {
        let claims = vec![("a.example:sub".to_owned(), vec!["someone".to_owned()])];
        let session = Session { claims, ..Session::issued_at(Timestamp::from_seconds(START)) };
        let traits = PrincipalTraits { session: Some(session), ..PrincipalTraits::default() };
        check(
            &caller(Principal::role_session(home(), "/", "worker", "one"), traits),
            &[("A.example:SUB", Some("someone")), ("a.example:aud", None), ("b.example:sub", None)],
        );
    }

    #[test]
    fn the_bearer_of_a_token() {
        check(
            &caller(Principal::web_identity(home(), "provider"), PrincipalTraits::default()),
            &[
                ("aws:PrincipalArn", None),
                ("aws:userid", None),
                ("aws:PrincipalAccount", Some("anonymous")),
                ("aws:PrincipalType", Some("Anonymous")),
                ("aws:username", None),
            ],
        );
    }

    #[test]
    fn services_that_call_for_somebody() {
        let via = |chain: &[&str]| Caller {
            via: Some(Arc::new(Via {
                chain: chain.iter().map(|service| (*service).into()).collect(),
                source_arn: Some("arn:aws:a:::b".to_owned()),
                in_turn: false,
            })),
            ..caller(Principal::user(home(), "/", "alice"), PrincipalTraits::default())
        };
        let two = via(&["first.amazonaws.com", "last.amazonaws.com"]);
        check(
            &two,
            &[
                ("aws:ViaAWSService", Some("true")),
                ("aws:CalledViaFirst", Some("first.amazonaws.com")),
                ("aws:CalledViaLast", Some("last.amazonaws.com")),
                ("aws:PrincipalArn", Some("arn:aws:iam::111122223333:user/alice")),
                ("aws:PrincipalIsAWSService", Some("false")),
                ("aws:SourceIp", None),
                ("aws:SourceArn", None),
                ("aws:SourceAccount", None),
            ],
        );
        assert_eq!(two.via_service().as_deref(), Some("last.eu-central-1.amazonaws.com"));
        check(&via(&["one.amazonaws.com"]), &[("aws:CalledVia", Some("one.amazonaws.com"))]);
        let direct = caller(Principal::user(home(), "/", "alice"), PrincipalTraits::default());
        let keys = [("aws:CalledVia", None), ("aws:CalledViaFirst", None), ("aws:CalledViaLast", None)];
        check(&direct, &keys);
        check(&direct, &[("aws:ViaAWSService", Some("false")), ("aws:SourceIp", Some("127.0.0.1"))]);
        assert_eq!((direct.via_service(), direct.source_arn(), direct.calling_service()), (None, None, None));
        let (meta, clock) = (CallMeta::system(), Still);
        let conditions = Conditions {
            caller: &two,
            meta: &meta,
            now: clock.now(),
            clock: &clock,
            resource_account: None,
            // A service has no say in it.
            make_facts: &|| Facts::default().with("aws:CalledVia", "other.amazonaws.com"),
            facts: OnceCell::new(),
        };
        let chain = ["first.amazonaws.com", "last.amazonaws.com"].map(Cow::from).to_vec();
        assert_eq!(conditions.values("aws:calledvia"), Some(chain));
    }

    #[test]
    fn a_question_about_another_region() {
        let (caller, meta, clock) =
            (caller(Principal::root(home()), PrincipalTraits::default()), CallMeta::system(), Still);
        for (facts, region) in [
            (Facts::default(), "eu-central-1"),
            (Facts::default().in_region("us-east-1").with("aws:RequestedRegion", "eu-west-1"), "us-east-1"),
        ] {
            let conditions = Conditions {
                caller: &caller,
                meta: &meta,
                now: clock.now(),
                clock: &clock,
                resource_account: None,
                make_facts: &|| facts.clone(),
                facts: OnceCell::new(),
            };
            assert_eq!(conditions.values("aws:requestedregion"), Some(vec![region.into()]));
        }
    }

    #[test]
    fn tables_hold_each_key_once() {
        for (index, key) in CONDITION_KEYS.iter().enumerate() {
            assert!(key.name.starts_with("aws:") && (key.prefix == key.name.ends_with('/')), "{}", key.name);
            assert!(!CONDITION_KEYS.iter().skip(index + 1).any(|other| is_same_key(other.name, key.name)));
        }
    }
}

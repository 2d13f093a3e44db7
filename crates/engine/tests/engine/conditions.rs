//! Conditions of a resource policy, judged by what the engine and a service know of a request.

use std::cell::Cell;
use std::net::IpAddr;
use std::sync::Arc;

use claviger_engine::{
    Audited, Authorized, CONDITION_KEYS, Call, CallMeta, Caller, Facts, Named, Operation, OperationRow, Outcome,
    Question, ResourceRule, TlsFacts,
};
use claviger_policy::{ConditionKey, Document, KeyKind, Limits};
use claviger_secret::LogText;

use crate::Kit;
use crate::toy::{Toy, ToyError};

const LIMITS: Limits = Limits {
    condition_keys: &[
        CONDITION_KEYS,
        &[
            ConditionKey::new("toy:Colour", KeyKind::String),
            ConditionKey::family("toy:Pair:", KeyKind::String),
            ConditionKey::new("toy:Names", KeyKind::ArrayOfString),
        ],
    ],
    ..Limits::KEY_POLICY
};
const RESOURCE: &str = "arn:aws:toy:eu-central-1:111122223333:thing/root";

/// A request about the thing under this policy, with what the service knows of it.
struct Request {
    policy: Arc<Document>,
    facts: Facts,
}

thread_local! {
    /// How often the service was asked for its facts, on this test's thread.
    static ASKED: Cell<u32> = const { Cell::new(0) };
}

struct Guarded;

impl Operation for Guarded {
    type Service = Toy;
    type Request = Request;
    type Response = ();
    type Error = ToyError;
    type Resources = ();
    const ROW: OperationRow = OperationRow { name: "Use", event_source: "toy.test", read_only: true };

    async fn resolve(_: &mut Call<'_>, _: &Toy, _: &Request) -> Result<(), ToyError> {
        Ok(())
    }

    fn questions(call: &Call<'_>, (): &(), request: &Request) -> Vec<Question> {
        vec![Question {
            action: "toy:Use",
            resource: RESOURCE.to_owned(),
            resource_account: call.caller().principal().account(),
            resource_policy: ResourceRule::KeyPolicy(Arc::clone(&request.policy)),
            cross_account: true,
            named: Named::ByArn,
        }]
    }

    fn facts(_: &Call<'_>, (): &(), request: &Request, question: &Question) -> Facts {
        assert_eq!(question.action, "toy:Use");
        ASKED.set(ASKED.get() + 1);
        request.facts.clone()
    }

    async fn perform(_: &mut Call<'_>, _: &Toy, _: &Authorized<Self>, _: &Request) -> Result<Outcome<()>, ToyError> {
        Ok(Outcome::read_only(()))
    }

    fn audited(_: &Request, _: Option<&()>, _: Option<&()>, _: &mut Audited) {}
}

/// An engine, and a request to vary.
struct Bench {
    kit: Kit,
    engine: Arc<claviger_engine::Engine>,
    caller: Caller,
    meta: CallMeta,
    facts: Facts,
}

impl Bench {
    async fn new() -> Self {
        let kit = Kit::new();
        let engine = kit.open().await;
        let caller = crate::caller(&engine).await;
        let meta = CallMeta { source_address: IpAddr::from([10, 1, 2, 3]), ..CallMeta::system() };
        Self { kit, engine, caller, meta, facts: Facts::default() }
    }

    async fn answer(&self, statements: &str) -> bool {
        let text = format!(r#"{{"Version":"2012-10-17","Statement":[{statements}]}}"#);
        let policy = Arc::new(Document::parse_key_policy(&text, &LIMITS).unwrap());
        let request = Request { policy, facts: self.facts.clone() };
        let answer = self.engine.call::<Guarded>(&Toy, &self.caller, &self.meta, &request).await.unwrap();
        match answer.into_inner() {
            Ok(()) => true,
            Err(error) => {
                assert_eq!(error.code, "AccessDenied");
                false
            }
        }
    }

    /// Whether the condition holds: an Allow with it allows, and a Deny with it denies.
    async fn meets(&self, condition: &str) -> bool {
        let with = |effect: &str| {
            format!(
                r#"{{"Effect":"{effect}","Principal":"*","Action":"toy:*","Resource":"*","Condition":{condition}}}"#
            )
        };
        let open = r#"{"Effect":"Allow","Principal":"*","Action":"*","Resource":"*"}"#;
        let allows = self.answer(&with("Allow")).await;
        let denies = !self.answer(&format!("{open},{}", with("Deny"))).await;
        assert_eq!(allows, denies, "{condition}");
        allows
    }
}

#[tokio::test]
async fn the_source_address() {
    let mut bench = Bench::new().await;
    let inside = r#"{"IpAddress":{"aws:SourceIp":["10.0.0.0/8","2001:db8::/32"]}}"#;
    for (address, expected) in
        [("10.255.0.1", true), ("11.0.0.1", false), ("2001:db8::7", true), ("::ffff:10.0.0.1", true), ("::1", false)]
    {
        bench.meta.source_address = address.parse().unwrap();
        assert_eq!(bench.meets(inside).await, expected, "{address}");
    }
    // As text too: a v4 address that came over a v6 socket is the v4 address.
    bench.meta.source_address = "::ffff:10.0.0.1".parse().unwrap();
    assert!(bench.meets(r#"{"StringEquals":{"AWS:sourceip":"10.0.0.1"}}"#).await);
}

#[tokio::test]
async fn transport_security() {
    let mut bench = Bench::new().await;
    let plain = r#"{"Bool":{"aws:SecureTransport":"false"}}"#;
    assert!(bench.meets(plain).await);
    let name = || LogText::new("x");
    bench.meta.tls = Some(TlsFacts { version: "TLSv1.3", cipher_suite: name(), key_exchange: name(), host: name() });
    assert!(!bench.meets(plain).await);
    assert!(bench.meets(r#"{"Bool":{"aws:SecureTransport":true}}"#).await);
}

#[tokio::test]
async fn who_calls() {
    let bench = Bench::new().await;
    for (condition, expected) in [
        (r#"{"ArnLike":{"aws:PrincipalArn":"arn:aws:iam::111122223333:*"}}"#, true),
        (r#"{"ArnEquals":{"aws:PrincipalArn":"arn:aws:iam::444455556666:root"}}"#, false),
        (r#"{"StringEquals":{"aws:PrincipalAccount":"111122223333","aws:PrincipalType":"Account"}}"#, true),
        (r#"{"StringEquals":{"aws:userid":"111122223333","aws:RequestedRegion":"eu-central-1"}}"#, true),
        (r#"{"StringEquals":{"aws:ResourceAccount":"111122223333"}}"#, true),
        (r#"{"Bool":{"aws:ViaAWSService":"false","aws:PrincipalIsAWSService":"false"}}"#, true),
        // A root user with a long-term key has none of these.
        (r#"{"Null":{"aws:username":"true","aws:MultiFactorAuthPresent":"true","aws:TokenIssueTime":"true"}}"#, true),
        (r#"{"Null":{"aws:PrincipalTag/team":"true","aws:SourceIdentity":"true","aws:SourceVpce":"true"}}"#, true),
        (r#"{"BoolIfExists":{"aws:MultiFactorAuthPresent":"false"}}"#, true),
        (r#"{"StringNotEquals":{"aws:PrincipalOrgID":"o-1"}}"#, true),
        (r#"{"StringLike":{"aws:UserAgent":"clav*"}}"#, true),
        (r#"{"Null":{"aws:Referer":"false"}}"#, false),
    ] {
        assert_eq!(bench.meets(condition).await, expected, "{condition}");
    }
}

#[tokio::test]
async fn the_time_is_the_movable_one() {
    let bench = Bench::new().await;
    let later = r#"{"DateGreaterThan":{"aws:CurrentTime":"2027-01-01T00:00:00Z"}}"#;
    let later_too = r#"{"NumericGreaterThan":{"aws:EpochTime":"1798761600"}}"#;
    assert!(!bench.meets(later).await && !bench.meets(later_too).await);
    bench.kit.clock.0.store(1_798_761_601_000, std::sync::atomic::Ordering::SeqCst);
    assert!(bench.meets(later).await && bench.meets(later_too).await);
}

#[tokio::test]
async fn what_the_service_knows() {
    let mut bench = Bench::new().await;
    let red = r#"{"StringEquals":{"TOY:colour":"red"}}"#;
    assert!(!bench.meets(red).await);
    bench.facts = Facts::default()
        .with("toy:Colour", "red")
        .with_family("toy:Pair:", [("App", "x"), ("Stage", "y")])
        .with_all("toy:Names", ["App", "Stage"])
        .with_some("aws:ResourceTag/Team", Some("blue"))
        .with_some("aws:RequestTag/Team", None::<String>);
    for (condition, expected) in [
        (red, true),
        (r#"{"StringEquals":{"toy:Colour":"Red"}}"#, false),
        (r#"{"StringEquals":{"toy:Pair:app":"x","toy:Pair:STAGE":"y"}}"#, true),
        (r#"{"ForAllValues:StringEquals":{"toy:Names":["App","Stage"]}}"#, true),
        (r#"{"ForAllValues:StringEquals":{"toy:Names":["App"]}}"#, false),
        (r#"{"ForAnyValue:StringEquals":{"toy:Names":["App"]}}"#, true),
        (r#"{"StringEquals":{"aws:ResourceTag/team":"blue"}}"#, true),
        (r#"{"Null":{"aws:RequestTag/Team":"true","aws:TagKeys":"true"}}"#, true),
        (r#"{"StringEquals":{"toy:Colour":"${toy:Pair:app}"}}"#, false),
        (r#"{"StringLike":{"toy:Colour":"${aws:ResourceTag/none, 'r'}*"}}"#, true),
    ] {
        assert_eq!(bench.meets(condition).await, expected, "{condition}");
    }
}

#[tokio::test]
async fn a_service_cannot_speak_for_the_engine() {
    let mut bench = Bench::new().await;
    bench.facts = Facts::default().with("aws:SourceIp", "1.2.3.4").with("aws:username", "alice");
    bench.facts = bench.facts.with("aws:PrincipalTag/team", "blue").with("aws:MultiFactorAuthPresent", "true");
    assert!(!bench.meets(r#"{"IpAddress":{"aws:SourceIp":"1.2.3.4"}}"#).await);
    let absent = r#"{"Null":{"aws:username":true,"aws:PrincipalTag/team":true,"aws:MultiFactorAuthPresent":true}}"#;
    assert!(bench.meets(absent).await);
}

#[tokio::test]
async fn names_that_differ_in_case_only_deny_and_do_not_allow() {
    let mut bench = Bench::new().await;
    bench.facts = Facts::default().with_family("toy:Pair:", [("App", "x"), ("app", "evil")]);
    let statement = |effect: &str, value: &str| {
        format!(
            r#"{{"Effect":"{effect}","Principal":"*","Action":"*","Resource":"*",
            "Condition":{{"StringEquals":{{"toy:Pair:App":"{value}"}}}}}}"#
        )
    };
    let open = r#"{"Effect":"Allow","Principal":"*","Action":"*","Resource":"*"}"#;
    for value in ["x", "evil", "other"] {
        assert!(!bench.answer(&statement("Allow", value)).await, "{value}");
        assert!(!bench.answer(&format!("{open},{}", statement("Deny", value))).await, "{value}");
    }
}

#[tokio::test]
async fn variables_in_resources() {
    let mut bench = Bench::new().await;
    let statement = |resource: &str| {
        format!(r#"{{"Effect":"Allow","Principal":"*","Action":"*","Resource":"arn:aws:toy:*:*:thing/{resource}"}}"#)
    };
    assert!(!bench.answer(&statement("${toy:Pair:of}")).await);
    bench.facts = Facts::default().with("toy:Pair:of", "root");
    assert!(bench.answer(&statement("${toy:Pair:of}")).await);
    assert!(bench.answer(&statement("${aws:username, 'root'}")).await);
    assert!(!bench.answer(&statement("${aws:username}")).await);
    assert!(!bench.answer(&statement("${aws:PrincipalAccount}")).await);
}

#[tokio::test]
async fn the_service_is_asked_once_and_only_by_conditions() {
    let bench = Bench::new().await;
    let asked = || ASKED.replace(0);
    asked();
    assert!(bench.answer(r#"{"Effect":"Allow","Principal":"*","Action":"*","Resource":"*"}"#).await);
    assert!(bench.meets(r#"{"StringEquals":{"aws:PrincipalType":"Account"}}"#).await);
    assert_eq!(asked(), 0);
    // Conditions of statements about something else are not judged either.
    let other = r#"{"Effect":"Deny","Principal":"*","Action":"toy:Other","Resource":"*",
        "Condition":{"StringEquals":{"toy:Colour":"red"}}}"#;
    let open = r#"{"Effect":"Allow","Principal":"*","Action":"*","Resource":"*"}"#;
    assert!(bench.answer(&format!("{other},{open}")).await);
    assert_eq!(asked(), 0);
    let two = r#"{"Effect":"Allow","Principal":"*","Action":"*","Resource":"*",
        "Condition":{"Null":{"toy:Colour":"true","toy:Names":"true"}}}"#;
    assert!(bench.answer(two).await);
    assert_eq!(asked(), 1);
}

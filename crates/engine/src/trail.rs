//! From a call to its audit record (reference/events.md).

use claviger_api::{Refusal, ServiceError, SignatureClaim};
use claviger_audit::{Call as Head, Event, EventType, Resource, Text, Time, Value};
use claviger_policy::Decision;

use crate::engine::Engine;
use crate::operation::{Audited, OperationRow};
use crate::{CallMeta, Caller};

/// What is known when the call starts.
pub(crate) fn head(engine: &Engine, caller: &Caller, meta: &CallMeta, row: &OperationRow) -> Head {
    Head {
        event_type: EventType::ApiCall,
        time: Time::from_millis(engine.clock().now().millis()),
        source: row.event_source.into(),
        name: row.name.into(),
        region: Text::public(caller.region()),
        identity: identity(caller),
        source_address: Text::public(&meta.source_address.to_string()),
        user_agent: Some(Text::of(&meta.user_agent)),
        request_id: Some(Text::public(&meta.request_id)),
        event_id: Text::public(&event_id(engine)),
        recipient_account: Text::public(caller.account()),
        tls_details: meta.tls.as_ref().map(|tls| {
            Value::object([
                ("tlsVersion", Value::public_text(tls.version)),
                ("cipherSuite", Value::text(&tls.cipher_suite)),
                ("clientProvidedHostHeader", Value::text(&tls.host)),
                ("keyExchange", Value::text(&tls.key_exchange)),
            ])
        }),
    }
}

pub(crate) fn event_id(engine: &Engine) -> String {
    let mut bytes = [0_u8; 16];
    // Without randomness the id stays zero: the record must be written all the same, and the call fails elsewhere.
    if engine.chance().fill(&mut bytes).is_err() {
        bytes = [0; 16];
    }
    uuid::Builder::from_random_bytes(bytes).into_uuid().to_string()
}

fn identity(caller: &Caller) -> Value {
    Value::object([
        ("type", Value::public_text("Root")),
        ("principalId", Value::public_text(caller.account())),
        ("arn", Value::public_text(caller.principal().arn())),
        ("accountId", Value::public_text(caller.account())),
        ("accessKeyId", Value::public_text(caller.access_key_id())),
    ])
}

/// What is known when the call ends.
pub(crate) fn event(
    row: &OperationRow,
    audited: Audited,
    error: Option<&ServiceError>,
    decisions: &[Decision],
) -> Event {
    let Audited { request_parameters, response_elements, additional, resources } = audited;
    let mut event = Event::new(row.read_only);
    event.request_parameters = request_parameters;
    event.response_elements = response_elements;
    event.additional_event_data = (!matches!(additional, Value::Null)).then_some(additional);
    let resources = resources.iter().map(|(arn, account)| Resource {
        account: Text::public(account),
        kind: "AWS::KMS::Key".into(),
        arn: Text::public(arn),
    });
    event.resources = Some(resources.collect());
    event.decision = (!decisions.is_empty()).then(|| Value::list(decisions.iter().map(decision)));
    match error {
        None => event,
        Some(error) => event.failed(error.code, error.message.as_deref().map(Text::public)),
    }
}

fn decision(decision: &Decision) -> Value {
    let statements = decision.statements().map(|statement| {
        Value::object([
            ("source", Value::public_text(&format!("{:?}", statement.source))),
            ("statement", Value::from(i64::try_from(statement.statement).unwrap_or(i64::MAX))),
        ])
    });
    Value::object([
        ("effect", Value::public_text(if decision.is_allowed() { "Allow" } else { "Deny" })),
        ("reason", Value::public_text(&format!("{:?}", decision.reason))),
        ("statements", Value::list(statements)),
    ])
}

impl Engine {
    /// Records a failed authentication, at a bounded rate.
    pub(crate) fn note_refused(&self, claim: &SignatureClaim, meta: &CallMeta, refusal: Refusal) {
        if !self.may_record_refusal() {
            return;
        }
        let mut caller = Caller::system(&claim.region);
        caller.access_key_id = claviger_secret::LogText::new(&claim.access_key_id).as_str().to_owned();
        let row = OperationRow { name: "Authenticate", event_source: "signin.amazonaws.com", read_only: true };
        let mut head = head(self, &caller, meta, &row);
        head.event_type = EventType::Operator;
        head.identity = Value::object([("type", Value::public_text("Unknown"))])
            .with("accessKeyId", Value::public_text(&caller.access_key_id));
        let pending = self.audit().open_call(head);
        let event = Event::new(true).failed(Text::public(&format!("{refusal:?}")), None);
        // The refusal itself is data-free and is answered in any case; a full disk already shows elsewhere.
        drop(self.audit().append(pending, &event, ()));
    }
}

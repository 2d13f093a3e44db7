//! One call's record: the facts known when it starts, the outcome known when it ends, and their CloudTrail form.

use crate::AppendError;
use crate::json::Members;
use crate::value::{Text, Time, Value};

/// The longest record, in bytes of JSON. A request body is at most 1 MiB and most of it is never recorded; what is
/// (a policy, an encryption context) grows at most sixfold by escaping.
pub const RECORD_BYTES_MAX: usize = 1024 * 1024;

/// CloudTrail's record version that these records follow.
const EVENT_VERSION: &str = "1.11";

/// CloudTrail's `eventType`.
#[derive(Clone, Copy, Debug, PartialEq, Eq)]
pub enum EventType {
    /// A request of the AWS face.
    ApiCall,
    /// Work that the server does by itself: rotation due, deletion due.
    ServiceEvent,
    /// Claviger's own: a start with its configuration digest, an operator's command, refused requests in sum.
    Operator,
}

impl EventType {
    const fn as_str(self) -> &'static str {
        match self {
            Self::ApiCall => "AwsApiCall",
            Self::ServiceEvent => "AwsServiceEvent",
            Self::Operator => "ClavigerEvent",
        }
    }
}

/// What is known of a call when it starts. Enough for a record even if the call never ends.
#[derive(Clone, Debug)]
pub struct Call {
    /// `eventType`.
    pub event_type: EventType,
    /// `eventTime`: when the call arrived.
    pub time: Time,
    /// `eventSource`, for example `kms.amazonaws.com`.
    pub source: Text,
    /// `eventName`: the operation.
    pub name: Text,
    /// `awsRegion`.
    pub region: Text,
    /// `userIdentity`, complete (events.md section 1).
    pub identity: Value,
    /// `sourceIPAddress`; for a service its name.
    pub source_address: Text,
    /// `userAgent`, absent if the client sent none.
    pub user_agent: Option<Text>,
    /// `requestID`; absent for service events.
    pub request_id: Option<Text>,
    /// `eventID`: a UUID of this record's own.
    pub event_id: Text,
    /// `recipientAccountId`.
    pub recipient_account: Text,
    /// `tlsDetails`, when the connection had TLS.
    pub tls_details: Option<Value>,
}

/// One element of `resources`.
#[derive(Clone, Debug, PartialEq, Eq)]
pub struct Resource {
    /// `accountId`: who owns it.
    pub account: Text,
    /// `type`, for example `AWS::KMS::Key`.
    pub kind: Text,
    /// `ARN`.
    pub arn: Text,
}

/// `errorCode` and `errorMessage`.
#[derive(Clone, Debug, PartialEq, Eq)]
pub struct Failure {
    /// The exception name as in the API.
    pub code: Text,
    /// The message the client gets, if it gets one.
    pub message: Option<Text>,
}

/// What is known of a call when it ends. [`Event::new`] is a success with nothing to tell.
#[derive(Clone, Debug)]
pub struct Event {
    /// `readOnly` (events.md section 2).
    pub read_only: bool,
    /// `errorCode` and `errorMessage`; none is a success.
    pub failure: Option<Failure>,
    /// `requestParameters`; `Null` where the table says so.
    pub request_parameters: Value,
    /// `responseElements`; `Null` for reads and cryptographic operations.
    pub response_elements: Value,
    /// `additionalEventData` (events.md section 3).
    pub additional_event_data: Option<Value>,
    /// `resources`; `None` leaves the member out (custom key stores), an empty list is `[]`.
    pub resources: Option<Vec<Resource>>,
    /// `serviceEventDetails`, of service events.
    pub service_event_details: Option<Value>,
    /// `sharedEventID`, of a cross-account call.
    pub shared_event_id: Option<Text>,
    /// Claviger's own: what decided (effect, policy, its revision, the statement's text), for `explain` later.
    pub decision: Option<Value>,
}

impl Event {
    /// A success with no parameters, elements or resources.
    pub fn new(read_only: bool) -> Self {
        Self {
            read_only,
            failure: None,
            request_parameters: Value::Null,
            response_elements: Value::Null,
            additional_event_data: None,
            resources: Some(Vec::new()),
            service_event_details: None,
            shared_event_id: None,
            decision: None,
        }
    }

    /// The same event as a failure. It shows no response elements, since the client got none.
    #[must_use]
    pub fn failed(mut self, code: impl Into<Text>, message: Option<Text>) -> Self {
        self.failure = Some(Failure { code: code.into(), message });
        self.response_elements = Value::Null;
        self
    }

    /// What is recorded of a call that never ended: its task panicked, was dropped or could not be recorded.
    pub(crate) fn internal_failure() -> Self {
        // Whether it wrote is unknown, so it is not claimed to have only read.
        Self::new(false).failed("InternalFailure", None)
    }
}

/// A rendered record: the bytes that the chain covers. An outbox row holds the same bytes.
#[derive(Clone, Debug, PartialEq, Eq)]
pub struct Prepared(String);

impl Prepared {
    /// Renders the record.
    ///
    /// # Errors
    /// [`AppendError::TooLarge`] above [`RECORD_BYTES_MAX`].
    pub fn new(call: &Call, event: &Event) -> Result<Self, AppendError> {
        Self::checked(render(call, event))
    }

    /// A record from an outbox row.
    ///
    /// # Errors
    /// [`AppendError::NotARecord`] if this is not one JSON object on one line; [`AppendError::TooLarge`].
    pub fn from_bytes(bytes: &[u8]) -> Result<Self, AppendError> {
        let text = std::str::from_utf8(bytes).map_err(|_| AppendError::NotARecord)?;
        if text.contains(char::is_control) || !text.starts_with('{') {
            return Err(AppendError::NotARecord);
        }
        serde_json::from_str::<serde_json::Value>(text).map_err(|_| AppendError::NotARecord)?;
        Self::checked(text.to_owned())
    }

    /// The JSON text, for an outbox row.
    pub fn as_bytes(&self) -> &[u8] {
        self.0.as_bytes()
    }

    /// The JSON text.
    pub fn as_str(&self) -> &str {
        &self.0
    }

    fn checked(json: String) -> Result<Self, AppendError> {
        if json.len() > RECORD_BYTES_MAX { Err(AppendError::TooLarge) } else { Ok(Self(json)) }
    }
}

fn render(call: &Call, event: &Event) -> String {
    // A usual record with a key, a context and a decision has 1 to 1.5 KB.
    let mut out = String::with_capacity(1536);
    let mut members = Members::open(&mut out);
    members.text("eventVersion", EVENT_VERSION);
    members.value("userIdentity", &call.identity);
    members.display("eventTime", call.time);
    members.text("eventSource", call.source.as_str());
    members.text("eventName", call.name.as_str());
    members.text("awsRegion", call.region.as_str());
    members.text("sourceIPAddress", call.source_address.as_str());
    if let Some(user_agent) = &call.user_agent {
        members.text("userAgent", user_agent.as_str());
    }
    if let Some(failure) = &event.failure {
        members.text("errorCode", failure.code.as_str());
        if let Some(message) = &failure.message {
            members.text("errorMessage", message.as_str());
        }
    }
    members.value("requestParameters", &event.request_parameters);
    members.value("responseElements", &event.response_elements);
    members.optional("additionalEventData", event.additional_event_data.as_ref());
    if let Some(request_id) = &call.request_id {
        members.text("requestID", request_id.as_str());
    }
    members.text("eventID", call.event_id.as_str());
    members.bool("readOnly", event.read_only);
    if let Some(resources) = &event.resources {
        members.objects("resources", resources, |members, resource| {
            members.text("accountId", resource.account.as_str());
            members.text("type", resource.kind.as_str());
            members.text("ARN", resource.arn.as_str());
        });
    }
    members.text("eventType", call.event_type.as_str());
    members.bool("managementEvent", true);
    members.text("recipientAccountId", call.recipient_account.as_str());
    if let Some(shared) = &event.shared_event_id {
        members.text("sharedEventID", shared.as_str());
    }
    members.optional("serviceEventDetails", event.service_event_details.as_ref());
    members.text("eventCategory", "Management");
    members.optional("tlsDetails", call.tls_details.as_ref());
    members.optional("clavigerDecision", event.decision.as_ref());
    members.close();
    out
}

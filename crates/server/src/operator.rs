//! The operator face: commands as JSON over HTTP on a Unix socket, spoken by the subcommands of the binary.
//!
//! A command is `POST /v1/NAME`; [`OperatorRequest`] and [`OperatorAnswer`] are both of its sides, and `ROUTES` is the
//! table of all. The socket is in `operator_socket.rs`, the client in `operator_client.rs`. No AWS credential reaches
//! this: the face has a socket of its own, and who may speak is decided by the operating system's word on who connects.

use std::sync::Arc;
use std::time::{Duration, Instant};

use base64::Engine as _;
use base64::engine::general_purpose::STANDARD;
use bytes::Bytes;
use claviger_audit::Recorded;
use claviger_engine::{BoxFuture, Chance, CommandError, Fault, Operator};
use claviger_secret::{LogText, SecretBytes, event};
use http::request::Parts;
use http::{HeaderValue, Method, Response, StatusCode, header};
use serde::de::DeserializeOwned;
use serde::{Deserialize, Serialize};

use crate::body::{BodyFault, ReadBody};
use crate::handler::{CallFault, Connection, Handler};
use crate::identifier::Identifiers;
use crate::key_impact::{KeyImpact, KeyImpactShown};
use crate::limits::Limits;
use crate::operator_organization::{self, OrganizationAnswer, OrganizationRequest};

/// How long an answer may take: a report reads the whole audit log.
pub(crate) const ANSWER_TIME: Duration = Duration::from_secs(600);
/// Where the commands are.
pub(crate) const PREFIX: &str = "/v1/";

/// What obeys; the binary implements it.
pub trait Operators: Send + Sync + 'static {
    /// Obeys a command. The request id is a UUID in text form.
    fn obey(
        &self,
        operator: Operator,
        request_id: String,
        request: OperatorRequest,
    ) -> BoxFuture<'_, Result<OperatorReply, Fault>>;

    /// A process was turned away, since it runs as neither the server's user nor root.
    fn turned_away(&self, operator: Operator);
}

/// The answer to a command, with the proof that it was recorded.
pub type OperatorReply = Recorded<Result<OperatorAnswer, CommandError>>;

/// What an operator can ask for.
pub enum OperatorRequest {
    /// How the server is.
    Status,
    /// A new account with a root access key.
    AccountCreate(AccountCreate),
    /// The accounts.
    AccountList(AccountList),
    /// Closes an account.
    AccountClose(AccountNamed),
    /// Opens a closed account again.
    AccountReopen(AccountNamed),
    /// New root credentials for an account that exists.
    AccountRootCredentials(AccountRootCredentials),
    /// Why somebody may use a key, or may not.
    Explain(Explain),
    /// Why a request was answered as it was.
    ExplainRequest(ExplainRequest),
    /// Something about organizational units and service control policies.
    Organization(OrganizationRequest),
    /// Who would miss a key.
    KeyImpact(KeyImpact),
    /// Takes the clock for right, as it is.
    ClockAccept,
}

/// A request that nobody makes.
#[derive(Clone, Debug, Default, PartialEq, Eq, Serialize, Deserialize)]
#[serde(deny_unknown_fields, rename_all = "camelCase")]
pub struct Explain {
    /// The ARN of a user, role, role session, federated session or account's root.
    pub caller: String,
    /// The IAM action.
    pub action: String,
    /// The key as the caller would name it; absent for actions on none.
    #[serde(default)]
    pub key: Option<String>,
    /// The Region of the request; one that is served when absent.
    #[serde(default)]
    pub region: Option<String>,
    /// Condition keys of the request, each with a value; a key with several stands as often.
    #[serde(default)]
    pub context: Vec<(String, String)>,
    /// The encryption context.
    #[serde(default)]
    pub encryption_context: Vec<(String, String)>,
    /// The ARN of what the request is about: an alias, or a thing of IAM or STS.
    #[serde(default)]
    pub resource: Option<String>,
    /// The id of a grant that is to be retired.
    #[serde(default)]
    pub grant: Option<String>,
    /// What a grant that is to be made allows.
    #[serde(default)]
    pub grant_operations: Vec<String>,
    /// A policy that the session carries, as text.
    #[serde(default)]
    pub session_policy: Option<String>,
    /// Managed policies that the session carries, by ARN.
    #[serde(default)]
    pub session_policy_arns: Vec<String>,
    /// Who asked for a federated session: a user's or account root's ARN.
    #[serde(default)]
    pub made_by: Option<String>,
}

/// A request that was answered.
#[derive(Clone, Debug, Default, PartialEq, Eq, Serialize, Deserialize)]
#[serde(deny_unknown_fields, rename_all = "camelCase")]
pub struct ExplainRequest {
    /// Its id, as `x-amzn-RequestId` had it.
    pub request_id: String,
}

/// An explanation for people.
#[derive(Clone, Debug, PartialEq, Eq, Serialize, Deserialize)]
#[serde(rename_all = "camelCase")]
pub struct Explained {
    /// Line by line.
    pub lines: Vec<String>,
}

/// A new account.
#[derive(Clone, Debug, Default, PartialEq, Eq, Serialize, Deserialize)]
#[serde(deny_unknown_fields, rename_all = "camelCase")]
pub struct AccountCreate {
    /// Its twelve digits; made at random when absent.
    #[serde(default)]
    pub account: Option<String>,
    /// What to call it.
    #[serde(default)]
    pub name: String,
}

/// A page of accounts.
#[derive(Clone, Debug, Default, PartialEq, Eq, Serialize, Deserialize)]
#[serde(deny_unknown_fields, rename_all = "camelCase")]
pub struct AccountList {
    /// The last account of the page before.
    #[serde(default)]
    pub after: Option<String>,
}

/// An account by its twelve digits.
#[derive(Clone, Debug, PartialEq, Eq, Serialize, Deserialize)]
#[serde(deny_unknown_fields, rename_all = "camelCase")]
pub struct AccountNamed {
    /// The digits.
    pub account: String,
}

/// New root credentials.
pub struct AccountRootCredentials {
    /// The twelve digits.
    pub account: String,
    /// Whether the root's other access keys go.
    pub replace: bool,
    /// What kind of secret follows.
    pub kind: UnsealKind,
    /// The deployment's unseal secret: only who has it may have these.
    pub unseal: SecretBytes,
}

/// What kind of unseal secret a deployment has.
#[derive(Clone, Copy, Debug, PartialEq, Eq, Serialize, Deserialize)]
#[serde(rename_all = "camelCase")]
pub enum UnsealKind {
    /// The bytes of a file.
    File,
    /// A passphrase.
    Passphrase,
}

/// What an operator gets.
pub enum OperatorAnswer {
    /// How the server is.
    Status(Status),
    /// One account.
    Account(AccountShown),
    /// Some accounts.
    Accounts(AccountsShown),
    /// A root access key.
    Credentials(Credentials),
    /// Why.
    Explained(Explained),
    /// Units or service control policies.
    Organization(OrganizationAnswer),
    /// Who would miss a key.
    KeyImpact(Box<KeyImpactShown>),
    /// The clock.
    Clock(ClockShown),
}

/// How the clock is.
#[derive(Clone, Debug, PartialEq, Eq, Serialize, Deserialize)]
#[serde(rename_all = "camelCase")]
pub struct ClockShown {
    /// What it says, in ISO 8601.
    pub time: String,
    /// The newest time that was believed; none when its row cannot be read.
    pub newest: Option<String>,
    /// How it stands to that.
    pub standing: ClockStandingShown,
    /// By how many seconds it is behind or has leapt.
    pub seconds: u64,
    /// Deletions and expiries that are due by the clock and wait since it is not believed.
    pub jobs_waiting: u64,
}

/// How the clock stands to the newest time seen.
#[derive(Clone, Copy, Debug, PartialEq, Eq, Serialize, Deserialize)]
#[serde(rename_all = "camelCase")]
pub enum ClockStandingShown {
    /// As expected.
    Sound,
    /// Behind it: time stands still until it catches up.
    Behind,
    /// Ahead without a cause: what destroys waits.
    Leapt,
    /// The newest time cannot be read: what destroys waits.
    Unknown,
}

/// How the server is.
#[derive(Clone, Debug, PartialEq, Eq, Serialize, Deserialize)]
#[serde(rename_all = "camelCase")]
pub struct Status {
    /// The binary's version.
    pub version: String,
    /// The node's name in outbox rows and audit records.
    pub node: String,
    /// How long it has been up.
    pub uptime_seconds: u64,
    /// The store's revision.
    pub store_revision: u64,
    /// The number of the last commit, which the audit log's checkpoints repeat.
    pub store_number: u64,
    /// The number of the newest entry of the audit log.
    pub audit_sequence: u64,
    /// Its hash; `audit verify --head` takes it, once it is on disk.
    pub audit_head: String,
    /// Up to which number entries are signed and on disk.
    pub audit_on_disk: u64,
    /// Calls that ended without a record; none of them got an answer.
    pub audit_unrecorded: u64,
    /// How many accounts there are; none when their rows cannot be read.
    pub accounts: Option<usize>,
    /// How many of these are closed.
    pub accounts_closed: Option<usize>,
    /// Groups of rows, of 256, that do not add up and are refused; 0 when all is well.
    pub groups_refused: usize,
    /// The clock.
    pub clock: ClockShown,
}

/// One account.
#[derive(Clone, Debug, PartialEq, Eq, Serialize, Deserialize)]
#[serde(rename_all = "camelCase")]
pub struct AccountShown {
    /// Its twelve digits.
    pub account: String,
    /// What it is called; may be empty.
    pub name: String,
    /// When it was made, in ISO 8601.
    pub created: String,
    /// When it was closed, if it is.
    pub closed: Option<String>,
}

/// A page of accounts.
#[derive(Clone, Debug, PartialEq, Eq, Serialize, Deserialize)]
#[serde(rename_all = "camelCase")]
pub struct AccountsShown {
    /// In the order of their digits.
    pub accounts: Vec<AccountShown>,
    /// Whether there are more behind these.
    pub more: bool,
}

/// A root access key.
pub struct Credentials {
    /// The account.
    pub account: String,
    /// The access key id.
    pub access_key_id: String,
    /// The secret access key.
    pub secret_access_key: SecretBytes,
}

/// Since when the server has been up.
#[derive(Clone, Copy, Debug)]
pub struct Uptime(Instant);

impl Uptime {
    /// From now on.
    #[must_use]
    pub fn begin() -> Self {
        Self(Instant::now())
    }

    /// Whole seconds so far.
    #[must_use]
    pub fn seconds(self) -> u64 {
        self.0.elapsed().as_secs()
    }
}

/// One command: its name in the path, and both of its sides.
pub(crate) struct Route {
    pub(crate) name: &'static str,
    pub(crate) read_request: fn(&[u8]) -> serde_json::Result<OperatorRequest>,
    pub(crate) read_answer: fn(&[u8]) -> serde_json::Result<OperatorAnswer>,
}

const ROUTES: &[Route] = &[
    Route {
        name: "status",
        read_request: |body| read::<Nothing>(body).map(|Nothing {}| OperatorRequest::Status),
        read_answer: |body| read(body).map(OperatorAnswer::Status),
    },
    Route {
        name: "account/create",
        read_request: |body| read(body).map(OperatorRequest::AccountCreate),
        read_answer: read_credentials,
    },
    Route {
        name: "account/list",
        read_request: |body| read(body).map(OperatorRequest::AccountList),
        read_answer: |body| read(body).map(OperatorAnswer::Accounts),
    },
    Route {
        name: "account/close",
        read_request: |body| read(body).map(OperatorRequest::AccountClose),
        read_answer: |body| read(body).map(OperatorAnswer::Account),
    },
    Route {
        name: "account/reopen",
        read_request: |body| read(body).map(OperatorRequest::AccountReopen),
        read_answer: |body| read(body).map(OperatorAnswer::Account),
    },
    Route { name: "account/root-credentials", read_request: read_root_credentials, read_answer: read_credentials },
    Route {
        name: "explain",
        read_request: |body| read(body).map(OperatorRequest::Explain),
        read_answer: |body| read(body).map(OperatorAnswer::Explained),
    },
    Route {
        name: "explain/request",
        read_request: |body| read(body).map(OperatorRequest::ExplainRequest),
        read_answer: |body| read(body).map(OperatorAnswer::Explained),
    },
    Route {
        name: "key/impact",
        read_request: |body| read(body).map(OperatorRequest::KeyImpact),
        read_answer: |body| read(body).map(OperatorAnswer::KeyImpact),
    },
    Route {
        name: "clock/accept",
        read_request: |body| read::<Nothing>(body).map(|Nothing {}| OperatorRequest::ClockAccept),
        read_answer: |body| read(body).map(OperatorAnswer::Clock),
    },
];

/// The route with this name.
pub(crate) fn route(name: &str) -> Option<&'static Route> {
    ROUTES.iter().chain(operator_organization::ROUTES).find(|route| route.name == name)
}

impl OperatorRequest {
    /// Reads the body of `POST /v1/NAME`; `None` when there is no such command.
    ///
    /// # Errors
    /// A body that is not the command's.
    #[must_use]
    pub fn read(name: &str, body: &[u8]) -> Option<serde_json::Result<Self>> {
        Some((route(name)?.read_request)(body))
    }

    pub(crate) const fn name(&self) -> &'static str {
        match self {
            Self::Status => "status",
            Self::AccountCreate(_) => "account/create",
            Self::AccountList(_) => "account/list",
            Self::AccountClose(_) => "account/close",
            Self::AccountReopen(_) => "account/reopen",
            Self::AccountRootCredentials(_) => "account/root-credentials",
            Self::Explain(_) => "explain",
            Self::ExplainRequest(_) => "explain/request",
            Self::Organization(request) => request.name(),
            Self::KeyImpact(_) => "key/impact",
            Self::ClockAccept => "clock/accept",
        }
    }

    /// The body that asks for this.
    #[must_use]
    pub fn body(&self) -> Bytes {
        match self {
            Self::Status | Self::ClockAccept => write(&Nothing {}),
            Self::AccountCreate(request) => write(request),
            Self::AccountList(request) => write(request),
            Self::AccountClose(request) | Self::AccountReopen(request) => write(request),
            Self::Explain(request) => write(request),
            Self::ExplainRequest(request) => write(request),
            Self::Organization(request) => request.body(),
            Self::KeyImpact(request) => write(request),
            Self::AccountRootCredentials(request) => {
                let AccountRootCredentials { account, replace, kind, unseal } = request;
                let mut text = vec![0; unseal.len().div_ceil(3) * 4];
                // The room is exactly that of the text, so this does not fail.
                let _ = STANDARD.encode_slice(unseal.expose(), &mut text);
                let head = RootCredentialsHead { account: account.clone(), replace: *replace, kind: *kind };
                with_secret(&head, "unseal", &SecretBytes::new(text))
            }
        }
    }
}

impl OperatorAnswer {
    fn body(&self) -> Bytes {
        match self {
            Self::Status(answer) => write(answer),
            Self::Account(answer) => write(answer),
            Self::Accounts(answer) => write(answer),
            Self::Explained(answer) => write(answer),
            Self::Organization(answer) => answer.body(),
            Self::KeyImpact(answer) => write(answer),
            Self::Clock(answer) => write(answer),
            Self::Credentials(Credentials { account, access_key_id, secret_access_key }) => {
                let head = CredentialsHead { account: account.clone(), access_key_id: access_key_id.clone() };
                with_secret(&head, "secretAccessKey", secret_access_key)
            }
        }
    }
}

#[derive(Serialize, Deserialize)]
#[serde(deny_unknown_fields)]
pub(crate) struct Nothing {}

/// [`AccountRootCredentials`] but for the secret, which no serializer is given.
#[derive(Serialize, Deserialize)]
#[serde(rename_all = "camelCase")]
struct RootCredentialsHead {
    account: String,
    #[serde(default)]
    replace: bool,
    kind: UnsealKind,
}

/// [`Credentials`] but for the secret.
#[derive(Serialize, Deserialize)]
#[serde(rename_all = "camelCase")]
struct CredentialsHead {
    account: String,
    access_key_id: String,
}

/// The secret alone, borrowed from the body. Base64 and secret access keys have nothing that JSON escapes.
#[derive(Deserialize)]
struct UnsealPart<'b> {
    #[serde(borrow)]
    unseal: &'b str,
}

/// As [`UnsealPart`].
#[derive(Deserialize)]
#[serde(rename_all = "camelCase")]
struct SecretPart<'b> {
    #[serde(borrow)]
    secret_access_key: &'b str,
}

pub(crate) fn read<T: DeserializeOwned>(body: &[u8]) -> serde_json::Result<T> {
    serde_json::from_slice(if body.is_empty() { b"{}" } else { body })
}

fn read_root_credentials(body: &[u8]) -> serde_json::Result<OperatorRequest> {
    use serde::de::Error as _;
    let RootCredentialsHead { account, replace, kind } = read(body)?;
    let UnsealPart { unseal } = serde_json::from_slice(body)?;
    let unseal = STANDARD.decode(unseal).map_err(|_| serde_json::Error::custom("unseal is not base64"))?;
    let unseal = SecretBytes::new(unseal);
    Ok(OperatorRequest::AccountRootCredentials(AccountRootCredentials { account, replace, kind, unseal }))
}

fn read_credentials(body: &[u8]) -> serde_json::Result<OperatorAnswer> {
    let CredentialsHead { account, access_key_id } = read(body)?;
    let SecretPart { secret_access_key } = serde_json::from_slice(body)?;
    let secret_access_key = SecretBytes::from_slice(secret_access_key.as_bytes());
    Ok(OperatorAnswer::Credentials(Credentials { account, access_key_id, secret_access_key }))
}

pub(crate) fn write(value: &impl Serialize) -> Bytes {
    // What is written here has no map with keys that are not text, which is all that could fail.
    serde_json::to_vec(value).unwrap_or_default().into()
}

/// The object `head` with one member more, in memory that is wiped.
fn with_secret(head: &impl Serialize, member: &'static str, secret: &SecretBytes) -> Bytes {
    let head = write(head);
    let head = head.strip_suffix(b"}").unwrap_or_default();
    let parts = [head, b",\"", member.as_bytes(), b"\":\"", secret.expose(), b"\"}"];
    // Room for all of it at once: a buffer that grows leaves its old bytes behind.
    let mut whole = Vec::with_capacity(parts.iter().map(|part| part.len()).sum());
    parts.iter().for_each(|part| whole.extend_from_slice(part));
    Bytes::from_owner(Wiped(SecretBytes::new(whole)))
}

/// A body that is wiped when the connection lets go of it.
struct Wiped(SecretBytes);

impl AsRef<[u8]> for Wiped {
    fn as_ref(&self) -> &[u8] {
        self.0.expose()
    }
}

/// How an error is told: `{"error": {"code", "message"}}`.
#[derive(Serialize, Deserialize)]
pub(crate) struct Told {
    pub(crate) error: ToldError,
}

/// See [`Told`].
#[derive(Serialize, Deserialize)]
pub(crate) struct ToldError {
    pub(crate) code: String,
    pub(crate) message: String,
}

/// The operator face: what every connection shares.
pub struct OperatorFace {
    operators: Arc<dyn Operators>,
    identifiers: Identifiers,
}

impl OperatorFace {
    /// A face whose commands these obey.
    #[must_use]
    pub fn new(operators: Arc<dyn Operators>, chance: Arc<dyn Chance>) -> Self {
        Self { operators, identifiers: Identifiers::new(chance) }
    }

    /// The bounds of its server: an operator needs few connections, and its longest request is an unseal secret.
    #[must_use]
    pub fn limits() -> Limits {
        Limits {
            connections_max: 32,
            calls_max: 32,
            body_bytes_max: 128 * 1024,
            bodies_bytes_max: 4 * 1024 * 1024,
            discarded_bytes_max: 1024 * 1024,
            idle_time: Duration::from_secs(10),
            call_time: ANSWER_TIME,
            ..Limits::default()
        }
    }

    pub(crate) fn turn_away(&self, operator: Operator) {
        event!(warn, "turned away who may not give commands", uid = operator.uid);
        self.operators.turned_away(operator);
    }

    async fn command(&self, operator: Operator, head: &Parts, body: ReadBody, request_id: &str) -> Response<Bytes> {
        let Some(route) = head.uri.path().strip_prefix(PREFIX).and_then(route) else {
            return refusal(StatusCode::NOT_FOUND, "NoSuchCommand", "there is no such command");
        };
        if head.method != Method::POST {
            return refusal(StatusCode::METHOD_NOT_ALLOWED, "MethodNotAllowed", "commands are POST");
        }
        let request = match (route.read_request)(body.bytes()) {
            Ok(request) => request,
            Err(error) => {
                // The error's text may repeat what was sent, and that may be a secret: only its place is told.
                let place = format!("the body is not what {} takes (column {})", route.name, error.column());
                return refusal(StatusCode::BAD_REQUEST, "InvalidRequest", &place);
            }
        };
        drop(body);
        match self.operators.obey(operator, request_id.to_owned(), request).await.map(Recorded::into_inner) {
            Ok(Ok(answer)) => json(StatusCode::OK, answer.body()),
            Ok(Err(CommandError::Refused { code, message })) => refusal(StatusCode::CONFLICT, code, &message),
            Ok(Err(CommandError::Fault(fault))) | Err(fault) => {
                event!(error, "a command met a fault", request_id = LogText::new(request_id), fault = fault);
                refusal(StatusCode::INTERNAL_SERVER_ERROR, "InternalFailure", &fault.to_string())
            }
        }
    }
}

/// One operator's connection.
pub(crate) struct Session {
    pub(crate) face: Arc<OperatorFace>,
    pub(crate) operator: Operator,
}

impl Handler for Session {
    async fn answer(&self, head: Parts, body: ReadBody, _: Connection<'_>) -> Response<Bytes> {
        let request_id = self.face.identifiers.next();
        let mut response = self.face.command(self.operator, &head, body, &request_id).await;
        if let Ok(value) = HeaderValue::from_str(&request_id) {
            response.headers_mut().insert("x-request-id", value);
        }
        response
    }

    fn refuse(&self, _: &Parts, fault: BodyFault) -> Response<Bytes> {
        match fault {
            BodyFault::TooLarge => refusal(StatusCode::PAYLOAD_TOO_LARGE, "TooLarge", "the body is too large"),
            BodyFault::TimedOut | BodyFault::Broken => {
                refusal(StatusCode::REQUEST_TIMEOUT, "TimedOut", "the body did not come")
            }
            BodyFault::Crowded => refusal(StatusCode::SERVICE_UNAVAILABLE, "Crowded", "too many commands at once"),
        }
    }

    fn failed(&self, _: CallFault) -> Response<Bytes> {
        refusal(StatusCode::INTERNAL_SERVER_ERROR, "InternalFailure", "the command did not end")
    }
}

fn refusal(status: StatusCode, code: &str, message: &str) -> Response<Bytes> {
    json(status, write(&Told { error: ToldError { code: code.to_owned(), message: message.to_owned() } }))
}

fn json(status: StatusCode, body: Bytes) -> Response<Bytes> {
    let mut response = Response::new(body);
    *response.status_mut() = status;
    response.headers_mut().insert(header::CONTENT_TYPE, HeaderValue::from_static("application/json"));
    response
}

#[cfg(test)]
mod tests {
    #![expect(clippy::unwrap_used, clippy::panic, reason = "tests")]

    use super::*;

    fn named() -> AccountNamed {
        AccountNamed { account: "111122223333".to_owned() }
    }

    fn credentials_asked() -> OperatorRequest {
        OperatorRequest::AccountRootCredentials(AccountRootCredentials {
            account: "111122223333".to_owned(),
            replace: true,
            kind: UnsealKind::File,
            unseal: SecretBytes::from_slice(b"\0\"\\ any bytes \xff"),
        })
    }

    #[test]
    fn every_request_has_a_route_that_reads_it_back() {
        let create = AccountCreate { account: Some("111122223333".to_owned()), name: "a \"name\"".to_owned() };
        let requests = [
            OperatorRequest::Status,
            OperatorRequest::AccountCreate(create),
            OperatorRequest::AccountList(AccountList { after: Some("111122223333".to_owned()) }),
            OperatorRequest::AccountClose(named()),
            OperatorRequest::AccountReopen(named()),
            credentials_asked(),
            OperatorRequest::Explain(Explain { key: Some("alias/a".to_owned()), ..Explain::default() }),
            OperatorRequest::ExplainRequest(ExplainRequest { request_id: "1".to_owned() }),
            OperatorRequest::KeyImpact(KeyImpact { key: "alias/a".to_owned(), ..KeyImpact::default() }),
            OperatorRequest::ClockAccept,
        ];
        assert_eq!(requests.len(), ROUTES.len(), "a route that no request takes");
        for request in requests {
            let route = route(request.name()).unwrap();
            let again = (route.read_request)(&request.body()).unwrap();
            assert_eq!((again.name(), again.body()), (request.name(), request.body()));
        }
    }

    #[test]
    fn an_unseal_secret_of_any_bytes_arrives() {
        let read = read_root_credentials(&credentials_asked().body()).unwrap();
        let OperatorRequest::AccountRootCredentials(read) = read else { panic!("another request") };
        assert_eq!(read.unseal.expose(), b"\0\"\\ any bytes \xff");
        assert!(read.replace && read.kind == UnsealKind::File);
    }

    #[test]
    fn credentials_arrive() {
        let made = OperatorAnswer::Credentials(Credentials {
            account: "111122223333".to_owned(),
            access_key_id: "AKIAIOSFODNN7EXAMPLE".to_owned(),
            secret_access_key: SecretBytes::from_slice(b"abc+/123"),
        });
        let OperatorAnswer::Credentials(read) = read_credentials(&made.body()).unwrap() else { panic!("another") };
        assert_eq!((read.account.as_str(), read.access_key_id.as_str()), ("111122223333", "AKIAIOSFODNN7EXAMPLE"));
        assert_eq!(read.secret_access_key.expose(), b"abc+/123");
    }

    #[test]
    fn members_that_nobody_knows_are_refused() {
        for (name, body) in [
            ("status", "{\"a\":1}"),
            ("clock/accept", "{\"a\":1}"),
            ("account/create", "{\"acount\":\"1\"}"),
            ("account/list", "5"),
            ("account/close", "{}"),
            ("account/root-credentials", "{\"account\":\"1\",\"kind\":\"file\",\"unseal\":\"?\"}"),
            ("account/root-credentials", "{\"account\":\"1\",\"kind\":\"hsm\",\"unseal\":\"\"}"),
        ] {
            assert!((route(name).unwrap().read_request)(body.as_bytes()).is_err(), "{name} {body}");
        }
    }
}

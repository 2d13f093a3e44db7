//! Who calls, from where, and with what: facts fixed before a call is opened.

use std::net::IpAddr;
use std::sync::Arc;

use claviger_api::Timestamp;
use claviger_policy::{AccountId, Document, Principal};
use claviger_secret::LogText;

use crate::engine::Engine;
use crate::service::Via;

/// An authenticated caller. Made by [`crate::Engine::authenticate`] and, for background work, by the
/// engine itself; nowhere else.
#[derive(Clone, Debug)]
pub struct Caller {
    pub(crate) principal: Principal,
    pub(crate) account: String,
    pub(crate) access_key_id: String,
    pub(crate) region: String,
    pub(crate) traits: PrincipalTraits,
    /// The services that call for the principal; none when it calls itself.
    pub(crate) via: Option<Arc<Via>>,
}

impl Caller {
    /// The principal that signed the request.
    #[must_use]
    pub fn principal(&self) -> &Principal {
        &self.principal
    }

    /// The twelve digits of the caller's account.
    #[must_use]
    pub fn account(&self) -> &str {
        &self.account
    }

    /// The access key id that the request was signed with; empty for background work.
    #[must_use]
    pub fn access_key_id(&self) -> &str {
        &self.access_key_id
    }

    /// What else is known of the principal and its session.
    #[must_use]
    pub const fn traits(&self) -> &PrincipalTraits {
        &self.traits
    }

    /// The Region that the request's credential scope names.
    #[must_use]
    pub fn region(&self) -> &str {
        &self.region
    }
}

/// What conditions may ask about a principal beyond its name. A root user with a long-term key has none of it.
#[derive(Clone, Debug, Default)]
pub struct PrincipalTraits {
    /// `aws:userid` of a user, or of a session: `AIDA..`, `AROA..:session`, `account:name`. Unused for a root user, whose
    /// id is its account.
    pub unique_id: Option<String>,
    /// The tags of the user or role, those of the session in place of the role's (`aws:PrincipalTag`). Names that differ
    /// in letter case only are one tag, so no two may.
    pub tags: Vec<(String, String)>,
    /// The session, when the credentials are temporary.
    pub session: Option<Session>,
    /// The subject of the token whose bearer asks for a role.
    pub subject: Option<String>,
}

/// A session of temporary credentials.
#[derive(Clone, Debug)]
pub struct Session {
    /// When the credentials were issued, by the wall clock (`aws:TokenIssueTime`).
    pub issued_at: Timestamp,
    /// When the one who asked for them showed a second factor, by the wall clock.
    pub second_factor_at: Option<Timestamp>,
    /// `aws:SourceIdentity`.
    pub source_identity: Option<String>,
    /// `aws:FederatedProvider`: who vouched for a web identity.
    pub federated_provider: Option<String>,
    /// The policies that were passed when the session was made; `None` when none were.
    pub policies: Option<Vec<Arc<Document>>>,
    /// The session tags that sessions made from this one inherit.
    pub transitive_tags: Vec<(String, String)>,
    /// What remains of a web identity's claims, as condition keys with their values: `HOST/PATH:sub`.
    pub claims: Vec<(String, Vec<String>)>,
}

impl Session {
    /// A session without a second factor, source identity, federation, policies or tags.
    #[must_use]
    pub const fn issued_at(issued_at: Timestamp) -> Self {
        Self {
            issued_at,
            second_factor_at: None,
            source_identity: None,
            federated_provider: None,
            policies: None,
            transitive_tags: Vec::new(),
            claims: Vec::new(),
        }
    }
}

/// The bearer of a provider's token that an identity service has checked.
#[derive(Clone, Debug)]
pub struct TokenBearer {
    /// The account that the provider belongs to.
    pub account: AccountId,
    /// The provider's ARN.
    pub provider_arn: String,
    /// For whom the token was made.
    pub audience: String,
    /// Whom it is about.
    pub subject: String,
}

impl Engine {
    /// The caller of an operation that no signature protects, before its token is believed.
    #[must_use]
    pub fn anonymous(&self, region: &str) -> Caller {
        Caller { principal: Principal::web_identity(AccountId::NOBODY, ""), ..Caller::system(region) }
    }

    /// The caller that a checked token makes known. To be called by the identity service alone.
    #[must_use]
    pub fn token_bearer(&self, bearer: &TokenBearer, region: &str) -> Caller {
        let TokenBearer { account, provider_arn, audience, subject } = bearer;
        let traits = PrincipalTraits {
            unique_id: Some(format!("{provider_arn}:{audience}:{subject}")),
            subject: Some(subject.clone()),
            ..PrincipalTraits::default()
        };
        let (principal, account) = (Principal::web_identity(*account, provider_arn), account.as_str().to_owned());
        Caller { principal, account, traits, ..Caller::system(region) }
    }
}

/// The facts of one request that are not the caller's identity.
#[derive(Clone, Debug)]
pub struct CallMeta {
    /// `x-amzn-RequestId`: a UUID in text form.
    pub request_id: String,
    /// The peer's address (or the one a trusted proxy forwarded).
    pub source_address: IpAddr,
    /// The `User-Agent` header, made safe for logs; empty when there was none.
    pub user_agent: LogText,
    /// The `Referer` header, made safe for logs; empty when there was none.
    pub referer: LogText,
    /// What TLS negotiated, when the request came over TLS.
    pub tls: Option<TlsFacts>,
}

impl CallMeta {
    /// The facts of background work, which has no request.
    #[must_use]
    pub fn system() -> Self {
        Self {
            request_id: String::new(),
            source_address: IpAddr::V4(std::net::Ipv4Addr::LOCALHOST),
            user_agent: LogText::new("claviger"),
            referer: LogText::new(""),
            tls: None,
        }
    }

    /// Whether the request came over TLS (`aws:SecureTransport`).
    #[must_use]
    pub fn secure(&self) -> bool {
        self.tls.is_some()
    }
}

/// What one TLS handshake settled: CloudTrail's `tlsDetails`.
#[derive(Clone, Debug, PartialEq, Eq)]
pub struct TlsFacts {
    /// For example `TLSv1.3`.
    pub version: &'static str,
    /// The cipher suite's IANA name.
    pub cipher_suite: LogText,
    /// The key exchange group, for example `X25519MLKEM768`.
    pub key_exchange: LogText,
    /// The `Host` the client asked for.
    pub host: LogText,
}

/// What an identity service knows of one access key.
pub struct Credential {
    /// The secret access key, from which signing keys are derived.
    pub secret: claviger_secret::SecretBytes,
    /// Whose key it is.
    pub principal: Principal,
    /// The account it belongs to.
    pub account: String,
    /// What else is known of the principal and its session.
    pub traits: PrincipalTraits,
}

/// The two clocks of DESIGN.md section 8.
pub trait Clock: Send + Sync {
    /// The wall clock: signatures and session tokens are judged by it.
    fn wall(&self) -> Timestamp;
    /// The movable clock: key lives, `aws:CurrentTime` and audit times follow it.
    fn now(&self) -> Timestamp;
    /// Milliseconds since some moment, by a clock that nobody sets; only who moves the movable clock on purpose moves it
    /// too. What the movable clock gains beyond it is a leap. A clock without such a measure takes every gain for meant.
    fn steady(&self) -> i64 {
        self.now().millis()
    }
}

/// Randomness for identifiers and salts; injected so that a simulation can repeat a run.
pub trait Chance: Send + Sync {
    /// Fills the whole buffer.
    ///
    /// # Errors
    /// [`crate::Fault::Randomness`] when the source gives nothing.
    fn fill(&self, buffer: &mut [u8]) -> Result<(), crate::Fault>;
}

//! Who asks, and how a policy names them.

use std::fmt;

/// The partition of every ARN that this server makes or accepts.
pub(crate) const PARTITION: &str = "aws";

/// A 12-digit account number.
#[derive(Clone, Copy, Debug, PartialEq, Eq, PartialOrd, Ord, Hash)]
pub struct AccountId([u8; 12]);

impl AccountId {
    /// Twelve zeros: the account of work that has no caller, and the default of `claviger dev`.
    pub const NOBODY: Self = Self(*b"000000000000");

    /// Parses exactly 12 ASCII digits.
    #[must_use]
    pub fn parse(text: &str) -> Option<Self> {
        let digits: [u8; 12] = text.as_bytes().try_into().ok()?;
        digits.iter().all(u8::is_ascii_digit).then_some(Self(digits))
    }

    /// The 12 digits.
    #[must_use]
    pub fn as_str(&self) -> &str {
        // Digits are valid UTF-8, so the default is never taken.
        std::str::from_utf8(&self.0).unwrap_or_default()
    }

    /// The ARN that stands for the account: `arn:aws:iam::<account>:root`.
    #[must_use]
    pub fn root_arn(&self) -> String {
        format!("arn:{PARTITION}:iam::{self}:root")
    }
}

impl fmt::Display for AccountId {
    fn fmt(&self, formatter: &mut fmt::Formatter<'_>) -> fmt::Result {
        formatter.write_str(self.as_str())
    }
}

impl claviger_secret::LogSafe for AccountId {}

/// The id that IAM gives a user (`AIDA...`) or a role (`AROA...`) and never gives again, so that a namesake made later
/// is told apart.
#[derive(Clone, Debug, PartialEq, Eq, PartialOrd, Ord, Hash)]
pub struct UniqueId(Box<str>);

impl UniqueId {
    /// Parses 16 to 128 capital letters and digits that begin with `AIDA` or `AROA`. Of a session's `aws:userid` pass
    /// what stands before the colon.
    #[must_use]
    pub fn parse(text: &str) -> Option<Self> {
        let plain = |byte: u8| byte.is_ascii_uppercase() || byte.is_ascii_digit();
        let known = text.starts_with(USER_ID_HEAD) || text.starts_with(ROLE_ID_HEAD);
        (known && (16..=128).contains(&text.len()) && text.bytes().all(plain)).then(|| Self(text.into()))
    }

    /// The id.
    #[must_use]
    pub fn as_str(&self) -> &str {
        &self.0
    }
}

const USER_ID_HEAD: &str = "AIDA";
const ROLE_ID_HEAD: &str = "AROA";

impl fmt::Display for UniqueId {
    fn fmt(&self, formatter: &mut fmt::Formatter<'_>) -> fmt::Result {
        formatter.write_str(&self.0)
    }
}

impl claviger_secret::LogSafe for UniqueId {}

/// What sort of caller a [`Principal`] is.
#[derive(Clone, Copy, Debug, PartialEq, Eq, Hash)]
pub enum PrincipalKind {
    /// The account's root user.
    Root,
    /// An IAM user.
    User,
    /// A session of a role.
    RoleSession,
    /// Somebody whose identity comes from elsewhere: a session that a user made by GetFederationToken, or, while it
    /// asks for a role, the bearer of a provider's token (see [`Principal::provider_arn`]).
    FederatedUser,
}

/// An authenticated caller, as policies see it.
#[derive(Clone, Debug, PartialEq, Eq, Hash)]
pub struct Principal {
    kind: PrincipalKind,
    account: AccountId,
    /// The caller's own ARN.
    arn: Box<str>,
    /// The ARN of the role of a session, or of the user behind a federated session.
    parent_arn: Option<Box<str>>,
    /// The id of the user, of the role of a session, or of the user behind a federated session.
    unique_id: Option<UniqueId>,
    /// Whether the caller is known by a provider's token only; its ARN is then the provider's.
    by_token: bool,
}

impl Principal {
    /// The root user of an account.
    #[must_use]
    pub fn root(account: AccountId) -> Self {
        Self::new(PrincipalKind::Root, account, account.root_arn(), None)
    }

    /// An IAM user. `path` begins and ends with `/`.
    #[must_use]
    pub fn user(account: AccountId, path: &str, name: &str) -> Self {
        let arn = format!("arn:{PARTITION}:iam::{account}:user{path}{name}");
        Self::new(PrincipalKind::User, account, arn, None)
    }

    /// A session of a role. `role_path` begins and ends with `/`; it is part of the role's ARN, not of the session's.
    #[must_use]
    pub fn role_session(account: AccountId, role_path: &str, role_name: &str, session_name: &str) -> Self {
        let arn = format!("arn:{PARTITION}:sts::{account}:assumed-role/{role_name}/{session_name}");
        let role = format!("arn:{PARTITION}:iam::{account}:role{role_path}{role_name}");
        Self::new(PrincipalKind::RoleSession, account, arn, Some(role.into()))
    }

    /// A GetFederationToken session of the user with `user_arn`.
    #[must_use]
    pub fn federated_user(account: AccountId, user_arn: &str, name: &str) -> Self {
        let arn = format!("arn:{PARTITION}:sts::{account}:federated-user/{name}");
        Self::new(PrincipalKind::FederatedUser, account, arn, Some(user_arn.into()))
    }

    /// The bearer of a token of the OpenID Connect provider with this ARN, who signs nothing and belongs to no account
    /// but asks for a role of the provider's. Only a Federated principal names it.
    #[must_use]
    pub fn web_identity(account: AccountId, provider_arn: &str) -> Self {
        let principal = Self::new(PrincipalKind::FederatedUser, account, provider_arn.to_owned(), None);
        Self { by_token: true, ..principal }
    }

    fn new(kind: PrincipalKind, account: AccountId, arn: String, parent_arn: Option<Box<str>>) -> Self {
        Self { kind, account, arn: arn.into(), parent_arn, unique_id: None, by_token: false }
    }

    /// The same caller with the unique id of its user or role (for a session the role's, for a federated session that
    /// of the user behind it). With one, names match that are bound to it, whatever they say; without one, only names
    /// that are bound to none.
    #[must_use]
    pub fn with_unique_id(self, id: UniqueId) -> Self {
        Self { unique_id: Some(id), ..self }
    }

    /// The unique id, if the caller was given one.
    #[must_use]
    pub const fn unique_id(&self) -> Option<&UniqueId> {
        self.unique_id.as_ref()
    }

    /// The provider whose token the caller bears; for all who sign their requests nothing.
    #[must_use]
    pub fn provider_arn(&self) -> Option<&str> {
        self.by_token.then_some(&*self.arn)
    }

    /// The sort of caller.
    #[must_use]
    pub const fn kind(&self) -> PrincipalKind {
        self.kind
    }

    /// The account that the caller belongs to.
    #[must_use]
    pub const fn account(&self) -> AccountId {
        self.account
    }

    /// The caller's ARN, as GetCallerIdentity and error messages show it.
    #[must_use]
    pub fn arn(&self) -> &str {
        &self.arn
    }

    /// The name of a role's session.
    pub(crate) fn session(&self) -> Option<&str> {
        if self.kind == PrincipalKind::RoleSession { self.arn.rsplit('/').next() } else { None }
    }

    /// The role of a role session, the user of a federated session; for others nothing.
    #[must_use]
    pub fn parent_arn(&self) -> Option<&str> {
        self.parent_arn.as_deref()
    }
}

impl fmt::Display for Principal {
    fn fmt(&self, formatter: &mut fmt::Formatter<'_>) -> fmt::Result {
        formatter.write_str(&self.arn)
    }
}

impl claviger_secret::LogSafe for Principal {}

/// A principal as a policy or a grant names it, already parsed. No wildcards except the lone `*`.
#[derive(Clone, Debug, PartialEq, Eq, PartialOrd, Ord, Hash)]
pub enum PrincipalName {
    /// `*`: everyone who signs a request.
    Everyone,
    /// An account: its root user, and whoever its IAM policies let.
    Account(AccountId),
    /// `arn:aws:iam::<account>:user/...`
    User(AccountId, Box<str>),
    /// `arn:aws:iam::<account>:role/...`
    Role(AccountId, Box<str>),
    /// `arn:aws:sts::<account>:assumed-role/<role>/<session>`
    RoleSession(AccountId, Box<str>),
    /// `arn:aws:sts::<account>:federated-user/<name>`
    FederatedUser(AccountId, Box<str>),
    /// `<service>.amazonaws.com`: a service that calls of its own accord. No caller of this server is one.
    Service(Box<str>),
    /// `arn:aws:iam::<account>:oidc-provider/<host and path>`: the bearers of that provider's tokens.
    Federated(AccountId, Box<str>),
}

/// The longest name of a service, as the model of CreateGrant has it.
const SERVICE_BYTES_MAX: usize = 128;

impl PrincipalName {
    /// Parses `*`, an account number, or an ARN of an account, user, role, role session or federated user.
    #[must_use]
    pub fn parse(text: &str) -> Option<Self> {
        if text == "*" {
            return Some(Self::Everyone);
        }
        if let Some(account) = AccountId::parse(text) {
            return Some(Self::Account(account));
        }
        let mut parts = text.splitn(6, ':');
        let (scheme, partition, service) = (parts.next()?, parts.next()?, parts.next()?);
        let (region, account, resource) = (parts.next()?, parts.next()?, parts.next()?);
        if scheme != "arn" || partition != PARTITION || !region.is_empty() {
            return None;
        }
        let account = AccountId::parse(account)?;
        if service == "iam" && resource == "root" {
            return Some(Self::Account(account));
        }
        let (kind, name) = resource.split_once('/')?;
        let names: Vec<&str> = name.split('/').collect();
        // A path may use more characters than a name; none may be a wildcard or a blank, which would hide a mistake.
        if !name.chars().all(|character| character.is_ascii_graphic() && !matches!(character, '*' | '?' | ':')) {
            return None;
        }
        if names.iter().any(|part| part.is_empty()) {
            return None;
        }
        match (service, kind, names.len()) {
            ("iam", "user", _) => Some(Self::User(account, text.into())),
            ("iam", "role", _) => Some(Self::Role(account, text.into())),
            ("sts", "assumed-role", 2) => Some(Self::RoleSession(account, text.into())),
            ("sts", "federated-user", 1) => Some(Self::FederatedUser(account, text.into())),
            _ => None,
        }
    }

    /// Parses the name of a service: at least one label before `amazonaws.com`.
    #[must_use]
    pub fn parse_service(text: &str) -> Option<Self> {
        let labels = text.strip_suffix(".amazonaws.com")?;
        let plain = |byte: u8| byte.is_ascii_lowercase() || byte.is_ascii_digit() || byte == b'-';
        let sound = labels.split('.').all(|label| !label.is_empty() && label.bytes().all(plain));
        (sound && text.len() <= SERVICE_BYTES_MAX).then(|| Self::Service(text.into()))
    }

    /// Parses the ARN of an OpenID Connect provider.
    #[must_use]
    pub fn parse_federated(text: &str) -> Option<Self> {
        let rest = text.strip_prefix("arn:")?.strip_prefix(PARTITION)?.strip_prefix(":iam::")?;
        let (account, resource) = rest.split_once(':')?;
        let url = resource.strip_prefix("oidc-provider/")?;
        let plain = |character: char| character.is_ascii_graphic() && !matches!(character, '*' | '?' | ':');
        let sound = !url.is_empty() && url.chars().all(plain) && url.split('/').all(|part| !part.is_empty());
        let account = AccountId::parse(account)?;
        sound.then(|| Self::Federated(account, text.into()))
    }

    /// The account in the name; none for everyone and for a service.
    #[must_use]
    pub const fn account(&self) -> Option<AccountId> {
        match self {
            Self::Everyone | Self::Service(_) => None,
            Self::Account(account)
            | Self::User(account, _)
            | Self::Role(account, _)
            | Self::RoleSession(account, _)
            | Self::FederatedUser(account, _)
            | Self::Federated(account, _) => Some(*account),
        }
    }

    /// The issuer whose tokens the name means: the provider's URL without its scheme.
    pub(crate) fn issuer(&self) -> Option<&str> {
        match self {
            Self::Federated(_, arn) => arn.split_once(":oidc-provider/").map(|(_, issuer)| issuer),
            _ => None,
        }
    }

    /// The ARN of a name that IAM knows by a unique id too: a user, a role, a session of a role (by its role's).
    pub(crate) fn bindable_arn(&self) -> Option<&str> {
        match self {
            Self::User(_, arn) | Self::Role(_, arn) | Self::RoleSession(_, arn) => Some(arn),
            Self::Everyone | Self::Account(_) | Self::FederatedUser(..) | Self::Service(_) | Self::Federated(..) => {
                None
            }
        }
    }

    /// The same ARN, or that of a federated session, which has no id.
    pub(crate) fn entity_arn(&self) -> Option<&str> {
        match self {
            Self::FederatedUser(_, arn) => Some(arn),
            other => other.bindable_arn(),
        }
    }

    /// The name of a role's session.
    pub(crate) fn session(&self) -> Option<&str> {
        match self {
            Self::RoleSession(_, arn) => arn.rsplit('/').next(),
            _ => None,
        }
    }

    /// Whether the id can be this name's.
    pub(crate) fn fits(&self, id: &UniqueId) -> bool {
        match self {
            Self::User(..) => id.0.starts_with(USER_ID_HEAD),
            Self::Role(..) | Self::RoleSession(..) => id.0.starts_with(ROLE_ID_HEAD),
            _ => false,
        }
    }
}

impl fmt::Display for PrincipalName {
    fn fmt(&self, formatter: &mut fmt::Formatter<'_>) -> fmt::Result {
        match self {
            Self::Everyone => formatter.write_str("*"),
            Self::Account(account) => write!(formatter, "arn:{PARTITION}:iam::{account}:root"),
            Self::User(_, name)
            | Self::Role(_, name)
            | Self::RoleSession(_, name)
            | Self::FederatedUser(_, name)
            | Self::Service(name)
            | Self::Federated(_, name) => formatter.write_str(name),
        }
    }
}

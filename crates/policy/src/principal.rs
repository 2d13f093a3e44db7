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

/// What sort of caller a [`Principal`] is.
#[derive(Clone, Copy, Debug, PartialEq, Eq, Hash)]
pub enum PrincipalKind {
    /// The account's root user.
    Root,
    /// An IAM user.
    User,
    /// A session of a role.
    RoleSession,
    /// A session that a user made by GetFederationToken.
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
}

impl Principal {
    /// The root user of an account.
    #[must_use]
    pub fn root(account: AccountId) -> Self {
        Self { kind: PrincipalKind::Root, account, arn: account.root_arn().into(), parent_arn: None }
    }

    /// An IAM user. `path` begins and ends with `/`.
    #[must_use]
    pub fn user(account: AccountId, path: &str, name: &str) -> Self {
        let arn = format!("arn:{PARTITION}:iam::{account}:user{path}{name}");
        Self { kind: PrincipalKind::User, account, arn: arn.into(), parent_arn: None }
    }

    /// A session of a role. `role_path` begins and ends with `/`; it is part of the role's ARN, not of the session's.
    #[must_use]
    pub fn role_session(account: AccountId, role_path: &str, role_name: &str, session_name: &str) -> Self {
        let arn = format!("arn:{PARTITION}:sts::{account}:assumed-role/{role_name}/{session_name}");
        let role = format!("arn:{PARTITION}:iam::{account}:role{role_path}{role_name}");
        Self { kind: PrincipalKind::RoleSession, account, arn: arn.into(), parent_arn: Some(role.into()) }
    }

    /// A GetFederationToken session of the user with `user_arn`.
    #[must_use]
    pub fn federated_user(account: AccountId, user_arn: &str, name: &str) -> Self {
        let arn = format!("arn:{PARTITION}:sts::{account}:federated-user/{name}");
        Self { kind: PrincipalKind::FederatedUser, account, arn: arn.into(), parent_arn: Some(user_arn.into()) }
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
}

/// How closely a name covers a caller; later is stronger.
#[derive(Clone, Copy, Debug, PartialEq, Eq, PartialOrd, Ord)]
pub(crate) enum Cover {
    /// The caller's account is named: its IAM policies decide.
    Delegated,
    /// The caller's role, or the user behind its session, is named: boundary and session policy still limit it.
    Limited,
    /// The caller itself is named.
    Direct,
}

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

    /// The account in the name; none for everyone.
    #[must_use]
    pub const fn account(&self) -> Option<AccountId> {
        match self {
            Self::Everyone => None,
            Self::Account(account)
            | Self::User(account, _)
            | Self::Role(account, _)
            | Self::RoleSession(account, _)
            | Self::FederatedUser(account, _) => Some(*account),
        }
    }

    /// How this name covers the caller, if it does.
    pub(crate) fn cover(&self, principal: &Principal) -> Option<Cover> {
        match self {
            Self::Everyone => Some(Cover::Direct),
            Self::Account(account) if *account != principal.account => None,
            Self::Account(_) if principal.kind == PrincipalKind::Root => Some(Cover::Direct),
            Self::Account(_) => Some(Cover::Delegated),
            Self::User(_, arn) | Self::Role(_, arn) | Self::RoleSession(_, arn) | Self::FederatedUser(_, arn) => {
                if **arn == *principal.arn {
                    Some(Cover::Direct)
                } else if principal.parent_arn.as_deref() == Some(&**arn) {
                    Some(Cover::Limited)
                } else {
                    None
                }
            }
        }
    }
}

impl fmt::Display for PrincipalName {
    fn fmt(&self, formatter: &mut fmt::Formatter<'_>) -> fmt::Result {
        match self {
            Self::Everyone => formatter.write_str("*"),
            Self::Account(account) => write!(formatter, "arn:{PARTITION}:iam::{account}:root"),
            Self::User(_, arn) | Self::Role(_, arn) | Self::RoleSession(_, arn) | Self::FederatedUser(_, arn) => {
                formatter.write_str(arn)
            }
        }
    }
}

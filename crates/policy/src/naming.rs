//! Whether names cover a caller: by what they say, and by the unique ids that they were bound to.

use crate::decide::Effect;
use crate::principal::{AccountId, Principal, PrincipalKind, PrincipalName, UniqueId};

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

/// How a statement's principals stand to the caller.
#[derive(Clone, Copy, Debug, PartialEq, Eq)]
pub enum Naming {
    /// Not named.
    NotNamed,
    /// Named by its ARN, but the name was bound to another unique id, or to none while the caller has one.
    OtherId,
    /// Only its account is named.
    Account,
    /// Its role is named, or the user behind its session.
    Parent,
    /// It is named itself, or everyone is.
    Caller,
}

impl Naming {
    pub(crate) const fn cover(self) -> Option<Cover> {
        match self {
            Self::NotNamed | Self::OtherId => None,
            Self::Account => Some(Cover::Delegated),
            Self::Parent => Some(Cover::Limited),
            Self::Caller => Some(Cover::Direct),
        }
    }
}

/// The unique ids of the users and roles that a document names, sorted by ARN.
#[derive(Clone, Debug, Default)]
pub(crate) struct Bindings(Box<[(PrincipalName, UniqueId)]>);

impl Bindings {
    /// Drops what cannot be bound: a name without it is refused to whoever has an id.
    pub(crate) fn new(bindings: impl IntoIterator<Item = (PrincipalName, UniqueId)>) -> Self {
        let mut all: Vec<_> = bindings.into_iter().filter(|(name, id)| name.fits(id)).collect();
        all.sort_by(|(one, _), (other, _)| one.bindable_arn().cmp(&other.bindable_arn()));
        all.dedup_by(|(one, _), (other, _)| one == other);
        Self(all.into())
    }

    pub(crate) fn as_slice(&self) -> &[(PrincipalName, UniqueId)] {
        &self.0
    }

    pub(crate) fn find(&self, arn: &str) -> Option<&UniqueId> {
        let index = self.0.binary_search_by(|(name, _)| name.bindable_arn().cmp(&Some(arn))).ok()?;
        self.0.get(index).map(|(_, id)| id)
    }
}

/// Whether a name with this binding means the caller, whose ARN it has: an id must meet the same id, none must meet
/// none. If only one side has an id nobody can tell, which a Deny counts against the caller.
fn is_same_entity(bound_to: Option<&UniqueId>, caller: &Principal, effect: Effect) -> bool {
    match (bound_to, caller.unique_id()) {
        (Some(bound), Some(id)) => bound == id,
        (None, None) => true,
        (Some(_), None) | (None, Some(_)) => effect == Effect::Deny,
    }
}

/// The ids of principals that a statement names, sorted for search.
#[derive(Debug)]
pub(crate) struct Principals {
    everyone: bool,
    accounts: Box<[AccountId]>,
    arns: Box<[Box<str>]>,
    providers: Box<[Box<str>]>,
}

impl Principals {
    pub(crate) fn new(names: &[PrincipalName]) -> Self {
        let mut accounts = Vec::new();
        let (mut arns, mut providers): (Vec<Box<str>>, Vec<Box<str>>) = (Vec::new(), Vec::new());
        let mut everyone = false;
        for name in names {
            match name {
                PrincipalName::Everyone => everyone = true,
                PrincipalName::Account(account) => accounts.push(*account),
                PrincipalName::User(_, arn)
                | PrincipalName::Role(_, arn)
                | PrincipalName::RoleSession(_, arn)
                | PrincipalName::FederatedUser(_, arn) => arns.push(arn.clone()),
                PrincipalName::Federated(_, arn) => providers.push(arn.clone()),
                // No caller is one, so there is nothing to compare.
                PrincipalName::Service(_) => {}
            }
        }
        accounts.sort_unstable();
        arns.sort_unstable();
        providers.sort_unstable();
        Self { everyone, accounts: accounts.into(), arns: arns.into(), providers: providers.into() }
    }

    /// The closest that any of the names comes to the caller, in a statement of this effect.
    pub(crate) fn naming(&self, caller: &Principal, bindings: &Bindings, effect: Effect) -> Naming {
        if let Some(provider) = caller.provider_arn() {
            // Everyone means everyone who signs; but a Deny for everyone is meant for all.
            let named = self.has_provider(provider) || self.everyone && effect == Effect::Deny;
            return if named { Naming::Caller } else { Naming::NotNamed };
        }
        let own = self.entity(caller.arn(), own_is_bindable(caller), caller, bindings, effect);
        if self.everyone || own == Some(true) {
            return Naming::Caller;
        }
        let account = self.has_account(caller);
        if account && caller.kind() == PrincipalKind::Root {
            return Naming::Caller;
        }
        let parent = caller.parent_arn().and_then(|arn| self.entity(arn, true, caller, bindings, effect));
        if parent == Some(true) {
            Naming::Parent
        } else if account {
            Naming::Account
        } else if own.or(parent).is_some() {
            Naming::OtherId
        } else {
            Naming::NotNamed
        }
    }

    /// Whether the names spare the caller from a statement about everybody but them. Each thing that the caller is must
    /// be named: its account, its role or the user behind it, and itself.
    pub(crate) fn spares(&self, caller: &Principal, bindings: &Bindings) -> bool {
        if let Some(provider) = caller.provider_arn() {
            return self.has_provider(provider);
        }
        let named = |arn, bindable| self.entity(arn, bindable, caller, bindings, Effect::Allow) == Some(true);
        self.has_account(caller)
            && (caller.kind() == PrincipalKind::Root || named(caller.arn(), own_is_bindable(caller)))
            && caller.parent_arn().is_none_or(|arn| named(arn, true))
    }

    /// Whether the entity with this ARN is named: `None` if its ARN is not, `Some(false)` if only the ARN is.
    fn entity(&self, arn: &str, bindable: bool, caller: &Principal, at: &Bindings, effect: Effect) -> Option<bool> {
        self.arns.binary_search_by(|name| (**name).cmp(arn)).ok()?;
        Some(!bindable || is_same_entity(at.find(arn), caller, effect))
    }

    fn has_account(&self, caller: &Principal) -> bool {
        self.accounts.binary_search(&caller.account()).is_ok()
    }

    fn has_provider(&self, arn: &str) -> bool {
        self.providers.binary_search_by(|name| (**name).cmp(arn)).is_ok()
    }
}

/// A federated session is no entity of IAM and has no id; its name is all there is.
fn own_is_bindable(caller: &Principal) -> bool {
    caller.kind() != PrincipalKind::FederatedUser
}

/// How a single name, bound to this id, covers the caller when it gives something: the rule of an Allow statement.
pub(crate) fn cover(name: &PrincipalName, bound_to: Option<&UniqueId>, caller: &Principal) -> Option<Cover> {
    if caller.provider_arn().is_some() {
        return None;
    }
    let by_arn = |arn: &str, bindable: bool| {
        let own = arn == caller.arn();
        let covers = own || caller.parent_arn() == Some(arn);
        let same = !bindable || is_same_entity(bound_to, caller, Effect::Allow);
        (covers && same).then_some(if own { Cover::Direct } else { Cover::Limited })
    };
    match name {
        PrincipalName::Everyone => Some(Cover::Direct),
        PrincipalName::Service(_) | PrincipalName::Federated(..) => None,
        PrincipalName::Account(account) if *account != caller.account() => None,
        PrincipalName::Account(_) if caller.kind() == PrincipalKind::Root => Some(Cover::Direct),
        PrincipalName::Account(_) => Some(Cover::Delegated),
        PrincipalName::User(_, arn) | PrincipalName::Role(_, arn) | PrincipalName::RoleSession(_, arn) => {
            by_arn(arn, true)
        }
        PrincipalName::FederatedUser(_, arn) => by_arn(arn, false),
    }
}

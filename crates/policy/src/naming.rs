//! Whether names cover a caller: by the unique ids that they were bound to, whatever the caller is called now, and by
//! what they say.

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
    /// Named by the ARN that it has now, but the name was bound to another unique id, or to none while the caller has
    /// one.
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

/// The unique ids of the users and roles that a document names.
#[derive(Clone, Debug, Default)]
pub(crate) struct Bindings {
    /// Sorted by ARN.
    names: Box<[(PrincipalName, UniqueId)]>,
    /// The places in `names`, sorted by id and the name of a session.
    by_id: Box<[usize]>,
}

impl Bindings {
    /// Drops what cannot be bound: a name without it is refused to whoever has an id.
    pub(crate) fn new(bindings: impl IntoIterator<Item = (PrincipalName, UniqueId)>) -> Self {
        let mut all: Vec<_> = bindings.into_iter().filter(|(name, id)| name.fits(id)).collect();
        all.sort_by(|(one, _), (other, _)| one.bindable_arn().cmp(&other.bindable_arn()));
        all.dedup_by(|(one, _), (other, _)| one == other);
        let mut by_id: Vec<usize> = (0..all.len()).collect();
        by_id.sort_by_key(|place| all.get(*place).map(Self::identity));
        Self { names: all.into(), by_id: by_id.into() }
    }

    pub(crate) fn as_slice(&self) -> &[(PrincipalName, UniqueId)] {
        &self.names
    }

    pub(crate) fn find(&self, arn: &str) -> Option<&UniqueId> {
        let index = self.names.binary_search_by(|(name, _)| name.bindable_arn().cmp(&Some(arn))).ok()?;
        self.names.get(index).map(|(_, id)| id)
    }

    fn identity((name, id): &(PrincipalName, UniqueId)) -> (&UniqueId, Option<&str>) {
        (id, name.session())
    }

    /// The ARNs by which the document means the user or role with this id, or this session of the role.
    fn arns(&self, id: &UniqueId, session: Option<&str>) -> impl Iterator<Item = &str> {
        let at = |place: &usize| self.names.get(*place);
        let wanted = Some((id, session));
        let start = self.by_id.partition_point(|place| at(place).map(Self::identity) < wanted);
        let from_there = self.by_id.get(start..).unwrap_or_default().iter().filter_map(at);
        from_there
            .take_while(move |bound| Some(Self::identity(bound)) == wanted)
            .filter_map(|(name, _)| name.bindable_arn())
    }
}

/// Whether a name with this binding, which the caller does not have by its id, means the caller, whose ARN it has: who
/// has no id is meant by names that are bound to none. If only one side has an id nobody can tell, which a Deny counts
/// against the caller.
fn is_same_by_arn(bound_to: Option<&UniqueId>, caller: &Principal, effect: Effect) -> bool {
    match (bound_to, caller.unique_id()) {
        (Some(_), Some(_)) => false,
        (None, None) => true,
        (Some(_), None) | (None, Some(_)) => effect == Effect::Deny,
    }
}

/// Which of the two things that a caller may be.
#[derive(Clone, Copy, PartialEq, Eq)]
enum Part {
    /// Itself.
    Own,
    /// The role of its session, or the user behind it.
    Parent,
}

impl Part {
    fn arn(self, caller: &Principal) -> Option<&str> {
        match self {
            Self::Own => Some(caller.arn()),
            Self::Parent => caller.parent_arn(),
        }
    }

    /// The unique id, and for a session of a role the session's name.
    fn identity(self, caller: &Principal) -> Option<(&UniqueId, Option<&str>)> {
        let id = caller.unique_id()?;
        match (self, caller.kind()) {
            // A federated session is no entity of IAM and has no id; its name is all there is.
            (Self::Own, PrincipalKind::FederatedUser) => None,
            (Self::Own, _) => Some((id, caller.session())),
            (Self::Parent, _) => Some((id, None)),
        }
    }

    fn is_bindable(self, caller: &Principal) -> bool {
        self == Self::Parent || caller.kind() != PrincipalKind::FederatedUser
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
        let own = self.entity(Part::Own, caller, bindings, effect);
        if self.everyone || own == Some(true) {
            return Naming::Caller;
        }
        let account = self.has_account(caller);
        if account && caller.kind() == PrincipalKind::Root {
            return Naming::Caller;
        }
        let parent = self.entity(Part::Parent, caller, bindings, effect);
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
        let named = |part| self.entity(part, caller, bindings, Effect::Allow) == Some(true);
        self.has_account(caller)
            && (caller.kind() == PrincipalKind::Root || named(Part::Own))
            && (caller.parent_arn().is_none() || named(Part::Parent))
    }

    /// Whether the caller or its parent is named: by the id that a name was bound to, whatever the ARN says now, and
    /// otherwise by the ARN. `None` if neither has been named, `Some(false)` if only the ARN is.
    fn entity(&self, part: Part, caller: &Principal, bindings: &Bindings, effect: Effect) -> Option<bool> {
        let arn = part.arn(caller)?;
        if let Some((id, session)) = part.identity(caller)
            && bindings.arns(id, session).any(|arn| self.has_arn(arn))
        {
            return Some(true);
        }
        self.has_arn(arn).then(|| !part.is_bindable(caller) || is_same_by_arn(bindings.find(arn), caller, effect))
    }

    fn has_arn(&self, arn: &str) -> bool {
        self.arns.binary_search_by(|name| (**name).cmp(arn)).is_ok()
    }

    fn has_account(&self, caller: &Principal) -> bool {
        self.accounts.binary_search(&caller.account()).is_ok()
    }

    fn has_provider(&self, arn: &str) -> bool {
        self.providers.binary_search_by(|name| (**name).cmp(arn)).is_ok()
    }
}

/// How a single name, bound to this id, covers the caller when it gives something: the rule of an Allow statement.
pub(crate) fn cover(name: &PrincipalName, bound_to: Option<&UniqueId>, caller: &Principal) -> Option<Cover> {
    if caller.provider_arn().is_some() {
        return None;
    }
    let part = |part: Part| {
        let by_id = bound_to.filter(|id| name.fits(id)).map(|id| (id, name.session()));
        let by_arn = || {
            let same = !part.is_bindable(caller) || is_same_by_arn(bound_to, caller, Effect::Allow);
            same && name.entity_arn().is_some() && name.entity_arn() == part.arn(caller)
        };
        by_id.is_some() && by_id == part.identity(caller) || by_arn()
    };
    match name {
        PrincipalName::Everyone => Some(Cover::Direct),
        PrincipalName::Service(_) | PrincipalName::Federated(..) => None,
        PrincipalName::Account(account) if *account != caller.account() => None,
        PrincipalName::Account(_) if caller.kind() == PrincipalKind::Root => Some(Cover::Direct),
        PrincipalName::Account(_) => Some(Cover::Delegated),
        PrincipalName::User(..)
        | PrincipalName::Role(..)
        | PrincipalName::RoleSession(..)
        | PrincipalName::FederatedUser(..) => {
            if part(Part::Own) {
                Some(Cover::Direct)
            } else {
                part(Part::Parent).then_some(Cover::Limited)
            }
        }
    }
}

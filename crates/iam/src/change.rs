//! What many operations write.

use claviger_engine::{Call, Fault, Record, RowKey, Writes};

use crate::arn::Kind;
use crate::records::{
    Detail, Fence, Identity, LastUse, NameOf, Policy, Tally, identity_key, last_use_key, name_key, policy_key,
    tally_key, use_key,
};
use crate::{IamError, find};

/// Stores a user, group or role that was read in this call.
pub(crate) fn save(call: &Call<'_>, writes: &mut Writes, identity: Identity) -> Result<(), Fault> {
    writes.put(call, identity_key(&identity.id), identity)
}

/// Stores a managed policy that was read in this call.
pub(crate) fn save_policy(call: &Call<'_>, writes: &mut Writes, policy: Policy) -> Result<(), Fault> {
    writes.put(call, policy_key(&policy.id), policy)
}

/// Stores what the account has.
pub(crate) fn save_tally(call: &Call<'_>, writes: &mut Writes, tally: Tally) -> Result<(), Fault> {
    writes.put(call, tally_key(call.caller().account()), tally)
}

/// Takes a name for something of this unique id, or says that it is taken.
pub(crate) async fn take_name(
    call: &mut Call<'_>,
    writes: &mut Writes,
    (word, name): (&str, &str),
    named: NameOf,
    taken: impl FnOnce() -> IamError,
) -> Result<(), IamError> {
    let key = name_key(call.caller().account(), word, name);
    if call.row::<NameOf>(&key).await?.is_some() {
        return Err(taken());
    }
    writes.put(call, key, named)?;
    Ok(())
}

/// How a managed policy is used.
#[derive(Clone, Copy, PartialEq, Eq)]
pub(crate) enum Use {
    Attached,
    Boundary,
}

impl Use {
    const fn word(self) -> &'static str {
        match self {
            Self::Attached => "attached",
            Self::Boundary => "boundary",
        }
    }

    /// The end of the row that lists such a use by this entity.
    pub(crate) fn row(self, kind: Kind, id: &str) -> String {
        format!("{}/{}/{id}", self.word(), kind.word())
    }

    /// The use, kind and unique id in the end of such a row.
    pub(crate) fn parse(row: &str) -> Option<(Self, Kind, &str)> {
        let mut parts = row.splitn(3, '/');
        let (used, kind) = (parts.next()?, parts.next()?);
        let used = [Self::Attached, Self::Boundary].into_iter().find(|one| one.word() == used)?;
        let kind = [Kind::User, Kind::Group, Kind::Role].into_iter().find(|one| one.word() == kind)?;
        Some((used, kind, parts.next()?))
    }
}

/// Notes on a policy that it is used, or no longer used, by an entity; the policy is stored again, so that its deletion
/// at the same time makes one of the two run again.
pub(crate) async fn note_use(
    call: &mut Call<'_>,
    writes: &mut Writes,
    policy: &mut Policy,
    (used, kind, id): (Use, Kind, &str),
    begins: bool,
) -> Result<(), Fault> {
    let key = use_key(&policy.id, &used.row(kind, id));
    call.row::<Fence>(&key).await?;
    let count = match used {
        Use::Attached => &mut policy.attachments,
        Use::Boundary => &mut policy.boundaries,
    };
    if begins {
        *count = count.saturating_add(1);
        writes.put(call, key, Fence)
    } else {
        *count = count.saturating_sub(1);
        writes.delete(key);
        Ok(())
    }
}

/// Makes a user, group or role, within the account's quota and with its permissions boundary if it has one.
pub(crate) async fn create(
    call: &mut Call<'_>,
    writes: &mut Writes,
    mut identity: Identity,
    boundary: Option<&String>,
) -> Result<Identity, IamError> {
    let (kind, name) = (identity.kind(), identity.name.clone());
    let taken = || IamError::EntityAlreadyExists(format!("{} with name {name} already exists.", kind.title()));
    let named = NameOf { id: identity.id.clone(), path: identity.path.clone() };
    take_name(call, writes, (kind.word(), &name), named, taken).await?;
    let mut tally = find::tally(call).await?;
    let count = tally.of(kind);
    if *count >= kind.most() {
        return Err(IamError::quota(&format!("{}sPerAccount", kind.title()), kind.most()));
    }
    *count = count.saturating_add(1);
    save_tally(call, writes, tally)?;
    if let Some(boundary) = boundary {
        let mut policy = Policy::clone(&*find::boundary(call, boundary).await?);
        note_use(call, writes, &mut policy, (Use::Boundary, kind, &identity.id), true).await?;
        identity.boundary = Some(policy.id.clone());
        save_policy(call, writes, policy)?;
    }
    demand_new::<Identity>(call, &identity_key(&identity.id)).await?;
    save(call, writes, identity.clone())?;
    Ok(identity)
}

/// A row with a fresh random id that is there already: the call runs again with another.
pub(crate) async fn demand_new<R: Record>(call: &mut Call<'_>, key: &RowKey) -> Result<(), Fault> {
    if call.row::<R>(key).await?.is_some() { Err(Fault::Contention) } else { Ok(()) }
}

/// Deletes a user, group or role on which nothing hangs any more.
pub(crate) async fn delete(call: &mut Call<'_>, identity: &Identity) -> Result<Writes, IamError> {
    let conflict = |what: &str| Err(IamError::DeleteConflict(format!("Cannot delete entity, must {what} first.")));
    match &identity.detail {
        Detail::User(user) if !user.access_keys.is_empty() => return conflict("delete access keys"),
        Detail::User(user) if !user.devices.is_empty() => return conflict("delete MFA device"),
        Detail::Group(members) if *members > 0 => return conflict("remove users from group"),
        _ => {}
    }
    if !identity.attached.is_empty() {
        return conflict("detach all policies");
    }
    if !identity.inline.is_empty() {
        return conflict("delete policies");
    }
    if let Detail::User(user) = &identity.detail
        && !user.groups.is_empty()
    {
        return conflict("remove users from group");
    }
    let mut writes = Writes::default();
    let kind = identity.kind();
    if let Some(boundary) = &identity.boundary {
        let mut policy = Policy::clone(&*find::demand::<Policy>(call, &policy_key(boundary)).await?);
        note_use(call, &mut writes, &mut policy, (Use::Boundary, kind, &identity.id), false).await?;
        save_policy(call, &mut writes, policy)?;
    }
    let last_use = last_use_key(&identity.id);
    if call.row::<LastUse>(&last_use).await?.is_some() {
        writes.delete(last_use);
    }
    let mut tally = find::tally(call).await?;
    let count = tally.of(kind);
    *count = count.saturating_sub(1);
    save_tally(call, &mut writes, tally)?;
    writes.delete(name_key(&identity.account, kind.word(), &identity.name));
    writes.delete(identity_key(&identity.id));
    Ok(writes)
}

/// Gives a user or group another name or path; it stays the same entity.
pub(crate) async fn rename(
    call: &mut Call<'_>,
    identity: &Identity,
    new_path: Option<&String>,
    new_name: Option<&String>,
) -> Result<Writes, IamError> {
    let (mut writes, mut new) = (Writes::default(), identity.clone());
    new.path = new_path.unwrap_or(&identity.path).clone();
    new.name = new_name.unwrap_or(&identity.name).clone();
    let word = identity.kind().word();
    let (old, named) =
        (name_key(&identity.account, word, &identity.name), NameOf { id: new.id.clone(), path: new.path.clone() });
    if name_key(&identity.account, word, &new.name) == old {
        writes.put(call, old, named)?;
    } else {
        let title = identity.kind().title();
        let taken = || IamError::EntityAlreadyExists(format!("{title} with name {} already exists.", new.name));
        take_name(call, &mut writes, (word, &new.name), named, taken).await?;
        writes.delete(old);
    }
    save(call, &mut writes, new)?;
    Ok(writes)
}

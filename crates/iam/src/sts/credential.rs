//! From an access key id, and perhaps a session token, to whom they stand for.

use std::sync::Arc;

use claviger_engine::{Call, Credential, Fault, Presented, PrincipalTraits, Session};
use claviger_policy::{AccountId, Document, Principal, is_same_key};
use claviger_secret::SecretBytes;

use super::token::{self, Issued, Subject};
use crate::arn::Kind;
use crate::authorization::{bound, user};
use crate::documents;
use crate::records::{
    AccessKey, Identity, Policy, PolicyText, Tags, access_key_key, identity_key, policy_key, version_key,
};

/// What a claim stands for. A token speaks for itself; without one, only a long-term access key does.
pub(crate) async fn presented(
    call: &mut Call<'_>,
    access_key_id: &str,
    session_token: Option<&str>,
) -> Result<Presented, Fault> {
    // The row is looked for in either case, so that a token does not make a difference that can be measured.
    let row = call.row::<AccessKey>(&access_key_key(access_key_id)).await?;
    if let Some(token) = session_token {
        return of_token(call, access_key_id, token).await;
    }
    let Some(row) = row.filter(|row| row.record.active) else { return Ok(Presented::Unknown) };
    let account = account(&row.record.account, access_key_id)?;
    let (principal, traits) = match &row.record.user {
        None => (Principal::root(account), PrincipalTraits::default()),
        Some(id) => match call.row::<Identity>(&identity_key(id)).await? {
            None => return Ok(Presented::Unknown),
            Some(found) => user(account, &found.record),
        },
    };
    let secret = SecretBytes::from_slice(row.record.secret.expose());
    let credential = Credential { secret, principal, account: row.record.account.clone(), traits };
    Ok(Presented::Known(Box::new(credential), Some(row.seen)))
}

fn account(text: &str, access_key_id: &str) -> Result<AccountId, Fault> {
    AccountId::parse(text).ok_or_else(|| Fault::RecordMalformed(access_key_id.to_owned()))
}

async fn of_token(call: &mut Call<'_>, access_key_id: &str, token: &str) -> Result<Presented, Fault> {
    let Some((secret, issued)) = token::open(call.keys(), access_key_id, token) else {
        return Ok(Presented::Unknown);
    };
    if issued.until <= call.wall() {
        return Ok(Presented::Expired);
    }
    let account = account(&issued.account, access_key_id)?;
    let entity = match &issued.subject {
        Subject::Role { id, .. } | Subject::User(Some(id)) | Subject::Federated { user: Some(id), .. } => {
            // By unique id: one of that name that was made later is another.
            match call.row::<Identity>(&identity_key(id)).await? {
                Some(found) => Some(found.record),
                None => return Ok(Presented::Unknown),
            }
        }
        Subject::User(None) | Subject::Federated { user: None, .. } => {
            if !is_root_key_active(call, &issued).await? {
                return Ok(Presented::Unknown);
            }
            None
        }
    };
    let Some((principal, mut traits)) = principal(account, &issued.subject, entity.as_deref()) else {
        return Ok(Presented::Unknown);
    };
    traits.tags = overridden(traits.tags, &issued.tags);
    traits.session = Some(session(call, &issued).await?);
    Ok(Presented::Known(Box::new(Credential { secret, principal, account: issued.account, traits }), None))
}

/// Whether the access key by which a root made the session still works: who replaces a key that leaked must be rid of
/// its sessions too.
async fn is_root_key_active(call: &mut Call<'_>, issued: &Issued) -> Result<bool, Fault> {
    let Some(id) = &issued.root_key else { return Ok(false) };
    let row = call.row::<AccessKey>(&access_key_key(id)).await?;
    Ok(row.is_some_and(|row| row.record.active && row.record.user.is_none() && row.record.account == issued.account))
}

/// The caller of a session, with the tags of its role or user. None when the entity is of another kind than the token
/// says, which a sound deployment never has.
fn principal(account: AccountId, subject: &Subject, entity: Option<&Identity>) -> Option<(Principal, PrincipalTraits)> {
    let traits =
        |unique_id: Option<String>, tags: Tags| PrincipalTraits { unique_id, tags, ..PrincipalTraits::default() };
    match (subject, entity) {
        (Subject::Role { id, name }, Some(role)) if role.kind() == Kind::Role => {
            let principal = bound(Principal::role_session(account, &role.path, &role.name, name), id);
            Some((principal, traits(Some(format!("{id}:{name}")), role.tags.clone())))
        }
        (Subject::User(Some(_)), Some(found)) if found.kind() == Kind::User => Some(user(account, found)),
        (Subject::User(None), None) => Some((Principal::root(account), PrincipalTraits::default())),
        (Subject::Federated { user: Some(id), name }, Some(found)) if found.kind() == Kind::User => {
            let principal = bound(Principal::federated_user(account, &found.arn(), name), id);
            Some((principal, traits(Some(format!("{account}:{name}")), found.tags.clone())))
        }
        (Subject::Federated { user: None, name }, None) => {
            let principal = Principal::federated_user(account, &account.root_arn(), name);
            Some((principal, traits(Some(format!("{account}:{name}")), Tags::new())))
        }
        _ => None,
    }
}

/// Session tags take the place of those of the role or user, whatever their letter case.
fn overridden(mut tags: Tags, of_session: &[(String, String)]) -> Tags {
    tags.retain(|(key, _)| !of_session.iter().any(|(other, _)| is_same_key(key, other)));
    tags.extend_from_slice(of_session);
    tags
}

async fn session(call: &mut Call<'_>, issued: &Issued) -> Result<Session, Fault> {
    let is_transitive = |key: &str| issued.transitive.iter().any(|other| is_same_key(key, other));
    Ok(Session {
        second_factor_at: issued.second_factor_at,
        source_identity: issued.source_identity.clone(),
        federated_provider: issued.provider.clone(),
        policies: policies(call, issued.policy.as_deref(), &issued.policies).await?,
        transitive_tags: issued.tags.iter().filter(|(key, _)| is_transitive(key)).cloned().collect(),
        claims: issued.claims.clone(),
        ..Session::issued_at(issued.at)
    })
}

/// The session policies, the managed ones as they stand now. One that is gone, or that is not understood, might have
/// denied: it denies everything.
pub(crate) async fn policies(
    call: &mut Call<'_>,
    text: Option<&str>,
    managed: &[String],
) -> Result<Option<Vec<Arc<Document>>>, Fault> {
    if text.is_none() && managed.is_empty() {
        return Ok(None);
    }
    let mut found = Vec::new();
    if let Some(text) = text {
        found.push(Arc::new(documents::compile(text).unwrap_or_else(|_| Document::unreadable(text))));
    }
    for id in managed {
        let managed = match call.row::<Policy>(&policy_key(id)).await? {
            None => None,
            Some(policy) => {
                let text = call.row::<PolicyText>(&version_key(id, policy.record.default)).await?;
                text.map(|text| Arc::clone(&text.record.document))
            }
        };
        found.push(managed.unwrap_or_else(|| Arc::new(Document::unreadable(""))));
    }
    Ok(Some(found))
}

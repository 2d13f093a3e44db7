//! Users, roles and their policies, for tests that need callers other than root users.

use std::collections::BTreeMap;
use std::sync::{Arc, Mutex, MutexGuard};

use claviger_engine::{
    BoxFuture, Call, CallerPolicies, Credential, Fault, Identities, Presented, PrincipalTraits, Standing,
};
use claviger_kms::CONDITION_TABLES;
use claviger_policy::{AccountId, Document, Limits, Principal, PrincipalName, UniqueId};
use claviger_secret::SecretBytes;

/// The secret access key of everybody.
pub(crate) const SECRET: &[u8] = b"secret";

#[derive(Default)]
struct State {
    /// Who is there, by ARN.
    ids: BTreeMap<String, UniqueId>,
    /// Who signs with which access key id, and what their own side allows.
    callers: BTreeMap<String, (Principal, CallerPolicies)>,
    made: u32,
}

/// An identity service of a test. Access key ids of twelve digits are root users'.
#[derive(Default)]
pub(crate) struct People(Mutex<State>);

pub(crate) fn account(text: &str) -> AccountId {
    AccountId::parse(text).unwrap()
}

pub(crate) fn user_arn(account: &str, name: &str) -> String {
    format!("arn:aws:iam::{account}:user/{name}")
}

pub(crate) fn role_arn(account: &str, name: &str) -> String {
    format!("arn:aws:iam::{account}:role/team/{name}")
}

pub(crate) fn session_arn(account: &str, role: &str, session: &str) -> String {
    format!("arn:aws:sts::{account}:assumed-role/{role}/{session}")
}

impl People {
    fn state(&self) -> MutexGuard<'_, State> {
        self.0.lock().unwrap()
    }

    fn id(&self, head: &str) -> UniqueId {
        let mut state = self.state();
        state.made += 1;
        UniqueId::parse(&format!("{head}EXAMPLE{:09}", state.made)).unwrap()
    }

    /// Makes a user, who signs with its name.
    pub(crate) fn user(&self, account_id: &str, name: &str) -> UniqueId {
        let id = self.id("AIDA");
        let principal = Principal::user(account(account_id), "/", name).with_unique_id(id.clone());
        let mut state = self.state();
        state.ids.insert(user_arn(account_id, name), id.clone());
        state.callers.insert(name.to_owned(), (principal, CallerPolicies::default()));
        id
    }

    /// Makes a role of the path `/team/`. Its session `s` signs with its name, its session `t` with the name and `-t`.
    pub(crate) fn role(&self, account_id: &str, name: &str) -> UniqueId {
        let id = self.id("AROA");
        let mut state = self.state();
        state.ids.insert(role_arn(account_id, name), id.clone());
        for (key, session) in [(name.to_owned(), "s"), (format!("{name}-t"), "t")] {
            let principal = Principal::role_session(account(account_id), "/team/", name, session);
            let caller = (principal.with_unique_id(id.clone()), CallerPolicies::default());
            state.callers.insert(key, caller);
            state.ids.insert(session_arn(account_id, name, session), id.clone());
        }
        id
    }

    /// Lets a user's federated session `f` sign with this name.
    pub(crate) fn federated(&self, account_id: &str, user: &str, key: &str) {
        let mut state = self.state();
        let id = state.ids[&user_arn(account_id, user)].clone();
        let principal = Principal::federated_user(account(account_id), &user_arn(account_id, user), "f");
        state.callers.insert(key.to_owned(), (principal.with_unique_id(id), CallerPolicies::default()));
    }

    /// Removes a user or role.
    pub(crate) fn remove(&self, arn: &str) {
        self.state().ids.remove(arn).unwrap();
    }

    fn edit(&self, caller: &str, edit: impl FnOnce(&mut CallerPolicies)) {
        edit(&mut self.state().callers.get_mut(caller).unwrap().1);
    }

    /// Gives the caller this identity policy in place of any.
    pub(crate) fn identity(&self, caller: &str, policy: &str) {
        self.edit(caller, |policies| policies.identity = vec![document(policy)]);
    }

    /// Gives the caller this boundary.
    pub(crate) fn boundary(&self, caller: &str, policy: &str) {
        self.edit(caller, |policies| policies.boundary = Some(document(policy)));
    }
}

fn document(text: &str) -> Arc<Document> {
    let limits = Limits { condition_keys: CONDITION_TABLES, ..Limits::IDENTITY_POLICY };
    Arc::new(Document::parse_identity_policy(text, &limits).unwrap())
}

impl Identities for People {
    fn credential<'a>(
        &'a self,
        _: &'a mut Call<'_>,
        access_key_id: &'a str,
        _: Option<&'a str>,
    ) -> BoxFuture<'a, Result<Presented, Fault>> {
        let root = AccountId::parse(access_key_id).map(Principal::root);
        let known = root.or_else(|| self.state().callers.get(access_key_id).map(|(principal, _)| principal.clone()));
        let credential = known.map(|principal| Credential {
            secret: SecretBytes::from_slice(SECRET),
            account: principal.account().as_str().to_owned(),
            principal,
            traits: PrincipalTraits::default(),
        });
        Box::pin(async move {
            Ok(credential.map_or(Presented::Unknown, |credential| Presented::Known(Box::new(credential), None)))
        })
    }

    fn standing<'a>(&'a self, _: &'a mut Call<'_>, name: &'a PrincipalName) -> BoxFuture<'a, Result<Standing, Fault>> {
        let standing = match name {
            PrincipalName::User(..) | PrincipalName::Role(..) | PrincipalName::RoleSession(..) => {
                let id = self.state().ids.get(&name.to_string()).cloned();
                id.map_or(Standing::Unknown, |id| Standing::Known(Some(id)))
            }
            PrincipalName::Account(account) if account.as_str().starts_with('9') => Standing::Unknown,
            _ => Standing::Known(None),
        };
        Box::pin(async move { Ok(standing) })
    }

    fn policies<'a>(&'a self, call: &'a mut Call<'_>) -> BoxFuture<'a, Result<CallerPolicies, Fault>> {
        let found = self.state().callers.get(call.caller().access_key_id()).map(|(_, policies)| policies.clone());
        Box::pin(async move { Ok(found.unwrap_or_default()) })
    }
}

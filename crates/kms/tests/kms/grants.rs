//! Grants: who gets what by them, who may make and end them, and what a decision costs.

use std::collections::BTreeMap;
use std::sync::Arc;

use claviger_api::kms::{
    CreateGrantRequest, CreateKeyRequest, DescribeKeyRequest, EncryptRequest, GetKeyPolicyRequest, GrantConstraints,
    GrantListEntry, GrantOperation, KeySpec, KeyUsageType, ListGrantsRequest, ListGrantsResponse,
    ListRetirableGrantsRequest, PutKeyPolicyRequest, Response, RetireGrantRequest, RevokeGrantRequest,
};
use claviger_crypto::DomainKeys;
use claviger_engine::{BadRecord, Fault, Record, RowKey, Seed, Writer, Writes};
use claviger_store::Memory;

use crate::people::{People, role_arn, session_arn, user_arn};
use crate::{Base, DAY, OTHER, OWNER, REGION, World, arn, encrypt, request};

pub(crate) type Pairs = BTreeMap<String, String>;
pub(crate) type Code = &'static str;

pub(crate) const THIRD: &str = "777788889999";
pub(crate) const DENIED: Code = "AccessDeniedException";
const ALL: [GrantOperation; 3] = [GrantOperation::Encrypt, GrantOperation::CreateGrant, GrantOperation::RetireGrant];

pub(crate) fn root(account: &str) -> String {
    format!("arn:aws:iam::{account}:root")
}

pub(crate) fn pairs(pairs: &[(&str, &str)]) -> Pairs {
    pairs.iter().map(|(name, value)| ((*name).to_owned(), (*value).to_owned())).collect()
}

pub(crate) fn equals(equal: &Pairs) -> Option<GrantConstraints> {
    Some(GrantConstraints { encryption_context_equals: Some(equal.clone()), ..GrantConstraints::default() })
}

pub(crate) fn subset(part: &Pairs) -> Option<GrantConstraints> {
    Some(GrantConstraints { encryption_context_subset: Some(part.clone()), ..GrantConstraints::default() })
}

pub(crate) fn grant(key: &str, grantee: &str, operations: &[GrantOperation]) -> CreateGrantRequest {
    CreateGrantRequest {
        key_id: arn(key),
        grantee_principal: Some(grantee.to_owned()),
        operations: operations.to_vec(),
        ..CreateGrantRequest::default()
    }
}

impl World {
    /// Makes a grant: its id and its token.
    pub(crate) async fn grant_as(&self, caller: &str, request: CreateGrantRequest) -> Result<(String, String), Code> {
        match self.call_as(caller, request!(CreateGrant, request)).await.map_err(|error| error.code)? {
            Response::CreateGrant(made) => Ok((made.grant_id.unwrap(), made.grant_token.unwrap())),
            _ => panic!("another response"),
        }
    }

    pub(crate) async fn grant(&self, request: CreateGrantRequest) -> String {
        self.grant_as(OWNER, request).await.unwrap().0
    }

    pub(crate) async fn revoke_as(&self, caller: &str, key: &str, id: &str) -> Result<(), Code> {
        let request = RevokeGrantRequest { key_id: arn(key), grant_id: id.to_owned(), dry_run: None };
        self.call_as(caller, request!(RevokeGrant, request)).await.map(drop).map_err(|error| error.code)
    }

    async fn retire_as(&self, caller: &str, key: &str, id: &str) -> Result<(), Code> {
        let (key_id, grant_id) = (Some(arn(key)), Some(id.to_owned()));
        let request = RetireGrantRequest { key_id, grant_id, ..RetireGrantRequest::default() };
        self.call_as(caller, request!(RetireGrant, request)).await.map(drop).map_err(|error| error.code)
    }

    pub(crate) async fn list_as(&self, caller: &str, request: ListGrantsRequest) -> Result<ListGrantsResponse, Code> {
        match self.call_as(caller, request!(ListGrants, request)).await.map_err(|error| error.code)? {
            Response::ListGrants(listed) => Ok(listed),
            _ => panic!("another response"),
        }
    }

    async fn grants_of(&self, key: &str) -> Vec<GrantListEntry> {
        let request = ListGrantsRequest { key_id: arn(key), ..ListGrantsRequest::default() };
        self.list_as(OWNER, request).await.unwrap().grants.unwrap()
    }

    async fn retirable_as(&self, caller: &str, retiring: &str) -> Result<Vec<GrantListEntry>, Code> {
        let retiring_principal = Some(retiring.to_owned());
        let request = ListRetirableGrantsRequest { retiring_principal, ..ListRetirableGrantsRequest::default() };
        match self.call_as(caller, request!(ListRetirableGrants, request)).await.map_err(|error| error.code)? {
            Response::ListRetirableGrants(listed) => Ok(listed.grants.unwrap()),
            _ => panic!("another response"),
        }
    }

    pub(crate) async fn encrypts(&self, caller: &str, key: &str, context: &Pairs) -> bool {
        let request = EncryptRequest { encryption_context: Some(context.clone()), ..encrypt(&arn(key), b"x") };
        match self.call_as(caller, request!(Encrypt, request)).await {
            Ok(_) => true,
            Err(error) => {
                assert_eq!(error.code, DENIED);
                false
            }
        }
    }

    async fn describes(&self, caller: &str, key: &str) -> bool {
        let request = DescribeKeyRequest { key_id: arn(key), ..DescribeKeyRequest::default() };
        self.call_as(caller, request!(DescribeKey, request)).await.is_ok()
    }

    async fn put_policy(&self, key: &str, statements: &str) -> Result<(), Code> {
        let policy = format!(
            r#"{{"Version":"2012-10-17","Statement":[{{"Effect":"Allow","Principal":{{"AWS":"{OWNER}"}},
            "Action":"kms:*","Resource":"*"}},{statements}]}}"#
        );
        let request = PutKeyPolicyRequest { key_id: key.to_owned(), policy, ..PutKeyPolicyRequest::default() };
        self.call(request!(PutKeyPolicy, request)).await.map(drop).map_err(|error| error.code)
    }
}

/// A world with users and roles, and a key.
async fn peopled() -> (Base, Arc<People>, World, String) {
    let base = Base::over(Arc::new(Memory::new()), 1);
    let people = Arc::new(People::default());
    let world = base.open_with(&people).await;
    let key = world.create().await;
    (base, people, world, key)
}

#[tokio::test]
async fn a_grant_allows_what_it_names_and_no_more() {
    let (base, world) = World::new().await;
    let (key, other) = (world.create().await, world.create().await);
    let none = Pairs::new();
    assert!(!world.encrypts(OTHER, &key, &none).await);
    let id = world.grant(grant(&key, &root(OTHER), &[GrantOperation::Encrypt])).await;
    assert!(world.encrypts(OTHER, &key, &none).await);
    assert!(!world.encrypts(THIRD, &key, &none).await && !world.encrypts(OTHER, &other, &none).await);
    assert!(!world.describes(OTHER, &key).await, "another operation");
    let blob = world.encrypt(&key, b"secret").await.unwrap();
    assert_eq!(world.decrypt_as(OTHER, &blob).await.unwrap_err().code, DENIED);
    let second = world.grant(grant(&key, &root(OTHER), &[GrantOperation::Decrypt, GrantOperation::DescribeKey])).await;
    assert_eq!(world.decrypt_as(OTHER, &blob).await.unwrap(), b"secret");
    drop(world);
    let world = base.open().await.unwrap();
    assert_eq!(world.decrypt_as(OTHER, &blob).await.unwrap(), b"secret", "after a start");
    assert!(world.describes(OTHER, &key).await);
    assert_eq!(world.revoke_as(OWNER, &key, &second).await, Ok(()));
    assert_eq!(world.decrypt_as(OTHER, &blob).await.unwrap_err().code, DENIED);
    assert!(world.encrypts(OTHER, &key, &none).await, "the other grant stands");
    assert_eq!(world.retire_as(OWNER, &key, &id).await, Ok(()));
    assert!(!world.encrypts(OTHER, &key, &none).await);
    for id in [&id, &second] {
        assert_eq!(world.revoke_as(OWNER, &key, id).await, Err("NotFoundException"));
        assert_eq!(world.retire_as(OWNER, &key, id).await, Err("NotFoundException"));
    }
    assert!(world.grants_of(&key).await.is_empty());
    let left = crate::rows(&*base.store).await;
    let left: Vec<_> =
        left.iter().map(|(row, _)| String::from_utf8_lossy(row)).filter(|row| row.contains("grant")).collect();
    assert_eq!(left.len(), 1, "no more than the count: {left:?}");
    assert!(world.engine.scrub().await.unwrap().broken.is_empty());
}

/// Who may make, list and revoke grants is a matter of policies, across accounts too.
#[tokio::test]
async fn policies_say_who_administers_grants() {
    let (_, world) = World::new().await;
    let key = world.create().await;
    let id = world.grant(grant(&key, &root(OTHER), &[GrantOperation::Encrypt])).await;
    let list = || ListGrantsRequest { key_id: arn(&key), ..ListGrantsRequest::default() };
    assert_eq!(world.grant_as(THIRD, grant(&key, &root(THIRD), &ALL)).await, Err(DENIED));
    assert_eq!(world.list_as(THIRD, list()).await.map(drop), Err(DENIED));
    for missing in [&id, &"0".repeat(64)] {
        assert_eq!(world.revoke_as(THIRD, &key, missing).await, Err(DENIED), "whether it is there is not told");
        assert_eq!(world.retire_as(THIRD, &key, missing).await, Err(DENIED));
    }
    let allowed = r#"["kms:CreateGrant","kms:ListGrants","kms:RevokeGrant","kms:RetireGrant"]"#;
    let statement =
        format!(r#"{{"Effect":"Allow","Principal":{{"AWS":"{THIRD}"}},"Action":{allowed},"Resource":"*"}}"#);
    world.put_policy(&key, &statement).await.unwrap();
    assert_eq!(world.retire_as(THIRD, &key, &id).await, Err(DENIED), "a key policy lets nobody retire");
    let (theirs, _) = world.grant_as(THIRD, grant(&key, &root(OTHER), &ALL)).await.unwrap();
    assert_eq!(world.list_as(THIRD, list()).await.unwrap().grants.unwrap().len(), 2);
    let entry = world.grants_of(&key).await.into_iter().find(|entry| entry.grant_id.as_ref() == Some(&theirs)).unwrap();
    assert_eq!(entry.issuing_account, Some(root(THIRD)));
    assert_eq!(world.revoke_as(THIRD, &key, &id).await, Ok(()));
    // Theirs is theirs to retire.
    assert_eq!(world.retire_as(OWNER, &key, &theirs).await, Err(DENIED));
    assert_eq!(world.retire_as(THIRD, &key, &theirs).await, Ok(()));
    // By its bare id the key is looked for in the caller's own account.
    let request = CreateGrantRequest { key_id: key.clone(), ..grant(&key, &root(THIRD), &ALL) };
    assert_eq!(world.grant_as(THIRD, request).await, Err("NotFoundException"));
}

#[tokio::test]
async fn who_retires() {
    let (_, people, world, key) = peopled().await;
    people.user(OWNER, "alice");
    people.role(OTHER, "app");
    let other = |retiring: &str, operations: &[GrantOperation]| CreateGrantRequest {
        retiring_principal: Some(retiring.to_owned()),
        ..grant(&key, &role_arn(OTHER, "app"), operations)
    };
    let plain = [GrantOperation::Encrypt];
    for (request, caller, told) in [
        (other(&root(THIRD), &plain), THIRD, Ok(())),
        (other(&root(THIRD), &plain), OWNER, Ok(())),
        (other(&root(THIRD), &plain), OTHER, Err(DENIED)),
        (other(&root(THIRD), &plain), "app", Err(DENIED)),
        (other(&root(THIRD), &plain), "alice", Err(DENIED)),
        (other(&root(THIRD), &ALL), "app", Ok(())),
        (other(&root(THIRD), &ALL), "app-t", Ok(())),
        (other(&root(THIRD), &ALL), OTHER, Err(DENIED)),
        (other(&user_arn(OWNER, "alice"), &plain), "alice", Ok(())),
        (other(&session_arn(OTHER, "app", "s"), &plain), "app", Ok(())),
        (other(&session_arn(OTHER, "app", "s"), &plain), "app-t", Err(DENIED)),
    ] {
        let (id, token) = world.grant_as(OWNER, request.clone()).await.unwrap();
        assert_eq!(world.retire_as(caller, &key, &id).await, told, "{caller}: {request:?}");
        let by_token = RetireGrantRequest { grant_token: Some(token), ..RetireGrantRequest::default() };
        let again = world.call_as(caller, request!(RetireGrant, by_token)).await.map(drop).map_err(|error| error.code);
        let gone = if caller == OWNER || caller == "alice" { "NotFoundException" } else { DENIED };
        assert_eq!(again, if told.is_ok() { Err(gone) } else { told }, "by token");
    }
    // A policy of the account that made it lets its users, a policy of another account does not let its own.
    let allow = r#"{"Version":"2012-10-17","Statement":{"Effect":"Allow","Action":"kms:RetireGrant","Resource":"*"}}"#;
    people.identity("alice", allow);
    people.identity("app", allow);
    let id = world.grant(other(&root(THIRD), &plain)).await;
    assert_eq!(world.retire_as("app", &key, &id).await, Err(DENIED));
    assert_eq!(world.retire_as("alice", &key, &id).await, Ok(()));
    // A Deny there stands against the grant.
    people.identity("app", &allow.replace("Allow", "Deny"));
    let id = world.grant(other(&root(THIRD), &ALL)).await;
    assert_eq!(world.retire_as("app", &key, &id).await, Err(DENIED));
}

#[tokio::test]
async fn retirable_grants_are_their_accounts_to_see() {
    let (_, people, world, key) = peopled().await;
    people.role(OTHER, "app");
    let mut made = Vec::new();
    for retiring in [root(OTHER), role_arn(OTHER, "app"), root(OWNER)] {
        let retiring_principal = Some(retiring);
        let request = CreateGrantRequest { retiring_principal, ..grant(&key, &root(THIRD), &ALL) };
        made.push(world.grant(request).await);
    }
    let ids =
        |entries: Vec<GrantListEntry>| entries.into_iter().map(|entry| entry.grant_id.unwrap()).collect::<Vec<_>>();
    assert_eq!(world.retirable_as(OTHER, &root(OTHER)).await.map(ids), Ok(vec![made[0].clone()]));
    assert_eq!(world.retirable_as(OTHER, &role_arn(OTHER, "app")).await.map(ids), Ok(vec![made[1].clone()]));
    assert_eq!(world.retirable_as(OTHER, &root(OWNER)).await.map(drop), Err(DENIED));
    assert_eq!(world.retirable_as(OWNER, &root(OTHER)).await.map(drop), Err(DENIED));
    assert_eq!(world.retirable_as("app", &role_arn(OTHER, "app")).await.map(drop), Err(DENIED), "needs a policy");
    assert_eq!(world.retirable_as(OTHER, &role_arn(OTHER, "none")).await.map(drop), Err("InvalidArnException"));
    assert_eq!(world.retirable_as(OWNER, &role_arn(OTHER, "none")).await.map(drop), Err(DENIED));
    // A namesake of the role retires nothing of its predecessor's.
    people.remove(&role_arn(OTHER, "app"));
    people.role(OTHER, "app");
    assert_eq!(world.retirable_as(OTHER, &role_arn(OTHER, "app")).await.map(ids), Ok(vec![]));
    assert_eq!(world.retire_as("app", &key, &made[1]).await, Err(DENIED));
}

#[tokio::test]
async fn every_form_of_principal_can_hold_a_grant() {
    let (_, people, world, key) = peopled().await;
    people.user(OWNER, "alice");
    people.user(OTHER, "bob");
    people.role(OWNER, "app");
    people.federated(OWNER, "alice", "alice-f");
    let none = Pairs::new();
    let callers = [OWNER, OTHER, "alice", "alice-f", "bob", "app", "app-t"];
    // The owner's root needs no grant. An account leaves it to its own policies; to a role and to a user, sessions count.
    for (grantee, reached) in [
        (root(OTHER), &[OWNER, OTHER][..]),
        (root(OWNER), &[OWNER]),
        (user_arn(OWNER, "alice"), &[OWNER, "alice"]),
        (user_arn(OTHER, "bob"), &[OWNER, "bob"]),
        (role_arn(OWNER, "app"), &[OWNER, "app", "app-t"]),
        (session_arn(OWNER, "app", "t"), &[OWNER, "app-t"]),
        ("arn:aws:sts::111122223333:federated-user/f".to_owned(), &[OWNER, "alice-f"]),
    ] {
        let id = world.grant(grant(&key, &grantee, &ALL)).await;
        for caller in callers {
            assert_eq!(world.encrypts(caller, &key, &none).await, reached.contains(&caller), "{grantee}: {caller}");
        }
        world.revoke_as(OWNER, &key, &id).await.unwrap();
    }
    let allow = r#"{"Version":"2012-10-17","Statement":{"Effect":"Allow","Action":"kms:Encrypt","Resource":"*"}}"#;
    people.identity("bob", allow);
    let id = world.grant(grant(&key, &root(OTHER), &ALL)).await;
    assert!(world.encrypts("bob", &key, &none).await, "the account's grant and the account's policy");
    world.revoke_as(OWNER, &key, &id).await.unwrap();
    // A boundary limits a grant to the role, and not one to the session itself.
    people.boundary("app", &allow.replace("Encrypt", "Decrypt"));
    world.grant(grant(&key, &role_arn(OWNER, "app"), &ALL)).await;
    assert!(!world.encrypts("app", &key, &none).await && world.encrypts("app-t", &key, &none).await);
    world.grant(grant(&key, &session_arn(OWNER, "app", "s"), &ALL)).await;
    assert!(world.encrypts("app", &key, &none).await);
}

#[tokio::test]
async fn a_namesake_gets_nothing() {
    let (base, people, world, key) = peopled().await;
    let none = Pairs::new();
    let ids = [people.user(OTHER, "bob"), people.role(OTHER, "app")];
    let arns = [user_arn(OTHER, "bob"), role_arn(OTHER, "app")];
    for (arn, id) in arns.iter().zip(&ids) {
        let request = CreateGrantRequest { retiring_principal: Some(arn.clone()), ..grant(&key, arn, &ALL) };
        let made = world.grant(request).await;
        let caller = if arn.contains("bob") { "bob" } else { "app" };
        assert!(world.encrypts(caller, &key, &none).await);
        let shown = async || {
            let entry = world.grants_of(&key).await.into_iter().find(|entry| entry.grant_id.as_ref() == Some(&made));
            let entry = entry.unwrap();
            (entry.grantee_principal.unwrap(), entry.retiring_principal.unwrap())
        };
        assert_eq!(shown().await, (arn.clone(), arn.clone()));
        people.remove(arn);
        assert_eq!(shown().await, (id.to_string(), id.to_string()), "gone");
        let renewed = if caller == "bob" { people.user(OTHER, "bob") } else { people.role(OTHER, "app") };
        assert_ne!(renewed, *id);
        assert!(!world.encrypts(caller, &key, &none).await);
        assert_eq!(shown().await, (id.to_string(), id.to_string()), "and made again");
        let mine = ListGrantsRequest {
            grantee_principal: Some(arn.clone()),
            key_id: key.clone(),
            ..ListGrantsRequest::default()
        };
        assert!(world.list_as(OWNER, mine).await.unwrap().grants.unwrap().is_empty());
        assert_eq!(world.retire_as(caller, &key, &made).await, Err(DENIED));
        world.grant(grant(&key, arn, &ALL)).await;
        assert!(world.encrypts(caller, &key, &none).await, "a grant to the new one");
    }
    drop(world);
    let world = base.open_with(&people).await;
    assert!(world.encrypts("app", &key, &none).await);
}

#[tokio::test]
async fn key_policies_mean_who_was_there_when_they_were_saved() {
    let (base, people, world, key) = peopled().await;
    let id = people.role(OWNER, "app");
    let statement = format!(
        r#"{{"Effect":"Allow","Principal":{{"AWS":"{}"}},"Action":"kms:Encrypt","Resource":"*"}}"#,
        role_arn(OWNER, "app")
    );
    let none = Pairs::new();
    world.put_policy(&key, &statement).await.unwrap();
    assert!(world.encrypts("app", &key, &none).await);
    let policy = async |world: &World| {
        let request = GetKeyPolicyRequest { key_id: key.clone(), policy_name: None };
        match world.call(request!(GetKeyPolicy, request)).await.unwrap() {
            Response::GetKeyPolicy(response) => response.policy.unwrap(),
            _ => panic!("another response"),
        }
    };
    assert!(policy(&world).await.contains(&statement));
    people.remove(&role_arn(OWNER, "app"));
    assert!(policy(&world).await.contains(&statement.replace(&role_arn(OWNER, "app"), id.as_str())));
    assert_eq!(world.put_policy(&key, &statement).await, Err("MalformedPolicyDocumentException"));
    people.role(OWNER, "app");
    drop(world);
    let world = base.open_with(&people).await;
    assert!(!world.encrypts("app", &key, &none).await);
    assert!(policy(&world).await.contains(id.as_str()), "the name of another is not shown");
    world.put_policy(&key, &statement).await.unwrap();
    assert!(world.encrypts("app", &key, &none).await);
    // The lock-out check knows the caller by its id too.
    people.user(OWNER, "alice");
    let create = r#"{"Version":"2012-10-17","Statement":{"Effect":"Allow","Action":"kms:CreateKey","Resource":"*"}}"#;
    people.identity("alice", create);
    let text = format!(
        r#"{{"Version":"2012-10-17","Statement":{{"Effect":"Allow","Principal":{{"AWS":"{}"}},"Action":"kms:*","Resource":"*"}}}}"#,
        user_arn(OWNER, "alice")
    );
    let made =
        |policy: String| request!(CreateKey, CreateKeyRequest { policy: Some(policy), ..CreateKeyRequest::default() });
    assert!(world.call_as("alice", made(text.clone())).await.is_ok());
    let error = world.call_as("alice", made(text.replace("alice", "nobody"))).await.map(drop).unwrap_err();
    assert_eq!(error.code, "MalformedPolicyDocumentException");
    assert_eq!(error.message.unwrap(), "Policy contains a statement with one or more invalid principals.");
}

#[tokio::test]
async fn constraints_are_compared_letter_for_letter() {
    let (_, world) = World::new().await;
    let want = pairs(&[("a", "1"), ("b", "2")]);
    let contexts = [
        (pairs(&[("a", "1"), ("b", "2")]), true, true),
        (pairs(&[("a", "1"), ("b", "2"), ("c", "3")]), false, true),
        (pairs(&[("0", "0"), ("a", "1"), ("aa", "1"), ("b", "2"), ("z", "3")]), false, true),
        (pairs(&[("a", "1")]), false, false),
        (pairs(&[("b", "2")]), false, false),
        (pairs(&[]), false, false),
        (pairs(&[("A", "1"), ("b", "2")]), false, false),
        (pairs(&[("a", "1"), ("b", "3")]), false, false),
        (pairs(&[("a", "2"), ("b", "1")]), false, false),
        (pairs(&[("a1", ""), ("b", "2")]), false, false),
    ];
    for (constraints, exact) in [(equals(&want), true), (subset(&want), false)] {
        let key = world.create().await;
        let operations = [GrantOperation::Encrypt, GrantOperation::DescribeKey];
        world.grant(CreateGrantRequest { constraints, ..grant(&key, &root(OTHER), &operations) }).await;
        assert!(world.describes(OTHER, &key).await, "which has no context");
        for (context, equal, part) in &contexts {
            let expected = if exact { *equal } else { *part };
            assert_eq!(world.encrypts(OTHER, &key, context).await, expected, "exact {exact}: {context:?}");
        }
    }
    // A grant for the sake of a resource helps only the service that calls for it.
    let key = world.create().await;
    let source_arn = Some("arn:aws:service:eu-central-1:444455556666:thing/1".to_owned());
    let constraints = Some(GrantConstraints { source_arn, ..GrantConstraints::default() });
    world.grant(CreateGrantRequest { constraints, ..grant(&key, &root(OTHER), &ALL) }).await;
    assert!(!world.encrypts(OTHER, &key, &Pairs::new()).await);
}

#[tokio::test]
async fn nobody_passes_on_more_than_a_grant_gave() {
    let (_, world) = World::new().await;
    let key = world.create().await;
    let child = |operations: &[GrantOperation]| grant(&key, &root(THIRD), operations);
    let (encrypt, decrypt) = (GrantOperation::Encrypt, GrantOperation::Decrypt);
    let id = world.grant(grant(&key, &root(OTHER), &[encrypt, decrypt])).await;
    assert_eq!(world.grant_as(OTHER, child(&[encrypt])).await, Err(DENIED), "without CreateGrant");
    world.revoke_as(OWNER, &key, &id).await.unwrap();
    world.grant(grant(&key, &root(OTHER), &ALL)).await;
    for wider in [&[encrypt, decrypt][..], &[decrypt], &[GrantOperation::DescribeKey, encrypt]] {
        assert_eq!(world.grant_as(OTHER, child(wider)).await, Err(DENIED), "{wider:?}");
    }
    world.grant_as(OTHER, child(&ALL)).await.unwrap();
    // The child's child, and what it may not.
    assert!(world.grant_as(THIRD, grant(&key, &root(OTHER), &[encrypt])).await.is_ok());
    assert_eq!(world.grant_as(THIRD, grant(&key, &root(OTHER), &[encrypt, decrypt])).await, Err(DENIED));
    // Two grants that only together hold the operations of a child are not a parent.
    world.grant(grant(&key, &root(OTHER), &[decrypt, GrantOperation::CreateGrant])).await;
    assert_eq!(world.grant_as(OTHER, child(&[encrypt, decrypt])).await, Err(DENIED));
    // Nothing of this lets anybody revoke, list, or change the key.
    assert_eq!(world.revoke_as(OTHER, &key, &id).await, Err(DENIED));
    let list = ListGrantsRequest { key_id: arn(&key), ..ListGrantsRequest::default() };
    assert_eq!(world.list_as(OTHER, list).await.map(drop), Err(DENIED));
}

#[tokio::test]
async fn a_deny_stands_against_every_grant() {
    let (_, people, world, key) = peopled().await;
    people.user(OWNER, "alice");
    world.grant(grant(&key, &user_arn(OWNER, "alice"), &ALL)).await;
    world.grant(grant(&key, &root(OTHER), &ALL)).await;
    let none = Pairs::new();
    assert!(world.encrypts("alice", &key, &none).await && world.encrypts(OTHER, &key, &none).await);
    let deny = r#"{"Version":"2012-10-17","Statement":{"Effect":"Deny","Action":"kms:Encrypt","Resource":"*"}}"#;
    people.identity("alice", deny);
    assert!(!world.encrypts("alice", &key, &none).await);
    let everybody = r#"{"Effect":"Deny","Principal":"*","Action":"kms:Encrypt","Resource":"*"}"#;
    world.put_policy(&key, everybody).await.unwrap();
    assert!(!world.encrypts(OTHER, &key, &none).await);
}

/// What policies may ask about a new grant, and about one that is given up.
#[tokio::test]
async fn conditions_see_the_grant() {
    let (_, people, world, key) = peopled().await;
    people.user(OTHER, "bob");
    let refuses = async |condition: &str, request: CreateGrantRequest| {
        let statement = format!(
            r#"{{"Effect":"Deny","Principal":"*","Action":"kms:CreateGrant","Resource":"*","Condition":{condition}}}"#
        );
        world.put_policy(&key, &statement).await.unwrap();
        let request = CreateGrantRequest { dry_run: Some(true), ..request };
        match world.grant_as(OWNER, request).await {
            Err("DryRunOperationException") => false,
            Err(DENIED) => true,
            other => panic!("{other:?}"),
        }
    };
    let plain = grant(&key, &root(OTHER), &[GrantOperation::Encrypt]);
    let full = CreateGrantRequest {
        retiring_principal: Some(user_arn(OTHER, "bob")),
        constraints: subset(&pairs(&[("App", "1")])),
        ..grant(&key, &user_arn(OTHER, "bob"), &[GrantOperation::Encrypt, GrantOperation::Decrypt])
    };
    let bob = user_arn(OTHER, "bob");
    for (condition, of_plain, of_full) in [
        (r#"{"StringEquals":{"kms:GranteePrincipal":"BOB"}}"#, false, true),
        (r#"{"StringEquals":{"kms:RetiringPrincipal":"BOB"}}"#, false, true),
        (r#"{"ForAnyValue:StringEquals":{"kms:GrantOperations":"Decrypt"}}"#, false, true),
        (r#"{"ForAllValues:StringEquals":{"kms:GrantOperations":"Encrypt"}}"#, true, false),
        (r#"{"StringEquals":{"kms:GrantConstraintType":"EncryptionContextSubset"}}"#, false, true),
        (r#"{"Null":{"kms:GrantConstraintType":"true"}}"#, true, false),
        (r#"{"StringEquals":{"kms:EncryptionContext:app":"1"}}"#, false, true),
        (r#"{"Null":{"kms:EncryptionContextKeys":"true"}}"#, true, false),
        (r#"{"Bool":{"kms:GrantIsForAWSResource":"false"}}"#, true, true),
        (r#"{"Bool":{"kms:GrantIsForAWSResource":"true"}}"#, false, false),
        (r#"{"Null":{"kms:GrantConstraintSourceArn":"true"}}"#, true, true),
    ] {
        let condition = condition.replace("BOB", &bob);
        assert_eq!(refuses(&condition, plain.clone()).await, of_plain, "{condition}");
        assert_eq!(refuses(&condition, full.clone()).await, of_full, "{condition}");
    }
    for (value, told) in [("false", Err(DENIED)), ("true", Err("NotFoundException"))] {
        let statement = format!(
            r#"{{"Effect":"Deny","Principal":"*","Action":["kms:ListGrants","kms:RevokeGrant"],"Resource":"*",
            "Condition":{{"Bool":{{"kms:GrantIsForAWSResource":"{value}"}}}}}}"#
        );
        world.put_policy(&key, &statement).await.unwrap();
        assert_eq!(world.revoke_as(OWNER, &key, &"0".repeat(64)).await, told);
        let list = ListGrantsRequest { key_id: key.clone(), ..ListGrantsRequest::default() };
        assert_eq!(world.list_as(OWNER, list).await.is_ok(), value == "true");
    }
    let nothing = r#"{"Effect":"Deny","Principal":"*","Action":"kms:Sign","Resource":"*"}"#;
    world.put_policy(&key, nothing).await.unwrap();
    people.user(OWNER, "alice");
    let id = world.grant(CreateGrantRequest { retiring_principal: Some(user_arn(OWNER, "alice")), ..full }).await;
    let deny = |key: &str, value: &str| {
        format!(
            r#"{{"Version":"2012-10-17","Statement":{{"Effect":"Deny","Action":"*","Resource":"*",
            "Condition":{{"StringEquals":{{"{key}":"{value}"}}}}}}}}"#
        )
    };
    for (name, value) in [("kms:GrantConstraintType", "EncryptionContextSubset"), ("kms:EncryptionContext:App", "1")] {
        people.identity("alice", &deny(name, value));
        assert_eq!(world.retire_as("alice", &key, &id).await, Err(DENIED), "{name}");
        people.identity("alice", &deny(name, "another"));
    }
    assert_eq!(world.retire_as("alice", &key, &id).await, Ok(()));
}

#[tokio::test]
async fn what_a_grant_cannot_be() {
    let (_, people, world, key) = peopled().await;
    people.user(OWNER, "alice");
    let plain = || grant(&key, &root(OTHER), &ALL);
    let service = Some("thing.amazonaws.com".to_owned());
    let source_arn = Some("arn:aws:service:eu-central-1:444455556666:thing/1".to_owned());
    let source = Some(GrantConstraints { source_arn, ..GrantConstraints::default() });
    let both = GrantConstraints {
        encryption_context_equals: Some(pairs(&[("a", "1")])),
        encryption_context_subset: Some(pairs(&[("a", "1")])),
        source_arn: None,
    };
    let many: Pairs = (0..9).map(|number| (number.to_string(), String::new())).collect();
    let other = Some(root(OTHER));
    let (invalid, validation) = ("InvalidArnException", "ValidationException");
    for (request, code) in [
        (CreateGrantRequest { grantee_principal: None, ..plain() }, validation),
        (CreateGrantRequest { grantee_service_principal: service.clone(), ..plain() }, validation),
        (CreateGrantRequest { operations: vec![], ..plain() }, validation),
        (CreateGrantRequest { operations: vec![GrantOperation::Sign], ..plain() }, validation),
        (CreateGrantRequest { operations: vec![GrantOperation::GetPublicKey], ..plain() }, validation),
        (
            CreateGrantRequest {
                retiring_principal: other.clone(),
                retiring_service_principal: service.clone(),
                ..plain()
            },
            validation,
        ),
        (CreateGrantRequest { constraints: Some(both), ..plain() }, validation),
        (CreateGrantRequest { constraints: subset(&Pairs::new()), ..plain() }, validation),
        (CreateGrantRequest { constraints: equals(&many), ..plain() }, validation),
        (CreateGrantRequest { constraints: equals(&pairs(&[("a", &"x".repeat(385))])), ..plain() }, validation),
        (
            CreateGrantRequest {
                grantee_principal: None,
                grantee_service_principal: service.clone(),
                retiring_principal: other.clone(),
                ..plain()
            },
            validation,
        ),
        (
            CreateGrantRequest {
                grantee_principal: None,
                grantee_service_principal: service.clone(),
                constraints: source.clone(),
                ..plain()
            },
            validation,
        ),
        (CreateGrantRequest { key_id: "alias/x".to_owned(), ..plain() }, invalid),
        (grant(&key, OTHER, &ALL), invalid),
        (grant(&key, "*", &ALL), "refused by the model"),
        (grant(&key, "arn:aws:iam::111122223333:group/g", &ALL), invalid),
        (grant(&key, &user_arn(OWNER, "nobody"), &ALL), invalid),
        (grant(&key, &root("999999999999"), &ALL), invalid),
        (CreateGrantRequest { retiring_principal: Some(user_arn(OWNER, "nobody")), ..plain() }, invalid),
    ] {
        if code == "refused by the model" {
            assert!(claviger_api::Valid::new(request).is_err());
            continue;
        }
        assert_eq!(world.grant_as(OWNER, request.clone()).await, Err(code), "{request:?}");
    }
    let missing = grant(&key, &user_arn(OWNER, "nobody"), &ALL);
    let error = world.call(request!(CreateGrant, missing)).await.map(drop).unwrap_err();
    let text = format!("ARN does not refer to a valid principal: {}", user_arn(OWNER, "nobody"));
    assert_eq!(error.message, Some(text));
    let to_service = CreateGrantRequest {
        grantee_principal: None,
        grantee_service_principal: service,
        retiring_principal: other,
        constraints: source,
        ..plain()
    };
    world.grant(to_service).await;
    let entry = world.grants_of(&key).await.remove(0);
    assert_eq!(
        (entry.grantee_principal, entry.grantee_service_principal.as_deref()),
        (None, Some("thing.amazonaws.com"))
    );
}

/// Which operations grants on which keys can name (reference/authorization.md section 6).
#[tokio::test]
async fn operations_fit_the_key() {
    let (_, world) = World::new().await;
    let any = "CreateGrant RetireGrant DescribeKey";
    for (spec, usage, operations) in [
        (
            KeySpec::SymmetricDefault,
            KeyUsageType::EncryptDecrypt,
            "Encrypt Decrypt ReEncryptFrom ReEncryptTo GenerateDataKey GenerateDataKeyWithoutPlaintext \
             GenerateDataKeyPair GenerateDataKeyPairWithoutPlaintext",
        ),
        (KeySpec::EccNistP256, KeyUsageType::SignVerify, "Sign Verify GetPublicKey"),
        (KeySpec::EccNistP256, KeyUsageType::KeyAgreement, "DeriveSharedSecret GetPublicKey"),
        (KeySpec::Hmac256, KeyUsageType::GenerateVerifyMac, "GenerateMac VerifyMac"),
        (KeySpec::Rsa2048, KeyUsageType::EncryptDecrypt, "Encrypt Decrypt ReEncryptFrom ReEncryptTo GetPublicKey"),
    ] {
        let made = CreateKeyRequest { key_spec: Some(spec), key_usage: Some(usage), ..CreateKeyRequest::default() };
        let key = world.create_from(made).await.unwrap().key_id;
        for operation in GrantOperation::ALL {
            let told = world.grant_as(OWNER, grant(&key, &root(OTHER), &[*operation])).await.map(drop);
            let fits = operations.split(' ').chain(any.split(' ')).any(|fitting| fitting == operation.as_str());
            assert_eq!(told, if fits { Ok(()) } else { Err("ValidationException") }, "{operation} on {spec:?}");
        }
        let fitting: Vec<_> = operations.split(' ').chain(any.split(' ')).filter_map(GrantOperation::parse).collect();
        let (name, retiring_principal) = (Some("all".to_owned()), Some(root(THIRD)));
        let request = CreateGrantRequest { name, retiring_principal, ..grant(&key, &root(OTHER), &fitting) };
        let id = world.grant(request).await;
        let entry = world.grants_of(&key).await.into_iter().find(|entry| entry.grant_id.as_ref() == Some(&id));
        assert_eq!(entry.unwrap().operations, Some(fitting), "all of them at once");
        let constraints = subset(&pairs(&[("a", "1")]));
        let request = CreateGrantRequest { constraints, ..grant(&key, &root(OTHER), &[GrantOperation::DescribeKey]) };
        assert_eq!(world.grant_as(OWNER, request).await.is_ok(), spec == KeySpec::SymmetricDefault);
    }
}

#[tokio::test]
async fn states_and_dry_runs() {
    let (base, world) = World::new().await;
    let key = world.create().await;
    let (id, token) = world.grant_as(OWNER, grant(&key, &root(OTHER), &ALL)).await.unwrap();
    let before = crate::rows(&*base.store).await;
    let dry = "DryRunOperationException";
    let request = CreateGrantRequest { dry_run: Some(true), ..grant(&key, &root(OTHER), &ALL) };
    assert_eq!(world.grant_as(OWNER, request).await, Err(dry));
    let revoke = RevokeGrantRequest { key_id: key.clone(), grant_id: id.clone(), dry_run: Some(true) };
    let retire = RetireGrantRequest { grant_token: Some(token), dry_run: Some(true), ..RetireGrantRequest::default() };
    for request in [request!(RevokeGrant, revoke), request!(RetireGrant, retire.clone())] {
        assert_eq!(world.call(request).await.map(drop).unwrap_err().code, dry);
    }
    assert_eq!(world.call_as(THIRD, request!(RetireGrant, retire)).await.map(drop).unwrap_err().code, DENIED);
    assert!(before == crate::rows(&*base.store).await, "nothing was written");
    world.disable(&key).await.unwrap();
    assert_eq!(world.grant_as(OWNER, grant(&key, &root(OTHER), &ALL)).await, Err("DisabledException"));
    world.schedule(&key).await.unwrap();
    assert_eq!(world.grant_as(OWNER, grant(&key, &root(OTHER), &ALL)).await, Err("KMSInvalidStateException"));
    assert_eq!(world.grants_of(&key).await.len(), 1);
    assert_eq!(world.retire_as(OWNER, &key, &id).await, Ok(()));
    assert_eq!(world.revoke_as(OWNER, &key, &id).await, Err("NotFoundException"));
    assert_eq!(world.revoke_as(OWNER, &key, "no id").await, Err("InvalidGrantIdException"));
    assert_eq!(world.retire_as(OWNER, &key, &"G".repeat(64)).await, Err("InvalidGrantIdException"));
    let neither = request!(RetireGrant, RetireGrantRequest::default());
    assert_eq!(world.call(neither).await.map(drop).unwrap_err().code, "ValidationException");
}

#[tokio::test]
async fn tokens_are_ours_or_refused() {
    let (_, world) = World::new().await;
    let (_, elsewhere) = World::new().await;
    let (key, other) = (world.create().await, world.create().await);
    let (id, token) = world.grant_as(OWNER, grant(&key, &root(OTHER), &ALL)).await.unwrap();
    let (_, of_other_key) = world.grant_as(OWNER, grant(&other, &root(OTHER), &ALL)).await.unwrap();
    let their_key = elsewhere.create().await;
    let (_, foreign) = elsewhere.grant_as(OWNER, grant(&their_key, &root(OTHER), &ALL)).await.unwrap();
    let told = async |region: &str, token: &str| {
        let grant_tokens = Some(vec![token.to_owned()]);
        let request = EncryptRequest { grant_tokens, ..encrypt(&arn(&key), b"x") };
        world.call_in(region, OTHER, request!(Encrypt, request)).await.map(drop).map_err(|error| error.code)
    };
    assert_eq!(told(REGION, &token).await, Ok(()));
    assert_eq!(told(REGION, &of_other_key).await, Ok(()), "it gives nothing and takes nothing");
    let invalid = Err("InvalidGrantTokenException");
    assert_eq!(told(REGION, &foreign).await, invalid);
    assert_eq!(told("us-east-1", &token).await, invalid);
    for wrong in ["x", "00", &token[2..], &format!("{token}00")] {
        assert_eq!(told(REGION, wrong).await, invalid, "{wrong}");
    }
    for at in (0..token.len()).step_by(7) {
        let mut bytes = token.clone().into_bytes();
        bytes[at] = if bytes[at] == b'0' { b'1' } else { b'0' };
        assert_eq!(told(REGION, std::str::from_utf8(&bytes).unwrap()).await, invalid, "character {at}");
        let grant_token = Some(String::from_utf8(bytes).unwrap());
        let retire = request!(RetireGrant, RetireGrantRequest { grant_token, ..RetireGrantRequest::default() });
        assert_eq!(world.call(retire).await.map(drop).unwrap_err().code, "InvalidGrantTokenException");
    }
    // A token is no permission: the grant is.
    let grant_tokens = Some(vec![token.clone()]);
    let request = EncryptRequest { grant_tokens: grant_tokens.clone(), ..encrypt(&arn(&key), b"x") };
    assert_eq!(world.call_as(THIRD, request!(Encrypt, request)).await.map(drop).unwrap_err().code, DENIED);
    world.revoke_as(OWNER, &key, &id).await.unwrap();
    let request = EncryptRequest { grant_tokens, ..encrypt(&arn(&key), b"x") };
    assert_eq!(world.call_as(OTHER, request!(Encrypt, request)).await.map(drop).unwrap_err().code, DENIED);
}

#[tokio::test]
async fn a_name_makes_it_the_same_grant() {
    let (_, world) = World::new().await;
    let key = world.create().await;
    let named = || CreateGrantRequest { name: Some("once".to_owned()), ..grant(&key, &root(OTHER), &ALL) };
    let (first, token) = world.grant_as(OWNER, named()).await.unwrap();
    let (again, fresh) = world.grant_as(OWNER, named()).await.unwrap();
    assert_eq!((first.as_str(), first.len()), (again.as_str(), 64));
    assert_ne!(token, fresh);
    let other = CreateGrantRequest { operations: vec![GrantOperation::Decrypt], ..named() };
    assert_ne!(world.grant(other).await, first, "other parameters");
    let (one, two) =
        (world.grant(grant(&key, &root(OTHER), &ALL)).await, world.grant(grant(&key, &root(OTHER), &ALL)).await);
    assert_ne!(one, two, "without a name each is new");
    world.revoke_as(OWNER, &key, &first).await.unwrap();
    assert_ne!(world.grant(named()).await, first);
    let names: Vec<_> = world.grants_of(&key).await.into_iter().map(|entry| entry.name.unwrap()).collect();
    assert_eq!(names.iter().filter(|name| *name == "once").count(), 2);
    assert_eq!(names.iter().filter(|name| name.is_empty()).count(), 2);
}

/// Asked for at once, a name still stands for one grant, and grants at once are all counted.
#[tokio::test(flavor = "multi_thread", worker_threads = 2)]
async fn grants_made_at_once() {
    let (base, world) = World::new().await;
    let (world, key) = (Arc::new(world), world_key(&base).await);
    let tasks: Vec<_> = (0..12)
        .map(|task| {
            let (world, key) = (Arc::clone(&world), key.clone());
            let name = (task % 2 == 0).then(|| "same".to_owned());
            tokio::spawn(
                async move { world.grant(CreateGrantRequest { name, ..grant(&key, &root(OTHER), &ALL) }).await },
            )
        })
        .collect();
    let mut ids = std::collections::BTreeSet::new();
    for task in tasks {
        ids.insert(task.await.unwrap());
    }
    assert_eq!(ids.len(), 7);
    assert_eq!(world.grants_of(&key).await.len(), 7);
    assert!(world.engine.scrub().await.unwrap().broken.is_empty());
}

/// A key made through another door to the same store would not be in this one's memory, so it is made here.
async fn world_key(base: &Base) -> String {
    base.open().await.unwrap().create().await
}

/// A record whose bytes are given.
struct Given(Vec<u8>);

impl Record for Given {
    fn encode(&self, _: &DomainKeys) -> Result<Vec<u8>, Fault> {
        Ok(self.0.clone())
    }

    fn decode(bytes: &[u8], _: &DomainKeys) -> Result<Self, BadRecord> {
        Ok(Self(bytes.to_vec()))
    }
}

#[tokio::test]
async fn a_key_has_so_many_grants_and_no_more() {
    let (base, world) = World::new().await;
    let key = world.create().await;
    let id = world.grant(grant(&key, &root(OTHER), &ALL)).await;
    let row = RowKey::new("key", &format!("{REGION}.{key}"), "grant-count/");
    drop(world);
    let world = base.open().await.unwrap();
    let seeded = Seed::new(&world.engine, REGION, OWNER)
        .run::<Fault>(async |call| {
            let mut writer = Writer::record("kms grant count", 1);
            writer.u64(50_000);
            assert!(call.row::<Given>(&row).await?.is_some());
            let mut writes = Writes::default();
            writes.put(call, row.clone(), Given(writer.finish()))?;
            Ok(writes)
        })
        .await;
    assert_eq!(seeded, Ok(()));
    drop(world);
    let world = base.open().await.unwrap();
    assert_eq!(world.grant_as(OWNER, grant(&key, &root(OTHER), &ALL)).await, Err("LimitExceededException"));
    world.revoke_as(OWNER, &key, &id).await.unwrap();
    world.grant(grant(&key, &root(OTHER), &ALL)).await;
    assert_eq!(world.grant_as(OWNER, grant(&key, &root(OTHER), &ALL)).await, Err("LimitExceededException"));
}

#[tokio::test]
async fn lists_come_in_pages_that_are_their_readers_own() {
    let (_, world) = World::new().await;
    let (key, other) = (world.create().await, world.create().await);
    let mut made = Vec::new();
    for number in 0..7 {
        let grantee = if number % 2 == 0 { root(OTHER) } else { root(THIRD) };
        let retiring_principal = Some(root(OWNER));
        made.push(world.grant(CreateGrantRequest { retiring_principal, ..grant(&key, &grantee, &ALL) }).await);
        world.grant(grant(&other, &grantee, &ALL)).await;
    }
    let statement =
        format!(r#"{{"Effect":"Allow","Principal":{{"AWS":"{OTHER}"}},"Action":"kms:ListGrants","Resource":"*"}}"#);
    world.put_policy(&key, &statement).await.unwrap();
    let ask = |key: &str, grantee: Option<String>, marker: Option<String>| ListGrantsRequest {
        limit: Some(3),
        key_id: arn(key),
        grantee_principal: grantee,
        marker,
        ..ListGrantsRequest::default()
    };
    for (grantee, count) in [(None, 7), (Some(root(OTHER)), 4), (Some(root(THIRD)), 3), (Some(root(OWNER)), 0)] {
        let (mut found, mut marker) = (Vec::new(), None);
        loop {
            let page = world.list_as(OWNER, ask(&key, grantee.clone(), marker)).await.unwrap();
            assert_eq!(page.truncated, Some(page.next_marker.is_some()));
            found.extend(page.grants.unwrap().into_iter().map(|entry| entry.grant_id.unwrap()));
            marker = page.next_marker;
            if marker.is_none() {
                break;
            }
        }
        assert_eq!(found.len(), count, "{grantee:?}");
        assert!(found.is_sorted() && found.iter().all(|id| made.contains(id)));
    }
    let marker = world.list_as(OWNER, ask(&key, None, None)).await.unwrap().next_marker;
    let invalid = "InvalidMarkerException";
    assert_eq!(world.list_as(OWNER, ask(&other, None, marker.clone())).await.map(drop), Err(invalid), "another key's");
    assert_eq!(
        world.list_as(OTHER, ask(&key, None, marker.clone())).await.map(drop),
        Err(invalid),
        "another account's"
    );
    let filtered = ask(&key, Some(root(OTHER)), marker.clone());
    assert_eq!(world.list_as(OWNER, filtered).await.map(drop), Err(invalid), "another filter's");
    assert_eq!(world.list_as(OWNER, ask(&key, None, Some(made[0].clone()))).await.map(drop), Err(invalid));
    assert_eq!(world.list_as(OTHER, ask(&key, None, None)).await.unwrap().grants.unwrap().len(), 3);
    let retirable = |caller: &'static str, marker: Option<String>| {
        let retiring_principal = Some(root(caller));
        let request = ListRetirableGrantsRequest {
            limit: Some(5),
            marker,
            retiring_principal,
            ..ListRetirableGrantsRequest::default()
        };
        let world = &world;
        async move {
            match world.call_as(caller, request!(ListRetirableGrants, request)).await.map_err(|error| error.code)? {
                Response::ListRetirableGrants(listed) => {
                    Ok::<_, Code>((listed.grants.unwrap().len(), listed.next_marker))
                }
                _ => panic!("another response"),
            }
        }
    };
    let (count, next) = retirable(OWNER, None).await.unwrap();
    assert_eq!((count, next.is_some()), (5, true));
    assert_eq!(retirable(OWNER, next.clone()).await, Ok((2, None)));
    assert_eq!(retirable(OTHER, next).await, Err(invalid));
    assert_eq!(retirable(OWNER, marker).await, Err(invalid));
    // One by its id.
    let by_id = |id: &str| ListGrantsRequest { grant_id: Some(id.to_owned()), ..ask(&key, None, None) };
    assert_eq!(world.list_as(OWNER, by_id(&made[3])).await.unwrap().grants.unwrap().len(), 1);
    assert_eq!(world.list_as(OWNER, by_id(&"0".repeat(64))).await.unwrap().grants.unwrap().len(), 0);
    let theirs = ListGrantsRequest { grantee_principal: Some(root(OTHER)), ..by_id(&made[3]) };
    assert_eq!(world.list_as(OWNER, theirs).await.unwrap().grants.unwrap().len(), 0);
}

#[tokio::test]
async fn a_deleted_key_takes_its_grants_along() {
    let (base, world) = World::new().await;
    let (key, other) = (world.create().await, world.create().await);
    for number in 0..23 {
        let request = CreateGrantRequest {
            retiring_principal: Some(root(OTHER)),
            name: Some(format!("n{number}")),
            constraints: subset(&pairs(&[("number", &number.to_string())])),
            ..grant(
                &key,
                &root(OTHER),
                &[ALL.as_slice(), &[GrantOperation::Decrypt, GrantOperation::DescribeKey]].concat(),
            )
        };
        world.grant(request).await;
    }
    world
        .grant(CreateGrantRequest { retiring_principal: Some(root(OTHER)), ..grant(&other, &root(OTHER), &ALL) })
        .await;
    assert_eq!(world.retirable_as(OTHER, &root(OTHER)).await.unwrap().len(), 24);
    world.schedule(&key).await.unwrap();
    base.advance(8 * DAY);
    assert!(world.engine.run_due(&world.kms).await.unwrap() > 3, "not all at once");
    assert_eq!(world.retirable_as(OTHER, &root(OTHER)).await.unwrap().len(), 1);
    world.engine.sync_audit().await.unwrap();
    let left = crate::rows(&*base.store).await;
    let named: Vec<_> =
        left.iter().map(|(row, _)| String::from_utf8_lossy(row)).filter(|row| row.contains(&key)).collect();
    assert_eq!(named, Vec::<String>::new(), "no row of the key is left");
    assert_eq!(world.engine.run_due(&world.kms).await, Ok(0));
    assert!(world.engine.scrub().await.unwrap().broken.is_empty());
}

#[tokio::test]
async fn records_show_the_grant_and_never_a_token() {
    let (_, world) = World::new().await;
    let key = world.create().await;
    let request = CreateGrantRequest { constraints: equals(&pairs(&[("a", "1")])), ..grant(&key, &root(OTHER), &ALL) };
    let (id, token) = world.grant_as(OWNER, request).await.unwrap();
    let retire = RetireGrantRequest { grant_token: Some(token.clone()), ..RetireGrantRequest::default() };
    world.call(request!(RetireGrant, retire)).await.unwrap();
    world.engine.sync_audit().await.unwrap();
    let lines = world.engine.audit().lines();
    let line = |name: &str| lines.iter().find(|line| line.contains(&format!("\"{name}\""))).unwrap().clone();
    let made = line("CreateGrant");
    for part in [
        format!(r#""granteePrincipal":"{}""#, root(OTHER)),
        r#""operations":["Encrypt","CreateGrant","RetireGrant"]"#.to_owned(),
        r#""constraints":{"encryptionContextEquals":{"a":"1"}}"#.to_owned(),
        format!(r#""grantId":"{id}""#),
        format!(r#""keyId":"{}""#, arn(&key)),
    ] {
        assert!(made.contains(&part), "{part} in {made}");
    }
    let retired = lines.iter().find(|line| line.contains(r#""eventName":"RetireGrant""#)).unwrap();
    assert!(retired.contains(&format!(r#""additionalEventData":{{"grantId":"{id}"}}"#)), "{retired}");
    assert!(retired.contains(r#""requestParameters":null"#) && retired.contains(&arn(&key)), "{retired}");
    assert!(lines.iter().all(|line| !line.contains(&token)));
}

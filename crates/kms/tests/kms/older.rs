//! Records of earlier versions in a store, which newer ones meet.

use claviger_api::kms::{DeleteAliasRequest, DescribeKeyRequest, PutKeyPolicyRequest, Request, UpdateAliasRequest};
use claviger_crypto::DomainKeys;
use claviger_engine::{BadRecord, Fault, Record, RowKey, Seed, Writes};

use crate::{OWNER, REGION, World, request};

/// The key of the golden files: version 1 of its facts, which lists no aliases.
const ID: &str = "1234abcd-12ab-34cd-56ef-1234567890ab";
const FACTS: &str = include_str!("../../testdata/golden/facts-enabled.hex");
const ALIAS: &str = include_str!("../../testdata/golden/alias.hex");
const LISTED: &str = include_str!("../../testdata/golden/listed.hex");

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

fn describe(key: &str) -> Request {
    request!(DescribeKey, DescribeKeyRequest { key_id: key.to_owned(), ..DescribeKeyRequest::default() })
}

/// An account with the key and two aliases of it.
async fn stage() -> World {
    let (base, world) = World::new().await;
    let of_key = format!("{REGION}.{ID}");
    let of_account = format!("{REGION}.{OWNER}");
    let rows = [
        (RowKey::new("key", &of_key, "facts"), FACTS),
        (RowKey::new("keys", &of_account, ID), LISTED),
        (RowKey::new("key", &of_key, "named/alias/one"), LISTED),
        (RowKey::new("key", &of_key, "named/alias/two"), LISTED),
        (RowKey::new("alias", &of_account, "alias/one"), ALIAS),
        (RowKey::new("alias", &of_account, "alias/two"), ALIAS),
    ];
    let seeded = Seed::new(&world.engine, REGION, OWNER)
        .run::<Fault>(async |call| {
            let mut writes = Writes::default();
            for (key, record) in rows {
                assert!(call.row::<Given>(&key).await?.is_none());
                writes.put(call, key, Given(hex::decode(record.trim()).unwrap()))?;
            }
            Ok(writes)
        })
        .await;
    assert_eq!(seeded, Ok(()));
    // What is in memory is not what a newer version would read.
    drop(world);
    base.open().await.unwrap()
}

/// Which aliases a condition sees.
async fn names(world: &World) -> Vec<&'static str> {
    let mut names = Vec::new();
    for name in ["alias/one", "alias/two", "alias/three"] {
        // One denial by each name: whoever is denied has it.
        let policy = format!(
            r#"{{"Version":"2012-10-17","Statement":[
                {{"Effect":"Allow","Principal":{{"AWS":"{OWNER}"}},"Action":"kms:*","Resource":"*"}},
                {{"Effect":"Deny","Principal":"*","Action":"kms:DescribeKey","Resource":"*","Condition":
                {{"ForAnyValue:StringEquals":{{"kms:ResourceAliases":"{name}"}}}}}}]}}"#
        );
        let put = PutKeyPolicyRequest { key_id: ID.to_owned(), policy, ..PutKeyPolicyRequest::default() };
        world.call(request!(PutKeyPolicy, put)).await.unwrap();
        if world.call(describe(ID)).await.is_err() {
            names.push(name);
        }
    }
    names
}

/// The first change of the key writes the list, and from then on it is kept.
#[tokio::test]
async fn aliases_of_a_key_that_does_not_list_them() {
    let world = stage().await;
    assert!(world.call(describe("alias/two")).await.is_ok());
    assert_eq!(names(&world).await, ["alias/one", "alias/two"]);
    world.alias("alias/three", ID).await.unwrap();
    let request = DeleteAliasRequest { alias_name: "alias/one".to_owned() };
    world.call(request!(DeleteAlias, request)).await.unwrap();
    assert_eq!(names(&world).await, ["alias/two", "alias/three"]);
    let other = world.create().await;
    let request = UpdateAliasRequest { alias_name: "alias/two".to_owned(), target_key_id: other };
    world.call(request!(UpdateAlias, request)).await.unwrap();
    assert_eq!(names(&world).await, ["alias/three"]);
    assert!(world.engine.scrub().await.unwrap().broken.is_empty());
}

#[tokio::test]
async fn the_first_change_may_be_one_of_the_aliases() {
    let world = stage().await;
    world.alias("alias/three", ID).await.unwrap();
    assert_eq!(names(&world).await, ["alias/one", "alias/two", "alias/three"]);
    let world = stage().await;
    let request = DeleteAliasRequest { alias_name: "alias/one".to_owned() };
    world.call(request!(DeleteAlias, request)).await.unwrap();
    assert_eq!(names(&world).await, ["alias/two"]);
}

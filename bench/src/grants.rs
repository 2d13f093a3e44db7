//! Whether grants slow a key down: Encrypt by a grantee, under a key with one grant and under keys with many.

#![expect(clippy::print_stdout, reason = "the result lines are its interface")]

use std::sync::Arc;
use std::sync::atomic::{AtomicUsize, Ordering};
use std::time::Duration;

use clap::Args;
use http::Uri;
use serde_json::{Value, json};
use tokio::task::JoinSet;

use crate::BenchError;
use crate::load::{REQUESTS_PER_CONNECTION, measure};
use crate::prepare::Client;
use crate::wire_client::Connection;

const REGION: &str = "eu-central-1";
/// Grants that are made at the same time.
const MAKERS: usize = 256;

/// Whose keys, for whom, and how many grants.
#[derive(Args)]
pub(crate) struct Options {
    /// The server, as `http://host:port`.
    #[arg(long)]
    url: Uri,
    /// A root access key: `ACCESS_KEY_ID:SECRET`.
    #[arg(long, value_parser = credential)]
    owner: (String, String),
    /// Another account and a root access key of it: `ACCOUNT=ACCESS_KEY_ID:SECRET`.
    #[arg(long, value_parser = grantee)]
    grantee: (String, (String, String)),
    /// Grants on each of the keys with many.
    #[arg(long, default_value_t = 50_000)]
    grants: usize,
    /// Connections at once, each with one request in flight.
    #[arg(long, default_value_t = 32)]
    connections: usize,
    /// How long to measure each key in a round.
    #[arg(long, default_value_t = 2)]
    seconds: u64,
    /// How often the keys take turns; the medians count.
    #[arg(long, default_value_t = 5)]
    rounds: usize,
}

fn credential(text: &str) -> Result<(String, String), String> {
    let (id, secret) = text.split_once(':').ok_or("ACCESS_KEY_ID:SECRET is expected")?;
    Ok((id.to_owned(), secret.to_owned()))
}

fn grantee(text: &str) -> Result<(String, (String, String)), String> {
    let (account, key) = text.split_once('=').ok_or("ACCOUNT=ACCESS_KEY_ID:SECRET is expected")?;
    Ok((account.to_owned(), credential(key)?))
}

/// Who has the grants of a key besides the one that is used.
#[derive(Clone, Copy)]
enum Others {
    /// Nobody.
    None,
    /// The same grantee, each grant for another encryption context.
    SameGrantee,
    /// As many sessions of a federated user.
    OtherGrantees,
}

/// Makes the keys and their grants, measures, and prints a line a key.
pub(crate) async fn run(options: Options) -> Result<(), BenchError> {
    let (account, (id, secret)) = &options.grantee;
    let owner = Arc::new(Client::of(options.url.clone(), &options.owner.0, &options.owner.1, REGION));
    let user = Client::of(options.url.clone(), id, secret, REGION);
    let count = options.grants;
    let mut keys = Vec::new();
    for (name, others) in [
        ("one grant".to_owned(), Others::None),
        (format!("{count} grants, one grantee"), Others::SameGrantee),
        (format!("{count} grants, as many grantees"), Others::OtherGrantees),
    ] {
        let key_id = key(&owner, account, others, count).await?;
        keys.push((name, key_id, Vec::new()));
    }
    for _ in 0..options.rounds {
        for (_, key_id, rates) in &mut keys {
            let requests = requests(&user, key_id, options.connections)?;
            let times = measure(&options.url, &requests, Duration::from_secs(options.seconds)).await?;
            rates.push(u64::try_from(times.len())? / options.seconds);
        }
    }
    let mut first = None;
    for (name, _, rates) in &mut keys {
        rates.sort_unstable();
        let median = rates.get(rates.len() / 2).copied().unwrap_or_default();
        let of = *first.get_or_insert(median);
        println!("{name:<32} {median:>7} req/s, ratio {:.2}", ratio(median, of));
    }
    Ok(())
}

/// Signed for each measurement anew: making the grants may take longer than a signature is good for.
fn requests(user: &Client, key_id: &str, connections: usize) -> Result<Vec<Vec<u8>>, BenchError> {
    let body = json!({"KeyId": key_id, "Plaintext": "AAAA", "EncryptionContext": {"tenant": "0"}}).to_string();
    (0..connections * REQUESTS_PER_CONNECTION).map(|_| user.request("Encrypt", body.as_bytes())).collect()
}

#[expect(clippy::cast_precision_loss, reason = "requests per second are far below 2^52")]
fn ratio(ours: u64, of: u64) -> f64 {
    ours as f64 / of.max(1) as f64
}

/// A key with a grant to the account's root for the context `tenant: 0`, and the others.
async fn key(owner: &Arc<Client>, account: &str, others: Others, count: usize) -> Result<String, BenchError> {
    let made = owner.call("CreateKey", &json!({"Description": "claviger-bench grants"})).await?;
    let key_id = made.pointer("/KeyMetadata/Arn").and_then(Value::as_str).ok_or("CreateKey answered no Arn")?;
    let count = if matches!(others, Others::None) { 1 } else { count };
    let next = Arc::new(AtomicUsize::new(0));
    let mut makers = JoinSet::new();
    for _ in 0..MAKERS {
        let (owner, next) = (Arc::clone(owner), Arc::clone(&next));
        let (key_id, account) = (key_id.to_owned(), account.to_owned());
        makers.spawn(async move {
            let mut connection = owner.connection().await?;
            loop {
                let number = next.fetch_add(1, Ordering::Relaxed);
                if number >= count {
                    return Ok::<_, BenchError>(());
                }
                make(&owner, &mut connection, &grant(&key_id, &account, others, number)).await?;
            }
        });
    }
    while let Some(done) = makers.join_next().await {
        done??;
    }
    Ok(key_id.to_owned())
}

fn grant(key_id: &str, account: &str, others: Others, number: usize) -> Value {
    let (grantee, tenant) = match (others, number) {
        (Others::OtherGrantees, 1..) => (format!("arn:aws:sts::{account}:federated-user/user{number}"), 0),
        _ => (format!("arn:aws:iam::{account}:root"), number),
    };
    json!({
        "KeyId": key_id,
        "GranteePrincipal": grantee,
        "Operations": ["Encrypt"],
        "Constraints": {"EncryptionContextSubset": {"tenant": tenant.to_string()}},
    })
}

async fn make(owner: &Client, connection: &mut Connection, grant: &Value) -> Result<(), BenchError> {
    let request = owner.request("CreateGrant", grant.to_string().as_bytes())?;
    let reply = connection.exchange(&request).await?;
    if reply.status == 200 {
        return Ok(());
    }
    Err(format!("CreateGrant: {} {}", reply.status, String::from_utf8_lossy(reply.body)).into())
}

//! Accounts as their operator handles them: made, listed, closed, opened again, given new root credentials.

use claviger_api::Timestamp;
use claviger_crypto::DomainKeys;
use claviger_engine::{
    ApiError as _, BadRecord, Call, Command, CommandError, CommandWork, Commanded, Engine, Fault, Reader, Record,
    Recorded, RowKey, Seed, Value, Writer, Writes,
};
use claviger_policy::AccountId;

use crate::records::{
    AccessKey, Account, Fence, LastUse, access_key_key, access_key_quota, account_key, last_use_key, own_access_key,
};
use crate::{IamError, RootCredential, access_keys};

/// The longest name of an account, in characters; AWS's bound.
pub const ACCOUNT_NAME_CHARACTERS_MAX: usize = 50;
/// Accounts that one listing gives.
pub const ACCOUNTS_PAGE: usize = 1_000;
/// Access keys of one root at most.
const ROOT_KEYS_MAX: usize = 2;
const FACTS: &str = "iam account facts";

/// What may change about an account. It is a row of each account's own, apart from the rows that list the accounts:
/// those are guarded together, and when one of them is lost the others must stay as closed or open as they were.
pub(crate) struct AccountFacts {
    pub(crate) name: String,
    pub(crate) closed: Option<Timestamp>,
}

impl AccountFacts {
    const OPEN: Self = Self { name: String::new(), closed: None };
}

impl Record for AccountFacts {
    fn encode(&self, _: &DomainKeys) -> Result<Vec<u8>, Fault> {
        let Self { name, closed } = self;
        let mut writer = Writer::record(FACTS, 1);
        writer.text(name);
        writer.option(closed.as_ref(), |writer, closed| writer.i64(closed.millis()));
        Ok(writer.finish())
    }

    fn decode(bytes: &[u8], _: &DomainKeys) -> Result<Self, BadRecord> {
        let (mut reader, _) = Reader::record(bytes, FACTS, 1)?;
        let name = reader.text()?.to_owned();
        let closed = reader.option(|reader| Ok(Timestamp::from_millis(reader.i64()?)))?;
        reader.end()?;
        Ok(Self { name, closed })
    }
}

fn facts_key(account: &str) -> RowKey {
    RowKey::new("account-facts", account, "")
}

/// An account as it is listed.
#[derive(Clone, Debug, PartialEq, Eq)]
pub struct AccountSummary {
    /// Its twelve digits.
    pub account: String,
    /// What its operator calls it; may be empty.
    pub name: String,
    /// When it was made.
    pub created: Timestamp,
    /// When it was closed, if it is.
    pub closed: Option<Timestamp>,
}

/// Whether an account is open. One without facts is: it was made by a release that could not close it.
pub(crate) async fn is_open(call: &mut Call<'_>, account: &str) -> Result<bool, Fault> {
    let facts = call.row::<AccountFacts>(&facts_key(account)).await?;
    Ok(facts.is_none_or(|facts| facts.record.closed.is_none()))
}

/// Adds the facts of a new account, without a name.
pub(crate) async fn begin(call: &mut Call<'_>, writes: &mut Writes, account: &str) -> Result<(), Fault> {
    let key = facts_key(account);
    if call.row::<AccountFacts>(&key).await?.is_none() {
        writes.put(call, key, AccountFacts::OPEN)?;
    }
    Ok(())
}

/// Gives facts to the accounts that an older release made without. Until then each of their calls asks the store in
/// vain.
///
/// # Errors
/// A [`Fault`] of the store; some may have their facts then.
pub async fn complete_accounts(engine: &Engine) -> Result<(), Fault> {
    for account in crate::accounts(engine).await? {
        let mut seed = Seed::new(engine, "us-east-1", &account);
        seed.run::<Fault>(async |call| {
            let mut writes = Writes::default();
            begin(call, &mut writes, &account).await?;
            Ok(writes)
        })
        .await?;
    }
    Ok(())
}

/// Makes an account with a root access key.
///
/// # Errors
/// Outside, [`Fault::Audit`]; inside, `AccountAlreadyExists` or `InvalidName`.
pub async fn make_account(
    engine: &Engine,
    command: &Command,
    account: AccountId,
    name: &str,
) -> Result<Recorded<Result<RootCredential, CommandError>>, Fault> {
    let made = engine.operate(command, &MakeAccount { account, name }).await?;
    if made.as_ref().is_ok() {
        engine.account_made(account.as_str());
    }
    Ok(made)
}

struct MakeAccount<'a> {
    account: AccountId,
    name: &'a str,
}

impl CommandWork for MakeAccount<'_> {
    type Response = RootCredential;

    async fn run(&self, call: &mut Call<'_>) -> Result<Commanded<RootCredential>, CommandError> {
        let Self { account, name } = *self;
        if name.chars().count() > ACCOUNT_NAME_CHARACTERS_MAX || name.chars().any(char::is_control) {
            let message = format!("a name has at most {ACCOUNT_NAME_CHARACTERS_MAX} characters, none of control");
            return Err(CommandError::refused("InvalidName", message));
        }
        let (key, facts) = (account_key(account.as_str()), facts_key(account.as_str()));
        if call.row::<Account>(&key).await?.is_some() || call.row::<AccountFacts>(&facts).await?.is_some() {
            return Err(CommandError::refused(
                "AccountAlreadyExists",
                format!("there is an account {account} already"),
            ));
        }
        let (credential, mut writes) = root_credential(call, account).await?;
        writes.put(call, key, Account { created: call.now() })?;
        writes.put(call, facts, AccountFacts { name: name.to_owned(), closed: None })?;
        Ok(shown(account, credential, writes))
    }
}

/// Gives an account's root another access key; with `replace`, in place of those that it has. The caller has checked
/// whether the operator holds the unseal secret, and `proven` says what came of it: a refusal is recorded too.
///
/// # Errors
/// Outside, [`Fault::Audit`]; inside, `WrongUnsealSecret`, `NoSuchAccount` or `TooManyAccessKeys`.
pub async fn make_root_credentials(
    engine: &Engine,
    command: &Command,
    account: AccountId,
    proven: bool,
    replace: bool,
) -> Result<Recorded<Result<RootCredential, CommandError>>, Fault> {
    engine.operate(command, &MakeRootCredentials { account, proven, replace }).await
}

struct MakeRootCredentials {
    account: AccountId,
    proven: bool,
    replace: bool,
}

impl CommandWork for MakeRootCredentials {
    type Response = RootCredential;

    async fn run(&self, call: &mut Call<'_>) -> Result<Commanded<RootCredential>, CommandError> {
        let Self { account, proven, replace } = *self;
        if !proven {
            return Err(CommandError::refused("WrongUnsealSecret", "this is not the deployment's unseal secret"));
        }
        demand(call, account).await?;
        let old = call.rows::<AccessKey>(&own_access_key(account.as_str(), ""), None, ROOT_KEYS_MAX + 1).await?;
        if !replace && old.len() >= ROOT_KEYS_MAX {
            let message = "the root has two access keys already; --replace puts the new one in their place";
            return Err(CommandError::refused("TooManyAccessKeys", message));
        }
        let (credential, mut writes) = root_credential(call, account).await?;
        for (own, _) in old.into_iter().filter(|_| replace) {
            let key = access_key_key(own.rest());
            if call.row::<AccessKey>(&key).await?.is_some() {
                writes.delete(key);
            }
            let last_use = last_use_key(own.rest());
            if call.row::<LastUse>(&last_use).await?.is_some() {
                writes.delete(last_use);
            }
            writes.delete(own);
        }
        // As with CreateAccessKey: two that are made at once meet here.
        let quota = access_key_quota(account.as_str());
        call.row::<Fence>(&quota).await?;
        writes.put(call, quota, Fence)?;
        Ok(shown(account, credential, writes))
    }
}

/// Closes an account or opens it again; one that is so already stays as it is.
///
/// # Errors
/// Outside, [`Fault::Audit`]; inside, `NoSuchAccount`.
pub async fn set_account_open(
    engine: &Engine,
    command: &Command,
    account: AccountId,
    open: bool,
) -> Result<Recorded<Result<AccountSummary, CommandError>>, Fault> {
    engine.operate(command, &SetAccountOpen { account, open }).await
}

struct SetAccountOpen {
    account: AccountId,
    open: bool,
}

impl CommandWork for SetAccountOpen {
    type Response = AccountSummary;

    async fn run(&self, call: &mut Call<'_>) -> Result<Commanded<AccountSummary>, CommandError> {
        let Self { account, open } = *self;
        let mut summary = demand(call, account).await?;
        let mut writes = Writes::default();
        if summary.closed.is_none() != open {
            summary.closed = (!open).then(|| call.now());
            let facts = AccountFacts { name: summary.name.clone(), closed: summary.closed };
            writes.put(call, facts_key(account.as_str()), facts)?;
        }
        Ok(Commanded { response: summary, writes, shown: Value::Null })
    }
}

/// Up to [`ACCOUNTS_PAGE`] accounts in the order of their digits, behind `after`.
///
/// # Errors
/// [`Fault::Audit`].
pub async fn list_accounts(
    engine: &Engine,
    command: &Command,
    after: Option<&str>,
) -> Result<Recorded<Result<Vec<AccountSummary>, CommandError>>, Fault> {
    engine.operate(command, &ListAccounts { after }).await
}

struct ListAccounts<'a> {
    after: Option<&'a str>,
}

impl CommandWork for ListAccounts<'_> {
    type Response = Vec<AccountSummary>;

    async fn run(&self, call: &mut Call<'_>) -> Result<Commanded<Vec<AccountSummary>>, CommandError> {
        let after = self.after.map(account_key);
        let rows = call.rows::<Account>(&account_key(""), after.as_ref(), ACCOUNTS_PAGE).await?;
        let mut found = Vec::with_capacity(rows.len());
        for (key, row) in rows {
            found.push(summary(call, key.rest(), row.record.created).await?);
        }
        Ok(Commanded { response: found, writes: Writes::default(), shown: Value::Null })
    }
}

/// How many accounts there are, and how many of them are closed.
///
/// # Errors
/// A [`Fault`] of the store, or an account's row that does not open.
pub async fn count_accounts(call: &mut Call<'_>) -> Result<(usize, usize), Fault> {
    let (mut all, mut closed, mut after) = (0, 0, None);
    loop {
        let rows = call.rows::<Account>(&account_key(""), after.as_ref(), ACCOUNTS_PAGE).await?;
        for (key, _) in &rows {
            all += 1;
            closed += usize::from(!is_open(call, key.rest()).await?);
        }
        match rows.last() {
            Some((key, _)) if rows.len() == ACCOUNTS_PAGE => after = Some(key.clone()),
            _ => return Ok((all, closed)),
        }
    }
}

async fn summary(call: &mut Call<'_>, account: &str, created: Timestamp) -> Result<AccountSummary, Fault> {
    let facts = call.row::<AccountFacts>(&facts_key(account)).await?;
    let (name, closed) = facts.map_or((String::new(), None), |facts| (facts.record.name.clone(), facts.record.closed));
    Ok(AccountSummary { account: account.to_owned(), name, created, closed })
}

async fn demand(call: &mut Call<'_>, account: AccountId) -> Result<AccountSummary, CommandError> {
    let row = call.row::<Account>(&account_key(account.as_str())).await?;
    let row = row.ok_or_else(|| CommandError::refused("NoSuchAccount", format!("there is no account {account}")))?;
    Ok(summary(call, account.as_str(), row.record.created).await?)
}

async fn root_credential(call: &mut Call<'_>, account: AccountId) -> Result<(RootCredential, Writes), CommandError> {
    let made = access_keys::make(call, account.as_str(), None, None).await;
    let (access_key_id, secret_access_key, writes) = made.map_err(|error: IamError| match error.fault() {
        Some(fault) => CommandError::Fault(fault.clone()),
        None => CommandError::Fault(Fault::Contention),
    })?;
    Ok((RootCredential { access_key_id, secret_access_key }, writes))
}

fn shown(account: AccountId, response: RootCredential, writes: Writes) -> Commanded<RootCredential> {
    let shown = Value::object([
        ("accountId", Value::text(&account)),
        ("accessKeyId", Value::public_text(&response.access_key_id)),
    ]);
    Commanded { response, writes, shown }
}

#[cfg(test)]
mod tests {
    #![expect(clippy::unwrap_used, reason = "tests")]

    use super::*;

    fn path(name: &str) -> String {
        format!("{}/testdata/golden/{name}.hex", env!("CARGO_MANIFEST_DIR"))
    }

    fn file(name: &str) -> Vec<u8> {
        hex::decode(std::fs::read_to_string(path(name)).unwrap().trim()).unwrap()
    }

    fn open() -> AccountFacts {
        AccountFacts { name: "Straße 7".to_owned(), closed: None }
    }

    fn closed() -> AccountFacts {
        AccountFacts { name: String::new(), closed: Some(Timestamp::from_millis(1_790_000_000_123)) }
    }

    #[test]
    fn account_facts_stay_readable() {
        let keys = DomainKeys::generate().unwrap();
        for (name, made) in [("account-facts", open()), ("account-facts-closed", closed())] {
            assert_eq!(made.encode(&keys).unwrap(), file(name));
            let read = AccountFacts::decode(&file(name), &keys).unwrap();
            assert_eq!((read.name, read.closed), (made.name, made.closed));
            for at in 0..file(name).len() {
                assert!(AccountFacts::decode(file(name).get(..at).unwrap(), &keys).is_err(), "{name} cut at {at}");
            }
        }
    }

    #[test]
    #[ignore = "makes golden files for formats that are new"]
    fn make() {
        let keys = DomainKeys::generate().unwrap();
        for (name, made) in [("account-facts", open()), ("account-facts-closed", closed())] {
            if !std::path::Path::new(&path(name)).exists() {
                std::fs::write(path(name), hex::encode(made.encode(&keys).unwrap()) + "\n").unwrap();
            }
        }
    }
}

//! CreateAccessKey, ListAccessKeys, DeleteAccessKey: the access keys of an account's root. Users come later, so a
//! request that names one meets a user that does not exist.

use claviger_api::iam::{
    AccessKey as WireAccessKey, AccessKeyMetadata, CreateAccessKeyRequest, CreateAccessKeyResponse,
    DeleteAccessKeyRequest, ListAccessKeysRequest, ListAccessKeysResponse, StatusType,
};
use claviger_api::{Timestamp, Valid};
use claviger_engine::{
    Audited, Authorized, Call, Fault, Named, Operation, OperationRow, Outcome, Question, Value, Writes,
};
use claviger_secret::SecretBytes;

use crate::records::{AccessKey, Fence, access_key_key, access_key_quota, own_access_key};
use crate::{Iam, IamError};

/// Access keys of one root at most.
const KEYS_MAX: usize = 2;
const ID_ALPHABET: &[u8; 32] = b"ABCDEFGHIJKLMNOPQRSTUVWXYZ234567";
const SECRET_ALPHABET: &[u8; 64] = b"ABCDEFGHIJKLMNOPQRSTUVWXYZabcdefghijklmnopqrstuvwxyz0123456789+/";

const fn row(name: &'static str, read_only: bool) -> OperationRow {
    OperationRow { name, event_source: "iam.amazonaws.com", read_only }
}

fn question(call: &Call<'_>, action: &'static str) -> Vec<Question> {
    vec![Question {
        action,
        resource: call.caller().principal().account().root_arn(),
        resource_account: call.caller().principal().account(),
        resource_policy: None,
        cross_account: false,
        named: Named::ByArn,
    }]
}

fn demand_root(user: Option<&str>) -> Result<(), IamError> {
    match user {
        None => Ok(()),
        Some(name) => Err(IamError::NoSuchEntity(format!("The user with name {name} cannot be found."))),
    }
}

/// Characters of the alphabet, picked without bias: the alphabets have 32 and 64 letters, which divide 256.
fn text<const N: usize>(random: &[u8], alphabet: &[u8; N]) -> Vec<u8> {
    random.iter().filter_map(|byte| alphabet.get(usize::from(*byte) % N)).copied().collect()
}

/// A new access key of this root, and the rows that hold it.
pub(crate) async fn make(
    call: &mut Call<'_>,
    account: &str,
    given: Option<(String, SecretBytes)>,
) -> Result<(String, SecretBytes, Writes), IamError> {
    let (id, secret) = match given {
        Some(given) => given,
        None => {
            let id = [b"AKIA".to_vec(), text(&call.random::<16>()?, ID_ALPHABET)].concat();
            let mut random = call.random::<40>()?;
            let secret = SecretBytes::new(text(&random, SECRET_ALPHABET));
            random.fill(0);
            (String::from_utf8_lossy(&id).into_owned(), secret)
        }
    };
    let (key, own) = (access_key_key(&id), own_access_key(account, &id));
    if call.row::<AccessKey>(&key).await?.is_some() || call.row::<AccessKey>(&own).await?.is_some() {
        return Err(Fault::Contention.into());
    }
    let record = |secret: &SecretBytes| AccessKey {
        id: id.clone(),
        account: account.to_owned(),
        created: call.now(),
        secret: SecretBytes::from_slice(secret.expose()),
    };
    let mut writes = Writes::default();
    writes.put(call, key, record(&secret))?;
    // The listing row holds no secret.
    writes.put(call, own, record(&SecretBytes::zeroed(0)))?;
    Ok((id, secret, writes))
}

async fn own(call: &mut Call<'_>) -> Result<Vec<(String, Timestamp)>, IamError> {
    let account = call.caller().account().to_owned();
    let rows = call.rows::<AccessKey>(&own_access_key(&account, ""), None, KEYS_MAX + 1).await?;
    Ok(rows.into_iter().map(|(key, row)| (key.rest().to_owned(), row.record.created)).collect())
}

pub(crate) struct CreateAccessKey;

impl Operation for CreateAccessKey {
    type Service = Iam;
    type Request = Valid<CreateAccessKeyRequest>;
    type Response = CreateAccessKeyResponse;
    type Error = IamError;
    type Resources = ();
    const ROW: OperationRow = row("CreateAccessKey", false);

    async fn resolve(_: &mut Call<'_>, _: &Iam, request: &Self::Request) -> Result<(), IamError> {
        demand_root(request.user_name.as_deref())
    }

    fn questions(call: &Call<'_>, (): &(), _: &Self::Request) -> Vec<Question> {
        question(call, "iam:CreateAccessKey")
    }

    async fn perform(
        call: &mut Call<'_>,
        _: &Iam,
        _: &Authorized<Self>,
        _: &Self::Request,
    ) -> Result<Outcome<CreateAccessKeyResponse>, IamError> {
        if own(call).await?.len() >= KEYS_MAX {
            return Err(IamError::LimitExceeded("Cannot exceed quota for AccessKeysPerUser: 2"));
        }
        let account = call.caller().account().to_owned();
        let (id, secret, mut writes) = make(call, &account, None).await?;
        // A key that another call makes meanwhile is not among those read: both write this row, so one runs again.
        let quota = access_key_quota(&account);
        call.row::<Fence>(&quota).await?;
        writes.put(call, quota, Fence)?;
        let access_key = WireAccessKey {
            user_name: "root".to_owned(),
            access_key_id: id,
            status: StatusType::Active,
            secret_access_key: secret,
            create_date: Some(call.now()),
        };
        Ok(Outcome::with_writes(CreateAccessKeyResponse { access_key }, writes))
    }

    fn audited(
        _: &Self::Request,
        _: Option<&Self::Resources>,
        response: Option<&CreateAccessKeyResponse>,
        audited: &mut Audited,
    ) {
        if let Some(response) = response {
            audited.response_elements =
                Value::object([("accessKeyId", Value::public_text(&response.access_key.access_key_id))]);
        }
    }
}

pub(crate) struct ListAccessKeys;

impl Operation for ListAccessKeys {
    type Service = Iam;
    type Request = Valid<ListAccessKeysRequest>;
    type Response = ListAccessKeysResponse;
    type Error = IamError;
    type Resources = ();
    const ROW: OperationRow = row("ListAccessKeys", true);

    async fn resolve(_: &mut Call<'_>, _: &Iam, request: &Self::Request) -> Result<(), IamError> {
        demand_root(request.user_name.as_deref())
    }

    fn questions(call: &Call<'_>, (): &(), _: &Self::Request) -> Vec<Question> {
        question(call, "iam:ListAccessKeys")
    }

    async fn perform(
        call: &mut Call<'_>,
        _: &Iam,
        _: &Authorized<Self>,
        request: &Self::Request,
    ) -> Result<Outcome<ListAccessKeysResponse>, IamError> {
        let limit = usize::try_from(request.max_items.unwrap_or(100)).unwrap_or(100);
        let after = request.marker.clone().unwrap_or_default();
        let mut found: Vec<_> = own(call).await?.into_iter().filter(|(id, _)| *id > after).collect();
        let more = found.len() > limit;
        found.truncate(limit);
        let marker = found.last().filter(|_| more).map(|(id, _)| id.clone());
        let metadata = found.into_iter().map(|(id, created)| AccessKeyMetadata {
            access_key_id: Some(id),
            status: Some(StatusType::Active),
            create_date: Some(created),
            ..AccessKeyMetadata::default()
        });
        let response =
            ListAccessKeysResponse { access_key_metadata: metadata.collect(), is_truncated: Some(more), marker };
        Ok(Outcome::read_only(response))
    }

    fn audited(_: &Self::Request, _: Option<&Self::Resources>, _: Option<&ListAccessKeysResponse>, _: &mut Audited) {}
}

pub(crate) struct DeleteAccessKey;

impl Operation for DeleteAccessKey {
    type Service = Iam;
    type Request = Valid<DeleteAccessKeyRequest>;
    type Response = ();
    type Error = IamError;
    type Resources = ();
    const ROW: OperationRow = row("DeleteAccessKey", false);

    async fn resolve(_: &mut Call<'_>, _: &Iam, request: &Self::Request) -> Result<(), IamError> {
        demand_root(request.user_name.as_deref())
    }

    fn questions(call: &Call<'_>, (): &(), _: &Self::Request) -> Vec<Question> {
        question(call, "iam:DeleteAccessKey")
    }

    async fn perform(
        call: &mut Call<'_>,
        _: &Iam,
        _: &Authorized<Self>,
        request: &Self::Request,
    ) -> Result<Outcome<()>, IamError> {
        let id = &request.access_key_id;
        let missing = || IamError::NoSuchEntity(format!("The Access Key with id {id} cannot be found."));
        let account = call.caller().account().to_owned();
        let (key, own) = (access_key_key(id), own_access_key(&account, id));
        let found = call.row::<AccessKey>(&own).await?.is_some() && call.row::<AccessKey>(&key).await?.is_some();
        if !found {
            return Err(missing());
        }
        let mut writes = Writes::default();
        writes.delete(key);
        writes.delete(own);
        Ok(Outcome::with_writes((), writes))
    }

    fn audited(request: &Self::Request, _: Option<&Self::Resources>, _: Option<&()>, audited: &mut Audited) {
        audited.request_parameters = Value::object([("accessKeyId", Value::public_text(&request.access_key_id))]);
    }
}

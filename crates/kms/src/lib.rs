//! The KMS service: its operations, records and background work.
//!
//! Start at `operations/encrypt.rs`, then `operation.rs` (the form that most operations share), then
//! [`dispatch`] below, which knows every operation of the interface.

mod error;
mod find;
mod operation;
mod operations;
mod records;
mod state;

use claviger_api::kms::{Request, Response};
use claviger_api::{Refusal, Timestamp};
use claviger_crypto::KeyMaterial;
use claviger_engine::BoxFuture;
use claviger_engine::Recorded;
use claviger_engine::{Answer, ApiError, Call, CallMeta, Caller, DueJob, Engine, Fault, JobOutcome, Jobs, Seed};

pub use error::KmsError;
use operation::{EVENT_SOURCE, OnKey, row};
use operations::{
    aliases, create_key, decrypt, encrypt, generate_data_key, generate_random, keys, lifecycle, listing, policies,
    re_encrypt, tags,
};

/// The service's own state.
#[derive(Debug, Default)]
pub struct Kms;

/// Runs any operation of the interface; those that are not built yet say so.
///
/// # Errors
/// A [`Refusal`] when the call could not be recorded.
pub async fn dispatch(
    engine: &Engine,
    kms: &Kms,
    caller: &Caller,
    meta: &CallMeta,
    request: &Request,
) -> Result<Recorded<Answer<Response>>, Refusal> {
    macro_rules! call {
        ($operation:ty, $request:expr, $wrap:expr) => {
            engine
                .call::<$operation>(kms, caller, meta, $request)
                .await
                .map(|answer| answer.map(|answer| answer.map($wrap)))
        };
        ($operation:ty, $request:expr => $unit:ident) => {
            call!($operation, $request, |()| Response::$unit)
        };
    }
    match request {
        Request::CancelKeyDeletion(r) => call!(OnKey<lifecycle::CancelKeyDeletion>, r, Response::CancelKeyDeletion),
        Request::CreateAlias(r) => call!(aliases::CreateAlias, r => CreateAlias),
        Request::CreateKey(r) => call!(create_key::CreateKey, r, Response::CreateKey),
        Request::Decrypt(r) => call!(decrypt::Decrypt, r, Response::Decrypt),
        Request::DeleteAlias(r) => call!(aliases::DeleteAlias, r => DeleteAlias),
        Request::DescribeKey(r) => call!(OnKey<keys::DescribeKey>, r, Response::DescribeKey),
        Request::DisableKey(r) => call!(OnKey<lifecycle::DisableKey>, r => DisableKey),
        Request::EnableKey(r) => call!(OnKey<lifecycle::EnableKey>, r => EnableKey),
        Request::Encrypt(r) => call!(OnKey<encrypt::Encrypt>, r, Response::Encrypt),
        Request::GenerateDataKey(r) => call!(OnKey<generate_data_key::GenerateDataKey>, r, Response::GenerateDataKey),
        Request::GenerateDataKeyWithoutPlaintext(r) => {
            call!(
                OnKey<generate_data_key::GenerateDataKeyWithoutPlaintext>,
                r,
                Response::GenerateDataKeyWithoutPlaintext
            )
        }
        Request::GenerateRandom(r) => call!(generate_random::GenerateRandom, r, Response::GenerateRandom),
        Request::GetKeyPolicy(r) => call!(OnKey<policies::GetKeyPolicy>, r, Response::GetKeyPolicy),
        Request::ListAliases(r) => call!(aliases::ListAliases, r, Response::ListAliases),
        Request::ListKeyPolicies(r) => call!(OnKey<policies::ListKeyPolicies>, r, Response::ListKeyPolicies),
        Request::ListKeys(r) => call!(listing::ListKeys, r, Response::ListKeys),
        Request::ListResourceTags(r) => call!(OnKey<tags::ListResourceTags>, r, Response::ListResourceTags),
        Request::PutKeyPolicy(r) => call!(OnKey<policies::PutKeyPolicy>, r => PutKeyPolicy),
        Request::ReEncrypt(r) => call!(re_encrypt::ReEncrypt, r, Response::ReEncrypt),
        Request::ScheduleKeyDeletion(r) => {
            call!(OnKey<lifecycle::ScheduleKeyDeletion>, r, Response::ScheduleKeyDeletion)
        }
        Request::TagResource(r) => call!(OnKey<tags::TagResource>, r => TagResource),
        Request::UntagResource(r) => call!(OnKey<tags::UntagResource>, r => UntagResource),
        Request::UpdateAlias(r) => call!(aliases::UpdateAlias, r => UpdateAlias),
        Request::UpdateKeyDescription(r) => call!(OnKey<lifecycle::UpdateKeyDescription>, r => UpdateKeyDescription),
        // Named one by one, so that an operation new to the interface has to be thought of here.
        Request::ConnectCustomKeyStore(_)
        | Request::CreateCustomKeyStore(_)
        | Request::CreateGrant(_)
        | Request::Decapsulate(_)
        | Request::DeleteCustomKeyStore(_)
        | Request::DeleteImportedKeyMaterial(_)
        | Request::DeriveSharedSecret(_)
        | Request::DescribeCustomKeyStores(_)
        | Request::DisableKeyRotation(_)
        | Request::DisconnectCustomKeyStore(_)
        | Request::EnableKeyRotation(_)
        | Request::Encapsulate(_)
        | Request::GenerateDataKeyPair(_)
        | Request::GenerateDataKeyPairWithoutPlaintext(_)
        | Request::GenerateMac(_)
        | Request::GetKeyLastUsage(_)
        | Request::GetKeyRotationStatus(_)
        | Request::GetParametersForImport(_)
        | Request::GetPublicKey(_)
        | Request::ImportKeyMaterial(_)
        | Request::ListGrants(_)
        | Request::ListKeyRotations(_)
        | Request::ListRetirableGrants(_)
        | Request::ReplicateKey(_)
        | Request::RetireGrant(_)
        | Request::RevokeGrant(_)
        | Request::RotateKeyOnDemand(_)
        | Request::Sign(_)
        | Request::UpdateCustomKeyStore(_)
        | Request::UpdatePrimaryRegion(_)
        | Request::Verify(_)
        | Request::VerifyMac(_) => {
            let name = request.operation().name();
            let text = format!("{name} is not supported by this server yet.");
            engine.invalid(caller, meta, &row(name, false), KmsError::Unsupported(Some(text)).service_error())
        }
    }
}

impl Jobs for Kms {
    fn run<'a>(&'a self, call: &'a mut Call<'_>, job: &'a DueJob) -> BoxFuture<'a, Result<JobOutcome, Fault>> {
        Box::pin(lifecycle::run(call, job))
    }

    fn service(&self) -> &'static str {
        lifecycle::SERVICE
    }

    fn event_source(&self) -> &'static str {
        EVENT_SOURCE
    }
}

/// A key that a dev seed file asks for.
pub struct SeedKey {
    /// Its id, a UUID.
    pub id: String,
    /// Its account.
    pub account: String,
    /// Its Region.
    pub region: String,
    /// Its 32 bytes of material.
    pub material: KeyMaterial,
    /// Its aliases.
    pub aliases: Vec<String>,
}

/// Why a key could not be seeded.
#[derive(Debug, thiserror::Error)]
pub enum SeedError {
    /// The id is no key id.
    #[error("the key id is not a UUID")]
    KeyId,
    /// Something else, as the operation would refuse it.
    #[error("{0:?}")]
    Refused(KmsError),
}

/// Makes the key and its aliases, unless the key is there already (dev only).
///
/// # Errors
/// [`SeedError`] when the key cannot be made as it is described.
pub async fn seed(engine: &Engine, key: SeedKey, now: Timestamp) -> Result<(), SeedError> {
    if !find::is_key_id(&key.id) || key.id.starts_with("mrk-") {
        return Err(SeedError::KeyId);
    }
    let facts = create_key::seeded(key.id, key.account, key.region, now).map_err(SeedError::Refused)?;
    let mut seed = Seed::new(engine, &facts.region, &facts.account);
    let placed = seed
        .run::<KmsError>(async |call| {
            let (facts, mut writes) = create_key::place(call, facts, key.material).await?;
            for name in &key.aliases {
                aliases::place(call, &mut writes, &facts, name).await?;
            }
            Ok(writes)
        })
        .await;
    match placed {
        Ok(()) | Err(KmsError::AlreadyExists(_)) => Ok(()),
        Err(error) => Err(SeedError::Refused(error)),
    }
}

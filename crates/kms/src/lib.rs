//! The KMS service: its operations, records and background work.
//!
//! Start at `operations/encrypt.rs`, then `operation.rs` (the form that most operations share), then
//! [`dispatch`] below, which knows every operation of the interface.

mod algorithms;
mod conditions;
mod error;
mod explain;
mod find;
mod grants;
mod import_token;
mod key_count;
mod key_now;
mod life;
mod marker;
mod operation;
mod operations;
mod quotas;
mod recipient;
mod records;
mod state;
mod usage;

use std::sync::Arc;

use claviger_api::kms::{KeySpec, KeyUsageType, Request, Response};
use claviger_api::{Refusal, Timestamp};
use claviger_crypto::{
    AttestationRoots, KeyId, KeyMaterial, MacMaterial, MaterialSpec, PairMaterial, SymmetricMaterial,
};
use claviger_engine::BoxFuture;
use claviger_engine::Recorded;
use claviger_engine::{Answer, ApiError, Call, CallMeta, Caller, DueJob, Engine, Fault, JobOutcome, Jobs, Seed};
use claviger_secret::{SecretArray, SecretBytes};

pub use conditions::{CONDITION_KEYS, CONDITION_TABLES, KEY_POLICY_LIMITS};
pub use error::KmsError;
pub use explain::{Supposed, SupposedUse, supposed_use};
pub use key_now::{GRANTS_SHOWN_MAX, GrantNow, KeyName, KeyNow, key_now};
use operation::{EVENT_SOURCE, OnKey, row};
use operations::{
    aliases, create_grant, create_key, decrypt, encrypt, generate_data_key, generate_data_key_pair, generate_random,
    import, keys, last_usage, lifecycle, list_grants, listing, macs, policies, re_encrypt, replicas, retire_grant,
    rotation, shared_secrets, signatures, tags,
};
pub use quotas::REQUEST_QUOTAS;
use usage::Uses;
pub use usage::{FoundUse, FoundUses};

/// The service's own state.
pub struct Kms {
    /// Under which roots attestation documents are believed.
    attestation_roots: Arc<AttestationRoots>,
    /// Keys of an account in a Region at most.
    keys_max: u64,
    /// When keys were last used.
    uses: Uses,
}

impl Kms {
    /// A service that believes attestation documents under these roots.
    #[must_use]
    pub fn new(attestation_roots: AttestationRoots) -> Self {
        let keys_max = key_count::KEYS_MAX;
        Self { attestation_roots: Arc::new(attestation_roots), keys_max, uses: Uses::default() }
    }

    /// Lets an account have this many keys in a Region, instead of AWS's 100,000.
    #[must_use]
    pub fn with_keys_max(self, keys_max: u64) -> Self {
        Self { keys_max, ..self }
    }

    /// Whether the last uses of keys can be told: [`Kms::resume_uses`] was called since the start.
    #[must_use]
    pub fn are_uses_known(&self) -> bool {
        self.uses.are_known()
    }

    /// Begins to track the uses of keys, or goes on from where they are stored: gives what [`Kms::resume_uses`] takes, the
    /// time since when they are tracked and the number of the last entry of the audit log whose uses are all stored.
    ///
    /// # Errors
    /// A [`Fault`] when the store or the log does not answer.
    pub async fn begin_uses(&self, engine: &Engine) -> Result<(Timestamp, u64), Fault> {
        self.uses.begin(engine).await
    }

    /// Takes the uses that the audit log records behind the entry of [`Kms::begin_uses`]. Until then nobody is told when
    /// a key was last used, and no condition about it holds.
    pub fn resume_uses(&self, engine: &Engine, (since, stored_through): (Timestamp, u64), found: FoundUses) {
        self.uses.resume(since, stored_through, found, engine.clock().now());
    }

    /// Stores the last uses of keys that have waited in memory for a minute. Called by a timer.
    ///
    /// # Errors
    /// A [`Fault`]; what could not be stored is tried again.
    pub async fn store_uses(&self, engine: &Engine) -> Result<(), Fault> {
        self.uses.store(engine).await
    }

    /// Forgets the uses in memory, for a reset in `claviger dev`; [`Kms::begin_uses`] has to follow.
    pub fn forget_uses(&self) {
        self.uses.forget();
    }
}

impl Default for Kms {
    /// Believes AWS's own documents only.
    fn default() -> Self {
        Self::new(AttestationRoots::aws_nitro())
    }
}

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
        Request::CreateGrant(r) => call!(OnKey<create_grant::CreateGrant>, r, Response::CreateGrant),
        Request::CreateKey(r) => call!(create_key::CreateKey, r, Response::CreateKey),
        Request::Decrypt(r) => call!(decrypt::Decrypt, r, Response::Decrypt),
        Request::Decapsulate(r) => call!(OnKey<shared_secrets::Decapsulate>, r, Response::Decapsulate),
        Request::DeleteAlias(r) => call!(aliases::DeleteAlias, r => DeleteAlias),
        Request::DeleteImportedKeyMaterial(r) => {
            call!(OnKey<import::DeleteImportedKeyMaterial>, r, Response::DeleteImportedKeyMaterial)
        }
        Request::DeriveSharedSecret(r) => {
            call!(OnKey<shared_secrets::DeriveSharedSecret>, r, Response::DeriveSharedSecret)
        }
        Request::DescribeKey(r) => call!(OnKey<keys::DescribeKey>, r, Response::DescribeKey),
        Request::DisableKey(r) => call!(OnKey<lifecycle::DisableKey>, r => DisableKey),
        Request::DisableKeyRotation(r) => call!(OnKey<rotation::DisableKeyRotation>, r => DisableKeyRotation),
        Request::EnableKeyRotation(r) => call!(OnKey<rotation::EnableKeyRotation>, r => EnableKeyRotation),
        Request::GetKeyRotationStatus(r) => {
            call!(OnKey<rotation::GetKeyRotationStatus>, r, Response::GetKeyRotationStatus)
        }
        Request::ListKeyRotations(r) => call!(OnKey<rotation::ListKeyRotations>, r, Response::ListKeyRotations),
        Request::RotateKeyOnDemand(r) => call!(OnKey<rotation::RotateKeyOnDemand>, r, Response::RotateKeyOnDemand),
        Request::EnableKey(r) => call!(OnKey<lifecycle::EnableKey>, r => EnableKey),
        Request::Encapsulate(r) => call!(OnKey<shared_secrets::Encapsulate>, r, Response::Encapsulate),
        Request::Encrypt(r) => call!(OnKey<encrypt::Encrypt>, r, Response::Encrypt),
        Request::GenerateDataKey(r) => call!(OnKey<generate_data_key::GenerateDataKey>, r, Response::GenerateDataKey),
        Request::GenerateDataKeyPair(r) => {
            call!(OnKey<generate_data_key_pair::GenerateDataKeyPair>, r, Response::GenerateDataKeyPair)
        }
        Request::GenerateDataKeyPairWithoutPlaintext(r) => {
            call!(
                OnKey<generate_data_key_pair::GenerateDataKeyPairWithoutPlaintext>,
                r,
                Response::GenerateDataKeyPairWithoutPlaintext
            )
        }
        Request::GenerateDataKeyWithoutPlaintext(r) => {
            call!(
                OnKey<generate_data_key::GenerateDataKeyWithoutPlaintext>,
                r,
                Response::GenerateDataKeyWithoutPlaintext
            )
        }
        Request::GenerateMac(r) => call!(OnKey<macs::GenerateMac>, r, Response::GenerateMac),
        Request::GenerateRandom(r) => call!(generate_random::GenerateRandom, r, Response::GenerateRandom),
        Request::GetKeyLastUsage(r) => call!(OnKey<last_usage::GetKeyLastUsage>, r, Response::GetKeyLastUsage),
        Request::GetKeyPolicy(r) => call!(OnKey<policies::GetKeyPolicy>, r, Response::GetKeyPolicy),
        Request::GetParametersForImport(r) => {
            call!(OnKey<import::GetParametersForImport>, r, Response::GetParametersForImport)
        }
        Request::GetPublicKey(r) => call!(OnKey<keys::GetPublicKey>, r, Response::GetPublicKey),
        Request::ImportKeyMaterial(r) => {
            call!(OnKey<import::ImportKeyMaterial>, r, Response::ImportKeyMaterial)
        }
        Request::ListAliases(r) => call!(aliases::ListAliases, r, Response::ListAliases),
        Request::ListGrants(r) => call!(OnKey<list_grants::ListGrants>, r, Response::ListGrants),
        Request::ListKeyPolicies(r) => call!(OnKey<policies::ListKeyPolicies>, r, Response::ListKeyPolicies),
        Request::ListKeys(r) => call!(listing::ListKeys, r, Response::ListKeys),
        Request::ListResourceTags(r) => call!(OnKey<tags::ListResourceTags>, r, Response::ListResourceTags),
        Request::ListRetirableGrants(r) => {
            call!(list_grants::ListRetirableGrants, r, Response::ListRetirableGrants)
        }
        Request::PutKeyPolicy(r) => call!(OnKey<policies::PutKeyPolicy>, r => PutKeyPolicy),
        Request::ReEncrypt(r) => call!(re_encrypt::ReEncrypt, r, Response::ReEncrypt),
        Request::ReplicateKey(r) => call!(replicas::ReplicateKey, r, Response::ReplicateKey),
        Request::RetireGrant(r) => call!(retire_grant::RetireGrant, r => RetireGrant),
        Request::RevokeGrant(r) => call!(OnKey<retire_grant::RevokeGrant>, r => RevokeGrant),
        Request::ScheduleKeyDeletion(r) => {
            call!(OnKey<lifecycle::ScheduleKeyDeletion>, r, Response::ScheduleKeyDeletion)
        }
        Request::Sign(r) => call!(OnKey<signatures::Sign>, r, Response::Sign),
        Request::TagResource(r) => call!(OnKey<tags::TagResource>, r => TagResource),
        Request::UntagResource(r) => call!(OnKey<tags::UntagResource>, r => UntagResource),
        Request::UpdateAlias(r) => call!(aliases::UpdateAlias, r => UpdateAlias),
        Request::UpdateKeyDescription(r) => call!(OnKey<lifecycle::UpdateKeyDescription>, r => UpdateKeyDescription),
        Request::UpdatePrimaryRegion(r) => call!(replicas::UpdatePrimaryRegion, r => UpdatePrimaryRegion),
        Request::Verify(r) => call!(OnKey<signatures::Verify>, r, Response::Verify),
        Request::VerifyMac(r) => call!(OnKey<macs::VerifyMac>, r, Response::VerifyMac),
        // Named one by one, so that an operation new to the interface has to be thought of here.
        Request::ConnectCustomKeyStore(_)
        | Request::CreateCustomKeyStore(_)
        | Request::DeleteCustomKeyStore(_)
        | Request::DescribeCustomKeyStores(_)
        | Request::DisconnectCustomKeyStore(_)
        | Request::UpdateCustomKeyStore(_) => {
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

    fn destroys(&self, job: &str) -> bool {
        lifecycle::destroys(job)
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
    /// Its spec, which its material must have.
    pub spec: KeySpec,
    /// Its usage.
    pub usage: KeyUsageType,
    /// Its material.
    pub material: KeyMaterial,
    /// Its aliases.
    pub aliases: Vec<String>,
}

/// The material of a seeded key: the bytes of a symmetric or HMAC key, the PKCS#8 private key of a key pair. `None`
/// when the bytes are not material of the spec.
#[must_use]
pub fn seed_material(key_id: KeyId, spec: KeySpec, bytes: &SecretBytes) -> Option<KeyMaterial> {
    match algorithms::material_spec(spec)? {
        MaterialSpec::Symmetric => {
            let secret = SecretArray::from_slice(bytes.expose())?;
            SymmetricMaterial::from_bytes(key_id, secret).ok().map(KeyMaterial::Symmetric)
        }
        MaterialSpec::Mac(mac) => {
            let secret = SecretBytes::from_slice(bytes.expose());
            MacMaterial::from_bytes(key_id, mac, secret).ok().map(KeyMaterial::Mac)
        }
        MaterialSpec::Pair(pair) => {
            PairMaterial::from_private_key(key_id, pair, bytes.expose()).ok().map(KeyMaterial::Pair)
        }
    }
}

/// Why a key could not be seeded.
#[derive(Debug, thiserror::Error)]
pub enum SeedError {
    /// The id is no key id.
    #[error("the key id is not a UUID")]
    KeyId,
    /// The material is not of the key's spec.
    #[error("the material is not of the key's spec")]
    Material,
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
    if algorithms::material_spec(key.spec) != Some(key.material.spec()) {
        return Err(SeedError::Material);
    }
    let SeedKey { id, account, region, spec, usage, .. } = key;
    let asked = create_key::Seeded { id, account, region, spec, usage };
    let facts = create_key::seeded(asked, now).map_err(SeedError::Refused)?;
    let mut seed = Seed::new(engine, &facts.region, &facts.account);
    let placed = seed
        .run::<KmsError>(async |call| {
            let (mut facts, mut writes) = create_key::place(call, facts, Some(key.material)).await?;
            let counted = key_count::one_more(call, &facts.region, &facts.account, &facts.id, u64::MAX).await?;
            counted.put(call, &mut writes)?;
            for name in &key.aliases {
                aliases::place(call, &mut writes, &mut facts, name).await?;
            }
            Ok(writes)
        })
        .await;
    match placed {
        Ok(()) | Err(KmsError::AlreadyExists(_)) => Ok(()),
        Err(error) => Err(SeedError::Refused(error)),
    }
}

//! Claim to caller: is the signature right, fresh, and made with a key that is live?

use std::sync::Arc;

use claviger_api::{Refusal, SignatureClaim, Timestamp};
use claviger_policy::{AccountId, Principal, PrincipalName, UniqueId};
use claviger_secret::SecretArray;
use claviger_store::BoxFuture;
use quick_cache::sync::Cache;

use crate::authorize::CallerPolicies;
use crate::call::Call;
use crate::engine::Engine;
use crate::record::Seen;
use crate::{CallMeta, Caller, Credential, Fault, PrincipalTraits};

/// How far a signature's time may be from ours (reference/errors.md).
pub const CLOCK_SKEW_MILLIS: i64 = 5 * 60 * 1000;
/// Longest life of a presigned request: seven days.
const PRESIGNED_SECONDS_MAX: u32 = 604_800;
/// Signing keys kept.
const SIGNING_KEYS_MAX: usize = 10_000;

/// Where credentials come from; the identity service implements it.
pub trait Identities: Send + Sync {
    /// The credential of an access key that is known and active, or of the session that a token opens.
    fn credential<'a>(
        &'a self,
        call: &'a mut Call<'_>,
        access_key_id: &'a str,
        session_token: Option<&'a str>,
    ) -> BoxFuture<'a, Result<Presented, Fault>>;

    /// Whether an account is open. The identities of a closed one do not authenticate, and its resources refuse.
    fn is_account_open<'a>(&'a self, call: &'a mut Call<'_>, account: &'a str) -> BoxFuture<'a, Result<bool, Fault>> {
        let _ = (call, account);
        Box::pin(async { Ok(true) })
    }

    /// Whether there is such a principal now, and which one of that name. A service without users and roles knows the
    /// accounts of the deployment only.
    fn standing<'a>(
        &'a self,
        call: &'a mut Call<'_>,
        name: &'a PrincipalName,
    ) -> BoxFuture<'a, Result<Standing, Fault>> {
        let known = match name {
            PrincipalName::Everyone | PrincipalName::Service(_) => true,
            PrincipalName::Account(account) => call.account_exists(account.as_str()),
            _ => false,
        };
        Box::pin(async move { Ok(if known { Standing::Known(None) } else { Standing::Unknown }) })
    }

    /// The policies of the caller's own side, as of the call's snapshot.
    fn policies<'a>(&'a self, call: &'a mut Call<'_>) -> BoxFuture<'a, Result<CallerPolicies, Fault>> {
        let _ = call;
        Box::pin(async { Ok(CallerPolicies::default()) })
    }
}

/// What an access key id and, if there is one, a session token stand for.
pub enum Presented {
    /// Nothing: the key is unknown or inactive, the token is not this key's, or whom it is about is gone.
    Unknown,
    /// A session that has ended.
    Expired,
    /// A credential; a long-term one with the version of its row.
    Known(Box<Credential>, Option<Seen>),
}

/// Whether a principal that a policy or a grant names is there.
#[derive(Clone, Debug, PartialEq, Eq)]
pub enum Standing {
    /// There is none of that name.
    Unknown,
    /// There is: a user or role with its unique id, anything else without.
    Known(Option<UniqueId>),
}

/// How callers prove who they are.
pub enum Authentication {
    /// Signatures are verified.
    Verify(Arc<dyn Identities>),
    /// `claviger dev` without `--enforce`: any access key works, its secret is not checked. An access key id of
    /// twelve digits names the account, any other stands for this one; the caller is the account's root.
    DangerAnyCredential {
        /// The account of access key ids that name none.
        default_account: AccountId,
    },
}

pub(crate) struct SigningKeys(Cache<String, Arc<SecretArray<32>>>);

impl SigningKeys {
    pub(crate) fn new() -> Self {
        Self(Cache::new(SIGNING_KEYS_MAX))
    }

    fn derive(&self, claim: &SignatureClaim, secret: &[u8], seen: Option<Seen>) -> Arc<SecretArray<32>> {
        let Some(Seen::At { number, .. }) = seen else { return Arc::new(derive(claim, secret)) };
        // The row's number is part of the name: a key that is made anew does not find the old one's signing key.
        let name = [&claim.access_key_id, &claim.date, &claim.region, &claim.service, &number.to_string()]
            .map(String::as_str)
            .join("/");
        if let Some(key) = self.0.get(&name) {
            return key;
        }
        let key = Arc::new(derive(claim, secret));
        self.0.insert(name, Arc::clone(&key));
        key
    }
}

/// SigV4's signing key: HMACs over date, Region, service and a constant.
fn derive(claim: &SignatureClaim, secret: &[u8]) -> SecretArray<32> {
    // Room for all of it at once: a buffer that grows leaves its old bytes behind.
    let mut first = claviger_crypto::Zeroizing::new(Vec::with_capacity(4 + secret.len()));
    first.extend_from_slice(b"AWS4");
    first.extend_from_slice(secret);
    let mut key = SecretArray::new(claviger_crypto::hmac_sha256(&first, claim.date.as_bytes()));
    for part in [claim.region.as_str(), claim.service.as_str(), "aws4_request"] {
        key = SecretArray::new(claviger_crypto::hmac_sha256(key.expose(), part.as_bytes()));
    }
    key
}

impl Engine {
    /// The caller behind a claim, or why there is none. An unknown access key id costs the same HMACs as a known one;
    /// the answers differ, as AWS's do.
    ///
    /// # Errors
    /// A [`Refusal`] as AWS names it.
    pub async fn authenticate(&self, claim: &SignatureClaim, meta: &CallMeta) -> Result<Caller, Refusal> {
        let result = self.judge(claim, meta).await;
        if let Err(refusal) = &result {
            self.note_refused(claim, meta, *refusal);
        }
        result
    }

    async fn judge(&self, claim: &SignatureClaim, meta: &CallMeta) -> Result<Caller, Refusal> {
        if !self.regions().take(&claim.service, &claim.region) {
            return Err(Refusal::ScopeRegion);
        }
        let presented = match self.authentication() {
            Authentication::DangerAnyCredential { default_account } => {
                fresh(claim, self.clock().wall())?;
                return Ok(unchecked(claim, *default_account));
            }
            Authentication::Verify(identities) => {
                let system = Caller::system(&claim.region);
                let mut call = Call::new(self, &system, meta);
                let found = present(&**identities, &mut call, claim).await;
                found.map_err(|fault| self.internal(&fault))?
            }
        };
        let (secret, seen) = match &presented {
            Presented::Known(credential, seen) => (credential.secret.expose(), *seen),
            Presented::Unknown | Presented::Expired => (&[0_u8; 40][..], None),
        };
        let key = self.signing_keys().derive(claim, secret, seen);
        let expected = claviger_crypto::hmac_sha256(key.expose(), &claim.string_to_sign);
        let right = claviger_crypto::constant_time_eq(&expected, &claim.signature);
        let credential = match presented {
            Presented::Unknown => return Err(Refusal::UnrecognizedClient),
            Presented::Expired => return Err(Refusal::ExpiredToken),
            Presented::Known(credential, _) => *credential,
        };
        if !right {
            return Err(Refusal::InvalidSignature);
        }
        fresh(claim, self.clock().wall())?;
        Ok(Caller {
            principal: credential.principal,
            account: credential.account,
            access_key_id: claim.access_key_id.clone(),
            region: claim.region.clone(),
            traits: credential.traits,
            via: None,
        })
    }
}

/// What a claim presents, if its account is open.
async fn present(identities: &dyn Identities, call: &mut Call<'_>, claim: &SignatureClaim) -> Result<Presented, Fault> {
    let presented = identities.credential(call, &claim.access_key_id, claim.session_token.as_deref()).await?;
    if let Presented::Known(credential, _) = &presented
        && !identities.is_account_open(call, &credential.account).await?
    {
        return Ok(Presented::Unknown);
    }
    Ok(presented)
}

impl Call<'_> {
    /// Whether the principal is there (every one is where credentials are not checked).
    ///
    /// # Errors
    /// A [`Fault`] when it cannot be looked up.
    pub async fn standing(&mut self, name: &PrincipalName) -> Result<Standing, Fault> {
        match self.authentication() {
            Authentication::Verify(identities) => Arc::clone(identities).standing(self, name).await,
            Authentication::DangerAnyCredential { .. } => Ok(Standing::Known(None)),
        }
    }
}

fn unchecked(claim: &SignatureClaim, default_account: AccountId) -> Caller {
    let account = AccountId::parse(&claim.access_key_id).unwrap_or(default_account);
    Caller {
        principal: Principal::root(account),
        account: account.as_str().to_owned(),
        access_key_id: claim.access_key_id.clone(),
        region: claim.region.clone(),
        traits: PrincipalTraits::default(),
        via: None,
    }
}

fn fresh(claim: &SignatureClaim, now: Timestamp) -> Result<(), Refusal> {
    let window_seconds = 300;
    let (signed, now_millis) = (claim.signed_at.millis(), now.millis());
    let request = claim.signed_at;
    if signed > now_millis.saturating_add(CLOCK_SKEW_MILLIS) {
        let limit = Timestamp::from_millis(now_millis.saturating_add(CLOCK_SKEW_MILLIS));
        return Err(Refusal::SignatureNotYetCurrent { request, limit, now, window_seconds });
    }
    let life = match claim.expires_seconds {
        None => CLOCK_SKEW_MILLIS,
        Some(seconds) if seconds <= PRESIGNED_SECONDS_MAX => i64::from(seconds) * 1000,
        Some(_) => return Err(Refusal::InvalidSignature),
    };
    if signed.saturating_add(life) < now_millis {
        let limit = Timestamp::from_millis(now_millis.saturating_sub(life));
        return Err(Refusal::SignatureExpired { request, limit, now, window_seconds });
    }
    Ok(())
}

impl Caller {
    /// The engine itself, for background work and look-ups before a caller is known.
    #[must_use]
    pub fn system(region: &str) -> Self {
        Self {
            principal: Principal::root(AccountId::NOBODY),
            account: AccountId::NOBODY.as_str().to_owned(),
            access_key_id: String::new(),
            region: region.to_owned(),
            traits: PrincipalTraits::default(),
            via: None,
        }
    }
}

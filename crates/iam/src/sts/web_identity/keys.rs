//! The public keys of identity providers: fetched through the one egress, kept for an hour at most.

use std::collections::HashMap;
use std::fmt;
use std::sync::{Arc, Mutex, MutexGuard, PoisonError};

use base64::Engine as _;
use base64::engine::general_purpose::URL_SAFE_NO_PAD;
use claviger_crypto::{TokenAlgorithm, TokenCurve, TokenKey};
use claviger_engine::{Clock, Egress, EgressError};
use serde_json::Value;

use crate::sts::StsError;

/// Keys of one provider at most.
const KEYS_MAX: usize = 200;
/// Providers whose keys are kept at most.
const PROVIDERS_MAX: usize = 1_000;
/// How long keys are kept at most, and where their host says nothing.
const FRESH_SECONDS: i64 = 3_600;
/// How long keys still serve while their host does not answer.
const STALE_SECONDS: i64 = 24 * 3_600;
/// A provider is asked again no sooner: when it did not answer, and when a token names a key that it does not have.
const AGAIN_SECONDS: i64 = 10;
const NO_KEYS: &str = "Couldn't retrieve verification key from your identity provider,  please reference \
                       AssumeRoleWithWebIdentity documentation for requirements";

/// The keys of one provider.
#[derive(Debug, Default)]
pub(crate) struct KeySet(Vec<Key>);

#[derive(Debug)]
struct Key {
    id: Option<String>,
    algorithm: Option<TokenAlgorithm>,
    key: TokenKey,
}

impl KeySet {
    /// Reads a JSON Web Key Set. Keys that are for something else, or of a kind that no token uses, are left out.
    pub(crate) fn parse(bytes: &[u8]) -> Option<Self> {
        let document: Value = serde_json::from_slice(bytes).ok()?;
        let keys = document.get("keys")?.as_array()?;
        Some(Self(keys.iter().filter_map(key).take(KEYS_MAX).collect()))
    }

    /// The key of a token. A token that names none can only mean the only one.
    pub(crate) fn find(&self, id: Option<&str>, algorithm: TokenAlgorithm) -> Option<&TokenKey> {
        let fits = |key: &&Key| key.key.fits(algorithm) && key.algorithm.is_none_or(|own| own == algorithm);
        let mut found = self.0.iter().filter(fits).filter(|key| id.is_none() || key.id.as_deref() == id);
        let first = found.next()?;
        found.next().is_none().then_some(&first.key)
    }
}

fn key(value: &Value) -> Option<Key> {
    let text = |name: &str| value.get(name).and_then(Value::as_str);
    let number = |name: &str| URL_SAFE_NO_PAD.decode(text(name)?).ok();
    if text("use").is_some_and(|purpose| purpose != "sig") {
        return None;
    }
    let algorithm = match text("alg") {
        None => None,
        Some(name) => Some(TokenAlgorithm::parse(name)?),
    };
    let key = match text("kty")? {
        "RSA" => TokenKey::rsa(&number("n")?, &number("e")?)?,
        "EC" => TokenKey::on_curve(TokenCurve::parse(text("crv")?)?, &number("x")?, &number("y")?)?,
        _ => return None,
    };
    Some(Key { id: text("kid").map(str::to_owned), algorithm, key })
}

/// Every provider's keys.
#[derive(Default)]
pub(crate) struct KeySets {
    egress: Option<Arc<dyn Egress>>,
    providers: Mutex<HashMap<String, Arc<OfProvider>>>,
}

impl fmt::Debug for KeySets {
    fn fmt(&self, formatter: &mut fmt::Formatter<'_>) -> fmt::Result {
        formatter.write_str("KeySets")
    }
}

/// The keys of one provider.
#[derive(Default)]
struct OfProvider {
    /// Never held while anybody waits.
    kept: Mutex<Kept>,
    /// Held by the one who asks the provider.
    asking: tokio::sync::Mutex<()>,
}

#[derive(Default)]
struct Kept {
    set: Option<Arc<KeySet>>,
    fetched: i64,
    fresh_until: i64,
    /// When a try began or, once it has, ended.
    tried: Option<i64>,
    /// Why the last try brought nothing.
    failure: Option<EgressError>,
}

impl OfProvider {
    fn kept(&self) -> MutexGuard<'_, Kept> {
        self.kept.lock().unwrap_or_else(PoisonError::into_inner)
    }
}

impl Kept {
    /// The set, unless it is too old to be used at all.
    fn usable(&self, now: i64) -> Option<&Arc<KeySet>> {
        self.set.as_ref().filter(|_| now < self.fetched.saturating_add(STALE_SECONDS))
    }

    /// The set, if it has the key.
    fn with(&self, wanted: Wanted<'_>, now: i64) -> Option<&Arc<KeySet>> {
        self.usable(now).filter(|set| set.find(wanted.0, wanted.1).is_some())
    }

    /// The set that answers without asking the provider: it is fresh and has the key, or it is too soon to ask again.
    fn settled(&self, wanted: Wanted<'_>, now: i64) -> Option<Result<Arc<KeySet>, StsError>> {
        let fresh = self.with(wanted, now).filter(|_| now < self.fresh_until);
        let again = self.tried.map(|tried| tried..tried.saturating_add(AGAIN_SECONDS));
        if let Some(set) = fresh {
            return Some(Ok(Arc::clone(set)));
        }
        again.is_some_and(|again| again.contains(&now)).then(|| self.answer(now))
    }

    fn answer(&self, now: i64) -> Result<Arc<KeySet>, StsError> {
        self.usable(now).cloned().ok_or_else(|| explained(self.failure.unwrap_or(EgressError::Unreachable)))
    }
}

/// The key that a token names, and what it is for.
type Wanted<'w> = (Option<&'w str>, TokenAlgorithm);

impl KeySets {
    pub(crate) fn new(egress: Arc<dyn Egress>) -> Self {
        Self { egress: Some(egress), providers: Mutex::default() }
    }

    /// The keys of a provider (its URL without `https://`), which have the key that is asked for if the provider has.
    pub(crate) async fn get(
        &self,
        provider: &str,
        wanted: Wanted<'_>,
        clock: &dyn Clock,
    ) -> Result<Arc<KeySet>, StsError> {
        let seconds = || clock.wall().seconds();
        let of = self.of(provider);
        let _asking = match of.asking.try_lock() {
            Ok(asking) => asking,
            Err(_) => {
                // Anybody can have the provider asked, by a token that nobody signed. Whoever needs no answer does not
                // wait for it. Old keys serve at once only if the provider failed: else it may have withdrawn them.
                {
                    let (kept, now) = (of.kept(), seconds());
                    let known = kept.with(wanted, now);
                    if let Some(set) = known.filter(|_| now < kept.fresh_until || kept.failure.is_some()) {
                        return Ok(Arc::clone(set));
                    }
                }
                of.asking.lock().await
            }
        };
        {
            let (mut kept, now) = (of.kept(), seconds());
            if let Some(settled) = kept.settled(wanted, now) {
                return settled;
            }
            // Noted now for those whose caller goes away meanwhile.
            kept.tried = Some(now);
        }
        let fetched = self.fetch(provider).await;
        let (mut kept, now) = (of.kept(), seconds());
        kept.tried = Some(now);
        match fetched {
            Ok((set, seconds)) => {
                let (set, fresh_until) = (Some(Arc::new(set)), now.saturating_add(seconds));
                *kept = Kept { set, fetched: now, fresh_until, tried: Some(now), failure: None };
            }
            Err(error) => kept.failure = Some(error),
        }
        kept.answer(now)
    }

    fn of(&self, provider: &str) -> Arc<OfProvider> {
        let mut providers = self.providers.lock().unwrap_or_else(PoisonError::into_inner);
        if let Some(found) = providers.get(provider) {
            return Arc::clone(found);
        }
        if providers.len() >= PROVIDERS_MAX
            && let Some(other) = providers.keys().next().cloned()
        {
            providers.remove(&other);
        }
        let new = Arc::default();
        providers.insert(provider.to_owned(), Arc::clone(&new));
        new
    }

    /// A provider's keys, and for how many seconds they may be kept.
    async fn fetch(&self, provider: &str) -> Result<(KeySet, i64), EgressError> {
        let egress = self.egress.as_ref().ok_or(EgressError::Refused)?;
        let issuer = format!("https://{provider}");
        let discovery = egress.get(&format!("{issuer}/.well-known/openid-configuration")).await?;
        let document: Value = serde_json::from_slice(&discovery.body).map_err(|_| EgressError::Unusable)?;
        let text = |name: &str| document.get(name).and_then(Value::as_str).ok_or(EgressError::Unusable);
        // OpenID Connect Discovery 1.0, section 4.3: a document of another issuer is none of this one.
        if text("issuer")?.trim_end_matches('/') != issuer {
            return Err(EgressError::Unusable);
        }
        let fetched = egress.get(text("jwks_uri")?).await?;
        let set = KeySet::parse(&fetched.body).ok_or(EgressError::Unusable)?;
        let seconds = fetched.fresh_seconds.and_then(|seconds| i64::try_from(seconds).ok());
        Ok((set, seconds.unwrap_or(FRESH_SECONDS).min(FRESH_SECONDS)))
    }
}

fn explained(error: EgressError) -> StsError {
    match error {
        EgressError::TimedOut | EgressError::Unreachable => StsError::IdpCommunication,
        EgressError::Certificate => StsError::InvalidIdentityToken(
            "OpenIDConnect provider's HTTPS certificate doesn't match configured thumbprint".to_owned(),
        ),
        EgressError::Refused | EgressError::Unusable => StsError::InvalidIdentityToken(NO_KEYS.to_owned()),
    }
}

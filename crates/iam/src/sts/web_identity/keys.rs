//! The public keys of identity providers: fetched through the one egress, kept for an hour at most.

use std::collections::HashMap;
use std::fmt;
use std::sync::{Arc, Mutex, PoisonError};

use base64::Engine as _;
use base64::engine::general_purpose::URL_SAFE_NO_PAD;
use claviger_api::Timestamp;
use claviger_crypto::{TokenAlgorithm, TokenCurve, TokenKey};
use claviger_engine::{Egress, EgressError};
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
    kept: Mutex<HashMap<String, Arc<tokio::sync::Mutex<Kept>>>>,
}

impl fmt::Debug for KeySets {
    fn fmt(&self, formatter: &mut fmt::Formatter<'_>) -> fmt::Result {
        formatter.write_str("KeySets")
    }
}

#[derive(Default)]
struct Kept {
    set: Option<Arc<KeySet>>,
    fetched: i64,
    fresh_until: i64,
    tried: Option<i64>,
    /// Why the last try brought nothing.
    failure: Option<EgressError>,
}

impl KeySets {
    pub(crate) fn new(egress: Arc<dyn Egress>) -> Self {
        Self { egress: Some(egress), kept: Mutex::default() }
    }

    /// The keys of a provider (its URL without `https://`), which have the key that is asked for if the provider has.
    pub(crate) async fn get(
        &self,
        provider: &str,
        wanted: (Option<&str>, TokenAlgorithm),
        now: Timestamp,
    ) -> Result<Arc<KeySet>, StsError> {
        let now = now.seconds();
        let kept = self.of(provider);
        // Whoever comes while the keys are fetched waits for them.
        let mut kept = kept.lock().await;
        let has = kept.set.as_ref().is_some_and(|set| set.find(wanted.0, wanted.1).is_some());
        let may_ask = kept.tried.is_none_or(|tried| !(tried..tried.saturating_add(AGAIN_SECONDS)).contains(&now));
        if (!has || now >= kept.fresh_until) && may_ask {
            kept.tried = Some(now);
            match self.fetch(provider).await {
                Ok((set, seconds)) => {
                    let set = Some(Arc::new(set));
                    let fresh_until = now.saturating_add(seconds);
                    *kept = Kept { set, fetched: now, fresh_until, tried: Some(now), failure: None };
                }
                Err(error) => kept.failure = Some(error),
            }
        }
        let usable = now < kept.fetched.saturating_add(STALE_SECONDS);
        kept.set.clone().filter(|_| usable).ok_or_else(|| explained(kept.failure.unwrap_or(EgressError::Unreachable)))
    }

    fn of(&self, provider: &str) -> Arc<tokio::sync::Mutex<Kept>> {
        let mut kept = self.kept.lock().unwrap_or_else(PoisonError::into_inner);
        if let Some(found) = kept.get(provider) {
            return Arc::clone(found);
        }
        if kept.len() >= PROVIDERS_MAX
            && let Some(other) = kept.keys().next().cloned()
        {
            kept.remove(&other);
        }
        let new = Arc::default();
        kept.insert(provider.to_owned(), Arc::clone(&new));
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

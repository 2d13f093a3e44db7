//! Web identity tokens: JSON Web Tokens (RFC 7519) with a signature (RFC 7515) in their compact form, and nothing else
//! that those documents allow.

use base64::Engine as _;
use base64::engine::general_purpose::URL_SAFE_NO_PAD;
use claviger_crypto::{TokenAlgorithm, TokenKey};
use serde_json::{Map, Value};

use super::keys::KeySet;
use crate::sts::StsError;
use crate::trust::NoDuplicates;

/// How far the provider's clock may be from ours, in seconds.
const LEEWAY_SECONDS: i64 = 300;
/// Bytes of a subject at most (OpenID Connect Core 1.0, section 2).
const SUBJECT_MAX: usize = 255;
const NO_JWT: &str = "The ID Token provided is not a valid JWT. (You may see this error if you sent an Access Token)";

/// A token as it reads; nothing of it is believed yet.
#[derive(Debug)]
pub(crate) struct Unverified<'t> {
    pub(crate) algorithm: Option<TokenAlgorithm>,
    pub(crate) key_id: Option<String>,
    claims: Map<String, Value>,
    signed: &'t str,
    signature: Vec<u8>,
}

/// The claims of a token whose signature, times and audience are right.
#[derive(Clone, Debug, PartialEq)]
pub(crate) struct Claims {
    /// Whom the token is about.
    pub(crate) subject: String,
    /// For whom it was made: the authorized party, where there is one.
    pub(crate) audience: String,
    pub(crate) all: Map<String, Value>,
}

fn invalid(text: impl Into<String>) -> StsError {
    StsError::InvalidIdentityToken(text.into())
}

impl<'t> Unverified<'t> {
    /// Reads a token.
    pub(crate) fn parse(token: &'t str) -> Result<Self, StsError> {
        let no_jwt = || invalid(NO_JWT);
        let (signed, signature) = token.rsplit_once('.').ok_or_else(no_jwt)?;
        let (header, claims) = signed.split_once('.').ok_or_else(no_jwt)?;
        let signature = URL_SAFE_NO_PAD.decode(signature).map_err(|_| no_jwt())?;
        let (header, claims) = (object(header).ok_or_else(no_jwt)?, object(claims).ok_or_else(no_jwt)?);
        // Extensions that must be understood are not.
        if header.contains_key("crit") {
            return Err(no_jwt());
        }
        let algorithm = header.get("alg").and_then(Value::as_str).and_then(TokenAlgorithm::parse);
        let key_id = match header.get("kid") {
            None => None,
            Some(Value::String(id)) => Some(id.clone()),
            Some(_) => return Err(no_jwt()),
        };
        Ok(Self { algorithm, key_id, claims, signed, signature })
    }

    /// Who claims to have made it: which provider's keys to ask for.
    pub(crate) fn issuer(&self) -> Result<&str, StsError> {
        self.text("iss")
    }

    fn text(&self, claim: &str) -> Result<&str, StsError> {
        let text = self.claims.get(claim).and_then(Value::as_str).filter(|text| !text.is_empty());
        text.ok_or_else(|| invalid(format!("Missing a required claim: {claim}")))
    }

    fn time(&self, claim: &str) -> Result<i64, StsError> {
        let time = self.claims.get(claim).and_then(Value::as_i64);
        time.ok_or_else(|| invalid(format!("Missing a required claim: {claim}")))
    }

    /// The claims, if one of the provider's keys signed them, they hold at this time (seconds since 1970), and they are
    /// meant for one of its clients.
    pub(crate) fn verify(self, keys: &KeySet, clients: &[String], now: i64) -> Result<Claims, StsError> {
        let algorithm =
            self.algorithm.ok_or_else(|| invalid("The signature algorithm of the token is not supported"))?;
        let key: &TokenKey = keys.find(self.key_id.as_deref(), algorithm).ok_or_else(|| {
            invalid("Couldn't retrieve verification key from your identity provider,  please reference AssumeRoleWithWebIdentity documentation for requirements")
        })?;
        if !key.verify(algorithm, self.signed.as_bytes(), &self.signature) {
            return Err(invalid("The token's signature is invalid"));
        }
        let subject = self.text("sub")?.to_owned();
        if subject.len() > SUBJECT_MAX {
            return Err(invalid("The claim sub is too long"));
        }
        let audience = self.audience()?;
        self.hold_at(now)?;
        if !clients.contains(&audience) {
            return Err(invalid("Incorrect token audience"));
        }
        Ok(Claims { subject, audience, all: self.claims })
    }

    fn hold_at(&self, now: i64) -> Result<(), StsError> {
        let (until, made) = (self.time("exp")?, self.time("iat")?);
        if until.saturating_add(LEEWAY_SECONDS) <= now {
            return Err(StsError::ExpiredIdentityToken(format!(
                "Token expired: current date/time {now} must be before the expiration date/time {until}"
            )));
        }
        let from = match self.claims.get("nbf") {
            None => made,
            Some(_) => self.time("nbf")?.max(made),
        };
        if from > now.saturating_add(LEEWAY_SECONDS) {
            return Err(invalid(format!("Token is not valid yet: current date/time {now} is before {from}")));
        }
        Ok(())
    }

    /// The authorized party, where one is named; else the one audience.
    fn audience(&self) -> Result<String, StsError> {
        let listed = match self.claims.get("aud") {
            Some(Value::String(one)) if !one.is_empty() => vec![one.clone()],
            Some(Value::Array(list)) => {
                let texts: Option<Vec<String>> = list.iter().map(|one| one.as_str().map(str::to_owned)).collect();
                texts.unwrap_or_default()
            }
            _ => Vec::new(),
        };
        match (self.claims.get("azp"), listed.as_slice()) {
            (_, []) => Err(invalid("Missing a required claim: aud")),
            (Some(Value::String(party)), _) if !party.is_empty() => Ok(party.clone()),
            (Some(_), _) => Err(invalid("The claim azp is not a text")),
            (None, [one]) => Ok(one.clone()),
            (None, _) => Err(invalid("More than one audience provided while authorized party missing")),
        }
    }
}

/// A part of a token: an object without a member twice, in base64url without padding.
fn object(part: &str) -> Option<Map<String, Value>> {
    let bytes = URL_SAFE_NO_PAD.decode(part).ok()?;
    serde_json::from_slice::<NoDuplicates>(&bytes).ok()?;
    match serde_json::from_slice(&bytes).ok()? {
        Value::Object(members) => Some(members),
        _ => None,
    }
}

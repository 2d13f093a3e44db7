//! Grant tokens: opaque, not secret, made with each grant. Every grant counts at once here, so that a token has nothing
//! to bridge; but one that this deployment did not make for this Region is refused.

use claviger_engine::{Call, Fault, Reader, Writer};

use crate::KmsError;

const PURPOSE: &str = "claviger grant token v1";
const TOKEN: &str = "kms grant token";

/// What a token stands for.
pub(crate) struct Named {
    /// The ARN of the key.
    pub(crate) key_arn: String,
    /// The id of the grant.
    pub(crate) grant: String,
}

/// A token for the grant; no two are alike.
pub(crate) fn make(call: &Call<'_>, key_arn: &str, grant: &str) -> Result<String, Fault> {
    let mut writer = Writer::record(TOKEN, 1);
    writer.text(key_arn);
    writer.text(grant);
    let sealed = call.keys().seal(PURPOSE, call.caller().region().as_bytes(), &writer.finish())?;
    Ok(hex::encode(sealed))
}

/// What the token stands for.
///
/// # Errors
/// [`KmsError::InvalidGrantToken`] when it was not made here, or for another Region.
pub(crate) fn read(call: &Call<'_>, token: &str) -> Result<Named, KmsError> {
    let refused = || KmsError::InvalidGrantToken;
    let sealed = hex::decode(token).map_err(|_| refused())?;
    let plain = call.keys().open(PURPOSE, call.caller().region().as_bytes(), &sealed).map_err(|_| refused())?;
    let (mut reader, _) = Reader::record(plain.expose(), TOKEN, 1).map_err(|_| refused())?;
    let mut text = || reader.text().map(str::to_owned).map_err(|_| refused());
    let (key_arn, grant) = (text()?, text()?);
    reader.end().map_err(|_| refused())?;
    Ok(Named { key_arn, grant })
}

/// Refuses tokens that are not ours. The others change nothing.
///
/// # Errors
/// As [`read`].
pub(crate) fn demand(call: &Call<'_>, tokens: Option<&Vec<String>>) -> Result<(), KmsError> {
    tokens.into_iter().flatten().try_for_each(|token| read(call, token).map(drop))
}

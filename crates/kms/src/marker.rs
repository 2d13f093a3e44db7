//! Markers of lists: where the next page begins, of use only to whoever asks for the same list again.

use claviger_engine::{Call, Fault, Writer};

use crate::KmsError;

const PURPOSE: &str = "claviger list marker v1";

/// What a marker is bound to: the caller's account and Region, and which list it is.
fn scope(call: &Call<'_>, list: &[&str]) -> Vec<u8> {
    let mut writer = Writer::default();
    writer.text(call.caller().account());
    writer.text(call.caller().region());
    writer.list(list.iter(), |writer, part| writer.text(part));
    writer.finish()
}

/// A marker for what follows `after` in the list.
pub(crate) fn make(call: &Call<'_>, list: &[&str], after: &str) -> Result<String, Fault> {
    Ok(hex::encode(call.keys().seal(PURPOSE, &scope(call, list), after.as_bytes())?))
}

/// What the marker of a request stands for; nothing without one.
///
/// # Errors
/// [`KmsError::InvalidMarker`] when it was not made for this caller's account and this list.
pub(crate) fn read(call: &Call<'_>, list: &[&str], marker: Option<&str>) -> Result<Option<String>, KmsError> {
    let Some(marker) = marker else { return Ok(None) };
    let sealed = hex::decode(marker).map_err(|_| KmsError::InvalidMarker)?;
    let plain = call.keys().open(PURPOSE, &scope(call, list), &sealed).map_err(|_| KmsError::InvalidMarker)?;
    let text = String::from_utf8(plain.expose().to_vec()).map_err(|_| KmsError::InvalidMarker)?;
    Ok(Some(text))
}

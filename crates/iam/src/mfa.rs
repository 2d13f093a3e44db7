//! A one-time code as proof of a second factor.

use claviger_engine::{Call, Fault, Writes};

use crate::arn;
use crate::records::{Assigned, Device, device_key};
use crate::totp;

/// How many windows of thirty seconds a code may be off, beside what the device is known to be off.
const WINDOWS: i64 = 1;

/// Whether this is a code of that device of the user, by the user's unique id. A code works once: it and all before it
/// are used up by `writes`, which must be committed before anything is given for the code.
///
/// # Errors
/// A store [`Fault`].
pub async fn spend_code(
    call: &mut Call<'_>,
    writes: &mut Writes,
    (account, user): (&str, &str),
    serial: &str,
    code: &str,
) -> Result<bool, Fault> {
    // A serial number is no longer than this, so that longer ones name nothing.
    let Some((_, name)) = arn::split(serial, account, "mfa").filter(|_| serial.len() <= 256) else { return Ok(false) };
    let key = device_key(account, name);
    let Some(device) = call.row::<Device>(&key).await?.map(|row| row.record) else { return Ok(false) };
    let Some(assigned) = device.assigned.as_ref().filter(|one| one.user == user && device.serial() == serial) else {
        return Ok(false);
    };
    let now = totp::window(call.unheld_now());
    let Some(window) = totp::single(&device.seed, now.saturating_add(assigned.ahead), WINDOWS, code) else {
        return Ok(false);
    };
    if window <= assigned.window {
        return Ok(false);
    }
    let assigned = Assigned { window, ahead: window.saturating_sub(now), ..assigned.clone() };
    writes.put(call, key, device.with(device.tags.clone(), Some(assigned)))?;
    Ok(true)
}

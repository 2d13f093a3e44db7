//! A one-time code in a request for credentials.

use std::collections::HashMap;
use std::sync::{Mutex, PoisonError};

use claviger_engine::{Call, CommonError, Writes};
use claviger_policy::PrincipalKind;

use crate::records::{Device, device_key};
use crate::{IamError, arn, mfa};

const INCOMPLETE: &str =
    "MultiFactorAuthentication failed, must provide both MFA serial number and one time pass code.";
const NO_DEVICE: &str = "MultiFactorAuthentication failed, unable to validate MFA code.  Please verify your MFA serial \
                         number is valid and associated with this user.";
const WRONG_CODE: &str = "MultiFactorAuthentication failed with invalid MFA one time pass code. ";

/// Wrong codes of one user in one period at most; then right ones are wrong too. Of a million codes three are right at a
/// time, so that guessing takes months.
const WRONG_MAX: u32 = 10;
const PERIOD_SECONDS: i64 = 300;
/// Users whose wrong codes are counted at once at most.
const USERS_MAX: usize = 10_000;

/// Wrong codes, by the user's unique id: the period that they fell into and how many there were. A restart forgets them.
#[derive(Debug, Default)]
pub(crate) struct WrongCodes(Mutex<HashMap<String, (i64, u32)>>);

impl WrongCodes {
    /// Whether a code of this user may be looked at, by the wall clock's seconds.
    fn may_try(&self, user: &str, now: i64) -> bool {
        let period = now.div_euclid(PERIOD_SECONDS);
        let mut counted = self.0.lock().unwrap_or_else(PoisonError::into_inner);
        if counted.len() >= USERS_MAX {
            counted.retain(|_, (of, _)| *of == period);
        }
        match counted.get(user) {
            Some((of, wrong)) if *of == period => *wrong < WRONG_MAX,
            // Whoever cannot be counted must wait.
            _ => counted.len() < USERS_MAX,
        }
    }

    fn note(&self, user: &str, now: i64) {
        let period = now.div_euclid(PERIOD_SECONDS);
        let mut counted = self.0.lock().unwrap_or_else(PoisonError::into_inner);
        let of_user = counted.entry(user.to_owned()).or_insert((period, 0));
        *of_user = if of_user.0 == period { (period, of_user.1.saturating_add(1)) } else { (period, 1) };
    }
}

/// Whether the request carries a second factor of the calling user. A code is used up by `writes`.
///
/// # Errors
/// `AccessDenied` for a device that is not the caller's and for a wrong code.
pub(crate) async fn check(
    wrong_codes: &WrongCodes,
    call: &mut Call<'_>,
    writes: &mut Writes,
    serial: Option<&String>,
    code: Option<&String>,
) -> Result<bool, IamError> {
    let denied = |text: &str| Err(IamError::Common(CommonError::AccessDenied(text.to_owned())));
    let (serial, code) = match (serial, code) {
        (None, None) => return Ok(false),
        (Some(serial), Some(code)) => (serial, code),
        _ => return denied(INCOMPLETE),
    };
    let (account, principal) = (call.caller().account().to_owned(), call.caller().principal());
    let user = principal.unique_id().filter(|_| principal.kind() == PrincipalKind::User).cloned();
    let Some(user) = user else { return denied(NO_DEVICE) };
    let name = arn::split(serial, &account, "mfa").map(|(_, name)| device_key(&account, name));
    let device = match &name {
        None => None,
        Some(key) => call.row::<Device>(key).await?,
    };
    let is_own = device.is_some_and(|device| {
        let of_user = device.record.assigned.as_ref().is_some_and(|assigned| assigned.user == user.as_str());
        of_user && device.record.serial() == *serial
    });
    if !is_own {
        return denied(NO_DEVICE);
    }
    let now = call.wall().seconds();
    if !wrong_codes.may_try(user.as_str(), now) {
        return denied(WRONG_CODE);
    }
    if mfa::spend_code(call, writes, (&account, user.as_str()), serial, code).await? {
        return Ok(true);
    }
    wrong_codes.note(user.as_str(), now);
    denied(WRONG_CODE)
}

#[cfg(test)]
mod tests {
    use super::*;

    #[test]
    fn guessing_is_bounded_for_each_user_by_itself() {
        let codes = WrongCodes::default();
        for _ in 0..WRONG_MAX {
            assert!(codes.may_try("one", 299));
            codes.note("one", 0);
        }
        assert!(!codes.may_try("one", 299) && codes.may_try("two", 299));
        assert!(codes.may_try("one", 300), "the next period");
        codes.note("one", 300);
        assert!(codes.may_try("one", 300));
    }

    #[test]
    fn the_count_of_users_is_bounded() {
        let codes = WrongCodes::default();
        for user in 0..USERS_MAX {
            codes.note(&user.to_string(), 0);
        }
        assert!(codes.may_try("7", 0) && !codes.may_try("another", 0));
        assert!(codes.may_try("another", 300), "those of the last period are forgotten");
    }
}

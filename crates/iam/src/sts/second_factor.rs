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
/// Users of one account whose wrong codes are counted at once at most: as many as it may have.
const USERS_MAX: usize = 5_000;

/// Wrong codes of this period, by account and the user's unique id. A restart forgets them.
#[derive(Debug, Default)]
pub(crate) struct WrongCodes(Mutex<HashMap<String, OfAccount>>);

/// The wrong codes of an account's users in one period.
#[derive(Debug, Default)]
struct OfAccount {
    period: i64,
    users: HashMap<String, u32>,
}

impl WrongCodes {
    /// Whether a code of this user may be looked at, by the wall clock's seconds.
    fn may_try(&self, account: &str, user: &str, now: i64) -> bool {
        let counted = self.0.lock().unwrap_or_else(PoisonError::into_inner);
        let of_account = counted.get(account).filter(|of| of.period == now.div_euclid(PERIOD_SECONDS));
        of_account.is_none_or(|of| match of.users.get(user) {
            Some(wrong) => *wrong < WRONG_MAX,
            // Whoever cannot be counted must wait.
            None => of.users.len() < USERS_MAX,
        })
    }

    fn note(&self, account: &str, user: &str, now: i64) {
        let period = now.div_euclid(PERIOD_SECONDS);
        let mut counted = self.0.lock().unwrap_or_else(PoisonError::into_inner);
        // There are as many accounts as the operator made.
        counted.retain(|_, of| of.period == period);
        let of_account = counted.entry(account.to_owned()).or_default();
        of_account.period = period;
        let wrong = of_account.users.entry(user.to_owned()).or_default();
        *wrong = wrong.saturating_add(1);
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
    if !wrong_codes.may_try(&account, user.as_str(), now) {
        return denied(WRONG_CODE);
    }
    if mfa::spend_code(call, writes, (&account, user.as_str()), serial, code).await? {
        return Ok(true);
    }
    wrong_codes.note(&account, user.as_str(), now);
    denied(WRONG_CODE)
}

#[cfg(test)]
mod tests {
    use super::*;

    const A: &str = "111122223333";
    const B: &str = "444455556666";

    #[test]
    fn guessing_is_bounded_for_each_user_by_itself() {
        let codes = WrongCodes::default();
        for _ in 0..WRONG_MAX {
            assert!(codes.may_try(A, "one", 299));
            codes.note(A, "one", 0);
        }
        assert!(!codes.may_try(A, "one", 299) && codes.may_try(A, "two", 299));
        assert!(codes.may_try(A, "one", 300), "the next period");
        codes.note(A, "one", 300);
        assert!(codes.may_try(A, "one", 300));
    }

    #[test]
    fn an_account_with_many_users_shuts_out_nobody_elsewhere() {
        let codes = WrongCodes::default();
        for user in 0..USERS_MAX {
            codes.note(A, &user.to_string(), 0);
        }
        assert!(codes.may_try(A, "7", 0) && !codes.may_try(A, "another", 0));
        assert!(codes.may_try(B, "another", 0));
        assert!(codes.may_try(A, "another", 300), "those of the last period are forgotten");
        codes.note(B, "another", 300);
        assert_eq!(codes.0.lock().map(|counted| counted.len()).ok(), Some(1));
    }
}

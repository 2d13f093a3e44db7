//! What a decision would be, and why, for somebody who does not call: `claviger explain`.

use std::borrow::Cow;

use claviger_policy::{AccountId, Context, Explanation, Principal};

use crate::authorize::{CallerPolicies, Grant, with_sources};
use crate::call::Call;
use crate::conditions::{Conditions, Facts};
use crate::operation::Question;
use crate::{Authentication, CallMeta, Caller, Fault, PrincipalTraits};

/// Keys about the connection of a request, which nobody knows of one that was not made.
const OF_CONNECTION: [&str; 4] = ["aws:referer", "aws:securetransport", "aws:sourceip", "aws:useragent"];

impl Caller {
    /// Somebody as if they called, for [`Call::supposing`] only: nobody has proven to be them.
    #[must_use]
    pub fn supposed(principal: Principal, traits: PrincipalTraits, region: &str) -> Self {
        let account = principal.account().as_str().to_owned();
        Self { principal, account, access_key_id: String::new(), region: region.to_owned(), traits, via: None }
    }
}

impl<'e> Call<'e> {
    /// A look at the same world through the eyes of another caller. It can only look: nothing commits what it would write,
    /// and what it reads is no precondition of anything.
    #[must_use]
    pub fn supposing<'s>(&self, caller: &'s Caller, meta: &'s CallMeta) -> Call<'s>
    where
        'e: 's,
    {
        Call::new(self.engine(), caller, meta)
    }

    /// Whether the account is open. Where nobody has to prove who they are, every account is.
    ///
    /// # Errors
    /// A store [`Fault`].
    pub async fn is_account_open(&mut self, account: AccountId) -> Result<bool, Fault> {
        match self.authentication() {
            Authentication::Verify(identities) => identities.is_account_open(self, account.as_str()).await,
            Authentication::DangerAnyCredential { .. } => Ok(true),
        }
    }

    /// Answers a question about the caller like a call would be answered, and shows how each statement and grant stood to
    /// it. `given` says what the request has beyond `facts`, or in place of what is known of the caller.
    #[must_use]
    pub fn explain(
        &self,
        question: &Question,
        policies: &CallerPolicies,
        grants: &[Grant],
        facts: &dyn Fn() -> Facts,
        given: &Facts,
    ) -> Explanation {
        let conditions = Conditions::new(self, &question.resource, question.resource_account, facts);
        let context = Supposition { given, conditions };
        with_sources(self, question, policies, grants, &context, claviger_policy::explain)
    }
}

/// A request that was not made.
struct Supposition<'a> {
    given: &'a Facts,
    conditions: Conditions<'a>,
}

impl Context for Supposition<'_> {
    fn values(&self, key: &str) -> Option<Vec<Cow<'_, str>>> {
        if let Some(values) = self.given.values(key) {
            return Some(values);
        }
        if OF_CONNECTION.contains(&key) { None } else { self.conditions.values(key) }
    }
}

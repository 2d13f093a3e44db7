//! The check that a new key policy does not lock its author out.

use crate::decide::Question;
use crate::document::Document;
use crate::steps::{DECISION_STEPS, Inquiry};

/// Whether, under the new policy, the caller could change the policy again: the policy names the caller, or leaves
/// it to the caller's account, and does not deny. `question` asks for the action that changes policies on the key.
///
/// Whether the caller's identity policies really allow it is not asked: AWS is not known to, and the account's root
/// user could always be given them.
#[must_use]
pub fn keeps_policy_writable(question: &Question<'_>, new_policy: &Document) -> bool {
    let question = Inquiry::new(question, DECISION_STEPS);
    question.principal.account() == question.resource_account
        && new_policy.denies(&question).is_none()
        && new_policy.allows_best(&question).is_some()
}

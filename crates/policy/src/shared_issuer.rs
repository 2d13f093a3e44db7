//! Issuers of tokens that many strangers share: a role that trusts one must say whom of them.

use crate::condition::{Condition, Operands, Quantifier};
use crate::decide::Effect;
use crate::key::is_same_key;
use crate::malformed::Malformed;
use crate::principal::PrincipalName;
use crate::statement::{ActionPattern, Selection};
use crate::steps::Steps;

/// An issuer that gives tokens to everybody, so that trusting it alone would trust the world.
#[derive(Clone, Copy, Debug, PartialEq, Eq)]
pub struct SharedIssuer {
    /// Its URL without the scheme, e.g. `token.actions.githubusercontent.com`.
    pub issuer: &'static str,
    /// The claims any one of which says whose a token is, e.g. `sub`.
    pub claims: &'static [&'static str],
}

/// Refuses an Allow for a token's bearers that does not demand one of the claims of a shared issuer.
pub(crate) fn check(
    shared: &[SharedIssuer],
    effect: Effect,
    names: &[PrincipalName],
    actions: &Selection<ActionPattern>,
    conditions: &[Condition],
) -> Result<(), Malformed> {
    let steps = Steps::new(usize::MAX);
    let by_token = actions.patterns().iter().any(|pattern| pattern.matches("sts:AssumeRoleWithWebIdentity", &steps));
    if effect == Effect::Deny || !by_token {
        return Ok(());
    }
    for issuer in names.iter().filter_map(PrincipalName::issuer) {
        let shared = shared.iter().find(|shared| shared.issuer.eq_ignore_ascii_case(issuer));
        let demanded = |shared: &SharedIssuer| conditions.iter().any(|condition| demands(condition, shared));
        if shared.is_some_and(|shared| !demanded(shared)) {
            let claims = shared.map_or(&[][..], |shared| shared.claims);
            let keys: Vec<String> = claims.iter().map(|claim| format!("{issuer}:{claim}")).collect();
            return Err(Malformed::syntax(format!(
                "The provider {issuer} is shared by many. The policy must evaluate one of the condition keys: {}.",
                keys.join(", ")
            )));
        }
    }
    Ok(())
}

/// Whether the condition cannot hold for a token without the claim, nor for any claim at all.
fn demands(condition: &Condition, shared: &SharedIssuer) -> bool {
    let of_claim = shared.claims.iter().any(|claim| is_same_key(&condition.key, &format!("{}:{claim}", shared.issuer)));
    let positive = !condition.negated && !condition.if_exists && condition.quantifier != Quantifier::ForAllValues;
    let compares = matches!(condition.operands, Operands::Text { .. });
    let narrow = |value: &str| !value.chars().all(|character| matches!(character, '*' | '?'));
    of_claim && positive && compares && condition.text.values.iter().all(|value| narrow(value))
}

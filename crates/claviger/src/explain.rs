//! Why somebody may use a key, or may not: the server's side of `claviger explain`.

use std::collections::BTreeMap;

use claviger_engine::{
    Call, CallMeta, Caller, CallerPolicies, CommandError, CommandWork, Commanded, Facts, Value, Writes,
};
use claviger_iam::PoliciesOf;
use claviger_server::{Explain, Explained, OperatorAnswer};

/// Looks at the policies and grants of now. Nothing is changed.
pub(crate) struct Explaining(pub(crate) Explain);

impl CommandWork for Explaining {
    type Response = OperatorAnswer;

    async fn run(&self, call: &mut Call<'_>) -> Result<Commanded<OperatorAnswer>, CommandError> {
        Ok(answer(lines(call, &self.0).await?))
    }
}

/// The answer to a command that changes nothing.
pub(crate) fn answer(lines: Vec<String>) -> Commanded<OperatorAnswer> {
    let response = OperatorAnswer::Explained(Explained { lines });
    Commanded { response, writes: Writes::default(), shown: Value::Null }
}

/// What the record shows of the command; an encryption context is shown like that of a request.
pub(crate) fn facts(request: &Explain) -> Value {
    let mut facts = Value::object([
        ("caller", Value::public_text(&request.caller)),
        ("action", Value::public_text(&request.action)),
    ]);
    if let Some(region) = &request.region {
        facts = facts.with("awsRegion", Value::public_text(region));
    }
    if let Some(key) = &request.key {
        facts = facts.with("keyId", Value::public_text(key));
    }
    for (name, pairs) in [("context", &request.context), ("encryptionContext", &request.encryption_context)] {
        if !pairs.is_empty() {
            let pairs = pairs.iter().map(|(name, value)| (name.as_str(), value.as_str()));
            facts = facts.with(name, Value::public_map(pairs));
        }
    }
    facts
}

/// The explanation, line by line.
pub(crate) async fn lines(call: &Call<'_>, request: &Explain) -> Result<Vec<String>, CommandError> {
    let Explain { caller, action, key, region, context, encryption_context } = request;
    let region = region.as_deref().unwrap_or_else(|| call.regions().default_region());
    if !call.regions().serve(region) {
        return Err(CommandError::refused("NoSuchRegion", format!("{region:?} is not a Region that is served")));
    }
    let (nobody, meta) = (Caller::system(region), CallMeta::system());
    let supposed = claviger_iam::supposed(&mut call.supposing(&nobody, &meta), caller).await?;
    let Some((principal, traits)) = supposed else {
        let text = format!("{caller:?} is not the ARN of a user, role, role session or account's root that is here");
        return Err(CommandError::refused("NoSuchPrincipal", text));
    };
    let caller = Caller::supposed(principal, traits, region);
    let mut call = call.supposing(&caller, &meta);
    let pairs: BTreeMap<String, String> = encryption_context.iter().cloned().collect();
    let supposed = claviger_kms::supposed_use(&mut call, action, key.as_deref(), &pairs).await?;
    let of = claviger_iam::policies_of(&mut call, caller.principal()).await?;
    let policies = of.as_ref().map(caller_policies).unwrap_or_default();
    let given = context.iter().fold(Facts::default(), |given, (name, value)| given.with(name.clone(), value.clone()));
    let facts = || supposed.facts.clone();
    let explanation = call.explain(&supposed.question, &policies, &supposed.grants, &facts, &given);
    let mut lines = vec![
        format!("caller    {}", caller.principal()),
        format!("action    {action}"),
        format!("resource  {}", supposed.question.resource),
        String::new(),
    ];
    lines.extend(explanation.to_string().lines().map(str::to_owned));
    let names = of.iter().flat_map(|of| of.policies.iter().enumerate());
    lines.extend(
        names.map(|(number, policy)| format!("identity policy {} is {}", number.saturating_add(1), policy.name)),
    );
    let boundary = of.iter().filter_map(|of| of.boundary.as_ref());
    lines.extend(boundary.map(|policy| format!("permissions boundary is {}", policy.name)));
    Ok(lines)
}

fn caller_policies(of: &PoliciesOf) -> CallerPolicies {
    CallerPolicies {
        identity: of.policies.iter().map(|policy| policy.document.clone()).collect(),
        boundary: of.boundary.as_ref().map(|policy| policy.document.clone()),
        ..CallerPolicies::default()
    }
}

//! Why somebody may do something, or may not: the server's side of `claviger explain`.

use std::collections::BTreeMap;
use std::sync::Arc;

use claviger_engine::{
    Call, CallMeta, Caller, CommandError, CommandWork, Commanded, Facts, Grant, Question, Value, Writes,
};
use claviger_iam::{PoliciesOf, PolicyOf, ServiceControlLevel, SupposedSession};
use claviger_kms::Supposed;
use claviger_policy::{Effect, Explanation, PrincipalKind, Source, StatementTrace};
use claviger_server::{Explain, Explained, OperatorAnswer};

use crate::world::World;

/// Looks at the policies and grants of now. Nothing is changed.
pub(crate) struct Explaining {
    pub(crate) world: Arc<World>,
    pub(crate) request: Explain,
}

impl CommandWork for Explaining {
    type Response = OperatorAnswer;

    async fn run(&self, call: &mut Call<'_>) -> Result<Commanded<OperatorAnswer>, CommandError> {
        Ok(answer(lines(call, &self.world, &self.request, None).await?))
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
    let texts = [
        ("awsRegion", &request.region),
        ("keyId", &request.key),
        ("resource", &request.resource),
        ("grantId", &request.grant),
        ("sessionPolicy", &request.session_policy),
        ("madeBy", &request.made_by),
    ];
    for (name, text) in texts {
        if let Some(text) = text {
            facts = facts.with(name, Value::public_text(text));
        }
    }
    for (name, texts) in
        [("grantOperations", &request.grant_operations), ("sessionPolicyArns", &request.session_policy_arns)]
    {
        if !texts.is_empty() {
            facts = facts.with(name, Value::list(texts.iter().map(|text| Value::public_text(text))));
        }
    }
    for (name, pairs) in [("context", &request.context), ("encryptionContext", &request.encryption_context)] {
        if !pairs.is_empty() {
            let pairs = pairs.iter().map(|(name, value)| (name.as_str(), value.as_str()));
            facts = facts.with(name, Value::public_map(pairs));
        }
    }
    facts
}

/// What a service says about the request.
struct Asked {
    question: Question,
    facts: Facts,
    grants: Vec<Grant>,
    /// Why it is refused whatever the policies say.
    refused: Option<String>,
    notes: Vec<String>,
}

/// The explanation, line by line. `known_id`: the unique id that the caller is known to have had.
pub(crate) async fn lines(
    call: &Call<'_>,
    world: &World,
    request: &Explain,
    known_id: Option<&str>,
) -> Result<Vec<String>, CommandError> {
    let region = request.region.as_deref().unwrap_or_else(|| call.regions().default_region());
    if !call.regions().serve(region) {
        return Err(CommandError::refused("NoSuchRegion", format!("{region:?} is not a Region that is served")));
    }
    let (nobody, meta) = (Caller::system(region), CallMeta::system());
    let session = SupposedSession {
        policy: request.session_policy.clone(),
        policy_arns: request.session_policy_arns.clone(),
        made_by: request.made_by.clone(),
    };
    let text = &request.caller;
    let found = claviger_iam::supposed_session(&mut call.supposing(&nobody, &meta), text, &session).await?;
    let Some((principal, traits)) = found else {
        let text =
            format!("{text:?} is not the ARN of a user, role, role session, federated session or account's root here");
        return Err(CommandError::refused("NoSuchPrincipal", text));
    };
    let namesake = known_id.zip(traits.unique_id.clone()).filter(|(then, now)| then != now);
    let caller = Caller::supposed(principal, traits, region);
    let mut call = call.supposing(&caller, &meta);
    let mut asked = asked(&mut call, world, request).await?;
    let mut lines = vec![
        format!("caller    {}", caller.principal()),
        format!("action    {}", request.action),
        format!("resource  {}", asked.question.resource),
        String::new(),
    ];
    if let Some((then, now)) = namesake {
        lines.push(format!(
            "whoever had this name then had the unique id {then}; {now}, who has it now, is somebody else"
        ));
    }
    lines.extend(closed(&mut call, &mut asked.question).await?);
    lines.extend(asked.refused.iter().map(|why| format!("deny, whatever the policies say: {why}")));
    let policies = claviger_iam::policies_for(&world.iam, &mut call).await?;
    let of = claviger_iam::policies_of(&mut call, caller.principal()).await?;
    let given =
        request.context.iter().fold(Facts::default(), |given, (name, value)| given.with(name.clone(), value.clone()));
    let facts = || asked.facts.clone();
    let explanation = call.explain(&asked.question, &policies, &asked.grants, &facts, &given);
    lines.extend(explanation.to_string().lines().map(str::to_owned));
    lines.extend(asked.notes);
    lines.extend(levels(&world.iam.service_control_levels(&mut call).await?, &explanation));
    lines.extend(of.iter().flat_map(names));
    if of.is_none() && caller.principal().kind() == PrincipalKind::FederatedUser {
        lines.push("identity policy 1 stands for the root user of the account, who needs none".to_owned());
    }
    let first = usize::from(session.policy.is_some()).saturating_add(1);
    let managed = session.policy_arns.iter().zip(first..);
    lines.extend(managed.map(|(arn, number)| format!("session policy {number} is {arn}")));
    Ok(lines)
}

/// Puts the request before the service that it is for.
async fn asked(call: &mut Call<'_>, world: &World, request: &Explain) -> Result<Asked, CommandError> {
    let Explain { action, key, resource, grant, grant_operations, encryption_context, .. } = request;
    if key.is_some() && resource.is_some() {
        return Err(CommandError::refused("TooMuch", "say what the request is about by --key or by --resource"));
    }
    if !action.starts_with("kms:") {
        if key.is_some() || grant.is_some() {
            return Err(CommandError::refused("TooMuch", "only actions of KMS are about keys and grants"));
        }
        let asked = claviger_iam::supposed_request(call, action, resource.as_deref()).await?;
        let claviger_iam::SupposedRequest { question, facts, refused, notes } = asked;
        return Ok(Asked { question, facts, grants: Vec::new(), refused, notes });
    }
    let pairs: BTreeMap<String, String> = encryption_context.iter().cloned().collect();
    let supposed = Supposed {
        action,
        key: key.as_deref(),
        alias: resource.as_deref(),
        context: Some(&pairs),
        grant: grant.as_deref(),
        operations: grant_operations,
    };
    let claviger_kms::SupposedUse { question, grants, facts, notes } =
        claviger_kms::supposed_use(call, &world.kms, &supposed).await?;
    Ok(Asked { question, facts, grants, refused: None, notes })
}

/// What a closed account means for the question: that of the caller, and that of what it is about.
async fn closed(call: &mut Call<'_>, question: &mut Question) -> Result<Option<String>, CommandError> {
    let (own, owner) = (call.caller().principal().account(), question.resource_account);
    if !call.is_account_open(own).await? {
        return Ok(Some(format!(
            "deny, whatever the policies say: the account {own} is closed, so nobody of it can authenticate; were it open:"
        )));
    }
    if own != owner && !call.is_account_open(owner).await? {
        // As the engine does it: as if no other account had ever been let in.
        question.cross_account = false;
        return Ok(Some(format!(
            "the account {owner}, whose resource this is, is closed: nobody of another account may"
        )));
    }
    Ok(None)
}

/// What the numbers of the service control policies stand for, and which level lets nothing of this pass.
fn levels(levels: &[ServiceControlLevel], explanation: &Explanation) -> Vec<String> {
    let mut lines = Vec::new();
    let mut number = 0_usize;
    for level in levels {
        let place = if level.path.is_empty() { &level.target } else { &level.path };
        let mut allows = false;
        for policy in &level.policies {
            let (name, id) = (&policy.name, &policy.id);
            let applies = |statement: &StatementTrace| {
                statement.applies
                    && statement.effect == Effect::Allow
                    && (statement.place.source, statement.place.policy) == (Source::ServiceControlPolicy, number)
            };
            allows |= explanation.statements.iter().any(applies);
            number = number.saturating_add(1);
            lines.push(format!("service control policy {number} is {name} ({id}) of {place}"));
        }
        if !allows {
            lines.push(format!("no service control policy of {place} allows this"));
        }
    }
    lines
}

/// What the numbers of the policies stand for.
fn names(of: &PoliciesOf) -> Vec<String> {
    let name = |policy: &PolicyOf| match &policy.inline_of {
        Some((kind @ "group", name)) => format!("{} of the {kind} {name}", policy.name),
        _ => policy.name.clone(),
    };
    let numbered = of.policies.iter().zip(1_usize..);
    let mut lines: Vec<String> =
        numbered.map(|(policy, number)| format!("identity policy {number} is {}", name(policy))).collect();
    lines.extend(of.boundary.iter().map(|policy| format!("permissions boundary is {}", policy.name)));
    lines
}

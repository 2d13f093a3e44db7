//! Simulation: what policies would say about requests that nobody makes. It looks at the given context only, never at
//! that of the request itself.

use std::borrow::Cow;
use std::collections::BTreeMap;
use std::sync::Arc;

use claviger_api::iam::{
    ContextEntry, EvaluationResult, GetContextKeysForPolicyResponse, OrganizationsDecisionDetail,
    PermissionsBoundaryDecisionDetail, PolicyEvaluationDecisionType as Outcome, PolicyIdentifier, PolicySourceType,
    Position, ResourceSpecificResult, SimulatePolicyResponse, Statement,
};
use claviger_engine::{Call, Outcome as Done, Value};
use claviger_policy::{
    AccountId, Context, Document, Effect, Explanation, Principal, PrincipalName, Question, Reason, ResourcePolicy,
    Source, Sources, StatementReference, is_same_key,
};

use crate::arn::{self, Kind};
use crate::identity::{PolicyOf, policies_of_entity};
use crate::operation::{About, IamOperation, operation, parameters};
use crate::page::Page;
use crate::records::Identity;
use crate::{Iam, IamError, ServiceControlPolicy, documents, find};

/// A policy with what answers call it.
struct Named {
    id: String,
    kind: PolicySourceType,
    document: Arc<Document>,
}

impl Named {
    fn attached(policy: PolicyOf) -> Self {
        let (id, kind) = match &policy.inline_of {
            None => (policy.name.clone(), PolicySourceType::UserManaged),
            Some((word, owner)) => {
                let kind = PolicySourceType::parse(word).unwrap_or(PolicySourceType::None);
                (format!("{word}_{owner}_{}", policy.name), kind)
            }
        };
        Self { id, kind, document: policy.document }
    }

    /// The service control policies that bind the caller. Those of another account are not to be seen.
    async fn binding(iam: &Iam, call: &mut Call<'_>, caller: &Principal) -> Result<Vec<Vec<Self>>, IamError> {
        if caller.account().as_str() != call.caller().account() {
            return Ok(Vec::new());
        }
        let levels = iam.service_control_levels(call).await?.into_iter().map(|level| {
            let policy = |policy: ServiceControlPolicy| Self {
                id: policy.name,
                kind: PolicySourceType::None,
                document: policy.document,
            };
            level.policies.into_iter().map(policy).collect()
        });
        Ok(levels.collect())
    }

    /// The policies that a request brings, named by their place in it.
    fn given(list: &str, texts: Option<&Vec<String>>) -> Result<Vec<Self>, IamError> {
        let mut all = Vec::new();
        for (number, text) in texts.into_iter().flatten().enumerate() {
            let document = documents::compile(text).map_err(|malformed| {
                IamError::InvalidInput(format!("{list}.{}: {}", number.saturating_add(1), malformed.message()))
            })?;
            let id = format!("{list}.{}", number.saturating_add(1));
            all.push(Self { id, kind: PolicySourceType::None, document: Arc::new(document) });
        }
        Ok(all)
    }
}

/// Up to this much is worked on at once: bytes of policies and of what is asked about them, for each pair of action and
/// resource. More is done in the pool for heavy work, in the share of the caller's account.
const AT_ONCE_BYTES: usize = 64 * 1024;
/// How much one answer takes at most: for each pair, bytes of policies times bytes of what they are held against. The
/// pairs beyond are for the next page. Some tenths of a second.
const WORK_MAX: usize = 1 << 28;
/// What reading a policy and reporting on it costs, as if so many bytes were held against it.
const READING_BYTES: usize = 32;

/// What is asked of a simulation, whoever's policies it is about.
struct Asked {
    actions: Vec<String>,
    resources: Vec<String>,
    page: Page,
    context: Given,
}

impl Asked {
    fn size(&self) -> usize {
        let texts = self.actions.iter().chain(&self.resources);
        texts.fold(self.context.size(), |sum, text| sum.saturating_add(text.len()))
    }

    /// How many pairs of action and resource there are on all pages.
    const fn pairs(&self) -> usize {
        self.actions.len().saturating_mul(self.resources.len())
    }

    fn pair(&self, number: usize) -> Option<(&str, &str)> {
        let action = self.actions.get(number.checked_div(self.resources.len())?)?;
        Some((action, self.resources.get(number.checked_rem(self.resources.len())?)?))
    }
}

/// Does work on policies: what is large in the pool, where accounts take turns.
async fn worked<T: Send + 'static>(
    call: &mut Call<'_>,
    size: usize,
    work: impl FnOnce() -> Result<T, IamError> + Send + 'static,
) -> Result<T, IamError> {
    if size <= AT_ONCE_BYTES { work() } else { call.heavy(work).await? }
}

/// The bytes of texts.
fn bytes<'a>(texts: impl IntoIterator<Item = &'a String>) -> usize {
    texts.into_iter().fold(0, |sum, text| sum.saturating_add(text.len()))
}

/// What is simulated.
struct Simulation {
    identity: Vec<Named>,
    boundary: Option<Named>,
    organization: Vec<Vec<Named>>,
    resource_policy: Option<Document>,
    caller: Principal,
    resource_account: AccountId,
    asked: Asked,
}

/// The context of the request that is simulated.
struct Given(Vec<ContextEntry>);

impl Given {
    fn size(&self) -> usize {
        self.0.iter().fold(0, |sum, entry| {
            let texts = entry.context_key_values.iter().flatten().chain(&entry.context_key_name);
            // A name or value takes time however short it is.
            texts.fold(sum, |sum, text| sum.saturating_add(text.len()).saturating_add(8))
        })
    }
}

impl Context for Given {
    fn values(&self, key: &str) -> Option<Vec<Cow<'_, str>>> {
        let same = |entry: &&ContextEntry| entry.context_key_name.as_deref().is_some_and(|name| is_same_key(name, key));
        let found = self.0.iter().find(same)?;
        Some(found.context_key_values.iter().flatten().map(|value| Cow::Borrowed(value.as_str())).collect())
    }
}

impl Simulation {
    fn explain(&self, action: &str, resource: &str) -> Explanation {
        let documents =
            |list: &[Named]| -> Vec<Arc<Document>> { list.iter().map(|one| one.document.clone()).collect() };
        let identity = documents(&self.identity);
        let identity: Vec<&Document> = identity.iter().map(AsRef::as_ref).collect();
        let levels: Vec<Vec<&Document>> =
            self.organization.iter().map(|level| level.iter().map(|one| &*one.document).collect()).collect();
        let levels: Vec<&[&Document]> = levels.iter().map(Vec::as_slice).collect();
        let question = Question {
            principal: &self.caller,
            action,
            resource_arn: resource,
            resource_account: self.resource_account,
            cross_account_capable: true,
            context: &self.asked.context,
        };
        let sources = Sources {
            resource_policy: self.resource_policy.as_ref().map_or(ResourcePolicy::None, ResourcePolicy::MustAgree),
            identity_policies: &identity,
            boundary: self.boundary.as_ref().map(|one| &*one.document),
            service_control_policies: &levels,
            ..Sources::default()
        };
        claviger_policy::explain(&question, &sources)
    }

    fn source(&self, place: StatementReference) -> (String, PolicySourceType) {
        let found = match place.source {
            Source::IdentityPolicy => self.identity.get(place.policy),
            Source::Boundary => self.boundary.as_ref(),
            Source::ServiceControlPolicy => self.organization.iter().flatten().nth(place.policy),
            Source::ResourcePolicy => return ("ResourcePolicy".to_owned(), PolicySourceType::Resource),
            Source::SessionPolicy => None,
        };
        found.map_or_else(|| (String::new(), PolicySourceType::None), |found| (found.id.clone(), found.kind))
    }

    fn statements(&self, explanation: &Explanation) -> Vec<Statement> {
        let position = |place: claviger_policy::Position| Position {
            line: i32::try_from(place.line).ok(),
            column: i32::try_from(place.column).ok(),
        };
        let matched = explanation.matched().map(|statement| {
            let (id, kind) = self.source(statement.place);
            Statement {
                source_policy_id: Some(id),
                source_policy_type: Some(kind),
                start_position: statement.span.map(|span| position(span.start)),
                end_position: statement.span.map(|span| position(span.end)),
            }
        });
        matched.collect()
    }

    /// One action on one resource; `*` where the request names none.
    fn result(&self, action: &str, resource: &str) -> EvaluationResult {
        let explanation = self.explain(action, resource);
        let decision = match explanation.decision.reason {
            _ if explanation.decision.is_allowed() => Outcome::Allowed,
            Reason::ExplicitDeny(_) => Outcome::ExplicitDeny,
            _ => Outcome::ImplicitDeny,
        };
        let statements = self.statements(&explanation);
        let boundary = self.boundary.as_ref().map(|_| PermissionsBoundaryDecisionDetail {
            allowed_by_permissions_boundary: Some(passes(&explanation, Source::Boundary)),
        });
        let passes_organization = !matches!(
            explanation.decision.reason,
            Reason::NoAllow(Source::ServiceControlPolicy) | Reason::ExplicitDeny(Source::ServiceControlPolicy)
        );
        let organization = (!self.organization.is_empty())
            .then_some(OrganizationsDecisionDetail { allowed_by_organizations: Some(passes_organization) });
        let specific = (resource != "*").then(|| {
            vec![ResourceSpecificResult {
                eval_resource_name: resource.to_owned(),
                eval_resource_decision: decision,
                matched_statements: Some(statements.clone()),
                missing_context_values: Some(explanation.missing_keys.clone()),
                eval_decision_details: None,
                permissions_boundary_decision_detail: boundary.clone(),
            }]
        });
        EvaluationResult {
            eval_action_name: action.to_owned(),
            eval_resource_name: Some(resource.to_owned()),
            eval_decision: decision,
            matched_statements: Some(statements),
            missing_context_values: Some(explanation.missing_keys),
            organizations_decision_detail: organization,
            permissions_boundary_decision_detail: boundary,
            eval_decision_details: (resource != "*").then(BTreeMap::new),
            resource_specific_results: specific,
        }
    }

    /// The bytes of all policies.
    fn size(&self) -> usize {
        let named = self.identity.iter().chain(&self.boundary).chain(self.organization.iter().flatten());
        let documents = named.map(|named| &*named.document).chain(&self.resource_policy);
        documents.fold(0, |sum, document| sum.saturating_add(document.text().len()))
    }

    fn response(&self) -> Result<SimulatePolicyResponse, IamError> {
        let Asked { actions, page, .. } = &self.asked;
        for action in actions {
            let full = action.split_once(':').is_some_and(|(service, name)| !service.is_empty() && !name.is_empty());
            if !full || action.contains(['*', '?']) {
                return Err(IamError::InvalidInput(format!("Invalid Input Actions: {action}")));
            }
        }
        let (size, against) = (self.size(), self.asked.context.size().saturating_add(READING_BYTES));
        // The marker counts the pairs already given. One that never was a marker is behind them all.
        let given = page.after().map_or(Ok(0), |marker| marker.parse::<usize>().map(|last| last.saturating_add(1)));
        let mut next = given.unwrap_or(usize::MAX);
        let (mut results, mut work) = (Vec::new(), 0_usize);
        while let Some((action, resource)) = self.asked.pair(next).filter(|_| results.len() < page.limit()) {
            let against = against.saturating_add(action.len()).saturating_add(resource.len());
            work = work.saturating_add(size.saturating_mul(against));
            if work > WORK_MAX {
                break;
            }
            results.push(self.result(action, resource));
            next = next.saturating_add(1);
        }
        let more = next < self.asked.pairs();
        if results.is_empty() && more {
            let text = "The policies and the context entries are too large to be simulated together.";
            return Err(IamError::InvalidInput(text.to_owned()));
        }
        Ok(SimulatePolicyResponse {
            is_truncated: Some(more),
            evaluation_results: Some(results),
            marker: more.then(|| format!("{:06}", next.saturating_sub(1))),
        })
    }
}

/// Whether the policies of this kind allow and do not deny.
fn passes(explanation: &Explanation, source: Source) -> bool {
    let of = |effect| {
        let mut statements = explanation.statements.iter().filter(|one| one.applies && one.place.source == source);
        statements.any(|statement| statement.effect == effect)
    };
    of(Effect::Allow) && !of(Effect::Deny)
}

/// The resource policy of a request: only keys have one here, and theirs must agree whatever identity policies say.
fn resource_policy(text: Option<&String>, actions: &[String]) -> Result<Option<Document>, IamError> {
    let Some(text) = text else { return Ok(None) };
    if actions.iter().any(|action| !action.to_ascii_lowercase().starts_with("kms:")) {
        let text = "Resource policies are simulated for actions of KMS only.";
        return Err(IamError::InvalidInput(text.to_owned()));
    }
    let malformed = |error: claviger_policy::Malformed| IamError::InvalidInput(error.message().to_owned());
    documents::compile_key_policy(text).map(Some).map_err(malformed)
}

/// The user whose request is simulated.
fn caller(text: &str) -> Result<Principal, IamError> {
    let user = match PrincipalName::parse(text) {
        Some(PrincipalName::User(account, text)) => {
            arn::split(&text, account.as_str(), "user").map(|(path, name)| Principal::user(account, path, name))
        }
        _ => None,
    };
    user.ok_or_else(|| {
        IamError::InvalidInput("Invalid caller - Caller must be an IAM user in this context.".to_owned())
    })
}

/// The account that owns the resources: that of the caller unless the request says otherwise.
fn owner(text: Option<&String>, caller: &Principal) -> Result<AccountId, IamError> {
    let Some(text) = text else { return Ok(caller.account()) };
    let digits = text.split(':').nth(4).unwrap_or(text);
    AccountId::parse(digits).ok_or_else(|| IamError::InvalidInput(format!("Invalid resource owner: {text}")))
}

/// The boundary that a request brings: one at most.
fn boundary(texts: Option<&Vec<String>>) -> Result<Option<Named>, IamError> {
    let mut given = Named::given("PermissionsBoundaryPolicyInputList", texts)?;
    if given.len() > 1 {
        let text = "Only one permissions boundary policy can be simulated at a time.";
        return Err(IamError::InvalidInput(text.to_owned()));
    }
    Ok(given.pop())
}

/// The user, group or role that a request names.
async fn entity(call: &mut Call<'_>, text: &str) -> Result<Arc<Identity>, IamError> {
    let account = call.caller().account().to_owned();
    for kind in [Kind::User, Kind::Group, Kind::Role] {
        let Some((_, name)) = arn::split(text, &account, kind.word()) else { continue };
        let found = find::need(call, kind, name).await?;
        if found.arn() != text {
            return Err(IamError::NoSuchEntity(format!("The {} with name {name} cannot be found.", kind.word())));
        }
        return Ok(found);
    }
    let text = format!("Invalid Entity Arn: {text} does not clearly define entity type and name.");
    Err(IamError::InvalidInput(text))
}

async fn about_entity(call: &mut Call<'_>, text: &str) -> Result<Vec<About>, IamError> {
    let account = call.caller().account().to_owned();
    for kind in [Kind::User, Kind::Group, Kind::Role] {
        let Some((_, name)) = arn::split(text, &account, kind.word()) else { continue };
        let about = find::about(call, kind, name).await?;
        return Ok(about.into_iter().map(|about| About { arn: text.to_owned(), ..about }).collect());
    }
    Ok(vec![About::arn(text.to_owned())])
}

/// Who stands for the entity: a role is used by its sessions, a group by its members.
fn principal_of(identity: &Identity) -> Result<Principal, IamError> {
    let account = AccountId::parse(&identity.account);
    let account = account.ok_or_else(|| claviger_engine::Fault::RecordMalformed(identity.id.clone()))?;
    Ok(match identity.kind() {
        Kind::User => Principal::user(account, &identity.path, &identity.name),
        Kind::Role => Principal::role_session(account, &identity.path, &identity.name, "session"),
        Kind::Group => Principal::user(account, &identity.path, "member"),
    })
}

/// Whether a request leaves the policy out.
fn is_excluded(policy: &PolicyOf, excluded: &[PolicyIdentifier]) -> bool {
    excluded.iter().any(|one| match (&policy.inline_of, &one.inline_policy_identifier) {
        (None, _) => one.policy_arn.as_ref() == Some(&policy.name),
        (Some((word, owner)), Some(inline)) => {
            let same_kind = inline.attachment_type.as_str().eq_ignore_ascii_case(word);
            same_kind && inline.attachment_name == *owner && inline.policy_name == policy.name
        }
        (Some(_), None) => false,
    })
}

/// The condition keys that policies ask for.
fn keys_of<'a>(policies: impl IntoIterator<Item = &'a Named>) -> GetContextKeysForPolicyResponse {
    let names = Document::context_keys_of(policies.into_iter().map(|policy| &*policy.document));
    GetContextKeysForPolicyResponse { context_key_names: Some(names) }
}

/// The resources that a request names; `*` where it names none.
fn resources(named: Option<&Vec<String>>) -> Vec<String> {
    named.filter(|named| !named.is_empty()).cloned().unwrap_or_else(|| vec!["*".to_owned()])
}

pub(crate) struct SimulatePrincipalPolicy;

impl IamOperation for SimulatePrincipalPolicy {
    operation!(SimulatePrincipalPolicy, SimulatePrincipalPolicyRequest => SimulatePolicyResponse, reads);

    async fn about(call: &mut Call<'_>, request: &Self::Request) -> Result<Vec<About>, IamError> {
        about_entity(call, &request.policy_source_arn).await
    }

    async fn perform(
        iam: &Iam,
        call: &mut Call<'_>,
        request: &Self::Request,
    ) -> Result<Done<SimulatePolicyResponse>, IamError> {
        let identity = entity(call, &request.policy_source_arn).await?;
        let of = policies_of_entity(call, &identity).await?;
        let caller = match &request.caller_arn {
            Some(text) => caller(text)?,
            None if request.resource_policy.is_some() && identity.kind() != Kind::User => {
                return Err(IamError::InvalidInput(
                    "Invalid caller - Caller must be an IAM user in this context.".to_owned(),
                ));
            }
            None => principal_of(&identity)?,
        };
        let organization = Named::binding(iam, call, &caller).await?;
        let asked = Asked {
            actions: request.action_names.clone(),
            resources: resources(request.resource_arns.as_ref()),
            page: Page::new(request.marker.as_ref(), request.max_items),
            context: Given(request.context_entries.clone().unwrap_or_default()),
        };
        let given = request.policy_input_list.iter().chain(&request.permissions_boundary_policy_input_list).flatten();
        let stored = of.policies.iter().chain(&of.boundary).map(|policy| policy.document.text().len());
        let stored = stored.chain(organization.iter().flatten().map(|policy| policy.document.text().len()));
        let size = stored.fold(bytes(given.chain(&request.resource_policy)), usize::saturating_add);
        let request = request.clone();
        worked(call, size.saturating_add(asked.size()).saturating_mul(asked.pairs()), move || {
            let excluded = request.policy_exclusion_list.as_deref().unwrap_or_default();
            let kept = of.policies.into_iter().filter(|policy| !is_excluded(policy, excluded));
            let mut policies: Vec<Named> = kept.map(Named::attached).collect();
            policies.extend(Named::given("PolicyInputList", request.policy_input_list.as_ref())?);
            let attached = of.boundary.filter(|policy| !is_excluded(policy, excluded)).map(Named::attached);
            let simulation = Simulation {
                identity: policies,
                boundary: boundary(request.permissions_boundary_policy_input_list.as_ref())?.or(attached),
                organization,
                resource_policy: resource_policy(request.resource_policy.as_ref(), &request.action_names)?,
                resource_account: owner(request.resource_owner.as_ref(), &caller)?,
                caller,
                asked,
            };
            simulation.response()
        })
        .await
        .map(Done::read_only)
    }

    fn shown(request: &Self::Request) -> Value {
        parameters(&[("policySourceArn", Some(&request.policy_source_arn))])
    }
}

pub(crate) struct SimulateCustomPolicy;

impl IamOperation for SimulateCustomPolicy {
    operation!(SimulateCustomPolicy, SimulateCustomPolicyRequest => SimulatePolicyResponse, reads);

    async fn about(_: &mut Call<'_>, _: &Self::Request) -> Result<Vec<About>, IamError> {
        Ok(About::everything())
    }

    async fn perform(
        _: &Iam,
        call: &mut Call<'_>,
        request: &Self::Request,
    ) -> Result<Done<SimulatePolicyResponse>, IamError> {
        let caller = match &request.caller_arn {
            Some(text) => caller(text)?,
            None if request.resource_policy.is_some() => {
                return Err(IamError::InvalidInput("CallerArn is required with a resource policy.".to_owned()));
            }
            None => Principal::user(call.caller().principal().account(), "/", "simulated"),
        };
        let asked = Asked {
            actions: request.action_names.clone(),
            resources: resources(request.resource_arns.as_ref()),
            page: Page::new(request.marker.as_ref(), request.max_items),
            context: Given(request.context_entries.clone().unwrap_or_default()),
        };
        let levels = request.ordered_organization_policy_input_list.iter().flatten();
        let of_levels = levels.flat_map(|level| level.service_control_policy_input_list.iter().flatten());
        let boundaries = request.permissions_boundary_policy_input_list.iter().flatten();
        let size =
            bytes(request.policy_input_list.iter().chain(boundaries).chain(of_levels).chain(&request.resource_policy));
        let request = request.clone();
        worked(call, size.saturating_add(asked.size()).saturating_mul(asked.pairs()), move || {
            let mut organization = Vec::new();
            for level in request.ordered_organization_policy_input_list.iter().flatten() {
                let list = "OrderedOrganizationPolicyInputList";
                organization.push(Named::given(list, level.service_control_policy_input_list.as_ref())?);
            }
            let simulation = Simulation {
                identity: Named::given("PolicyInputList", Some(&request.policy_input_list))?,
                boundary: boundary(request.permissions_boundary_policy_input_list.as_ref())?,
                organization,
                resource_policy: resource_policy(request.resource_policy.as_ref(), &request.action_names)?,
                resource_account: owner(request.resource_owner.as_ref(), &caller)?,
                caller,
                asked,
            };
            simulation.response()
        })
        .await
        .map(Done::read_only)
    }

    fn shown(_: &Self::Request) -> Value {
        Value::Null
    }
}

pub(crate) struct GetContextKeysForPrincipalPolicy;

impl IamOperation for GetContextKeysForPrincipalPolicy {
    operation!(GetContextKeysForPrincipalPolicy,
        GetContextKeysForPrincipalPolicyRequest => GetContextKeysForPolicyResponse, reads);

    async fn about(call: &mut Call<'_>, request: &Self::Request) -> Result<Vec<About>, IamError> {
        about_entity(call, &request.policy_source_arn).await
    }

    async fn perform(
        _: &Iam,
        call: &mut Call<'_>,
        request: &Self::Request,
    ) -> Result<Done<GetContextKeysForPolicyResponse>, IamError> {
        let identity = entity(call, &request.policy_source_arn).await?;
        let of = policies_of_entity(call, &identity).await?;
        let mut policies: Vec<Named> = of.policies.into_iter().chain(of.boundary).map(Named::attached).collect();
        let stored = policies.iter().map(|policy| policy.document.text().len());
        let size = stored.fold(bytes(request.policy_input_list.iter().flatten()), usize::saturating_add);
        let request = request.clone();
        worked(call, size, move || {
            policies.extend(Named::given("PolicyInputList", request.policy_input_list.as_ref())?);
            Ok(keys_of(&policies))
        })
        .await
        .map(Done::read_only)
    }

    fn shown(request: &Self::Request) -> Value {
        parameters(&[("policySourceArn", Some(&request.policy_source_arn))])
    }
}

pub(crate) struct GetContextKeysForCustomPolicy;

impl IamOperation for GetContextKeysForCustomPolicy {
    operation!(GetContextKeysForCustomPolicy,
        GetContextKeysForCustomPolicyRequest => GetContextKeysForPolicyResponse, reads);

    async fn about(_: &mut Call<'_>, _: &Self::Request) -> Result<Vec<About>, IamError> {
        Ok(About::everything())
    }

    async fn perform(
        _: &Iam,
        call: &mut Call<'_>,
        request: &Self::Request,
    ) -> Result<Done<GetContextKeysForPolicyResponse>, IamError> {
        let (texts, size) = (request.policy_input_list.clone(), bytes(&request.policy_input_list));
        let work = move || Ok(keys_of(&Named::given("PolicyInputList", Some(&texts))?));
        worked(call, size, work).await.map(Done::read_only)
    }

    fn shown(_: &Self::Request) -> Value {
        Value::Null
    }
}

#[cfg(test)]
mod tests {
    #![expect(clippy::unwrap_used, reason = "tests")]

    use claviger_api::Timestamp;
    use claviger_audit::Log;
    use claviger_crypto::DomainKeys;
    use claviger_engine::{Authentication, Chance, Clock, Engine, Fault, Parts, Seed, Writes};
    use claviger_store::Memory;

    use super::*;

    /// A policy of about so many bytes, with a condition on many keys.
    fn policy(bytes: usize) -> String {
        let keys: Vec<String> = (0..bytes / 32).map(|number| format!(r#""a{number:012}:key":"value""#)).collect();
        format!(
            r#"{{"Version":"2012-10-17","Statement":[{{"Effect":"Allow","Action":"kms:*","Resource":"*"}},
            {{"Effect":"Allow","Action":"s3:*","Resource":"*","Condition":{{"StringEquals":{{{}}}}}}}]}}"#,
            keys.join(",")
        )
    }

    fn simulation(texts: &[String], actions: Vec<String>, resources: Vec<String>) -> Simulation {
        let account = AccountId::parse("111122223333").unwrap();
        let asked = Asked { actions, resources, page: Page::new(None, Some(1_000)), context: Given(Vec::new()) };
        Simulation {
            identity: Named::given("PolicyInputList", Some(&texts.to_vec())).unwrap(),
            boundary: None,
            organization: Vec::new(),
            resource_policy: None,
            caller: Principal::user(account, "/", "simulated"),
            resource_account: account,
            asked,
        }
    }

    fn numbered(start: &str, count: usize) -> Vec<String> {
        (0..count).map(|number| format!("{start}{number}")).collect()
    }

    /// Every pair once, whatever the pages; how many there were on each.
    fn pages(mut simulation: Simulation) -> Vec<usize> {
        let (mut counts, mut names) = (Vec::new(), Vec::new());
        loop {
            let page = simulation.response().unwrap();
            let results = page.evaluation_results.unwrap();
            counts.push(results.len());
            let name = |result: EvaluationResult| (result.eval_action_name, result.eval_resource_name.unwrap());
            names.extend(results.into_iter().map(name));
            assert_eq!(page.is_truncated, Some(page.marker.is_some()));
            let Some(marker) = page.marker else { break };
            simulation.asked.page = Page::new(Some(&marker), Some(1_000));
        }
        let Asked { actions, resources, .. } = &simulation.asked;
        let pairs =
            actions.iter().flat_map(|action| resources.iter().map(move |other| (action.clone(), other.clone())));
        assert_eq!(names, pairs.collect::<Vec<_>>());
        counts
    }

    #[test]
    fn a_page_ends_where_the_work_does() {
        let of = |bytes, actions, resources| {
            simulation(&[policy(bytes)], numbered("kms:A", actions), numbered("arn:aws:kms:::r", resources))
        };
        assert_eq!(pages(of(0, 10, 10)), [100]);
        assert_eq!(pages(of(0, 3, 500)), [1_000, 500]);
        let counts = pages(of(100_000, 10, 10));
        assert!(
            counts.len() > 1 && counts.iter().all(|count| (1..=WORK_MAX / 100_000 / 32).contains(count)),
            "{counts:?}"
        );
    }

    #[test]
    fn pairs_beyond_the_page_cost_nothing() {
        let all = simulation(&[policy(0)], numbered("kms:A", 50_000), numbered("r", 50_000));
        let page = all.response().unwrap();
        assert_eq!((page.evaluation_results.unwrap().len(), page.marker.as_deref()), (1_000, Some("000999")));
        for (marker, expected) in
            [("2499999998", 1), ("2499999999", 0), ("99999999999999999999", 0), ("x", 0), ("-1", 0)]
        {
            let asked = Asked {
                page: Page::new(Some(&marker.to_owned()), None),
                ..simulation(&[], Vec::new(), Vec::new()).asked
            };
            let last = Simulation {
                asked: Asked { actions: all.asked.actions.clone(), resources: all.asked.resources.clone(), ..asked },
                ..simulation(&[policy(0)], Vec::new(), Vec::new())
            };
            let page = last.response().unwrap();
            assert_eq!((page.evaluation_results.unwrap().len(), page.marker), (expected, None), "{marker}");
        }
    }

    #[test]
    fn what_is_too_large_for_one_pair_is_refused() {
        let mut all = simulation(&[policy(100_000)], numbered("kms:A", 1), numbered("r", 1));
        assert!(all.response().is_ok());
        let entry = ContextEntry { context_key_values: Some(vec!["x".repeat(10_000)]), ..ContextEntry::default() };
        all.asked.context = Given(vec![entry]);
        assert!(matches!(all.response(), Err(IamError::InvalidInput(_))));
    }

    /// Looked at pair by pair, these keys take minutes.
    #[test]
    fn keys_of_large_policies_are_each_named_once() {
        let texts = vec![policy(100_000), policy(120_000), policy(120_000).replace(r#""a0"#, r#""A0"#)];
        let policies = Named::given("PolicyInputList", Some(&texts)).unwrap();
        let names = keys_of(&policies).context_key_names.unwrap();
        assert_eq!(names.len(), 120_000 / 32);
        assert!(names.is_sorted());
    }

    struct Fixed;

    impl Clock for Fixed {
        fn wall(&self) -> Timestamp {
            Timestamp::from_millis(0)
        }

        fn now(&self) -> Timestamp {
            self.wall()
        }
    }

    impl Chance for Fixed {
        fn fill(&self, buffer: &mut [u8]) -> Result<(), Fault> {
            buffer.fill(7);
            Ok(())
        }
    }

    /// A thread that serves everybody does a little of it itself, and leaves the rest to the pool.
    #[tokio::test]
    async fn large_work_is_done_in_the_pool() {
        let parts = Parts {
            store: Arc::new(Memory::new()),
            keys: Arc::new(DomainKeys::generate().unwrap()),
            audit: Log::in_memory(10),
            clock: Arc::new(Fixed),
            chance: Arc::new(Fixed),
            authentication: Authentication::DangerAnyCredential { default_account: AccountId::NOBODY },
            principals_must_exist: true,
            node: "node-1".to_owned(),
            clock_rule: claviger_engine::ClockRule::default(),
            regions: claviger_engine::Regions::EVERY,
        };
        let engine = Engine::open(parts).await.unwrap();
        let mut seed = Seed::new(&engine, "us-east-1", "111122223333");
        let here = std::thread::current().id();
        seed.run::<IamError>(async |call| {
            for (size, expected) in [(AT_ONCE_BYTES, true), (AT_ONCE_BYTES + 1, false)] {
                let done = worked(call, size, move || Ok(std::thread::current().id() == here)).await?;
                assert_eq!(done, expected, "{size}");
            }
            Ok(Writes::default())
        })
        .await
        .unwrap();
    }
}

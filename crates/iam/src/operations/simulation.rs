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
use crate::{Iam, IamError, documents, find};

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

/// What is simulated.
struct Simulation<'a> {
    identity: Vec<Named>,
    boundary: Option<Named>,
    organization: Vec<Vec<Named>>,
    resource_policy: Option<Document>,
    caller: Principal,
    resource_account: AccountId,
    context: Given<'a>,
}

/// The context of the request that is simulated.
struct Given<'a>(&'a [ContextEntry]);

impl Context for Given<'_> {
    fn values(&self, key: &str) -> Option<Vec<Cow<'_, str>>> {
        let same = |entry: &&ContextEntry| entry.context_key_name.as_deref().is_some_and(|name| is_same_key(name, key));
        let found = self.0.iter().find(same)?;
        Some(found.context_key_values.iter().flatten().map(|value| Cow::Borrowed(value.as_str())).collect())
    }
}

impl Simulation<'_> {
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
            context: &self.context,
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

    fn response(
        &self,
        actions: &[String],
        resources: Option<&Vec<String>>,
        page: &Page,
    ) -> Result<SimulatePolicyResponse, IamError> {
        let any = ["*".to_owned()];
        let resources = resources.filter(|resources| !resources.is_empty()).map_or(&any[..], Vec::as_slice);
        let mut pairs = Vec::new();
        for action in actions {
            let full = action.split_once(':').is_some_and(|(service, name)| !service.is_empty() && !name.is_empty());
            if !full || action.contains(['*', '?']) {
                return Err(IamError::InvalidInput(format!("Invalid Input Actions: {action}")));
            }
            pairs.extend(resources.iter().map(|resource| (action, resource)));
        }
        let cut = page.cut_in_order(pairs);
        let results = cut.items.iter().map(|(action, resource)| self.result(action, resource)).collect();
        Ok(SimulatePolicyResponse {
            is_truncated: Some(cut.marker.is_some()),
            evaluation_results: Some(results),
            marker: cut.marker,
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
fn keys_of<'a>(documents: impl Iterator<Item = &'a Arc<Document>>) -> GetContextKeysForPolicyResponse {
    let mut names: Vec<String> = Vec::new();
    for name in documents.flat_map(|document| document.context_keys()) {
        if !names.iter().any(|known| is_same_key(known, &name)) {
            names.push(name);
        }
    }
    GetContextKeysForPolicyResponse { context_key_names: Some(names) }
}

pub(crate) struct SimulatePrincipalPolicy;

impl IamOperation for SimulatePrincipalPolicy {
    operation!(SimulatePrincipalPolicy, SimulatePrincipalPolicyRequest => SimulatePolicyResponse, reads);

    async fn about(call: &mut Call<'_>, request: &Self::Request) -> Result<Vec<About>, IamError> {
        about_entity(call, &request.policy_source_arn).await
    }

    async fn perform(
        _: &Iam,
        call: &mut Call<'_>,
        request: &Self::Request,
    ) -> Result<Done<SimulatePolicyResponse>, IamError> {
        let identity = entity(call, &request.policy_source_arn).await?;
        let of = policies_of_entity(call, &identity).await?;
        let excluded = request.policy_exclusion_list.as_deref().unwrap_or_default();
        let kept = of.policies.into_iter().filter(|policy| !is_excluded(policy, excluded));
        let mut policies: Vec<Named> = kept.map(Named::attached).collect();
        policies.extend(Named::given("PolicyInputList", request.policy_input_list.as_ref())?);
        let attached = of.boundary.filter(|policy| !is_excluded(policy, excluded)).map(Named::attached);
        let boundary = boundary(request.permissions_boundary_policy_input_list.as_ref())?.or(attached);
        let caller = match &request.caller_arn {
            Some(text) => caller(text)?,
            None if request.resource_policy.is_some() && identity.kind() != Kind::User => {
                return Err(IamError::InvalidInput(
                    "Invalid caller - Caller must be an IAM user in this context.".to_owned(),
                ));
            }
            None => principal_of(&identity)?,
        };
        let simulation = Simulation {
            identity: policies,
            boundary,
            organization: Vec::new(),
            resource_policy: resource_policy(request.resource_policy.as_ref(), &request.action_names)?,
            resource_account: owner(request.resource_owner.as_ref(), &caller)?,
            caller,
            context: Given(request.context_entries.as_deref().unwrap_or_default()),
        };
        let page = Page::new(request.marker.as_ref(), request.max_items);
        let response = simulation.response(&request.action_names, request.resource_arns.as_ref(), &page)?;
        Ok(Done::read_only(response))
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
            context: Given(request.context_entries.as_deref().unwrap_or_default()),
        };
        let page = Page::new(request.marker.as_ref(), request.max_items);
        let response = simulation.response(&request.action_names, request.resource_arns.as_ref(), &page)?;
        Ok(Done::read_only(response))
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
        policies.extend(Named::given("PolicyInputList", request.policy_input_list.as_ref())?);
        Ok(Done::read_only(keys_of(policies.iter().map(|policy| &policy.document))))
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
        _: &mut Call<'_>,
        request: &Self::Request,
    ) -> Result<Done<GetContextKeysForPolicyResponse>, IamError> {
        let policies = Named::given("PolicyInputList", Some(&request.policy_input_list))?;
        Ok(Done::read_only(keys_of(policies.iter().map(|policy| &policy.document))))
    }

    fn shown(_: &Self::Request) -> Value {
        Value::Null
    }
}

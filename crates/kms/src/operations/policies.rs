//! Key policies: GetKeyPolicy, PutKeyPolicy, ListKeyPolicies, and the checks before one is saved.

use std::collections::{BTreeMap, BTreeSet};
use std::sync::Arc;

use claviger_api::Valid;
use claviger_api::kms::{
    GetKeyPolicyRequest, GetKeyPolicyResponse, ListKeyPoliciesRequest, ListKeyPoliciesResponse, PutKeyPolicyRequest,
};
use claviger_engine::Value;
use claviger_engine::{Audited, Call, Conditions, Facts, Fault, Outcome, Standing};
use claviger_policy::{
    AccountId, Document, Malformed, MalformedKind, Question, default_key_policy, keeps_policy_writable,
};

use super::listing::{page_of, page_parameters, position_marker};
use super::tags::change;
use crate::KmsError;
use crate::conditions::{self, KEY_POLICY_LIMITS};
use crate::find::{Forms, NamedKey};
use crate::operation::{KeyOperation, key_parameter};
use crate::records::Key;
use crate::state::Permits;

/// The one policy name that a key has.
const DEFAULT: &str = "default";
/// The policy that AWS's sharing service manages.
const SHARED: &str = "AWS_RAM";

/// The policy of a key that was made without one.
pub(crate) fn default_policy(account: &str) -> Result<Document, KmsError> {
    let account = account_id(account)?;
    Document::parse_key_policy(&default_key_policy(account), &KEY_POLICY_LIMITS)
        .map_err(|_| Fault::RecordMalformed("default key policy".to_owned()).into())
}

pub(crate) fn account_id(account: &str) -> Result<AccountId, KmsError> {
    AccountId::parse(account).ok_or_else(|| Fault::RecordMalformed("account id".to_owned()).into())
}

/// A policy that may be saved for this key, its users and roles bound to their unique ids, or AWS's reason why not
/// (reference/authorization.md section 7). The key's conditions are judged as if its caller put the next policy in the
/// same way.
pub(crate) async fn checked_policy(
    call: &mut Call<'_>,
    text: &str,
    key: &Key,
    aliases: &[String],
    bypass: bool,
) -> Result<Document, KmsError> {
    let document = Document::parse_key_policy(text, &KEY_POLICY_LIMITS).map_err(|malformed| refused(&malformed))?;
    let document = bound(call, document).await?;
    let (arn, account) = (key.arn(), account_id(&key.account)?);
    let facts = || conditions::of_key(call, key, aliases).with("kms:PolicyName", DEFAULT);
    let question = Question {
        principal: call.caller().principal(),
        action: "kms:PutKeyPolicy",
        resource_arn: &arn,
        resource_account: account,
        cross_account_capable: false,
        context: &Conditions::new(call, &arn, account, &facts),
    };
    if !bypass && !keeps_policy_writable(&question, &document) {
        return Err(refused(&Malformed::lockout()));
    }
    Ok(document)
}

/// The document, its names bound to whom they mean now; refused when somebody is not there who must be.
async fn bound(call: &mut Call<'_>, document: Document) -> Result<Document, KmsError> {
    let mut ids = BTreeMap::new();
    let before = call.reads();
    for name in document.principals() {
        match call.standing(name).await? {
            Standing::Known(Some(id)) => drop(ids.insert(name.clone(), id)),
            Standing::Known(None) => {}
            Standing::Unknown if call.principals_must_exist() => return Err(refused(&Malformed::invalid_principal())),
            Standing::Unknown => {}
        }
    }
    // A policy may name more principals than a commit can have preconditions. One that goes in this moment is one that
    // went right after.
    call.forget_reads_since(before);
    Ok(document.bind(|name| ids.get(name).cloned()))
}

/// The text of the policy as AWS shows it: the unique ids of users and roles that are gone.
async fn shown(call: &mut Call<'_>, policy: &Document) -> Result<String, KmsError> {
    let mut gone = BTreeSet::new();
    for (name, id) in policy.bindings() {
        if call.standing(name).await? != Standing::Known(Some(id.clone())) {
            gone.insert(name);
        }
    }
    Ok(policy.text_with(|name, _| !gone.contains(name)))
}

/// The error of a policy that is refused.
fn refused(malformed: &Malformed) -> KmsError {
    let text = malformed.message().to_owned();
    match malformed.kind() {
        MalformedKind::TooLong => KmsError::LimitExceeded(text),
        MalformedKind::Syntax | MalformedKind::InvalidPrincipal | MalformedKind::Unsupported => {
            KmsError::MalformedPolicy(text)
        }
    }
}

pub(crate) struct GetKeyPolicy;

impl KeyOperation for GetKeyPolicy {
    type Request = Valid<GetKeyPolicyRequest>;
    type Response = GetKeyPolicyResponse;
    const NAME: &'static str = "GetKeyPolicy";
    const ACTION: &'static str = "kms:GetKeyPolicy";
    const FORMS: Forms = Forms::Key;
    const CROSS_ACCOUNT: bool = false;
    const READ_ONLY: bool = true;
    const PERMITS: Permits = Permits::Any;

    fn key_id(request: &Self::Request) -> &str {
        &request.key_id
    }

    fn facts(request: &Self::Request, facts: Facts) -> Facts {
        facts.with("kms:PolicyName", request.policy_name.as_deref().unwrap_or(DEFAULT))
    }

    async fn perform(
        call: &mut Call<'_>,
        key: &NamedKey,
        request: &Self::Request,
    ) -> Result<Outcome<GetKeyPolicyResponse>, KmsError> {
        if request.policy_name.as_deref().unwrap_or(DEFAULT) != DEFAULT {
            return Err(KmsError::NotFound("No such policy exists".to_owned()));
        }
        Ok(Outcome::read_only(GetKeyPolicyResponse {
            policy: Some(shown(call, &key.key().policy).await?),
            policy_name: Some(DEFAULT.to_owned()),
        }))
    }

    fn audited(request: &Self::Request, _: Option<&GetKeyPolicyResponse>, audited: &mut Audited) {
        let name = request.policy_name.as_deref().unwrap_or(DEFAULT);
        audited.request_parameters = key_parameter(&request.key_id).with("policyName", Value::public_text(name));
    }
}

pub(crate) struct PutKeyPolicy;

impl KeyOperation for PutKeyPolicy {
    type Request = Valid<PutKeyPolicyRequest>;
    type Response = ();
    const NAME: &'static str = "PutKeyPolicy";
    const ACTION: &'static str = "kms:PutKeyPolicy";
    const FORMS: Forms = Forms::Key;
    const CROSS_ACCOUNT: bool = false;
    const READ_ONLY: bool = false;
    const PERMITS: Permits = Permits::Any;

    fn key_id(request: &Self::Request) -> &str {
        &request.key_id
    }

    fn check(request: &Self::Request) -> Result<(), KmsError> {
        match request.policy_name.as_deref().unwrap_or(DEFAULT) {
            DEFAULT => Ok(()),
            SHARED => Err(KmsError::validation("The AWS_RAM policy can only be managed by the RAM service")),
            _ => Err(KmsError::NotFound("No such policy exists".to_owned())),
        }
    }

    fn facts(request: &Self::Request, facts: Facts) -> Facts {
        let bypass = request.bypass_policy_lockout_safety_check.map(|bypass| bypass.to_string());
        facts
            .with("kms:PolicyName", request.policy_name.as_deref().unwrap_or(DEFAULT))
            .with_some("kms:BypassPolicyLockoutSafetyCheck", bypass)
    }

    async fn perform(call: &mut Call<'_>, key: &NamedKey, request: &Self::Request) -> Result<Outcome<()>, KmsError> {
        let bypass = request.bypass_policy_lockout_safety_check == Some(true);
        let policy = checked_policy(call, &request.policy, key.key(), key.aliases(), bypass).await?;
        change(call, key, |key| key.policy = Arc::new(policy))
    }

    fn audited(request: &Self::Request, _: Option<&()>, audited: &mut Audited) {
        let name = request.policy_name.as_deref().unwrap_or(DEFAULT);
        audited.request_parameters = key_parameter(&request.key_id)
            .with("policyName", Value::public_text(name))
            .with("policy", Value::public_text(&request.policy))
            .with("bypassPolicyLockoutSafetyCheck", request.bypass_policy_lockout_safety_check == Some(true));
    }
}

pub(crate) struct ListKeyPolicies;

impl KeyOperation for ListKeyPolicies {
    type Request = Valid<ListKeyPoliciesRequest>;
    type Response = ListKeyPoliciesResponse;
    const NAME: &'static str = "ListKeyPolicies";
    const ACTION: &'static str = "kms:ListKeyPolicies";
    const FORMS: Forms = Forms::Key;
    const CROSS_ACCOUNT: bool = false;
    const READ_ONLY: bool = true;
    const PERMITS: Permits = Permits::Any;

    fn key_id(request: &Self::Request) -> &str {
        &request.key_id
    }

    async fn perform(
        _: &mut Call<'_>,
        _: &NamedKey,
        request: &Self::Request,
    ) -> Result<Outcome<ListKeyPoliciesResponse>, KmsError> {
        page_of(request.limit, (100, 1_000))?;
        let policy_names =
            if position_marker(request.marker.as_deref())? == 0 { vec![DEFAULT.to_owned()] } else { vec![] };
        Ok(Outcome::read_only(ListKeyPoliciesResponse {
            policy_names: Some(policy_names),
            next_marker: None,
            truncated: Some(false),
        }))
    }

    fn audited(request: &Self::Request, _: Option<&ListKeyPoliciesResponse>, audited: &mut Audited) {
        audited.request_parameters = page_parameters(request.limit, request.marker.as_deref())
            .with("keyId", Value::public_text(&request.key_id));
    }
}

//! The form of most operations: they name one key, and its policy decides.

use std::future::Future;
use std::marker::PhantomData;
use std::sync::Arc;

use claviger_api::kms::{GrantOperation, RecipientInfo};
use claviger_engine::Value;
use claviger_engine::{
    Audited, Authorized, Call, Charge, Facts, Grant, Operation, OperationRow, Outcome, Question, RecordedCall,
};

use crate::find::{Forms, NamedKey, find};
use crate::grants::{self, Use, token};
use crate::operations::cipher::{Pairs, demand_context};
use crate::recipient::Recipient;
use crate::state::Permits;
use crate::usage::{AsksLastUse, with_idle_days};
use crate::{Kms, KmsError, quotas};

pub(crate) const EVENT_SOURCE: &str = "kms.amazonaws.com";

/// The row of a KMS operation's facts in the audit record.
pub(crate) const fn row(name: &'static str, read_only: bool) -> OperationRow {
    OperationRow { name, event_source: EVENT_SOURCE, read_only }
}

/// An operation on one key: its line in the table of operations (reference/operations.md, key-states.md).
pub(crate) trait KeyOperation: Send + Sync + Sized + 'static {
    /// The request.
    type Request: Send + Sync;
    /// The response.
    type Response: Send;
    /// The operation's name on the wire.
    const NAME: &'static str;
    /// The IAM action.
    const ACTION: &'static str;
    /// Which identifiers it takes.
    const FORMS: Forms;
    /// Whether it may be used on another account's key.
    const CROSS_ACCOUNT: bool;
    /// Whether it changes nothing.
    const READ_ONLY: bool;
    /// Whether it is about the grants of the key, so that conditions may ask whether a service calls.
    const ON_GRANTS: bool = false;
    /// Whether `responseElements` shows the key's ARN although the response has none (reference/events.md, K+).
    const SHOWS_KEY: bool = false;
    /// What it has to do with the key's last use.
    const ASKS_LAST_USE: AsksLastUse = AsksLastUse::No;
    /// In which states of the key.
    const PERMITS: Permits;

    /// How the request names the key.
    fn key_id(request: &Self::Request) -> &str;

    /// The enclave or instance that the answer is sealed for, where the operation can do that.
    fn recipient(request: &Self::Request) -> Option<&RecipientInfo> {
        let _ = request;
        None
    }

    /// Checks of the request itself that come before any key is looked up.
    fn check(request: &Self::Request) -> Result<(), KmsError> {
        let _ = request;
        Ok(())
    }

    /// The grant tokens in the request.
    fn grant_tokens(request: &Self::Request) -> Option<&Vec<String>> {
        let _ = request;
        None
    }

    /// The encryption context, where the operation has one.
    fn context(request: &Self::Request) -> Option<&Pairs> {
        let _ = request;
        None
    }

    /// What a grant must allow for the request, where a grant can.
    fn granted(request: &Self::Request) -> Option<Use<'_>> {
        let operation = GrantOperation::parse(Self::ACTION.strip_prefix("kms:")?)?;
        Some(Use::of(operation, Self::context(request)))
    }

    /// What the request takes from the request quotas, where that depends on the key or on members of the request.
    fn charges(request: &Self::Request, key: &NamedKey) -> Vec<Charge> {
        let _ = request;
        quotas::of_use(&[key.key().spec])
    }

    /// What conditions may ask about the request, added to what they may ask about any request on the key.
    fn facts(request: &Self::Request, facts: Facts) -> Facts {
        let _ = request;
        facts
    }

    /// The work, on a key whose use is permitted in its state.
    fn perform(
        call: &mut Call<'_>,
        key: &NamedKey,
        request: &Self::Request,
    ) -> impl Future<Output = Result<Outcome<Self::Response>, KmsError>> + Send;

    /// The material that the operation used, where the response does not say it.
    fn used_material(key: &NamedKey) -> Option<String> {
        let _ = key;
        None
    }

    /// What the audit record shows.
    fn audited(request: &Self::Request, response: Option<&Self::Response>, audited: &mut Audited);
}

/// A key operation as the engine runs it.
pub(crate) struct OnKey<O>(PhantomData<O>);

impl<O: KeyOperation> Operation for OnKey<O> {
    type Service = Kms;
    type Request = O::Request;
    type Response = O::Response;
    type Error = KmsError;
    type Resources = NamedKey;

    const ROW: OperationRow = row(O::NAME, O::READ_ONLY);

    async fn resolve(call: &mut Call<'_>, kms: &Kms, request: &Self::Request) -> Result<NamedKey, KmsError> {
        O::check(request)?;
        demand_context(O::context(request))?;
        token::demand(call, O::grant_tokens(request))?;
        // Before the key: a document that does not hold must not tell whether another account's key exists.
        let recipient = Recipient::verified(call, kms, O::recipient(request)).await?;
        let mut key = find(call, O::key_id(request), O::FORMS, O::ACTION).await?;
        key.recipient = recipient;
        if O::ASKS_LAST_USE != AsksLastUse::No {
            // A fault here is nobody's who does not ask for it: another condition, or none, may decide.
            let facts = Arc::clone(key.key());
            key.usage = Some(kms.uses.of(call, &facts).await);
        }
        Ok(key)
    }

    fn charges(key: &NamedKey, request: &Self::Request) -> Vec<Charge> {
        O::charges(request, key)
    }

    fn questions(_: &Call<'_>, key: &NamedKey, _: &Self::Request) -> Vec<Question> {
        vec![key.question(O::ACTION, O::CROSS_ACCOUNT)]
    }

    fn facts(call: &Call<'_>, key: &NamedKey, request: &Self::Request, _: &Question) -> Facts {
        let facts = O::facts(request, key.facts(call));
        let facts = match O::ASKS_LAST_USE {
            AsksLastUse::InConditions => with_idle_days(facts, key.usage.as_ref(), call.unheld_now()),
            AsksLastUse::No | AsksLastUse::Shows => facts,
        };
        if !O::ON_GRANTS {
            return facts;
        }
        // Only the engine knows: no request can say so.
        let for_service = call.caller().calling_service().is_some();
        facts.with("kms:GrantIsForAWSResource", for_service.to_string())
    }

    async fn grants(
        call: &mut Call<'_>,
        key: &NamedKey,
        request: &Self::Request,
        _: &Question,
    ) -> Result<Vec<Grant>, KmsError> {
        match O::granted(request) {
            Some(asked) => Ok(grants::reaching(call, key.key(), &asked).await?),
            None => Ok(Vec::new()),
        }
    }

    async fn perform(
        call: &mut Call<'_>,
        _: &Kms,
        authorized: &Authorized<Self>,
        request: &Self::Request,
    ) -> Result<Outcome<Self::Response>, KmsError> {
        let key = authorized.resources();
        O::PERMITS.demand(key.key())?;
        O::perform(call, key, request).await
    }

    fn recorded(kms: &Kms, key: &NamedKey, call: &RecordedCall<'_>) {
        kms.uses.note(O::NAME, key.key(), call);
    }

    fn audited(
        request: &Self::Request,
        key: Option<&NamedKey>,
        response: Option<&Self::Response>,
        audited: &mut Audited,
    ) {
        O::audited(request, response, audited);
        if let (Some(key), Some(_)) = (key, response)
            && let Some(id) = O::used_material(key)
        {
            audited.additional = Value::object([("keyMaterialId", Value::public_text(&id))]);
        }
        if let Some(recipient) = key.and_then(|key| key.recipient.as_ref()) {
            recipient.show(audited);
        }
        if let (true, Some(key), Some(_)) = (O::SHOWS_KEY, key, response) {
            let shown = std::mem::take(&mut audited.response_elements);
            audited.response_elements = shown.with("keyId", Value::public_text(&key.arn));
        }
    }
}

/// `requestParameters` with only the key as the caller named it.
pub(crate) fn key_parameter(key_id: &str) -> Value {
    Value::object([("keyId", Value::public_text(key_id))])
}

/// Ends a call that was asked to change nothing.
pub(crate) fn unless_dry_run(dry_run: Option<bool>) -> Result<(), KmsError> {
    if dry_run == Some(true) { Err(KmsError::DryRun) } else { Ok(()) }
}

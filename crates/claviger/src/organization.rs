//! Organizational units and service control policies, as the operator face gives and shows them.

use claviger_engine::{Command, CommandError, Engine, Fault, Recorded, Value};
use claviger_iam::{Iam, OrganizationAnswer as Found, OrganizationOrder as Order};
use claviger_iam::{LevelSummary, PolicySummary, SERVICE_CONTROL_POLICY_CHARACTERS_MAX, UnitSummary};
use claviger_server::{
    AccountMove, LevelShown, LevelsShown, OperatorAnswer, OperatorReply, OrganizationAnswer, OrganizationRequest,
    PoliciesShown, PolicyAttachment, PolicyShown, PolicyWritten, UnitShown, UnitsShown,
};

/// A request as its record shows it.
pub(crate) struct Described<'r> {
    /// The event's name.
    pub(crate) name: &'static str,
    pub(crate) read_only: bool,
    /// The account in whose log it belongs.
    pub(crate) account: Option<&'r str>,
    /// `requestParameters`.
    pub(crate) facts: Value,
}

/// What the record of a request says.
pub(crate) fn described(request: &OrganizationRequest) -> Described<'_> {
    let looks = |name, facts| Described { name, read_only: true, account: None, facts };
    let changes = |name, facts| Described { name, read_only: false, account: None, facts };
    let fact = |name: &'static str, text: &str| Value::object([(name, Value::public_text(text))]);
    match request {
        OrganizationRequest::ListUnits => looks("ListOrganizationalUnits", Value::Null),
        OrganizationRequest::CreateUnit(request) => {
            let parent = request.parent.as_deref().map(Value::public_text);
            changes("CreateOrganizationalUnit", fact("name", &request.name).with("parentId", parent))
        }
        OrganizationRequest::DeleteUnit(request) => {
            changes("DeleteOrganizationalUnit", fact("organizationalUnitId", &request.unit))
        }
        OrganizationRequest::MoveAccount(AccountMove { account, unit }) => {
            let facts = fact("accountId", account).with("destinationParentId", Value::public_text(unit));
            Described { account: Some(account), ..changes("MoveAccount", facts) }
        }
        OrganizationRequest::ListPolicies => looks("ListPolicies", Value::Null),
        OrganizationRequest::DescribePolicy(request) => looks("DescribePolicy", fact("policy", &request.policy)),
        OrganizationRequest::ListPoliciesForTarget(request) => {
            let facts = fact("targetId", &request.target);
            Described { account: Some(&request.target), ..looks("ListPoliciesForTarget", facts) }
        }
        OrganizationRequest::CreatePolicy(request) => changes("CreatePolicy", written(request)),
        OrganizationRequest::UpdatePolicy(request) => changes("UpdatePolicy", written(request)),
        OrganizationRequest::DeletePolicy(request) => changes("DeletePolicy", fact("policy", &request.policy)),
        OrganizationRequest::AttachPolicy(request) => attachment("AttachPolicy", request),
        OrganizationRequest::DetachPolicy(request) => attachment("DetachPolicy", request),
    }
}

fn attachment<'r>(name: &'static str, request: &'r PolicyAttachment) -> Described<'r> {
    let PolicyAttachment { policy, target } = request;
    let facts = Value::object([("policy", Value::public_text(policy)), ("targetId", Value::public_text(target))]);
    Described { name, read_only: false, account: Some(target), facts }
}

/// The document stands in the record, unless it is too long to be accepted.
fn written(request: &PolicyWritten) -> Value {
    let PolicyWritten { policy, document } = request;
    let fits = document.chars().count() <= SERVICE_CONTROL_POLICY_CHARACTERS_MAX;
    let content = fits.then(|| Value::public_text(document));
    Value::object([("policy", Value::public_text(policy))]).with("content", content)
}

/// Does what the request asks for. `None` when it names an account that cannot be one.
pub(crate) async fn obey(
    engine: &Engine,
    iam: &Iam,
    command: &Command,
    request: OrganizationRequest,
) -> Option<Result<OperatorReply, Fault>> {
    let order = order(command, request)?;
    let found = iam.order_organization(engine, command, &order).await;
    Some(found.map(|found: Recorded<Result<Found, CommandError>>| found.map(|found| found.map(shown))))
}

fn order(command: &Command, request: OrganizationRequest) -> Option<Order> {
    Some(match request {
        OrganizationRequest::ListUnits => Order::ListUnits,
        OrganizationRequest::CreateUnit(request) => Order::CreateUnit { name: request.name, parent: request.parent },
        OrganizationRequest::DeleteUnit(request) => Order::DeleteUnit { unit: request.unit },
        OrganizationRequest::MoveAccount(AccountMove { account: _, unit }) => {
            Order::MoveAccount { account: command.account?, unit }
        }
        OrganizationRequest::ListPolicies => Order::ListPolicies,
        OrganizationRequest::DescribePolicy(request) => Order::DescribePolicy { policy: request.policy },
        OrganizationRequest::ListPoliciesForTarget(request) => Order::ListPoliciesForTarget { target: request.target },
        OrganizationRequest::CreatePolicy(PolicyWritten { policy, document }) => {
            Order::CreatePolicy { name: policy, text: document }
        }
        OrganizationRequest::UpdatePolicy(PolicyWritten { policy, document }) => {
            Order::UpdatePolicy { policy, text: document }
        }
        OrganizationRequest::DeletePolicy(request) => Order::DeletePolicy { policy: request.policy },
        OrganizationRequest::AttachPolicy(PolicyAttachment { policy, target }) => {
            Order::AttachPolicy { policy, target }
        }
        OrganizationRequest::DetachPolicy(PolicyAttachment { policy, target }) => {
            Order::DetachPolicy { policy, target }
        }
    })
}

fn shown(found: Found) -> OperatorAnswer {
    OperatorAnswer::Organization(match found {
        Found::Units(units) => {
            let unit = |UnitSummary { unit, path, accounts }| UnitShown { unit, path, accounts };
            OrganizationAnswer::Units(UnitsShown { units: units.into_iter().map(unit).collect() })
        }
        Found::Policies(policies) => {
            let policy =
                |PolicySummary { policy, name, targets, text }| PolicyShown { policy, name, targets, document: text };
            OrganizationAnswer::Policies(PoliciesShown { policies: policies.into_iter().map(policy).collect() })
        }
        Found::Levels(levels) => {
            let level = |LevelSummary { target, path, policies }| LevelShown { target, path, policies };
            OrganizationAnswer::Levels(LevelsShown { levels: levels.into_iter().map(level).collect() })
        }
    })
}

//! The operator face's commands about organizational units and service control policies.

use bytes::Bytes;
use serde::{Deserialize, Serialize};

use crate::operator::{Nothing, OperatorAnswer, OperatorRequest, Route, read, write};

/// What an operator can ask for about the organization. Units and targets are named by their ids, an account by its
/// digits, policies by name or id.
pub enum OrganizationRequest {
    /// The root and every unit.
    ListUnits,
    /// A new unit.
    CreateUnit(UnitCreate),
    /// An empty unit goes.
    DeleteUnit(UnitNamed),
    /// An account goes into a unit.
    MoveAccount(AccountMove),
    /// Every service control policy.
    ListPolicies,
    /// One of them with its document.
    DescribePolicy(PolicyNamed),
    /// What binds an account or a unit.
    ListPoliciesForTarget(PolicyTarget),
    /// A new policy.
    CreatePolicy(PolicyWritten),
    /// Another document for a policy.
    UpdatePolicy(PolicyWritten),
    /// A policy that is not attached goes.
    DeletePolicy(PolicyNamed),
    /// A policy binds a target from now on.
    AttachPolicy(PolicyAttachment),
    /// A policy binds a target no longer.
    DetachPolicy(PolicyAttachment),
}

/// A new unit.
#[derive(Clone, Debug, Default, PartialEq, Eq, Serialize, Deserialize)]
#[serde(deny_unknown_fields, rename_all = "camelCase")]
pub struct UnitCreate {
    /// What to call it.
    pub name: String,
    /// The id of the unit that it is in; the root when absent.
    #[serde(default)]
    pub parent: Option<String>,
}

/// A unit by its id.
#[derive(Clone, Debug, Default, PartialEq, Eq, Serialize, Deserialize)]
#[serde(deny_unknown_fields, rename_all = "camelCase")]
pub struct UnitNamed {
    /// The id.
    pub unit: String,
}

/// An account and where it goes.
#[derive(Clone, Debug, Default, PartialEq, Eq, Serialize, Deserialize)]
#[serde(deny_unknown_fields, rename_all = "camelCase")]
pub struct AccountMove {
    /// Its twelve digits.
    pub account: String,
    /// The id of the unit, or of the root.
    pub unit: String,
}

/// A policy by name or id.
#[derive(Clone, Debug, Default, PartialEq, Eq, Serialize, Deserialize)]
#[serde(deny_unknown_fields, rename_all = "camelCase")]
pub struct PolicyNamed {
    /// Either.
    pub policy: String,
}

/// What policies bind: the id of the root or a unit, or an account's digits.
#[derive(Clone, Debug, Default, PartialEq, Eq, Serialize, Deserialize)]
#[serde(deny_unknown_fields, rename_all = "camelCase")]
pub struct PolicyTarget {
    /// One of them.
    pub target: String,
}

/// A policy and what it says.
#[derive(Clone, Debug, Default, PartialEq, Eq, Serialize, Deserialize)]
#[serde(deny_unknown_fields, rename_all = "camelCase")]
pub struct PolicyWritten {
    /// The name of the new policy, or name or id of one that is there.
    pub policy: String,
    /// The document, JSON in a text.
    pub document: String,
}

/// A policy and a target.
#[derive(Clone, Debug, Default, PartialEq, Eq, Serialize, Deserialize)]
#[serde(deny_unknown_fields, rename_all = "camelCase")]
pub struct PolicyAttachment {
    /// The policy's name or id.
    pub policy: String,
    /// As in [`PolicyTarget`].
    pub target: String,
}

/// What an operator gets about the organization.
pub enum OrganizationAnswer {
    /// Some units.
    Units(UnitsShown),
    /// Some policies.
    Policies(PoliciesShown),
    /// What binds a target.
    Levels(LevelsShown),
}

/// Some units.
#[derive(Clone, Debug, PartialEq, Eq, Serialize, Deserialize)]
#[serde(rename_all = "camelCase")]
pub struct UnitsShown {
    /// Each after the one that it is in.
    pub units: Vec<UnitShown>,
}

/// The root or a unit.
#[derive(Clone, Debug, PartialEq, Eq, Serialize, Deserialize)]
#[serde(rename_all = "camelCase")]
pub struct UnitShown {
    /// Its id.
    pub unit: String,
    /// Names from the root on, as in `Root/Production`.
    pub path: String,
    /// The accounts in it; for the root none, though all are in it that are in no unit.
    pub accounts: Vec<String>,
}

/// Some policies.
#[derive(Clone, Debug, PartialEq, Eq, Serialize, Deserialize)]
#[serde(rename_all = "camelCase")]
pub struct PoliciesShown {
    /// In the order in which they were made.
    pub policies: Vec<PolicyShown>,
}

/// A service control policy.
#[derive(Clone, Debug, PartialEq, Eq, Serialize, Deserialize)]
#[serde(rename_all = "camelCase")]
pub struct PolicyShown {
    /// Its id.
    pub policy: String,
    /// Its name.
    pub name: String,
    /// To what it is attached.
    pub targets: Vec<String>,
    /// Its document, when a single policy was asked for.
    pub document: Option<String>,
}

/// What binds a target.
#[derive(Clone, Debug, PartialEq, Eq, Serialize, Deserialize)]
#[serde(rename_all = "camelCase")]
pub struct LevelsShown {
    /// From the root down to the target itself.
    pub levels: Vec<LevelShown>,
}

/// The policies attached to one target.
#[derive(Clone, Debug, PartialEq, Eq, Serialize, Deserialize)]
#[serde(rename_all = "camelCase")]
pub struct LevelShown {
    /// The root, a unit or an account.
    pub target: String,
    /// Names from the root on; empty for an account.
    pub path: String,
    /// Names of policies.
    pub policies: Vec<String>,
}

/// The commands about the organization, as a table like the other one's.
pub(crate) const ROUTES: &[Route] = &[
    Route {
        name: "unit/list",
        read_request: |body| read::<Nothing>(body).map(|Nothing {}| asked(OrganizationRequest::ListUnits)),
        read_answer: units,
    },
    Route {
        name: "unit/create",
        read_request: |body| read(body).map(OrganizationRequest::CreateUnit).map(asked),
        read_answer: units,
    },
    Route {
        name: "unit/delete",
        read_request: |body| read(body).map(OrganizationRequest::DeleteUnit).map(asked),
        read_answer: units,
    },
    Route {
        name: "account/move",
        read_request: |body| read(body).map(OrganizationRequest::MoveAccount).map(asked),
        read_answer: units,
    },
    Route {
        name: "policy/list",
        read_request: |body| read::<Nothing>(body).map(|Nothing {}| asked(OrganizationRequest::ListPolicies)),
        read_answer: policies,
    },
    Route {
        name: "policy/show",
        read_request: |body| read(body).map(OrganizationRequest::DescribePolicy).map(asked),
        read_answer: policies,
    },
    Route {
        name: "policy/list-for-target",
        read_request: |body| read(body).map(OrganizationRequest::ListPoliciesForTarget).map(asked),
        read_answer: |body| read(body).map(OrganizationAnswer::Levels).map(OperatorAnswer::Organization),
    },
    Route {
        name: "policy/create",
        read_request: |body| read(body).map(OrganizationRequest::CreatePolicy).map(asked),
        read_answer: policies,
    },
    Route {
        name: "policy/update",
        read_request: |body| read(body).map(OrganizationRequest::UpdatePolicy).map(asked),
        read_answer: policies,
    },
    Route {
        name: "policy/delete",
        read_request: |body| read(body).map(OrganizationRequest::DeletePolicy).map(asked),
        read_answer: policies,
    },
    Route {
        name: "policy/attach",
        read_request: |body| read(body).map(OrganizationRequest::AttachPolicy).map(asked),
        read_answer: policies,
    },
    Route {
        name: "policy/detach",
        read_request: |body| read(body).map(OrganizationRequest::DetachPolicy).map(asked),
        read_answer: policies,
    },
];

const fn asked(request: OrganizationRequest) -> OperatorRequest {
    OperatorRequest::Organization(request)
}

fn units(body: &[u8]) -> serde_json::Result<OperatorAnswer> {
    read(body).map(OrganizationAnswer::Units).map(OperatorAnswer::Organization)
}

fn policies(body: &[u8]) -> serde_json::Result<OperatorAnswer> {
    read(body).map(OrganizationAnswer::Policies).map(OperatorAnswer::Organization)
}

impl OrganizationRequest {
    pub(crate) const fn name(&self) -> &'static str {
        match self {
            Self::ListUnits => "unit/list",
            Self::CreateUnit(_) => "unit/create",
            Self::DeleteUnit(_) => "unit/delete",
            Self::MoveAccount(_) => "account/move",
            Self::ListPolicies => "policy/list",
            Self::DescribePolicy(_) => "policy/show",
            Self::ListPoliciesForTarget(_) => "policy/list-for-target",
            Self::CreatePolicy(_) => "policy/create",
            Self::UpdatePolicy(_) => "policy/update",
            Self::DeletePolicy(_) => "policy/delete",
            Self::AttachPolicy(_) => "policy/attach",
            Self::DetachPolicy(_) => "policy/detach",
        }
    }

    pub(crate) fn body(&self) -> Bytes {
        match self {
            Self::ListUnits | Self::ListPolicies => write(&Nothing {}),
            Self::CreateUnit(request) => write(request),
            Self::DeleteUnit(request) => write(request),
            Self::MoveAccount(request) => write(request),
            Self::DescribePolicy(request) | Self::DeletePolicy(request) => write(request),
            Self::ListPoliciesForTarget(request) => write(request),
            Self::CreatePolicy(request) | Self::UpdatePolicy(request) => write(request),
            Self::AttachPolicy(request) | Self::DetachPolicy(request) => write(request),
        }
    }
}

impl OrganizationAnswer {
    pub(crate) fn body(&self) -> Bytes {
        match self {
            Self::Units(answer) => write(answer),
            Self::Policies(answer) => write(answer),
            Self::Levels(answer) => write(answer),
        }
    }
}

#[cfg(test)]
mod tests {
    #![expect(clippy::unwrap_used, reason = "tests")]

    use super::*;
    use crate::operator::route;

    #[test]
    fn every_request_has_a_route_that_reads_it_back() {
        let text = || "a \"text\"".to_owned();
        let written = || PolicyWritten { policy: text(), document: text() };
        let named = || PolicyNamed { policy: text() };
        let attachment = || PolicyAttachment { policy: text(), target: text() };
        let requests = [
            OrganizationRequest::ListUnits,
            OrganizationRequest::CreateUnit(UnitCreate { name: text(), parent: Some(text()) }),
            OrganizationRequest::DeleteUnit(UnitNamed { unit: text() }),
            OrganizationRequest::MoveAccount(AccountMove { account: text(), unit: text() }),
            OrganizationRequest::ListPolicies,
            OrganizationRequest::DescribePolicy(named()),
            OrganizationRequest::ListPoliciesForTarget(PolicyTarget { target: text() }),
            OrganizationRequest::CreatePolicy(written()),
            OrganizationRequest::UpdatePolicy(written()),
            OrganizationRequest::DeletePolicy(named()),
            OrganizationRequest::AttachPolicy(attachment()),
            OrganizationRequest::DetachPolicy(attachment()),
        ];
        assert_eq!(requests.len(), ROUTES.len(), "a route that no request takes");
        for request in requests.into_iter().map(asked) {
            let route = route(request.name()).unwrap();
            let again = (route.read_request)(&request.body()).unwrap();
            assert_eq!((again.name(), again.body()), (request.name(), request.body()));
        }
    }

    #[test]
    fn members_that_nobody_knows_are_refused() {
        for (name, body) in [
            ("unit/list", "{\"a\":1}"),
            ("unit/create", "{\"name\":\"a\",\"unit\":\"b\"}"),
            ("policy/attach", "{\"policy\":\"a\"}"),
            ("policy/create", "{\"policy\":\"a\",\"document\":{}}"),
        ] {
            assert!((route(name).unwrap().read_request)(body.as_bytes()).is_err(), "{name} {body}");
        }
    }
}

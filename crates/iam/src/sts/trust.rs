//! What a role's trust policy says, compiled.

use std::sync::Arc;

use claviger_policy::{Document, Limits, Malformed, PrincipalName, SharedIssuer, UniqueId};

use crate::condition_keys;
use crate::records::RoleDetail;

/// Issuers of tokens that serve everybody. A role that trusts one must say whose tokens it means.
const SHARED_ISSUERS: &[SharedIssuer] = &[
    SharedIssuer {
        issuer: "token.actions.githubusercontent.com",
        claims: &["sub", "job_workflow_ref", "repository", "repository_id", "repository_owner_id"],
    },
    SharedIssuer { issuer: "gitlab.com", claims: &["sub", "project_id", "project_path", "namespace_id"] },
    SharedIssuer { issuer: "app.terraform.io", claims: &["sub"] },
    SharedIssuer { issuer: "accounts.google.com", claims: &["sub", "aud", "email"] },
    SharedIssuer { issuer: "api.bitbucket.org", claims: &["sub"] },
];

/// What a trust policy may be and may ask for.
const LIMITS: Limits =
    Limits { condition_keys: condition_keys::TABLES, shared_issuers: SHARED_ISSUERS, ..Limits::TRUST_POLICY };

/// The text compiled.
pub(crate) fn compile(text: &str) -> Result<Document, Malformed> {
    Document::parse_trust_policy(text, &LIMITS)
}

/// The trust policy of a role, its users and roles bound to their unique ids. One that is not understood denies.
pub(crate) fn of_role(role: &RoleDetail) -> Arc<Document> {
    let document = compile(&role.trust).unwrap_or_else(|_| Document::unreadable(&role.trust));
    let bindings = role.bound.iter().filter_map(|(arn, id)| Some((PrincipalName::parse(arn)?, UniqueId::parse(id)?)));
    Arc::new(document.with_bindings(bindings))
}

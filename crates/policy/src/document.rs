//! A policy document: its exact text, and the same compiled.

use crate::decide::{Effect, Question};
use crate::parse::{Kind, Limits, Malformed, parse};
use crate::principal::{AccountId, Cover, PrincipalName};
use crate::statement::Statement;

/// A policy that this evaluator understands completely: whatever it would not evaluate, parsing refused.
#[derive(Debug)]
pub struct Document {
    text: Box<str>,
    statements: Box<[Statement]>,
    principals: Box<[PrincipalName]>,
}

impl Document {
    /// Parses the policy of a KMS key.
    ///
    /// # Errors
    /// [`Malformed`] when the text is too long, is no policy, or has an element that is not evaluated here.
    pub fn parse_key_policy(text: &str, limits: &Limits) -> Result<Self, Malformed> {
        Self::parse(text, Kind::Resource, limits)
    }

    /// Parses a policy without principals: of an identity, a boundary, a session, or a service control policy.
    ///
    /// # Errors
    /// As [`Document::parse_key_policy`].
    pub fn parse_identity_policy(text: &str, limits: &Limits) -> Result<Self, Malformed> {
        Self::parse(text, Kind::Identity, limits)
    }

    fn parse(text: &str, kind: Kind, limits: &Limits) -> Result<Self, Malformed> {
        let (statements, mut principals) = parse(text, kind, limits)?;
        principals.sort_unstable();
        principals.dedup();
        Ok(Self { text: text.into(), statements: statements.into(), principals: principals.into() })
    }

    /// The text as it was given.
    #[must_use]
    pub fn text(&self) -> &str {
        &self.text
    }

    /// Every principal that the document names, once: they must exist when the document is saved.
    #[must_use]
    pub fn principals(&self) -> &[PrincipalName] {
        &self.principals
    }

    /// How many statements there are.
    #[must_use]
    pub fn statement_count(&self) -> usize {
        self.statements.len()
    }

    /// The Sid of a statement, counted from 0.
    #[must_use]
    pub fn sid(&self, statement: usize) -> Option<&str> {
        self.statements.get(statement)?.sid.as_deref()
    }

    /// The first statement that denies.
    pub(crate) fn denies(&self, question: &Question<'_>) -> Option<usize> {
        self.statements
            .iter()
            .position(|statement| statement.effect == Effect::Deny && statement.cover(question).is_some())
    }

    /// The first statement that allows.
    pub(crate) fn allows(&self, question: &Question<'_>) -> Option<usize> {
        self.statements
            .iter()
            .position(|statement| statement.effect == Effect::Allow && statement.cover(question).is_some())
    }

    /// The first of the allowing statements that name the caller most closely.
    pub(crate) fn allows_best(&self, question: &Question<'_>) -> Option<(Cover, usize)> {
        let mut best: Option<(Cover, usize)> = None;
        for (index, statement) in self.statements.iter().enumerate() {
            if statement.effect != Effect::Allow {
                continue;
            }
            let Some(cover) = statement.cover(question) else {
                continue;
            };
            if best.is_none_or(|(found, _)| cover > found) {
                best = Some((cover, index));
            }
            if cover == Cover::Direct {
                break;
            }
        }
        best
    }
}

/// The policy of a key that was made without one, letter for letter as AWS shows it.
#[must_use]
pub fn default_key_policy(account: AccountId) -> String {
    let root = account.root_arn();
    format!(
        r#"{{
  "Version" : "2012-10-17",
  "Id" : "key-default-1",
  "Statement" : [ {{
    "Sid" : "Enable IAM User Permissions",
    "Effect" : "Allow",
    "Principal" : {{
      "AWS" : "{root}"
    }},
    "Action" : "kms:*",
    "Resource" : "*"
  }} ]
}}"#
    )
}

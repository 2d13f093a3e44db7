//! A policy document: its exact text, and the same compiled.

use std::collections::BTreeMap;
use std::sync::Arc;

use crate::decide::Effect;
use crate::key;
use crate::limits::Limits;
use crate::malformed::Malformed;
use crate::naming::{Bindings, Cover};
use crate::parse::{Kind, parse};
use crate::principal::{AccountId, PrincipalName, UniqueId};
use crate::span::{self, Span};
use crate::statement::Statement;
use crate::steps::Inquiry;

/// A policy that this evaluator understands completely: whatever it would not evaluate, parsing refused.
///
/// The users and roles that it names may be bound to their unique ids ([`Document::bind`], when it is saved). What a
/// name means then: a name that is bound means whoever has that id, under whatever name it goes now (a session of a
/// role: the role's id and the session's name); a name that is not means a caller with its ARN that has no id. If only
/// one of the two has an id and the ARNs are the same, an Allow (or a NotPrincipal) does not mean the caller and a Deny
/// does. Accounts, everyone, federated sessions and providers have no id and are meant by name.
#[derive(Clone, Debug)]
pub struct Document {
    text: Arc<str>,
    statements: Arc<[Statement]>,
    principals: Arc<[PrincipalName]>,
    bindings: Arc<Bindings>,
}

impl Document {
    /// Parses the policy of a KMS key.
    ///
    /// # Errors
    /// [`Malformed`] when the text is too long, is no policy, or has an element that is not evaluated here.
    pub fn parse_key_policy(text: &str, limits: &Limits) -> Result<Self, Malformed> {
        Self::parse(text, Kind::Key, limits)
    }

    /// Parses a policy without principals: of an identity, a boundary, a session, or a service control policy.
    ///
    /// # Errors
    /// As [`Document::parse_key_policy`].
    pub fn parse_identity_policy(text: &str, limits: &Limits) -> Result<Self, Malformed> {
        Self::parse(text, Kind::Identity, limits)
    }

    /// Parses the trust policy of a role: who may assume it.
    ///
    /// # Errors
    /// As [`Document::parse_key_policy`], in the words of IAM; also for a Resource, and for actions other than
    /// `sts:AssumeRole...`, `sts:TagSession` and `sts:SetSourceIdentity`.
    pub fn parse_trust_policy(text: &str, limits: &Limits) -> Result<Self, Malformed> {
        Self::parse(text, Kind::Trust, limits)
    }

    /// A document in place of a stored text that this release cannot read: it denies everything to everybody, since the
    /// text may have held a Deny. Its text is kept.
    #[must_use]
    pub fn unreadable(text: &str) -> Self {
        let statement = Statement::denying_everything();
        let (principals, bindings) = (Arc::default(), Arc::default());
        Self { text: text.into(), statements: [statement].into(), principals, bindings }
    }

    fn parse(text: &str, kind: Kind, limits: &Limits) -> Result<Self, Malformed> {
        let (statements, mut principals) = parse(text, kind, limits)?;
        principals.sort_unstable();
        principals.dedup();
        let bindings = Arc::default();
        Ok(Self { text: text.into(), statements: statements.into(), principals: principals.into(), bindings })
    }

    /// The same document, its users, roles and role sessions bound to the ids that `id_of` gives (a session's is its
    /// role's). For when it is saved: a name without an id is then nobody who has one.
    #[must_use]
    pub fn bind(&self, id_of: impl Fn(&PrincipalName) -> Option<UniqueId>) -> Self {
        let entities = self.principals.iter().filter(|name| name.bindable_arn().is_some());
        self.clone().with_bindings(entities.filter_map(|name| Some((name.clone(), id_of(name)?))))
    }

    /// The same document with the bindings that were stored beside its text, in place of any it had. A binding whose id
    /// cannot be the name's (a role's for a user) is dropped.
    #[must_use]
    pub fn with_bindings(self, bindings: impl IntoIterator<Item = (PrincipalName, UniqueId)>) -> Self {
        Self { bindings: Arc::new(Bindings::new(bindings)), ..self }
    }

    /// What its names are bound to, to be stored beside the text; sorted by ARN.
    #[must_use]
    pub fn bindings(&self) -> &[(PrincipalName, UniqueId)] {
        self.bindings.as_slice()
    }

    /// The text as it was given.
    #[must_use]
    pub fn text(&self) -> &str {
        &self.text
    }

    /// The text as AWS shows it: in place of a bound principal that `exists` says is gone stands its unique id (of a
    /// session the role's, a colon and the session's name).
    #[must_use]
    pub fn text_with(&self, exists: impl Fn(&PrincipalName, &UniqueId) -> bool) -> String {
        let mut shown = String::with_capacity(self.text.len());
        let mut done = 0;
        for (range, arn) in span::places(&self.text).principals {
            let gone = PrincipalName::parse(&arn).and_then(|name| {
                let id = self.bindings.find(&arn)?;
                (!exists(&name, id)).then(|| match (&name, arn.rsplit('/').next()) {
                    (PrincipalName::RoleSession(..), Some(session)) => format!("\"{id}:{session}\""),
                    _ => format!("\"{id}\""),
                })
            });
            if let (Some(id), Some(between)) = (gone, self.text.get(done..range.start)) {
                shown.push_str(between);
                shown.push_str(&id);
                done = range.end;
            }
        }
        shown.push_str(self.text.get(done..).unwrap_or_default());
        shown
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

    /// Where the statements stand in the text, one after the other.
    #[must_use]
    pub fn spans(&self) -> Vec<Span> {
        span::statements(&self.text)
    }

    /// Every condition key that the document asks for, in conditions and in variables, once and in the order of their
    /// names in lower case; as the document spells them where it does so in a condition.
    #[must_use]
    pub fn context_keys(&self) -> Vec<String> {
        Self::context_keys_of([self])
    }

    /// The same of several documents together.
    #[must_use]
    pub fn context_keys_of<'a>(documents: impl IntoIterator<Item = &'a Self>) -> Vec<String> {
        let mut keys = BTreeMap::new();
        for document in documents {
            document.note_keys(&mut keys);
        }
        keys.into_values().map(str::to_owned).collect()
    }

    /// Adds the condition keys to those of other documents. A variable's spelling is lost when it is compiled, so any
    /// other is preferred to lower case.
    pub(crate) fn note_keys<'a>(&'a self, keys: &mut BTreeMap<Box<str>, &'a str>) {
        for key in self.statements.iter().flat_map(Statement::keys) {
            let folded = key::fold(key);
            let is_folded = |spelling: &str| *spelling == *folded;
            if keys.get(&folded).is_none_or(|spelling| is_folded(spelling)) {
                keys.insert(folded, key);
            }
        }
    }

    pub(crate) fn statements(&self) -> &[Statement] {
        &self.statements
    }

    pub(crate) fn bound(&self) -> &Bindings {
        &self.bindings
    }

    /// The first statement that denies.
    pub(crate) fn denies(&self, question: &Inquiry<'_>) -> Option<usize> {
        self.statements.iter().position(|statement| {
            statement.effect == Effect::Deny && statement.cover(question, &self.bindings).is_some()
        })
    }

    /// The first statement that allows.
    pub(crate) fn allows(&self, question: &Inquiry<'_>) -> Option<usize> {
        self.statements.iter().position(|statement| {
            statement.effect == Effect::Allow && statement.cover(question, &self.bindings).is_some()
        })
    }

    /// The first of the allowing statements that name the caller most closely.
    pub(crate) fn allows_best(&self, question: &Inquiry<'_>) -> Option<(Cover, usize)> {
        let mut best: Option<(Cover, usize)> = None;
        for (index, statement) in self.statements.iter().enumerate() {
            if statement.effect != Effect::Allow {
                continue;
            }
            let Some(cover) = statement.cover(question, &self.bindings) else {
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

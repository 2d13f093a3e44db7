//! Which grants allow a request: a few short scans, however many grants the key has.

use std::borrow::Cow;

use claviger_api::kms::GrantOperation;
use claviger_engine::{Call, Fault, RowKey};
use claviger_policy::{Principal, PrincipalKind, PrincipalName};

use super::record::{Constraint, Grant, Holder, action, is_constrained};
use super::rows::{equals, grant_key, granted, granted_key, set, steps, via};
use crate::operations::cipher::Pairs;
use crate::records::{Key, Listed};

/// Scans that one name of the caller may cost. Requests with few pairs of context need a handful; the limit is for
/// whoever makes grants in order to slow others down, and what lies beyond it allows nothing.
const SCANS_MAX: usize = 512;
/// Rows taken by a scan: more than one, in case a grant goes between its index row and itself.
const CANDIDATES: usize = 4;

/// What a grant is asked to allow.
pub(crate) enum Use<'a> {
    /// A use of the key, with this encryption context.
    Plain {
        /// The use.
        operation: GrantOperation,
        /// The context; empty without one.
        context: &'a Pairs,
    },
    /// A grant to somebody else.
    Delegate {
        /// What the new grant allows.
        operations: Cow<'a, [GrantOperation]>,
        /// What encryption context the new grant demands.
        constraint: Constraint,
        /// For which resource a service must call by the new grant.
        source_arn: Option<&'a str>,
    },
}

static NO_PAIRS: Pairs = Pairs::new();

impl<'a> Use<'a> {
    /// A use of the key, with the context that the request carries.
    pub(crate) fn of(operation: GrantOperation, context: Option<&'a Pairs>) -> Self {
        Self::Plain { operation, context: context.unwrap_or(&NO_PAIRS) }
    }

    /// What it is, as grants name it.
    pub(crate) const fn operation(&self) -> GrantOperation {
        match self {
            Self::Plain { operation, .. } => *operation,
            Self::Delegate { .. } => GrantOperation::CreateGrant,
        }
    }

    /// The pairs that a grant's Equals constraint must equal, and those that its Subset constraint must be part of.
    fn pairs(&self) -> (Option<&Pairs>, Option<&Pairs>) {
        let (equal, part) = match self {
            Self::Plain { operation, .. } if !is_constrained(*operation) => (None, None),
            Self::Plain { context, .. } => (Some(*context), Some(*context)),
            Self::Delegate { constraint: Constraint::Equals(pairs), .. } => (Some(pairs), Some(pairs)),
            Self::Delegate { constraint: Constraint::Subset(pairs), .. } => (None, Some(pairs)),
            Self::Delegate { constraint: Constraint::None, .. } => (None, None),
        };
        // No constraint is empty, so nothing can be found for an empty context.
        (equal.filter(|pairs| !pairs.is_empty()), part.filter(|pairs| !pairs.is_empty()))
    }
}

/// Those grants of the key that allow this, one for each name that the caller has.
///
/// # Errors
/// A [`Fault`] when the store does not answer.
pub(crate) async fn reaching(
    call: &mut Call<'_>,
    key: &Key,
    asked: &Use<'_>,
) -> Result<Vec<claviger_engine::Grant>, Fault> {
    let mut found = Vec::new();
    if !key.has_grants {
        return Ok(found);
    }
    let source = call.caller().source_arn();
    let mut places = vec![via(None)];
    places.extend(source.map(|arn| via(Some(arn))));
    for holder in names(call.caller().principal()) {
        let mut search = Search { call: &mut *call, key, asked, source, places: &places, scans: 0 };
        if let Some(grant) = search.by_holder(&holder).await? {
            found.push(claviger_engine::Grant {
                id: grant.id,
                grantee: grant.grantee.name,
                bound_to: grant.grantee.id,
                actions: grant.operations.into_iter().map(action).collect(),
            });
        }
    }
    Ok(found)
}

/// Grants of the key to the caller for the operation asked for, up to this many for each name that the caller has,
/// whatever their constraints: for explaining only, nothing is allowed by them.
///
/// # Errors
/// A [`Fault`] when the store does not answer.
pub(crate) async fn others(call: &mut Call<'_>, key: &Key, asked: &Use<'_>, most: usize) -> Result<Vec<Grant>, Fault> {
    let mut found: Vec<Grant> = Vec::new();
    for holder in names(call.caller().principal()) {
        let start = granted_key(&key.region, &key.id, &granted(&holder, asked.operation()));
        for (row, _) in call.rows::<Listed>(&start, None, most).await? {
            // The id of the grant is the last part of an index row.
            let Some(id) = row.rest().rsplit(['/', '.']).next() else { continue };
            let grant = call.row::<Grant>(&grant_key(&key.region, &key.id, id)).await?;
            found.extend(grant.map(|row| Grant::clone(&row.record)));
        }
    }
    Ok(found)
}

/// The caller, its role or the user behind its session, and its account.
fn names(caller: &Principal) -> Vec<Holder> {
    let mut names = Vec::with_capacity(3);
    if matches!(caller.kind(), PrincipalKind::User | PrincipalKind::RoleSession | PrincipalKind::FederatedUser) {
        let id = caller.unique_id().filter(|_| caller.kind() != PrincipalKind::FederatedUser).cloned();
        names.extend(PrincipalName::parse(caller.arn()).map(|name| Holder { name, id }));
    }
    let parent = caller.parent_arn().and_then(PrincipalName::parse);
    names.extend(parent.map(|name| Holder { name, id: caller.unique_id().cloned() }));
    names.push(Holder { name: PrincipalName::Account(caller.account()), id: None });
    names
}

/// One search, with what it has cost so far.
struct Search<'s, 'e> {
    call: &'s mut Call<'e>,
    key: &'s Key,
    asked: &'s Use<'s>,
    /// The resource for which a service asks.
    source: Option<&'s str>,
    /// Where in the index grants stand that demand no such resource, and those that demand this one.
    places: &'s [String],
    scans: usize,
}

impl Search<'_, '_> {
    /// The first grant to this holder that allows what is asked for.
    async fn by_holder(&mut self, holder: &Holder) -> Result<Option<Grant>, Fault> {
        let start = granted(holder, self.asked.operation());
        let Use::Delegate { operations, .. } = self.asked else {
            return self.by_place(&start).await;
        };
        // Parents with the same operations stand together: one look for each set of operations that is there.
        let wanted = set(operations);
        let mut after = String::new();
        while let Some(next) = self.first(&start, &after, 1).await?.pop() {
            let Some(word) = next.split('/').next().map(str::to_owned) else { break };
            let held = u32::from_str_radix(&word, 16).unwrap_or_default();
            if held & wanted == wanted
                && let Some(grant) = self.by_place(&format!("{start}{word}/")).await?
            {
                return Ok(Some(grant));
            }
            // `0` sorts behind `/`, and so behind every row of this set.
            after = format!("{word}0");
        }
        Ok(None)
    }

    /// The first grant below this start that can be used from where the call comes and whose constraint is met.
    async fn by_place(&mut self, start: &str) -> Result<Option<Grant>, Fault> {
        for place in self.places {
            let found = self.by_constraint(&format!("{start}{place}/")).await?;
            if found.is_some() {
                return Ok(found);
            }
        }
        Ok(None)
    }

    /// The first grant below this start whose constraint is met.
    async fn by_constraint(&mut self, start: &str) -> Result<Option<Grant>, Fault> {
        let found = self.live(&format!("{start}any/")).await?;
        let asked = self.asked;
        let (equal, part) = asked.pairs();
        if let (None, Some(pairs)) = (&found, equal)
            && let Some(grant) = self.live(&format!("{start}{}", equals(pairs))).await?
        {
            return Ok(Some(grant));
        }
        match (found, part) {
            (None, Some(pairs)) => self.by_subset(&format!("{start}subset/"), &steps(pairs)).await,
            (found, _) => Ok(found),
        }
    }

    /// Walks the tree of Subset constraints along the pairs that are there. Both are in order, so that each look brings
    /// either a step that is in both, or the next pair to try.
    async fn by_subset(&mut self, start: &str, steps: &[String]) -> Result<Option<Grant>, Fault> {
        let mut open = vec![(start.to_owned(), 0)];
        while let Some((node, mut at)) = open.pop() {
            while let Some(step) = steps.get(at) {
                let Some(next) = self.first(&node, step, 1).await?.pop() else { break };
                let reached = next.split('/').next().unwrap_or_default();
                if reached == step {
                    let below = format!("{node}{step}/");
                    // A point sorts before every digit: if a grant ends here, it comes first.
                    let ends = next.split('/').nth(1).is_some_and(|rest| rest.starts_with('.'));
                    if ends && let Some(grant) = self.live(&format!("{below}.")).await? {
                        return Ok(Some(grant));
                    }
                    open.push((below, at + 1));
                    at += 1;
                } else {
                    at += steps.iter().skip(at).take_while(|step| step.as_str() < reached).count();
                }
            }
        }
        Ok(None)
    }

    /// The first grant that the rows with this start name and that allows what is asked for.
    async fn live(&mut self, start: &str) -> Result<Option<Grant>, Fault> {
        for id in self.first(start, "", CANDIDATES).await? {
            let row = self.call.row::<Grant>(&grant_key(&self.key.region, &self.key.id, &id)).await?;
            // The record is what counts; the index only leads to it.
            if let Some(row) = row.filter(|row| row.record.allows(self.asked, self.source)) {
                return Ok(Some(Grant::clone(&row.record)));
            }
        }
        Ok(None)
    }

    /// What stands behind `start` in the first index rows behind `start` and `after`. These rows are no preconditions
    /// of a commit: the grant that they lead to is.
    async fn first(&mut self, start: &str, after: &str, limit: usize) -> Result<Vec<String>, Fault> {
        self.scans += 1;
        if self.scans > SCANS_MAX {
            return Ok(Vec::new());
        }
        let row = |rest: &str| granted_key(&self.key.region, &self.key.id, rest);
        let after = (!after.is_empty()).then(|| row(&format!("{start}{after}")));
        let before = self.call.reads();
        let rows = self.call.rows::<Listed>(&row(start), after.as_ref(), limit).await?;
        self.call.forget_reads_since(before);
        let rest = |(key, _): (RowKey, _)| key.rest().strip_prefix(start).map(str::to_owned);
        Ok(rows.into_iter().filter_map(rest).collect())
    }
}

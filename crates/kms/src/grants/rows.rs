//! Under which keys a grant is stored, so that it is found without a look at any other.
//!
//! ```text
//! key/REGION.KEY/grant/GRANT                                     the grant
//! key/REGION.KEY/grant-count/                                    how many there are
//! key/REGION.KEY/grant-name/PARAMETERS                           the grant of this name and these parameters
//! key/REGION.KEY/grantee/HOLDER/GRANT                            those of one grantee, for lists
//! key/REGION.KEY/granted/HOLDER/OPERATION/VIA/CONSTRAINT/GRANT   those that a request could need
//! retirable/REGION.HOLDER/KEY/GRANT                              those of one retiring principal, of all keys
//! ```
//!
//! `HOLDER` is the digest of a name and a unique id. `OPERATION` is the operation's name; under CreateGrant the set of
//! the grant's operations follows, which a child's must be part of. `VIA` is `direct`, or the digest of the ARN of the
//! resource that a service must call for. `CONSTRAINT` is `any`, or `equals/` and the digest of all pairs, or `subset/`
//! and the digest of each pair in their order, each a step down a tree; there a point stands before `GRANT`, which
//! sorts it before all steps further down.

use claviger_api::kms::GrantOperation;
use claviger_crypto::sha256;
use claviger_engine::{RowKey, Writer};

use super::record::{Constraint, Grant, Holder, bit, is_constrained, write_pairs};
use crate::operations::cipher::Pairs;
use crate::records::of_key;

/// Characters of a digest in a row key: 128 bits are enough, as the record that is found is compared again.
const DIGEST: usize = 32;

fn digest(writer: Writer) -> String {
    let mut text = hex::encode(sha256(&writer.finish()));
    text.truncate(DIGEST);
    text
}

fn of_holder(holder: &Holder) -> String {
    let mut writer = Writer::default();
    holder.write(&mut writer);
    digest(writer)
}

/// The digest of a whole encryption context.
fn of_pairs(pairs: &Pairs) -> String {
    let mut writer = Writer::default();
    write_pairs(&mut writer, pairs);
    digest(writer)
}

/// The digest of each pair, in order.
pub(super) fn steps(pairs: &Pairs) -> Vec<String> {
    let mut steps: Vec<_> = pairs
        .iter()
        .map(|(name, value)| {
            let mut writer = Writer::default();
            writer.text(name);
            writer.text(value);
            digest(writer)
        })
        .collect();
    steps.sort_unstable();
    steps
}

fn row(region: &str, key: &str, rest: &str) -> RowKey {
    RowKey::new("key", &of_key(region, key), rest)
}

/// Whether the text could be the id of a grant: 64 hexadecimal digits.
pub(crate) fn is_grant_id(text: &str) -> bool {
    text.len() == 64 && text.bytes().all(|byte| byte.is_ascii_digit() || (b'a'..=b'f').contains(&byte))
}

/// The row of a grant; `""` gives the common start of all of the key.
pub(crate) fn grant_key(region: &str, key: &str, grant: &str) -> RowKey {
    row(region, key, &format!("grant/{grant}"))
}

/// The row that counts the grants of the key.
pub(crate) fn count_key(region: &str, key: &str) -> RowKey {
    row(region, key, "grant-count/")
}

/// The row that a grant with a name is found by, when the same is asked for again.
pub(crate) fn name_key(region: &str, key: &str, grant: &Grant) -> Option<RowKey> {
    grant.name.as_ref()?;
    Some(row(region, key, &format!("grant-name/{}", hex::encode(sha256(&grant.parameters())))))
}

/// The row that lists a grant under its grantee; `""` gives the common start of all of the grantee.
pub(crate) fn holders_list_key(region: &str, key: &str, holder: &Holder, grant: &str) -> RowKey {
    row(region, key, &format!("grantee/{}/{grant}", of_holder(holder)))
}

/// The row that lists a grant under its retiring principal, as `KEY/GRANT`; `""` gives the common start of all.
pub(crate) fn retirable_key(region: &str, holder: &Holder, place: &str) -> RowKey {
    RowKey::new("retirable", &of_key(region, &of_holder(holder)), place)
}

/// The common start of what a holder may do of one kind on the key: `granted/HOLDER/OPERATION/`.
pub(super) fn granted(holder: &Holder, operation: GrantOperation) -> String {
    format!("granted/{}/{}/", of_holder(holder), operation.as_str())
}

/// A set of operations as it stands in row keys.
pub(super) fn set(operations: &[GrantOperation]) -> u32 {
    operations.iter().fold(0, |set, operation| set | bit(*operation))
}

/// The start of rows for these pairs exactly.
pub(super) fn equals(pairs: &Pairs) -> String {
    format!("equals/{}/", of_pairs(pairs))
}

/// A row key of the key's own, under any of the starts above.
pub(super) fn granted_key(region: &str, key: &str, rest: &str) -> RowKey {
    row(region, key, rest)
}

fn constraint(grant: &Grant, operation: GrantOperation) -> String {
    let id = &grant.id;
    match &grant.constraint {
        Constraint::Equals(pairs) if is_constrained(operation) => format!("{}{id}", equals(pairs)),
        Constraint::Subset(pairs) if is_constrained(operation) => format!("subset/{}/.{id}", steps(pairs).join("/")),
        _ => format!("any/{id}"),
    }
}

/// `direct`, or the digest of the ARN that a service must call for.
pub(super) fn via(source_arn: Option<&str>) -> String {
    let Some(arn) = source_arn else { return "direct".to_owned() };
    let mut writer = Writer::default();
    writer.text(arn);
    digest(writer)
}

/// Every row that says no more than its key does, by which the grant is found.
pub(crate) fn index_keys(region: &str, key: &str, grant: &Grant) -> Vec<RowKey> {
    let via = via(grant.source_arn.as_deref());
    // Who retires a grant names it, so that nobody looks for grants that allow it.
    let looked_for = grant.operations.iter().filter(|operation| **operation != GrantOperation::RetireGrant);
    let mut rows: Vec<_> = looked_for
        .map(|operation| {
            let start = granted(&grant.grantee, *operation);
            let set = match operation {
                GrantOperation::CreateGrant => format!("{:08x}/", set(&grant.operations)),
                _ => String::new(),
            };
            row(region, key, &format!("{start}{set}{via}/{}", constraint(grant, *operation)))
        })
        .collect();
    rows.push(holders_list_key(region, key, &grant.grantee, &grant.id));
    rows.extend(grant.retiring.as_ref().map(|holder| retirable_key(region, holder, &format!("{key}/{}", grant.id))));
    rows
}

//! What is stored of a grant.

use claviger_api::Timestamp;
use claviger_api::kms::{GrantConstraints, GrantOperation};
use claviger_crypto::DomainKeys;
use claviger_engine::{BadRecord, Call, Fault, Reader, Record, Standing, Writer};
use claviger_policy::{PrincipalName, UniqueId};

use super::find::Use;
use crate::operations::cipher::Pairs;
use crate::records::text;

const GRANT: &str = "kms grant";
const NAME: &str = "kms grant name";
const COUNT: &str = "kms grant count";

/// Whom a grant names, with the unique id that the user or role had when the grant was made. A namesake made later is
/// somebody else.
#[derive(Clone, Debug, PartialEq, Eq)]
pub(crate) struct Holder {
    /// The name.
    pub(crate) name: PrincipalName,
    /// The unique id; accounts, federated sessions and services have none.
    pub(crate) id: Option<UniqueId>,
}

impl Holder {
    /// Whoever has this name now; `None` when nobody does.
    pub(crate) async fn named(call: &mut Call<'_>, name: PrincipalName) -> Result<Option<Self>, Fault> {
        if matches!(name, PrincipalName::Service(_)) {
            return Ok(Some(Self { name, id: None }));
        }
        let id = match call.standing(&name).await? {
            Standing::Unknown => return Ok(None),
            Standing::Known(id) => id,
        };
        Ok(Some(Self { id: id.filter(|_| has_id(&name)), name }))
    }

    /// How lists show it: by its name, or by the unique id of a user or role that is gone.
    pub(crate) async fn shown(&self, call: &mut Call<'_>) -> Result<String, Fault> {
        let Some(id) = &self.id else { return Ok(self.name.to_string()) };
        let stands = call.standing(&self.name).await? == Standing::Known(Some(id.clone()));
        Ok(if stands { self.name.to_string() } else { id.to_string() })
    }

    /// Whether it is a service.
    pub(crate) const fn is_service(&self) -> bool {
        matches!(self.name, PrincipalName::Service(_))
    }

    pub(super) fn write(&self, writer: &mut Writer) {
        writer.text(&self.name.to_string());
        writer.option(self.id.as_ref(), |writer, id| writer.text(id.as_str()));
    }

    fn read(reader: &mut Reader<'_>) -> Result<Self, BadRecord> {
        let name = reader.text()?;
        let name = PrincipalName::parse(name).or_else(|| PrincipalName::parse_service(name)).ok_or(BadRecord)?;
        let id = reader.option(|reader| UniqueId::parse(reader.text()?).ok_or(BadRecord))?;
        Ok(Self { name, id })
    }
}

/// Whether names of this form are bound to the unique id behind them.
const fn has_id(name: &PrincipalName) -> bool {
    matches!(name, PrincipalName::User(..) | PrincipalName::Role(..) | PrincipalName::RoleSession(..))
}

/// What the encryption context of a use must be.
#[derive(Clone, Debug, Default, PartialEq, Eq)]
pub(crate) enum Constraint {
    /// Anything.
    #[default]
    None,
    /// Exactly these pairs.
    Equals(Pairs),
    /// At least these pairs.
    Subset(Pairs),
}

impl Constraint {
    /// The pairs; empty without a constraint.
    pub(crate) fn pairs(&self) -> impl Iterator<Item = (&String, &String)> {
        let pairs = match self {
            Self::None => None,
            Self::Equals(pairs) | Self::Subset(pairs) => Some(pairs),
        };
        pairs.into_iter().flatten()
    }

    /// `kms:GrantConstraintType`.
    pub(crate) const fn kind(&self) -> Option<&'static str> {
        match self {
            Self::None => None,
            Self::Equals(_) => Some("EncryptionContextEquals"),
            Self::Subset(_) => Some("EncryptionContextSubset"),
        }
    }

    /// Whether a use with these pairs meets it.
    pub(crate) fn admits(&self, context: &Pairs) -> bool {
        match self {
            Self::None => true,
            Self::Equals(pairs) => pairs == context,
            Self::Subset(pairs) => contains(context, pairs),
        }
    }

    /// Whether a grant with the other constraint, made by the holder of this one, is at least as strict.
    pub(crate) fn admits_child(&self, child: &Self) -> bool {
        match (self, child) {
            (Self::None, _) => true,
            (Self::Equals(pairs), Self::Equals(child)) => pairs == child,
            (Self::Subset(pairs), Self::Equals(child) | Self::Subset(child)) => contains(child, pairs),
            (Self::Equals(_), Self::None | Self::Subset(_)) | (Self::Subset(_), Self::None) => false,
        }
    }
}

fn contains(all: &Pairs, some: &Pairs) -> bool {
    some.iter().all(|(name, value)| all.get(name) == Some(value))
}

/// A grant on a key.
#[derive(Clone, Debug, PartialEq, Eq)]
pub(crate) struct Grant {
    /// 64 hexadecimal digits, chosen at random.
    pub(crate) id: String,
    /// What its maker calls it.
    pub(crate) name: Option<String>,
    /// When it was made.
    pub(crate) created: Timestamp,
    /// Who may use the key.
    pub(crate) grantee: Holder,
    /// Who may give the grant up.
    pub(crate) retiring: Option<Holder>,
    /// The account whose principal made it.
    pub(crate) issuer: String,
    /// What it allows: no operation twice, never empty.
    pub(crate) operations: Vec<GrantOperation>,
    /// What encryption context it demands.
    pub(crate) constraint: Constraint,
    /// For which resource a service must call. To retire the grant needs no service.
    pub(crate) source_arn: Option<String>,
}

impl Grant {
    /// Whether its operations and constraints allow the use, whoever asks, when a service asks for the resource `source`.
    pub(crate) fn allows(&self, asked: &Use<'_>, source: Option<&str>) -> bool {
        let for_source = self.source_arn.is_none() || self.source_arn.as_deref() == source;
        if !for_source || !self.operations.contains(&asked.operation()) {
            return false;
        }
        match asked {
            Use::Plain { operation, .. } if !is_constrained(*operation) => true,
            Use::Plain { context, .. } => self.constraint.admits(context),
            Use::Delegate { operations, constraint, source_arn } => {
                let as_strict = self.source_arn.is_none() || self.source_arn.as_deref() == *source_arn;
                as_strict
                    && operations.iter().all(|one| self.operations.contains(one))
                    && self.constraint.admits_child(constraint)
            }
        }
    }

    /// What an API response shows of the constraints.
    pub(crate) fn shown_constraints(&self) -> Option<GrantConstraints> {
        let mut shown = GrantConstraints { source_arn: self.source_arn.clone(), ..GrantConstraints::default() };
        match &self.constraint {
            Constraint::None => {}
            Constraint::Equals(pairs) => shown.encryption_context_equals = Some(pairs.clone()),
            Constraint::Subset(pairs) => shown.encryption_context_subset = Some(pairs.clone()),
        }
        (shown != GrantConstraints::default()).then_some(shown)
    }

    /// Everything that two grants of the same name must share to be the same grant.
    pub(super) fn parameters(&self) -> Vec<u8> {
        let mut operations = self.operations.clone();
        operations.sort_unstable_by_key(|operation| operation.as_str());
        let mut writer = Writer::default();
        writer.option(self.name.as_ref(), |writer, name| writer.text(name));
        self.grantee.write(&mut writer);
        writer.option(self.retiring.as_ref(), |writer, holder| holder.write(writer));
        writer.text(&self.issuer);
        writer.list(operations.iter(), |writer, operation| writer.text(operation.as_str()));
        write_constraint(&mut writer, &self.constraint);
        writer.option(self.source_arn.as_ref(), |writer, arn| writer.text(arn));
        writer.finish()
    }
}

fn write_constraint(writer: &mut Writer, constraint: &Constraint) {
    match constraint {
        Constraint::None => writer.u8(0),
        Constraint::Equals(pairs) => {
            writer.u8(1);
            write_pairs(writer, pairs);
        }
        Constraint::Subset(pairs) => {
            writer.u8(2);
            write_pairs(writer, pairs);
        }
    }
}

pub(super) fn write_pairs(writer: &mut Writer, pairs: &Pairs) {
    writer.list(pairs.iter(), |writer, (name, value)| {
        writer.text(name);
        writer.text(value);
    });
}

fn read_constraint(reader: &mut Reader<'_>) -> Result<Constraint, BadRecord> {
    let pairs = |reader: &mut Reader<'_>| {
        let pairs = reader.list(|reader| Ok((text(reader)?, text(reader)?)))?;
        Ok(pairs.into_iter().collect())
    };
    Ok(match reader.u8()? {
        0 => Constraint::None,
        1 => Constraint::Equals(pairs(reader)?),
        2 => Constraint::Subset(pairs(reader)?),
        _ => return Err(BadRecord),
    })
}

impl Record for Grant {
    fn encode(&self, _: &DomainKeys) -> Result<Vec<u8>, Fault> {
        // Destructured without `..`, so that a new field cannot be forgotten here.
        let Self { id, name, created, grantee, retiring, issuer, operations, constraint, source_arn } = self;
        let mut writer = Writer::record(GRANT, 1);
        writer.text(id);
        writer.option(name.as_ref(), |writer, name| writer.text(name));
        writer.i64(created.millis());
        grantee.write(&mut writer);
        writer.option(retiring.as_ref(), |writer, holder| holder.write(writer));
        writer.text(issuer);
        writer.list(operations.iter(), |writer, operation| writer.text(operation.as_str()));
        write_constraint(&mut writer, constraint);
        writer.option(source_arn.as_ref(), |writer, arn| writer.text(arn));
        Ok(writer.finish())
    }

    fn decode(bytes: &[u8], _: &DomainKeys) -> Result<Self, BadRecord> {
        let (mut reader, _) = Reader::record(bytes, GRANT, 1)?;
        let id = text(&mut reader)?;
        let name = reader.option(text)?;
        let created = Timestamp::from_millis(reader.i64()?);
        let grantee = Holder::read(&mut reader)?;
        let retiring = reader.option(Holder::read)?;
        let issuer = text(&mut reader)?;
        let operations = reader.list(|reader| GrantOperation::parse(reader.text()?).ok_or(BadRecord))?;
        let constraint = read_constraint(&mut reader)?;
        let source_arn = reader.option(text)?;
        reader.end()?;
        Ok(Self { id, name, created, grantee, retiring, issuer, operations, constraint, source_arn })
    }
}

/// Which grant a name and its parameters stand for.
#[derive(Clone, Debug, PartialEq, Eq)]
pub(crate) struct Name {
    /// The grant's id.
    pub(crate) grant: String,
}

impl Record for Name {
    fn encode(&self, _: &DomainKeys) -> Result<Vec<u8>, Fault> {
        let mut writer = Writer::record(NAME, 1);
        writer.text(&self.grant);
        Ok(writer.finish())
    }

    fn decode(bytes: &[u8], _: &DomainKeys) -> Result<Self, BadRecord> {
        let (mut reader, _) = Reader::record(bytes, NAME, 1)?;
        let grant = text(&mut reader)?;
        reader.end()?;
        Ok(Self { grant })
    }
}

/// How many grants a key has.
#[derive(Clone, Copy, Debug, PartialEq, Eq)]
pub(crate) struct Count(pub(crate) u64);

impl Record for Count {
    fn encode(&self, _: &DomainKeys) -> Result<Vec<u8>, Fault> {
        let mut writer = Writer::record(COUNT, 1);
        writer.u64(self.0);
        Ok(writer.finish())
    }

    fn decode(bytes: &[u8], _: &DomainKeys) -> Result<Self, BadRecord> {
        let (mut reader, _) = Reader::record(bytes, COUNT, 1)?;
        let count = reader.u64()?;
        reader.end()?;
        Ok(Self(count))
    }
}

/// Whether the operation has an encryption context, which constraints are compared with. DescribeKey and RetireGrant
/// have none and are allowed whatever the constraint.
pub(super) const fn is_constrained(operation: GrantOperation) -> bool {
    use GrantOperation as Op;
    match operation {
        Op::Decrypt
        | Op::Encrypt
        | Op::GenerateDataKey
        | Op::GenerateDataKeyWithoutPlaintext
        | Op::GenerateDataKeyPair
        | Op::GenerateDataKeyPairWithoutPlaintext
        | Op::ReEncryptFrom
        | Op::ReEncryptTo
        | Op::CreateGrant => true,
        Op::DescribeKey
        | Op::RetireGrant
        | Op::GetPublicKey
        | Op::Sign
        | Op::Verify
        | Op::GenerateMac
        | Op::VerifyMac
        | Op::DeriveSharedSecret
        | Op::Encapsulate
        | Op::Decapsulate => false,
    }
}

/// Gives each operation its IAM action and its bit in a row key. Both are stored or compared: never renumber.
macro_rules! operations {
    ($($bit:literal $operation:ident)*) => {
        /// The IAM action of the operation.
        pub(crate) const fn action(operation: GrantOperation) -> &'static str {
            match operation {
                $(GrantOperation::$operation => concat!("kms:", stringify!($operation)),)*
            }
        }

        /// The operation's bit in a set of operations.
        pub(super) const fn bit(operation: GrantOperation) -> u32 {
            match operation {
                $(GrantOperation::$operation => 1 << $bit,)*
            }
        }
    };
}

operations! {
    0 Decrypt 1 Encrypt 2 GenerateDataKey 3 GenerateDataKeyWithoutPlaintext 4 ReEncryptFrom 5 ReEncryptTo 6 Sign
    7 Verify 8 GetPublicKey 9 CreateGrant 10 RetireGrant 11 DescribeKey 12 GenerateDataKeyPair
    13 GenerateDataKeyPairWithoutPlaintext 14 GenerateMac 15 VerifyMac 16 DeriveSharedSecret 17 Encapsulate
    18 Decapsulate
}

#[cfg(test)]
mod tests {
    #![expect(clippy::unwrap_used, reason = "tests")]

    use super::*;
    use crate::records::tests::{file, keys, path};

    fn pairs(pairs: &[(&str, &str)]) -> Pairs {
        pairs.iter().map(|(name, value)| ((*name).to_owned(), (*value).to_owned())).collect()
    }

    fn grants() -> [(&'static str, Grant); 2] {
        let role = "arn:aws:iam::111122223333:role/team/app";
        let full = Grant {
            id: "ab".repeat(32),
            name: Some("for péople".to_owned()),
            created: Timestamp::from_millis(1_790_000_000_123),
            grantee: Holder { name: PrincipalName::parse(role).unwrap(), id: UniqueId::parse("AROAEXAMPLE234567890") },
            retiring: Some(Holder { name: PrincipalName::parse("arn:aws:iam::444455556666:root").unwrap(), id: None }),
            issuer: "111122223333".to_owned(),
            operations: vec![GrantOperation::Decrypt, GrantOperation::CreateGrant, GrantOperation::RetireGrant],
            constraint: Constraint::Subset(pairs(&[("a", "1"), ("b", "")])),
            source_arn: Some("arn:aws:service:eu-central-1:111122223333:thing/1".to_owned()),
        };
        let plain = Grant {
            name: None,
            grantee: Holder { name: PrincipalName::parse_service("thing.amazonaws.com").unwrap(), id: None },
            retiring: None,
            operations: vec![GrantOperation::Sign],
            constraint: Constraint::None,
            source_arn: None,
            ..full.clone()
        };
        [("grant-full", full), ("grant-plain", plain)]
    }

    #[tokio::test]
    async fn grants_stay_readable() {
        let keys = keys().await;
        for (name, grant) in grants() {
            let stored = file(name);
            assert_eq!(grant.encode(&keys).unwrap(), stored);
            assert_eq!(Grant::decode(&stored, &keys), Ok(grant));
            for at in 0..stored.len() {
                assert_eq!(Grant::decode(stored.get(..at).unwrap(), &keys), Err(BadRecord), "cut at {at}");
            }
        }
        let name = Name { grant: "ab".repeat(32) };
        assert_eq!(name.encode(&keys).unwrap(), file("grant-name"));
        assert_eq!(Name::decode(&file("grant-name"), &keys), Ok(name));
        assert_eq!(Count(7).encode(&keys).unwrap(), file("grant-count"));
        assert_eq!(Count::decode(&file("grant-count"), &keys), Ok(Count(7)));
    }

    #[tokio::test]
    #[ignore = "makes golden files for formats that are new"]
    async fn make() {
        let keys = keys().await;
        let mut records = grants().map(|(name, grant)| (name, grant.encode(&keys).unwrap())).to_vec();
        records.push(("grant-name", Name { grant: "ab".repeat(32) }.encode(&keys).unwrap()));
        records.push(("grant-count", Count(7).encode(&keys).unwrap()));
        for (name, bytes) in records {
            if !std::path::Path::new(&path(name)).exists() {
                std::fs::write(path(name), hex::encode(bytes) + "\n").unwrap();
            }
        }
    }

    /// Row keys hold these numbers.
    #[test]
    fn bits_of_operations_are_for_ever() {
        let bits = GrantOperation::ALL.iter().map(|operation| (operation.as_str(), bit(*operation).trailing_zeros()));
        let mut bits: Vec<_> = bits.collect();
        bits.sort_unstable_by_key(|(_, bit)| *bit);
        assert!(bits.iter().map(|(_, bit)| *bit).eq(0..19), "each its own: {bits:?}");
        let some = [("Decrypt", 0), ("Encrypt", 1), ("CreateGrant", 9), ("RetireGrant", 10), ("Decapsulate", 18)];
        assert!(some.iter().all(|pair| bits.contains(pair)));
        for operation in GrantOperation::ALL {
            assert_eq!(action(*operation), format!("kms:{}", operation.as_str()));
        }
    }

    /// The index leads to grants of the right source only; the record must not depend on it.
    #[test]
    fn a_source_is_demanded_by_the_record_too() {
        let [(_, full), (_, plain)] = grants();
        let source = full.source_arn.clone();
        let context = pairs(&[("a", "1"), ("b", "")]);
        let sign = Use::of(GrantOperation::Sign, None);
        assert!(plain.allows(&sign, None) && plain.allows(&sign, source.as_deref()));
        let operations = [GrantOperation::Decrypt];
        let delegate = |source_arn| {
            let constraint = Constraint::Subset(context.clone());
            Use::Delegate { operations: (&operations[..]).into(), constraint, source_arn }
        };
        let decrypt = || Use::of(GrantOperation::Decrypt, Some(&context));
        for (asked, caller, allowed) in [
            (decrypt(), source.as_deref(), true),
            (decrypt(), Some("arn:aws:service:eu-central-1:111122223333:thing/2"), false),
            (decrypt(), None, false),
            (delegate(source.as_deref()), source.as_deref(), true),
            (delegate(None), source.as_deref(), false),
            (delegate(source.as_deref()), None, false),
        ] {
            assert_eq!(full.allows(&asked, caller), allowed);
        }
    }

    #[test]
    fn two_grants_of_a_name_are_the_same_only_if_all_else_is() {
        let [(_, full), (_, plain)] = grants();
        let turned = vec![GrantOperation::RetireGrant, GrantOperation::Decrypt, GrantOperation::CreateGrant];
        assert_eq!(full.parameters(), Grant { operations: turned, id: String::new(), ..full.clone() }.parameters());
        let others = [
            Grant { name: None, ..full.clone() },
            Grant { grantee: plain.grantee.clone(), ..full.clone() },
            Grant { grantee: Holder { id: None, ..full.grantee.clone() }, ..full.clone() },
            Grant { retiring: None, ..full.clone() },
            Grant { issuer: "444455556666".to_owned(), ..full.clone() },
            Grant { operations: plain.operations.clone(), ..full.clone() },
            Grant { constraint: Constraint::Equals(pairs(&[("a", "1"), ("b", "")])), ..full.clone() },
            Grant { constraint: Constraint::Subset(pairs(&[("a", "1b"), ("", "")])), ..full.clone() },
            Grant { source_arn: None, ..full.clone() },
        ];
        for other in others {
            assert_ne!(other.parameters(), full.parameters(), "{other:?}");
        }
    }
}

//! The organization of the accounts: units that nest, service control policies, and what is attached to what.
//!
//! All of it but the policies' texts is one record: a decision sees one state of it, never half of a change, and a
//! change is one commit however many accounts it concerns.

use std::collections::BTreeMap;

use claviger_crypto::DomainKeys;
use claviger_engine::{BadRecord, CommandError, Fault, Reader, Record, RowKey, Writer};

const ORGANIZATION: &str = "iam service control policies";
/// The number of the unit that holds all others, and every account that is in none of them.
pub(crate) const ROOT: u32 = 0;
/// The number of the policy that allows everything.
pub(crate) const EVERYTHING: u32 = 0;
const ROOT_ID: &str = "r-root";
const EVERYTHING_ID: &str = "p-FullAWSAccess";
/// AWS's name of the policy that allows everything.
const EVERYTHING_NAME: &str = "FullAWSAccess";
const UNIT_ID: &str = "ou-root-";
const POLICY_ID: &str = "p-";
/// Units below one another at most, the root not counted; AWS's bound, as the following.
const DEPTH_MAX: usize = 5;
/// Policies attached to one target at most.
const ATTACHED_MAX: usize = 5;
const UNITS_MAX: usize = 1_000;
const POLICIES_MAX: usize = 1_000;
/// Characters of a name at most.
const NAME_MAX: usize = 128;
/// Bytes of the record at most: a commit takes 900 KiB, its audit record among them.
const BYTES_MAX: usize = 640 * 1024;

/// The row of the organization.
pub(crate) fn organization_key() -> RowKey {
    RowKey::new("service-control", "organization", "")
}

/// The row of a policy's text. Texts are never changed: a policy that is given another one has it in another row. These
/// keys come before that of the organization, so that a new text is in the cache before anything names it.
pub(crate) fn text_key(text: u32) -> RowKey {
    RowKey::new("service-control-text", &text.to_string(), "")
}

/// See the module.
#[derive(Clone, Debug, PartialEq, Eq)]
pub(crate) struct Organization {
    /// The next number of a unit, policy or text: none is used twice.
    next: u32,
    /// Without [`EVERYTHING`].
    policies: BTreeMap<u32, Policy>,
    /// [`ROOT`] is always among them.
    units: BTreeMap<u32, Unit>,
    /// By their digits. An account that is not here is in [`ROOT`] and has [`EVERYTHING`] attached.
    accounts: BTreeMap<String, Member>,
    /// Texts that the last change put out of use, whose rows the next one deletes: whoever still goes by the
    /// organization as it was before the last change finds what it names.
    unused: Vec<u32>,
}

#[derive(Clone, Debug, PartialEq, Eq)]
struct Policy {
    name: String,
    text: u32,
}

#[derive(Clone, Debug, PartialEq, Eq)]
struct Unit {
    /// Always a lower number, so that nothing is its own parent.
    parent: u32,
    name: String,
    attached: Vec<u32>,
}

#[derive(Clone, Debug, PartialEq, Eq)]
struct Member {
    unit: u32,
    attached: Vec<u32>,
}

/// What a policy can be attached to.
#[derive(Clone, Debug, PartialEq, Eq)]
pub(crate) enum Target {
    /// The root or a unit.
    Unit(u32),
    /// An account by its digits.
    Account(String),
}

impl Default for Organization {
    fn default() -> Self {
        let root = Unit { parent: ROOT, name: "Root".to_owned(), attached: vec![EVERYTHING] };
        let (policies, accounts) = (BTreeMap::new(), BTreeMap::new());
        Self { next: 1, policies, units: BTreeMap::from([(ROOT, root)]), accounts, unused: Vec::new() }
    }
}

impl Default for Member {
    fn default() -> Self {
        Self { unit: ROOT, attached: vec![EVERYTHING] }
    }
}

impl Record for Organization {
    fn encode(&self, _: &DomainKeys) -> Result<Vec<u8>, Fault> {
        let Self { next, policies, units, accounts, unused } = self;
        let numbers = |writer: &mut Writer, numbers: &[u32]| {
            writer.list(numbers.iter(), |writer, number| writer.u32(*number));
        };
        let mut writer = Writer::record(ORGANIZATION, 2);
        writer.u32(*next);
        writer.list(policies.iter(), |writer, (number, Policy { name, text })| {
            writer.u32(*number);
            writer.text(name);
            writer.u32(*text);
        });
        writer.list(units.iter(), |writer, (number, Unit { parent, name, attached })| {
            writer.u32(*number);
            writer.u32(*parent);
            writer.text(name);
            numbers(writer, attached);
        });
        writer.list(accounts.iter(), |writer, (account, Member { unit, attached })| {
            writer.text(account);
            writer.u32(*unit);
            numbers(writer, attached);
        });
        numbers(&mut writer, unused);
        Ok(writer.finish())
    }

    /// Version 1, the levels of one account in a row of its own, was never written by any command: it is refused.
    fn decode(bytes: &[u8], _: &DomainKeys) -> Result<Self, BadRecord> {
        let (mut reader, version) = Reader::record(bytes, ORGANIZATION, 2)?;
        if version < 2 {
            return Err(BadRecord);
        }
        let numbers = |reader: &mut Reader<'_>| reader.list(Reader::u32);
        let next = reader.u32()?;
        let policies = reader
            .list(|reader| Ok((reader.u32()?, Policy { name: reader.text()?.to_owned(), text: reader.u32()? })))?;
        let units = reader.list(|reader| {
            let (number, parent) = (reader.u32()?, reader.u32()?);
            Ok((number, Unit { parent, name: reader.text()?.to_owned(), attached: numbers(reader)? }))
        })?;
        let accounts = reader.list(|reader| {
            let account = reader.text()?.to_owned();
            Ok((account, Member { unit: reader.u32()?, attached: numbers(reader)? }))
        })?;
        let unused = numbers(&mut reader)?;
        reader.end()?;
        let (policies, units) = (policies.into_iter().collect(), units.into_iter().collect());
        let read = Self { next, policies, units, accounts: accounts.into_iter().collect(), unused };
        if read.is_sound() { Ok(read) } else { Err(BadRecord) }
    }
}

impl Organization {
    /// Whether everything that is named is there. A level that named nothing would be no limit.
    fn is_sound(&self) -> bool {
        let known = |attached: &[u32]| {
            let known = attached.iter().all(|policy| *policy == EVERYTHING || self.policies.contains_key(policy));
            known && !attached.is_empty()
        };
        let unit = |(number, unit): (&u32, &Unit)| {
            let parent = *number == ROOT || (unit.parent < *number && self.units.contains_key(&unit.parent));
            parent && known(&unit.attached)
        };
        let member = |member: &Member| self.units.contains_key(&member.unit) && known(&member.attached);
        self.units.contains_key(&ROOT) && self.units.iter().all(unit) && self.accounts.values().all(member)
    }

    /// Whether the record may be stored: refused once it holds too much.
    pub(crate) fn check_size(&self, keys: &DomainKeys) -> Result<(), CommandError> {
        if self.encode(keys)?.len() > BYTES_MAX {
            return Err(violated("the organization is full: too many units, policies and accounts in units"));
        }
        Ok(())
    }

    fn fresh(&mut self) -> Result<u32, CommandError> {
        let number = self.next;
        self.next = number.checked_add(1).ok_or_else(|| violated("there are no more numbers"))?;
        Ok(number)
    }

    /// What binds an account, from the root down to itself: the target and the numbers of the policies attached to it.
    pub(crate) fn levels(&self, target: &Target) -> Vec<(Target, &[u32])> {
        let member = match target {
            Target::Account(account) => self.accounts.get(account),
            Target::Unit(_) => None,
        };
        let unit = match target {
            Target::Account(_) => member.map_or(ROOT, |member| member.unit),
            Target::Unit(unit) => *unit,
        };
        let mut levels = Vec::with_capacity(DEPTH_MAX + 2);
        for unit in self.chain(unit) {
            let attached = self.units.get(&unit).map(|unit| unit.attached.as_slice());
            levels.push((Target::Unit(unit), attached.unwrap_or_default()));
        }
        if let Target::Account(_) = target {
            levels.push((target.clone(), member.map_or(&[EVERYTHING], |member| member.attached.as_slice())));
        }
        levels
    }

    /// The unit and those above it, the root first.
    fn chain(&self, unit: u32) -> Vec<u32> {
        let mut chain = vec![unit];
        let mut at = unit;
        while at != ROOT {
            at = self.units.get(&at).map_or(ROOT, |unit| unit.parent);
            chain.push(at);
        }
        chain.reverse();
        chain
    }

    /// The row of a policy's text; none for [`EVERYTHING`], which has none, and for what is no policy.
    pub(crate) fn text_of(&self, policy: u32) -> Option<u32> {
        self.policies.get(&policy).map(|policy| policy.text)
    }
}

/// Names and ids.
impl Organization {
    /// The unit with this id, or the root.
    pub(crate) fn unit(&self, id: &str) -> Result<u32, CommandError> {
        let number = if id == ROOT_ID { Some(ROOT) } else { number_of(id, UNIT_ID) };
        number.filter(|number| self.units.contains_key(number)).ok_or_else(|| {
            CommandError::refused("OrganizationalUnitNotFound", format!("there is no unit {id}; the root is {ROOT_ID}"))
        })
    }

    /// The policy with this name or id.
    pub(crate) fn policy(&self, text: &str) -> Result<u32, CommandError> {
        if [EVERYTHING_ID, EVERYTHING_NAME].contains(&text) {
            return Ok(EVERYTHING);
        }
        let named = self.policies.iter().find(|(_, policy)| policy.name == text).map(|(number, _)| *number);
        let by_id = || number_of(text, POLICY_ID).filter(|number| self.policies.contains_key(number));
        named.or_else(by_id).ok_or_else(|| {
            CommandError::refused("PolicyNotFound", format!("there is no service control policy {text}"))
        })
    }

    pub(crate) fn policy_name(&self, policy: u32) -> &str {
        self.policies.get(&policy).map_or(EVERYTHING_NAME, |policy| &policy.name)
    }

    /// Where a unit is, from the root on: `Root/Production/Payments`.
    pub(crate) fn path(&self, unit: u32) -> String {
        let names = self.chain(unit).into_iter().filter_map(|unit| self.units.get(&unit));
        names.map(|unit| unit.name.as_str()).collect::<Vec<_>>().join("/")
    }

    /// The same of a target; empty for an account.
    pub(crate) fn path_of(&self, target: &Target) -> String {
        match target {
            Target::Unit(unit) => self.path(*unit),
            Target::Account(_) => String::new(),
        }
    }

    /// Every unit after the one that it is in, the root first.
    pub(crate) fn all_units(&self) -> Vec<u32> {
        let mut all: Vec<u32> = self.units.keys().copied().collect();
        all.sort_by_cached_key(|unit| self.chain(*unit));
        all
    }

    pub(crate) fn all_policies(&self) -> Vec<u32> {
        std::iter::once(EVERYTHING).chain(self.policies.keys().copied()).collect()
    }

    /// The accounts in a unit itself. Those in no unit are in the root, and not known here.
    pub(crate) fn accounts_in(&self, unit: u32) -> Vec<String> {
        let within = self.accounts.iter().filter(|(_, member)| unit != ROOT && member.unit == unit);
        within.map(|(account, _)| account.clone()).collect()
    }

    pub(crate) fn attached_to(&self, target: &Target) -> Vec<u32> {
        self.levels(target).pop().map(|(_, attached)| attached.to_vec()).unwrap_or_default()
    }

    /// To what a policy is attached. [`EVERYTHING`] is attached to all accounts that are not known here too.
    pub(crate) fn targets(&self, policy: u32) -> Vec<Target> {
        let units = self.units.iter().filter(|(_, unit)| unit.attached.contains(&policy));
        let accounts = self.accounts.iter().filter(|(_, member)| member.attached.contains(&policy));
        let units = units.map(|(number, _)| Target::Unit(*number));
        units.chain(accounts.map(|(account, _)| Target::Account(account.clone()))).collect()
    }
}

/// Changes. Whatever they refuse, they leave the organization in a state that must not be stored.
impl Organization {
    pub(crate) fn create_unit(&mut self, name: &str, parent: u32) -> Result<u32, CommandError> {
        check_name(name)?;
        if self.units.values().any(|unit| unit.parent == parent && unit.name == name) {
            let message = format!("there is a unit {name} in {} already", unit_id(parent));
            return Err(CommandError::refused("DuplicateOrganizationalUnit", message));
        }
        if self.chain(parent).len() > DEPTH_MAX {
            return Err(violated(format!("units nest at most {DEPTH_MAX} deep")));
        }
        if self.units.len() > UNITS_MAX {
            return Err(violated(format!("there are at most {UNITS_MAX} units")));
        }
        let number = self.fresh()?;
        let attached = vec![EVERYTHING];
        self.units.insert(number, Unit { parent, name: name.to_owned(), attached });
        Ok(number)
    }

    pub(crate) fn delete_unit(&mut self, number: u32) -> Result<(), CommandError> {
        if number == ROOT {
            return Err(violated("the root cannot be deleted"));
        }
        let inhabited = self.units.values().any(|unit| unit.parent == number)
            || self.accounts.values().any(|member| member.unit == number);
        if inhabited {
            let message = format!("there are accounts or units in {}", unit_id(number));
            return Err(CommandError::refused("OrganizationalUnitNotEmpty", message));
        }
        self.units.remove(&number);
        Ok(())
    }

    pub(crate) fn move_account(&mut self, account: &str, unit: u32) {
        let member = self.accounts.remove(account).unwrap_or_default();
        self.keep(account, Member { unit, ..member });
    }

    /// The number of the new policy and that of its text's row.
    pub(crate) fn create_policy(&mut self, name: &str) -> Result<(u32, u32), CommandError> {
        check_name(name)?;
        // Neither may a name be read as the id of another one.
        if self.policy(name).is_ok() || number_of(name, POLICY_ID).is_some() {
            let message = format!("there is a service control policy {name} already");
            return Err(CommandError::refused("DuplicatePolicy", message));
        }
        if self.policies.len() >= POLICIES_MAX {
            return Err(violated(format!("there are at most {POLICIES_MAX} service control policies")));
        }
        let (number, text) = (self.fresh()?, self.fresh()?);
        self.policies.insert(number, Policy { name: name.to_owned(), text });
        Ok((number, text))
    }

    /// Begins a change: the texts whose rows it must delete.
    pub(crate) fn begin_change(&mut self) -> Vec<u32> {
        std::mem::take(&mut self.unused)
    }

    /// The number of the new text's row.
    pub(crate) fn update_policy(&mut self, number: u32) -> Result<u32, CommandError> {
        let text = self.fresh()?;
        let policy = self.policies.get_mut(&number).ok_or_else(unchangeable)?;
        self.unused.push(std::mem::replace(&mut policy.text, text));
        Ok(text)
    }

    pub(crate) fn delete_policy(&mut self, number: u32) -> Result<(), CommandError> {
        if !self.targets(number).is_empty() {
            let message = format!("the policy {} is attached; detach it first", self.policy_name(number));
            return Err(CommandError::refused("PolicyInUse", message));
        }
        self.unused.push(self.policies.remove(&number).ok_or_else(unchangeable)?.text);
        Ok(())
    }

    pub(crate) fn attach(&mut self, policy: u32, target: &Target) -> Result<(), CommandError> {
        let mut attached = self.attached_to(target);
        if attached.contains(&policy) {
            let message = format!("{} is attached to {target} already", self.policy_name(policy));
            return Err(CommandError::refused("DuplicatePolicyAttachment", message));
        }
        if attached.len() >= ATTACHED_MAX {
            return Err(violated(format!("at most {ATTACHED_MAX} policies are attached to one target")));
        }
        attached.push(policy);
        self.set_attached(target, attached);
        Ok(())
    }

    pub(crate) fn detach(&mut self, policy: u32, target: &Target) -> Result<(), CommandError> {
        let mut attached = self.attached_to(target);
        if !attached.contains(&policy) {
            let message = format!("{} is not attached to {target}", self.policy_name(policy));
            return Err(CommandError::refused("PolicyNotAttached", message));
        }
        if attached.len() == 1 {
            let text = format!("every target keeps one policy at least; attach {EVERYTHING_NAME} before, or another");
            return Err(violated(text));
        }
        attached.retain(|other| *other != policy);
        self.set_attached(target, attached);
        Ok(())
    }

    fn set_attached(&mut self, target: &Target, attached: Vec<u32>) {
        match target {
            Target::Unit(unit) => {
                if let Some(unit) = self.units.get_mut(unit) {
                    unit.attached = attached;
                }
            }
            Target::Account(account) => {
                let member = self.accounts.remove(account).unwrap_or_default();
                self.keep(account, Member { attached, ..member });
            }
        }
    }

    /// Keeps what is special about an account; nothing, when nothing is.
    fn keep(&mut self, account: &str, member: Member) {
        if member != Member::default() {
            self.accounts.insert(account.to_owned(), member);
        }
    }
}

impl std::fmt::Display for Target {
    fn fmt(&self, formatter: &mut std::fmt::Formatter<'_>) -> std::fmt::Result {
        match self {
            Self::Unit(unit) => formatter.write_str(&unit_id(*unit)),
            Self::Account(account) => formatter.write_str(account),
        }
    }
}

/// AWS's form of the id of a unit or the root.
pub(crate) fn unit_id(unit: u32) -> String {
    if unit == ROOT { ROOT_ID.to_owned() } else { format!("{UNIT_ID}{unit:08}") }
}

/// AWS's form of the id of a policy.
pub(crate) fn policy_id(policy: u32) -> String {
    if policy == EVERYTHING { EVERYTHING_ID.to_owned() } else { format!("{POLICY_ID}{policy:08}") }
}

/// The number in an id that starts so; only the form in which ids are given has one.
fn number_of(id: &str, start: &str) -> Option<u32> {
    let number = id.strip_prefix(start)?.parse().ok().filter(|number| *number != ROOT)?;
    (format!("{start}{number:08}") == id).then_some(number)
}

fn check_name(name: &str) -> Result<(), CommandError> {
    if name.is_empty() || name.chars().count() > NAME_MAX || name.chars().any(char::is_control) {
        let message = format!("a name has 1 to {NAME_MAX} characters, none of control");
        return Err(CommandError::refused("InvalidName", message));
    }
    Ok(())
}

fn violated(message: impl Into<String>) -> CommandError {
    CommandError::refused("ConstraintViolation", message)
}

fn unchangeable() -> CommandError {
    CommandError::refused("PolicyNotChangeable", format!("{EVERYTHING_NAME} can be neither changed nor deleted"))
}

#[cfg(test)]
mod tests {
    #![expect(clippy::unwrap_used, clippy::indexing_slicing, reason = "tests")]

    use super::*;
    use crate::records::golden::{file, keep, keys};

    const ACCOUNT: &str = "111122223333";

    fn target(account: &str) -> Target {
        Target::Account(account.to_owned())
    }

    /// A unit within another one, with policies on both, on the root and on an account.
    fn golden() -> Organization {
        let mut made = Organization::default();
        let outer = made.create_unit("Straße 7", ROOT).unwrap();
        let inner = made.create_unit("Payments", outer).unwrap();
        let (deny, _) = made.create_policy("no imports").unwrap();
        made.begin_change();
        made.update_policy(deny).unwrap();
        made.attach(deny, &Target::Unit(ROOT)).unwrap();
        made.attach(deny, &Target::Unit(inner)).unwrap();
        made.move_account(ACCOUNT, inner);
        made.attach(deny, &target("444455556666")).unwrap();
        made.detach(EVERYTHING, &target("444455556666")).unwrap();
        made
    }

    #[tokio::test]
    async fn the_stored_form_stays_readable() {
        let keys = keys().await;
        assert!(Organization::decode(&file("organization"), &keys).unwrap() == golden());
        assert_eq!(golden().encode(&keys).unwrap(), file("organization"));
        for at in 0..file("organization").len() {
            assert!(Organization::decode(&file("organization")[..at], &keys).is_err(), "cut at {at}");
        }
        assert!(Organization::decode(&file("service-control"), &keys).is_err(), "version 1 was never written");
    }

    #[tokio::test]
    #[ignore = "makes golden files for formats that are new"]
    async fn make() {
        keep("organization", golden().encode(&*keys().await).unwrap());
    }

    #[tokio::test]
    async fn what_names_nothing_is_not_read() {
        let keys = keys().await;
        let damages: [fn(&mut Organization); 7] = [
            |made| drop(made.units.remove(&ROOT)),
            |made| drop(made.units.remove(&1)),
            |made| made.policies.clear(),
            |made| made.units.get_mut(&1).unwrap().parent = 2,
            |made| made.units.get_mut(&2).unwrap().attached.clear(),
            |made| made.accounts.get_mut(ACCOUNT).unwrap().unit = 99,
            |made| made.accounts.get_mut(ACCOUNT).unwrap().attached.clear(),
        ];
        for (number, damage) in damages.into_iter().enumerate() {
            let mut made = golden();
            damage(&mut made);
            let bytes = made.encode(&keys).unwrap();
            assert!(Organization::decode(&bytes, &keys).is_err(), "damage {number}");
        }
    }

    #[test]
    fn only_ids_as_they_are_given_name_anything() {
        let made = golden();
        for id in ["r-root", "ou-root-00000001", "ou-root-00000002"] {
            assert_eq!(made.unit(id).map(unit_id), Ok(id.to_owned()));
        }
        for wrong in
            ["", "root", "ou-root-1", "ou-root-00000000", "ou-root-000000001", "ou-root-00000099", "p-00000003"]
        {
            assert!(made.unit(wrong).is_err(), "{wrong}");
        }
        for (name, id) in [("no imports", "p-00000003"), ("FullAWSAccess", "p-FullAWSAccess")] {
            assert_eq!(
                (made.policy(name).map(policy_id), made.policy(id).map(policy_id)),
                (Ok(id.into()), Ok(id.into()))
            );
        }
        for wrong in ["", "No imports", "p-3", "p-00000000", "p-00000001", "p-+0000003"] {
            assert!(made.policy(wrong).is_err(), "{wrong}");
        }
    }

    #[test]
    fn units_and_policies_are_as_many_as_aws_lets_them_be() {
        let mut made = Organization::default();
        for number in 0..UNITS_MAX {
            made.create_unit(&format!("unit {number}"), ROOT).unwrap();
        }
        for number in 0..POLICIES_MAX {
            made.create_policy(&format!("policy {number}")).unwrap();
        }
        assert!(made.create_unit("one more", ROOT).is_err() && made.create_policy("one more").is_err());
        let keys = DomainKeys::generate().unwrap();
        assert_eq!(made.check_size(&keys), Ok(()));
        for number in 0..40_000_u64 {
            made.move_account(&format!("{number:012}"), 1);
        }
        assert!(made.check_size(&keys).is_err(), "a commit must hold it");
    }

    #[test]
    fn an_account_like_every_other_one_is_not_kept() {
        let mut made = Organization::default();
        let unit = made.create_unit("Payments", ROOT).unwrap();
        made.move_account(ACCOUNT, unit);
        assert_eq!(made.accounts_in(unit), [ACCOUNT]);
        made.move_account(ACCOUNT, ROOT);
        assert!(made.accounts.is_empty() && made.delete_unit(unit).is_ok());
    }
}

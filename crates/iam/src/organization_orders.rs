//! What an operator orders about the organization, in the words of AWS Organizations.

use claviger_engine::{Call, Command, CommandError, CommandWork, Commanded, Engine, Fault, Recorded, Value, Writes};
use claviger_policy::AccountId;

use crate::documents;
use crate::find;
use crate::organization::{Organization, ROOT, Target, organization_key, policy_id, text_key, unit_id};
use crate::records::{Account, PolicyText, account_key};
use crate::service_control::{FULL_ACCESS, Uncontrolled};

/// Characters of a policy at most, white space among them, as AWS counts what does not come from its console.
pub const SERVICE_CONTROL_POLICY_CHARACTERS_MAX: usize = 5_120;

/// An order. Units and targets are named by their ids (an account by its digits), policies by name or id.
#[derive(Clone, Debug)]
pub enum OrganizationOrder {
    /// The root and every unit.
    ListUnits,
    /// A new unit in another one; in the root, when none is said.
    CreateUnit {
        /// Unlike those of its neighbours.
        name: String,
        /// The id of that other one.
        parent: Option<String>,
    },
    /// A unit without accounts and units goes.
    DeleteUnit {
        /// Its id.
        unit: String,
    },
    /// An account goes into a unit, out of the one that it was in.
    MoveAccount {
        /// Which.
        account: AccountId,
        /// The unit's id, or that of the root.
        unit: String,
    },
    /// Every policy, without its text.
    ListPolicies,
    /// A policy with its text.
    DescribePolicy {
        /// Which.
        policy: String,
    },
    /// What binds an account or a unit, from the root down.
    ListPoliciesForTarget {
        /// The account or unit, or the root.
        target: String,
    },
    /// A new policy, attached to nothing.
    CreatePolicy {
        /// Unlike every other's.
        name: String,
        /// Its document.
        text: String,
    },
    /// Another text for a policy, wherever it is attached.
    UpdatePolicy {
        /// Which.
        policy: String,
        /// The new document.
        text: String,
    },
    /// A policy that is attached to nothing goes.
    DeletePolicy {
        /// Which.
        policy: String,
    },
    /// A policy binds a target from now on.
    AttachPolicy {
        /// Which.
        policy: String,
        /// What.
        target: String,
    },
    /// A policy binds a target no longer.
    DetachPolicy {
        /// Which.
        policy: String,
        /// What.
        target: String,
    },
}

impl OrganizationOrder {
    const fn is_change(&self) -> bool {
        !matches!(
            self,
            Self::ListUnits | Self::ListPolicies | Self::DescribePolicy { .. } | Self::ListPoliciesForTarget { .. }
        )
    }
}

/// What an order came to.
#[derive(Clone, Debug, PartialEq, Eq)]
pub enum OrganizationAnswer {
    /// Some units: all of them, or the one that the order was about.
    Units(Vec<UnitSummary>),
    /// Some policies, likewise.
    Policies(Vec<PolicySummary>),
    /// What binds a target, from the root down.
    Levels(Vec<LevelSummary>),
}

/// A unit.
#[derive(Clone, Debug, PartialEq, Eq)]
pub struct UnitSummary {
    /// Its id.
    pub unit: String,
    /// Names from the root on, as in `Root/Production`.
    pub path: String,
    /// The accounts in the unit itself; none for the root, in which are all that are in no unit.
    pub accounts: Vec<String>,
}

/// A service control policy.
#[derive(Clone, Debug, PartialEq, Eq)]
pub struct PolicySummary {
    /// Its id.
    pub policy: String,
    /// What its operator calls it.
    pub name: String,
    /// To what it is attached. For `FullAWSAccess` accounts are left out which have nothing else.
    pub targets: Vec<String>,
    /// Its text, where the order asks for it.
    pub text: Option<String>,
}

/// The policies of one level.
#[derive(Clone, Debug, PartialEq, Eq)]
pub struct LevelSummary {
    /// The root's or unit's id, or the account's digits.
    pub target: String,
    /// Names from the root on; empty for an account.
    pub path: String,
    /// Names of policies: what none of them allows is refused, and what one denies.
    pub policies: Vec<String>,
}

/// Does what the order says.
pub(crate) async fn obey(
    uncontrolled: &Uncontrolled,
    engine: &Engine,
    command: &Command,
    order: &OrganizationOrder,
) -> Result<Recorded<Result<OrganizationAnswer, CommandError>>, Fault> {
    engine.operate(command, &Ordered { uncontrolled, order }).await
}

struct Ordered<'a> {
    uncontrolled: &'a Uncontrolled,
    order: &'a OrganizationOrder,
}

impl CommandWork for Ordered<'_> {
    type Response = OrganizationAnswer;

    async fn run(&self, call: &mut Call<'_>) -> Result<Commanded<OrganizationAnswer>, CommandError> {
        let stored = call.row::<Organization>(&organization_key()).await?;
        let before = stored.map(|stored| stored.record.as_ref().clone()).unwrap_or_default();
        let mut at = Work { organization: before.clone(), writes: Writes::default() };
        let unused = at.organization.begin_change();
        let response = at.obey(call, self.order).await?;
        let Work { organization, mut writes } = at;
        let mut shown = Value::Null;
        if self.order.is_change() && organization != before {
            organization.check_size(call.keys())?;
            forget(call, &mut writes, &unused).await?;
            self.uncontrolled.end();
            writes.put(call, organization_key(), organization)?;
            shown = element(&response);
        }
        Ok(Commanded { response, writes, shown })
    }
}

/// What the record says was made or changed.
fn element(response: &OrganizationAnswer) -> Value {
    let of = |name: &'static str, id: &str| Value::object([(name, Value::public_text(id))]);
    match response {
        OrganizationAnswer::Units(units) => units.first().map_or(Value::Null, |unit| of("unitId", &unit.unit)),
        OrganizationAnswer::Policies(all) => all.first().map_or(Value::Null, |policy| of("policyId", &policy.policy)),
        OrganizationAnswer::Levels(_) => Value::Null,
    }
}

/// The organization as the order leaves it, and what is written beside it.
struct Work {
    organization: Organization,
    writes: Writes,
}

impl Work {
    async fn obey(
        &mut self,
        call: &mut Call<'_>,
        order: &OrganizationOrder,
    ) -> Result<OrganizationAnswer, CommandError> {
        use OrganizationOrder as Order;
        match order {
            Order::ListUnits => Ok(self.units(self.organization.all_units())),
            Order::CreateUnit { name, parent } => {
                let parent = parent.as_deref().map_or(Ok(ROOT), |parent| self.organization.unit(parent))?;
                let made = self.organization.create_unit(name, parent)?;
                Ok(self.units(vec![made]))
            }
            Order::DeleteUnit { unit } => {
                let unit = self.organization.unit(unit)?;
                let deleted = self.units(vec![unit]);
                self.organization.delete_unit(unit)?;
                Ok(deleted)
            }
            Order::MoveAccount { account, unit } => {
                demand(call, account.as_str()).await?;
                let unit = self.organization.unit(unit)?;
                self.organization.move_account(account.as_str(), unit);
                Ok(self.units(vec![unit]))
            }
            Order::ListPolicies => Ok(self.policies(self.organization.all_policies())),
            Order::DescribePolicy { policy } => self.describe(call, policy).await,
            Order::ListPoliciesForTarget { target } => {
                let target = self.target(call, target).await?;
                Ok(self.levels(&target))
            }
            Order::CreatePolicy { name, text } => self.create(call, name, text).await,
            Order::UpdatePolicy { policy, text } => self.update(call, policy, text).await,
            Order::DeletePolicy { policy } => {
                let policy = self.organization.policy(policy)?;
                let deleted = self.policies(vec![policy]);
                self.organization.delete_policy(policy)?;
                Ok(deleted)
            }
            Order::AttachPolicy { policy, target } => {
                let (policy, target) = (self.organization.policy(policy)?, self.target(call, target).await?);
                self.organization.attach(policy, &target)?;
                Ok(self.policies(vec![policy]))
            }
            Order::DetachPolicy { policy, target } => {
                let (policy, target) = (self.organization.policy(policy)?, self.target(call, target).await?);
                self.organization.detach(policy, &target)?;
                Ok(self.policies(vec![policy]))
            }
        }
    }

    async fn create(
        &mut self,
        call: &mut Call<'_>,
        name: &str,
        text: &str,
    ) -> Result<OrganizationAnswer, CommandError> {
        check(text)?;
        let (policy, row) = self.organization.create_policy(name)?;
        self.keep(call, row, text).await?;
        Ok(self.policies(vec![policy]))
    }

    async fn update(
        &mut self,
        call: &mut Call<'_>,
        policy: &str,
        text: &str,
    ) -> Result<OrganizationAnswer, CommandError> {
        check(text)?;
        let policy = self.organization.policy(policy)?;
        let row = self.organization.update_policy(policy)?;
        self.keep(call, row, text).await?;
        Ok(self.policies(vec![policy]))
    }

    async fn keep(&mut self, call: &mut Call<'_>, row: u32, text: &str) -> Result<(), Fault> {
        let key = text_key(row);
        call.row::<PolicyText>(&key).await?;
        self.writes.put(call, key, PolicyText::new(text.to_owned()))
    }

    async fn describe(&self, call: &mut Call<'_>, policy: &str) -> Result<OrganizationAnswer, CommandError> {
        let policy = self.organization.policy(policy)?;
        let text = match self.organization.text_of(policy) {
            Some(row) => find::demand::<PolicyText>(call, &text_key(row)).await?.text.clone(),
            None => FULL_ACCESS.to_owned(),
        };
        Ok(OrganizationAnswer::Policies(vec![PolicySummary { text: Some(text), ..self.policy(policy) }]))
    }

    async fn target(&self, call: &mut Call<'_>, id: &str) -> Result<Target, CommandError> {
        if AccountId::parse(id).is_none() {
            return self.organization.unit(id).map(Target::Unit);
        }
        demand(call, id).await?;
        Ok(Target::Account(id.to_owned()))
    }

    fn units(&self, units: Vec<u32>) -> OrganizationAnswer {
        let summary = |unit| UnitSummary {
            unit: unit_id(unit),
            path: self.organization.path(unit),
            accounts: self.organization.accounts_in(unit),
        };
        OrganizationAnswer::Units(units.into_iter().map(summary).collect())
    }

    fn policies(&self, policies: Vec<u32>) -> OrganizationAnswer {
        OrganizationAnswer::Policies(policies.into_iter().map(|policy| self.policy(policy)).collect())
    }

    fn policy(&self, policy: u32) -> PolicySummary {
        PolicySummary {
            policy: policy_id(policy),
            name: self.organization.policy_name(policy).to_owned(),
            targets: self.organization.targets(policy).iter().map(ToString::to_string).collect(),
            text: None,
        }
    }

    fn levels(&self, target: &Target) -> OrganizationAnswer {
        let levels = self.organization.levels(target).into_iter().map(|(target, attached)| LevelSummary {
            path: self.organization.path_of(&target),
            target: target.to_string(),
            policies: attached.iter().map(|policy| self.organization.policy_name(*policy).to_owned()).collect(),
        });
        OrganizationAnswer::Levels(levels.collect())
    }
}

async fn forget(call: &mut Call<'_>, writes: &mut Writes, texts: &[u32]) -> Result<(), Fault> {
    for text in texts {
        let key = text_key(*text);
        if call.row::<PolicyText>(&key).await?.is_some() {
            writes.delete(key);
        }
    }
    Ok(())
}

/// Refuses what is no account of the deployment.
async fn demand(call: &mut Call<'_>, account: &str) -> Result<(), CommandError> {
    match call.row::<Account>(&account_key(account)).await? {
        Some(_) => Ok(()),
        None => Err(CommandError::refused("NoSuchAccount", format!("there is no account {account}"))),
    }
}

/// Refuses a text that is no service control policy: those have the language of identity policies.
fn check(text: &str) -> Result<(), CommandError> {
    let refused = |message: String| Err(CommandError::refused("MalformedPolicyDocument", message));
    if text.chars().count() > SERVICE_CONTROL_POLICY_CHARACTERS_MAX {
        let most = SERVICE_CONTROL_POLICY_CHARACTERS_MAX;
        return refused(format!("a service control policy has at most {most} characters, white space among them"));
    }
    match documents::compile(text) {
        Ok(_) => Ok(()),
        Err(malformed) => refused(malformed.message().to_owned()),
    }
}

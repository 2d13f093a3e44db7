//! The quotas of a server: AWS's, or what the configuration says instead.

use claviger_engine::{NoQuotaGroup, Quotas, ServiceQuotas};
use claviger_kms::REQUEST_QUOTAS;

use crate::world::World;

/// Every service that limits how often it is asked.
const SERVICES: [ServiceQuotas; 3] =
    [REQUEST_QUOTAS, claviger_iam::IAM_REQUEST_QUOTAS, claviger_iam::STS_REQUEST_QUOTAS];

/// `[quotas]` of the configuration.
#[derive(Debug, PartialEq, Eq)]
pub(crate) struct QuotaSettings {
    /// Whether accounts are limited in how often they call.
    pub(crate) requests: bool,
    /// Keys of an account in a Region, when it is another number than AWS's.
    pub(crate) keys: Option<u64>,
    /// Requests a second of a group.
    pub(crate) rates: Vec<(String, u32)>,
    /// The same for one account.
    pub(crate) account_rates: Vec<(String, String, u32)>,
}

impl Default for QuotaSettings {
    fn default() -> Self {
        Self { requests: true, keys: None, rates: Vec::new(), account_rates: Vec::new() }
    }
}

impl QuotaSettings {
    /// Puts the quotas into force.
    ///
    /// # Errors
    /// [`NoQuotaGroup`], which a checked configuration does not meet.
    pub(crate) fn apply(&self, mut world: World) -> Result<World, NoQuotaGroup> {
        if self.requests {
            let mut quotas = Quotas::new(&SERVICES);
            for (group, rate) in &self.rates {
                quotas.set_rate(group, *rate)?;
            }
            for (account, group, rate) in &self.account_rates {
                quotas.set_account_rate(account, group, *rate)?;
            }
            world.engine.set_quotas(quotas);
        }
        if let Some(keys) = self.keys {
            world = world.with_keys_max(keys);
        }
        Ok(world)
    }
}

/// Whether a request quota has this name.
pub(crate) fn is_group(name: &str) -> bool {
    SERVICES.iter().flat_map(|service| (service.groups)()).any(|group| group.name == name)
}

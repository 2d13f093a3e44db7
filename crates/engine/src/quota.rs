//! Request quotas: how often in a second an account may ask for a group of operations in a Region.
//!
//! A service says as data which operations share a quota and how large it is by default ([`ServiceQuotas`]). Each
//! account, Region and group has a token bucket that holds one second's worth and fills again by the wall clock, so who
//! empties one takes nothing from anybody else. A full bucket is as good as none and is forgotten.

use std::collections::{BTreeMap, HashMap};
use std::sync::{Mutex, PoisonError};

use claviger_api::Timestamp;

use crate::call::Call;
use crate::{CommonError, OperationRow};

/// Operations that share one request quota.
#[derive(Debug, Clone, Copy, PartialEq, Eq)]
pub struct QuotaGroup {
    /// What configurations call it.
    pub name: &'static str,
    /// Requests a second, for each account and Region.
    pub rate: u32,
    /// The Regions whose rate is another.
    pub rate_in: &'static [(&'static str, u32)],
}

impl QuotaGroup {
    /// A group of the same rate in every Region.
    #[must_use]
    pub const fn new(name: &'static str, rate: u32) -> Self {
        Self { name, rate, rate_in: &[] }
    }

    fn rate_of(&self, region: &str) -> u32 {
        self.rate_in.iter().find(|(name, _)| *name == region).map_or(self.rate, |(_, rate)| *rate)
    }
}

/// Where an operation's requests count.
#[derive(Debug, Clone, Copy, PartialEq, Eq)]
pub enum QuotaRule {
    /// In this group, charged before anything is looked up.
    Always(QuotaGroup),
    /// It depends on what the request names ([`crate::Operation::charges`]); in this group when nothing was found.
    ByResource(QuotaGroup),
}

/// The request quotas of a service.
#[derive(Debug, Clone, Copy)]
pub struct ServiceQuotas {
    /// `kms.amazonaws.com` and the like.
    pub event_source: &'static str,
    /// Where the requests of an operation count; `None` when it has no quota.
    pub rule: fn(operation: &str) -> Option<QuotaRule>,
    /// Every group. No two services have one of the same name.
    pub groups: fn() -> Vec<QuotaGroup>,
    /// The Region in which every request counts, wherever it was sent, for a service that has but one.
    pub region: Option<&'static str>,
}

/// What one request takes from one group.
#[derive(Debug, Clone, PartialEq, Eq)]
pub struct Charge {
    /// From which group.
    pub group: QuotaGroup,
    /// For how many requests it counts.
    pub cost: u32,
    /// In which Region, when it is not the call's own.
    pub region: Option<String>,
}

impl Charge {
    /// One request in the call's own Region.
    #[must_use]
    pub const fn one(group: QuotaGroup) -> Self {
        Self { group, cost: 1, region: None }
    }
}

/// The configured quotas, and what is left of them.
pub struct Quotas {
    services: Vec<ServiceQuotas>,
    rates: BTreeMap<String, u32>,
    of_accounts: BTreeMap<String, BTreeMap<String, u32>>,
    buckets: Mutex<Buckets>,
}

/// No group has this name.
#[derive(Debug, Clone, PartialEq, Eq, thiserror::Error)]
#[error("no request quota is called {0}")]
pub struct NoQuotaGroup(pub String);

impl Quotas {
    /// The default quotas of services.
    #[must_use]
    pub fn new(services: &[ServiceQuotas]) -> Self {
        let (services, rates, of_accounts) = (services.to_vec(), BTreeMap::new(), BTreeMap::new());
        Self { services, rates, of_accounts, buckets: Mutex::default() }
    }

    /// Gives a group another rate in every Region, a second.
    ///
    /// # Errors
    /// [`NoQuotaGroup`].
    pub fn set_rate(&mut self, group: &str, rate: u32) -> Result<(), NoQuotaGroup> {
        self.rates.insert(self.known(group)?, rate);
        Ok(())
    }

    /// Gives a group another rate for one account.
    ///
    /// # Errors
    /// [`NoQuotaGroup`].
    pub fn set_account_rate(&mut self, account: &str, group: &str, rate: u32) -> Result<(), NoQuotaGroup> {
        let group = self.known(group)?;
        self.of_accounts.entry(account.to_owned()).or_default().insert(group, rate);
        Ok(())
    }

    fn known(&self, name: &str) -> Result<String, NoQuotaGroup> {
        let found = self.services.iter().flat_map(|service| (service.groups)()).find(|group| group.name == name);
        found.map(|group| group.name.to_owned()).ok_or_else(|| NoQuotaGroup(name.to_owned()))
    }

    fn service(&self, row: &OperationRow) -> Option<&ServiceQuotas> {
        self.services.iter().find(|service| service.event_source == row.event_source)
    }

    pub(crate) fn rule(&self, row: &OperationRow) -> Option<QuotaRule> {
        (self.service(row)?.rule)(row.name)
    }

    /// What a request takes that counts in this group.
    pub(crate) fn one(&self, row: &OperationRow, group: QuotaGroup) -> Charge {
        let region = self.service(row).and_then(|service| service.region).map(str::to_owned);
        Charge { region, ..Charge::one(group) }
    }

    fn rate(&self, account: &str, region: &str, group: &QuotaGroup) -> u32 {
        let own = self.of_accounts.get(account).and_then(|rates| rates.get(group.name));
        own.or_else(|| self.rates.get(group.name)).copied().unwrap_or_else(|| group.rate_of(region))
    }

    /// Takes all the charges from the caller's account, or none of them.
    ///
    /// # Errors
    /// [`CommonError::Throttled`] when one of the quotas is used up.
    pub(crate) fn charge(&self, call: &Call<'_>, charges: &[Charge]) -> Result<(), CommonError> {
        let account = call.caller().account();
        let taken = charges.iter().map(|charge| {
            let region = charge.region.as_deref().unwrap_or_else(|| call.caller().region());
            Taken {
                region,
                group: charge.group.name,
                cost: charge.cost,
                rate: self.rate(account, region, &charge.group),
            }
        });
        let taken: Vec<_> = taken.collect();
        let mut buckets = self.buckets.lock().unwrap_or_else(PoisonError::into_inner);
        if buckets.take(account, &taken, call.wall()) { Ok(()) } else { Err(CommonError::Throttled) }
    }
}

/// A charge with the rate that holds for it.
struct Taken<'c> {
    region: &'c str,
    group: &'static str,
    cost: u32,
    rate: u32,
}

/// Buckets of one account that are kept at most: who empties more in a second is refused, and nobody else.
const ACCOUNT_BUCKETS_MAX: usize = 1_024;
/// Accounts with buckets at most. More than these in one second are refused.
const ACCOUNTS_MAX: usize = 100_000;
/// Below this many accounts none is looked at to be forgotten.
const ACCOUNTS_KEPT: usize = 1_024;
/// A request in the unit that buckets are measured in, so that a rate a second is a gain of as many a millisecond.
const REQUEST: u64 = 1_000;

struct Bucket {
    region: Box<str>,
    group: &'static str,
    /// What is left, in thousandths of a request.
    left: u64,
    rate: u32,
    at: Timestamp,
}

impl Bucket {
    const fn capacity(&self) -> u64 {
        self.rate as u64 * REQUEST
    }

    /// What is left at a time. A clock that is put back gives nothing, and takes nothing.
    fn left_at(&self, now: Timestamp) -> u64 {
        let passed = u64::try_from(now.millis().saturating_sub(self.at.millis())).unwrap_or_default();
        self.left.saturating_add(passed.saturating_mul(u64::from(self.rate))).min(self.capacity())
    }

    fn is_full_at(&self, now: Timestamp) -> bool {
        self.left_at(now) >= self.capacity()
    }
}

#[derive(Default)]
struct Buckets {
    accounts: HashMap<Box<str>, Vec<Bucket>>,
    /// With this many accounts, those without any emptied bucket are forgotten.
    forget_at: usize,
}

impl Buckets {
    fn take(&mut self, account: &str, taken: &[Taken<'_>], now: Timestamp) -> bool {
        if !self.accounts.contains_key(account) {
            if !self.has_room(now) {
                return false;
            }
            self.accounts.insert(account.into(), Vec::new());
        }
        let Some(buckets) = self.accounts.get_mut(account) else { return false };
        if buckets.len().saturating_add(taken.len()) > ACCOUNT_BUCKETS_MAX {
            buckets.retain(|bucket| !bucket.is_full_at(now));
            if buckets.len().saturating_add(taken.len()) > ACCOUNT_BUCKETS_MAX {
                return false;
            }
        }
        for charge in taken {
            refill(buckets, charge, now);
        }
        // All or none: what one quota refuses costs nothing of another.
        let enough = taken.iter().all(|charge| place(buckets, charge).is_some_and(|bucket| bucket.left >= due(charge)));
        if enough {
            for charge in taken {
                if let Some(bucket) = place(buckets, charge) {
                    bucket.left = bucket.left.saturating_sub(due(charge));
                }
            }
        }
        enough
    }

    /// Forgets accounts whose buckets are all full, now and then: a call in some hundred pays for it.
    fn has_room(&mut self, now: Timestamp) -> bool {
        if self.accounts.len() >= self.forget_at.max(ACCOUNTS_KEPT) {
            self.accounts.retain(|_, buckets| {
                buckets.retain(|bucket| !bucket.is_full_at(now));
                !buckets.is_empty()
            });
            self.accounts.shrink_to(ACCOUNTS_KEPT);
            self.forget_at = self.accounts.len().saturating_mul(2).min(ACCOUNTS_MAX);
        }
        self.accounts.len() < ACCOUNTS_MAX
    }
}

/// What a charge takes. One that is larger than a second's worth takes all of that.
fn due(charge: &Taken<'_>) -> u64 {
    u64::from(charge.cost.min(charge.rate.max(1))).saturating_mul(REQUEST)
}

fn place<'b>(buckets: &'b mut [Bucket], charge: &Taken<'_>) -> Option<&'b mut Bucket> {
    buckets.iter_mut().find(|bucket| bucket.group == charge.group && *bucket.region == *charge.region)
}

fn refill(buckets: &mut Vec<Bucket>, charge: &Taken<'_>, now: Timestamp) {
    if let Some(bucket) = place(buckets, charge) {
        (bucket.left, bucket.at) = (bucket.left_at(now), now);
        return;
    }
    let Taken { region, group, rate, .. } = *charge;
    let left = u64::from(rate).saturating_mul(REQUEST);
    buckets.push(Bucket { region: region.into(), group, left, rate, at: now });
}

#[cfg(test)]
mod tests {
    use super::*;

    const HOME: &str = "eu-central-1";

    fn at(millis: i64) -> Timestamp {
        Timestamp::from_millis(1_790_000_000_000 + millis)
    }

    fn one(rate: u32) -> [Taken<'static>; 1] {
        [Taken { region: HOME, group: "g", cost: 1, rate }]
    }

    fn given(buckets: &mut Buckets, account: &str, rate: u32, now: i64) -> usize {
        (0..100_000).take_while(|_| buckets.take(account, &one(rate), at(now))).count()
    }

    #[test]
    fn a_bucket_holds_a_second_and_fills_by_the_millisecond() {
        let mut buckets = Buckets::default();
        assert_eq!(given(&mut buckets, "a", 10, 0), 10);
        assert_eq!(given(&mut buckets, "a", 10, 99), 0);
        assert_eq!(given(&mut buckets, "a", 10, 100), 1);
        // Ninety-nine parts of a hundred are not lost to rounding.
        for millis in 101..200 {
            assert_eq!(given(&mut buckets, "a", 10, millis), 0, "{millis}");
        }
        assert_eq!(given(&mut buckets, "a", 10, 200), 1);
        assert_eq!(given(&mut buckets, "a", 10, 1_000_000_000), 10, "no more than a second's worth");
    }

    #[test]
    fn over_a_long_time_it_is_the_rate() {
        for rate in [1, 3, 7, 1_000] {
            let mut buckets = Buckets::default();
            let mut got = 0;
            for millis in (0..10_000).step_by(7) {
                got += given(&mut buckets, "a", rate, millis);
            }
            let whole = usize::try_from(rate).unwrap_or_default();
            assert!((whole * 10..=whole * 11).contains(&got), "{got} at {rate} a second");
        }
    }

    #[test]
    fn a_clock_put_back_neither_gives_nor_starves() {
        let mut buckets = Buckets::default();
        assert_eq!(given(&mut buckets, "a", 10, 0), 10);
        assert_eq!(given(&mut buckets, "a", 10, -3_600_000), 0);
        assert_eq!(given(&mut buckets, "a", 10, -3_600_000 + 500), 5);
    }

    #[test]
    fn regions_groups_and_accounts_are_apart() {
        let mut buckets = Buckets::default();
        assert_eq!(given(&mut buckets, "a", 5, 0), 5);
        assert_eq!(given(&mut buckets, "b", 5, 0), 5);
        let elsewhere = [Taken { region: "us-east-1", group: "g", cost: 1, rate: 5 }];
        assert!(buckets.take("a", &elsewhere, at(0)));
        let other = [Taken { region: HOME, group: "h", cost: 1, rate: 5 }];
        assert!(buckets.take("a", &other, at(0)));
        assert!(!buckets.take("a", &one(5), at(0)));
    }

    #[test]
    fn charges_are_taken_all_or_none() {
        let mut buckets = Buckets::default();
        let both = [
            Taken { region: HOME, group: "g", cost: 1, rate: 5 },
            Taken { region: HOME, group: "small", cost: 2, rate: 3 },
        ];
        assert!(buckets.take("a", &both, at(0)));
        assert!(!buckets.take("a", &both, at(0)), "one is left in small");
        assert_eq!(given(&mut buckets, "a", 5, 0), 4, "the refused call took nothing");
        // What costs more than there can ever be waits for all of it rather than for ever.
        let large = [Taken { region: HOME, group: "tiny", cost: 2, rate: 1 }];
        assert!(buckets.take("a", &large, at(0)) && !buckets.take("a", &large, at(999)));
        assert!(buckets.take("a", &large, at(1_000)));
    }

    #[test]
    fn a_rate_of_nothing_lets_nothing_through() {
        assert_eq!(given(&mut Buckets::default(), "a", 0, 0), 0);
    }

    #[test]
    fn idle_accounts_are_forgotten() {
        let mut buckets = Buckets::default();
        for number in 0..50_000 {
            assert!(buckets.take(&number.to_string(), &one(10), at(number)));
        }
        assert!(buckets.accounts.len() <= 2 * ACCOUNTS_KEPT, "{}", buckets.accounts.len());
    }

    #[test]
    fn who_empties_buckets_everywhere_is_bounded_alone() {
        let mut buckets = Buckets::default();
        let regions: Vec<String> = (0..2_000).map(|number| format!("region-{number}")).collect();
        let everywhere = |buckets: &mut Buckets, now| {
            let taken = |region| [Taken { region, group: "g", cost: 1, rate: 1 }];
            regions.iter().filter(|region| buckets.take("a", &taken(region), at(now))).count()
        };
        assert_eq!(everywhere(&mut buckets, 0), ACCOUNT_BUCKETS_MAX);
        assert_eq!(buckets.accounts.get("a").map(Vec::len), Some(ACCOUNT_BUCKETS_MAX));
        assert_eq!(given(&mut buckets, "b", 5, 0), 5);
        assert_eq!(everywhere(&mut buckets, 1_000), ACCOUNT_BUCKETS_MAX, "the next second is a new one");
    }

    #[test]
    fn accounts_are_bounded() {
        let mut buckets = Buckets::default();
        let taken = (0..ACCOUNTS_MAX + 10).filter(|number| buckets.take(&number.to_string(), &one(1), at(0))).count();
        assert_eq!((taken, buckets.accounts.len()), (ACCOUNTS_MAX, ACCOUNTS_MAX));
        assert!(buckets.take("late", &one(1), at(1_000)));
        assert_eq!(buckets.accounts.len(), 1);
    }
}

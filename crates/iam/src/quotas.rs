//! Request quotas of IAM and STS. AWS tells those of STS; of IAM's only that there are some, so these are ours.

use claviger_engine::{QuotaGroup, QuotaRule, ServiceQuotas};

/// The request quotas of IAM. They count in one Region: who names another gets no more.
pub const IAM_REQUEST_QUOTAS: ServiceQuotas = ServiceQuotas {
    event_source: "iam.amazonaws.com",
    rule: |operation| Some(QuotaRule::Always(of_iam(operation))),
    groups: || vec![READS, WRITES, SIMULATIONS],
    region: Some("us-east-1"),
};

/// The request quotas of STS.
pub const STS_REQUEST_QUOTAS: ServiceQuotas = ServiceQuotas {
    event_source: "sts.amazonaws.com",
    rule: |_| Some(QuotaRule::Always(STS)),
    groups: || vec![STS],
    region: None,
};

const READS: QuotaGroup = QuotaGroup::new("IAM-reads", 100);
const WRITES: QuotaGroup = QuotaGroup::new("IAM-writes", 20);
const SIMULATIONS: QuotaGroup = QuotaGroup::new("IAM-simulations", 5);
const STS: QuotaGroup = QuotaGroup::new("STS", 600);

/// Simulations cost much more than other reads.
fn of_iam(operation: &str) -> QuotaGroup {
    let starts = |words: &[&str]| words.iter().any(|word| operation.starts_with(word));
    if starts(&["Simulate", "GetContextKeysFor"]) {
        SIMULATIONS
    } else if starts(&["Get", "List"]) {
        READS
    } else {
        WRITES
    }
}

#[cfg(test)]
mod tests {
    use super::*;
    use crate::dispatch::ACTIONS;

    #[test]
    fn every_operation_counts_where_it_belongs() {
        let count = |group| ACTIONS.iter().filter(|action| of_iam(action.trim_start_matches("iam:")) == group).count();
        assert_eq!((count(SIMULATIONS), count(READS) + count(WRITES)), (4, ACTIONS.len() - 4));
        for (operation, group) in [
            ("GetUser", READS),
            ("ListRoles", READS),
            ("GenerateCredentialReport", WRITES),
            ("DeleteUser", WRITES),
            ("SimulateCustomPolicy", SIMULATIONS),
            ("GetContextKeysForPrincipalPolicy", SIMULATIONS),
        ] {
            assert_eq!(of_iam(operation), group, "{operation}");
        }
    }
}

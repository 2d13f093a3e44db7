//! Which condition keys identity policies may ask for.

use claviger_policy::{ConditionKey, KeyKind};

/// All of them.
pub(crate) const TABLES: &[&[ConditionKey]] =
    &[claviger_engine::CONDITION_KEYS, OF_IAM, OF_STS, OF_KMS, ENCLAVE_IMAGE, ENCLAVE_REGISTERS, TPM_REGISTERS];

/// Those of IAM: what an operation sets or attaches, and the tags of what it is about. Services are not given roles here
/// and have none of their own, so the three keys about that are never there.
const OF_IAM: &[ConditionKey] = {
    use KeyKind::{Arn, String};
    &[
        ConditionKey::new("iam:AssociatedResourceArn", Arn),
        ConditionKey::new("iam:AWSServiceName", String),
        ConditionKey::new("iam:PassedToService", String),
        ConditionKey::new("iam:PermissionsBoundary", Arn),
        ConditionKey::new("iam:PolicyARN", Arn),
        ConditionKey::family("iam:ResourceTag/", String),
    ]
};

/// Those of STS, about a session that is asked for.
const OF_STS: &[ConditionKey] = {
    use KeyKind::{ArrayOfString, String};
    &[
        ConditionKey::new("sts:ExternalId", String),
        ConditionKey::new("sts:RoleSessionName", String),
        ConditionKey::new("sts:SourceIdentity", String),
        ConditionKey::new("sts:TransitiveTagKeys", ArrayOfString),
    ]
};

/// Those of KMS, which supplies them all. A test holds this list against the service's own.
const OF_KMS: &[ConditionKey] = {
    use KeyKind::{Arn, ArrayOfString, Bool, Numeric, NumericOrDate, String};
    &[
        ConditionKey::new("kms:BypassPolicyLockoutSafetyCheck", Bool),
        ConditionKey::new("kms:CallerAccount", String),
        ConditionKey::new("kms:CustomerMasterKeySpec", String),
        ConditionKey::new("kms:CustomerMasterKeyUsage", String),
        ConditionKey::new("kms:DataKeyPairSpec", String),
        ConditionKey::new("kms:EncryptionAlgorithm", String),
        ConditionKey::family("kms:EncryptionContext:", String),
        ConditionKey::new("kms:EncryptionContextKeys", ArrayOfString),
        ConditionKey::new("kms:ExpirationModel", String),
        ConditionKey::new("kms:GrantConstraintSourceArn", Arn),
        ConditionKey::new("kms:GrantConstraintType", String),
        ConditionKey::new("kms:GrantIsForAWSResource", Bool),
        ConditionKey::new("kms:GrantOperations", ArrayOfString),
        ConditionKey::new("kms:GranteePrincipal", String),
        ConditionKey::new("kms:GranteeServicePrincipal", String),
        ConditionKey::new("kms:KeyAgreementAlgorithm", String),
        ConditionKey::new("kms:KeyOrigin", String),
        ConditionKey::new("kms:KeySpec", String),
        ConditionKey::new("kms:KeyUsage", String),
        ConditionKey::new("kms:MacAlgorithm", String),
        ConditionKey::new("kms:MessageType", String),
        ConditionKey::new("kms:MultiRegion", Bool),
        ConditionKey::new("kms:MultiRegionKeyType", String),
        ConditionKey::new("kms:PolicyName", String),
        ConditionKey::new("kms:PrimaryRegion", String),
        ConditionKey::new("kms:ReEncryptOnSameKey", Bool),
        ConditionKey::new("kms:ReplicaRegion", String),
        ConditionKey::new("kms:RequestAlias", String),
        ConditionKey::new("kms:ResourceAliases", ArrayOfString),
        ConditionKey::new("kms:RetiringPrincipal", String),
        ConditionKey::new("kms:RetiringServicePrincipal", String),
        ConditionKey::new("kms:RotationPeriodInDays", Numeric),
        ConditionKey::new("kms:ScheduleKeyDeletionPendingWindowInDays", Numeric),
        ConditionKey::new("kms:SigningAlgorithm", String),
        ConditionKey::new("kms:TrailingDaysWithoutKeyUsage", Numeric),
        ConditionKey::new("kms:ValidTo", NumericOrDate),
        ConditionKey::new("kms:ViaService", String),
        ConditionKey::new("kms:WrappingAlgorithm", String),
        ConditionKey::new("kms:WrappingKeySpec", String),
    ]
};

/// Registers by number, each a key of its own.
macro_rules! registers {
    ($table:ident, $head:literal, $($number:literal)*) => {
        const $table: &[ConditionKey] = &[$(ConditionKey::new(concat!($head, $number), KeyKind::String)),*];
    };
}

registers!(ENCLAVE_REGISTERS, "kms:RecipientAttestation:PCR",
    0 1 2 3 4 5 6 7 8 9 10 11 12 13 14 15 16 17 18 19 20 21 22 23 24 25 26 27 28 29 30 31);
registers!(TPM_REGISTERS, "kms:RecipientAttestation:NitroTPMPCR",
    0 1 2 3 4 5 6 7 8 9 10 11 12 13 14 15 16 17 18 19 20 21 22 23);

const ENCLAVE_IMAGE: &[ConditionKey] = &[ConditionKey::new("kms:RecipientAttestation:ImageSha384", KeyKind::String)];

#[cfg(test)]
mod tests {
    use super::*;

    fn of(tables: &[&'static [ConditionKey]], service: &str) -> Vec<(&'static str, bool, String)> {
        let all = tables.iter().copied().flatten().filter(|key| key.name.starts_with(service));
        let mut all: Vec<_> = all.map(|key| (key.name, key.prefix, format!("{:?}", key.kind))).collect();
        all.sort_unstable();
        all
    }

    #[test]
    fn identity_policies_may_ask_for_whatever_kms_supplies() {
        assert_eq!(of(TABLES, "kms:"), of(claviger_kms::CONDITION_TABLES, "kms:"));
        assert_eq!(of(TABLES, "aws:"), of(claviger_kms::CONDITION_TABLES, "aws:"));
        assert!(!of(TABLES, "kms:").is_empty());
    }

    #[test]
    fn no_key_stands_twice() {
        let all: Vec<_> = TABLES.iter().copied().flatten().collect();
        for (index, key) in all.iter().enumerate() {
            let same = |other: &&&ConditionKey| claviger_policy::is_same_key(other.name, key.name);
            assert_eq!(all.iter().skip(index + 1).find(same), None, "{}", key.name);
        }
    }
}

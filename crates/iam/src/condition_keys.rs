//! Which condition keys identity policies may ask for, besides the engine's.

use claviger_policy::{ConditionKey, KeyKind};

/// Those of KMS, which supplies them all. A test holds this list against the service's own.
pub(crate) const OF_KMS: &[ConditionKey] = {
    use KeyKind::{Arn, ArrayOfString, Bool, Numeric, NumericOrDate, String};
    &[
        ConditionKey::family("kms:RecipientAttestation:", String),
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
        ConditionKey::new("kms:ValidTo", NumericOrDate),
        ConditionKey::new("kms:ViaService", String),
        ConditionKey::new("kms:WrappingAlgorithm", String),
        ConditionKey::new("kms:WrappingKeySpec", String),
    ]
};

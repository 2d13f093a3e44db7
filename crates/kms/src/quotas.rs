//! AWS's request quotas: which operations share one, and how many requests a second it has (reference/lifecycle.md
//! section 11). What AWS does not tell, for ML-KEM, is as large here as its neighbours.

use claviger_api::kms::{DataKeyPairSpec, KeySpec};
use claviger_engine::{Charge, QuotaGroup, QuotaRule, ServiceQuotas};

use crate::operation::EVENT_SOURCE;

/// The request quotas of KMS, with AWS's defaults.
pub const REQUEST_QUOTAS: ServiceQuotas = ServiceQuotas { event_source: EVENT_SOURCE, rule, groups, region: None };

const LARGEST: u32 = 100_000;
const LARGE: u32 = 20_000;

const SYMMETRIC: QuotaGroup = QuotaGroup {
    name: "Symmetric",
    rate: 10_000,
    rate_in: &[
        ("us-east-1", LARGEST),
        ("us-west-2", LARGEST),
        ("eu-west-1", LARGEST),
        ("us-east-2", LARGE),
        ("ap-southeast-1", LARGE),
        ("ap-southeast-2", LARGE),
        ("ap-northeast-1", LARGE),
        ("eu-central-1", LARGE),
        ("eu-west-2", LARGE),
    ],
};
const RSA: QuotaGroup = QuotaGroup::new("RSA", 1_000);
/// SM2 counts here too.
const ECC: QuotaGroup = QuotaGroup::new("ECC", 1_000);
const ML_DSA: QuotaGroup = QuotaGroup::new("ML-DSA", 1_000);
const ML_KEM: QuotaGroup = QuotaGroup::new("ML-KEM", 1_000);

const SHARED: [QuotaGroup; 5] = [SYMMETRIC, RSA, ECC, ML_DSA, ML_KEM];

/// GenerateDataKeyPair and its form without plaintext, by the spec of the pair.
const PAIRS: [(DataKeyPairSpec, QuotaGroup); 12] = [
    (DataKeyPairSpec::EccNistP256, QuotaGroup::new("GenerateDataKeyPair-ECC_NIST_P256", 100)),
    (DataKeyPairSpec::EccNistP384, QuotaGroup::new("GenerateDataKeyPair-ECC_NIST_P384", 100)),
    (DataKeyPairSpec::EccNistP521, QuotaGroup::new("GenerateDataKeyPair-ECC_NIST_P521", 100)),
    (DataKeyPairSpec::EccSecgP256k1, QuotaGroup::new("GenerateDataKeyPair-ECC_SECG_P256K1", 100)),
    (DataKeyPairSpec::EccNistEdwards25519, QuotaGroup::new("GenerateDataKeyPair-ECC_NIST_EDWARDS25519", 100)),
    (DataKeyPairSpec::Sm2, QuotaGroup::new("GenerateDataKeyPair-SM2", 25)),
    (DataKeyPairSpec::Rsa2048, QuotaGroup::new("GenerateDataKeyPair-RSA_2048", 20)),
    (DataKeyPairSpec::Rsa3072, QuotaGroup::new("GenerateDataKeyPair-RSA_3072", 4)),
    (DataKeyPairSpec::Rsa4096, QuotaGroup::new("GenerateDataKeyPair-RSA_4096", 1)),
    (DataKeyPairSpec::MlKem512, QuotaGroup::new("GenerateDataKeyPair-ML_KEM_512", 100)),
    (DataKeyPairSpec::MlKem768, QuotaGroup::new("GenerateDataKeyPair-ML_KEM_768", 100)),
    (DataKeyPairSpec::MlKem1024, QuotaGroup::new("GenerateDataKeyPair-ML_KEM_1024", 100)),
];

/// Operations with a quota of their own, by its size.
const SINGLE: [(u32, &[&str]); 9] = [
    (2_000, &["DescribeKey", "GetPublicKey", "ListResourceTags"]),
    (1_000, &["GetKeyPolicy", "GetKeyRotationStatus"]),
    (500, &["ListAliases", "ListKeys"]),
    (100, &["ListGrants", "ListKeyPolicies", "ListKeyRotations", "ListRetirableGrants"]),
    (50, &["CreateGrant", "RetireGrant", "RevokeGrant"]),
    (
        15,
        &[
            "DeleteAlias",
            "DeleteImportedKeyMaterial",
            "EnableKeyRotation",
            "ImportKeyMaterial",
            "PutKeyPolicy",
            "ScheduleKeyDeletion",
        ],
    ),
    (10, &["TagResource"]),
    (
        5,
        &[
            "CancelKeyDeletion",
            "ConnectCustomKeyStore",
            "CreateAlias",
            "CreateCustomKeyStore",
            CREATE_KEY,
            "DeleteCustomKeyStore",
            "DescribeCustomKeyStores",
            "DisableKey",
            "DisableKeyRotation",
            "DisconnectCustomKeyStore",
            "EnableKey",
            "GetKeyLastUsage",
            REPLICATE_KEY,
            "RotateKeyOnDemand",
            "UntagResource",
            "UpdateAlias",
            "UpdateCustomKeyStore",
            "UpdateKeyDescription",
            UPDATE_PRIMARY_REGION,
        ],
    ),
    (1, &["GetParametersForImport"]),
];

const CREATE_KEY: &str = "CreateKey";
const REPLICATE_KEY: &str = "ReplicateKey";
const UPDATE_PRIMARY_REGION: &str = "UpdatePrimaryRegion";

fn single(operation: &str) -> Option<QuotaGroup> {
    SINGLE.iter().find_map(|(rate, names)| {
        names.iter().find(|name| **name == operation).map(|name| QuotaGroup::new(name, *rate))
    })
}

fn rule(operation: &str) -> Option<QuotaRule> {
    use QuotaRule::{Always, ByResource};
    match operation {
        "Decrypt" | "Encrypt" | "ReEncrypt" => Some(ByResource(SYMMETRIC)),
        "GenerateDataKey" | "GenerateDataKeyWithoutPlaintext" | "GenerateMac" | "GenerateRandom" | "VerifyMac" => {
            Some(Always(SYMMETRIC))
        }
        "Sign" | "Verify" => Some(ByResource(ECC)),
        "DeriveSharedSecret" => Some(Always(ECC)),
        "Decapsulate" | "Encapsulate" => Some(Always(ML_KEM)),
        // Without a key, nobody's pair was going to be made: it counts with the symmetric requests.
        "GenerateDataKeyPair" | "GenerateDataKeyPairWithoutPlaintext" => Some(ByResource(SYMMETRIC)),
        REPLICATE_KEY | UPDATE_PRIMARY_REGION => single(operation).map(ByResource),
        _ => single(operation).map(Always),
    }
}

fn groups() -> Vec<QuotaGroup> {
    let single = SINGLE.iter().flat_map(|(rate, names)| names.iter().map(|name| QuotaGroup::new(name, *rate)));
    SHARED.into_iter().chain(PAIRS.into_iter().map(|(_, group)| group)).chain(single).collect()
}

fn shared(spec: KeySpec) -> QuotaGroup {
    use KeySpec as Spec;
    match spec {
        Spec::SymmetricDefault | Spec::Hmac224 | Spec::Hmac256 | Spec::Hmac384 | Spec::Hmac512 => SYMMETRIC,
        Spec::Rsa2048 | Spec::Rsa3072 | Spec::Rsa4096 => RSA,
        Spec::EccNistP256
        | Spec::EccNistP384
        | Spec::EccNistP521
        | Spec::EccSecgP256k1
        | Spec::EccNistEdwards25519
        | Spec::Sm2 => ECC,
        Spec::MlDsa44 | Spec::MlDsa65 | Spec::MlDsa87 => ML_DSA,
        Spec::MlKem512 | Spec::MlKem768 | Spec::MlKem1024 => ML_KEM,
    }
}

/// What a use of these keys costs: one request of each group that they belong to.
pub(crate) fn of_use(specs: &[KeySpec]) -> Vec<Charge> {
    let mut charges: Vec<Charge> = Vec::with_capacity(specs.len());
    for spec in specs {
        let group = shared(*spec);
        if !charges.iter().any(|charge| charge.group == group) {
            charges.push(Charge::one(group));
        }
    }
    charges
}

/// What a new data key pair costs.
pub(crate) fn of_pair(spec: DataKeyPairSpec) -> Vec<Charge> {
    PAIRS.iter().filter(|(pair, _)| *pair == spec).map(|(_, group)| Charge::one(*group)).collect()
}

/// What ReplicateKey costs: itself, and two keys made in the replica's Region.
pub(crate) fn of_replica(region: &str) -> Vec<Charge> {
    let itself = single(REPLICATE_KEY).map(Charge::one);
    let made = single(CREATE_KEY).map(|group| Charge { group, cost: 2, region: Some(region.to_owned()) });
    itself.into_iter().chain(made).collect()
}

/// What UpdatePrimaryRegion costs: itself in both Regions.
pub(crate) fn of_new_primary(region: &str) -> Vec<Charge> {
    let Some(group) = single(UPDATE_PRIMARY_REGION) else { return Vec::new() };
    vec![Charge::one(group), Charge { group, cost: 1, region: Some(region.to_owned()) }]
}

#[cfg(test)]
mod tests {
    use std::collections::BTreeSet;

    use super::*;

    #[test]
    fn every_operation_has_a_quota() {
        for operation in claviger_api::kms::Operation::ALL {
            assert!(rule(operation.name()).is_some(), "{}", operation.name());
        }
        assert_eq!(rule("CreateUser"), None);
    }

    #[test]
    fn every_group_has_one_name_and_every_rule_is_of_a_group() {
        let names: BTreeSet<_> = groups().iter().map(|group| group.name).collect();
        assert_eq!(names.len(), groups().len());
        for operation in claviger_api::kms::Operation::ALL {
            let Some(QuotaRule::Always(group) | QuotaRule::ByResource(group)) = rule(operation.name()) else {
                continue;
            };
            assert!(groups().contains(&group), "{}", operation.name());
        }
        let plain = |name: &&str| name.bytes().all(|byte| byte.is_ascii_alphanumeric() || b"-_".contains(&byte));
        assert!(names.iter().all(plain), "names are keys of TOML without quotes");
    }

    #[test]
    fn every_pair_has_the_quota_of_its_spec() {
        for (spec, group) in PAIRS {
            assert_eq!(group.name, format!("GenerateDataKeyPair-{}", spec.as_str()));
            assert_eq!(of_pair(spec), [Charge::one(group)]);
        }
        assert!(DataKeyPairSpec::ALL.iter().all(|spec| of_pair(*spec).len() == 1));
    }

    #[test]
    fn sides_of_one_kind_cost_once() {
        use KeySpec::{Rsa2048, Rsa4096, SymmetricDefault};
        assert_eq!(of_use(&[SymmetricDefault, SymmetricDefault]), [Charge::one(SYMMETRIC)]);
        assert_eq!(of_use(&[Rsa2048, Rsa4096]), [Charge::one(RSA)]);
        assert_eq!(of_use(&[Rsa2048, SymmetricDefault]), [Charge::one(RSA), Charge::one(SYMMETRIC)]);
    }
}

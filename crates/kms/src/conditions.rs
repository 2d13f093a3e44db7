//! What conditions of policies may ask about a KMS request (reference/condition-keys.md).

use claviger_api::kms::{MultiRegionKeyType, OriginType, Tag};
use claviger_engine::{Call, Facts};
use claviger_policy::{ConditionKey, KeyKind, Limits};

use crate::records::Key;

/// The condition keys `kms:*` that this service supplies whenever a request has them, and those of operations that it
/// does not have yet.
pub const CONDITION_KEYS: &[ConditionKey] = {
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

/// Registers by number, each a key of its own: a family would also take names such as `PCR01`, which no document has.
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

/// Every condition key that a policy about KMS may name: the engine's and this service's.
pub const CONDITION_TABLES: &[&[ConditionKey]] =
    &[claviger_engine::CONDITION_KEYS, CONDITION_KEYS, ENCLAVE_IMAGE, ENCLAVE_REGISTERS, TPM_REGISTERS];

/// What a key policy may be and may ask for. The one place: what is saved by it is read again by it.
pub const KEY_POLICY_LIMITS: Limits = Limits {
    condition_keys: CONDITION_TABLES,
    for_all_values_refused: &["kms:EncryptionContext:", "aws:RequestTag/"],
    ..Limits::KEY_POLICY
};

/// What every request about a key has.
pub(crate) fn of_key(call: &Call<'_>, key: &Key, aliases: &[String]) -> Facts {
    let kind = match &key.multi_region {
        Some(_) if key.is_replica() => Some(MultiRegionKeyType::Replica),
        Some(_) => Some(MultiRegionKeyType::Primary),
        None => None,
    };
    of_kind(call, key.spec.as_str(), key.usage.as_str(), key.origin, key.multi_region.is_some())
        .with_some("kms:MultiRegionKeyType", kind.map(MultiRegionKeyType::as_str))
        .with_all("kms:ResourceAliases", aliases)
        .with_family("aws:ResourceTag/", key.tags.iter().map(|(name, value)| (name, value)))
}

/// What every request about a key has, and a request for a new one too.
pub(crate) fn of_kind(
    call: &Call<'_>,
    spec: &'static str,
    usage: &'static str,
    origin: OriginType,
    multi_region: bool,
) -> Facts {
    of_caller(call)
        .with("kms:KeySpec", spec)
        .with("kms:CustomerMasterKeySpec", spec)
        .with("kms:KeyUsage", usage)
        .with("kms:CustomerMasterKeyUsage", usage)
        .with("kms:KeyOrigin", origin.as_str())
        .with("kms:MultiRegion", if multi_region { "true" } else { "false" })
}

/// What a request about an alias has on the alias's side.
pub(crate) fn of_caller(call: &Call<'_>) -> Facts {
    let caller = call.caller();
    Facts::default().with("kms:CallerAccount", caller.account()).with_some("kms:ViaService", caller.via_service())
}

/// What a request that brings tags has.
pub(crate) fn with_tags(facts: Facts, tags: &[Tag]) -> Facts {
    facts
        .with_all("aws:TagKeys", tags.iter().map(|tag| &tag.tag_key))
        .with_family("aws:RequestTag/", tags.iter().map(|tag| (&tag.tag_key, &tag.tag_value)))
}

#[cfg(test)]
mod tests {
    #![expect(clippy::unwrap_used, reason = "tests")]

    use std::collections::BTreeSet;
    use std::sync::Arc;

    use claviger_api::kms::{CreateKeyRequest, GenerateRandomRequest, KeySpec, KeyUsageType};
    use claviger_api::{Timestamp, Valid};
    use claviger_crypto::DomainKeys;
    use claviger_engine::{Authentication, Chance, Clock, Engine, Fault, Operation, Parts, Question, Seed, Writes};
    use claviger_policy::{AccountId, Document};

    use super::*;
    use crate::operations::create_key::CreateKey;
    use crate::operations::generate_random::GenerateRandom;

    #[test]
    fn no_key_stands_twice_and_each_can_be_asked_for() {
        let asked = |operator: &str, key: &str| {
            let text = format!(
                r#"{{"Statement":{{"Effect":"Deny","Principal":"*","Action":"kms:*","Resource":"*",
                "Condition":{{"{operator}":{{"{key}":"true"}}}}}}}}"#
            );
            Document::parse_key_policy(&text, &KEY_POLICY_LIMITS)
        };
        let mut folded = BTreeSet::new();
        for key in CONDITION_TABLES.iter().copied().flatten() {
            assert!(folded.insert(key.name.to_lowercase()), "{}", key.name);
            let name = if key.prefix { format!("{}x", key.name) } else { key.name.to_owned() };
            asked("Null", &name).unwrap();
        }
        // All of the table's, and a key for each register.
        assert_eq!(folded.iter().filter(|name| name.starts_with("kms:")).count(), 40 + 32 + 24);
        for key in ["kms:EncryptionContext:", "kms:RecipientAttestation:PCR01", "kms:KeySpecs", "s3:prefix"] {
            assert!(asked("StringEquals", key).is_err(), "{key}");
        }
    }

    struct Still;

    impl Clock for Still {
        fn wall(&self) -> Timestamp {
            Timestamp::from_millis(1_790_000_000_000)
        }

        fn now(&self) -> Timestamp {
            self.wall()
        }
    }

    impl Chance for Still {
        fn fill(&self, buffer: &mut [u8]) -> Result<(), Fault> {
            buffer.fill(7);
            Ok(())
        }
    }

    const ACCOUNT: &str = "111122223333";

    async fn engine() -> Engine {
        let parts = Parts {
            store: Arc::new(claviger_store::Memory::new()),
            keys: Arc::new(DomainKeys::generate().unwrap()),
            audit: claviger_audit::Log::in_memory(10),
            clock: Arc::new(Still),
            chance: Arc::new(Still),
            authentication: Authentication::DangerAnyCredential { default_account: AccountId::parse(ACCOUNT).unwrap() },
            principals_must_exist: false,
            node: "node-1".to_owned(),
            clock_rule: claviger_engine::ClockRule::default(),
            regions: claviger_engine::Regions::EVERY,
        };
        Engine::open(parts).await.unwrap()
    }

    /// What conditions may ask about the request, for each of its questions.
    async fn facts_of<O: Operation<Service = crate::Kms>>(request: &O::Request) -> Vec<(&'static str, Facts)> {
        let engine = engine().await;
        let mut found = Vec::new();
        let run = Seed::new(&engine, "eu-central-1", ACCOUNT)
            .run::<Fault>(async |call| {
                let resources = O::resolve(call, &crate::Kms::default(), request).await.ok().unwrap();
                let questions: Vec<Question> = O::questions(call, &resources, request);
                let each = |question: &Question| (question.action, O::facts(call, &resources, request, question));
                found = questions.iter().map(each).collect();
                Ok(Writes::default())
            })
            .await;
        assert_eq!(run, Ok(()));
        found
    }

    fn new_key(spec: &str, usage: &str) -> Facts {
        Facts::default()
            .with("kms:CallerAccount", ACCOUNT)
            .with("kms:KeySpec", spec)
            .with("kms:CustomerMasterKeySpec", spec)
            .with("kms:KeyUsage", usage)
            .with("kms:CustomerMasterKeyUsage", usage)
            .with("kms:KeyOrigin", "AWS_KMS")
            .with("kms:MultiRegion", "false")
    }

    /// No key policy has a say in these, so what they show is looked at here.
    #[tokio::test]
    async fn a_new_key_shows_what_it_will_be() {
        let plain = Valid::new(CreateKeyRequest::default()).unwrap();
        let none: [&str; 0] = [];
        let expected = new_key("SYMMETRIC_DEFAULT", "ENCRYPT_DECRYPT").with_all("aws:TagKeys", none);
        assert_eq!(facts_of::<CreateKey>(&plain).await, [("kms:CreateKey", expected)]);
        let asked = CreateKeyRequest {
            key_spec: Some(KeySpec::Hmac384),
            key_usage: Some(KeyUsageType::GenerateVerifyMac),
            bypass_policy_lockout_safety_check: Some(true),
            tags: Some(vec![Tag { tag_key: "team".to_owned(), tag_value: "blue".to_owned() }]),
            ..CreateKeyRequest::default()
        };
        let expected = new_key("HMAC_384", "GENERATE_VERIFY_MAC")
            .with("kms:BypassPolicyLockoutSafetyCheck", "true")
            .with_all("aws:TagKeys", ["team"])
            .with("aws:RequestTag/team", "blue");
        let found = facts_of::<CreateKey>(&Valid::new(asked).unwrap()).await;
        assert_eq!(found, [("kms:CreateKey", expected.clone()), ("kms:TagResource", expected)]);
    }

    #[tokio::test]
    async fn random_bytes_show_nothing_without_a_recipient() {
        let asked = GenerateRandomRequest { number_of_bytes: Some(1), ..GenerateRandomRequest::default() };
        let found = facts_of::<GenerateRandom>(&Valid::new(asked).unwrap()).await;
        assert_eq!(found, [("kms:GenerateRandom", Facts::default())]);
    }
}

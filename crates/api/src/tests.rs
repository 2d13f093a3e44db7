//! What holds for everything generated.

#![expect(clippy::unwrap_used, reason = "tests")]

use std::collections::BTreeSet;

use crate::{Operation, Protocol, iam, kms, sts};

#[test]
fn all_of_kms_and_the_chosen_of_the_others() {
    assert_eq!(kms::Operation::ALL.len(), 56);
    assert_eq!(iam::Operation::ALL.len(), 106);
    assert_eq!(sts::Operation::ALL.len(), 7);
    assert_eq!(kms::ErrorCode::ALL.len(), 48);
    for operation in kms::Operation::ALL {
        assert_eq!(kms::Operation::parse(operation.name()), Some(*operation));
    }
    assert_eq!(kms::Operation::parse("encrypt"), None);
}

#[test]
fn names_and_statuses_of_errors() {
    use kms::ErrorCode;
    let statuses: Vec<_> =
        ErrorCode::ALL.iter().filter(|code| code.fault()).map(|code| (code.name(), code.status())).collect();
    assert_eq!(
        statuses,
        [("DependencyTimeoutException", 503), ("KMSInternalException", 500), ("KeyUnavailableException", 500)]
    );
    assert!(ErrorCode::ALL.iter().filter(|code| !code.fault()).all(|code| code.status() == 400));
    let missing = iam::ErrorCode::NoSuchEntity.with_message("x");
    assert_eq!((missing.code, missing.status, missing.sender_fault), ("NoSuchEntity", 404, true));
    assert!(!iam::ErrorCode::ServiceFailure.silent().sender_fault);
}

#[test]
fn the_errors_of_an_operation() {
    let of = |operation: kms::Operation| operation.errors().iter().map(|code| code.name()).collect::<BTreeSet<_>>();
    assert_eq!(
        of(kms::Operation::ListResourceTags),
        BTreeSet::from(["KMSInternalException", "NotFoundException", "InvalidArnException", "InvalidMarkerException"])
    );
    assert!(of(kms::Operation::Encrypt).contains("DryRunOperationException"));
}

#[test]
fn values_of_enumerations_are_distinct_and_come_back() {
    let texts: BTreeSet<_> = kms::KeySpec::ALL.iter().map(|spec| spec.as_str()).collect();
    assert_eq!(texts.len(), kms::KeySpec::ALL.len());
    for spec in kms::KeySpec::ALL {
        assert_eq!(kms::KeySpec::parse(spec.as_str()).unwrap(), *spec);
    }
    assert_eq!(kms::KeySpec::parse("symmetric_default"), None);
}

#[test]
fn protocols() {
    assert_eq!(Operation::from(kms::Operation::Encrypt).protocol(), Protocol::Json);
    assert_eq!(Operation::from(sts::Operation::GetCallerIdentity).protocol(), Protocol::Query);
    assert_eq!(Operation::from(iam::Operation::ListAccessKeys).service(), "iam");
}

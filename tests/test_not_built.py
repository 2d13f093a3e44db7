"""What this release does not do is refused, never ignored."""

import botocore.session
import pytest
from support.aws import ABSENT_ID, refused

BUILT = {
    "CancelKeyDeletion",
    "CreateAlias",
    "CreateGrant",
    "CreateKey",
    "Decapsulate",
    "Decrypt",
    "DeleteAlias",
    "DeleteImportedKeyMaterial",
    "DeriveSharedSecret",
    "DescribeKey",
    "DisableKey",
    "DisableKeyRotation",
    "EnableKey",
    "EnableKeyRotation",
    "Encapsulate",
    "Encrypt",
    "GenerateDataKey",
    "GenerateDataKeyPair",
    "GenerateDataKeyPairWithoutPlaintext",
    "GenerateDataKeyWithoutPlaintext",
    "GenerateMac",
    "GenerateRandom",
    "GetKeyLastUsage",
    "GetKeyPolicy",
    "GetKeyRotationStatus",
    "GetParametersForImport",
    "GetPublicKey",
    "ImportKeyMaterial",
    "ListAliases",
    "ListGrants",
    "ListKeyPolicies",
    "ListKeyRotations",
    "ListKeys",
    "ListResourceTags",
    "ListRetirableGrants",
    "PutKeyPolicy",
    "ReEncrypt",
    "ReplicateKey",
    "RetireGrant",
    "RevokeGrant",
    "RotateKeyOnDemand",
    "ScheduleKeyDeletion",
    "Sign",
    "TagResource",
    "UntagResource",
    "UpdateAlias",
    "UpdateKeyDescription",
    "UpdatePrimaryRegion",
    "Verify",
    "VerifyMac",
}
MODEL = botocore.session.get_session().get_service_model("kms")
SAMPLES = {
    "KeyId": ABSENT_ID,
    "TargetKeyId": ABSENT_ID,
    "CustomKeyStoreId": "cks-1234567890abcdef0",
    "CustomKeyStoreName": "store",
    "ImportToken": b"token",
    "ReplicaRegion": "us-east-1",
    "PrimaryRegion": "us-east-1",
}


def sample(shape, name):
    """A value that satisfies the model's constraints for a required member."""
    if name in SAMPLES:
        return SAMPLES[name]
    if shape.type_name == "blob":
        return b"x" * max(1, shape.metadata.get("min", 1))
    if shape.type_name == "string":
        return shape.enum[0] if shape.enum else "x" * max(20, shape.metadata.get("min", 1))
    if shape.type_name == "integer":
        return shape.metadata.get("min", 1)
    if shape.type_name == "list":
        return [sample(shape.member, "")]
    raise AssertionError(f"no sample for {name}: {shape}")


def required(operation):
    shape = MODEL.operation_model(operation).input_shape
    return {name: sample(shape.members[name], name) for name in shape.required_members}


def method(operation):
    return botocore.xform_name(operation)


def test_the_model_has_the_operations_that_the_reference_lists():
    assert len(MODEL.operation_names) == 56 and set(MODEL.operation_names) >= BUILT


@pytest.mark.parametrize("operation", sorted(set(MODEL.operation_names) - BUILT))
def test_an_operation_that_is_not_built_says_so(account, operation):
    arguments = required(operation)
    if operation == "CreateGrant":
        arguments |= {"GranteePrincipal": account.root}
    with refused("UnsupportedOperationException"):
        getattr(account.kms, method(operation))(**arguments)


@pytest.mark.parametrize("operation", sorted(name for name in set(MODEL.operation_names) - BUILT if required(name)))
def test_its_input_is_validated_all_the_same(account, operation):
    missing = required(operation)
    with refused("ValidationException") as caught:
        getattr(account.kms, method(operation))()
    message = caught.value.response["Error"]["Message"]
    head = f"{len(missing)} validation error{'s' if len(missing) > 1 else ''} detected: "
    assert message.startswith(head)
    for name in missing:
        path = name[0].lower() + name[1:]
        assert f"Value null at '{path}' failed to satisfy constraint: Member must not be null" in message


@pytest.mark.parametrize(
    "options",
    [
        {"Origin": "EXTERNAL", "KeySpec": "ML_DSA_44", "KeyUsage": "SIGN_VERIFY"},
        {"Origin": "AWS_CLOUDHSM", "CustomKeyStoreId": "cks-1234567890abcdef0"},
        {"Origin": "EXTERNAL_KEY_STORE", "CustomKeyStoreId": "cks-1234567890abcdef0", "XksKeyId": "k"},
        {"CustomKeyStoreId": "cks-1234567890abcdef0"},
        {"XksKeyId": "k"},
        {"KeySpec": "SM2", "KeyUsage": "SIGN_VERIFY"},
        {"KeySpec": "SM2", "KeyUsage": "ENCRYPT_DECRYPT"},
        {"CustomerMasterKeySpec": "SM2", "KeyUsage": "KEY_AGREEMENT"},
    ],
    ids=lambda options: "-".join(str(value) for value in options.values()),
)
def test_a_kind_of_key_that_is_not_built_is_not_made(account, options):
    with pytest.raises(account.kms.exceptions.ClientError) as caught:
        account.create_key(**options)
    error = caught.value.response["Error"]
    refusals = ("UnsupportedOperationException", "ValidationException", "CustomKeyStoreNotFoundException")
    assert error["Code"] in refusals, error
    assert account.kms.list_keys()["Keys"] == []


def test_an_unknown_spec_is_an_enum_violation(account):
    for member, path in [("KeySpec", "keySpec"), ("KeyUsage", "keyUsage"), ("Origin", "origin")]:
        with refused("ValidationException") as caught:
            account.create_key(**{member: "INVALID"})
        head = f"1 validation error detected: Value 'INVALID' at '{path}' failed to satisfy constraint: "
        assert caught.value.response["Error"]["Message"].startswith(head + "Member must satisfy enum value set: [")


def test_listing_keys_of_other_owners(account):
    """`ResourceOwners` (keys shared through RAM) either works on own keys or is refused."""
    key_id = account.create_key()["KeyId"]
    try:
        listed = account.kms.list_keys(ResourceOwners=["SELF"])["Keys"]
    except account.kms.exceptions.ClientError as error:
        assert error.response["Error"]["Code"] in ("UnsupportedOperationException", "ValidationException")
    else:
        assert [key["KeyId"] for key in listed] == [key_id]

"""How a key is named in a request: the four forms, where each is accepted, and what is not found."""

import json

import pytest
from support.aws import ABSENT_ID, must_not_be_null, refused, violation

PLAINTEXT = b"attack at dawn"

# Operations on one key (operations.md, column Id): any of the four forms, or id and ARN only.
ANY_FORM = {
    "DescribeKey": {},
    "Encrypt": {"Plaintext": PLAINTEXT},
    "GenerateDataKey": {"KeySpec": "AES_256"},
    "GenerateDataKeyWithoutPlaintext": {"KeySpec": "AES_256"},
}
ID_OR_ARN = {
    "CancelKeyDeletion": {},
    "DisableKey": {},
    "EnableKey": {},
    "GetKeyPolicy": {},
    "ListKeyPolicies": {},
    "ListResourceTags": {},
    "PutKeyPolicy": {"Policy": "{}"},
    "ScheduleKeyDeletion": {},
    "TagResource": {"Tags": [{"TagKey": "a", "TagValue": "b"}]},
    "UntagResource": {"TagKeys": ["a"]},
    "UpdateKeyDescription": {"Description": "d"},
}


def call(account, operation, key_id, **more):
    method = "".join("_" + letter.lower() if letter.isupper() else letter for letter in operation)[1:]
    arguments = {**ANY_FORM.get(operation, ID_OR_ARN.get(operation, {})), **more}
    return getattr(account.kms, method)(KeyId=key_id, **arguments)


@pytest.mark.parametrize("operation", ANY_FORM)
def test_any_form_names_the_key_and_the_answer_holds_its_arn(account, operation):
    key_id = account.create_key()["KeyId"]
    for name in account.every_identifier(key_id):
        answer = call(account, operation, name)
        assert answer.get("KeyId", account.key_arn(key_id)) == account.key_arn(key_id)


def test_decrypt_and_re_encrypt_take_any_form(account):
    key_id = account.create_key()["KeyId"]
    blob = account.kms.encrypt(KeyId=key_id, Plaintext=PLAINTEXT)["CiphertextBlob"]
    for name in account.every_identifier(key_id):
        assert account.kms.decrypt(KeyId=name, CiphertextBlob=blob)["Plaintext"] == PLAINTEXT
        answer = account.kms.re_encrypt(SourceKeyId=name, DestinationKeyId=name, CiphertextBlob=blob)
        assert (answer["SourceKeyId"], answer["KeyId"]) == (account.key_arn(key_id),) * 2


@pytest.mark.parametrize("operation", ID_OR_ARN)
def test_an_alias_is_not_accepted_where_aws_does_not(account, operation):
    key_id = account.create_key()["KeyId"]
    _, _, alias, alias_arn = account.every_identifier(key_id)
    for name in (alias, alias_arn):
        with refused("InvalidArnException", "Key Aliases are not supported for this operation."):
            call(account, operation, name)


@pytest.mark.parametrize("operation", [*ANY_FORM, *ID_OR_ARN])
def test_an_absent_key_is_not_found(account, operation):
    for name in (ABSENT_ID, account.key_arn(ABSENT_ID)):
        with refused("NotFoundException", f"Key '{account.key_arn(ABSENT_ID)}' does not exist"):
            call(account, operation, name)


@pytest.mark.parametrize("operation", [*ANY_FORM, *ID_OR_ARN])
@pytest.mark.parametrize("name", ["nonsense", "d" * 32, "mrk-123", "0f3a8f4c-7a1b-4b8e-9d55-2f6f8d1c9e1"])
def test_what_names_no_key_is_not_found(account, operation, name):
    with refused("NotFoundException", f"Invalid keyId '{name}'"):
        call(account, operation, name)


@pytest.mark.parametrize("operation", [*ANY_FORM, *ID_OR_ARN])
def test_the_key_is_required_and_bounded(account, operation):
    with refused("ValidationException", must_not_be_null("keyId")):
        call(account, operation, None)
    with refused("ValidationException", violation("", "keyId", "Member must have length greater than or equal to 1")):
        call(account, operation, "")
    name = "x" * 2049
    with refused("ValidationException", violation(name, "keyId", "Member must have length less than or equal to 2048")):
        call(account, operation, name)


@pytest.mark.parametrize("operation", [*ANY_FORM, *ID_OR_ARN])
def test_another_region_is_named_in_the_refusal(account, operation):
    elsewhere = account.in_region("ap-south-1").create_key()
    with refused("NotFoundException", "Invalid arn ap-south-1"):
        call(account, operation, elsewhere["Arn"])
    with refused("NotFoundException", f"Key '{account.key_arn(elsewhere['KeyId'])}' does not exist"):
        call(account, operation, elsewhere["KeyId"])


@pytest.mark.parametrize("operation", ANY_FORM)
def test_an_unknown_alias_is_not_found(account, operation):
    with refused("NotFoundException", f"Alias {account.alias_arn('alias/absent')} is not found."):
        call(account, operation, "alias/absent")
    with refused("NotFoundException", f"Alias {account.alias_arn('alias/absent')} is not found."):
        call(account, operation, account.alias_arn("alias/absent"))


@pytest.mark.parametrize("operation", [*ANY_FORM, *ID_OR_ARN])
def test_a_foreign_key_is_invisible(account, other_account, operation):
    """A foreign ARN answers the same whether or not the key exists."""
    action = f"kms:{operation}"
    text = (
        f"User: {account.root} is not authorized to perform: {action} on this resource because the resource does not "
        "exist in this Region, no resource-based policies allow access, or a resource-based policy explicitly denies "
        "access"
    )
    for arn in (other_account.create_key()["Arn"], other_account.key_arn(ABSENT_ID)):
        with refused("AccessDeniedException", text):
            call(account, operation, arn)


def test_a_foreign_key_that_allows_the_account_can_be_used(account, other_account):
    key = other_account.create_key()
    statement = {"Effect": "Allow", "Resource": "*"}
    policy = {
        "Version": "2012-10-17",
        "Statement": [
            {"Sid": "owner", "Principal": {"AWS": other_account.root}, "Action": "kms:*", **statement},
            {"Sid": "guest", "Principal": {"AWS": account.root}, "Action": ["kms:Encrypt", "kms:Decrypt"], **statement},
        ],
    }
    other_account.kms.put_key_policy(KeyId=key["KeyId"], PolicyName="default", Policy=json.dumps(policy))
    answer = account.kms.encrypt(KeyId=key["Arn"], Plaintext=PLAINTEXT)
    assert answer["KeyId"] == key["Arn"]
    assert account.kms.decrypt(CiphertextBlob=answer["CiphertextBlob"])["Plaintext"] == PLAINTEXT
    with refused("AccessDeniedException"):
        account.kms.describe_key(KeyId=key["Arn"])
    with refused("AccessDeniedException"):
        account.kms.disable_key(KeyId=key["Arn"])
    # A bare id or an alias name is looked up in the caller's own account.
    with refused("NotFoundException", f"Key '{account.key_arn(key['KeyId'])}' does not exist"):
        account.kms.encrypt(KeyId=key["KeyId"], Plaintext=PLAINTEXT)
    other_account.kms.create_alias(AliasName="alias/shared", TargetKeyId=key["KeyId"])
    by_alias = account.kms.encrypt(KeyId=other_account.alias_arn("alias/shared"), Plaintext=PLAINTEXT)
    assert by_alias["KeyId"] == key["Arn"]
    with refused("NotFoundException", f"Alias {account.alias_arn('alias/shared')} is not found."):
        account.kms.encrypt(KeyId="alias/shared", Plaintext=PLAINTEXT)


@pytest.mark.parametrize(
    "name", ["arn:aws:kms", "arn:aws:s3:::bucket", "arn:aws:kms:eu-central-1:12:key/x", "arn:::::"]
)
def test_a_malformed_arn_is_refused_cleanly(account, name):
    for operation in ("DescribeKey", "DisableKey"):
        try:
            call(account, operation, name)
        except account.kms.exceptions.ClientError as error:
            code = error.response["Error"]["Code"]
            assert code in ("InvalidArnException", "NotFoundException", "AccessDeniedException"), error
        else:
            raise AssertionError("a malformed ARN was accepted")
